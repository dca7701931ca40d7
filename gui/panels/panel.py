"""What all panels share: a header with the title and the panel's own controls, and what to say while it is empty."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.theme import GRID, Theme, ThemeManager, icon, pixmap


class Header(QFrame):
    """The line above a panel: title left, controls right. It is the handle by which the panel is moved."""

    maximise = Signal()

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setObjectName("header")
        self._row = row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 6, 0)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        row.setSpacing(GRID)
        self.title = QLabel(title)
        self.title.setObjectName("title")
        row.addWidget(self.title)
        self.toolbox = QWidget()
        self.tools = QHBoxLayout(self.toolbox)
        self.tools.setContentsMargins(0, 0, 0, 0)
        self.tools.setSpacing(GRID)
        self.toolbox.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.optional: list[QWidget] = []
        """Controls that give way where room is scarce, the first one first; the menus have them too."""
        row.addWidget(self.toolbox, 1)
        self.button = QToolButton()
        self.button.setAccessibleName(f"Show {title} alone")
        self.button.setToolTip("Show this panel alone, and back (double-click on the title)")
        self.button.clicked.connect(self.maximise)

    def sizeHint(self) -> QSize:
        """All headers are equally high."""
        return QSize(super().sizeHint().width(), 5 * GRID)

    def minimumSizeHint(self) -> QSize:
        """All headers are equally high, and as wide as what never gives way."""
        tools = self._needed() if not self.toolbox.isHidden() else 0
        return QSize(super().minimumSizeHint().width() + tools, 5 * GRID)

    def _needed(self) -> int:
        """Return the width of the controls that never give way."""
        widgets = [item.widget() for n in range(self.tools.count()) if (item := self.tools.itemAt(n)) is not None]
        fixed = [w for w in widgets if w is not None and w not in self.optional and not w.isHidden()]
        return sum(_narrowest(widget) + GRID for widget in fixed)

    def event(self, event: QEvent) -> bool:
        """Let controls give way when the room or what needs it has changed."""
        if event.type() in (QEvent.Type.Resize, QEvent.Type.LayoutRequest):
            self._fit()
        return super().event(event)

    def finish(self) -> None:
        """Put in the button at the right end, once all else is there: Tab reaches widgets in the order they came in."""
        self._row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignRight)

    def _fit(self) -> None:
        room = self.width() - super().minimumSizeHint().width() - self._needed()
        for widget in reversed(self.optional):
            room -= _narrowest(widget) + GRID
            if widget.isHidden() != (room < 0):
                widget.setHidden(room < 0)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show the panel alone, or all of them again."""
        self.maximise.emit()


def _narrowest(widget: QWidget) -> int:
    return widget.minimumWidth() or widget.minimumSizeHint().width()


class EmptyState(QWidget):
    """Says in the middle of an empty panel what belongs there and how it gets there."""

    def __init__(self, picture: str, headline: str, text: str) -> None:
        super().__init__()
        self._picture = picture
        self._image = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self.headline = QLabel(headline, alignment=Qt.AlignmentFlag.AlignCenter)
        self.headline.setObjectName("headline")
        self.text = QLabel(text, alignment=Qt.AlignmentFlag.AlignCenter)
        self.text.setObjectName("muted")
        for label in (self.headline, self.text):
            label.setWordWrap(True)
        self.buttons = QHBoxLayout()
        self.buttons.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(3 * GRID, 2 * GRID, 3 * GRID, 3 * GRID)
        column.setSpacing(GRID)
        column.addStretch(1)
        column.addWidget(self._image)
        column.addWidget(self.headline)
        column.addWidget(self.text)
        column.addLayout(self.buttons)
        column.addStretch(1)

    def set_theme(self, theme: Theme) -> None:
        """Draw the picture in the theme's quiet colour."""
        self._image.setPixmap(pixmap(self._picture, theme.muted, 36, self.devicePixelRatioF()))


class Elided(QLabel):
    """A label that shortens its text where room is scarce."""

    clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._full = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(20)

    def set_text(self, text: str) -> None:
        """Show a text, whole in the tooltip."""
        self._full = text
        self.setToolTip(text)
        self._shorten()

    def sizeHint(self) -> QSize:
        """As wide as the whole text."""
        return QSize(self.fontMetrics().horizontalAdvance(self._full) + 4, super().sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten anew."""
        self._shorten()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Tell that it was clicked."""
        self.clicked.emit()

    def _shorten(self) -> None:
        metrics = QFontMetrics(self.font())
        self.setText(metrics.elidedText(self._full, Qt.TextElideMode.ElideRight, self.width()))


class Segments(QFrame):
    """A few exclusive choices side by side."""

    chosen = Signal(str)

    def __init__(self, choices: Sequence[tuple[str, str, str]]) -> None:
        """Take (name, text, tooltip) of every choice."""
        super().__init__()
        self.setObjectName("segments")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self._group = QButtonGroup(self)
        self._buttons: dict[str, QToolButton] = {}
        for name, text, tip in choices:
            button = QToolButton()
            button.setText(text)
            button.setToolTip(tip)
            button.setCheckable(True)
            button.setAccessibleName(text)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(text) + 30)
            self._group.addButton(button)
            self._buttons[name] = button
            row.addWidget(button)
        self._group.buttonClicked.connect(self._on_clicked)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    @property
    def current(self) -> str:
        """Name of the choice that is on; "" when none is."""
        return next((name for name, button in self._buttons.items() if button.isChecked()), "")

    def choose(self, name: str) -> None:
        """Switch a choice on without telling anybody; "" switches all off."""
        self._group.setExclusive(bool(name))
        for other, button in self._buttons.items():
            button.setChecked(other == name)
        self._group.setExclusive(True)

    def button(self, name: str) -> QToolButton:
        """Return one of the buttons."""
        return self._buttons[name]

    def _on_clicked(self) -> None:
        self.chosen.emit(self.current)


class Panel(QFrame):
    """A part of the window that is useful alone; the window puts it into a dock."""

    name = ""
    title = ""
    maximise = Signal()

    def __init__(self, themes: ThemeManager, empty: EmptyState) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.themes = themes
        self.header = Header(self.title)
        self.header.maximise.connect(self.maximise)
        self.empty = empty
        self.body = QWidget()
        self._pages = QStackedWidget()
        self._pages.addWidget(empty)
        self._pages.addWidget(self.body)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._pages)

    def finish(self) -> None:
        """Take on the theme, once everything is built."""
        self.header.finish()
        self.show_body(False)
        self.themes.changed.connect(self._on_theme)
        self._on_theme(self.themes.theme)

    def show_body(self, shown: bool) -> None:
        """Show the panel's content, or what to say while it is empty."""
        self._pages.setCurrentWidget(self.body if shown else self.empty)
        self.header.toolbox.setVisible(shown)

    @property
    def is_empty(self) -> bool:
        """True while the panel only says what belongs there."""
        return self._pages.currentWidget() is self.empty

    def _on_theme(self, theme: Theme) -> None:
        self.empty.set_theme(theme)
        self.header.button.setIcon(icon("maximise", theme))
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
