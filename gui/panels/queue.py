"""The queue: several cubes run one after another, each with its state."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QIcon
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QPushButton, QTableView, QVBoxLayout

from gui.panels.panel import EmptyState, Panel
from gui.runs import Runs, Task
from gui.theme import GRID, Theme, ThemeManager, pixmap

Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole
COLUMNS = ("Cube", "Star list", "State")
WORDS = {"waiting": "Waiting", "running": "Running", "done": "Done", "failed": "Failed", "cancelled": "Cancelled"}
ICONS = {"waiting": "none", "running": "run", "done": "good", "failed": "bad", "cancelled": "warn"}


class QueueModel(QAbstractTableModel):
    """One row per task."""

    def __init__(self, runs: Runs) -> None:
        super().__init__()
        self._runs = runs
        self._icons: dict[str, QIcon] = {}
        runs.changed.connect(self._on_changed)
        runs.progressed.connect(self._on_progressed)

    def set_theme(self, theme: Theme) -> None:
        """Draw the icons in the theme's colours."""
        colours = {"waiting": theme.muted, "running": theme.accent, "done": theme.good, "failed": theme.bad,
                   "cancelled": theme.warn}  # fmt: skip
        self._icons = {
            state: QIcon(pixmap(name, QColor(colours[state]).name(), 16, 2.0)) for state, name in ICONS.items()
        }

    @Slot()
    def _on_changed(self) -> None:
        self.beginResetModel()
        self.endResetModel()

    @Slot(object)
    def _on_progressed(self, task: Task) -> None:
        row = self._runs.tasks.index(task)
        self.dataChanged.emit(self.index(row, 2), self.index(row, 2))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 -- Qt's signature
        """Return the number of tasks."""
        return 0 if parent.isValid() else len(self._runs.tasks)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 -- Qt's signature
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Return a column's title."""
        if orientation == Qt.Orientation.Horizontal and role == Role.DisplayRole:
            return COLUMNS[section]
        if role == Role.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        """Return what a cell shows."""
        task = self._runs.tasks[index.row()]
        if role == Role.DecorationRole and index.column() == 2:
            return self._icons.get(task.state)
        if role == Role.DisplayRole:
            return (task.name, _stars(task), _state(task))[index.column()]
        if role == Role.ToolTipRole:
            return (str(task.cube or task.name), _stars(task), task.text or f"Results go to {task.out}")[index.column()]
        return None


def _stars(task: Task) -> str:
    if task.stars is None:
        return "found on the image"
    return getattr(task.stars, "name", "changed by hand")


def _state(task: Task) -> str:
    if task.state == "running":
        return f"{100 * task.fraction:.0f} %   {task.text}"
    return f"{WORDS[task.state]}   {task.text}".rstrip()


class QueuePanel(Panel):
    """Shows the queue and starts it."""

    name = "queue"
    title = "Queue"
    wanted = Signal(object)
    """A `Task` whose cube or results are to be shown."""

    def __init__(self, runs: Runs, themes: ThemeManager) -> None:
        super().__init__(
            themes,
            EmptyState(
                "cube", "No cubes wait", "Drop several cubes with their star lists: they run one after another."
            ),
        )
        self._runs = runs
        self.run_all = QPushButton("Run all")
        self.run_all.setToolTip("Run what waits, one cube after another, each into a folder beside it")
        self.run_all.clicked.connect(runs.start_all)
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Take the chosen cubes off the list")
        self.remove.clicked.connect(self._on_remove)
        self.clear = QPushButton("Clear finished")
        self.clear.clicked.connect(runs.clear_finished)
        self.header.tools.addStretch(1)
        for button in (self.run_all, self.remove, self.clear):
            self.header.tools.addWidget(button)
        self.model = QueueModel(runs)
        self.table = table = QTableView()
        table.setModel(self.model)
        table.setAccessibleName("Queue")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + GRID)
        table.horizontalHeader().setHighlightSections(False)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        table.horizontalHeader().setStretchLastSection(True)
        table.doubleClicked.connect(self._on_double_clicked)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, GRID // 2)
        column.addWidget(table)
        runs.changed.connect(self._on_changed)
        self.finish()

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self.model.set_theme(theme)

    @Slot()
    def _on_changed(self) -> None:
        self.show_body(bool(self._runs.tasks))
        self.run_all.setEnabled(bool(self._runs.waiting))

    @Slot()
    def _on_remove(self) -> None:
        for task in [self._runs.tasks[index.row()] for index in self.table.selectionModel().selectedRows()]:
            self._runs.remove(task)

    @Slot(QModelIndex)
    def _on_double_clicked(self, index: QModelIndex) -> None:
        self.wanted.emit(self._runs.tasks[index.row()])

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(760, 180)
