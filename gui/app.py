"""Starts the window: the application, its looks, its last line of defence; heavy imports wait until it is shown."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QFileOpenEvent, QGuiApplication
from PySide6.QtWidgets import QApplication

from gui.settings import Preferences
from gui.theme import ThemeManager, application_icon
from processing.logfile import start_log
from processing.paths import state_folder

RESTORE = "File, Open last again (Ctrl+Shift+T)"


class Application(QApplication):
    """The application, told by macOS which file to open ("Open with", a drop on the icon); elsewhere that is argv."""

    file_given = Signal(str)

    def event(self, event: QEvent) -> bool:
        """Pass on the name in a `QFileOpenEvent`."""
        if isinstance(event, QFileOpenEvent) and event.file():
            self.file_given.emit(event.file())
            return True
        return super().event(event)


def make_application() -> QApplication:
    """Return the application, made and named."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    QGuiApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)
    application = Application(sys.argv[:1])
    application.setApplicationName("Stellacube")
    application.setOrganizationName("Stellacube")
    application.setDesktopFileName("stellacube")
    application.setWindowIcon(application_icon())
    return application


def main(paths: Sequence[str | Path] = ()) -> int:
    """Show the window, open what was given, and return the exit code once it is closed.

    Parameters
    ----------
    paths : sequence of path
        Cubes, star lists, spectra or a session.

    Returns
    -------
    int
    """
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the window can close: Qt would swallow a KeyboardInterrupt
    start_log()
    application = make_application()
    from gui.garbage import GarbageKeeper
    from gui.main_window import MainWindow
    from gui.notifications import Notifications
    from gui.restoring import Autosave

    keeper = GarbageKeeper(application)
    preferences = Preferences()
    themes = ThemeManager(application, preferences.appearance)
    notifications = Notifications()
    notifications.install()
    window = MainWindow(themes, preferences, notifications)
    # From the event loop: the handler itself may run in the middle of anything.
    signal.signal(signal.SIGINT, lambda *_: QTimer.singleShot(0, window, window.close))
    window.show()
    autosave = Autosave(window.restorer, preferences, window, state_folder() / "windows")
    if autosave.crashed and not paths:
        notifications.warning("Stellacube ended unexpectedly last time.", f"{RESTORE} opens again what was open.")
    if isinstance(application, Application):
        application.file_given.connect(lambda name: window.open_paths([Path(name)]))
    if paths:
        given = [Path(path).expanduser().absolute() for path in paths]
        QTimer.singleShot(0, window, lambda: window.open_paths(given))
    heartbeat = QTimer(window)  # gives Python a moment to notice Ctrl+C in the terminal
    heartbeat.timeout.connect(int)
    heartbeat.start(500)
    try:
        return application.exec()
    finally:
        window.shut_down()
        autosave.end()
        notifications.uninstall()
        keeper.stop()
