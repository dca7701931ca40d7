"""The four stages of a spectrum one above the other: as observed, normalised, fitted, left over (Fig. 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QFont

from gui.panels.plot_items import Bands, ErrorBand, bands_of, extent, faded, smoothed, style_plot
from gui.panels.spectrum_canvas import observed_wave
from gui.theme import Theme
from processing.labels.residuals import deviations, normalised_error
from processing.report.text import pretty_unit

if TYPE_CHECKING:
    from gui.reading import ShownSpectrum

STAGES = ("Observed", "Normalised", "Best fit", "Residual (σ)")


class StageView(pg.GraphicsLayoutWidget):
    """Four plots on the same wavelengths."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Spectrum in four stages")
        self.ci.layout.setContentsMargins(6, 4, 12, 4)
        self.ci.layout.setVerticalSpacing(2)
        self.plots: list[pg.PlotItem] = [self.addPlot(row=row, col=0, enableMenu=False) for row in range(len(STAGES))]
        self.bands = [Bands(plot) for plot in self.plots]
        self.curves = [pg.PlotDataItem(connect="finite", antialias=True) for _ in STAGES]
        self.errors = [ErrorBand(), ErrorBand()]
        for plot, bands, curve in zip(self.plots, self.bands, self.curves, strict=True):
            plot.addItem(bands, ignoreBounds=True)
            plot.addItem(curve, ignoreBounds=True)
            plot.setMouseEnabled(x=True, y=False)
            plot.setClipToView(True)
            plot.getAxis("left").setWidth(58)
            last = plot is self.plots[-1]
            plot.getAxis("bottom").setStyle(showValues=last)
            if not last:
                plot.setXLink(self.plots[-1])
        for plot, error in zip(self.plots, self.errors, strict=False):
            plot.addItem(error, ignoreBounds=True)
        self.plots[-1].getViewBox().sigXRangeChanged.connect(self._fit_heights)

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        self.setBackground(theme.panel)
        for plot, bands, curve, colour in zip(
            self.plots, self.bands, self.curves, (theme.flux, theme.flux, theme.fit, theme.flux), strict=True
        ):
            style_plot(plot, theme, font)
            bands.set_colour(faded(theme.band, 0.16))
            curve.setPen(pg.mkPen(colour if colour == theme.fit else faded(colour, 0.75), width=1))
        for error in self.errors:
            error.setBrush(faded(theme.flux, 0.18))

    def show_star(self, shown: ShownSpectrum, view: tuple[float, float]) -> None:
        """Draw a star with its fit, in a range of wavelengths."""
        spectrum, fit = shown.observed, shown.fit
        assert spectrum is not None
        assert fit is not None
        wave, error = observed_wave(fit, spectrum.frame), normalised_error(fit)
        flux = np.where(spectrum.good, spectrum.flux, np.nan)
        self.curves[0].setData(spectrum.wave, flux)
        self.errors[0].set_data(spectrum.wave, flux - spectrum.error, flux + spectrum.error)
        self.errors[1].set_data(wave, fit.flux - error, fit.flux + error)
        for curve, values in zip(self.curves[1:], (fit.flux, fit.best, deviations(fit)), strict=True):
            curve.setData(wave, np.asarray(values, float))
        self.bands[0].set_bands(bands_of(spectrum.wave, ~spectrum.good))
        for bands in self.bands[1:]:
            bands.set_bands(bands_of(wave, fit.ivar <= 0))
        unit = f" ({pretty_unit(spectrum.flux_unit)})" if spectrum.flux_unit else ""
        for plot, title in zip(self.plots, (STAGES[0], *STAGES[1:]), strict=True):
            plot.setLabel("left", title)
        self.plots[0].setToolTip(f"Flux{unit}")
        self.plots[-1].setLabel("bottom", f"Wavelength (Å, {spectrum.frame})")
        self.plots[-1].setXRange(*view, padding=0)
        self._fit_heights()

    def _fit_heights(self) -> None:
        low, high = self.plots[-1].viewRange()[0]
        for plot, curve in zip(self.plots, self.curves, strict=True):
            x, y = curve.getOriginalDataset()
            if x is None:
                continue
            seen = y[(x >= low) & (x <= high) & np.isfinite(y)]
            if seen.size:
                bottom, top = extent(smoothed(seen))
                margin = 0.08 * (top - bottom) or 1.0
                plot.setYRange(bottom - margin, top + margin, padding=0)
