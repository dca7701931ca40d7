"""The table of stars: filter, sort, and select everywhere by selecting here."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QItemSelection, QItemSelectionModel, QObject, QPoint, QSize, Qt, Signal, Slot
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QMenu,
    QSizePolicy,
    QTableView,
    QToolButton,
    QVBoxLayout,
)

from gui.document import Document
from gui.panels.panel import Elided, EmptyState, Panel
from gui.panels.range_popup import RangePopup
from gui.panels.star_model import StarModel
from gui.selection import Selection
from gui.theme import GRID, Theme, ThemeManager
from processing.errors import StellacubeError

FILTER_HELP = (
    "Keeps the rows that match all of what stands here:\n"
    "a part of a name or status, or comparisons such as\n"
    "teff < 5000   fe_h >= -1   status = merged"
)


class StarsPanel(Panel):
    """Shows the star list, and after a run the catalogue."""

    name = "stars"
    title = "Stars"
    open_requested = Signal()

    def __init__(self, document: Document, selection: Selection, themes: ThemeManager) -> None:
        super().__init__(
            themes,
            EmptyState(
                "stars",
                "Drop a star list",
                "CSV, ECSV, FITS, VOTable or plain text with positions and magnitudes. "
                "Without one, stars are found on the white-light image.",
            ),
        )
        self._document, self._selection = document, selection
        self.model = StarModel()
        self._natural: dict[int, int] = {}
        self._build()
        document.rows_changed.connect(self._on_rows)
        selection.star_changed.connect(self._on_star)
        selection.chosen_changed.connect(self._on_chosen)
        self.finish()

    def _build(self) -> None:
        self.count = Elided()
        self.count.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.count.setObjectName("muted")
        self.filter = QLineEdit(placeholderText="Filter: name, or teff < 5000", clearButtonEnabled=True)
        self.filter.setToolTip(FILTER_HELP)
        self.filter.setAccessibleName("Filter the stars")
        self.filter.setMinimumWidth(120)
        self.filter.setMaximumWidth(260)
        self.filter.textChanged.connect(self._on_filter)
        self.header.tools.addWidget(self.count)
        self.header.tools.addStretch(1)
        self.header.tools.addWidget(self.filter, 4)
        self.ranges = RangePopup(self.filter, self.themes)
        self.ranges_button = QToolButton()
        self.ranges_button.setText("Ranges …")
        self.ranges_button.setToolTip("Filter by sliders")
        self.ranges_button.clicked.connect(self._on_ranges)
        self.header.tools.addWidget(self.ranges_button)
        self.table = table = QTableView()
        table.setModel(self.model)
        table.setAccessibleName("Stars")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsMovable(True)
        header.setMinimumSectionSize(28)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(self._on_header_menu)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)
        table.setSortingEnabled(True)
        table.selectionModel().selectionChanged.connect(self._on_selected)
        copy = QAction("Copy the rows shown", table, shortcut=QKeySequence(QKeySequence.StandardKey.Copy))
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(self.copy)
        table.addAction(copy)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        table.viewport().installEventFilter(self)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, GRID // 2)
        column.addWidget(table)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self.model.set_theme(theme)
        self.ranges.set_theme(theme)

    @Slot()
    def _on_rows(self) -> None:
        """Show other stars; filter, sorting and hidden columns stay where the columns are the same."""
        rows, before = self._document.rows, self.model.rows
        self.table.selectionModel().blockSignals(True)
        self.model.set_rows(rows)
        self.table.selectionModel().blockSignals(False)
        self.ranges.set_table(rows)
        self.show_body(rows is not None)
        if rows is None:
            self.filter.clear()
        else:
            if before is None or [c.name for c in before.columns] != [c.name for c in rows.columns]:
                for n, column in enumerate(rows.columns, 1):
                    self.table.setColumnHidden(n, not column.shown)
                self.table.setColumnHidden(0, not rows.fitted)
            self._fit_widths()
            self._on_filter(self.filter.text())
            if self._selection.star and self._selection.star not in rows.index:
                self._selection.set_star("")
        self._on_star(self._selection.star)
        self._count()

    def _fit_widths(self) -> None:
        """Find how wide each column must be, and let them fill the table where there is more room."""
        rows = self._document.rows
        if rows is None:
            return
        metrics = self.table.fontMetrics()
        self.table.verticalHeader().setDefaultSectionSize(metrics.height() + 8)
        self._natural = {0: 34}
        for n, column in enumerate(rows.columns, 1):
            texts = {column.text(row) for row in column.telling()}
            widest = max(metrics.horizontalAdvance(text) for text in (*texts, f"{column.title}  ▾"))
            self._natural[n] = min(max(widest + 30, 56), 260)
        self._spread()

    def _spread(self) -> None:
        shown = [n for n in self._natural if not self.table.isColumnHidden(n)]
        spare = self.table.viewport().width() - sum(self._natural[n] for n in shown)
        growing = [n for n in shown if n]
        for n in shown:
            extra = max(0, spare // len(growing)) if n else 0
            self.table.setColumnWidth(n, self._natural[n] + extra)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the columns fill the table when its size changes."""
        if event.type() == QEvent.Type.Resize:
            self._spread()
        return super().eventFilter(watched, event)

    def _count(self) -> None:
        total = len(self._document.rows) if self._document.rows is not None else 0
        shown = self.model.rowCount()
        text = "" if not total else f"{total:n}" if shown == total else f"{shown:n} of {total:n}"
        several = len(self._selection.chosen)
        self.count.set_text(f"{text}, {several:n} chosen" if several else text)

    @Slot(str)
    def _on_filter(self, text: str) -> None:
        """Filter while typing; a filter that cannot be understood yet is marked and changes nothing."""
        wrong = ""
        self.table.selectionModel().blockSignals(True)
        try:
            self.model.set_filter(text)
        except StellacubeError as error:
            wrong = str(error)
        self.table.selectionModel().blockSignals(False)
        self.filter.setProperty("wrong", bool(wrong))
        self.filter.setToolTip(wrong or FILTER_HELP)
        self.filter.style().polish(self.filter)
        self._on_star(self._selection.star)
        self._count()

    @Slot(QItemSelection)
    def _on_selected(self) -> None:
        chosen = self.table.selectionModel().selectedRows()
        rows = [index.row() for index in chosen]
        current = self.table.currentIndex().row()
        if rows:
            first = current if current in rows else rows[0]
            names = [self.model.star_at(row) for row in (first, *(row for row in rows if row != first))]
            if len(names) > 1:
                self._selection.set_chosen(tuple(names))
            self._selection.set_star(names[0])
            if len(names) == 1:
                self._selection.set_chosen(())
        self._count()

    @Slot(object)
    def _on_chosen(self, star_ids: tuple[str, ...]) -> None:
        """Select the rows of several stars that were chosen elsewhere; of none, the current star's alone."""
        model = self.table.selectionModel()
        names = star_ids or (self._selection.star,)
        rows = {row for row in map(self.model.row_of, names) if row >= 0}
        if not rows or rows == {index.row() for index in model.selectedRows()}:
            return
        last = self.model.columnCount() - 1
        wanted = QItemSelection()
        for row in rows:
            wanted.select(self.model.index(row, 0), self.model.index(row, last))
        model.blockSignals(True)
        model.select(wanted, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        model.blockSignals(False)
        self.table.viewport().update()
        self.table.scrollTo(self.model.index(min(rows), 0))
        self._count()

    @Slot(str)
    def _on_star(self, star_id: str) -> None:
        row = self.model.row_of(star_id)
        chosen = self.table.selectionModel()
        if self._selection.chosen and star_id in self._selection.chosen:
            self._on_chosen(self._selection.chosen)
        elif row < 0:
            chosen.blockSignals(True)
            self.table.clearSelection()
            chosen.blockSignals(False)
            self.table.viewport().update()
        elif not chosen.isRowSelected(row):
            self.table.selectRow(row)
            self.table.scrollTo(self.model.index(row, 0))

    @Slot()
    def _on_ranges(self) -> None:
        self.ranges.open_at(self.ranges_button)

    @Slot()
    def copy(self) -> None:
        """Copy the rows and columns that are shown, tab-separated, for a spreadsheet."""
        rows = self._document.rows
        if rows is None:
            return
        shown = [n for n in range(1, self.model.columnCount()) if not self.table.isColumnHidden(n)]
        lines = ["\t".join(rows.columns[n - 1].name for n in shown)]
        for row in range(self.model.rowCount()):
            cells = (str(self.model.index(row, n).data()) for n in shown)
            lines.append("\t".join(cells).replace("−", "-").replace("–", ""))
        QGuiApplication.clipboard().setText("\n".join(lines))

    @Slot(QPoint)
    def _on_header_menu(self, place: QPoint) -> None:
        self.column_menu().exec(self.table.horizontalHeader().mapToGlobal(place))

    @property
    def shown_columns(self) -> list[str]:
        """Names of the columns that are not hidden."""
        rows = self._document.rows
        columns = rows.columns if rows is not None else ()
        return [column.name for n, column in enumerate(columns, 1) if not self.table.isColumnHidden(n)]

    def show_columns(self, names: list[str]) -> None:
        """Show these columns and hide the others."""
        rows = self._document.rows
        if rows is not None and any(column.name in names for column in rows.columns):
            for n, column in enumerate(rows.columns, 1):
                self.table.setColumnHidden(n, column.name not in names)
            self._fit_widths()

    @property
    def sorted_by(self) -> tuple[int, bool]:
        """Number of the column that the rows are sorted by, -1 for the order of the list; True when descending."""
        header = self.table.horizontalHeader()
        return header.sortIndicatorSection(), header.sortIndicatorOrder() == Qt.SortOrder.DescendingOrder

    def sort_by(self, section: int, descending: bool) -> None:
        """Sort the rows by a column."""
        order = Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder
        self.table.sortByColumn(section, order)

    def column_menu(self) -> QMenu:
        """Return a menu that shows and hides columns."""
        menu = QMenu(self)
        rows = self._document.rows
        for n, column in enumerate(rows.columns if rows is not None else (), 1):
            action = menu.addAction(column.title if column.title == column.name else f"{column.title}   {column.name}")
            action.setCheckable(True)
            action.setChecked(not self.table.isColumnHidden(n))
            action.setData(n)
            action.toggled.connect(self._on_column_toggled)
        return menu

    @Slot(bool)
    def _on_column_toggled(self, shown: bool) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            self.table.setColumnHidden(int(action.data()), not shown)
            self._spread()

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(760, 220)

    def step(self, rows: int) -> None:
        """Go some rows down or up."""
        if self.model.rowCount():
            row = self.model.row_of(self._selection.star)
            row = 0 if row < 0 else min(max(row + rows, 0), self.model.rowCount() - 1)
            self._selection.set_star(self.model.star_at(row))

    @Slot()
    def go_to_filter(self) -> None:
        """Put the cursor into the filter box."""
        self.filter.setFocus()
        self.filter.selectAll()
