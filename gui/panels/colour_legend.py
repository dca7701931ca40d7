"""A thin legend: what the colours of a diagram mean."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.panels.colour_bar import short
from gui.theme import Theme

WIDTH = 96


class ColourLegend(QWidget):
    """A strip of colours between two numbers, with the column's name."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._title, self._low, self._high = "", 0.0, 1.0
        self._colours = np.zeros((2, 3), np.uint8)
        self._text = QColor()
        self.hide()

    def set_theme(self, theme: Theme) -> None:
        """Take on the theme's text colour."""
        self._text = QColor(theme.muted)
        self.update()

    def show_scale(self, title: str, low: float, high: float, colours: np.ndarray) -> None:
        """Show a scale; colours have shape (n, 3)."""
        self._title, self._low, self._high, self._colours = title, low, high, colours
        self.setAccessibleName(f"Colour: {title} from {short(low)} to {short(high)}")
        self.show()
        self.update()

    def sizeHint(self) -> QSize:
        """One line of text."""
        return QSize(240, self.fontMetrics().height() + 2)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Write name and limits right and left of the strip, all to the right."""
        painter = QPainter(self)
        painter.setPen(self._text)
        metrics = painter.fontMetrics()
        high = short(self._high)
        right = self.width() - 12.0 - metrics.horizontalAdvance(high)
        strip = QRectF(right - 6 - WIDTH, self.height() / 2 - 4, WIDTH, 8)
        gradient = QLinearGradient(strip.topLeft(), strip.topRight())
        for place, colour in zip(np.linspace(0, 1, len(self._colours)), self._colours.tolist(), strict=True):
            gradient.setColorAt(float(place), QColor(*colour))
        painter.fillRect(strip, gradient)
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(right, 0, 200, self.height()), middle | Qt.AlignmentFlag.AlignLeft, high)
        before = QRectF(0, 0, strip.left() - 6, self.height())
        painter.drawText(before, middle | Qt.AlignmentFlag.AlignRight, f"{self._title}   {short(self._low)}")
