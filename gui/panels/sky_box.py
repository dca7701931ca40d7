"""The view box of the image: a drag moves the view, or the star under the mouse while stars are edited."""

from __future__ import annotations

from collections.abc import Callable

import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal


class SkyBox(pg.ViewBox):
    """A view box in which stars can be taken hold of."""

    star_dragged = Signal(str, float, float)
    """A star and where it is held now."""
    star_dropped = Signal(str, float, float)
    """A star and where it was let go."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.star_under: Callable[[float, float], str] | None = None
        """What star may be taken hold of at a place; None while stars are not edited."""
        self._held = ""

    def mouseDragEvent(self, event: pg.GraphicsScene.mouseEvents.MouseDragEvent, axis: int | None = None) -> None:
        """Move a star that was under the mouse at the start, else the view."""
        if event.isStart():
            start = self.mapSceneToView(event.buttonDownScenePos())
            left = event.button() == Qt.MouseButton.LeftButton
            self._held = self.star_under(start.x(), start.y()) if self.star_under is not None and left else ""
        if not self._held:
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        place = self.mapSceneToView(event.scenePos())
        (self.star_dropped if event.isFinish() else self.star_dragged).emit(self._held, place.x(), place.y())
