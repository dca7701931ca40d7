"""Python's garbage collector kept to the GUI thread: a worker that collects would destroy Qt objects there."""

from __future__ import annotations

import gc
import sys

from PySide6.QtCore import QObject, QTimer, Slot

INTERVAL = 1000
"""Milliseconds between two looks at the counters."""
MODULES = 10
"""So many new modules make it worth not to look through them any more."""


class GarbageKeeper(QObject):
    """Collects in the thread it lives in, by Python's own thresholds, instead of wherever an object is made.

    Windows, plots and menus refer to each other in circles, so they end in the garbage collector; automatic collection
    would run in any thread, and a Qt object destroyed outside the GUI thread crashes the program.

    What modules are made of stays for good and is most of what there is: to look through it stopped the window for a
    tenth of a second. When many have come, whatever there is then is left to its reference counts.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.disable()
        self._modules = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.collect)
        self._timer.start(INTERVAL)

    @Slot()
    def collect(self) -> None:
        """Collect the oldest generation whose counter has passed its threshold."""
        if len(sys.modules) >= self._modules + MODULES:
            self._modules = len(sys.modules)
            gc.freeze()
        counts, thresholds = gc.get_count(), gc.get_threshold()
        due = [n for n in range(3) if counts[n] > thresholds[n] > 0]
        if due:
            gc.collect(max(due))

    def stop(self) -> None:
        """Give collecting back to Python."""
        self._timer.stop()
        gc.unfreeze()
        gc.enable()
