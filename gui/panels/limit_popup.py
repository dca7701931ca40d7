"""The popup in which the limits of an image are typed."""

from __future__ import annotations

import math

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFormLayout, QLineEdit, QPushButton, QWidget

from gui.panels.popup import Popup
from gui.theme import GRID


class LimitPopup(Popup):
    """Two number fields, and the way back to the limits of the rule."""

    given = Signal(float, float)
    """Lower and upper limit."""
    reset = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, "Limits of the image")
        self.low, self.high = QLineEdit(), QLineEdit()
        self.automatic = QPushButton("Automatic")
        self.automatic.setToolTip("Back to the limits of the rule (also: double-click on the colour bar)")
        self.automatic.clicked.connect(self.reset)
        form = QFormLayout(self)
        form.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        form.setSpacing(GRID)
        for name, line in (("Upper limit", self.high), ("Lower limit", self.low)):
            line.setAccessibleName(name)
            line.setAlignment(Qt.AlignmentFlag.AlignRight)
            line.setFixedWidth(110)
            line.textEdited.connect(self._on_edited)
            line.returnPressed.connect(self.close)
            form.addRow(name, line)
        form.addRow(self.automatic)

    def set_limits(self, low: float, high: float, manual: bool) -> None:
        """Show the limits in use, except where somebody is typing others."""
        self.automatic.setEnabled(manual)
        if (low, high) == self._typed():
            return
        for line, value in ((self.low, low), (self.high, high)):
            line.setText(f"{value:.6g}".replace("-", "−"))
        self._mark(False)

    def open_at(self, control: QWidget) -> None:
        """Open with the upper limit ready to be typed over."""
        super().open_at(control)
        self.high.setFocus()
        self.high.selectAll()

    def _typed(self) -> tuple[float, float] | None:
        """Return the limits in the fields; None where they are none."""
        try:
            low, high = (float(line.text().strip().replace("−", "-")) for line in (self.low, self.high))
        except ValueError:
            return None
        return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None

    @Slot()
    def _on_edited(self) -> None:
        """Take limits while they are typed; what is no limit is marked and changes nothing."""
        typed = self._typed()
        self._mark(typed is None)
        if typed is not None:
            self.given.emit(*typed)

    def _mark(self, wrong: bool) -> None:
        for line in (self.low, self.high):
            line.setProperty("wrong", wrong)
            line.setToolTip("Two numbers, the lower one below the upper one." if wrong else "")
            line.style().polish(line)
