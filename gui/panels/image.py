"""The image panel: one picture of the field, or two, with stars on it, stretch, limits and wavelength."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QSize, Signal, Slot
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout

from gui.display import sexagesimal, sky_directions
from gui.document import Document
from gui.panels.aperture_tool import ApertureTool
from gui.panels.colour_bar import ColourBar, short
from gui.panels.comparison import Comparison
from gui.panels.display_menu import DisplayMenu
from gui.panels.limit_popup import LimitPopup
from gui.panels.panel import EmptyState, Panel
from gui.panels.picture_choice import BY_LAYER, TITLES, PictureChoice
from gui.panels.sky_view import SkyView
from gui.panels.star_editor import StarEditor
from gui.panels.wave_bar import WaveBar
from gui.reading import Picture, ShownImage
from gui.selection import Band, Selection
from gui.settings import Preferences
from gui.theme import GRID, Theme, ThemeManager, icon


class ImagePanel(Panel):
    """Shows the field, the stars on it, and what is under the mouse."""

    name = "image"
    title = "Image"
    cursor_text = Signal(str)
    """Position and value under the mouse."""
    preview_ended = Signal()
    """The mouse has left the image."""

    def __init__(
        self,
        document: Document,
        selection: Selection,
        themes: ThemeManager,
        preferences: Preferences,
        undo: QUndoStack,
    ) -> None:
        super().__init__(
            themes,
            EmptyState(
                "cube", "Drop a MUSE cube here", "or a star list, a folder of spectra, a Stellacube session – anywhere"
            ),
        )
        self._document, self._selection = document, selection
        self._shown: ShownImage | None = None
        self._manual: tuple[float, float] | None = None
        self.view = SkyView()
        self.pictures = PictureChoice()
        self.comparison = Comparison(self.pictures.menu, self.view)
        self.look = DisplayMenu(self, preferences)
        self.editor = StarEditor(document, selection, self.view, undo)
        self._build_menu()
        self.aperture = ApertureTool(document, selection, self.view, self.sky)
        self.bar = ColourBar()
        self.limit_popup = LimitPopup(self.bar)
        self.wave_bar = WaveBar()
        self.slider, self.wave, self.layer = self.wave_bar.slider, self.wave_bar.angstrom, self.wave_bar.layer
        self._build()
        self._connect()
        self._update_colours()
        self.finish()

    # Building

    def _build_menu(self) -> None:
        menu = self.look.menu
        self.rings = menu.addAction("Rings around stars")
        self.rings.setCheckable(True)
        self.rings.setChecked(True)
        self.sky = menu.addAction("Sky annulus around the aperture")
        self.type_limits = menu.addAction("Type the limits …")
        menu.addAction("Whole field").triggered.connect(self._on_whole_field)

    def _build(self) -> None:
        tools = self.header.tools
        tools.addStretch(1)
        for widget in (self.editor.button, self.aperture.button, self.pictures, self.look.button):
            tools.addWidget(widget)
        self.header.optional += [self.aperture.button, self.editor.button]
        middle = QHBoxLayout()
        middle.setSpacing(4)
        middle.addWidget(self.view, 1)
        middle.addWidget(self.comparison.view, 1)
        middle.addWidget(self.bar)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, GRID)
        column.setSpacing(GRID)
        column.addLayout(middle, 1)
        column.addWidget(self.wave_bar)

    def _connect(self) -> None:
        document, selection = self._document, self._selection
        document.cube_changed.connect(self._on_cube)
        document.overview_changed.connect(self._on_overview)
        document.rows_changed.connect(self._on_rows)
        document.results_changed.connect(self._on_results)
        document.image_ready.connect(self._on_image)
        document.other_ready.connect(self._on_other)
        selection.band_changed.connect(self._on_band)
        selection.wavelength_changed.connect(self._on_wavelength)
        for view in (self.view, self.comparison.view):
            selection.star_changed.connect(view.mark_star)
            selection.chosen_changed.connect(view.mark_chosen)
            selection.spaxel_changed.connect(view.mark_spaxel)
            view.hovered.connect(self._on_hover)
            view.clicked.connect(self._on_clicked)
            view.star_clicked.connect(selection.set_star)
            view.stepped.connect(self.step)
        self.pictures.picked.connect(self.show_picture)
        self.comparison.changed.connect(self._ask_other)
        self.comparison.turned.connect(self._on_turned)
        self.look.changed.connect(self._on_look)
        self.rings.toggled.connect(self._on_rings)
        self.bar.limits_dragged.connect(self._on_limits_dragged)
        self.bar.reset.connect(self._on_reset)
        self.bar.customContextMenuRequested.connect(self._on_type_limits)
        self.type_limits.triggered.connect(self._on_type_limits)
        self.limit_popup.given.connect(self._on_limits_dragged)
        self.limit_popup.reset.connect(self._on_reset)
        self.wave_bar.chosen.connect(self._choose_wavelength)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self.bar.set_theme(theme)
        self.wave_bar.set_theme(theme)
        self.look.button.setIcon(icon("display", theme))
        self.aperture.button.setIcon(icon("aperture", theme))
        self.editor.button.setIcon(icon("edit", theme))

    # What is shown

    @property
    def shown(self) -> ShownImage | None:
        """The image that is shown; the first one where there are two."""
        return self._shown

    @property
    def limits(self) -> tuple[float, float] | None:
        """Limits that were set by hand, or None."""
        return self._manual

    def show_picture(self, picture: Picture) -> None:
        """Show white light, the slice, the residual, the noise, S/N, or three bands in colour."""
        if not self.pictures.available(picture):
            return
        if picture != self.pictures.picture:
            self._manual = None
        self.pictures.show_picture(picture)
        self._ask()

    def restore(self, picture: Picture, limits: tuple[float, float] | None) -> None:
        """Show a picture between limits that were set by hand, or by the rule."""
        self.show_picture(picture)
        self._manual = (limits[0], limits[1]) if limits is not None else None

    def step(self, layers: int) -> None:
        """Go some layers forward or back."""
        self.wave_bar.step(layers)

    def _ask(self) -> None:
        """Ask for the image that should be shown; the slice until white light is there."""
        picture = self.pictures.picture
        if picture == "white" and self._document.overview is None:
            picture = "slice"
        band = self._selection.band
        if picture == "slice" and band is not None:
            self._document.ask_band(*band, self.look.rule)
        else:
            self._document.ask_image(picture, self.slider.value(), self.look.rule)

    @Slot()
    def _ask_other(self) -> None:
        """Ask for the picture to compare with."""
        self._write_titles()
        if self.comparison.mode != "off":
            self._document.ask_other_image(self.comparison.picture, self.slider.value(), self.look.rule)

    @Slot()
    def _on_cube(self) -> None:
        cube = self._document.cube
        self._shown = self._manual = None
        self.view.clear_pixels()
        self.comparison.view.clear_pixels()
        self.show_body(cube is not None)
        self.pictures.show_picture("white")
        if cube is None:
            self.comparison.set_mode("off")
            self.view.set_sky(None, None, math.nan)
            return
        self.view.set_sky(*sky_directions(cube))
        middle = cube.shape[0] // 2
        self.wave_bar.set_wave(cube.wave)
        self.wave_bar.show_layer(middle)
        self._selection.set_wavelength(float(cube.wave[middle]))
        self.pictures.show_picture("white")
        self._ask()
        self._ask_other()

    @Slot()
    def _on_overview(self) -> None:
        if self.pictures.picture in ("white", "colour"):
            self._ask()
        self._ask_other()

    @Slot()
    def _on_results(self) -> None:
        there = self._document.residual is not None
        self.pictures.button("residual").setEnabled(there)
        self.comparison.actions_by_picture["residual"].setEnabled(there)
        if not there and self.pictures.picture == "residual":
            self.show_picture("white")

    @Slot()
    def _on_rows(self) -> None:
        rows = self._document.rows
        for view in (self.view, self.comparison.view):
            if rows is None:
                nothing = np.empty(0)
                view.set_stars([], nothing, nothing, [])
            else:
                view.set_stars(rows.star_id.tolist(), rows.x, rows.y, rows.status.tolist())
            view.mark_star(self._selection.star)
            view.mark_chosen(self._selection.chosen)

    @Slot(object)
    def _on_image(self, image: ShownImage) -> None:
        self._shown = image
        if not self.comparison.second:
            self._draw(image)

    @Slot(object)
    def _on_other(self, image: ShownImage) -> None:
        self.comparison.image = image
        if self.comparison.mode == "side":
            x, y = self.view.box.targetRange()
            self._put(self.comparison.view, image, (image.low, image.high))
            if self.view.image.image is not None:  # the views are linked: a new picture must not show all in both
                self.view.box.setRange(xRange=x, yRange=y, padding=0)
        elif self.comparison.second:
            self._draw(image)

    @Slot(bool)
    def _on_turned(self, second: bool) -> None:
        image = self.comparison.image if second else self._shown
        if image is not None:
            self._draw(image)

    def _draw(self, image: ShownImage) -> None:
        """Show an image in the first view, with its limits beside it."""
        first = image is self._shown
        low, high = self._manual if self._manual and first else (image.low, image.high)
        self._put(self.view, image, (low, high))
        self.bar.set_limits(low, high)
        self.limit_popup.set_limits(low, high, self._manual is not None)
        self.bar.set_sample(image.sample)
        self._update_colours()
        self._write_titles()

    def _put(self, view: SkyView, image: ShownImage, limits: tuple[float, float]) -> None:
        view.image.setLookupTable(None if image.picture == "colour" else self.look.table(image.picture))
        view.set_pixels(image.pixels, *limits)

    def _write_titles(self) -> None:
        """Say in the images which is which, where there are two."""
        compared, second = self.comparison.mode != "off", self.comparison.image
        image = second if self.comparison.second else self._shown
        self.view.set_title(TITLES[image.picture] if compared and image is not None else "")
        self.comparison.view.set_title(TITLES[self.comparison.picture])

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
        self.wave_bar.show_layer(index)
        self.show_picture(self.pictures.picture if self.pictures.picture in BY_LAYER else "slice")
        if self.comparison.picture in BY_LAYER:
            self._ask_other()

    @Slot(float)
    def _choose_wavelength(self, wavelength: float) -> None:
        if wavelength == self._selection.wavelength:
            self._on_wavelength(wavelength)
        self._selection.set_wavelength(wavelength)

    @Slot(object)
    def _on_band(self, band: Band | None) -> None:
        """Show the image of a band in place of a slice, or slices again."""
        self.pictures.button("slice").setText("Slice" if band is None else "Band")
        if self._document.cube is not None and (band is not None or self.pictures.picture == "slice"):
            self.show_picture("slice")

    # Display

    @Slot(str)
    def _on_look(self, key: str) -> None:
        if key == "limits":
            self._manual = None
            self._ask()
            self._ask_other()
        self._update_colours()
        if self.comparison.mode == "side" and self.comparison.image is not None:
            self._on_other(self.comparison.image)

    def _update_colours(self) -> None:
        shown = self.comparison.image if self.comparison.second else self._shown
        picture = shown.picture if shown is not None else self.pictures.picture
        table = self.look.table(picture)
        self.view.image.setLookupTable(None if picture == "colour" else table)
        self.bar.set_colours(None if picture == "colour" else table)
        self.look.describe(picture, self._manual is not None)
        self.type_limits.setEnabled(picture != "colour")

    @Slot(float, float)
    def _on_limits_dragged(self, low: float, high: float) -> None:
        if high > low and self._shown is not None and self._shown.picture != "colour":
            self._manual = (low, high)
            self._draw(self._shown)

    @Slot()
    def _on_type_limits(self) -> None:
        if self.type_limits.isEnabled():
            self.limit_popup.open_at(self.bar)

    @Slot()
    def _on_reset(self) -> None:
        self._on_look("limits")

    @Slot(bool)
    def _on_rings(self, shown: bool) -> None:
        self.view.set_stars_visible(shown)
        self.comparison.view.set_stars_visible(shown)

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
        if self._shown is not None and self._shown.picture != "colour":
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
        if self.editor.active:
            self.editor.add(x, y)
        else:
            self._selection.set_spaxel((round(x), round(y)))

    def sizeHint(self) -> QSize:
        """About square."""
        return QSize(440, 440)
