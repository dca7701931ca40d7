"""Marks of stellar lines, airglow and telluric bands in a plot, each where its own velocity puts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Slot
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from gui.panels.plot_items import Bands, faded
from gui.theme import Theme
from processing.lines import TELLURIC, Kind, Line, read_lines
from processing.preparation.air import observed
from processing.spectrum import Frame

Group = Literal["stellar", "sky", "telluric"]
GROUPS: tuple[tuple[Group, str, str], ...] = (
    ("stellar", "Stellar lines", "At the star's velocity; the weaker ones where there is room"),
    ("sky", "Airglow lines", "At rest with the observatory"),
    ("telluric", "Telluric bands", "Absorption by the Earth's atmosphere"),
)
CLOSE = 900.0
"""Angstrom in sight below which weak lines are marked too."""
GAP = 4.0
"""Pixels between two names."""
MARGIN = 4.0
"""Pixels on either side of a name."""
KINDS: tuple[Kind, ...] = ("stellar", "sky")
_HEIGHTS: dict[Kind, float] = {"stellar": 0.965, "sky": 0.89}
"""Of the names, as a part of the plot's height."""
_STYLES: dict[Kind, Qt.PenStyle] = {"stellar": Qt.PenStyle.DotLine, "sky": Qt.PenStyle.DashLine}


class Marks(pg.GraphicsObject):
    """Vertical lines with names, drawn in one go: items of their own would cost a plot more than its curves.

    Parameters
    ----------
    plot : PlotItem
    lines : sequence of Line
        In order of wavelength.
    height : float
        Of the names, as a part of the plot's height.
    style : PenStyle
    """

    def __init__(self, plot: pg.PlotItem, lines: Sequence[Line], height: float, style: Qt.PenStyle) -> None:
        super().__init__()
        self._box: pg.ViewBox = plot.getViewBox()
        self._height, self._style = height, style
        self.lines = tuple(lines)
        self._names = ["OH" if line.name.startswith("OH") else line.name for line in lines]
        self._widths = [0.0] * len(lines)
        self.places = np.array([line.wave for line in lines])
        """Where the lines are in the plot, Angstrom."""
        self._strong = np.array([line.strong for line in lines])
        self._pen, self._colour, self._fill, self._font = QPen(), QColor(), QColor(), QFont()
        self.setZValue(-8)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        self._box.sigRangeChanged.connect(self._on_range)
        plot.addItem(self, ignoreBounds=True)

    def place(self, places: np.ndarray) -> None:
        """Put the lines at other wavelengths, Angstrom."""
        self.places = places
        self.update()

    def set_colours(self, colour: str, ground: str, font: QFont) -> None:
        """Draw lines and names in a colour, the names on a ground."""
        self._pen = pg.mkPen(faded(colour, 0.5), width=1, style=self._style)
        self._colour, self._fill, self._font = QColor(colour), faded(ground, 0.8), font
        metrics = QFontMetricsF(font)
        self._widths = [metrics.horizontalAdvance(name) + 2 * MARGIN for name in self._names]
        self.update()

    def in_sight(self) -> list[tuple[int, bool]]:
        """Return which lines are shown, and whether with their names: not where another name stands."""
        (low, high), _ = self._box.viewRange()
        near = (self.places >= low) & (self.places <= high) & (self._strong | (high - low < CLOSE))
        scale = (high - low) / max(float(self._box.width()), 1.0)
        shown, free = [], -np.inf
        for n in np.flatnonzero(near).tolist() if self.isVisible() else ():
            named = self.places[n] >= free
            if named:
                free = self.places[n] + (self._widths[n] + GAP) * scale
            shown.append((n, named))
        return shown

    def name_width(self, n: int) -> float:
        """Return the width of a name on the screen."""
        return self._widths[n]

    @Slot()
    def _on_range(self) -> None:
        self.prepareGeometryChange()

    def boundingRect(self) -> QRectF:
        """Return the whole view."""
        return QRectF(self._box.viewRect())

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        """Draw what is in sight, in points of the screen."""
        view, transform = self.boundingRect(), painter.worldTransform()
        low, high = (transform.map(QPointF(view.left(), y)).y() for y in (view.top(), view.bottom()))
        painter.save()
        painter.resetTransform()
        painter.setFont(self._font)
        size = QFontMetricsF(self._font).height()
        shown = [(n, named, transform.map(QPointF(self.places[n], 0.0)).x()) for n, named in self.in_sight()]
        painter.setPen(self._pen)
        for _, _, x in shown:
            painter.drawLine(QPointF(x, low), QPointF(x, high))
        painter.setPen(self._colour)
        for n, named, x in shown:
            if named:
                name = QRectF(x + 1, low + self._height * (high - low), self._widths[n] - 1, size)
                painter.fillRect(name, self._fill)
                painter.drawText(name, Qt.AlignmentFlag.AlignCenter, self._names[n])
        painter.restore()


