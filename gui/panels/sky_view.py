"""The image itself: pixels, stars on it, compass and scale bar; zoomed and moved with the mouse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QKeyEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QGraphicsPathItem, QWidget

from gui.display import scale_bar
from gui.panels.sky_box import SkyBox
from gui.selection import Aperture
from gui.theme import CANVAS, SELECTED, status_colour

RING = 12
"""Diameter of a star's ring on the screen, device-independent pixels."""
REACH = 9.0
"""A click this close to a star, on the screen, means the star."""


class SkyView(pg.PlotWidget):
    """An image with stars; (x, y) are 0-based pixels with whole numbers at the pixels' centres."""

    hovered = Signal(object)
    """(x, y) under the mouse, or None when it left."""
    clicked = Signal(float, float)
    star_clicked = Signal(str)
    aperture_moved = Signal(float, float, float)
    """Centre and radius of the circle that was dragged."""
    stepped = Signal(int)
    """Layers to go forward (or back), by the arrow keys."""

    star_dropped = Signal(str, float, float)
    """A star that was dragged, and where it was let go."""

    def __init__(self) -> None:
        self.box = SkyBox()
        super().__init__(background=CANVAS, viewBox=self.box, enableMenu=False)
        self.setAccessibleName("Image of the field")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFrameShape(self.Shape.NoFrame)
        self.hideButtons()
        self.hideAxis("left")
        self.hideAxis("bottom")
        self.box.setAspectLocked(True)
        self.box.setDefaultPadding(0.02)
        self.image = pg.ImageItem(axisOrder="row-major")
        self._stars = pg.ScatterPlotItem(pxMode=True, brush=None)
        self._ring = pg.ScatterPlotItem(pxMode=True, brush=None, size=RING + 8)
        self._cross = pg.ScatterPlotItem(pxMode=True, brush=None, symbol="s", size=10)
        self._chosen = pg.ScatterPlotItem(pxMode=True, brush=None, size=RING + 4)
        for item in (self.image, self._stars, self._chosen, self._cross, self._ring):
            self.addItem(item, ignoreBounds=item is not self.image)
        pens = {name: pg.mkPen(SELECTED, width=2) for name in ("pen", "hoverPen", "handlePen", "handleHoverPen")}
        self.circle = pg.CircleROI((0, 0), radius=3.0, **pens)
        self.circle.setVisible(False)
        self.circle.setZValue(30)
        self.circle.sigRegionChanged.connect(self._on_circle)
        self._annulus = QGraphicsPathItem()
        self.addItem(self._annulus, ignoreBounds=True)
        self.addItem(self.circle, ignoreBounds=True)
        self._names: list[str] = []
        self._places = np.empty((0, 2))
        self.overlay = _Overlay(self)
        self.box.sigRangeChanged.connect(self._on_range)
        self.box.star_dragged.connect(self._on_star_dragged)
        self.box.star_dropped.connect(self._on_star_dropped)
        self.scene().sigMouseMoved.connect(self._on_moved)
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self.viewport().installEventFilter(self)

    # What is shown

    def set_pixels(self, pixels: np.ndarray, low: float, high: float) -> None:
        """Show an image between two limits, or (ny, nx, 3) colours; the view stays unless the size changes."""
        ny, nx = pixels.shape[:2]
        fresh = self.image.image is None or self.image.image.shape[:2] != (ny, nx)
        self.image.setImage(pixels, autoLevels=False, levels=(low, high))
        if fresh:
            self.image.setRect(QRectF(-0.5, -0.5, nx, ny))
            self.show_all()

    def clear_pixels(self) -> None:
        """Show no image."""
        self.image.clear()

    def show_all(self) -> None:
        """Show the whole image."""
        if self.image.image is not None:
            self.box.setRange(self.image.mapRectToParent(self.image.boundingRect()), padding=0.02)

    def set_stars(self, names: Sequence[str], x: np.ndarray, y: np.ndarray, status: Sequence[str]) -> None:
        """Show stars as rings coloured by status; those without a position are left out."""
        known = np.isfinite(x) & np.isfinite(y)
        self._names = [name for name, keep in zip(names, known, strict=True) if keep]
        self._places = np.column_stack([x[known], y[known]])
        kinds = [kind for kind, keep in zip(status, known, strict=True) if keep]
        pens = {kind: pg.mkPen(status_colour(kind), width=1.4) for kind in set(kinds)}
        sizes = [RING - 4 if kind in ("faint", "outside", "contaminant", "confused") else RING for kind in kinds]
        self._stars.setData(x=self._places[:, 0], y=self._places[:, 1], pen=[pens[kind] for kind in kinds], size=sizes)

    def set_stars_visible(self, visible: bool) -> None:
        """Show or hide the rings; the current star keeps its own."""
        self._stars.setVisible(visible)

    def mark_star(self, name: str) -> None:
        """Mark the current star; "" marks none. The view moves only when the star is out of sight."""
        if name not in self._names:
            self._ring.setData([], [])
            return
        x, y = self._places[self._names.index(name)]
        self._ring.setData([x], [y], pen=pg.mkPen(SELECTED, width=2.4))
        view = self.box.viewRect()
        if not view.contains(QPointF(x, y)) and self._on_image(x, y):
            self.box.translateBy(x - view.center().x(), y - view.center().y())

    def mark_chosen(self, names: Sequence[str]) -> None:
        """Mark several chosen stars."""
        wanted = set(names)
        found = [n for n, name in enumerate(self._names) if name in wanted]
        self._chosen.setData(
            self._places[found, 0] if found else [],
            self._places[found, 1] if found else [],
            pen=pg.mkPen(SELECTED, width=1.4),
        )

    def mark_spaxel(self, spaxel: tuple[int, int] | None) -> None:
        """Mark the pinned spaxel, or none."""
        places = ([spaxel[0]], [spaxel[1]]) if spaxel else ([], [])
        self._cross.setData(*places, pen=pg.mkPen(SELECTED, width=2))

    def mark_aperture(self, aperture: Aperture | None) -> None:
        """Show the circle with its sky annulus, or none."""
        self.circle.setVisible(aperture is not None)
        path = QPainterPath()
        if aperture is not None:
            x, y, radius = aperture.x, aperture.y, aperture.radius
            for r in aperture.annulus or ():
                path.addEllipse(QPointF(x, y), r, r)
            self.circle.blockSignals(True)
            self.circle.setPos(x - radius, y - radius, update=False)
            self.circle.setSize(2 * radius, finish=False)
            self.circle.blockSignals(False)
        self._annulus.setPen(pg.mkPen(SELECTED, width=1, style=Qt.PenStyle.DashLine))
        self._annulus.setPath(path)

    def _on_circle(self) -> None:
        radius = float(self.circle.size().x()) / 2
        corner = self.circle.pos()
        self.aperture_moved.emit(float(corner.x()) + radius, float(corner.y()) + radius, radius)

    def set_title(self, title: str) -> None:
        """Write what the image is into its corner; "" where the window says it elsewhere."""
        self.overlay.title = title
        self.overlay.update()

    def set_sky(self, north: tuple[float, float] | None, east: tuple[float, float] | None, pixel_scale: float) -> None:
        """Say where north and east are, as directions in pixels, and how many arcsec a pixel has (NaN: unknown)."""
        self.overlay.north, self.overlay.east, self.overlay.pixel_scale = north, east, pixel_scale
        self.overlay.update()

    # The mouse and the keys

    def set_editing(self, editing: bool) -> None:
        """Let a drag move the star under the mouse, or the view alone."""
        self.box.star_under = self.star_at if editing else None
        self.viewport().setCursor(Qt.CursorShape.CrossCursor if editing else Qt.CursorShape.ArrowCursor)

    @Slot(str, float, float)
    def _on_star_dragged(self, star: str, x: float, y: float) -> None:
        self._ring.setData([x], [y], pen=pg.mkPen(SELECTED, width=2.4))

    @Slot(str, float, float)
    def _on_star_dropped(self, star: str, x: float, y: float) -> None:
        if self._on_image(x, y):
            self.star_dropped.emit(star, x, y)
        else:
            self.mark_star(star)

    def star_at(self, x: float, y: float) -> str:
        """Return the star whose ring is under a position, or ""."""
        if not len(self._places) or not self._stars.isVisible():
            return ""
        distance = np.hypot(self._places[:, 0] - x, self._places[:, 1] - y) / self.pixel()
        nearest = int(np.argmin(distance))
        return self._names[nearest] if distance[nearest] <= REACH else ""

    def pixel(self) -> float:
        """Image pixels per device-independent pixel of the screen."""
        return float(self.box.viewPixelSize()[0]) or 1.0

    def _on_image(self, x: float, y: float) -> bool:
        if self.image.image is None:
            return False
        ny, nx = self.image.image.shape[:2]
        return -0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5

    def _on_moved(self, place: QPointF) -> None:
        point = self.box.mapSceneToView(place)
        inside = self._on_image(point.x(), point.y())
        self.hovered.emit((point.x(), point.y()) if inside else None)

    def _on_clicked(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        if event.double():
            self.show_all()
            return
        point = self.box.mapSceneToView(event.scenePos())
        star = self.star_at(point.x(), point.y())
        if star:
            self.star_clicked.emit(star)
        elif self._on_image(point.x(), point.y()):
            self.clicked.emit(point.x(), point.y())

    def eventFilter(self, watched: QWidget, event: QEvent) -> bool:
        """Tell when the mouse leaves, and keep the overlay as large as the view."""
        if event.type() == QEvent.Type.Leave:
            self.hovered.emit(None)
        elif event.type() == QEvent.Type.Resize:
            self.overlay.setGeometry(self.viewport().rect())
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go through the layers with the arrow keys and the page keys."""
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_PageDown: -20, Qt.Key.Key_PageUp: 20}
        step = steps.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
        else:
            self.stepped.emit(step)

    def _on_range(self) -> None:
        self.overlay.update()


class _Overlay(QWidget):
    """Compass and scale bar, painted over the view; the mouse goes through it."""

    def __init__(self, view: SkyView) -> None:
        super().__init__(view)
        self._view = view
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.north: tuple[float, float] | None = None
        self.east: tuple[float, float] | None = None
        self.pixel_scale = math.nan
        self.title = ""

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw light lines on a dark halo, readable on every image."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 0.86)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        if math.isfinite(self.pixel_scale) and self.pixel_scale > 0:
            self._draw_bar(painter)
        if self.north and self.east:
            self._draw_compass(painter)
        if self.title:
            width = painter.fontMetrics().horizontalAdvance(self.title)
            _write(painter, QPointF(14 + width / 2, 18), self.title)

    def _draw_bar(self, painter: QPainter) -> None:
        per_point = self.pixel_scale * self._view.pixel()
        length, label = scale_bar(per_point, self.width() / 4)
        size = length / per_point
        y, x = self.height() - 14.0, 14.0
        path = QPainterPath(QPointF(x, y))
        path.lineTo(x + size, y)
        _halo(painter, path)
        _write(painter, QPointF(x + size / 2, y - 12), label)

    def _draw_compass(self, painter: QPainter) -> None:
        assert self.north
        assert self.east
        centre = QPointF(self.width() - 40.0, self.height() - 36.0)
        for (dx, dy), letter in ((self.north, "N"), (self.east, "E")):
            size = math.hypot(dx, dy) or 1.0
            step = QPointF(dx / size, -dy / size)  # the screen counts downwards
            tip = centre + step * 20
            path = QPainterPath(centre)
            path.lineTo(tip)
            side = QPointF(-step.y(), step.x())
            path.moveTo(tip - step * 5 + side * 3.5)
            path.lineTo(tip)
            path.lineTo(tip - step * 5 - side * 3.5)
            _halo(painter, path)
            _write(painter, centre + step * 29, letter)


def _halo(painter: QPainter, path: QPainterPath) -> None:
    """Draw a light line with a dark edge."""
    for colour, width in ((QColor(0, 0, 0, 170), 4.0), (QColor("#f2f4f7"), 1.6)):
        pen = QPen(colour, width)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.strokePath(path, pen)


def _write(painter: QPainter, centre: QPointF, text: str) -> None:
    """Write light text with a dark edge around a point."""
    metrics = painter.fontMetrics()
    path = QPainterPath()
    start = centre + QPointF(-metrics.horizontalAdvance(text) / 2, metrics.capHeight() / 2)
    path.addText(start, painter.font(), text)
    painter.strokePath(path, QPen(QColor(0, 0, 0, 170), 3))
    painter.fillPath(path, QColor("#f2f4f7"))
