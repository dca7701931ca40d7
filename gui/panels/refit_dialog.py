"""The choice of what a refit holds, and of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui.theme import GRID
from processing.labels.names import LABELS
from processing.labels.refit import Range, Recipe

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit

COLUMNS = 3


class RefitDialog(QDialog):
    """Asks which labels keep a value and which network fits."""

    chosen = Signal(object)
    """The `Recipe`."""

    def __init__(
        self,
        fit: LabelFit,
        masks: tuple[Range, ...],
        models: tuple[str, ...],
        own: str,
        held: Mapping[str, float],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Refit")
        self._masks = masks
        headline = QLabel(f"Fit {fit.star_id} again")
        headline.setObjectName("headline")
        self.network = QComboBox()
        self.network.setAccessibleName("Network")
        self.network.addItem(f"The run's own ({own or 'default'})", "")
        for name in models:
            self.network.addItem(name, name)
        line = QHBoxLayout()
        line.setSpacing(GRID)
        line.addWidget(QLabel("Network"))
        line.addWidget(self.network, 1)
        self.boxes: dict[str, tuple[QCheckBox, QDoubleSpinBox]] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(GRID)
        grid.setVerticalSpacing(GRID // 2)
        rows = -(-len(fit.labels) // COLUMNS)
        for n, (name, value) in enumerate(zip(fit.labels, fit.values.tolist(), strict=True)):
            self._add_label(grid, n % rows, 3 * (n // rows), name, held.get(name, value), name in held)
        for gap in range(2, 3 * COLUMNS - 1, 3):
            grid.setColumnMinimumWidth(gap, 2 * GRID)
        count = f"{len(masks)} mask{'s' * (len(masks) != 1)} of yours" if masks else "no masks of yours"
        note = QLabel(
            f"With {count}. Labels that are ticked keep the value beside them; the others are fitted. The run's fit "
            "and the catalogue stay as they are.",
            wordWrap=True,
        )
        note.setObjectName("muted")
        start = QPushButton("Fit again", default=True)
        start.setObjectName("primary")
        start.clicked.connect(self._on_start)
        cancel = QPushButton("Cancel", autoDefault=False)
        cancel.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.setSpacing(GRID)
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(start)
        column = QVBoxLayout(self)
        column.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        column.setSpacing(2 * GRID)
        column.addWidget(headline)
        column.addLayout(line)
        column.addWidget(QLabel("Hold"))
        column.addLayout(grid)
        column.addWidget(note)
        column.addLayout(buttons)
        start.setFocus()

    def _add_label(self, grid: QGridLayout, row: int, side: int, name: str, value: float, on: bool) -> None:
        info = LABELS[name]
        box = QCheckBox(info.symbol)
        box.setToolTip(info.description)
        spin = QDoubleSpinBox(decimals=info.decimals, minimum=-20.0, maximum=50000.0)
        spin.setSingleStep(50.0 if name == "teff" else 0.1)
        spin.setValue(value)
        spin.setSuffix({"K": " K", "km / s": " km/s"}.get(info.unit, ""))
        spin.setAccessibleName(f"Value of {info.symbol}")
        spin.setFixedWidth(14 * GRID)
        spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        spin.setEnabled(on)
        box.setChecked(on)
        box.toggled.connect(spin.setEnabled)
        grid.addWidget(box, row, side)
        grid.addWidget(spin, row, side + 1)
        self.boxes[name] = (box, spin)

    @property
    def recipe(self) -> Recipe:
        """What was chosen."""
        held = tuple((name, spin.value()) for name, (box, spin) in self.boxes.items() if box.isChecked())
        return Recipe(self._masks, held, self.network.currentData())

    @Slot()
    def _on_start(self) -> None:
        self.chosen.emit(self.recipe)
        self.accept()
