"""A table with a row per label, of which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QToolButton

from gui.theme import Theme
from processing.catalogue.terms import QUANTITIES


class LabelList(QTableWidget):
    """Shows numbers of every label; the first column names it."""

    chosen = Signal(str)
    """Machine name of the label that was chosen."""

    def __init__(self, columns: Sequence[tuple[str, str]]) -> None:
        """Take (title, tooltip) of every column."""
        super().__init__(0, len(columns))
        self._names: list[str] = []
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setWordWrap(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        set_columns(self, columns)
        self.itemSelectionChanged.connect(self._on_selected)

    def set_theme(self, theme: Theme) -> None:
        """Take on the rhythm of the theme's typeface."""
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)

    def set_rows(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write the table anew; the current label stays where it is still there."""
        before = self.current
        self.blockSignals(True)
        self._names = list(names)
        self.setRowCount(len(rows))
        for n, row in enumerate(rows):
            for m, text in enumerate(row):
                item = QTableWidgetItem(text)
                item.setTextAlignment(side(m))
                self.setItem(n, m, item)
        self.blockSignals(False)
        self.choose(before if before in self._names else next(iter(self._names), ""))

    @property
    def current(self) -> str:
        """Machine name of the chosen label; "" when there is none."""
        rows = self.selectionModel().selectedRows()
        return self._names[rows[0].row()] if rows and rows[0].row() < len(self._names) else ""

    def choose(self, name: str) -> None:
        """Choose a label without telling anybody."""
        self.blockSignals(True)
        if name in self._names:
            self.selectRow(self._names.index(name))
        self.blockSignals(False)

    @Slot()
    def _on_selected(self) -> None:
        if self.current:
            self.chosen.emit(self.current)


def set_columns(table: QTableWidget, columns: Sequence[tuple[str, str]]) -> None:
    """Give a plain table its columns, (title, tooltip) each; the first one takes the room that is left."""
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    for n, (title, tip) in enumerate(columns):
        item = QTableWidgetItem(title)
        item.setToolTip(tip)
        item.setTextAlignment(side(n))
        table.setHorizontalHeaderItem(n, item)


def side(column: int) -> Qt.AlignmentFlag:
    """Return how a column stands: texts in the first one left, numbers right."""
    at = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
    return at | Qt.AlignmentFlag.AlignVCenter


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """Return a number as it stands in a table: a true minus, none before a zero, a dash where there is none."""
    if value != value:  # NaN
        return "–"
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if sign else ''}.{decimals}f}".replace("-", "−")


def title_of(name: str) -> str:
    """Return a label's symbol with its unit, dex being understood."""
    info = QUANTITIES[name]
    return info.symbol if info.unit in ("", "dex") else f"{info.symbol} ({info.unit.replace(' ', '')})"


def tool_button(text: str, tip: str) -> QToolButton:
    """Return a quiet button for a panel's header."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    return button
