"""The colour bar beside an image: its two limits are dragged with the mouse or typed."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.theme import Theme

BAR = 12
MARGIN = 10


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round values between two limits, about `count` of them."""
    raw = (high - low) / count
    if not (math.isfinite(raw) and raw > 0):
        return []
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step) + 1)]


def short(value: float) -> str:
    """Return a number in a few characters."""
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e−").replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


class ColourBar(QWidget):
    """A vertical bar of the image's colours, bright on top.

    Dragging its upper part moves the bright limit, its lower part the dark one; a double-click goes back to the rule.
    """

    limits_dragged = Signal(float, float)
    reset = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.SizeVerCursor)
        self.setToolTip("Drag the upper or lower half to change the limits; double-click to reset them")
        self.setAccessibleName("Colour bar")
        self._low, self._high = 0.0, 1.0
        self._image = QImage()
        self._text = self._line = QColor("black")
        self._grip: tuple[float, float, float, bool] | None = None

    def sizeHint(self) -> QSize:
        """Room for the bar and five-digit numbers."""
        return QSize(BAR + 14 + self.fontMetrics().horizontalAdvance("−000"), 100)

    def set_theme(self, theme: Theme) -> None:
        """Take on the theme's text colour."""
        self._text, self._line = QColor(theme.muted), QColor(theme.line)
        self.update()

    def set_colours(self, table: np.ndarray) -> None:
        """Show a colour table, shape (n, 3 or 4), uint8."""
        column = np.ascontiguousarray(table[::-16, :3]).reshape(-1, 1, 3)
        data = column.tobytes()
        self._image = QImage(data, 1, len(column), 3, QImage.Format.Format_RGB888).copy()
        self.update()

    def set_limits(self, low: float, high: float) -> None:
        """Show the values at the ends."""
        self._low, self._high = low, high
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the colours and a few values."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        bar = self._bar()
        painter.drawImage(bar, self._image)
        painter.setPen(QPen(self._line, 1))
        painter.drawRect(bar)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.86)
        painter.setFont(font)
        painter.setPen(self._text)
        half = painter.fontMetrics().height() / 2
        for value in ticks(self._low, self._high):
            y = bar.bottom() - (value - self._low) / (self._high - self._low) * bar.height()
            painter.drawLine(QPointF(bar.right(), y), QPointF(bar.right() + 3, y))
            box = QRectF(bar.right() + 6, y - half, self.width() - bar.right() - 6, 2 * half)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, short(value))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the nearer limit."""
        if event.button() == Qt.MouseButton.LeftButton:
            upper = event.position().y() < self._bar().center().y()
            self._grip = (event.position().y(), self._low, self._high, upper)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the limit that is held: the bar's height is the present range."""
        if self._grip is None:
            return
        start, low, high, upper = self._grip
        shift = (event.position().y() - start) / self._bar().height()
        factor = math.exp(2.0 * shift)
        if upper:
            high = low + (high - low) * factor
        else:
            low = high - (high - low) / factor
        self.limits_dragged.emit(low, high)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._grip = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Go back to the limits of the rule."""
        self.reset.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Change the bright limit by the wheel."""
        factor = math.exp(-event.angleDelta().y() / 1200)
        self.limits_dragged.emit(self._low, self._low + (self._high - self._low) * factor)

    def _bar(self) -> QRectF:
        return QRectF(4, MARGIN, BAR, max(1, self.height() - 2 * MARGIN))
