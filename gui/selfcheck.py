"""The window's part of the self-check: Qt finds its platform, and the window shows a catalogue."""

from __future__ import annotations

import os
from pathlib import Path

from gui.preflight import why_no_window
from processing.errors import StellacubeError

PATIENCE = 60_000
"""Longest time for the window to show a session, ms."""
COLOURS = 100
"""A window with text, image and plots has many more; an empty one a handful."""


def check_window(session: Path) -> str:
    """Open the window on a session, look at it, and close it; without a display it is drawn in memory.

    Parameters
    ----------
    session : Path

    Returns
    -------
    str
        What was found.

    Raises
    ------
    StellacubeError
        If the window shows nothing.
    """
    reason = why_no_window()
    if reason:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtCore import QEventLoop, QSettings, QTimer
    from PySide6.QtGui import QGuiApplication

    from gui.app import make_application
    from gui.main_window import MainWindow
    from gui.notifications import Notifications
    from gui.settings import Preferences
    from gui.theme import ThemeManager

    application = make_application()
    settings = QSettings(str(session.with_suffix(".ini")), QSettings.Format.IniFormat)  # not the user's own
    window = MainWindow(ThemeManager(application), Preferences(settings), Notifications())
    loop = QEventLoop()
    window.document.image_ready.connect(loop.quit)
    QTimer.singleShot(PATIENCE, loop.quit)
    window.show()
    window.open_paths([session])
    loop.exec()
    application.processEvents()
    picture = window.grab().toImage()
    rows = window.document.rows
    scale = window.devicePixelRatio()
    window.close()
    n_colour = len({picture.pixel(x, y) for x in range(0, picture.width(), 3) for y in range(0, picture.height(), 3)})
    if rows is None or n_colour < COLOURS:
        raise StellacubeError("The window opens but shows nothing of the demo's results.")
    words = f"drawn through '{QGuiApplication.platformName()}' at scale {scale:g}, {len(rows)} stars in its table"
    return f"{words}. Not on a screen: {reason}" if reason else words