class LineMarks:
    """Marks of stellar lines and airglow, and the telluric bands."""

    def __init__(self, plot: pg.PlotItem) -> None:
        self._box: pg.ViewBox = plot.getViewBox()
        self.marks = {kind: Marks(plot, read_lines(kind), _HEIGHTS[kind], _STYLES[kind]) for kind in KINDS}
        self._bands = Bands(plot)
        self._names = [pg.TextItem(name, anchor=(0.5, 1)) for name, _, _ in TELLURIC]
        for item in (self._bands, *self._names):
            plot.addItem(item, ignoreBounds=True)
        self._visible: dict[str, bool] = {"stellar": True, "sky": False, "telluric": False}
        self._telluric = np.array([limits for _, *limits in TELLURIC])
        self._box.sigRangeChanged.connect(self._show)
        self._show()

    def is_visible(self, group: Group) -> bool:
        """Tell whether a group is shown."""
        return self._visible[group]

    def set_visible(self, group: Group, visible: bool) -> None:
        """Show or hide a group."""
        self._visible[group] = visible
        self._show()

    def place(self, frame: Frame, velocity: float, barycentric: float = 0.0) -> None:
        """Put the marks at their wavelengths.

        Parameters
        ----------
        frame : {"air", "vacuum"}
            Of the plot.
        velocity : float
            Of the star, km/s.
        barycentric : float
            Correction that is in the wavelengths of the plot: by as much lines of the sky are shifted.
        """
        shifts: dict[Kind, float] = {"stellar": velocity, "sky": float(np.nan_to_num(barycentric))}
        for kind, shift in shifts.items():
            waves = np.array([line.wave for line in self.marks[kind].lines])
            self.marks[kind].place(observed(waves, "air", float(shift), frame))
        limits = np.array([limits for _, *limits in TELLURIC])
        self._telluric = observed(limits, "air", float(np.nan_to_num(barycentric)), frame)
        self._show()

    def _show(self) -> None:
        """Show what is wanted and in sight."""
        (low, high), (bottom, _) = self._box.viewRange()
        for kind, marks in self.marks.items():
            marks.setVisible(self._visible[kind])
        telluric = self._visible["telluric"]
        self._bands.set_bands([(a, b) for a, b in self._telluric.tolist()] if telluric else [])
        for name, (a, b) in zip(self._names, self._telluric.tolist(), strict=True):
            name.setVisible(telluric and b > low and a < high)
            name.setPos((max(a, low) + min(b, high)) / 2, bottom)

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the theme's colours: stars quiet, sky in blue."""
        self.marks["stellar"].set_colours(theme.muted, theme.panel, font)
        self.marks["sky"].set_colours(theme.accent, theme.panel, font)
        self._bands.set_colour(faded(theme.accent, 0.12))
        for name in self._names:
            name.setColor(theme.accent)
            name.setFont(font)
