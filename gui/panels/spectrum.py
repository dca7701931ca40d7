"""The spectrum panel: flux with its error, best fit, masks and line names; below it residuals and gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QToolButton, QVBoxLayout

from gui.document import Document, ShownSpectrum
from gui.panels.mask_tool import MaskTool
from gui.panels.panel import Elided, EmptyState, Panel, Segments
from gui.panels.plot_items import (
    Bands,
    ErrorBand,
    LineNames,
    bands_of,
    faded,
    pretty_unit,
)
from gui.panels.several import AT_MOST, STEP, Several
from gui.panels.spectrum_plots import SpectrumPlots
from gui.selection import Aperture, Band, Selection, Spaxel
from gui.theme import GRID, Theme, ThemeManager
from processing.preparation.air import SPEED_OF_LIGHT, in_frame, observed
from processing.spectrum import Frame

if TYPE_CHECKING:
    from processing.labels.gradients import GradientSpectra

LOW = 300
"""In a panel that is no higher than this, gradients take the place of the residuals."""
VIEWS = (
    ("fit", "Fit", "The prepared spectrum with the best fit and the residuals"),
    ("observed", "Observed", "The spectrum as it was extracted"),
    ("several", "Several", "The chosen stars one above the other, at rest"),
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
        self._stars: list[ShownSpectrum] = []
        self._gradients: tuple[str, GradientSpectra] | None = None
        self.plots = SpectrumPlots()
        self.undo = QUndoStack(self)
        self.masking = MaskTool(document, self.plots, self.undo)
        self._build_header()
        self._build_plots()
        document.cube_changed.connect(self._on_cube)
        document.results_changed.connect(self._on_results)
        document.spectrum_ready.connect(self._on_spectrum)
        document.several_ready.connect(self._on_several)
        document.gradients_ready.connect(self._on_gradients)
        selection.star_changed.connect(self._on_star)
        selection.chosen_changed.connect(self._on_chosen)
        selection.spaxel_changed.connect(self._on_spaxel)
        selection.aperture_changed.connect(self._on_aperture)
        selection.band_changed.connect(self._on_band)
        selection.wavelength_changed.connect(self._on_wavelength)
        selection.label_changed.connect(self._on_label)
        self.finish()

    # Building

    def _build_header(self) -> None:
        self.subtitle = Elided()
        self.subtitle.setObjectName("muted")
        self.subtitle.setMinimumWidth(6 * GRID)
        self.views = Segments(VIEWS)
        self.views.choose("fit")
        self.views.button("several").hide()
        self.views.chosen.connect(self._on_view)
        self.lines_button = QToolButton()
        self.lines_button.setText("Lines")
        self.lines_button.setCheckable(True)
        self.lines_button.setChecked(True)
        self.lines_button.setToolTip("Names of strong stellar lines, at the star's velocity (L)")
        self.header.optional = [self.lines_button, self.masking.box]
        for widget in (self.subtitle, self.views, self.masking.box, self.lines_button):
            self.header.tools.addWidget(widget, 1 if widget is self.subtitle else 0)

    def _build_plots(self) -> None:
        self.flux, self.residual, self.gradient = self.plots.flux, self.plots.residual, self.plots.gradient
        self.plots.box.band_dragged.connect(self._on_band_dragged)
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
        self.band = pg.LinearRegionItem(swapMode="sort")
        self.band.setVisible(False)
        self.band.sigRegionChanged.connect(self._on_band_moved)
        self.several = Several(self.flux)
        self.names = LineNames(self.flux)
        self.lines_button.toggled.connect(self.names.set_visible)
        for item in (self.bands, self.error, self.curve, self.fit_curve, self.band, self.marker):
            self.flux.addItem(item, ignoreBounds=True)
        for item in (self.residual_bands, self.zero, self.sigma_curve):
            self.residual.addItem(item, ignoreBounds=True)
        self.plots.curves = {
            self.flux: (self.curve, self.fit_curve, *self.several.curves),
            self.residual: (self.sigma_curve,),
            self.gradient.plot: (self.gradient.network, self.gradient.physical),
        }
        self.plots.scene().sigMouseClicked.connect(self._on_clicked)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 4)
        column.addWidget(self.plots)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        small = self.themes.small_font
        self.plots.set_theme(theme, small)
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
        self.marker.label.setFont(small)
        self.marker.label.fill = pg.mkBrush(faded(theme.panel, 0.85))
        self.band.setBrush(faded(theme.accent, 0.14))
        self.band.setHoverBrush(faded(theme.accent, 0.22))
        for line in self.band.lines:
            line.setPen(pg.mkPen(theme.accent, width=1.4))
        self.names.set_theme(theme, small)
        self.several.set_theme(theme, small)
        self.masking.set_theme(theme)

    # What is asked for

    @Slot(str)
    def _on_star(self, star_id: str) -> None:
        if star_id:
            self._document.ask_star(star_id)
        elif self._selection.nothing:
            self._clear()

    @Slot(object)
    def _on_spaxel(self, spaxel: Spaxel | None) -> None:
        if spaxel is not None:
            self._document.ask_spaxel(*spaxel)
        elif self._selection.nothing:
            self._clear()

    @Slot(object)
    def _on_aperture(self, aperture: Aperture | None) -> None:
        if aperture is not None:
            self._document.ask_aperture(aperture)
        elif self._selection.nothing:
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
        if shown.preview and not self._selection.nothing:
            return
        if self._shown is not None and self._shown.title != shown.title:
            self._gradients = None
        self._shown = shown
        self._draw()

    @Slot(object)
    def _on_chosen(self, star_ids: tuple[str, ...]) -> None:
        """Read several stars, or go back to one."""
        self._stars = []
        self.views.button("several").setVisible(bool(star_ids))
        if star_ids:
            self._document.ask_several(star_ids[:AT_MOST])
        elif self.views.current == "several":
            self.views.choose("fit")
            self._draw()

    @Slot(object)
    def _on_several(self, stars: list[ShownSpectrum]) -> None:
        self._stars = stars
        if self.views.current == "several":
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
        several = self.views.current == "several" and bool(self._stars)
        self.views.setVisible(shown is not None and (shown.fit is not None or several))
        self.show_body(shown is not None and shown.observed is not None)
        self.masking.show_star(None)
        if shown is None or shown.observed is None:
            return
        self.marker.setVisible(not several and self._document.cube is not None)
        if several:
            self._draw_several(shown.observed.frame)
            return
        self.several.clear()
        fitted = shown.fit is not None and self.views.current == "fit"
        if fitted:
            self.masking.show_star(shown)
        gradient = fitted and self._draw_gradient(shown)
        self.plots.show_plots(fitted and (not gradient or self.height() > LOW), gradient, shown.observed.frame)
        if fitted:
            self._draw_fit(shown)
        else:
            self._draw_observed(shown)
        self.plots.fit_titles()
        velocity = shown.fit.rv if shown.fit is not None and math.isfinite(shown.fit.rv) else 0.0
        self._place_names(shown.observed.frame, 1.0 + velocity / SPEED_OF_LIGHT)

    def _draw_gradient(self, shown: ShownSpectrum) -> bool:
        """Draw which pixels make the current label; ask for what is not known yet."""
        label, fit = self._selection.label, shown.fit
        if fit is None or label not in fit.labels or not math.isfinite(fit.rv) or shown.observed is None:
            return False
        if self._gradients is None or self._gradients[0] != fit.star_id:
            self._document.ask_gradients(fit)
            return self.gradient.plot in self.plots.shown
        wave = observed(fit.wave, fit.frame, fit.rv, shown.observed.frame)
        self.gradient.show(fit, wave, self._gradients[1], label)
        return True

    def _draw_several(self, frame: Frame) -> None:
        self.plots.show_plots(False, False, frame)
        for curve in (self.curve, self.fit_curve, self.sigma_curve):
            curve.setData([], [])
        self.error.clear()
        self.bands.set_bands([])
        self.plots.counts = np.empty(0, bool)
        self.several.show(self._stars, self._document.rows, frame)
        self.flux.setLabel("left", f"Flux over continuum, steps of {STEP:g}")
        self.flux.setLabel("bottom", f"Wavelength at rest (Å, {frame})")
        self._place_names(frame, 1.0)
        self.plots.fit_heights()

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
        self.plots.counts = good
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
        self.plots.counts = used if used.any() else np.isfinite(fit.flux)
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
            self.plots.limit(*whole)
            view.setXRange(*whole, padding=0.01)
        self._range = whole
        self.plots.fit_heights()

    # Wavelength

    @Slot(float)
    def _on_wavelength(self, wavelength: float) -> None:
        self.marker.setVisible(self._document.cube is not None and self.views.current != "several")
        if math.isfinite(wavelength):
            self.marker.setPos(wavelength)

    @Slot(object)
    def _on_band(self, band: Band | None) -> None:
        self.band.setVisible(band is not None)
        if band is not None and tuple(self.band.getRegion()) != band:
            self.band.setRegion(band)

    @Slot(float, float)
    def _on_band_dragged(self, start: float, stop: float) -> None:
        if self._document.cube is not None and start < stop and not self.masking.drawing:
            self._selection.set_band((start, stop))

    def _on_band_moved(self) -> None:
        if self.band.isVisible():
            low, high = self.band.getRegion()
            self._selection.set_band((float(low), float(high)))

    def _on_cursor_dragged(self) -> None:
        self._selection.set_wavelength(float(self.marker.value()))

    def _on_clicked(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        """Show the slice of the wavelength that was clicked; a double-click shows the whole spectrum."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        view = self.flux.getViewBox()
        if event.double() and self._range is not None:
            view.setXRange(*self._range, padding=0.01)
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            return
        elif self._document.cube is not None and self.plots.sceneRect().contains(event.scenePos()):
            self._selection.set_wavelength(float(view.mapSceneToView(event.scenePos()).x()))

    def sizeHint(self) -> QSize:
        """Wide."""
        return QSize(800, 420)
