"""Two spectra compared: one over the other, and below their difference with its error band (Fig. 2)."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QFont

from gui.panels.plot_items import ErrorBand, extent, faded, style_plot
from gui.theme import SERIES, Theme
from processing.labels.residuals import Comparison
from processing.spectrum import Frame


class PairView(pg.GraphicsLayoutWidget):
    """Two plots on the same wavelengths at rest."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Two spectra compared")
        self.ci.layout.setContentsMargins(6, 4, 12, 4)
        self.ci.layout.setVerticalSpacing(2)
        self.flux: pg.PlotItem = self.addPlot(row=0, col=0, enableMenu=False)
        self.difference: pg.PlotItem = self.addPlot(row=1, col=0, enableMenu=False)
        self.ci.layout.setRowStretchFactor(0, 3)
        self.ci.layout.setRowStretchFactor(1, 2)
        self.one, self.two, self.residual = (pg.PlotDataItem(connect="finite", antialias=True) for _ in range(3))
        self.zero = pg.InfiniteLine(pos=0, angle=0)
        self.error = ErrorBand()
        for plot, items in (
            (self.flux, (self.one, self.two)),
            (self.difference, (self.error, self.zero, self.residual)),
        ):
            for item in items:
                plot.addItem(item, ignoreBounds=True)
            plot.setMouseEnabled(x=True, y=False)
            plot.setClipToView(True)
            plot.getAxis("left").setWidth(58)
        self.flux.setXLink(self.difference)
        self.flux.getAxis("bottom").setStyle(showValues=False)
        self.flux.setLabel("left", "Flux over continuum")
        self.difference.setLabel("left", "Difference")
        self.legend, self.numbers = pg.TextItem(anchor=(0, 0)), pg.TextItem(anchor=(0, 0))
        for text, plot in ((self.legend, self.flux), (self.numbers, self.difference)):
            text.setParentItem(plot.getViewBox())
            text.setPos(6, 2)
        self._colours = ("", "")
        self._names = ("", "")
        self.difference.getViewBox().sigXRangeChanged.connect(self._fit_heights)

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        self.setBackground(theme.panel)
        self._colours = (SERIES[theme.name][2], SERIES[theme.name][1])
        for plot in (self.flux, self.difference):
            style_plot(plot, theme, font)
        for curve, colour in zip((self.one, self.two), self._colours, strict=True):
            curve.setPen(pg.mkPen(colour, width=1))
        self.residual.setPen(pg.mkPen(faded(theme.flux, 0.85), width=1))
        self.zero.setPen(pg.mkPen(theme.line, width=1))
        self.error.setBrush(faded(theme.accent, 0.22))
        for text in (self.legend, self.numbers):
            text.setFont(font)
            text.setColor(theme.text)
            text.fill = pg.mkBrush(faded(theme.panel, 0.85))
        self._write()

    def show_pair(self, names: tuple[str, str], result: Comparison, frame: Frame, view: tuple[float, float]) -> None:
        """Draw two spectra and their difference."""
        self._names = names
        self.one.setData(result.wave, result.one)
        self.two.setData(result.wave, result.two)
        self.residual.setData(result.wave, result.difference)
        self.error.set_data(result.wave, -result.error, result.error)
        self.difference.setLabel("bottom", f"Wavelength at rest (Å, {frame})")
        chi2 = f"{result.chi2:.2f}" if np.isfinite(result.chi2) else "–"
        self.numbers.setText(f"median {result.median:+.4f}   scatter {result.scatter:.4f}   χ² per pixel {chi2}")
        self.difference.setXRange(*view, padding=0)
        self._write()
        self._fit_heights()

    def _write(self) -> None:
        spans = [
            f"<span style='color:{colour}'>{name}</span>"
            for name, colour in zip(self._names, self._colours, strict=True)
        ]
        self.legend.setHtml("&nbsp;&nbsp;".join(spans))

    def _fit_heights(self) -> None:
        low, high = self.difference.viewRange()[0]
        for plot, curves in ((self.flux, (self.one, self.two)), (self.difference, (self.residual,))):
            seen = []
            for curve in curves:
                x, y = curve.getOriginalDataset()
                if x is not None:
                    seen.append(y[(x >= low) & (x <= high) & np.isfinite(y)])
            values = np.concatenate(seen) if seen else np.empty(0)
            if values.size:
                bottom, top = extent(values)
                if plot is self.difference:
                    top = max(abs(bottom), abs(top), 1e-6)
                    bottom = -top
                margin = 0.1 * (top - bottom) or 1.0
                above = 2 if plot is self.flux else 4  # room for the words
                plot.setYRange(bottom - margin, top + above * margin, padding=0)
