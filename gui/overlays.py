"""What floats over the window: the quiet bar that says what went wrong, and the sign to drop files."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QRectF, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from gui.notifications import Notification
from gui.theme import GRID, Theme, ThemeManager, icon, pixmap

WARNING_SECONDS = 12


class NoticeBar(QFrame):
    """Says a warning or an error at the lower edge of the window, over the panels, so that nothing moves."""

    details_requested = Signal(object)
    """The `Notification` whose details are wanted."""

    def __init__(self, parent: QWidget, themes: ThemeManager) -> None:
        super().__init__(parent)
        self.setObjectName("notice")
        self._notification: Notification | None = None
        self._theme = themes.theme
        self._icon = QLabel()
        self.sentence = QLabel(wordWrap=True)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.hint = QLabel(wordWrap=True)
        self.hint.setObjectName("muted")
        self.details = QToolButton()
        self.details.setText("Details")
        self.details.setToolTip("What exactly happened, to copy")
        self.details.clicked.connect(self._on_details)
        self.closer = QToolButton()
        self.closer.setToolTip("Close this message")
        self.closer.setAccessibleName("Close this message")
        self.closer.clicked.connect(self.hide)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addWidget(self.sentence)
        texts.addWidget(self.hint)
        row = QHBoxLayout(self)
        row.setContentsMargins(2 * GRID, GRID + 2, GRID, GRID + 2)
        row.setSpacing(GRID)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(texts, 1)
        row.addWidget(self.details, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.closer, 0, Qt.AlignmentFlag.AlignTop)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self.hide)
        parent.installEventFilter(self)
        themes.changed.connect(self._on_theme)
        self._on_theme(themes.theme)
        self.hide()

    @Slot(object)
    def show_notification(self, notification: Notification) -> None:
        """Show a warning or an error; an error stays until it is closed."""
        if notification.level == "info":
            return
        self._notification = notification
        self.sentence.setText(notification.sentence)
        self.hint.setText(notification.hint)
        self.hint.setVisible(bool(notification.hint))
        self.details.setVisible(bool(notification.details))
        self._draw_icon()
        self._place()
        self.show()
        self.raise_()
        self._timer.stop()
        if notification.level == "warning":
            self._timer.start(WARNING_SECONDS * 1000)

    @Slot()
    def _on_details(self) -> None:
        self.details_requested.emit(self._notification)

    @Slot(object)
    def _on_theme(self, theme: Theme) -> None:
        self._theme = theme
        self.closer.setIcon(icon("close", theme))
        self._draw_icon()

    def _draw_icon(self) -> None:
        bad = self._notification is not None and self._notification.level == "error"
        colour = self._theme.bad if bad else self._theme.warn
        self._icon.setPixmap(pixmap("bad" if bad else "warn", colour, 18, self.devicePixelRatioF()))

    def _place(self) -> None:
        parent = self.parentWidget()
        assert parent is not None
        width = min(640, parent.width() - 6 * GRID)
        self.setFixedWidth(width)
        height = self.heightForWidth(width) if self.hasHeightForWidth() else self.sizeHint().height()
        self.setFixedHeight(max(height, self.minimumSizeHint().height()))
        self.move((parent.width() - width) // 2, parent.height() - self.height() - 5 * GRID)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in place when the window changes its size."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)


class DropSign(QWidget):
    """Covers the window while files are dragged over it."""

    def __init__(self, parent: QWidget, themes: ThemeManager) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._theme = themes.theme
        themes.changed.connect(self._on_theme)
        self.hide()

    def appear(self) -> None:
        """Cover the window."""
        parent = self.parentWidget()
        assert parent is not None
        self.setGeometry(parent.rect())
        self.show()
        self.raise_()

    @Slot(object)
    def _on_theme(self, theme: Theme) -> None:
        self._theme = theme

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a frame and the words."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        veil = QColor(self._theme.window)
        veil.setAlphaF(0.86)
        painter.fillRect(self.rect(), veil)
        pen = QPen(QColor(self._theme.accent), 2, Qt.PenStyle.DashLine)
        painter.setPen(pen)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(16, 16, -16, -16), 12, 12)
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 1.5)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(QColor(self._theme.text))
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Drop to open")
