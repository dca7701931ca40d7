"""A slider with two handles, for the range of a number."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.theme import LIGHT, Theme

RADIUS = 7
STEP, PAGE = 0.01, 0.1
KEYS = {
    Qt.Key.Key_Left: -STEP, Qt.Key.Key_Down: -STEP, Qt.Key.Key_Right: STEP, Qt.Key.Key_Up: STEP,
    Qt.Key.Key_PageDown: -PAGE, Qt.Key.Key_PageUp: PAGE, Qt.Key.Key_Home: -1.0, Qt.Key.Key_End: 1.0,
}  # fmt: skip


class RangeSlider(QWidget):
    """Two handles from 0 to 1; Tab goes from the lower to the upper one, the arrow keys move the one with the focus."""

    moved = Signal(float, float)
    """Places of both handles, moved by hand."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Drag the ends; or Tab to an end, then the arrow keys, Page up and down, Home, End")
        self._places = [0.0, 1.0]
        self._active: Literal[0, 1] = 0
        self._dragging = False
        self._theme = LIGHT

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self._theme = theme
        self.update()

    @property
    def places(self) -> tuple[float, float]:
        """Where the handles stand."""
        return self._places[0], self._places[1]

    def set_places(self, low: float, high: float) -> None:
        """Put the handles somewhere without telling anybody."""
        self._places = [low, max(low, high)]
        self.update()

    def sizeHint(self) -> QSize:
        """Long enough to aim with."""
        return QSize(200, 2 * RADIUS + 6)

    def minimumSizeHint(self) -> QSize:
        """Room for both handles side by side."""
        return QSize(80, 2 * RADIUS + 6)

    def _x(self, place: float) -> float:
        return RADIUS + 1 + place * (self.width() - 2 * RADIUS - 2)

    def _move(self, place: float) -> None:
        """Move the active handle, not beyond the other one."""
        least, most = ((0.0, self._places[1]), (self._places[0], 1.0))[self._active]
        place = min(max(place, least), most)
        if place != self._places[self._active]:
            self._places[self._active] = place
            self.update()
            self.moved.emit(*self._places)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the nearer handle; of two at one place that towards the mouse."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        x = event.position().x()
        low, high = map(self._x, self._places)
        self._active = 1 if abs(x - high) < abs(x - low) or (low == high and (x > high or high <= RADIUS + 1)) else 0
        self._dragging = True
        self.mouseMoveEvent(event)
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the handle that is held."""
        if self._dragging:
            self._move((event.position().x() - RADIUS - 1) / max(1, self.width() - 2 * RADIUS - 2))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._dragging = False

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the handle that has the focus."""
        step = KEYS.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
        else:
            self._move(self._places[self._active] + step)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Begin with the lower handle, backwards with the upper one."""
        if event.reason() == Qt.FocusReason.TabFocusReason:
            self._active = 0
        elif event.reason() == Qt.FocusReason.BacktabFocusReason:
            self._active = 1
        super().focusInEvent(event)

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Go to the other handle before leaving."""
        if forward != bool(self._active):
            self._active = 1 if forward else 0
            self.update()
            return True
        return super().focusNextPrevChild(forward)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the groove, the range, and the handles."""
        theme = self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        middle = self.height() / 2
        low, high = map(self._x, self._places)
        for left, right, colour in ((self._x(0), self._x(1), theme.line), (low, high, theme.accent)):
            painter.setBrush(QColor(colour))
            painter.drawRoundedRect(QRectF(left, middle - 2, right - left, 4), 2, 2)
        painter.setPen(QPen(QColor(theme.accent), 2))
        for n, x in enumerate((low, high)):
            focused = self.hasFocus() and n == self._active
            painter.setBrush(QColor(theme.accent if focused else theme.panel))
            painter.drawEllipse(QPointF(x, middle), RADIUS - 1, RADIUS - 1)
