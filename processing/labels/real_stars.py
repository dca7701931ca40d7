"""Spectra of real stars with known Teff, logg, [Fe/H]: which of them train, which of them judge, and how they fare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from processing.labels.datasets import SpectraFile, read_spectra
from processing.labels.fit import LabelFit, fit_labels
from processing.labels.names import CORE
from processing.labels.priors import AbundancePrior
from processing.labels.split import real_held_out, reserved, star_key
from processing.preparation.air import in_frame
from processing.preparation.lsf import lsf_fwhm
from processing.progress import CancelCheck, Progress, ignore, never
from processing.settings import PreparationSettings, Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

MARGIN = 60.0
"""Angstrom kept beyond the ends of the model."""
GOOD_RMS = 0.012
"""A star without known labels is used when its fit leaves less than this."""
FIT_ERRORS = (120.0, 0.3, 0.15)
SOLAR = -0.3
"""Above this [Fe/H] the nearby stars' [X/Fe] scatter little: what a fit finds more is its own error."""
GIANT = 3.5
"""Stars of lower logg are called giants."""
ABUNDANCE_WIDTH = 0.15
VMIC_WIDTH = 0.3
VMIC_TREND = (0.525, 2.5e-4, -0.2)
"""Usual microturbulence in km/s: a constant, per K of Teff, per dex of logg; a rough form of the relations in use."""


@dataclass(frozen=True)
class RealSettings:
    """One library of real stars."""

    path: str = ""
    """File or wildcard, relative to the configuration file."""
    lsf: str = ""
    """The library's resolution."""
    teff_err: float = 80.0
    logg_err: float = 0.2
    fe_h_err: float = 0.1
    """Errors of the library's labels."""
    snr: float = 250.0
    """Signal-to-noise per pixel of spectra without errors of their own."""
    noise: float = 1.0
    """Scatter of the library's spectra relative to the first one's."""
    telluric: Literal["wide", "narrow", "none"] = "wide"
    coverage: float = 0.5
    """Spectra that cover less than this part of the model's range are left out."""


@dataclass(frozen=True)
class Library:
    """Stars of one library within a model's range.

    Parameters
    ----------
    name : str
    spectra : tuple of StarSpectrum, n of them
    core, errors : ndarray, shape (n, 3)
        Teff, logg, [Fe/H] and their errors; NaN where unknown.
    settings : Settings
        Of the fit.
    noise : float
    """

    name: str
    spectra: tuple[StarSpectrum, ...]
    core: np.ndarray
    errors: np.ndarray
    settings: Settings
    noise: float

    @property
    def held_out(self) -> np.ndarray:
        """Boolean array, True for the stars that judge and never train."""
        return real_held_out(spectrum.star_id for spectrum in self.spectra)

    @property
    def labelled(self) -> np.ndarray:
        """Boolean array, True for the stars whose labels are known."""
        return np.asarray(np.isfinite(self.core).all(axis=1))

    def take(self, chosen: np.ndarray) -> Library:
        """Return the stars for which `chosen` is True."""
        spectra = tuple(s for s, keep in zip(self.spectra, chosen, strict=True) if keep)
        return replace(self, spectra=spectra, core=self.core[chosen], errors=self.errors[chosen])


