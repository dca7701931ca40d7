"""The plots of the spectrum panel, one above the other on the same wavelengths: flux, residual, gradient."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Slot
from PySide6.QtGui import QFont

from gui.panels.drag_box import DragBox
from gui.panels.gradient_plot import GradientPlot
from gui.panels.plot_items import extent, smoothed, style_plot
from gui.theme import Theme
from processing.spectrum import Frame

SHARES = (5, 2, 3)
"""Of the height."""


class SpectrumPlots(pg.GraphicsLayoutWidget):
    """Keeps the plots on the same wavelengths, their heights on what is in sight, and titles where they fit."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Spectrum")
        self.ci.layout.setContentsMargins(6, 4, 12, 4)
        self.ci.layout.setVerticalSpacing(2)
        self.box = DragBox()
        self.flux: pg.PlotItem = self.addPlot(row=0, col=0, viewBox=self.box, enableMenu=False)
        self.residual: pg.PlotItem = self.addPlot(row=1, col=0, enableMenu=False)
        self.gradient = GradientPlot()
        self.plots = (self.flux, self.residual, self.gradient.plot)
        self.curves: dict[pg.PlotItem, tuple[pg.PlotDataItem, ...]] = {}
        """By plot, the curves that its height follows."""
        self.arrangement: tuple[bool, bool, Frame] | None = None
        """Whether residuals and gradients are shown, and in what the wavelengths are; None: arranged otherwise."""
        self.counts = np.empty(0, bool)
        """Which pixels of the first curve count for the height."""
        for plot in self.plots:
            plot.setMouseEnabled(x=True, y=False)
            plot.setClipToView(True)
            plot.getViewBox().sigXRangeChanged.connect(self._on_range)
            plot.getViewBox().sigResized.connect(self.fit_titles)

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        self.setBackground(theme.panel)
        for plot in (self.flux, self.residual):
            style_plot(plot, theme, font)
        self.gradient.set_theme(theme, font)

    @property
    def shown(self) -> list[pg.PlotItem]:
        """The plots that are there, from above."""
        return [plot for plot in self.plots if plot in self.ci.items]

    def show_plots(self, residual: bool, gradient: bool, frame: Frame) -> None:
        """Give the lower plots their room, or none; the wavelengths stand below the lowest."""
        arrangement = (residual, gradient, frame)
        if arrangement == self.arrangement:
            return
        self.arrangement = arrangement
        for row, (plot, shown) in enumerate(zip(self.plots, (True, residual, gradient), strict=True)):
            present = plot in self.ci.items
            if shown and not present:
                self.addItem(plot, row=row, col=0)
                plot.setXRange(*self.box.viewRange()[0], padding=0)
            elif present and not shown:
                self.removeItem(plot)
            self.ci.layout.setRowStretchFactor(row, SHARES[row] if shown else 0)
        there = self.shown
        for plot in there:
            lowest = plot is there[-1]
            plot.getAxis("bottom").setStyle(showValues=lowest)
            plot.setLabel("bottom", f"Wavelength (Å, {frame})" if lowest else None)
            plot.getAxis("bottom").showLabel(lowest)
        self.fit_titles()

    @Slot()
    def fit_titles(self) -> None:
        """Leave the titles of the axes away where they would not fit."""
        axes = [(plot.getAxis("left"), plot.getViewBox().height()) for plot in self.plots]
        fits = [axis.label.boundingRect().width() + 8 < height for axis, height in axes]
        for (axis, _), fitting in zip(axes, fits, strict=True):
            axis.label.setVisible(fitting)
            axis.setWidth(58 if any(fits) else 44)

    def limit(self, low: float, high: float) -> None:
        """Let no plot go far beyond a spectrum."""
        for plot in self.plots:
            plot.getViewBox().setLimits(xMin=low - 200, xMax=high + 200, minXRange=10)

    @Slot(object, object)
    def _on_range(self, view: object, limits: tuple[float, float]) -> None:
        """Keep all plots on the same wavelengths (pyqtgraph's own link goes astray while a plot is put in)."""
        if not any(view is plot.getViewBox() for plot in self.shown):
            return
        for plot in self.shown:
            if tuple(plot.getViewBox().viewRange()[0]) != tuple(limits):
                plot.setXRange(*limits, padding=0)
        self.fit_heights()

    def fit_heights(self) -> None:
        """Let the heights follow what is in sight; a few outlying pixels may leave the plot."""
        low, high = self.box.viewRange()[0]
        for plot, curves in self.curves.items():
            values = []
            for n, curve in enumerate(curves):
                x, y = curve.getOriginalDataset()
                if x is not None and len(x):
                    inside = (x >= low) & (x <= high) & np.isfinite(y)
                    if plot is self.flux and n == 0 and len(self.counts) == len(x):
                        inside &= self.counts
                    values.append(smoothed(y[inside]))
            together = np.concatenate(values) if values else np.empty(0)
            if together.size:
                self._fit_height(plot, *extent(together))

    def _fit_height(self, plot: pg.PlotItem, bottom: float, top: float) -> None:
        if plot is not self.flux:  # around zero
            top = max(5.0 if plot is self.residual else 1e-9, abs(bottom), abs(top))
            bottom = -top
        margin = 0.08 * (top - bottom) or 1.0
        plot.setYRange(bottom - margin, top + margin * (2 if plot is self.flux else 1), padding=0)
