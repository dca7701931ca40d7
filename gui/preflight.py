"""Why no window can be opened, in a sentence: asked before Qt is loaded, because Qt would end the program."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
from pathlib import Path

NO_DISPLAY = (
    "There is no display to open a window on. Start Stellacube from a desktop or through ssh -X; "
    "its commands (see --help) need no display."
)


def why_no_window() -> str:
    """Return what keeps a window from being opened, or nothing.

    Returns
    -------
    str
        A sentence with what to do, empty where a window can be expected to open.
    """
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM", "xcb").partition(":")[0] != "xcb":
        return ""
    display = os.environ.get("DISPLAY")
    if not display:
        return "" if os.environ.get("WAYLAND_DISPLAY") else NO_DISPLAY
    try:
        answers = _answers()
        _load_plugin()
    except OSError as error:
        return _missing(str(error))
    if not answers and not os.environ.get("WAYLAND_DISPLAY"):
        return f"The display {display} does not answer. Check the variable DISPLAY and the permission to use it."
    return ""


def _answers() -> bool:
    """Tell whether the X server lets us in."""
    xcb = ctypes.CDLL("libxcb.so.1")
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    refused = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return not refused


def _load_plugin() -> None:
    """Load what connects Qt with X, and with it all libraries that Qt will load."""
    package = importlib.util.find_spec("PySide6")
    if package is not None and package.origin is not None:
        plugin = Path(package.origin).parent / "Qt" / "plugins" / "platforms" / "libqxcb.so"
        if plugin.exists():  # distributions have it elsewhere
            ctypes.CDLL(str(plugin))


def _missing(error: str) -> str:
    """Turn the loader's words into a sentence with the name of Debian's package."""
    found = re.match(r"(lib([\w.+-]+?))\.so\.(\d+)", error)
    if found is None:
        return f"The window system's libraries cannot be loaded: {error}."
    name = found[1].lower()
    package = f"{name}-{found[3]}" if name[-1].isdigit() else f"{name}{found[3]}"
    return (
        f"The system library {found[0]} is missing, so no window can be opened. "
        f"On Debian and Ubuntu: sudo apt install {package}"
    )
