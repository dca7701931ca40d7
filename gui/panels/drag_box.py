"""A view in which a drag with the Shift key chooses something instead of moving the view."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QColor, QPainterPath, QPolygonF
from PySide6.QtWidgets import QGraphicsPathItem


class DragBox(pg.ViewBox):
    """A view box that tells where the mouse went while Shift was held."""

    band_dragged = Signal(float, float)
    """Lowest and highest x, while the mouse moves."""
    band_chosen = Signal(float, float)
    """Lowest and highest x, when the mouse is let go."""
    shift_clicked = Signal(float)
    """x of a click with Shift held."""
    lasso_drawn = Signal(object)
    """The closed `QPolygonF` in the coordinates of the plot, when the mouse is let go."""

    def __init__(self, lasso: bool = False) -> None:
        super().__init__(enableMenu=False)
        self._lasso = lasso
        self._choosing = False
        self._points: list[QPointF] = []
        self._line = QGraphicsPathItem()
        self._line.setZValue(100)
        self.addItem(self._line, ignoreBounds=True)

    def set_colour(self, colour: QColor) -> None:
        """Draw the lasso in a colour."""
        self._line.setPen(pg.mkPen(colour, width=1.5))
        fill = QColor(colour)
        fill.setAlphaF(0.12)
        self._line.setBrush(fill)

    def mouseClickEvent(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        """Tell of clicks with Shift held."""
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self.shift_clicked.emit(float(self.mapSceneToView(event.scenePos()).x()))
        else:
            super().mouseClickEvent(event)

    def mouseDragEvent(self, event: pg.GraphicsScene.mouseEvents.MouseDragEvent, axis: int | None = None) -> None:
        """Choose if Shift was held at the start; else move the view."""
        if event.isStart():
            shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._choosing = shift and event.button() == Qt.MouseButton.LeftButton
        if not self._choosing:
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        start, place = (self.mapSceneToView(where) for where in (event.buttonDownScenePos(), event.scenePos()))
        if not self._lasso:
            low, high = sorted((float(start.x()), float(place.x())))
            self.band_dragged.emit(low, high)
            if event.isFinish():
                self.band_chosen.emit(low, high)
            return
        self._points = [*(self._points or [start]), place]
        path = QPainterPath()
        path.addPolygon(QPolygonF(self._points))
        self._line.setPath(path)
        if event.isFinish():
            polygon = QPolygonF(self._points)
            self._points = []
            self._line.setPath(QPainterPath())
            self.lasso_drawn.emit(polygon)
