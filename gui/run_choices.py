"""How a run is done, for those who do not take it as it comes: stars, labels, and a settings file for all else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QComboBox, QFileDialog, QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from gui.panels.panel import Elided
from gui.run_options import (
    DETECTION,
    FAINTEST,
    METHOD,
    NETWORK,
    PASSBAND,
    PRIOR,
    PROFILE,
    SATURATED,
    SECOND_PASS,
    TRAILS,
    Option,
    show_value,
    value_of,
)
from gui.theme import GRID
from processing.catalogue.cuts import find_cuts, list_cuts
from processing.errors import StellacubeError
from processing.extraction import psf_maoppy
from processing.extraction.passbands import passbands
from processing.labels.model_file import DEFAULT_MODEL, list_models
from processing.paths import config_folder
from processing.preparation.presets import find_preset, list_presets, with_preset
from processing.settings import Settings, read_settings, write_settings

PAMPELMUSE = "pampelmuse"
TOML = "Settings (*.toml)"


class RunChoices(QWidget):
    """A form over the settings that matter most; all others come from a settings file, or keep their defaults.

    Parameters
    ----------
    cube : bool
        Stars are extracted; else spectra are there already.
    stars : bool
        There is a star list; else stars are detected.
    """

    failed = Signal(str)
    """A settings file that cannot be used, in a sentence."""

    def __init__(self, *, cube: bool, stars: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._base = Settings()
        listed = PASSBAND if stars else DETECTION
        extraction = (METHOD, PROFILE, FAINTEST, SATURATED, TRAILS, listed, SECOND_PASS) if cube else ()
        self.options = (*extraction, NETWORK, PRIOR)
        self.widgets = {option.path: option.widget() for option in self.options}
        self.masks = _box("Masks", "Pixels that are not fitted in any star, besides those that the network leaves out")
        self.cuts = _box("Cuts", "Conditions of good stars; the catalogue's column `selected` says which meet them")
        self._fill()
        labels = [*self._rows(NETWORK, PRIOR), ("Masks", self.masks), ("Cuts", self.cuts)]
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID // 2)
        for n, (title, rows) in enumerate([("Stars", self._rows(*extraction))] * cube + [("Labels", labels)]):
            _add_column(grid, 3 * n, title, rows)
        grid.setColumnMinimumWidth(2, GRID)
        grid.addLayout(self._file_row(), grid.rowCount(), 0, 1, -1)
        grid.setRowStretch(grid.rowCount(), 1)
        self.show_settings(self._base)
        if cube:
            self.box(METHOD).currentIndexChanged.connect(self._on_method)

    def box(self, option: Option) -> QComboBox:
        """Return the widget of a choice among words."""
        return cast("QComboBox", self.widgets[option.path])

    def _rows(self, *options: Option) -> list[tuple[str, QWidget]]:
        """Return what stands beside the widgets of some options, and the widgets."""
        return [("" if option.tick else option.label, self.widgets[option.path]) for option in options]

    def _file_row(self) -> QHBoxLayout:
        self.file = Elided()
        self.file.setObjectName("muted")
        read, write = QPushButton("Open settings…", autoDefault=False), QPushButton("Save settings…", autoDefault=False)
        read.setToolTip("Take all settings from a TOML file, those that this form does not show too")
        write.setToolTip("Write all settings to a TOML file: change there what this form does not show, and open it")
        read.clicked.connect(self.open_file)
        write.clicked.connect(self.save_file)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.setContentsMargins(0, GRID, 0, 0)
        row.addWidget(self.file, 1)
        row.addWidget(read)
        row.addWidget(write)
        self._tell("All other settings have their defaults.")
        return row

    def _tell(self, text: str, tip: str = "") -> None:
        self.file.set_text(text)
        self.file.setToolTip(tip)

    def _fill(self) -> None:
        """Offer what is installed, and the presets."""
        shipped = list_models()
        _keep(self.box(NETWORK), lambda name: all(part in shipped for part in name.split("+")))
        if METHOD.path in self.widgets:
            _keep(self.box(PROFILE), lambda name: name != "maoppy" or psf_maoppy.is_installed())
            if shutil.which(self._base.pampelmuse.executable):
                self.box(METHOD).addItem("PampelMUSE, as installed here", PAMPELMUSE)
        for name in passbands() if PASSBAND.path in self.widgets else ():
            self.box(PASSBAND).addItem(name, name)
        for box, presets in ((self.masks, list_presets(config_folder() / "masks")), (self.cuts, list_cuts())):
            box.addItem("None besides" if box is self.masks else "None", "")
            for name in presets:
                box.addItem(name.replace("-", " ").capitalize(), name)

    @property
    def settings(self) -> Settings:
        """The settings that are chosen."""
        settings, method = self._base, self._method
        for option in self.options:
            if option is not METHOD or method != PAMPELMUSE:
                settings = option.put(settings, value_of(self.widgets[option.path]))
        if method:
            settings = replace(settings, pampelmuse=replace(settings.pampelmuse, use=method == PAMPELMUSE))
        if self.masks.currentData():
            preset = find_preset(self.masks.currentData(), config_folder() / "masks")
            settings = replace(settings, preparation=with_preset(settings.preparation, preset))
        if self.cuts.currentData():
            cuts = find_cuts(self.cuts.currentData()).cuts
            settings = replace(settings, catalogue=replace(settings.catalogue, cuts=cuts))
        return settings

    def read(self, path: Path) -> None:
        """Take all settings from a file, and show those that the form has.

        Raises
        ------
        StellacubeError
            If the file cannot be used.
        """
        self._base = read_settings(path)
        self._tell(f"All other settings are those of {path.name}.", str(path))
        self.show_settings(self._base)

    def write(self, path: Path) -> None:
        """Write all settings, the chosen ones and the others, to a file.

        Raises
        ------
        StellacubeError
            If the file cannot be written.
        """
        write_settings(self.settings, path)
        self._tell(f"Saved in {path.name}: change it there and open it again.", str(path))

    def show_settings(self, settings: Settings) -> None:
        """Show what the form has of some settings."""
        for option in self.options:
            show_value(self.widgets[option.path], option.of(settings))
        show_value(self.box(NETWORK), settings.fit.model or DEFAULT_MODEL)
        if self._method and settings.pampelmuse.use:
            show_value(self.box(METHOD), PAMPELMUSE)
        self._on_method()

    @property
    def _method(self) -> str:
        """What extracts the stars; empty where none are extracted."""
        return self.box(METHOD).currentData() if METHOD.path in self.widgets else ""

    @Slot()
    def _on_method(self) -> None:
        """Switch off what another engine does in its own way."""
        for option in (PROFILE, SECOND_PASS, SATURATED, TRAILS, PASSBAND, DETECTION):
            if option.path in self.widgets:
                own = (PROFILE, SECOND_PASS) if self._method == "aperture" else ()
                self.widgets[option.path].setEnabled(self._method != PAMPELMUSE and option not in own)

    @Slot()
    def open_file(self) -> None:
        """Ask for a settings file and take it."""
        name, _ = QFileDialog.getOpenFileName(self, "Open settings", "", TOML)
        if name:
            self._try(Path(name), reading=True)

    @Slot()
    def save_file(self) -> None:
        """Ask for a settings file and write it."""
        name, _ = QFileDialog.getSaveFileName(self, "Save settings", "stellacube.toml", TOML)
        if name:
            self._try(Path(name).with_suffix(".toml"), reading=False)

    def _try(self, path: Path, *, reading: bool) -> None:
        try:
            self.read(path) if reading else self.write(path)
        except StellacubeError as error:
            self.failed.emit(str(error))


def _box(name: str, tip: str) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(tip)
    return box


def _keep(box: QComboBox, there: Callable[[str], bool]) -> None:
    """Take out what is not there."""
    for n in reversed(range(box.count())):
        if not there(box.itemData(n)):
            box.removeItem(n)


def _add_column(grid: QGridLayout, column: int, title: str, rows: list[tuple[str, QWidget]]) -> None:
    """Add a group of settings, one below the other."""
    heading = QLabel(title)
    heading.setObjectName("title")
    grid.addWidget(heading, 0, column, 1, 2)
    grid.setColumnStretch(column + 1, 1)
    for n, (text, widget) in enumerate(rows, 1):
        grid.setRowMinimumHeight(n, 4 * GRID)
        label = QLabel(text)
        label.setObjectName("muted")
        label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        label.setToolTip(widget.toolTip())
        grid.addWidget(label, n, column)
        grid.addWidget(widget, n, column + 1)
        if isinstance(widget, QComboBox):
            widget.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            widget.setMinimumContentsLength(24)