def read_libraries(sources: Sequence[RealSettings], folder: Path, model: LabelModel) -> list[Library]:
    """Read libraries; a star has the labels of the first library that knows it, in all of them.

    Stars outside the model's range or reserved for other tests are left out; stars without labels are kept.
    """
    known: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    libraries = []
    for source in sources:
        file = read_spectra(folder / source.path)
        core = np.column_stack([file.labels.get(name, np.full(len(file), np.nan)) for name in CORE])
        errors = np.tile([source.teff_err, source.logg_err, source.fe_h_err], (len(file), 1))
        for i, star in enumerate(file.stars):
            key = star_key(star)
            if np.isfinite(core[i]).all():
                known.setdefault(key, (core[i].copy(), errors[i]))
            if key in known:
                core[i], errors[i] = known[key]
        core[~np.isfinite(core).all(1)] = np.nan
        in_range = _in_range(core, model) | np.isnan(core[:, 0])
        usable = in_range & ~reserved(file.stars) & (_coverage(file, model) >= source.coverage)
        settings = Settings(preparation=PreparationSettings(clean_sky=False, mask_ao=False, telluric=source.telluric))
        index = np.flatnonzero(usable)
        spectra = tuple(_star_spectrum(file, int(i), source, model) for i in index)
        libraries.append(Library(Path(source.path).stem, spectra, core[index], errors[index], settings, source.noise))
    return libraries


def _in_range(core: np.ndarray, model: LabelModel) -> np.ndarray:
    column = [model.labels.index(name) for name in CORE]
    low, high = model.label_min[column], model.label_max[column]
    return np.asarray(((core >= low) & (core <= high)).all(axis=1))


def _coverage(file: SpectraFile, model: LabelModel) -> np.ndarray:
    """Part of the model's range that each spectrum covers."""
    wave = in_frame(file.wave, file.frame, model.frame)
    inside = (wave >= model.wave[0]) & (wave <= model.wave[-1])
    width = np.gradient(wave)[inside]
    return (file.ivar[:, inside] > 0) @ width / (model.wave[-1] - model.wave[0])


def _star_spectrum(file: SpectraFile, i: int, source: RealSettings, model: LabelModel) -> StarSpectrum:
    wave = in_frame(file.wave, file.frame, "air")
    near = (wave > model.wave[0] - MARGIN) & (wave < model.wave[-1] + MARGIN)
    flux, ivar = file.flux[i, near].astype(float), file.ivar[i, near].astype(float)
    level = np.median(flux[ivar > 0])
    flux, ivar = flux / level, ivar * level**2
    if set(np.unique(file.ivar[i])) <= {0.0, 1.0}:  # the file gives no errors
        ivar = np.where(ivar > 0, (source.snr / np.maximum(flux, 0.05)) ** 2, 0.0)
    return StarSpectrum(
        file.stars[i],
        file.wave[near],
        flux.astype(np.float32),
        ivar.astype(np.float32),
        file.frame,
        lsf_fwhm=lsf_fwhm(source.lsf, wave[near]),
    )


def label_by_fit(library: Library, model: LabelModel, wave_max: float, *, cancelled: CancelCheck = never) -> Library:
    """Give stars without labels those of a fit below `wave_max` Angstrom; drop stars that the model does not fit.

    So that stars of which nothing is known can still teach the wavelengths that few known stars cover.
    """
    if not library.spectra:
        return library
    settings = replace(library.settings, preparation=replace(library.settings.preparation, wave_max=wave_max))
    fits = fit_labels(library.spectra, model, settings, cancelled=cancelled)
    column = [model.labels.index(name) for name in CORE]
    core = np.array([fit.values for fit in fits])[:, column]
    rms = np.array([np.sqrt(np.mean(np.square(fit.flux - fit.best)[fit.ivar > 0])) for fit in fits])
    fine = np.array([fit.converged and fit.in_scope and not fit.extrapolated for fit in fits])
    good = fine & (rms < GOOD_RMS) & _in_range(core, model)
    return replace(library, core=core, errors=np.tile(FIT_ERRORS, (len(core), 1))).take(good)


