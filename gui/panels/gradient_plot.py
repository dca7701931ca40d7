"""The plot of which pixels make a label: the network's gradient, and the physical one it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QFont

from gui.panels.plot_items import Bands, faded, style_plot
from gui.theme import Theme
from processing.labels.names import LABELS

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit
    from processing.labels.gradients import GradientSpectra

STEPS = {"K": (100.0, "100 K"), "km / s": (1.0, "km/s"), "dex": (1.0, "dex")}
"""By a label's unit, the change that the gradient is drawn for."""


class GradientPlot:
    """A plot below the residuals; it is put in only while a label is current."""

    def __init__(self) -> None:
        self.plot = pg.PlotItem(enableMenu=False)
        self.bands = Bands(self.plot)
        self.zero = pg.InfiniteLine(pos=0, angle=0)
        self.physical = pg.PlotDataItem(connect="finite", antialias=True)
        self.network = pg.PlotDataItem(connect="finite", antialias=True)
        for item in (self.bands, self.zero, self.physical, self.network):
            self.plot.addItem(item, ignoreBounds=True)
        self.legend = pg.TextItem(anchor=(0, 0))
        self.legend.setParentItem(self.plot.getViewBox())
        self.legend.setPos(6, 0)
        self._text = ("", "", "")
        self._theme: Theme | None = None

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        self._theme = theme
        style_plot(self.plot, theme, font)
        self.physical.setPen(pg.mkPen(theme.flux, width=1))
        self.network.setPen(pg.mkPen(theme.fit, width=1))
        self.zero.setPen(pg.mkPen(theme.line, width=1))
        self.bands.set_colour(faded(theme.band, 0.16))
        self.legend.setFont(font)
        self.legend.fill = pg.mkBrush(faded(theme.panel, 0.8))
        self._write()

    def show(self, fit: LabelFit, wave: np.ndarray, gradients: GradientSpectra, label: str) -> None:
        """Draw the gradients of a label.

        Parameters
        ----------
        fit : LabelFit
        wave : ndarray, shape (n_pix,)
            The fit's pixels as they are observed.
        gradients : GradientSpectra
        label : str
            Machine name.
        """
        n, info = fit.labels.index(label), LABELS[label]
        step, text = STEPS.get(info.unit, (1.0, info.unit))
        self.network.setData(wave, step * np.asarray(gradients.network[n], float))
        physics = ""
        if gradients.physical is None:
            self.physical.setData([], [])
        else:
            self.physical.setData(wave, step * np.asarray(gradients.physical[n], float))
            physics = f"physics ({gradients.template})"
            if fit.gradcorr is not None and np.isfinite(fit.gradcorr[n]):
                physics += f", agreement {fit.gradcorr[n]:.2f}".replace("-", "−")
        self._text = (f"{info.symbol}:", "network", physics)
        self.plot.setLabel("left", f"Δ / {text}")
        self._write()

    def _write(self) -> None:
        if self._theme is None:
            return
        name, network, physics = self._text
        self.legend.setHtml(
            f"<span style='color:{self._theme.text}'>{name}</span> "
            f"<span style='color:{self._theme.fit}'>{network}</span> "
            f"<span style='color:{self._theme.flux}'>{physics}</span>"
        )
