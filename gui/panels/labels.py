"""The labels of the current star with the evidence for each; a click on one shows which pixels make it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtGui import QColor, QIcon, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout

from gui.document import Document, ShownSpectrum
from gui.panels.panel import Elided, EmptyState, Panel
from gui.selection import Selection
from gui.theme import GRID, Theme, ThemeManager, pixmap
from processing.report.evidence import LabelRow, label_rows
from processing.settings import EvidenceSettings

COLUMNS = (
    ("", "What speaks for the label; the tooltips say why"),
    ("Label", ""),
    ("Value", ""),
    ("±", "Error, rescaled to the scatter that was found and for correlated pixels"),
    ("Formal", "Error from the pipeline's errors alone"),
    ("Lines", "How the network's gradient agrees with the physical one: 1 where the label is read from its own lines"),
)
FORMAL = 4
"""The column that a narrow panel does without."""
ROOMY = 380
WHAT_IT_SAYS = {
    "good": "well founded",
    "warn": "to be used with care",
    "bad": "not founded",
    "none": "not judged",
}


class LabelsPanel(Panel):
    """Shows value, errors and evidence of every label of one star."""

    name = "labels"
    title = "Labels"

    def __init__(self, document: Document, selection: Selection, themes: ThemeManager) -> None:
        super().__init__(
            themes,
            EmptyState("labels", "No labels yet", "After a run, click on a star: all its labels, and their evidence."),
        )
        self._document, self._selection = document, selection
        self._rows: list[LabelRow] = []
        self._evidence: EvidenceSettings | None = None
        self._icons: dict[str, QIcon] = {}
        self._muted = QColor()
        self.subtitle = Elided()
        self.subtitle.setObjectName("muted")
        self.header.tools.addWidget(self.subtitle, 1)
        self.table = table = QTableWidget(0, len(COLUMNS))
        table.setAccessibleName("Labels of the star")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self._build_header()
        table.itemSelectionChanged.connect(self._on_selected)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, GRID // 2)
        column.addWidget(table)
        document.spectrum_ready.connect(self._on_spectrum)
        document.results_changed.connect(self._on_results)
        selection.star_changed.connect(self._on_star)
        selection.label_changed.connect(self._on_label)
        self.finish()

    def _build_header(self) -> None:
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(28)
        for n, (title, tip) in enumerate(COLUMNS):
            item = QTableWidgetItem(title)
            item.setToolTip(tip)
            item.setTextAlignment(_side(n))
            self.table.setHorizontalHeaderItem(n, item)
            contents = QHeaderView.ResizeMode.ResizeToContents
            header.setSectionResizeMode(n, QHeaderView.ResizeMode.Fixed if n == 0 else contents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(0, 34)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        colours = {"good": theme.good, "warn": theme.warn, "bad": theme.bad, "none": theme.muted}
        self._icons = {name: QIcon(pixmap(name, colour, 16, 2.0)) for name, colour in colours.items()}
        self._muted = QColor(theme.muted)
        self.table.verticalHeader().setDefaultSectionSize(self.table.fontMetrics().height() + 8)
        self._fill()

    # What is shown

    @Slot(object)
    def _on_spectrum(self, shown: ShownSpectrum) -> None:
        if shown.preview:
            return
        if shown.fit is None or self._evidence is None:
            self._rows = []
        else:
            self._rows = label_rows(shown.fit, self._evidence)
        self.subtitle.set_text(shown.title if self._rows else "")
        self._fill()

    @Slot()
    def _on_results(self) -> None:
        session = self._document.session
        self._evidence = session.settings.evidence if session is not None else None
        self._rows = []
        self._fill()

    @Slot(str)
    def _on_star(self, star_id: str) -> None:
        if not star_id:
            self._rows = []
            self._fill()

    def _fill(self) -> None:
        """Write the table anew; the current label stays."""
        self.table.blockSignals(True)
        self.table.setRowCount(len(self._rows))
        for n, row in enumerate(self._rows):
            self._write(n, row)
        self.table.blockSignals(False)
        self.show_body(bool(self._rows))
        self._on_label(self._selection.label)

    def _write(self, n: int, row: LabelRow) -> None:
        symbol = f"{row.symbol} ({row.unit})" if row.unit else row.symbol
        for m, text in enumerate(("", symbol, row.value, row.error, row.formal, row.agreement)):
            item = QTableWidgetItem(text)
            item.setTextAlignment(_side(m))
            item.setToolTip(row.reason)
            if m == 0 and row.name:
                item.setIcon(self._icons[row.quality])
                item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{row.symbol}: {WHAT_IT_SAYS[row.quality]}")
            if m > 3 or (m and row.quality == "bad"):
                item.setForeground(self._muted)
            self.table.setItem(n, m, item)

    # The current label

    @Slot()
    def _on_selected(self) -> None:
        chosen = self.table.selectionModel().selectedRows()
        if chosen:
            self._selection.set_label(self._rows[chosen[0].row()].name)

    @Slot(str)
    def _on_label(self, label: str) -> None:
        row = next((n for n, row in enumerate(self._rows) if row.name == label), 0)
        self.table.blockSignals(True)
        if label and row:
            self.table.selectRow(row)
        else:
            self.table.clearSelection()
        self.table.blockSignals(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the formal errors away where there is no room for them."""
        super().resizeEvent(event)
        self.table.setColumnHidden(FORMAL, self.width() < ROOMY)

    def sizeHint(self) -> QSize:
        """Narrow."""
        return QSize(400, 260)


def _side(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column > 1 else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
