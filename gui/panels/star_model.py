"""The stars as Qt's table model: sorting and filtering are done on whole columns, so thousands of rows stay quick."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor, QIcon

from gui.star_rows import Column, StarRows
from gui.theme import Theme, pixmap

Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole
RANK = {"good": 0, "warn": 1, "bad": 2, "none": 3}


class StarModel(QAbstractTableModel):
    """Rows of `StarRows` in the chosen order; the first column is the quality icon."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: StarRows | None = None
        self._order = np.empty(0, int)
        self._keep = np.empty(0, bool)
        self._sorted_by: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)
        self._icons: dict[str, QIcon] = {}
        self._muted = QColor()

    def set_theme(self, theme: Theme) -> None:
        """Draw the icons in the theme's colours; shape and colour both tell them apart."""
        colours = {"good": theme.good, "warn": theme.warn, "bad": theme.bad, "none": theme.muted}
        self._icons = {name: QIcon(pixmap(name, colour, 16, 2.0)) for name, colour in colours.items()}
        self._muted = QColor(theme.muted)
        if self.rowCount():
            self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, self.columnCount() - 1))

    def set_rows(self, rows: StarRows | None) -> None:
        """Show other stars; the order of sorting stays where the columns stay."""
        self.beginResetModel()
        same = rows is not None and self.rows is not None and len(rows.columns) == len(self.rows.columns)
        if not same:
            self._sorted_by = (-1, Qt.SortOrder.AscendingOrder)
        self.rows = rows
        self._keep = np.ones(len(rows) if rows is not None else 0, bool)
        self._order = self._in_order()
        self.endResetModel()

    def set_filter(self, text: str) -> None:
        """Show only the rows that a filter keeps; see `StarRows.select`."""
        if self.rows is None:
            return
        keep = self.rows.select(text)
        self.beginResetModel()
        self._keep = keep
        self._order = self._in_order()
        self.endResetModel()

    def column_at(self, section: int) -> Column | None:
        """Return a column of the table; None for the icons."""
        return self.rows.columns[section - 1] if self.rows is not None and section > 0 else None

    def star_at(self, row: int) -> str:
        """Return the name of the star in a row."""
        return str(self.rows.star_id[self._order[row]]) if self.rows is not None else ""

    def row_of(self, star_id: str) -> int:
        """Return the row of a star; -1 when it is not shown."""
        if self.rows is None or star_id not in self.rows.index:
            return -1
        found = np.flatnonzero(self._order == self.rows.index[star_id])
        return int(found[0]) if found.size else -1

    # What Qt asks

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 -- Qt's signature
        """Return how many stars are shown."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 -- Qt's signature
        """Return the number of columns, icons included."""
        return 0 if parent.isValid() or self.rows is None else len(self.rows.columns) + 1

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        """Return what a cell shows."""
        if self.rows is None or not index.isValid():
            return None
        row = int(self._order[index.row()])
        column = self.column_at(index.column())
        if column is None:
            return self._icon_data(row, role)
        if role == Role.DisplayRole:
            return column.text(row)
        if role == Role.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.numeric else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Role.ForegroundRole and self.rows.quality[row] == "none" and self.rows.fitted:
            return self._muted
        if role == Role.ToolTipRole:
            return f"{self.rows.star_id[row]}   {self.rows.describe(column.name, row)}"
        return None

    def _icon_data(self, row: int, role: int) -> Any:
        assert self.rows is not None
        if role == Role.DecorationRole:
            return self._icons.get(self.rows.quality[row])
        if role in (Role.ToolTipRole, Role.AccessibleTextRole):
            return self.rows.reason[row]
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Return a column's title, and its meaning as tooltip."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self.column_at(section)
        if column is None:
            return {Role.DisplayRole: "", Role.ToolTipRole: "Quality; the tooltips say why"}.get(Role(role))
        if role == Role.DisplayRole:
            return column.title
        if role == Role.ToolTipRole:
            unit = f" [{column.unit}]" if column.unit else ""
            return f"{column.name}{unit}\n{column.description}".strip()
        if role == Role.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.numeric else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def sort(self, section: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what has no value comes last either way."""
        self.layoutAboutToBeChanged.emit()
        before = self._order
        old = self.persistentIndexList()
        self._sorted_by = (section, order)
        self._order = self._in_order()
        place = {int(row): n for n, row in enumerate(self._order)}
        new = [self.index(place[int(before[index.row()])], index.column()) for index in old]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _in_order(self) -> np.ndarray:
        """Return the kept rows in the chosen order."""
        kept = np.flatnonzero(self._keep)
        section, direction = self._sorted_by
        if self.rows is None or section < 0:
            return kept
        column = self.column_at(section)
        values = np.array([RANK[q] for q in self.rows.quality]) if column is None else column.values
        values = values[kept]
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
        order = np.argsort(values[~missing], kind="stable")
        if direction == Qt.SortOrder.DescendingOrder:
            order = order[::-1]
        return np.concatenate([kept[~missing][order], kept[missing]])
