"""What the menu of the spectrum panel does: refits with choices, presets, and what is saved."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QFileDialog, QInputDialog

from gui.document import Document
from gui.jobs import Failure, JobRunner, explain
from gui.picture import PICTURES, save_picture
from gui.reporting import DATA, data_stage, report_stage
from gui.settings import Preferences
from processing.errors import StellacubeError

if TYPE_CHECKING:
    from gui.panels.spectrum import SpectrumPanel
    from processing.labels.refit import Recipe


class SpectrumCommands(QObject):
    """Asks what has to be asked, and does it or starts it in a thread."""

    def __init__(self, panel: SpectrumPanel, document: Document, runner: JobRunner, preferences: Preferences) -> None:
        super().__init__(panel)
        self._panel, self._document, self._runner, self._preferences = panel, document, runner, preferences

    # Refit

    @Slot()
    def ask_refit(self) -> None:
        """Ask which labels are held and which network fits."""
        from gui.panels.refit_dialog import RefitDialog
        from processing.labels.model_file import list_models

        shown, session = self._panel.shown, self._document.session
        if shown is None or shown.fit is None or session is None:
            return
        settings = session.settings.fit
        masks = self._panel.masking.masks(shown.fit.star_id)
        dialog = RefitDialog(shown.fit, masks, tuple(list_models()), settings.model, dict(settings.held), self._panel)
        dialog.chosen.connect(self.refit)
        dialog.open()

    @Slot(object)
    def refit(self, recipe: Recipe) -> None:
        """Fit the star again."""
        if self._panel.shown is not None and self._panel.shown.fit is not None:
            self._panel.refitter.start(self._panel.shown.fit.star_id, recipe)

    # Presets

    def add_preset(self, name: str) -> None:
        """Add a preset to the star's masks."""
        try:
            self._panel.masking.add_preset(name)
        except StellacubeError as error:
            self._document.read_failed.emit(explain(error))

    @Slot()
    def ask_preset_name(self) -> None:
        """Ask what the preset is to be called, then save it."""
        name, given = QInputDialog.getText(self._panel, "Save masks as preset", "Name")
        if given and name.strip():
            self.save_preset(name.strip())

    def save_preset(self, name: str) -> None:
        """Save the star's masks under a name."""
        try:
            self._document.noted.emit(f"Saved {self._panel.masking.save_preset(name)}.")
        except StellacubeError as error:
            self._document.read_failed.emit(explain(error))

    @Slot()
    def ask_preset_file(self) -> None:
        """Ask for a preset's file, and take it among the user's own."""
        name, _ = QFileDialog.getOpenFileName(
            self._panel, "Import mask preset", str(self._preferences.folder), "Mask preset (*.toml)"
        )
        if name:
            try:
                self._document.noted.emit(f"Imported as {self._panel.masking.import_preset(Path(name))}.")
            except StellacubeError as error:
                self._document.read_failed.emit(explain(error))

    # Saving

    def _ask_path(self, title: str, suffix: str, kinds: str) -> Path | None:
        """Ask for a file named after the star."""
        shown = self._panel.shown
        stem = "".join(c if c.isalnum() or c in "-_.+" else "_" for c in shown.title.split(":")[0]) if shown else ""
        start = self._preferences.folder / f"{stem or 'spectrum'}{suffix}"
        name, _ = QFileDialog.getSaveFileName(self._panel, title, str(start), kinds)
        return Path(name) if name else None

    @Slot()
    def ask_picture(self) -> None:
        """Ask for a file, then save the view that is shown."""
        path = self._ask_path("Save picture", ".png", PICTURES)
        if path is not None:
            self.save_picture(path)

    def save_picture(self, path: Path) -> None:
        """Save the view that is shown as PNG or SVG."""
        try:
            self._document.noted.emit(f"Saved {save_picture(self._panel.canvas, path)}.")
        except StellacubeError as error:
            self._document.read_failed.emit(explain(error))

    @Slot()
    def ask_data(self) -> None:
        """Ask for a file, then save what is shown as a table."""
        path = self._ask_path("Save data", ".csv", DATA)
        if path is not None:
            self.save_data(path)

    def save_data(self, path: Path) -> None:
        """Save the spectrum, or the comparison that is shown, as a table."""
        shown = self._panel.shown
        if shown is not None:
            pair = self._panel.pair if self._panel.view == "pair" else None
            stage = partial(data_stage, shown, pair, path)
            self._runner.start("Saving", stage, succeeded=self._on_saved, failed=self._on_failed)

    @Slot()
    def ask_report(self) -> None:
        """Ask for a file, then write the report of the star."""
        path = self._ask_path("PDF report", "_report.pdf", "PDF (*.pdf);;Picture (*.png)")
        if path is not None:
            self.save_report(path)

    def save_report(self, path: Path) -> None:
        """Write the report of the fit that is shown."""
        shown, session = self._panel.shown, self._document.session
        if shown is not None and shown.fit is not None and session is not None:
            refit = next((one for one in shown.refits if one.fit is shown.fit), None)
            white = self._document.overview.white if self._document.overview is not None else None
            stage = partial(report_stage, session, shown.fit.star_id, refit, white, path)
            self._runner.start("Writing the report", stage, succeeded=self._on_saved, failed=self._on_failed)

    @Slot(object)
    def _on_saved(self, path: object) -> None:
        self._document.noted.emit(f"Saved {path}.")

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        self._document.read_failed.emit(failure)
