"""How a run is done, for those who do not take it as it comes: network, extraction, masks, cuts, a settings file."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QFormLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from gui.theme import GRID
from processing.catalogue.cuts import find_cuts, list_cuts
from processing.errors import StellacubeError
from processing.extraction import psf_maoppy
from processing.labels.model_file import DEFAULT_MODEL, list_models
from processing.paths import config_folder
from processing.preparation.presets import find_preset, list_presets, with_preset
from processing.settings import Settings, read_settings

NETWORKS = {
    "a": "a – giants and dwarfs",
    "a+a-mp": "a + a-mp – a mixture, for fields with metal-poor stars",
    "a-mp": "a-mp – metal-poor stars",
    "g": "g – dwarfs and subgiants",
    "muse": "muse – MUSE's own resolution",
    "physical": "physical – synthetic spectra alone, for simulations",
}
PROFILES = {
    "auto": "Automatic",
    "moffat": "Moffat",
    "double_moffat": "Double Moffat",
    "moffat_gaussian": "Moffat + Gaussian",
    "gaussian": "Gaussian",
    "maoppy": "MAOPPY, for the narrow field",
}
METHODS = {"psf": "PSF fitting of all stars at once", "aperture": "Apertures, for sparse fields"}
PAMPELMUSE = "pampelmuse"


class RunChoices(QWidget):
    """A form over the settings that matter most; all others come from a settings file, or keep their defaults."""

    failed = Signal(str)
    """A settings file that cannot be used, in a sentence."""

    def __init__(self, *, cube: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._base = Settings()
        self.networks, self.methods, self.profiles = _box("Network"), _box("Extraction"), _box("PSF")
        self.masks, self.cuts = _box("Mask preset"), _box("Cuts")
        self.second_pass = QCheckBox("Search for stars that the list lacks")
        self.file = QLabel("Defaults")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(2 * GRID)
        form.setVerticalSpacing(GRID)
        rows: list[tuple[str, QWidget]] = [("Network", self.networks), ("Masks", self.masks), ("Cuts", self.cuts)]
        if cube:
            rows[:0] = [("Extraction", self.methods), ("PSF", self.profiles), ("", self.second_pass)]
        for text, widget in rows:
            form.addRow(_muted(text), widget)
        form.addRow(_muted("All else"), self._file_row())
        self._fill()
        self._show(self._base)
        self.methods.currentIndexChanged.connect(self._on_method)

    def _file_row(self) -> QHBoxLayout:
        browse = QPushButton("Settings file…", autoDefault=False)
        browse.setToolTip("A TOML file as `python main.py settings` writes it")
        browse.clicked.connect(self._on_browse)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.addWidget(self.file, 1)
        row.addWidget(browse)
        return row

    def _fill(self) -> None:
        shipped = list_models()
        for name, text in NETWORKS.items():
            if all(part in shipped for part in name.split("+")):
                self.networks.addItem(text, name)
        for name, text in METHODS.items():
            self.methods.addItem(text, name)
        if shutil.which(self._base.pampelmuse.executable):
            self.methods.addItem("PampelMUSE, as installed here", PAMPELMUSE)
        for name, text in PROFILES.items():
            if name != "maoppy" or psf_maoppy.is_installed():
                self.profiles.addItem(text, name)
        for box, presets in ((self.masks, list_presets(config_folder() / "masks")), (self.cuts, list_cuts())):
            box.addItem("None besides" if box is self.masks else "None", "")
            for name in presets:
                box.addItem(name.replace("-", " ").capitalize(), name)

    @property
    def settings(self) -> Settings:
        """The settings that are chosen."""
        base, method = self._base, self.methods.currentData()
        extraction = base.extraction
        if method != PAMPELMUSE:
            extraction = replace(extraction, method=method)
        extraction = replace(extraction, second_pass=self.second_pass.isChecked())
        settings = replace(
            base,
            fit=replace(base.fit, model=self.networks.currentData()),
            extraction=extraction,
            psf=replace(base.psf, profile=self.profiles.currentData()),
            pampelmuse=replace(base.pampelmuse, use=method == PAMPELMUSE),
        )
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
        self.file.setText(path.name)
        self.file.setToolTip(str(path))
        self._show(self._base)

    def _show(self, settings: Settings) -> None:
        _choose(self.networks, settings.fit.model or DEFAULT_MODEL)
        _choose(self.methods, PAMPELMUSE if settings.pampelmuse.use else settings.extraction.method)
        _choose(self.profiles, settings.psf.profile)
        self.second_pass.setChecked(settings.extraction.second_pass)
        self._on_method()

    @Slot()
    def _on_method(self) -> None:
        own = self.methods.currentData() == "psf"
        self.profiles.setEnabled(own)
        self.second_pass.setEnabled(own)

    @Slot()
    def _on_browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Settings", "", "Settings (*.toml)")
        if not name:
            return
        try:
            self.read(Path(name))
        except StellacubeError as error:
            self.failed.emit(str(error))


def _box(name: str) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    return box


def _choose(box: QComboBox, value: str) -> None:
    """Choose an entry by its value; what the form does not know becomes an entry."""
    if box.findData(value) < 0:
        box.addItem(value, value)
    box.setCurrentIndex(box.findData(value))


def _muted(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("muted")
    label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return label
