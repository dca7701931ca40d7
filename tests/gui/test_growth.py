"""Opening and closing again and again: neither objects, nor memory, nor threads, nor open files grow."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QObject, QThread
from PySide6.QtWidgets import QApplication, QDialog
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.main_window import MainWindow

pytestmark = pytest.mark.no_qt_log
"""A kept log would grow with every word of Qt's."""
WARM = 4
"""Cycles before the count begins: caches fill, modules load."""
ENOUGH, EACH = 40, 20
"""Python objects by which two states of the window may differ; and those that a cycle may leave. Alone it leaves none,
but after other tests of the suite some 18 small ones, whose owner was not found. A panel or a session has hundreds."""


def counts(window: MainWindow) -> dict[str, int]:
    """Return how much there is of what could grow."""
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    files = Path("/proc/self/fd")
    return {
        "objects": len(gc.get_objects()),
        "qobjects": len(window.findChildren(QObject)),
        "scene": len(window.workspaces.image.view.scene().items()),
        "threads": threading.active_count() + len([t for t in window.findChildren(QThread) if t.isRunning()]),
        "files": len(os.listdir(files)) if files.is_dir() else 0,
    }


def open_and_close(window: MainWindow, field, qtbot: QtBot) -> None:
    """Open a session, look at a star, and close it; then cube and list."""
    window.open_paths([field.session])
    qtbot.waitUntil(lambda: window.document.catalogue is not None, timeout=WAIT)
    window.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: not window.workspaces.spectrum.is_empty, timeout=WAIT)
    settled(window, qtbot)
    window.close_field()
    window.open_paths([field.cube, field.stars])
    qtbot.waitUntil(lambda: window.document.overview is not None, timeout=WAIT)
    settled(window, qtbot)
    window.close_field()


def check_growth(window: MainWindow, field, qtbot: QtBot, cycles: int) -> int:
    """Check that counts do not grow, and return the growth of memory in MB."""
    for _ in range(WARM):
        open_and_close(window, field, qtbot)
    counts(window)  # its own first traces
    window.notifications.history.clear()
    before, memory = counts(window), resident()
    for _ in range(cycles):
        open_and_close(window, field, qtbot)
    window.notifications.history.clear()
    after = counts(window)
    grown = {name: after[name] - before[name] for name in before}
    assert {name: n for name, n in grown.items() if n > 0 and name != "objects"} == {}
    assert grown["objects"] < ENOUGH + EACH * cycles, grown
    return resident() - memory


def resident() -> int:
    """Return the memory in use, MB; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20 if status.is_file() else 0


def test_nothing_grows_over_a_few_cycles(window, field, qtbot: QtBot) -> None:
    check_growth(window, field, qtbot, 5)


def test_dialogs_go_when_they_are_closed(opened, qtbot: QtBot) -> None:
    def open_and_reject() -> None:
        opened.ask_run()
        (dialog,) = (child for child in opened.findChildren(QDialog) if child.isVisible())
        dialog.fold.setChecked(True)
        dialog.reject()

    for _ in range(WARM):
        open_and_reject()
    counts(opened)
    before = counts(opened)
    cycles = 10
    for _ in range(cycles):
        open_and_reject()
    grown = {name: n - before[name] for name, n in counts(opened).items()}
    assert grown["qobjects"] == 0
    assert grown["objects"] < ENOUGH + EACH * cycles, grown


@pytest.mark.slow
def test_nothing_grows_over_fifty_cycles(window, field, qtbot: QtBot) -> None:
    assert check_growth(window, field, qtbot, 50) < 20
