"""The image panel: white light, a slice or the residual of the extraction, with stretch, limits and wavelength."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QAction, QActionGroup, QIcon, QImage, QPixmap
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QMenu,
    QSlider,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
)

from gui.display import COLOUR_MAPS, LIMITS, STRETCHES, colour_table, sexagesimal, sky_directions
from gui.document import Document, Picture, ShownImage
from gui.panels.aperture_tool import ApertureTool
from gui.panels.colour_bar import ColourBar, short
from gui.panels.panel import EmptyState, Panel, Segments
from gui.panels.sky_view import SkyView
from gui.selection import Band, Selection
from gui.settings import Preferences
from gui.theme import GRID, Theme, ThemeManager, icon

PICTURES = (
    ("white", "White", "White light: the mean over all wavelengths (W)"),
    ("slice", "Slice", "One wavelength (S)"),
    ("residual", "Residual", "What the extraction left over, after a run (R)"),
)


class ImagePanel(Panel):
    """Shows the field, the stars on it, and what is under the mouse."""

    name = "image"
    title = "Image"
    cursor_text = Signal(str)
    """Position and value under the mouse."""
    preview_ended = Signal()
    """The mouse has left the image."""

    def __init__(
        self, document: Document, selection: Selection, themes: ThemeManager, preferences: Preferences
    ) -> None:
        super().__init__(
            themes,
            EmptyState(
                "cube", "Drop a MUSE cube here", "or a star list, a folder of spectra, a Stellacube session – anywhere"
            ),
        )
        self._document, self._selection, self._preferences = document, selection, preferences
        self._shown: ShownImage | None = None
        self._manual: tuple[float, float] | None = None
        self._stretch = self._remembered("stretch", STRETCHES, "asinh")
        self._rule = self._remembered("limits", LIMITS, "99.5 %")
        self._colours = self._remembered("colours", COLOUR_MAPS, "grey")
        self._build()
        document.cube_changed.connect(self._on_cube)
        document.overview_changed.connect(self._on_overview)
        document.rows_changed.connect(self._on_rows)
        document.results_changed.connect(self._on_results)
        document.image_ready.connect(self._on_image)
        selection.star_changed.connect(self.view.mark_star)
        selection.chosen_changed.connect(self.view.mark_chosen)
        selection.spaxel_changed.connect(self.view.mark_spaxel)
        selection.band_changed.connect(self._on_band)
        selection.wavelength_changed.connect(self._on_wavelength)
        self._update_colours()
        self.finish()

    def _remembered(self, key: str, known: dict, default: str) -> str:
        value = self._preferences.text(f"image/{key}", default)
        return value if value in known else default

    # Building

    def _build(self) -> None:
        self.pictures = Segments(PICTURES)
        self.pictures.choose("white")
        self.pictures.button("residual").setEnabled(False)
        self.pictures.chosen.connect(self.show_picture)
        self.display = QToolButton(popupMode=QToolButton.ToolButtonPopupMode.InstantPopup)
        self.display.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.display.setToolTip("Stretch, limits and colours of the image")
        self.display.setAccessibleName("Display of the image")
        self.display.setMenu(self._build_menu())
        self.view = SkyView()
        self.aperture = ApertureTool(self._document, self._selection, self.view, self.sky)
        self.header.tools.addStretch(1)
        self.header.tools.addWidget(self.aperture.button)
        self.header.optional.append(self.aperture.button)
        self.header.tools.addWidget(self.pictures)
        self.header.tools.addWidget(self.display)
        self.view.hovered.connect(self._on_hover)
        self.view.clicked.connect(self._on_clicked)
        self.view.star_clicked.connect(self._selection.set_star)
        self.view.stepped.connect(self.step)
        self.bar = ColourBar()
        self.bar.limits_dragged.connect(self._on_limits_dragged)
        self.bar.reset.connect(partial(self._choose, "limits", self._rule))
        self._build_wavelength()
        middle = QHBoxLayout()
        middle.setSpacing(4)
        middle.addWidget(self.view, 1)
        middle.addWidget(self.bar)
        bottom = QHBoxLayout()
        bottom.setContentsMargins(12, 0, 12, 0)
        bottom.setSpacing(GRID)
        bottom.addWidget(self.slider, 1)
        bottom.addWidget(self.wave)
        bottom.addWidget(self.layer)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, GRID)
        column.setSpacing(GRID)
        column.addLayout(middle, 1)
        column.addLayout(bottom)

    def _build_wavelength(self) -> None:
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Wavelength")
        self.slider.setToolTip("Wavelength of the slice (arrow keys: one layer; page keys: twenty)")
        self.slider.setPageStep(20)
        self.slider.valueChanged.connect(self._on_layer)
        self.wave = QDoubleSpinBox(suffix=" Å", decimals=2)
        self.wave.setAccessibleName("Wavelength in Angstrom")
        self.wave.setToolTip("Wavelength of the slice in Angstrom")
        self.wave.valueChanged.connect(self._on_wave_typed)
        self.layer = QSpinBox()
        self.layer.setAccessibleName("Layer")
        self.layer.setToolTip("Layer of the cube, counted from 0")
        self.layer.valueChanged.connect(self._on_layer)
        for spin in (self.wave, self.layer):
            spin.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            spin.setKeyboardTracking(False)
            spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.wave.setFixedWidth(104)
        self.layer.setFixedWidth(60)

    def _build_menu(self) -> QMenu:
        menu = QMenu(self)
        self._branches: dict[str, QMenu] = {}
        for key, title, names, current in (
            ("stretch", "Stretch", list(STRETCHES), self._stretch),
            ("limits", "Limits", list(LIMITS), self._rule),
            ("colours", "Colours", list(COLOUR_MAPS), self._colours),
        ):
            branch = self._branches[key] = menu.addMenu(title)
            group = QActionGroup(branch)
            for name in names:
                action = QAction(name, branch, checkable=True, checked=name == current)
                if key == "colours":
                    action.setIcon(_strip(name))
                action.triggered.connect(partial(self._choose, key, name))
                group.addAction(action)
                branch.addAction(action)
        menu.addSeparator()
        self.invert = menu.addAction("Dark stars on bright sky")
        self.invert.setCheckable(True)
        self.invert.setChecked(self._preferences.text("image/invert") == "yes")
        self.invert.toggled.connect(self._on_invert)
        self.rings = menu.addAction("Rings around stars")
        self.rings.setCheckable(True)
        self.rings.setChecked(True)
        self.rings.toggled.connect(self._on_rings)
        self.sky = menu.addAction("Sky annulus around the aperture")
        menu.addAction("Whole field").triggered.connect(self._on_whole_field)
        return menu

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self.bar.set_theme(theme)
        self.display.setIcon(icon("display", theme))
        self.aperture.button.setIcon(icon("aperture", theme))

    # What is shown

    def show_picture(self, picture: Picture) -> None:
        """Show white light, the slice or the residual."""
        if not self.pictures.button(picture).isEnabled():
            return
        if picture != self.pictures.current or (self._shown and self._shown.picture != picture):
            self._manual = None
        self.pictures.choose(picture)
        self._update_colours()
        self._ask()

    def step(self, layers: int) -> None:
        """Go some layers forward or back."""
        self.slider.setValue(self.slider.value() + layers)

    def _ask(self) -> None:
        """Ask for the image that should be shown; the slice until white light is there."""
        picture: Picture = self.pictures.current or "white"  # type: ignore[assignment]
        if picture == "white" and self._document.overview is None:
            picture = "slice"
        band = self._selection.band
        if picture == "slice" and band is not None:
            self._document.ask_band(*band, self._rule)
        else:
            self._document.ask_image(picture, self.slider.value(), self._rule)

    @Slot()
    def _on_cube(self) -> None:
        cube = self._document.cube
        self._shown = self._manual = None
        self.view.clear_pixels()
        self.show_body(cube is not None)
        self.pictures.choose("white")
        if cube is None:
            self.view.set_sky(None, None, math.nan)
            return
        self.view.set_sky(*sky_directions(cube))
        n = cube.shape[0]
        middle = n // 2
        for control in (self.slider, self.layer):
            control.blockSignals(True)
            control.setRange(0, n - 1)
            control.setValue(middle)
            control.blockSignals(False)
        self.wave.blockSignals(True)
        self.wave.setRange(float(cube.wave[0]), float(cube.wave[-1]))
        self.wave.setSingleStep(float(np.median(np.diff(cube.wave))) if n > 1 else 1.0)
        self.wave.setValue(float(cube.wave[middle]))
        self.wave.blockSignals(False)
        self._selection.set_wavelength(float(cube.wave[middle]))
        self.pictures.choose("white")
        self._ask()

    @Slot()
    def _on_overview(self) -> None:
        if self.pictures.current == "white":
            self._ask()

    @Slot()
    def _on_results(self) -> None:
        there = self._document.residual is not None
        self.pictures.button("residual").setEnabled(there)
        if not there and self.pictures.current == "residual":
            self.show_picture("white")

    @Slot()
    def _on_rows(self) -> None:
        rows = self._document.rows
        if rows is None:
            nothing = np.empty(0)
            self.view.set_stars([], nothing, nothing, [])
        else:
            self.view.set_stars(rows.star_id.tolist(), rows.x, rows.y, rows.status.tolist())
        self.view.mark_star(self._selection.star)
        self.view.mark_chosen(self._selection.chosen)

    @Slot(object)
    def _on_image(self, image: ShownImage) -> None:
        self._shown = image
        low, high = self._manual or (image.low, image.high)
        self.view.set_pixels(image.pixels, low, high)
        self.bar.set_limits(low, high)
        self._update_colours()

    # Wavelength

    @Slot(float)
    def _on_wavelength(self, wavelength: float) -> None:
        """Show the slice nearest to the wavelength that somebody chose."""
        cube = self._document.cube
        if cube is None or not math.isfinite(wavelength):
            return
        index = int(np.abs(cube.wave - wavelength).argmin())
        if wavelength != cube.wave[index]:  # a slice is a layer: everybody shows the wavelength of that
            self._selection.set_wavelength(float(cube.wave[index]))
            return
        for control in (self.slider, self.layer):
            control.blockSignals(True)
            control.setValue(index)
            control.blockSignals(False)
        self.wave.blockSignals(True)
        self.wave.setValue(float(cube.wave[index]))
        self.wave.blockSignals(False)
        self.show_picture("slice")

    @Slot(int)
    def _on_layer(self, index: int) -> None:
        cube = self._document.cube
        if cube is not None:
            self._choose_wavelength(float(cube.wave[index]))

    @Slot(float)
    def _on_wave_typed(self, wavelength: float) -> None:
        self._choose_wavelength(wavelength)

    def _choose_wavelength(self, wavelength: float) -> None:
        if wavelength == self._selection.wavelength:
            self._on_wavelength(wavelength)
        self._selection.set_wavelength(wavelength)

    @Slot(object)
    def _on_band(self, band: Band | None) -> None:
        """Show the image of a band in place of a slice, or slices again."""
        self.pictures.button("slice").setText("Slice" if band is None else "Band")
        if self._document.cube is not None and (band is not None or self.pictures.current == "slice"):
            self.show_picture("slice")

    # Display

    def _choose(self, key: str, name: str, checked: bool = True) -> None:
        """Take a stretch, a rule for the limits, or a colour map."""
        setattr(self, {"stretch": "_stretch", "limits": "_rule", "colours": "_colours"}[key], name)
        self._preferences.set_text(f"image/{key}", name)
        if key == "limits":
            self._manual = None
            self._ask()
        self._update_colours()

    def _update_colours(self) -> None:
        residual = self._shown is not None and self._shown.picture == "residual"
        name = "diverging" if residual else self._colours
        stretch = "linear" if residual else self._stretch
        table = colour_table(_colour_map(name), stretch, self.invert.isChecked() and not residual)
        self.view.image.setLookupTable(table)
        self.bar.set_colours(table)
        limits = "manual" if self._manual else self._rule
        for key, choice in (("stretch", stretch), ("limits", limits), ("colours", name)):
            self._branches[key].setTitle(f"{key.capitalize()}: {choice}")
        self.display.setText(f"{stretch}, {limits}")

    @Slot(float, float)
    def _on_limits_dragged(self, low: float, high: float) -> None:
        if high > low:
            self._manual = (low, high)
            self.view.image.setLevels(self._manual)
            self.bar.set_limits(low, high)
            self._update_colours()

    @Slot(bool)
    def _on_invert(self, inverted: bool) -> None:
        self._preferences.set_text("image/invert", "yes" if inverted else "no")
        self._update_colours()

    @Slot(bool)
    def _on_rings(self, shown: bool) -> None:
        self.view.set_stars_visible(shown)

    @Slot()
    def _on_whole_field(self) -> None:
        self.view.show_all()

    # The mouse

    @Slot(object)
    def _on_hover(self, place: tuple[float, float] | None) -> None:
        cube = self._document.cube
        if place is None or cube is None:
            self.cursor_text.emit("")
            self.preview_ended.emit()
            return
        x, y = place
        parts = []
        if cube.wcs is not None:
            ra, dec = cube.pixel_to_world(x, y)
            parts.append(sexagesimal(float(ra), float(dec)))
        parts.append(f"x {x:.1f}  y {y:.1f}")
        if self._shown is not None:
            value = self._shown.pixels[round(y), round(x)]
            parts.append(f"value {short(float(value))}" if math.isfinite(value) else "no value")
        star = self.view.star_at(x, y)
        rows = self._document.rows
        if star and rows is not None:
            row = rows.index[star]
            parts.append(f"{star}: {rows.status[row]}. {rows.reason[row]}")
        self.cursor_text.emit("     ".join(parts))
        if self._selection.nothing and self._document.overview is not None:
            self._document.ask_spaxel(round(x), round(y), preview=True)

    @Slot(float, float)
    def _on_clicked(self, x: float, y: float) -> None:
        self._selection.set_spaxel((round(x), round(y)))

    def sizeHint(self) -> QSize:
        """About square."""
        return QSize(440, 440)


def _colour_map(name: str) -> np.ndarray:
    """Return a colour map, shape (256, 3), uint8."""
    return pg.colormap.get(COLOUR_MAPS[name]).getLookupTable(0.0, 1.0, 256)[:, :3].astype(np.uint8)


def _strip(name: str) -> QIcon:
    """Return a small picture of a colour map."""
    colours = np.ascontiguousarray(_colour_map(name)[None, ::8])
    image = QImage(colours.tobytes(), colours.shape[1], 1, 3 * colours.shape[1], QImage.Format.Format_RGB888).copy()
    return QIcon(QPixmap.fromImage(image.scaled(32, 16)))
