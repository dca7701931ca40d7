"""The log file in the user's state folder: what a program without a terminal would have said there."""

from __future__ import annotations

import faulthandler
import logging
import platform
import sys
from pathlib import Path

import processing
from processing.paths import state_folder

LARGEST = 1_000_000
"""Size from which a log is put aside, bytes; one old log is kept."""


def log_path() -> Path:
    """Return where the log lies, or would lie."""
    return state_folder() / "stellacube.log"


def start_log() -> Path | None:
    """Write the log of the program to its file from now on, and the stack of a crash too if there is no terminal.

    Returns
    -------
    Path or None
        The file; None where none can be written, as in a home that is read-only.
    """
    path = log_path()
    log = logging.getLogger(__name__)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LARGEST:
            path.replace(path.with_suffix(".old.log"))
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        log.info("There will be no log file: %s", error)
        return None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    log.setLevel(logging.INFO)
    log.info("Stellacube %s, Python %s, %s", processing.__version__, platform.python_version(), platform.platform())
    if handler.stream is not None and not sys.stderr.isatty():
        faulthandler.enable(handler.stream.fileno())
    return path
