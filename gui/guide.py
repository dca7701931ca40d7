"""The user guide in a window of its own: chapters on the left, a box that searches."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtGui import (
    QColor,
    QKeySequence,
    QPalette,
    QShortcut,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextLength,
    QTextTable,
)
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QTextBrowser,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from gui.theme import GRID, Theme, ThemeManager
from processing.paths import resource


class GuideDialog(QDialog):
    """Shows the guide beside the main window, which stays usable."""

    def __init__(self, themes: ThemeManager, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("User guide")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(QSize(900, 640).boundedTo(self.screen().availableSize() * 0.9))
        self.search = QLineEdit(placeholderText="Search the guide")
        self.search.setAccessibleName("Search the guide")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._on_searched)
        self.search.returnPressed.connect(self.find_next)
        self.found = QLabel("")
        self.found.setObjectName("muted")
        self.chapters = QListWidget()
        self.chapters.setAccessibleName("Chapters")
        self.chapters.setFrameShape(QFrame.Shape.NoFrame)
        self.chapters.setFixedWidth(28 * GRID)
        self.chapters.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.chapters.currentRowChanged.connect(self._on_chapter)
        self.browser = QTextBrowser(openExternalLinks=True)
        self.browser.setAccessibleName("User guide")
        self.browser.setFrameShape(QFrame.Shape.NoFrame)
        self.browser.document().setDocumentMargin(2 * GRID)
        self.browser.setMarkdown(resource("guide", "guide.md").read_text(encoding="utf-8"))
        self._places: list[int] = []
        self._read_chapters()
        self._space_tables()
        self._themes = themes
        themes.changed.connect(self._on_theme)
        self._on_theme(themes.theme)
        top = QHBoxLayout()
        top.setSpacing(GRID)
        top.addWidget(self.search, 1)
        top.addWidget(self.found)
        body = QHBoxLayout()
        body.setSpacing(2 * GRID)
        body.addWidget(self.chapters)
        body.addWidget(self.browser, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(2 * GRID)
        column.addLayout(top)
        column.addLayout(body, 1)
        QShortcut(QKeySequence.StandardKey.Find, self, self.search.setFocus)
        self.search.setFocus()

    def _read_chapters(self) -> None:
        """List the headings, and give them the room they need."""
        block = self.browser.document().begin()
        while block.isValid():
            style = block.blockFormat()
            if style.headingLevel() == 2:
                item = QListWidgetItem(block.text(), self.chapters)
                item.setSizeHint(QSize(0, 4 * GRID))
                self._places.append(block.position())
                style.setTopMargin(3 * GRID)
                style.setBottomMargin(GRID)
                QTextCursor(block).setBlockFormat(style)
            block = block.next()

    def _space_tables(self) -> None:
        """Give tables the whole width, and space in place of lines."""
        for frame in self.browser.document().rootFrame().childFrames():
            if isinstance(frame, QTextTable):
                style = frame.format().toTableFormat()
                style.setBorder(0)
                style.setCellPadding(4)
                style.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
                frame.setFormat(style)

    @Slot(object)
    def _on_theme(self, theme: Theme) -> None:
        self._mark = QTextCharFormat()
        self._mark.setBackground(QColor(theme.accent))
        self._mark.setForeground(QColor(theme.on_accent))
        palette = self.browser.palette()
        palette.setColor(QPalette.ColorRole.Base, QColor(theme.panel))
        self.browser.setPalette(palette)
        self._on_searched(self.search.text())

    @Slot(int)
    def _on_chapter(self, row: int) -> None:
        if row >= 0:
            self._go_to(self._places[row])

    def _go_to(self, position: int) -> None:
        """Scroll so that a place stands at the top."""
        cursor = QTextCursor(self.browser.document())
        cursor.setPosition(position)
        bar = self.browser.verticalScrollBar()
        bar.setValue(bar.value() + self.browser.cursorRect(cursor).top() - GRID)

    @Slot(str)
    def _on_searched(self, text: str) -> None:
        """Mark all places that hold the text, and show the first."""
        marks, cursor = [], QTextCursor(self.browser.document())
        while text.strip():
            cursor = self.browser.document().find(text.strip(), cursor, QTextDocument.FindFlag(0))
            if cursor.isNull():
                break
            mark = QTextEdit.ExtraSelection()
            mark.cursor, mark.format = cursor, self._mark  # type: ignore[attr-defined]
            marks.append(mark)
        self.browser.setExtraSelections(marks)
        self.found.setText(f"{len(marks)} found" if text.strip() else "")
        self._next = 0
        self.find_next()

    @Slot()
    def find_next(self) -> None:
        """Show the next place that was found, and after the last one the first."""
        marks = self.browser.extraSelections()
        if marks:
            place = marks[self._next % len(marks)].cursor.selectionStart()  # type: ignore[attr-defined]
            self._next += 1
            self._go_to(place)
