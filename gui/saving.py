"""Commands that save what is open: the catalogue, the changed star list, the image as data or picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QFileDialog

from gui.panels.picture_choice import TITLES
from gui.picture import save_picture
from gui.running import FORMATS, export_path, export_stage, save_image_stage, save_stars_stage
from processing.errors import StellacubeError

if TYPE_CHECKING:
    from gui.main_window import MainWindow

LIST_FORMATS = "CSV table (*.csv);;ECSV table (*.ecsv)"
IMAGE_FORMATS = "Picture (*.png);;Drawing (*.svg);;Data with sky coordinates (*.fits)"


class SaveCommands(QObject):
    """Asks for a name, then saves in a thread what takes long."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window

    def _ask(self, title: str, name: str, formats: str) -> tuple[str, str]:
        start = str(self._window.preferences.folder / name)
        return QFileDialog.getSaveFileName(self._window, title, start, formats)

    def _start(self, stage: partial) -> None:
        window = self._window
        window.runner.start("Saving", stage, succeeded=self._on_saved, failed=window.notifications.failure)

    @Slot(object)
    def _on_saved(self, path: object) -> None:
        self._window.notifications.info(f"Saved {path}.")

    @Slot()
    def choose_export(self) -> None:
        """Ask where to save the catalogue, then save it."""
        name, chosen = self._ask(
            "Export catalogue", f"{self._window.document.title}_catalogue.csv", ";;".join(FORMATS.values())
        )
        if name:
            self.export(export_path(name, chosen))

    def export(self, path: Path) -> None:
        """Save the catalogue in the format of the path's suffix."""
        if self._window.document.catalogue is not None:
            self._start(partial(export_stage, self._window.document.catalogue, path))

    @Slot()
    def save_stars(self) -> None:
        """Ask where to save the changed star list, then save it."""
        name, _ = self._ask("Save star list", f"{self._window.document.title}_stars.csv", LIST_FORMATS)
        if name:
            self.export_stars(Path(name))

    def export_stars(self, path: Path) -> None:
        """Save the changed star list."""
        if self._window.document.edited is not None:
            self._start(partial(save_stars_stage, self._window.document.edited, path))

    @Slot()
    def save_image(self) -> None:
        """Ask where to save the image, then save it."""
        name, chosen = self._ask("Save image", f"{self._window.document.title}_image.png", IMAGE_FORMATS)
        if name:
            suffix = ".fits" if "fits" in chosen else ".svg" if "svg" in chosen else ".png"
            self.export_image(Path(name) if Path(name).suffix else Path(name).with_suffix(suffix))

    def export_image(self, path: Path) -> None:
        """Save the image: FITS has its values, PNG and SVG the view with stars, compass and scale bar."""
        panel, cube = self._window.workspaces.image, self._window.document.cube
        shown = panel.shown
        if shown is None or cube is None:
            return
        if path.suffix.lower() in (".fits", ".fit"):
            self._start(partial(save_image_stage, shown.pixels, cube, TITLES[shown.picture], path))
            return
        try:
            self._on_saved(save_picture(panel.view, path))
        except StellacubeError as error:
            self._window.notifications.warning(error.message, error.hint)
