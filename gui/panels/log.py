"""The log: everything the program has said, newest last, with the details of what went wrong."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtGui import QAction, QColor, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QToolButton, QTreeWidget, QTreeWidgetItem, QVBoxLayout

from gui.notifications import Notification, Notifications
from gui.panels.panel import EmptyState, Panel
from gui.theme import GRID, Theme, ThemeManager


class LogPanel(Panel):
    """Shows the notifications as a list that can be copied."""

    name = "log"
    title = "Log"

    def __init__(self, notifications: Notifications, themes: ThemeManager) -> None:
        super().__init__(
            themes, EmptyState("log", "Nothing to report", "What the program does and finds is listed here.")
        )
        self._theme = themes.theme
        self.tree = QTreeWidget()
        self.tree.setAccessibleName("Log")
        self.tree.setColumnCount(2)
        self.tree.setHeaderHidden(True)
        self.tree.setRootIsDecorated(True)
        self.tree.setIndentation(14)
        self.tree.setWordWrap(True)
        self.tree.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        copy = QAction("Copy", self.tree, shortcut=QKeySequence(QKeySequence.StandardKey.Copy))
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(self.copy)
        self.tree.addAction(copy)
        self.tree.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        button = QToolButton()
        button.setText("Copy all")
        button.setToolTip("Copy the whole log with all details")
        button.clicked.connect(self.copy_all)
        self.header.tools.addStretch(1)
        self.header.tools.addWidget(button)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, GRID // 2)
        column.addWidget(self.tree)
        for notification in notifications.history:
            self._on_posted(notification)
        notifications.posted.connect(self._on_posted)
        self.finish()

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self._theme = theme
        for row in range(self.tree.topLevelItemCount()):
            self._colour(self.tree.topLevelItem(row))

    @Slot(object)
    def _on_posted(self, notification: Notification) -> None:
        item = QTreeWidgetItem([notification.time.strftime("%H:%M:%S"), notification.text])
        item.setData(0, Qt.ItemDataRole.UserRole, notification)
        item.setTextAlignment(0, Qt.AlignmentFlag.AlignTop)
        if notification.details:
            child = QTreeWidgetItem(["", notification.details.rstrip()])
            item.addChild(child)
        self._colour(item)
        self.tree.addTopLevelItem(item)
        self.tree.scrollToItem(item)
        self.show_body(True)

    def _colour(self, item: QTreeWidgetItem | None) -> None:
        if item is None:
            return
        level = item.data(0, Qt.ItemDataRole.UserRole).level
        colour = {"warning": self._theme.warn, "error": self._theme.bad}.get(level, self._theme.text)
        item.setForeground(1, QColor(colour))
        item.setForeground(0, QColor(self._theme.muted))

    @Slot()
    def copy(self) -> None:
        """Copy the chosen lines with their details."""
        self._copy(self.tree.selectedItems())

    @Slot()
    def copy_all(self) -> None:
        """Copy the whole log with all details."""
        items = [self.tree.topLevelItem(row) for row in range(self.tree.topLevelItemCount())]
        self._copy([item for item in items if item is not None])

    def _copy(self, items: list[QTreeWidgetItem]) -> None:
        lines = []
        for item in items:
            notification = item.data(0, Qt.ItemDataRole.UserRole)
            if isinstance(notification, Notification):
                lines += [
                    f"{notification.time:%H:%M:%S} {notification.level}: {notification.text}",
                    notification.details,
                ]
        QGuiApplication.clipboard().setText("\n".join(line for line in lines if line))

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(760, 220)
