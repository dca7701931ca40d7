"""The paragraph of a run for a paper's methods section, with the numbers of this run, and what it has to cite."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.labels.names import LABELS
from processing.paths import resource

if TYPE_CHECKING:
    from astropy.table import Table

    from processing.catalogue.table import Catalogue
    from processing.labels.model_file import LabelModel
    from processing.settings import Settings

PROFILES = {
    "moffat": "an elliptical Moffat profile",
    "gaussian": "an elliptical Gaussian profile",
    "double_moffat": "two elliptical Moffat profiles",
    "moffat_gaussian": "an elliptical Moffat and a Gaussian profile",
    "maoppy": "the PSF that adaptive optics leave, as MAOPPY computes it (Fétick et al. 2019),",
    "auto": "an elliptical profile that goes with the instrument's mode",
}
TELLURIC = {"wide": "Telluric bands", "narrow": "The cores of telluric bands", "none": ""}


def citations() -> list[dict[str, str]]:
    """Return what the program asks to cite: `use` and `text` of each."""
    return list(tomllib.loads(resource("licences", "citations.toml").read_text(encoding="utf-8"))["citation"])


def methods(catalogue: Catalogue) -> str:
    """Return a paragraph about how a catalogue was made, and below it the works to cite.

    Raises
    ------
    StellacubeError
        If the catalogue does not say with which model it was made, or that model is not there any more.
    """
    from processing.labels.model_file import load_model

    provenance = catalogue.provenance
    if not provenance.model:
        raise StellacubeError(
            "There is no methods paragraph without labels: this run only extracted spectra.", "Run the fit first."
        )
    settings = provenance.settings
    model = load_model(settings.fit.model)
    sentences = [
        *(_extraction(catalogue, settings) if any(file.role == "cube" for file in provenance.inputs) else ()),
        *_preparation(settings, model),
        *_fit(settings, model),
        *_result(catalogue.table, model),
        f"All was done with {provenance.program} on {provenance.created[:10]}.",
    ]
    cited = [f"{entry['use']}: {entry['text']}" for entry in citations()]
    network = model.card["citation"]
    cited += [f"Network {model.name}: {text}" for text in ([network] if isinstance(network, str) else network)]
    return "\n".join((" ".join(sentences), "", "Please cite", *(f"- {text}" for text in cited)))


def _extraction(catalogue: Catalogue, settings: Settings) -> list[str]:
    names = [file.name for file in catalogue.provenance.inputs if file.role == "cube"]
    cubes = f"MUSE data cube{'s' * (len(names) > 1)} {', '.join(names)}"
    spectra = f"Spectra of {len(catalogue.table)} stars were extracted from the {cubes}"
    if settings.pampelmuse.use:
        return [f"{spectra} with PampelMUSE (Kamann et al. 2013)."]
    if settings.extraction.method == "aperture":
        return [f"{spectra} in apertures of {settings.extraction.aperture_radius:g} FWHM, the sky from annuli."]
    sky = {"none": "", "constant": ", together with a constant sky", "patches": ", together with a varying sky"}
    sky["slices"] = ", together with a sky that differs between the slices of the instrument"
    sky["auto"] = ", together with the sky"  # of several cubes each has its own choice
    return [
        f"{spectra} by fitting the point spread function of all stars at once in every layer"
        f"{sky[settings.solve.sky]}, as described by Kamann et al. (2013).",
        f"It is {PROFILES[settings.psf.profile]} whose parameters vary smoothly with wavelength.",
    ]


def _preparation(settings: Settings, model: LabelModel) -> list[str]:
    low, high = model.wave[model.mask][[0, -1]]
    sentences = [
        f"The spectra were brought to rest, to the resolution of the network (FWHM "
        f"{model.lsf_fwhm.min():.1f}-{model.lsf_fwhm.max():.1f} Å) and divided by a running pseudo-continuum; "
        f"{low:.0f}-{high:.0f} Å were fitted."
    ]
    masked = TELLURIC[settings.preparation.telluric]
    own = len(settings.preparation.masks) + len(settings.preparation.masks_rest)
    if masked:
        sentences.append(f"{masked} were masked.")
    if own:
        sentences.append(f"{own} further wavelength range{'s were' if own > 1 else ' was'} left out.")
    return sentences


def _fit(settings: Settings, model: LabelModel) -> list[str]:
    symbols = ", ".join(LABELS[name].symbol for name in model.labels)
    sentences = [
        f"Stellar labels ({symbols}) and radial velocities were found by least squares with the network "
        f"{model.name} (version {model.version}), following the Data-Driven Payne (Xiang et al. 2019) as applied to "
        "MUSE by Wang et al. (2022)."
    ]
    if settings.fit.abundance_prior > 0:
        sentences.append(f"Every [X/Fe] had a Gaussian prior of {settings.fit.abundance_prior:g} dex.")
    for name, mean, sigma in settings.fit.priors:
        info = LABELS[name]
        sentences.append(
            f"{info.symbol} had a Gaussian prior of {mean:.{info.decimals}f} ± {sigma:.{info.decimals}f} {info.unit}."
        )
    if settings.fit.held:
        held = ", ".join(f"{LABELS[name].symbol} at {value:g}" for name, value in settings.fit.held)
        sentences.append(f"Held were {held}.")
    return sentences


def _result(table: Table, model: LabelModel) -> list[str]:
    """Say how many stars have labels, at which signal-to-noise, and how precise those are."""
    quality = np.asarray(table["quality"]).astype(str)
    good = quality == "good"
    fitted = quality != "not fitted"
    sentences = [f"Of {len(table)} spectra {fitted.sum()} were fitted, and the labels of {good.sum()} count as good."]
    names = [name for name in ("teff", "logg", "fe_h") if name in model.labels]
    found = {name: _median(table, f"{name}_err_cal", good) for name in names}
    errors = [
        f"{error:.{LABELS[name].decimals}f} {LABELS[name].unit} in {LABELS[name].symbol}"
        for name, error in found.items()
        if np.isfinite(error)
    ]
    snr, scale = (_median(table, name, good) for name in ("snr_der", "error_scale"))
    if np.isfinite(snr):
        sentences.append(f"Those have a median signal-to-noise ratio of {snr:.0f} per pixel.")
    if errors:
        sentences.append(
            f"Their median errors are {', '.join(errors)}, the pipeline's errors having been scaled by the scatter of "
            f"the residuals (median factor {scale:.2f})."
        )
    return sentences


def _median(table: Table, name: str, chosen: np.ndarray) -> float:
    values = np.asarray(table[name], float)[chosen]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")