def known_labels(core: np.ndarray, core_errors: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Fill label vectors from Teff, logg, [Fe/H] alone: usual abundances and microturbulence, with wide errors.

    Giants have burnt carbon to nitrogen on their surface (Gratton et al. 2000); Mn and Cu fall towards low [Fe/H]
    (Sobeck et al. 2006; Reddy et al. 2006). Taken as solar, these would end up in the correction.

    Parameters
    ----------
    core, core_errors : ndarray, shape (n, 3)

    Returns
    -------
    labels, errors : ndarray, shape (n, n_label)
    """
    labels = np.zeros((len(core), len(names)))
    errors = np.full(labels.shape, ABUNDANCE_WIDTH)
    for i, name in enumerate(CORE):
        labels[:, names.index(name)] = core[:, i]
        errors[:, names.index(name)] = core_errors[:, i]
    labels = AbundancePrior(names, ABUNDANCE_WIDTH).expected(labels)
    dredged = np.clip((3.6 - core[:, 1]) / 0.6, 0.0, 1.0)
    poor = np.clip(-core[:, 2], 0.0, 1.0)
    usual = {
        "c_fe": -0.2 * dredged,
        "n_fe": 0.3 * dredged,
        "mn_fe": -0.3 * poor,
        "cu_fe": -0.45 * poor,
        "vmic": usual_vmic(core[:, 0], core[:, 1]),
    }
    for name, values in usual.items():
        if name in names:
            labels[:, names.index(name)] = values
    if "vmic" in names:
        errors[:, names.index("vmic")] = VMIC_WIDTH
    return labels, errors


def usual_vmic(teff: np.ndarray, logg: np.ndarray) -> np.ndarray:
    """Microturbulence in km/s that FGK stars usually have, +-0.3 km/s."""
    return np.clip(VMIC_TREND[0] + VMIC_TREND[1] * teff + VMIC_TREND[2] * logg, 0.8, 2.2)


def half_range(values: np.ndarray) -> float:
    """Half of the range from 15.87 to 84.13 per cent: the dispersion of section 4.1.1 of the paper."""
    low, high = np.percentile(values, [15.87, 84.13])
    return float(high - low) / 2


def validate(
    library: Library, model: LabelModel, *, progress: Progress = ignore, cancelled: CancelCheck = never
) -> dict[str, Any]:
    """Fit a library's stars and compare with its labels: median and half 15.87-84.13 % range of (fit - library).

    Returns
    -------
    dict
        For all stars, giants and dwarfs: n, and for each label median and dispersion; as a card holds it.
    """
    library = library.take(library.labelled)
    if not library.spectra:
        return {}
    fits = fit_labels(library.spectra, model, library.settings, progress=progress, cancelled=cancelled)
    return summarise(fits, library.core, model)


def summarise(fits: Sequence[LabelFit], core: np.ndarray, model: LabelModel) -> dict[str, Any]:
    """Compare fits with given Teff, logg, [Fe/H] (n, 3)."""
    column = [model.labels.index(name) for name in CORE]
    values = np.array([fit.values for fit in fits])[:, column]
    good = np.isfinite(values).all(1)
    rms = np.array([np.sqrt(np.mean(np.square(fit.flux - fit.best)[fit.ivar > 0])) for fit in fits])
    table: dict[str, Any] = {}
    for title, chosen in (
        ("all", good),
        ("giants", good & (core[:, 1] < GIANT)),
        ("dwarfs", good & (core[:, 1] >= GIANT)),
    ):
        if chosen.sum() < 3:
            continue
        row: dict[str, Any] = {"n": int(chosen.sum())}
        for i, (name, digits) in enumerate(zip(CORE, (0, 3, 3), strict=True)):
            difference = (values - core)[chosen, i]
            row[name] = [round(float(np.median(difference)), digits), round(half_range(difference), digits)]
        row["rms of the residuals"] = round(float(np.median(rms[chosen])), 4)
        solar = chosen & (core[:, 2] > SOLAR)
        if solar.sum() > 3:
            row[f"abundances at [Fe/H] > {SOLAR}"] = {
                name: [round(float(np.median(x)), 2), round(half_range(x), 2)]
                for name, x in zip(model.labels, np.array([fit.values for fit in fits])[solar].T, strict=True)
                if name.endswith("_fe")
            }
        table[title] = row
    return table
