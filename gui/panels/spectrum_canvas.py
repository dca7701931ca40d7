"""What the spectrum panel draws: one spectrum with its fit, residuals and gradient, or several above each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QFont

from gui.panels.line_marks import LineMarks
from gui.panels.plot_items import Bands, ErrorBand, bands_of, faded
from gui.panels.residual_scale import ResidualScale
from gui.panels.several import STEP, Several
from gui.panels.spectrum_plots import SpectrumPlots
from gui.theme import Theme
from processing.labels.residuals import deviations, normalised_error
from processing.preparation.air import observed
from processing.report.text import pretty_unit
from processing.spectrum import Frame

if TYPE_CHECKING:
    from gui.reading import ShownSpectrum
    from gui.star_rows import StarRows
    from processing.labels.fit import LabelFit
    from processing.labels.gradients import GradientSpectra


class SpectrumCanvas(SpectrumPlots):
    """The plots with their curves, bands and marks."""

    def __init__(self) -> None:
        super().__init__()
        self.bands, self.residual_bands = Bands(self.flux), Bands(self.residual)
        self.error = ErrorBand()
        self.curve, self.fit_curve, self.sigma_curve = (
            pg.PlotDataItem(connect="finite", antialias=True) for _ in range(3)
        )
        self.zero = pg.InfiniteLine(pos=0, angle=0)
        self.scale = ResidualScale(self.residual)
        self.marker = pg.InfiniteLine(
            pos=0, angle=90, movable=True, label="{value:.2f} Å", labelOpts={"position": 0.05, "movable": False}
        )
        self.marker.setZValue(20)
        self.band = pg.LinearRegionItem(swapMode="sort")
        self.band.setVisible(False)
        self.several = Several(self.flux)
        self.lines = LineMarks(self.flux)
        for item in (self.bands, self.error, self.curve, self.fit_curve, self.band, self.marker):
            self.flux.addItem(item, ignoreBounds=True)
        for item in (self.residual_bands, self.zero, self.sigma_curve):
            self.residual.addItem(item, ignoreBounds=True)
        self.curves = {
            self.flux: (self.curve, self.fit_curve, *self.several.curves),
            self.residual: (self.sigma_curve,),
            self.gradient.plot: (self.gradient.network, self.gradient.physical),
        }
        self.whole: tuple[float, float] | None = None
        """First and last wavelength of the spectrum that is shown."""

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        super().set_theme(theme, font)
        self.curve.setPen(pg.mkPen(faded(theme.flux, 0.75), width=1))
        self.fit_curve.setPen(pg.mkPen(theme.fit, width=1))
        self.sigma_curve.setPen(pg.mkPen(faded(theme.flux, 0.75), width=1))
        self.zero.setPen(pg.mkPen(theme.fit, width=1))
        self.error.setBrush(faded(theme.flux, 0.18))
        for bands in (self.bands, self.residual_bands):
            bands.set_colour(faded(theme.band, 0.16))
        self.marker.setPen(pg.mkPen(theme.accent, width=1.4))
        self.marker.setHoverPen(pg.mkPen(theme.accent, width=3))
        self.marker.label.setColor(theme.accent)
        self.marker.label.setFont(font)
        self.marker.label.fill = pg.mkBrush(faded(theme.panel, 0.85))
        self.band.setBrush(faded(theme.accent, 0.14))
        self.band.setHoverBrush(faded(theme.accent, 0.22))
        for line in self.band.lines:
            line.setPen(pg.mkPen(theme.accent, width=1.4))
        self.lines.set_theme(theme, font)
        self.scale.set_theme(theme, font)
        self.several.set_theme(theme, font)

    def draw_observed(self, shown: ShownSpectrum) -> None:
        """Draw a spectrum as it was extracted."""
        spectrum = shown.observed
        assert spectrum is not None
        good = spectrum.good
        flux = np.where(good, spectrum.flux, np.nan)
        self.curve.setData(spectrum.wave, flux)
        if shown.preview:
            self.error.clear()  # a preview must keep up with the mouse
        else:
            self.error.set_data(spectrum.wave, flux - spectrum.error, flux + spectrum.error)
        self.fit_curve.setData([], [])
        self.sigma_curve.setData([], [])
        self.bands.set_bands(bands_of(spectrum.wave, ~good))
        self.flux.setLabel("left", f"Flux ({pretty_unit(spectrum.flux_unit)})" if spectrum.flux_unit else "Flux")
        self.counts = good
        self.show_range(spectrum.wave)

    def draw_fit(self, shown: ShownSpectrum) -> None:
        """Draw the prepared spectrum with its best fit and residuals."""
        fit, spectrum = shown.fit, shown.observed
        assert fit is not None
        assert spectrum is not None
        wave = observed_wave(fit, spectrum.frame)
        used, error = fit.ivar > 0, normalised_error(fit)
        self.curve.setData(wave, np.asarray(fit.flux, float))
        self.error.set_data(wave, fit.flux - error, fit.flux + error)
        self.fit_curve.setData(wave, np.asarray(fit.best, float))
        self.sigma_curve.setData(wave, deviations(fit))
        self.scale.show(fit.error_scale)
        whole = np.asarray(spectrum.wave)
        masked = bands_of(wave, ~used)
        masked += [(float(whole[0]), float(wave[0])), (float(wave[-1]), float(whole[-1]))]  # beyond the model
        self.bands.set_bands(masked)
        self.residual_bands.set_bands(masked)
        self.gradient.bands.set_bands(masked)
        self.flux.setLabel("left", "Flux over continuum")
        self.residual.setLabel("left", "Residual (σ)")
        self.counts = used if used.any() else np.isfinite(fit.flux)
        self.show_range(whole)

    def draw_gradient(self, fit: LabelFit, gradients: GradientSpectra, label: str, frame: Frame) -> None:
        """Draw which pixels make a label."""
        self.gradient.show(fit, observed_wave(fit, frame), gradients, label)

    def draw_several(self, stars: Sequence[ShownSpectrum], rows: StarRows | None, frame: Frame) -> None:
        """Draw stars one above the other, at rest."""
        self.show_plots(False, False, frame)
        for curve in (self.curve, self.fit_curve, self.sigma_curve):
            curve.setData([], [])
        self.error.clear()
        self.bands.set_bands([])
        self.counts = np.empty(0, bool)
        self.several.show(stars, rows, frame)
        self.flux.setLabel("left", f"Flux over continuum, steps of {STEP:g}")
        self.arrangement = None
        self.flux.setLabel("bottom", f"Wavelength at rest (Å, {frame})")
        self.fit_heights()

    def show_range(self, wave: np.ndarray) -> None:
        """Show the whole spectrum at first; after that the user's own range stays."""
        whole = (float(wave[0]), float(wave[-1]))
        if whole != self.whole:
            self.limit(*whole)
            self.flux.getViewBox().setXRange(*whole, padding=0.01)
        self.whole = whole
        self.fit_heights()


def observed_wave(fit: LabelFit, frame: Frame) -> np.ndarray:
    """Return a fit's pixels where they were observed, Angstrom in a frame; at rest where no velocity was found."""
    return observed(fit.wave, fit.frame, fit.rv if math.isfinite(fit.rv) else 0.0, frame)
