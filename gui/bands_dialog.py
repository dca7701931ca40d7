"""The three bands of the colour image: typed, or taken from the band that is marked in the spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QDialog,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui.composite import thirds
from gui.document import Document
from gui.selection import Selection
from gui.theme import GRID

if TYPE_CHECKING:
    from gui.panels.image import ImagePanel

NAMES = ("Red", "Green", "Blue")


class BandsDialog(QDialog):
    """Two wavelengths for each of red, green and blue; the image follows at once."""

    def __init__(self, document: Document, selection: Selection, panel: ImagePanel, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Bands of the colour image")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._document, self._selection, self._panel = document, selection, panel
        assert document.cube is not None
        self._wave = document.cube.wave
        grid = QGridLayout()
        grid.setHorizontalSpacing(GRID)
        grid.setVerticalSpacing(GRID)
        self.limits: list[tuple[QDoubleSpinBox, QDoubleSpinBox]] = []
        for row, name in enumerate(NAMES):
            spins = self._spin(f"{name} from"), self._spin(f"{name} to")
            self.limits.append(spins)
            take = QPushButton("Marked band", autoDefault=False)
            take.setToolTip("Take the band that is marked in the spectrum (drag there with Shift held)")
            take.setProperty("row", row)
            take.setEnabled(selection.band is not None)
            take.clicked.connect(self._on_take)
            for place, widget in enumerate((QLabel(name), spins[0], QLabel("to"), spins[1], take)):
                grid.addWidget(widget, row, place)
        self._show(document.colour_ranges or thirds(self._wave))
        reset = QPushButton("Thirds", autoDefault=False)
        reset.setToolTip("Red, middle and blue third of the cube")
        reset.clicked.connect(self._on_reset)
        close = QPushButton("Close", default=True)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addWidget(reset)
        buttons.addStretch(1)
        buttons.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        column.setSpacing(2 * GRID)
        column.addLayout(grid)
        column.addLayout(buttons)
        panel.show_picture("colour")

    def _spin(self, name: str) -> QDoubleSpinBox:
        spin = QDoubleSpinBox(suffix=" Å", decimals=0)
        spin.setRange(float(self._wave[0]), float(self._wave[-1]))
        spin.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        spin.setKeyboardTracking(False)
        spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        spin.setAccessibleName(name)
        spin.valueChanged.connect(self._on_typed)
        return spin

    def _show(self, ranges: tuple[tuple[float, float], ...]) -> None:
        for spins, limits in zip(self.limits, ranges, strict=True):
            for spin, value in zip(spins, limits, strict=True):
                spin.blockSignals(True)
                spin.setValue(value)
                spin.blockSignals(False)

    @Slot()
    def _on_typed(self) -> None:
        red, green, blue = ((min(a, b), max(a, b)) for a, b in ((s.value(), t.value()) for s, t in self.limits))
        self._document.colour_ranges = red, green, blue
        self._panel.show_picture("colour")

    @Slot()
    def _on_take(self) -> None:
        sender = self.sender()
        if sender is not None and self._selection.band is not None:
            ranges = [(s.value(), t.value()) for s, t in self.limits]
            ranges[int(sender.property("row"))] = self._selection.band
            self._show(tuple(ranges))
            self._on_typed()

    @Slot()
    def _on_reset(self) -> None:
        self._show(thirds(self._wave))
        self._on_typed()
