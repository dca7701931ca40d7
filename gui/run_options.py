"""The settings that the run dialog offers: what each is called there, its own words as tooltip, and its widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QWidget

from processing.settings import Settings


@dataclass(frozen=True)
class Option:
    """One setting: a choice among words, a number, or yes and no.

    Parameters
    ----------
    path : str
        Section and name, as in the settings file.
    label : str
        What stands beside the widget, or in it where it is a tick.
    hint : str
        What `processing.settings` says of it.
    choices : mapping
        Words by value.
    number : tuple of float, optional
        Smallest and largest value, and the step.
    unit : str
        Behind the number.
    """

    path: str
    label: str
    hint: str
    choices: Mapping[str, str] = field(default_factory=dict)
    number: tuple[float, float, float] | None = None
    unit: str = ""

    @property
    def tick(self) -> bool:
        """True where the answer is yes or no."""
        return self.number is None and not self.choices

    def widget(self) -> QWidget:
        """Make the widget."""
        made: QWidget
        if self.number is not None:
            made = _number(*self.number, self.unit)
        elif self.choices:
            made = QComboBox()
            for value, text in self.choices.items():
                made.addItem(text, value)
        else:
            made = QCheckBox(self.label)
        made.setAccessibleName(self.label)
        made.setToolTip(f"<p>{self.hint}</p>")
        return made

    def of(self, settings: Settings) -> Any:
        """Return the setting's value."""
        section, name = self.path.split(".")
        return getattr(getattr(settings, section), name)

    def put(self, settings: Settings, value: Any) -> Settings:
        """Return the settings with another value; a number that the widget only rounds stays as it is."""
        if self.number is not None and abs(value - self.of(settings)) <= 0.51 * 10.0 ** -_decimals(self.number[2]):
            return settings
        section, name = self.path.split(".")
        return replace(settings, **{section: replace(getattr(settings, section), **{name: value})})


def value_of(widget: QWidget) -> Any:
    """Return what a widget says."""
    if isinstance(widget, QComboBox):
        return widget.currentData()
    return widget.value() if isinstance(widget, QDoubleSpinBox) else widget.isChecked()  # type: ignore[attr-defined]


def show_value(widget: QWidget, value: Any) -> None:
    """Let a widget say something; a choice that it does not know becomes one."""
    if isinstance(widget, QComboBox):
        if widget.findData(value) < 0:
            widget.addItem(value, value)
        widget.setCurrentIndex(widget.findData(value))
    elif isinstance(widget, QDoubleSpinBox):
        widget.setValue(value)
    else:
        widget.setChecked(value)  # type: ignore[attr-defined]


def _decimals(step: float) -> int:
    return 1 if step >= 0.1 else 2


def _number(low: float, high: float, step: float, unit: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(minimum=low, maximum=high, singleStep=step, decimals=_decimals(step))
    box.setLocale(QLocale.c())
    box.lineEdit().setTextMargins(6, 0, 6, 0)  # as the boxes of words have it
    box.setSuffix(f" {unit}" if unit else "")
    return box


METHOD = Option(
    "extraction.method", "Extraction",
    "PSF fitting of all stars at once, or aperture photometry: as good below some 200 stars a field (Wang et al. 2022) "
    "and no good in crowds.",
    {"psf": "PSF fitting of all stars at once", "aperture": "Apertures, for sparse fields"},
)  # fmt: skip
PROFILE = Option(
    "psf.profile", "PSF",
    '"auto": a Moffat in the wide field, two in the narrow field, where half of the light is in a halo; "maoppy": the '
    "adaptive optics' own PSF (Fetick et al. 2019), for the narrow field, where the package MAOPPY is installed.",
    {
        "auto": "Automatic", "moffat": "Moffat", "double_moffat": "Double Moffat",
        "moffat_gaussian": "Moffat + Gaussian", "gaussian": "Gaussian", "maoppy": "MAOPPY, for the narrow field",
    },
)  # fmt: skip
FAINTEST = Option(
    "sources.snr_min", "Faintest star",
    "Lowest predicted signal-to-noise per pixel of a star that gets a spectrum.",
    number=(0.0, 1000.0, 0.5), unit="S/N per pixel",
)  # fmt: skip
SATURATED = Option(
    "sources.saturated", "Saturated stars",
    "Stars with flat or hollow cores: model them by their wings and write no spectrum, or take them as they are.",
    {"mask": "Fit their wings, no spectrum", "ignore": "Take them as they are"},
)  # fmt: skip
TRAILS = Option(
    "sources.trails", "Satellite trails",
    "Straight bright lines across the field, as satellites draw them: leave their spaxels out and say so, or take them "
    "for sky and stars.",
    {"mask": "Leave their spaxels out", "ignore": "Do not look for them"},
)  # fmt: skip
DETECTION = Option(
    "sources.detection_sigma", "Detection above",
    "Detection threshold on the white-light image when no list is given, in sigma of the background.",
    number=(1.0, 100.0, 0.5), unit="σ of the background",
)  # fmt: skip
PASSBAND = Option(
    "registration.passband", "Magnitudes",
    'Band of the list\'s magnitudes: a name as "Johnson-Cousins V", "SDSS r" or "F814W", "white", or the path of a '
    "table with wavelength and transmission; empty: told from the column's name.",
    {"": "Told from their column's name", "white": "White light"},
)  # fmt: skip
SECOND_PASS = Option(
    "extraction.second_pass", "Search for stars that the list lacks",
    "Search what is left of the white-light image for stars that the list lacks, and extract again with them.",
)  # fmt: skip
NETWORK = Option(
    "fit.model", "Network",
    "Model file, or the name of a shipped model; empty: the shipped default.",
    {
        "a": "a – giants and dwarfs", "a+a-mp": "a + a-mp – a mixture, with metal-poor stars",
        "a-mp": "a-mp – metal-poor stars", "g": "g – dwarfs and subgiants", "muse": "muse – MUSE's own resolution",
        "physical": "physical – for simulations",
    },
)  # fmt: skip
PRIOR = Option(
    "fit.abundance_prior", "Prior on [X/Fe]",
    "Width of the Gaussian prior on every [X/Fe] in dex; 0: none.",
    number=(0.0, 5.0, 0.05), unit="dex",
)  # fmt: skip
OPTIONS = (METHOD, PROFILE, FAINTEST, SATURATED, TRAILS, DETECTION, PASSBAND, SECOND_PASS, NETWORK, PRIOR)
