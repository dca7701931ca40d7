"""Small pieces of the plots: pale bands, an error band, and axes in the window's colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QColor, QFont, QPainter, QPainterPath
from PySide6.QtWidgets import QGraphicsPathItem, QStyleOptionGraphicsItem, QWidget

from gui.theme import Theme


def faded(colour: str, alpha: float) -> QColor:
    """Return a colour made transparent."""
    result = QColor(colour)
    result.setAlphaF(alpha)
    return result


class Bands(pg.GraphicsObject):
    """Vertical bands over the whole height of a plot."""

    def __init__(self, plot: pg.PlotItem) -> None:
        super().__init__()
        self._box: pg.ViewBox = plot.getViewBox()
        self._box.sigRangeChanged.connect(self._on_range)
        self._bands: list[tuple[float, float]] = []
        self._colour = QColor()
        self.setZValue(-10)

    def set_bands(self, bands: Sequence[tuple[float, float]]) -> None:
        """Show bands from one x to another."""
        self.prepareGeometryChange()
        self._bands = list(bands)
        self.update()

    def set_colour(self, colour: QColor) -> None:
        """Fill the bands with a colour."""
        self._colour = colour
        self.update()

    def _on_range(self) -> None:
        self.prepareGeometryChange()

    def boundingRect(self) -> QRectF:
        """Return the whole view."""
        return QRectF(self._box.viewRect())

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        """Fill the bands in sight."""
        view = self.boundingRect()
        for low, high in self._bands:
            if high > view.left() and low < view.right():
                painter.fillRect(QRectF(low, view.top(), high - low, view.height()), self._colour)


class ErrorBand(QGraphicsPathItem):
    """The area between two curves, interrupted where there is no error."""

    def __init__(self) -> None:
        super().__init__()
        self.setPen(pg.mkPen(None))
        self.setZValue(-5)

    def set_data(self, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        """Fill between two curves wherever both are finite."""
        path = QPainterPath()
        for start, stop in runs(np.isfinite(low) & np.isfinite(high)):
            if stop - start > 1:
                xs = np.concatenate([x[start:stop], x[start:stop][::-1]])
                ys = np.concatenate([high[start:stop], low[start:stop][::-1]])
                path.addPath(pg.functions.arrayToQPath(xs, ys.astype(float)))
        self.setPath(path)

    def clear(self) -> None:
        """Fill nothing."""
        self.setPath(QPainterPath())


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return start and stop of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def bands_of(wave: np.ndarray, mask: np.ndarray) -> list[tuple[float, float]]:
    """Return the wavelength ranges of masked pixels, half a pixel wider on both sides."""
    if len(wave) < 2:
        return []
    half = float(np.median(np.diff(wave))) / 2
    return [(float(wave[a]) - half, float(wave[b - 1]) + half) for a, b in runs(mask)]


def smoothed(values: np.ndarray) -> np.ndarray:
    """Return the running median of three: without single outlying pixels, but with all lines."""
    if len(values) < 3:
        return values
    return np.median(np.lib.stride_tricks.sliding_window_view(values, 3), axis=-1)


def extent(values: np.ndarray) -> tuple[float, float]:
    """Return the range that a plot should show: all, but for what lies twenty times farther out than nearly all."""
    low, middle, high = (float(v) for v in np.percentile(values, [2, 50, 98]))
    return max(float(values.min()), middle - 20 * (middle - low)), min(
        float(values.max()), middle + 20 * (high - middle)
    )


REACH = 10.0
"""Screen points within which a click means a point."""


def point_at(box: pg.ViewBox, place: QPointF, x: np.ndarray, y: np.ndarray) -> int | None:
    """Return which of the points (x, y) a click at `place` of the scene means; None where none is near."""
    if not len(x):
        return None
    at: QPointF = box.mapSceneToView(place)
    width, height = (abs(size) or 1.0 for size in box.viewPixelSize())
    distance = np.hypot((x - at.x()) / width, (y - at.y()) / height)
    nearest = int(np.argmin(distance))
    return nearest if distance[nearest] <= REACH else None


def set_legend_colour(legend: pg.LegendItem, colour: str) -> None:
    """Write a legend in a colour, what stands in it already too."""
    legend.setLabelTextColor(colour)
    for _, label in legend.items:
        label.setText(label.text, color=colour)


def style_plot(plot: pg.PlotItem, theme: Theme, font: QFont) -> None:
    """Give a plot the theme's colours: thin axes left and below, small figures, no frame."""
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setSIPrefixEnableRanges(())  # else what shows values below 1 would be switched off in thousandths
        axis.enableAutoSIPrefix(False)
        axis.setPen(pg.mkPen(theme.line, width=1))
        axis.setTextPen(pg.mkPen(theme.muted))
        axis.setTickFont(font)
        axis.setStyle(tickLength=-4, tickTextOffset=4, hideOverlappingLabels=side == "left")
        axis.label.setFont(font)
    plot.hideButtons()
