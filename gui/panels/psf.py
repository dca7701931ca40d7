"""The PSF of a run: its parameters against wavelength, the profile of its stars, and what the model leaves of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, QSize, Slot
from PySide6.QtWidgets import QVBoxLayout

from gui.document import Document
from gui.jobs import LatestReader
from gui.panels.panel import Elided, EmptyState, Panel, Segments
from gui.panels.plot_items import ErrorBand, faded, style_plot
from gui.theme import Theme, ThemeManager
from processing.extraction.psf_diagnostics import PsfDiagnostics, psf_diagnostics
from processing.extraction.psf_profiles import COMPONENTS, parameter_names

NAMES = {
    "fwhm": "FWHM / spaxel",
    "beta": "β",
    "e1": "e₁",
    "e2": "e₂",
    "dx": "Δx / spaxel",
    "dy": "Δy / spaxel",
    "ratio": "FWHM ratio",
    "fraction": "Share of the light",
    "variance": "Variance / rad²",
    "r0": "r₀ / m",
    "alpha": "α / m⁻¹",
    "exponent": "β",
}
PAGES = {
    "width": ("fwhm", "beta"),
    "ellipticity": ("e1", "e2"),
    "position": ("dx", "dy"),
    "second": ("ratio", "fraction"),
}
"""The two parameters that each page shows against wavelength."""
MAOPPY_PAGES = {"width": ("variance", "r0"), "second": ("alpha", "exponent")}
"""What differs for the profile of adaptive optics; all at 5000 Å."""
CHOICES = (
    ("width", "Width", "FWHM and Moffat exponent against wavelength"),
    ("ellipticity", "Ellipticity", "e (cos 2θ, sin 2θ) against wavelength"),
    ("position", "Position", "How far the stars wander with wavelength, at the field's centre"),
    ("second", "Second", "The second component: its width and light relative to the first; of MAOPPY, α and β"),
    ("stars", "Stars", "Profile of bright, lonely stars, and what the model leaves of them"),
)
PROFILES = {"moffat": "Moffat", "gaussian": "Gaussian", "double_moffat": "Two Moffats",
            "moffat_gaussian": "Moffat and Gaussian", "maoppy": "MAOPPY"}  # fmt: skip
MIN_RESIDUAL = 1.0
"""Per cent of the peak: residuals are not stretched beyond this, so that noise looks like noise."""


class ParameterPlot:
    """One parameter: the bins with their errors, those that were clipped, and the polynomial."""

    def __init__(self) -> None:
        self.plot = pg.PlotItem(enableMenu=False)
        self.curve = pg.PlotDataItem(antialias=True)
        self.errors = pg.ErrorBarItem(x=np.empty(0), y=np.empty(0))
        self.points = pg.ScatterPlotItem(pxMode=True, size=6)
        self.clipped = pg.ScatterPlotItem(pxMode=True, size=6, symbol="x")
        for item in (self.errors, self.curve, self.clipped, self.points):
            self.plot.addItem(item)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self.curve.setPen(pg.mkPen(theme.fit, width=1))
        self.errors.setData(pen=pg.mkPen(faded(theme.flux, 0.5)))
        self.points.setPen(None)
        self.points.setBrush(theme.flux)
        self.clipped.setPen(pg.mkPen(theme.muted))

    def show(self, found: PsfDiagnostics, name: str) -> None:
        """Show a parameter."""
        model, k = found.model, parameter_names(found.model.profile).index(name)
        self.plot.setLabel("left", NAMES[name])
        self.curve.setData(found.wave, found.curves[name])
        used, value, error = model.bin_used, model.bin_values[:, k], np.abs(model.bin_errors[:, k])
        self.points.setData(model.bin_wave[used], value[used])
        self.clipped.setData(model.bin_wave[~used], value[~used])
        self.errors.setData(x=model.bin_wave[used], y=value[used], height=2 * error[used])
        shown = np.concatenate([value[used], found.curves[name]])
        middle, half = (shown.max() + shown.min()) / 2, max(float(np.ptp(shown)) / 2, 1e-3)
        self.plot.setYRange(middle - 1.3 * half, middle + 1.3 * half, padding=0)
        self.plot.setXRange(float(found.wave[0]), float(found.wave[-1]), padding=0.02)


class PsfPanel(Panel):
    """Shows how the PSF changes with wavelength, and whether the stars look like it."""

    name = "psf"
    title = "PSF"

    def __init__(self, document: Document, themes: ThemeManager) -> None:
        super().__init__(
            themes, EmptyState("aperture", "No PSF yet", "After a run, the PSF that was fitted, and its stars.")
        )
        self._document, self._theme = document, themes.theme
        self.found: PsfDiagnostics | None = None
        self._reader = LatestReader(document)  # which forgets and ends its readers
        self._reader.answered.connect(self._on_answered)
        self.subtitle = Elided()
        self.subtitle.setObjectName("muted")
        self.choice = Segments(CHOICES)
        self.choice.choose("width")
        self.choice.chosen.connect(self.show_page)
        self.header.tools.addWidget(self.subtitle, 1)
        self.header.tools.addWidget(self.choice)
        self.header.optional = [self.subtitle]
        self.view = pg.GraphicsLayoutWidget()
        self.view.setAccessibleName("PSF")
        self.view.ci.layout.setContentsMargins(6, 4, 12, 4)
        self.first, self.other = ParameterPlot(), ParameterPlot()
        self.other.plot.setXLink(self.first.plot)
        self._build_stars()
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)
        document.results_changed.connect(self._on_results)
        self.finish()
        self._on_results()

    def _build_stars(self) -> None:
        self.profile = pg.PlotItem(enableMenu=False)
        self.band = ErrorBand()
        self.seen = pg.ScatterPlotItem(pxMode=True, size=6)
        self.fitted = pg.PlotDataItem(antialias=True)
        for item in (self.band, self.fitted, self.seen):
            self.profile.addItem(item)
        self.profile.setLabel("bottom", "Distance / spaxel")
        self.profile.setLabel("left", "log share of the light")
        self.residual = pg.PlotItem(enableMenu=False)
        self.residual.setAspectLocked(True)
        self.residual.setLabel("bottom", "Residual / % of the peak")
        self.picture = pg.ImageItem()
        self.residual.addItem(self.picture)
        self.bar = pg.ColorBarItem(width=8, interactive=False)
        self.bar.setImageItem(self.picture)

    def sizeHint(self) -> QSize:
        """Return a size that suits a dock."""
        return QSize(420, 300)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self._theme = theme
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.86)
        self.view.setBackground(theme.panel)
        for plot in (self.first.plot, self.other.plot, self.profile, self.residual):
            style_plot(plot, theme, font)
        for part in (self.first, self.other):
            part.set_theme(theme)
        self.seen.setPen(None)
        self.seen.setBrush(theme.flux)
        self.fitted.setPen(pg.mkPen(theme.fit, width=1))
        self.band.setBrush(pg.mkBrush(faded(theme.flux, 0.2)))
        self.bar.axis.setPen(pg.mkPen(theme.line))
        self.bar.axis.setTextPen(pg.mkPen(theme.muted))
        self.bar.axis.setTickFont(font)
        colours = (theme.preview, theme.panel, theme.fit)
        self.bar.setColorMap(pg.ColorMap([0.0, 0.5, 1.0], [pg.mkColor(colour) for colour in colours]))

    @Slot()
    def _on_results(self) -> None:
        session = self._document.session
        self.found = None
        self.show_body(False)
        if session is not None:
            self._reader.request(session.path, partial(psf_diagnostics, session))

    @Slot(object, object)
    def _on_answered(self, key: object, found: PsfDiagnostics | None) -> None:
        self.found = found
        self.show_body(found is not None)
        if found is None:
            return
        model = found.model
        self.choice.button("second").setVisible(len(COMPONENTS[model.profile]) != 1)
        self.choice.button("stars").setEnabled(bool(found.stars))
        middle = 0.5 * (model.wave_min + model.wave_max)
        self.subtitle.set_text(
            f"{PROFILES[model.profile]}{' and residual' if model.residual is not None else ''}, {model.n_stars} stars; "
            f"{float(model.fwhm(middle)):.2f} spaxels at {middle:.0f} Å"
        )
        self.show_page(self.choice.current)

    @Slot(str)
    def show_page(self, name: str) -> None:
        """Show one of the pages."""
        if self.found is None:
            self.choice.choose(name)
            return
        if name == "stars" and not self.found.stars:
            name = "width"
        self.choice.choose(name)
        self.view.ci.clear()
        if name == "stars":
            self._show_stars(self.found)
            return
        pages = PAGES | MAOPPY_PAGES if self.found.model.profile == "maoppy" else PAGES
        for row, (part, parameter) in enumerate(zip((self.first, self.other), pages[name], strict=True)):
            part.show(self.found, parameter)
            self.view.ci.addItem(part.plot, row, 0)
        self.first.plot.getAxis("bottom").setStyle(showValues=False)
        self.other.plot.setLabel("bottom", "Wavelength / Å")

    def _show_stars(self, found: PsfDiagnostics) -> None:
        self.view.ci.addItem(self.profile, 0, 0)
        self.view.ci.addItem(self.residual, 0, 1)
        self.view.ci.addItem(self.bar, 0, 2)
        floor = 0.3 * float(found.fitted.min())
        log = {name: np.log10(np.maximum(getattr(found, name), floor)) for name in ("profile", "fitted")}
        low, high = (np.log10(np.maximum(found.profile + sign * found.spread, floor)) for sign in (-1, 1))
        self.seen.setData(found.radius, log["profile"])
        self.fitted.setData(found.radius, log["fitted"])
        self.band.set_data(found.radius, low, high)
        self.profile.autoRange()
        half = 0.5 * found.residual.shape[0]
        self.picture.setImage(found.residual.T, autoLevels=False)
        self.picture.setRect(QRectF(-half, -half, 2 * half, 2 * half))
        limit = max(float(np.abs(found.residual).max()), MIN_RESIDUAL)
        self.bar.setLevels((-limit, limit))
        self.residual.autoRange(padding=0)
