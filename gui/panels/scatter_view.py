"""How the residuals over their errors are distributed, with the Gaussian of their robust width (Fig. 3)."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QFont

from gui.panels.plot_items import faded, style_plot
from gui.theme import Theme
from processing.labels.residuals import Distribution


class ScatterView(pg.GraphicsLayoutWidget):
    """A histogram, the Gaussian found and the one that errors of the right size would give."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Distribution of the residuals")
        self.ci.layout.setContentsMargins(6, 4, 12, 4)
        self.plot: pg.PlotItem = self.addPlot(row=0, col=0, enableMenu=False)
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.setLabel("bottom", "(Observed − fit) / pipeline's error")
        self.plot.setLabel("left", "Pixels")
        self.bars = pg.PlotDataItem(stepMode="center", fillLevel=0)
        self.gaussian, self.unit = pg.PlotDataItem(antialias=True), pg.PlotDataItem(antialias=True)
        for item in (self.bars, self.unit, self.gaussian):
            self.plot.addItem(item)
        self.text = pg.TextItem(anchor=(0, 0))
        self.text.setParentItem(self.plot.getViewBox())
        self.text.setPos(8, 6)

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        self.setBackground(theme.panel)
        style_plot(self.plot, theme, font)
        self.bars.setPen(pg.mkPen(faded(theme.flux, 0.6), width=1))
        self.bars.setBrush(pg.mkBrush(faded(theme.flux, 0.22)))
        self.gaussian.setPen(pg.mkPen(theme.fit, width=2))
        self.unit.setPen(pg.mkPen(theme.accent, width=1.4, style=pg.QtCore.Qt.PenStyle.DashLine))
        self.text.setColor(theme.text)
        self.text.setFont(font)
        self._colours = (theme.fit, theme.accent, theme.text)

    def show_distribution(self, found: Distribution | None) -> None:
        """Draw a distribution; None where there are too few residuals."""
        for item in (self.bars, self.gaussian, self.unit):
            item.setVisible(found is not None)
        if found is None:
            self.text.setText("Too few residuals for a distribution.")
            return
        x = np.linspace(found.edges[0], found.edges[-1], 400)
        step = float(found.edges[1] - found.edges[0])
        self.bars.setData(found.edges, found.counts)
        self.gaussian.setData(x, found.gaussian(x))
        unit = found.number * step * np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
        self.unit.setData(x, unit)
        top = 1.25 * max(float(found.counts.max()), float(found.gaussian(x).max()))
        self.plot.setYRange(0, top, padding=0)
        self.plot.setXRange(float(found.edges[0]), float(found.edges[-1]), padding=0)
        fit, accent, text = self._colours
        self.text.setHtml(
            f"<span style='color:{text}'>{found.number} pixels, {found.beyond} beyond the plot</span><br>"
            f"<span style='color:{fit}'>Gaussian of width {found.width:.2f} about {found.middle:+.2f}</span><br>"
            f"<span style='color:{accent}'>of width 1, if the errors were right</span>"
        )
