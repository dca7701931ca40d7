"""The popup of the stars' panel with a slider for the range of each chosen column; it writes into the filter."""

from __future__ import annotations

import math

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui.panels.popup import Popup
from gui.panels.range_slider import RangeSlider
from gui.range_filter import Scale, read_range, write_range
from gui.star_rows import Column, StarRows
from gui.theme import GRID, Theme, ThemeManager

USUAL = ("teff", "logg", "fe_h", "snr_der", "red_chi2")
"""Columns with a slider from the beginning, besides the magnitude."""


class RangeRow:
    """One column's title, slider and numbers."""

    def __init__(self, column: Column, scale: Scale) -> None:
        self.column, self.scale = column, scale
        unit = f" [{column.unit}]" if column.unit else ""
        self.title = QLabel(column.title)
        self.title.setToolTip(f"{column.name}{unit}\n{column.description}".strip())
        self.slider = RangeSlider(f"Range of {column.title}")
        self.numbers = QLabel()
        metrics = self.numbers.fontMetrics()
        widest = max((self._between(v, w) for v, w in ((scale.low, scale.high), (scale.high, scale.high))), key=len)
        self.numbers.setMinimumWidth(metrics.horizontalAdvance(widest) + GRID)

    @property
    def widgets(self) -> tuple[QWidget, ...]:
        """What stands in the row, from left to right."""
        return self.title, self.slider, self.numbers

    def ends(self) -> tuple[str, str]:
        """Return the range as a filter understands it; "" for an end that keeps everything."""
        low, high = self.slider.places
        text, value = self.scale.text, self.scale.value
        return text(value(low)) if low > 0 else "", text(value(high)) if high < 1 else ""

    def show_range(self, low: float, high: float) -> None:
        """Put the slider where a filter says."""
        self.slider.set_places(self.scale.place(low), self.scale.place(high))
        self.write()

    def write(self) -> None:
        """Write the numbers beside the slider."""
        text = self._between(*map(self.scale.value, self.slider.places))
        self.numbers.setText(text)
        self.slider.setAccessibleDescription(text)

    def _between(self, low: float, high: float) -> str:
        text = self.scale.text
        return f"{text(low)} … {text(high)}".replace("-", "−")


class RangePopup(Popup):
    """Sliders that read and write a filter's text."""

    def __init__(self, line: QLineEdit, themes: ThemeManager) -> None:
        super().__init__(line, "Ranges")
        self._line, self._themes = line, themes
        self._table: StarRows | None = None
        self._more: list[str] = []
        self.rows: dict[str, RangeRow] = {}
        self.grid = QGridLayout()
        self.grid.setHorizontalSpacing(2 * GRID)
        self.grid.setVerticalSpacing(GRID)
        self.grid.setColumnStretch(1, 1)
        self.add = QComboBox()
        self.add.setAccessibleName("One more column")
        self.add.setToolTip("A slider for one more column")
        self.add.activated.connect(self._on_add)
        self.clear = QPushButton("Remove all ranges")
        self.clear.clicked.connect(self.remove_all)
        below = QHBoxLayout()
        below.addWidget(self.add)
        below.addStretch(1)
        below.addWidget(self.clear)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(2 * GRID)
        column.addLayout(self.grid)
        column.addLayout(below)
        self.setMinimumWidth(420)
        line.textChanged.connect(self._on_text)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        for row in self.rows.values():
            row.slider.set_theme(theme)

    def set_table(self, table: StarRows | None) -> None:
        """Take other stars; the sliders are made when they are looked at."""
        self._table = table
        if self.isVisible():
            self._fill()

    def open_at(self, control: QWidget) -> None:
        """Show the sliders as the filter is now."""
        self._fill()
        super().open_at(control)
        if self.rows:
            next(iter(self.rows.values())).slider.setFocus(Qt.FocusReason.TabFocusReason)

    def _fill(self) -> None:
        """Make a slider for each usual, added or limited column."""
        while (item := self.grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.rows = {}
        text = self._line.text()
        scales = {
            c.name: (c, s) for c in (self._table.columns if self._table else ()) if (s := Scale.of(c)) is not None
        }
        magnitude = next((c.name for c, _ in scales.values() if c.unit == "mag"), "")
        limited = [name for name, (c, _) in scales.items() if read_range(text, c) != (-math.inf, math.inf)]
        wanted = dict.fromkeys([*USUAL, magnitude, *self._more, *limited])
        for n, name in enumerate(name for name in wanted if name in scales):
            row = self.rows[name] = RangeRow(*scales[name])
            row.slider.set_theme(self._themes.theme)
            row.slider.moved.connect(self._on_moved)
            for place, part in enumerate(row.widgets):
                self.grid.addWidget(part, n, place)
        self.add.clear()
        self.add.addItem("One more column …")
        for name, (column, _) in scales.items():
            if name not in self.rows:
                self.add.addItem(column.title if column.title == name else f"{column.title}   {name}", name)
        self._on_text(text)

    @Slot(int)
    def _on_add(self, index: int) -> None:
        name = self.add.itemData(index)
        if name:
            self._more.append(name)
            self._fill()
            self.adjustSize()
            self.rows[name].slider.setFocus(Qt.FocusReason.TabFocusReason)

    @Slot(str)
    def _on_text(self, text: str) -> None:
        """Follow what is typed."""
        limited = False
        for row in self.rows.values():
            low, high = read_range(text, row.column)
            limited |= (low, high) != (-math.inf, math.inf)
            if (low, high) != tuple(float(e) if e else s * math.inf for e, s in zip(row.ends(), (-1, 1), strict=True)):
                row.show_range(low, high)
            row.write()
        self.clear.setEnabled(limited)

    @Slot(float, float)
    def _on_moved(self, low: float, high: float) -> None:
        """Write the range whose slider was moved into the filter."""
        row = next(row for row in self.rows.values() if row.slider is self.sender())
        row.write()
        self._line.setText(write_range(self._line.text(), row.column, *row.ends()))

    @Slot()
    def remove_all(self) -> None:
        """Keep all stars again that only the ranges left out."""
        text = self._line.text()
        for row in self.rows.values():
            text = write_range(text, row.column, "", "")
        self._line.setText(text)
