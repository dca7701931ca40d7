"""Where the program's own files lie, in a checkout and in a bundle, where its log goes, and what the user keeps."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def resource(*parts: str) -> Path:
    """Return the path of a file or folder under ``resources/``."""
    root = Path(getattr(sys, "_MEIPASS", Path(__file__).resolve().parent.parent))
    return root.joinpath("resources", *parts)


def installed() -> bool:
    """Tell whether this is an installed bundle rather than a checkout."""
    return hasattr(sys, "_MEIPASS")


def state_folder() -> Path:
    """Return the folder for the log, where each system wants it; it need not exist yet."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Stellacube"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Logs" / "Stellacube"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "stellacube"


def config_folder() -> Path:
    """Return the folder for what the user keeps, as mask presets, where each system wants it; it need not exist yet."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "Stellacube"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Stellacube"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "stellacube"
