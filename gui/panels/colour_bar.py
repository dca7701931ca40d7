"""The colour bar beside an image, with the histogram of its values; the two limits are dragged with the mouse."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.theme import Theme

BAR = 12
HISTOGRAM = 20
"""Width of the histogram left of the bar."""
BINS = 80
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
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setToolTip("Drag the upper or lower half to change the limits; double-click to reset, right-click to type")
        self.setAccessibleName("Colour bar")
        self._low, self._high = 0.0, 1.0
        self._sample = np.empty(0)
        self._image = QImage()
        self._blank = False
        self._text = self._line = QColor("black")
        self._grip: tuple[float, float, float, bool] | None = None

    def sizeHint(self) -> QSize:
        """Room for the bar and five-digit numbers."""
        return QSize(HISTOGRAM + BAR + 14 + self.fontMetrics().horizontalAdvance("−000"), 100)

    def set_theme(self, theme: Theme) -> None:
        """Take on the theme's text colour."""
        self._text, self._line = QColor(theme.muted), QColor(theme.line)
        self.update()

    def set_colours(self, table: np.ndarray | None) -> None:
        """Show a colour table, shape (n, 3 or 4), uint8; None for an image that has colours of its own."""
        self._blank = table is None
        if table is None:
            self.update()
            return
        column = np.ascontiguousarray(table[::-16, :3]).reshape(-1, 1, 3)
        data = column.tobytes()
        self._image = QImage(data, 1, len(column), 3, QImage.Format.Format_RGB888).copy()
        self.update()

    def set_limits(self, low: float, high: float) -> None:
        """Show the values at the ends."""
        self._low, self._high = low, high
        self.update()

    def set_sample(self, sample: np.ndarray) -> None:
        """Take the image's values, sorted, for the histogram."""
        self._sample = sample
        self.update()

    def _draw_histogram(self, painter: QPainter, bar: QRectF) -> None:
        """Draw how many pixels have each value, on a logarithmic scale, from the bar to the left."""
        edges = np.linspace(self._low, self._high, BINS + 1)
        counts = np.log1p(np.diff(np.searchsorted(self._sample, edges)))
        if not counts.any():
            return
        lengths = HISTOGRAM * counts / counts.max()
        outline = QPolygonF([QPointF(bar.left() - 2, bar.bottom())])
        for n, length in enumerate(lengths.tolist()):
            for edge in (n, n + 1):
                outline.append(QPointF(bar.left() - 2 - length, bar.bottom() - edge / BINS * bar.height()))
        outline.append(QPointF(bar.left() - 2, bar.top()))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._line)
        painter.drawPolygon(outline)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the colours and a few values."""
        if self._blank:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        bar = self._bar()
        painter.drawImage(bar, self._image)
        self._draw_histogram(painter, bar)
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
        return QRectF(HISTOGRAM + 4, MARGIN, BAR, max(1, self.height() - 2 * MARGIN))
