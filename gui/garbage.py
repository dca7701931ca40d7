"""Python's garbage collector kept to the GUI thread: a worker that collects would destroy Qt objects there."""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer, Slot

INTERVAL = 1000
"""Milliseconds between two looks at the counters."""


class GarbageKeeper(QObject):
    """Collects in the thread it lives in, by Python's own thresholds, instead of wherever an object is made.

    Windows, plots and menus refer to each other in circles, so they end in the garbage collector; automatic collection
    would run in any thread, and a Qt object destroyed outside the GUI thread crashes the program.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.disable()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.collect)
        self._timer.start(INTERVAL)

    @Slot()
    def collect(self) -> None:
        """Collect the oldest generation whose counter has passed its threshold."""
        counts, thresholds = gc.get_count(), gc.get_threshold()
        due = [n for n in range(3) if counts[n] > thresholds[n] > 0]
        if due:
            gc.collect(max(due))

    def stop(self) -> None:
        """Give collecting back to Python."""
        self._timer.stop()
        gc.enable()
