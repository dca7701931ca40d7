"""Cuts on the catalogue: presets, conditions to edit, and how many stars each of them removes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from gui.document import Document
from gui.notifications import Notifications
from gui.panels.label_list import set_columns, side, tool_button
from gui.panels.panel import EmptyState, Panel
from gui.selection import Selection
from gui.theme import GRID, Theme, ThemeManager
from processing.catalogue.cuts import CutList, apply_cuts, find_cuts, list_cuts, read_cuts, with_cuts, write_cuts
from processing.catalogue.cuts import Selection as Kept
from processing.catalogue.export import format_of, write_catalogue
from processing.errors import StellacubeError

COLUMNS = (
    ("Cut", "A condition on columns: snr_muse > 80, quality in (\"good\", \"check\"), abs(rv - median(rv)) < 20;\n"
            "double-click to change it, empty it to take it away"),
    ("Removed", "Stars that it takes from those the cuts above have left"),
    ("Left", "Stars that are left then"),
    ("Fail it", "Stars of the whole catalogue that fail it"),
    ("No value", "Those of them without a number that it needs"),
)  # fmt: skip
ADD = "Add a cut …"
HINT = "Double-click on the last row to add a cut"
OWN = "Own cuts"
SUFFIXES = "Cut list (*.toml);;FITS (*.fits);;ECSV (*.ecsv);;CSV (*.csv);;VOTable (*.vot)"


class CutsPanel(Panel):
    """Shows a list of cuts with its counts, and marks the stars that pass."""

    name = "cuts"
    title = "Cuts"
    changed = Signal()
    """The cuts were counted anew."""

    def __init__(
        self, document: Document, selection: Selection, themes: ThemeManager, notifications: Notifications
    ) -> None:
        super().__init__(
            themes, EmptyState("stars", "No catalogue yet", "After a run, cuts choose the stars that can be trusted.")
        )
        self._document, self._selection, self._notifications = document, selection, notifications
        self.cuts: tuple[str, ...] = ()
        self._muted = QColor()
        self.kept: Kept | None = None
        self._build()
        document.results_changed.connect(self._on_results)
        self.finish()
        self._on_results()

    def _build(self) -> None:
        self.presets = QComboBox()
        self.presets.setAccessibleName("Cut list")
        self.presets.addItems([OWN, *list_cuts()])
        for n, name in enumerate(list_cuts(), 1):
            self.presets.setItemData(n, find_cuts(name).description, Qt.ItemDataRole.ToolTipRole)
        self.presets.textActivated.connect(self.take)
        self.header.tools.addWidget(self.presets)
        self.header.tools.addStretch(1)
        self.mark = tool_button("Mark", "Mark the stars that pass, in all panels")
        self.load = tool_button("Open …", "Open a cut list")
        self.save = tool_button("Save …", "Save the cuts as a list, or the catalogue with a column `selected`")
        for button, slot in ((self.mark, self.mark_stars), (self.load, self._on_load), (self.save, self._on_save)):
            button.clicked.connect(slot)
            self.header.tools.addWidget(button)
        self.header.optional = [self.load, self.save]
        self.table = table = QTableWidget(0, len(COLUMNS))
        table.setAccessibleName("Cuts and how many stars they remove")
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        set_columns(table, COLUMNS)
        table.itemChanged.connect(self._on_edited)
        self.said = QLabel()
        self.said.setObjectName("muted")
        self.said.setWordWrap(True)
        self.said.setContentsMargins(GRID, 0, GRID, GRID // 2)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, GRID // 2)
        column.addWidget(table)
        column.addWidget(self.said)

    def set_theme(self, theme: Theme) -> None:
        """Take on the rhythm of the theme's typeface, and its colour for what is not there yet."""
        self._muted = QColor(theme.muted)
        self._write()
        self.table.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)

    @Slot()
    def _on_results(self) -> None:
        catalogue = self._document.catalogue
        self.show_body(catalogue is not None)
        if catalogue is not None:
            self.set_cuts(self.cuts or catalogue.provenance.settings.catalogue.cuts)

    @Slot(str)
    def take(self, name: str) -> None:
        """Take over the cuts of a list that ships."""
        self.presets.setCurrentText(name)
        if name != OWN:
            self.set_cuts(find_cuts(name).cuts)

    def set_cuts(self, cuts: tuple[str, ...]) -> None:
        """Replace the cuts, and count; where one cannot be used, say why and keep it for mending."""
        self.cuts, self.kept = tuple(cuts), None
        catalogue = self._document.catalogue
        said = HINT
        if catalogue is not None:
            try:
                self.kept = apply_cuts(catalogue.table, self.cuts)
                total = len(self.kept.kept)
                said = f"{int(self.kept.kept.sum())} of {total} stars pass. {HINT}." if self.cuts else f"{HINT}."
            except StellacubeError as error:
                said = str(error)
        self.said.setText(said)
        self.mark.setEnabled(self.kept is not None and bool(self.cuts))
        self._write()
        self.changed.emit()

    def _write(self) -> None:
        self.table.blockSignals(True)
        self.table.setRowCount(len(self.cuts) + 1)
        for row, text in enumerate((*self.cuts, ADD)):
            cells = [text, "", "", "", ""]
            if self.kept is not None and row < len(self.kept.steps):
                step = self.kept.steps[row]
                cells[1:] = map(str, (step.removed, step.left, step.alone, step.missing))
            for column, cell in enumerate(cells):
                item = QTableWidgetItem(cell)
                item.setTextAlignment(side(column))
                if column:
                    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
                else:
                    item.setToolTip(cell if row < len(self.cuts) else COLUMNS[0][1])
                if row == len(self.cuts):
                    item.setForeground(self._muted)
                self.table.setItem(row, column, item)
        self.table.blockSignals(False)

    @Slot(QTableWidgetItem)
    def _on_edited(self, item: QTableWidgetItem) -> None:
        cuts = [*self.cuts, ""]
        if item.text() == ADD:  # looked at, and left
            return
        cuts[item.row()] = item.text().strip()
        self.presets.setCurrentText(OWN)
        self.set_cuts(tuple(text for text in cuts if text))

    @Slot()
    def mark_stars(self) -> None:
        """Choose the stars that pass, everywhere."""
        catalogue = self._document.catalogue
        if catalogue is not None and self.kept is not None:
            names = np.asarray(catalogue.table["stellar_id"])[self.kept.kept]
            self._selection.set_chosen(tuple(map(str, names)))

    @Slot()
    def _on_load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a cut list", "", "Cut list (*.toml)")
        if name:
            self._carefully(lambda: self.set_cuts(read_cuts(name).cuts))
            self.presets.setCurrentText(OWN)

    @Slot()
    def _on_save(self) -> None:
        name, chosen = QFileDialog.getSaveFileName(self, "Save the cuts, or the catalogue with them", "", SUFFIXES)
        if name:
            path = Path(name)
            ending = chosen.partition("(*")[2].rstrip(")")
            self._carefully(lambda: self.save_as(path if path.suffix else path.with_suffix(ending)))

    def save_as(self, path: Path) -> None:
        """Write the cuts as a list (.toml), or the catalogue with the column `selected`, as the file's ending says."""
        listed = CutList(self.presets.currentText() if self.presets.currentText() != OWN else path.stem, "", self.cuts)
        catalogue = self._document.catalogue
        if path.suffix == ".toml" or catalogue is None:
            write_cuts(listed, path)
        else:
            write_catalogue(with_cuts(catalogue, listed), path, format_of(path))
        self._notifications.info(f"Saved {path.name}.")

    def _carefully(self, what: Callable[[], None]) -> None:
        try:
            what()
        except StellacubeError as error:
            self._notifications.warning(str(error))

    def sizeHint(self) -> QSize:
        """Room for some cuts and their counts."""
        return QSize(420, 260)
