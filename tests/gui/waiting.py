"""How the window's tests wait: for what they expect, never for a while."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from gui.main_window import MainWindow

WAIT = 20_000
"""Milliseconds after which a test that waits for something has failed."""


def settled(window: MainWindow, qtbot: QtBot) -> None:
    """Wait until every job has ended."""
    qtbot.waitUntil(lambda: not window.runner.jobs, timeout=WAIT)
