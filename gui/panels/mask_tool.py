"""Masks drawn by hand or taken from presets, with undo, and the star fitted again with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QUndoCommand, QUndoStack
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QWidget

from gui.document import Document
from gui.panels.plot_items import Bands, faded
from gui.panels.spectrum_plots import SpectrumPlots
from gui.reading import ShownSpectrum
from gui.refitting import Refitter
from gui.theme import Theme
from processing.errors import StellacubeError
from processing.labels.refit import Range, Recipe, preset_of, ranges_of
from processing.paths import config_folder
from processing.preparation.presets import MaskPreset, find_preset, list_presets, read_preset, write_preset

LEAST = 1.0
"""Angstrom: a narrower range is a click, which takes away the mask under it."""


class _Change(QUndoCommand):
    """One change of a star's masks."""

    def __init__(self, text: str, tool: MaskTool, star_id: str, after: tuple[Range, ...]) -> None:
        super().__init__(f"{text} of {star_id}")
        self._tool, self._star = tool, star_id
        self._before, self._after = tool.masks(star_id), after

    def redo(self) -> None:
        """Make the change."""
        self._tool.set_masks(self._star, self._after)

    def undo(self) -> None:
        """Take it back."""
        self._tool.set_masks(self._star, self._before)


class MaskTool(QObject):
    """Two buttons, the masks of every star, and their bands in the plots."""

    def __init__(self, document: Document, plots: SpectrumPlots, undo: QUndoStack, refitter: Refitter) -> None:
        super().__init__(plots)
        self._refitter, self._undo = refitter, undo
        self._masks: dict[str, tuple[Range, ...]] = {}
        self._shown: ShownSpectrum | None = None
        self.bands = (Bands(plots.flux), Bands(plots.residual))
        for band, plot in zip(self.bands, plots.plots, strict=False):
            plot.addItem(band, ignoreBounds=True)
        self.button, self.refit = QToolButton(), QToolButton()
        self.box = QWidget()
        row = QHBoxLayout(self.box)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button)
        row.addWidget(self.refit)
        self.button.setText("Mask")
        self.button.setCheckable(True)
        self.button.toggled.connect(self._show)
        self.button.setToolTip("Draw masks with Shift held; a click with Shift takes one away (M)")
        self.refit.setText("Refit")
        self.refit.setToolTip("Fit this star again with its masks (Ctrl+Shift+R); the run's own fit stays")
        self.refit.clicked.connect(self.start)
        plots.box.band_chosen.connect(self._on_chosen)
        plots.box.shift_clicked.connect(self._on_clicked)
        document.results_changed.connect(self._on_results)
        self.show_star(None)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        for band in self.bands:
            band.set_colour(faded(theme.warn, 0.2))

    @property
    def _star(self) -> str:
        return self._shown.fit.star_id if self._shown is not None and self._shown.fit is not None else ""

    @property
    def has_star(self) -> bool:
        """True while a fitted star is in the plots."""
        return bool(self._star)

    @property
    def has_masks(self) -> bool:
        """True where the star has masks."""
        return bool(self.masks(self._star))

    @property
    def drawing(self) -> bool:
        """True while a drag with Shift draws a mask."""
        return self.button.isChecked() and bool(self._star)

    def masks(self, star_id: str) -> tuple[Range, ...]:
        """Return a star's masks."""
        return self._masks.get(star_id, ())

    def set_masks(self, star_id: str, masks: tuple[Range, ...]) -> None:
        """Replace a star's masks."""
        self._masks[star_id] = masks
        self._show()

    def show_star(self, shown: ShownSpectrum | None) -> None:
        """Show the masks of the star whose fit is in the plots; None while there is none."""
        self._shown = shown if shown is not None and shown.fit is not None else None
        self.button.setVisible(bool(self._star))
        self._show()

    def _show(self) -> None:
        masks = self.masks(self._star)
        for band in self.bands:
            band.set_bands(masks)
        self.refit.setVisible(bool(self._star) and (bool(masks) or self.button.isChecked()))

    @Slot(float, float)
    def _on_chosen(self, low: float, high: float) -> None:
        """Add a mask."""
        if self.drawing and high - low >= LEAST:
            self._push("Mask", joined((*self.masks(self._star), (low, high))))

    @Slot(float)
    def _on_clicked(self, wavelength: float) -> None:
        """Take away the mask under the mouse."""
        masks = self.masks(self._star)
        left = tuple((a, b) for a, b in masks if not a <= wavelength <= b)
        if self.drawing and left != masks:
            self._push("Unmask", left)

    def _push(self, text: str, masks: tuple[Range, ...]) -> None:
        if masks != self.masks(self._star):
            self._undo.push(_Change(text, self, self._star, masks))

    @Slot()
    def start(self) -> None:
        """Fit the star again."""
        if self._star:
            self._refitter.start(self._star, Recipe(self.masks(self._star)))

    @Slot()
    def clear(self) -> None:
        """Take all masks of the star away."""
        if self._star:
            self._push("Unmask all", ())

    # Presets

    @property
    def presets(self) -> list[str]:
        """Names of the presets that ship and of the user's own."""
        return list(list_presets(preset_folder()))

    def add_preset(self, name: str) -> None:
        """Add a preset's regions to the star's masks; a name, or the path of a file."""
        shown = self._shown
        if shown is not None and shown.fit is not None and shown.observed is not None:
            preset = find_preset(name, preset_folder())
            regions = ranges_of(preset, shown.observed.frame, shown.fit.rv)
            self._push(f"Masks '{preset.name}'", joined((*self.masks(self._star), *regions)))

    def save_preset(self, name: str) -> Path:
        """Save the star's masks as a preset of the user's; one of that name is replaced."""
        shown = self._shown
        assert shown is not None
        assert shown.observed is not None
        preset = preset_of(name, f"drawn on {self._star}", self.masks(self._star), shown.observed.frame)
        return keep_preset(preset)

    def import_preset(self, path: Path) -> Path:
        """Take a preset's file into the user's folder."""
        return keep_preset(read_preset(path))

    @Slot()
    def _on_results(self) -> None:
        self._masks.clear()
        self._undo.clear()
        self._show()


def joined(masks: Iterable[Range]) -> tuple[Range, ...]:
    """Return masks in order, those that touch made one."""
    result: list[Range] = []
    for low, high in sorted(masks):
        if result and low <= result[-1][1]:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return tuple(result)


def preset_folder() -> Path:
    """Return the folder of the user's own presets."""
    return config_folder() / "masks"


def keep_preset(preset: MaskPreset) -> Path:
    """Write a preset into the user's folder, under a file name that every system takes."""
    name = "".join(c if c.isalnum() or c in "-_ " else "_" for c in preset.name).strip() or "masks"
    folder = preset_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StellacubeError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    write_preset(preset, folder / f"{name}.toml")
    return folder / f"{name}.toml"
