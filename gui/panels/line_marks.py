"""Marks of stellar lines, airglow and telluric bands in a plot, each where its own velocity puts it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont

from gui.panels.plot_items import Bands, faded
from gui.theme import Theme
from processing.lines import TELLURIC, Line, read_lines
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
_HEIGHTS = {"stellar": 0.965, "sky": 0.89}
"""Of the names, as a part of the plot's height."""
_STYLES = {"stellar": Qt.PenStyle.DotLine, "sky": Qt.PenStyle.DashLine}


class LineMarks:
    """Vertical marks with names; only those in sight exist for the painter."""

    def __init__(self, plot: pg.PlotItem) -> None:
        self._box: pg.ViewBox = plot.getViewBox()
        self._marks: dict[str, list[tuple[pg.InfiniteLine, Line]]] = {
            kind: [(_mark(plot, line.name, _HEIGHTS[kind]), line) for line in read_lines(kind)]
            for kind in ("stellar", "sky")
        }
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
        for kind, shift in (("stellar", velocity), ("sky", np.nan_to_num(barycentric))):
            places = observed(np.array([line.wave for _, line in self._marks[kind]]), "air", float(shift), frame)
            for (mark, _), wave in zip(self._marks[kind], places.tolist(), strict=True):
                mark.setPos(wave)
        limits = np.array([limits for _, *limits in TELLURIC])
        self._telluric = observed(limits, "air", float(np.nan_to_num(barycentric)), frame)
        self._show()

    def _show(self) -> None:
        """Show what is wanted and in sight; a name is left out where another one stands."""
        (low, high), (bottom, _) = self._box.viewRange()
        width = float(self._box.width())
        for kind, marks in self._marks.items():
            free = -np.inf
            for mark, line in marks:
                wave = float(mark.value())
                shown = self._visible[kind] and low <= wave <= high and (line.strong or high - low < CLOSE)
                mark.setVisible(shown)
                if shown:
                    mark.label.setVisible(wave >= free)
                    if wave >= free:
                        free = wave + (mark.label.boundingRect().width() + GAP) * (high - low) / max(width, 1.0)
        telluric = self._visible["telluric"]
        self._bands.set_bands([(a, b) for a, b in self._telluric.tolist()] if telluric else [])
        for name, (a, b) in zip(self._names, self._telluric.tolist(), strict=True):
            name.setVisible(telluric and b > low and a < high)
            name.setPos((max(a, low) + min(b, high)) / 2, bottom)

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the theme's colours: stars quiet, sky in blue."""
        for kind, colour in (("stellar", theme.muted), ("sky", theme.accent)):
            for mark, _ in self._marks[kind]:
                mark.setPen(pg.mkPen(faded(colour, 0.5), width=1, style=_STYLES[kind]))
                mark.label.setColor(colour)
                mark.label.setFont(font)
                mark.label.fill = pg.mkBrush(faded(theme.panel, 0.8))
        self._bands.set_colour(faded(theme.accent, 0.12))
        for name in self._names:
            name.setColor(theme.accent)
            name.setFont(font)


def _mark(plot: pg.PlotItem, name: str, height: float) -> pg.InfiniteLine:
    name = "OH" if name.startswith("OH") else name
    options = {"position": height, "movable": False, "anchors": [(0, 0), (0, 0)]}
    mark = pg.InfiniteLine(pos=0, angle=90, movable=False, label=name, labelOpts=options)
    mark.setZValue(-8)
    mark.setVisible(False)
    plot.addItem(mark, ignoreBounds=True)
    return mark
