"""The spectrum panel: which spectrum is shown, in which view, and what the mouse does in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QStackedWidget, QToolButton, QVBoxLayout, QWidget

from gui.document import Document
from gui.jobs import JobRunner
from gui.panels.line_marks import Group
from gui.panels.mask_tool import MaskTool
from gui.panels.panel import Elided, EmptyState, Panel, Segments
from gui.panels.several import AT_MOST
from gui.panels.spectrum_canvas import SpectrumCanvas
from gui.panels.spectrum_commands import SpectrumCommands
from gui.panels.spectrum_menu import MORE_VIEWS, SpectrumMenu
from gui.panels.spectrum_views import SpectrumViews
from gui.reading import ShownSpectrum
from gui.refitting import Refitter
from gui.selection import Aperture, Band, Selection, Spaxel
from gui.settings import Preferences
from gui.theme import GRID, Theme, ThemeManager
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
    extend_menu = Signal(object)
    """The panel's `QMenu`, about to be shown: others may add to it."""

    def __init__(
        self,
        document: Document,
        selection: Selection,
        themes: ThemeManager,
        runner: JobRunner,
        preferences: Preferences,
        undo: QUndoStack,
    ) -> None:
        super().__init__(
            themes, EmptyState("spectrum", "No spectrum yet", "Click on a star or anywhere on the image. "
                               "After a run, a star shows its best fit and residuals."),
        )  # fmt: skip
        self._document, self.selection = document, selection
        self._shown: ShownSpectrum | None = None
        self._stars: list[ShownSpectrum] = []
        self._gradients: tuple[str, GradientSpectra] | None = None
        self.view = "fit"
        """One of `VIEWS` or of the menu's further views."""
        self.plots = SpectrumCanvas()
        self.undo = undo
        self.refitter = Refitter(document, runner, self.undo, self)
        self.masking = MaskTool(document, self.plots, self.undo, self.refitter)
        self.commands = SpectrumCommands(self, document, runner, preferences)
        self._build_header()
        self._build_body()
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
        self.subtitle.setMinimumWidth(3 * GRID)
        self.views = Segments(VIEWS)
        self.views.choose("fit")
        self.views.button("several").hide()
        self.views.chosen.connect(self.show_view)
        self.lines_button = QToolButton()
        self.lines_button.setText("Lines")
        self.lines_button.setCheckable(True)
        self.lines_button.setChecked(True)
        self.lines_button.setToolTip("Names of stellar lines, at the star's velocity (L)")
        self.more = SpectrumMenu(self)
        self.more.view_chosen.connect(self.show_view)
        self.more.velocity_changed.connect(self._on_velocity)
        self.header.optional = [self.lines_button, self.masking.box]
        for widget in (self.subtitle, self.views, self.masking.box, self.lines_button, self.more):
            self.header.tools.addWidget(widget, 1 if widget is self.subtitle else 0)

    def _build_body(self) -> None:
        self.flux, self.residual, self.gradient = self.plots.flux, self.plots.residual, self.plots.gradient
        self.curve, self.fit_curve, self.error = self.plots.curve, self.plots.fit_curve, self.plots.error
        self.marker, self.band, self.several = self.plots.marker, self.plots.band, self.plots.several
        self.plots.box.band_dragged.connect(self._on_band_dragged)
        self.marker.sigDragged.connect(self._on_cursor_dragged)
        self.band.sigRegionChanged.connect(self._on_band_moved)
        self.lines_button.toggled.connect(self._on_lines)
        self.plots.scene().sigMouseClicked.connect(self._on_clicked)
        self.further = SpectrumViews()
        self.pages = QStackedWidget()
        self.pages.addWidget(self.plots)
        self.pages.addWidget(self.further)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 4)
        column.addWidget(self.pages)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self.plots.set_theme(theme, self.themes.small_font)
        self.further.set_theme(theme, self.themes.small_font)
        self.masking.set_theme(theme)

    # What is there

    @property
    def shown(self) -> ShownSpectrum | None:
        """The spectrum that is shown, or None."""
        return self._shown

    @property
    def velocity(self) -> float:
        """The star's velocity, km/s; 0 where none was found."""
        fit = self._shown.fit if self._shown is not None else None
        return fit.rv if fit is not None and math.isfinite(fit.rv) else 0.0

    @property
    def pair(self) -> tuple[ShownSpectrum, ShownSpectrum] | None:
        """The two that can be compared: two chosen stars, or a star's refit and the run's own fit."""
        fitted = [star for star in self._stars if star.fit is not None]
        if len(fitted) == 2:
            return fitted[0], fitted[1]
        return self.refitter.pair

    @property
    def pair_possible(self) -> bool:
        """True where there are two spectra to compare."""
        return self.pair is not None

    @property
    def canvas(self) -> QWidget:
        """The view that is shown, to be saved as a picture."""
        return self.plots if self.pages.currentWidget() is self.plots else self.further.current

    # What is asked for

    @Slot(str)
    def _on_star(self, star_id: str) -> None:
        if star_id:
            self._document.ask_star(star_id)
        elif self.selection.nothing:
            self._clear()

    @Slot(object)
    def _on_spaxel(self, spaxel: Spaxel | None) -> None:
        if spaxel is not None:
            self._document.ask_spaxel(*spaxel)
        elif self.selection.nothing:
            self._clear()

    @Slot(object)
    def _on_aperture(self, aperture: Aperture | None) -> None:
        if aperture is not None:
            self._document.ask_aperture(aperture)
        elif self.selection.nothing:
            self._clear()

    @Slot()
    def _on_cube(self) -> None:
        self.plots.whole = None
        self._clear()

    @Slot()
    def _on_results(self) -> None:
        if self.selection.star:
            self._document.ask_star(self.selection.star)

    @Slot(object)
    def _on_spectrum(self, shown: ShownSpectrum) -> None:
        if shown.preview and not self.selection.nothing:
            return
        if self._shown is None or self._shown.title != shown.title:
            self._gradients = None
            self.more.velocity = float("nan")
        self._shown = shown
        self._draw()

    @Slot(object)
    def _on_chosen(self, star_ids: tuple[str, ...]) -> None:
        """Read several stars, or go back to one."""
        self._stars = []
        self.views.button("several").setVisible(bool(star_ids))
        if star_ids:
            self._document.ask_several(star_ids[:AT_MOST])
        elif self.view in ("several", "pair"):
            self.show_view("fit")

    @Slot(object)
    def _on_several(self, stars: list[ShownSpectrum]) -> None:
        self._stars = stars
        if self.view in ("several", "pair"):
            self._draw()

    @Slot(str)
    def _on_label(self, label: str) -> None:
        self._draw()

    @Slot(str, object)
    def _on_gradients(self, star_id: str, gradients: GradientSpectra) -> None:
        self._gradients = (star_id, gradients)
        shown = self._shown
        if shown is None or shown.fit is None or shown.fit.star_id != star_id:
            return
        if self.view == "fit" and self.gradient.plot in self.plots.shown and self._draw_gradient(shown):
            self.plots.fit_heights()  # all else is drawn already
        else:
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

    @Slot(str)
    def show_view(self, name: str) -> None:
        """Change to another view."""
        self.view = name
        further = name in {key for key, _, _ in MORE_VIEWS}
        self.views.choose("" if further else name)
        self.more.setChecked(further)
        self._draw()

    def _draw(self) -> None:
        """Show what there is: the fit, the observed spectrum, or why there is none."""
        shown = self._shown
        self.subtitle.set_text(self._describe(shown))
        several = self.view == "several" and bool(self._stars)
        fitted = shown is not None and shown.fit is not None
        self.views.setVisible(shown is not None and (fitted or several))
        self.show_body(shown is not None and shown.observed is not None)
        self.masking.show_star(None)
        if shown is None or shown.observed is None:
            return
        low, high = self.flux.viewRange()[0]
        if fitted and self.further.draw(self.view, shown, self.pair, (low, high)):
            self.pages.setCurrentWidget(self.further)
            return
        self.pages.setCurrentWidget(self.plots)
        self.marker.setVisible(not several and self._document.cube is not None)
        if several:
            self.plots.draw_several(self._stars, self._document.rows, shown.observed.frame)
            self.plots.lines.place(shown.observed.frame, 0.0)
            return
        self.several.clear()
        self._draw_star(shown, shown.observed.frame, fitted and self.view != "observed")

    def _draw_star(self, shown: ShownSpectrum, frame: Frame, fitted: bool) -> None:
        if fitted:
            self.masking.show_star(shown)
        gradient = fitted and self._draw_gradient(shown)
        self.plots.show_plots(fitted and (not gradient or self.height() > LOW), gradient, frame)
        if fitted:
            self.plots.draw_fit(shown)
        else:
            self.plots.draw_observed(shown)
        self.plots.fit_titles()
        self._place_lines()

    def _draw_gradient(self, shown: ShownSpectrum) -> bool:
        """Draw which pixels make the current label; ask for what is not known yet."""
        label, fit = self.selection.label, shown.fit
        if fit is None or label not in fit.labels or not math.isfinite(fit.rv) or shown.observed is None:
            return False
        if self._gradients is None or self._gradients[0] != fit.star_id:
            self._document.ask_gradients(fit, self.refitter.model)
            return self.gradient.plot in self.plots.shown
        self.plots.draw_gradient(fit, self._gradients[1], label, shown.observed.frame)
        return True

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

    # Lines

    def show_lines(self, group: Group, visible: bool) -> None:
        """Show or hide a group of line marks."""
        self.plots.lines.set_visible(group, visible)
        if group == "stellar":
            self.lines_button.setChecked(visible)

    @Slot(bool)
    def _on_lines(self, visible: bool) -> None:
        self.plots.lines.set_visible("stellar", visible)

    @Slot(float)
    def _on_velocity(self, velocity: float) -> None:
        self._place_lines()

    def _place_lines(self) -> None:
        spectrum = self._shown.observed if self._shown is not None else None
        if spectrum is not None:
            own = self.more.velocity
            velocity = own if math.isfinite(own) else self.velocity
            self.plots.lines.place(spectrum.frame, velocity, spectrum.barycentric)

    # Wavelength

    @Slot(float)
    def _on_wavelength(self, wavelength: float) -> None:
        self.marker.setVisible(self._document.cube is not None and self.view != "several")
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
            self.selection.set_band((start, stop))

    def _on_band_moved(self) -> None:
        if self.band.isVisible():
            low, high = self.band.getRegion()
            self.selection.set_band((float(low), float(high)))

    def _on_cursor_dragged(self) -> None:
        self.selection.set_wavelength(float(self.marker.value()))

    def _on_clicked(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        """Show the slice of the wavelength that was clicked; a double-click shows the whole spectrum."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        view = self.flux.getViewBox()
        if event.double() and self.plots.whole is not None:
            view.setXRange(*self.plots.whole, padding=0.01)
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            return
        elif self._document.cube is not None and self.plots.sceneRect().contains(event.scenePos()):
            self.selection.set_wavelength(float(view.mapSceneToView(event.scenePos()).x()))

    def sizeHint(self) -> QSize:
        """Wide."""
        return QSize(800, 420)
