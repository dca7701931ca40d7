"""The spectrum panel: flux with its error, best fit, masks and line names; below it residuals and gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtWidgets import QToolButton, QVBoxLayout

from gui.document import Document, ShownSpectrum
from gui.panels.gradient_plot import GradientPlot
from gui.panels.panel import Elided, EmptyState, Panel, Segments
from gui.panels.plot_items import (
    Bands,
    ErrorBand,
    LineNames,
    bands_of,
    extent,
    faded,
    pretty_unit,
    smoothed,
    style_plot,
)
from gui.selection import Selection, Spaxel
from gui.theme import Theme, ThemeManager
from processing.preparation.air import SPEED_OF_LIGHT, in_frame, observed
from processing.spectrum import Frame

if TYPE_CHECKING:
    from processing.labels.gradients import GradientSpectra

VIEWS = (
    ("fit", "Fit", "The prepared spectrum with the best fit and the residuals"),
    ("observed", "Observed", "The spectrum as it was extracted"),
)


class SpectrumPanel(Panel):
    """Shows the spectrum of the current star, of the pinned spaxel, or of the spaxel under the mouse."""

    name = "spectrum"
    title = "Spectrum"

    def __init__(self, document: Document, selection: Selection, themes: ThemeManager) -> None:
        super().__init__(
            themes, EmptyState("spectrum", "No spectrum yet", "Click on a star or anywhere on the image. "
                               "After a run, a star shows its best fit and residuals."),
        )  # fmt: skip
        self._document, self._selection = document, selection
        self._shown: ShownSpectrum | None = None
        self._range: tuple[float, float] | None = None
        self._counts = np.empty(0, bool)
        self._gradients: tuple[str, GradientSpectra] | None = None
        self._build_header()
        self._build_plots()
        document.cube_changed.connect(self._on_cube)
        document.results_changed.connect(self._on_results)
        document.spectrum_ready.connect(self._on_spectrum)
        document.gradients_ready.connect(self._on_gradients)
        selection.star_changed.connect(self._on_star)
        selection.spaxel_changed.connect(self._on_spaxel)
        selection.wavelength_changed.connect(self._on_wavelength)
        selection.label_changed.connect(self._on_label)
        self.finish()

    # Building

    def _build_header(self) -> None:
        self.subtitle = Elided()
        self.subtitle.setObjectName("muted")
        self.views = Segments(VIEWS)
        self.views.choose("fit")
        self.views.chosen.connect(self._on_view)
        self.lines_button = QToolButton()
        self.lines_button.setText("Lines")
        self.lines_button.setCheckable(True)
        self.lines_button.setChecked(True)
        self.lines_button.setToolTip("Names of strong stellar lines, at the star's velocity (L)")
        self.lines_button.toggled.connect(self._on_lines)
        self.header.tools.addWidget(self.subtitle, 1)
        self.header.tools.addWidget(self.views)
        self.header.tools.addWidget(self.lines_button)

    def _build_plots(self) -> None:
        self.plots = pg.GraphicsLayoutWidget()
        self.plots.setAccessibleName("Spectrum")
        self.plots.ci.layout.setContentsMargins(6, 4, 12, 4)
        self.plots.ci.layout.setVerticalSpacing(2)
        self.flux: pg.PlotItem = self.plots.addPlot(row=0, col=0)
        self.residual: pg.PlotItem = self.plots.addPlot(row=1, col=0)
        self.gradient = GradientPlot()
        self._all = (self.flux, self.residual, self.gradient.plot)
        for plot in self._all:
            plot.setMouseEnabled(x=True, y=False)
            plot.setClipToView(True)
            plot.getViewBox().sigXRangeChanged.connect(self._on_range)
            plot.getViewBox().sigResized.connect(self._fit_titles)
        self.bands, self.residual_bands = Bands(self.flux), Bands(self.residual)
        self.error = ErrorBand()
        self.curve, self.fit_curve, self.sigma_curve = (
            pg.PlotDataItem(connect="finite", antialias=True) for _ in range(3)
        )
        self.zero = pg.InfiniteLine(pos=0, angle=0)
        self.marker = pg.InfiniteLine(
            pos=0, angle=90, movable=True, label="{value:.2f} Å", labelOpts={"position": 0.05, "movable": False}
        )
        self.marker.setZValue(20)
        self.marker.sigDragged.connect(self._on_cursor_dragged)
        self.names = LineNames(self.flux)
        for item in (self.bands, self.error, self.curve, self.fit_curve, self.marker):
            self.flux.addItem(item, ignoreBounds=True)
        for item in (self.residual_bands, self.zero, self.sigma_curve):
            self.residual.addItem(item, ignoreBounds=True)
        self.plots.scene().sigMouseClicked.connect(self._on_clicked)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 4)
        column.addWidget(self.plots)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        small = self.themes.small_font
        self.plots.setBackground(theme.panel)
        for plot in (self.flux, self.residual):
            style_plot(plot, theme, small)
        self.curve.setPen(pg.mkPen(faded(theme.flux, 0.75), width=1))
        self.fit_curve.setPen(pg.mkPen(theme.fit, width=1))
        self.sigma_curve.setPen(pg.mkPen(faded(theme.flux, 0.75), width=1))
        self.zero.setPen(pg.mkPen(theme.fit, width=1))
        self.error.setBrush(faded(theme.flux, 0.18))
        self.gradient.set_theme(theme, small)
        for bands in (self.bands, self.residual_bands):
            bands.set_colour(faded(theme.band, 0.16))
        self.marker.setPen(pg.mkPen(theme.accent, width=1.4))
        self.marker.setHoverPen(pg.mkPen(theme.accent, width=3))
        self.marker.label.setColor(theme.accent)
        self.marker.label.setFont(small)
        self.marker.label.fill = pg.mkBrush(faded(theme.panel, 0.85))
        self.names.set_theme(theme, small)

    # What is asked for

    @Slot(str)
    def _on_star(self, star_id: str) -> None:
        if star_id:
            self._document.ask_star(star_id)
        elif self._selection.spaxel is None:
            self._clear()

    @Slot(object)
    def _on_spaxel(self, spaxel: Spaxel | None) -> None:
        if spaxel is not None:
            self._document.ask_spaxel(*spaxel)
        elif not self._selection.star:
            self._clear()

    @Slot()
    def _on_cube(self) -> None:
        self._range = None
        self._clear()

    @Slot()
    def _on_results(self) -> None:
        if self._selection.star:
            self._document.ask_star(self._selection.star)

    @Slot(object)
    def _on_spectrum(self, shown: ShownSpectrum) -> None:
        pinned = bool(self._selection.star) or self._selection.spaxel is not None
        if shown.preview and pinned:
            return
        self._shown = shown
        self._draw()

    @Slot(str)
    def _on_label(self, label: str) -> None:
        self._draw()

    @Slot(str, object)
    def _on_gradients(self, star_id: str, gradients: GradientSpectra) -> None:
        self._gradients = (star_id, gradients)
        if self._shown is not None and self._shown.fit is not None and self._shown.fit.star_id == star_id:
            self._draw()

    @Slot()
    def end_preview(self) -> None:
        """Let go of the spaxel under the mouse: it has left the image."""
        if self._shown is not None and self._shown.preview:
            self._clear()

    def _clear(self) -> None:
        self._shown = None
        self._draw()

    # Drawing

    @Slot()
    def _on_view(self) -> None:
        self._draw()

    def _draw(self) -> None:
        """Show what there is: the fit, the observed spectrum, or why there is none."""
        shown = self._shown
        self.subtitle.set_text(self._describe(shown))
        self.views.setVisible(shown is not None and shown.fit is not None)
        self.show_body(shown is not None and shown.observed is not None)
        if shown is None or shown.observed is None:
            return
        fitted = shown.fit is not None and self.views.current == "fit"
        self._show_plots(fitted, fitted and self._draw_gradient(shown))
        if fitted:
            self._draw_fit(shown)
        else:
            self._draw_observed(shown)
        self._title_wavelengths(shown.observed.frame)
        velocity = shown.fit.rv if shown.fit is not None and math.isfinite(shown.fit.rv) else 0.0
        self._place_names(shown.observed.frame, 1.0 + velocity / SPEED_OF_LIGHT)

    def _show_plots(self, residual: bool, gradient: bool) -> None:
        """Give the lower plots their room, or none."""
        layout = self.plots.ci.layout
        for row, (plot, shown) in enumerate(zip(self._all, (True, residual, gradient), strict=True)):
            there = plot in self.plots.ci.items
            if shown and not there:
                self.plots.addItem(plot, row=row, col=0)
                plot.setXRange(*self.flux.getViewBox().viewRange()[0], padding=0)
            elif there and not shown:
                self.plots.removeItem(plot)
            layout.setRowStretchFactor(row, (5, 2, 3)[row] if shown else 0)

    def _title_wavelengths(self, frame: Frame) -> None:
        """Write the wavelengths below the lowest plot alone."""
        there = [plot for plot in self._all if plot in self.plots.ci.items]
        for plot in there:
            lowest = plot is there[-1]
            plot.getAxis("bottom").setStyle(showValues=lowest)
            plot.setLabel("bottom", f"Wavelength (Å, {frame})" if lowest else None)
            plot.getAxis("bottom").showLabel(lowest)
        self._fit_titles()

    def _draw_gradient(self, shown: ShownSpectrum) -> bool:
        """Draw which pixels make the current label; ask for what is not known yet."""
        label, fit = self._selection.label, shown.fit
        if fit is None or label not in fit.labels or not math.isfinite(fit.rv) or shown.observed is None:
            return False
        if self._gradients is None or self._gradients[0] != fit.star_id:
            self._document.ask_gradients(fit)
            return self.gradient.plot in self.plots.ci.items
        wave = observed(fit.wave, fit.frame, fit.rv, shown.observed.frame)
        self.gradient.show(fit, wave, self._gradients[1], label)
        return True

    def _draw_observed(self, shown: ShownSpectrum) -> None:
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
        self._counts = good
        self._set_range(spectrum.wave)

    def _draw_fit(self, shown: ShownSpectrum) -> None:
        fit, spectrum = shown.fit, shown.observed
        assert fit is not None
        assert spectrum is not None
        wave = observed(fit.wave, fit.frame, fit.rv if math.isfinite(fit.rv) else 0.0, spectrum.frame)
        used = fit.ivar > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(used, 1.0 / np.sqrt(fit.ivar), np.nan)
            sigma = np.where(used, (fit.flux - fit.best) / error, np.nan)
        self.curve.setData(wave, np.asarray(fit.flux, float))
        self.error.set_data(wave, fit.flux - error, fit.flux + error)
        self.fit_curve.setData(wave, np.asarray(fit.best, float))
        self.sigma_curve.setData(wave, sigma)
        whole = np.asarray(spectrum.wave)
        masked = bands_of(wave, ~used)
        masked += [(float(whole[0]), float(wave[0])), (float(wave[-1]), float(whole[-1]))]  # beyond the model
        self.bands.set_bands(masked)
        self.residual_bands.set_bands(masked)
        self.gradient.bands.set_bands(masked)
        self.flux.setLabel("left", "Flux over continuum")
        self.residual.setLabel("left", "Residual (σ)")
        self._counts = used if used.any() else np.isfinite(fit.flux)
        self._set_range(whole)

    def _describe(self, shown: ShownSpectrum | None) -> str:
        """Return the line beside the title: whose spectrum, and what the fit says."""
        if shown is None:
            return ""
        parts = [shown.title]
        rows = self._document.rows
        if shown.fit is not None and rows is not None and shown.title in rows.index:
            row = rows.index[shown.title]
            parts += [rows.describe(name, row) for name in ("teff", "logg", "fe_h", "rv", "red_chi2")]
        return "   ".join(parts)

    def _place_names(self, frame: Frame, velocity_factor: float) -> None:
        self.names.place(in_frame(self.names.waves, "air", frame), velocity_factor)

    def _set_range(self, wave: np.ndarray) -> None:
        """Show the whole spectrum at first; after that the user's own range stays."""
        whole = (float(wave[0]), float(wave[-1]))
        view = self.flux.getViewBox()
        if whole != self._range:
            for plot in self._all:
                plot.getViewBox().setLimits(xMin=whole[0] - 200, xMax=whole[1] + 200, minXRange=10)
            view.setXRange(*whole, padding=0.01)
        self._range = whole
        self._fit_height()

    @Slot(object, object)
    def _on_range(self, view: object, limits: tuple[float, float]) -> None:
        """Keep all plots on the same wavelengths (pyqtgraph's own link goes astray while a plot is put in)."""
        there = [plot for plot in self._all if plot in self.plots.ci.items]
        if not any(view is plot.getViewBox() for plot in there):
            return
        for plot in there:
            if tuple(plot.getViewBox().viewRange()[0]) != tuple(limits):
                plot.setXRange(*limits, padding=0)
        self._fit_height()

    @Slot()
    def _fit_height(self) -> None:
        """Let the heights follow what is in sight; a few outlying pixels may leave the plot."""
        low, high = self.flux.getViewBox().viewRange()[0]
        for plot, curves, least in (
            (self.flux, (self.curve, self.fit_curve), 0.0),
            (self.residual, (self.sigma_curve,), 5.0),
            (self.gradient.plot, (self.gradient.network, self.gradient.physical), 1e-9),
        ):
            values = []
            for curve in curves:
                x, y = curve.getOriginalDataset()
                if x is not None and len(x):
                    inside = (x >= low) & (x <= high) & np.isfinite(y)
                    if curve is self.curve and len(self._counts) == len(x):
                        inside &= self._counts
                    values.append(smoothed(y[inside]))
            together = np.concatenate(values) if values else np.empty(0)
            if together.size:
                bottom, top = extent(together)
                if least:
                    top = max(least, abs(bottom), abs(top))
                    bottom = -top
                margin = 0.08 * (top - bottom) or 1.0
                plot.setYRange(bottom - margin, top + margin * (2 if plot is self.flux else 1), padding=0)

    @Slot(bool)
    def _on_lines(self, shown: bool) -> None:
        self.names.set_visible(shown)

    # Wavelength

    @Slot(float)
    def _on_wavelength(self, wavelength: float) -> None:
        self.marker.setVisible(self._document.cube is not None)
        if math.isfinite(wavelength):
            self.marker.setPos(wavelength)

    def _on_cursor_dragged(self) -> None:
        self._selection.set_wavelength(float(self.marker.value()))

    def _on_clicked(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        """Show the slice of the wavelength that was clicked; a double-click shows the whole spectrum."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        view = self.flux.getViewBox()
        if event.double() and self._range is not None:
            view.setXRange(*self._range, padding=0.01)
        elif self._document.cube is not None and self.plots.sceneRect().contains(event.scenePos()):
            self._selection.set_wavelength(float(view.mapSceneToView(event.scenePos()).x()))

    @Slot()
    def _fit_titles(self) -> None:
        """Leave the titles of the axes away where they would not fit."""
        axes = [(plot.getAxis("left"), plot.getViewBox().height()) for plot in self._all]
        fits = [axis.label.boundingRect().width() < height for axis, height in axes]
        for (axis, _), fitting in zip(axes, fits, strict=True):
            axis.label.setVisible(fitting)
            axis.setWidth(58 if any(fits) else 44)

    def sizeHint(self) -> QSize:
        """Wide."""
        return QSize(800, 420)
