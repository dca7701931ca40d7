"""Which pixels are not fitted, and why: the band tables of science.md's section 4 as bits per pixel."""

from __future__ import annotations

import numpy as np

from processing.preparation.air import SPEED_OF_LIGHT
from processing.settings import PreparationSettings

Bands = tuple[tuple[float, float], ...]

NO_DATA, TELLURIC, AO, DICHROIC, BALMER, USER, MODEL, EDGE, OUTLIER = (1 << bit for bit in range(9))
MASK_NAMES: dict[int, str] = {
    NO_DATA: "no data",
    TELLURIC: "telluric band",
    AO: "notch filter of the laser guide stars",
    DICHROIC: "dichroic: the training spectra have none there, or two arms meet",
    BALMER: "core of H-alpha or H-beta",
    USER: "user's mask",
    MODEL: "not used by the model",
    EDGE: "edge of the spectrum or outside the limits of the fit",
    OUTLIER: "cosmic ray or another outlier that no spectrum explains",
}
"""What each bit of a pixel's `mask_reason` means."""

TELLURIC_BANDS: dict[str, Bands] = {
    "wide": ((6270, 6320), (6840, 6980), (7150, 7340), (7580, 7720), (8120, 8340)),
    "narrow": ((6270, 6305), (6850, 6966), (7160, 7320), (7585, 7715), (8130, 8310)),
    "none": (),
}
AO_BAND: Bands = ((5803.0, 5966.0),)
DICHROIC_BAND: Bands = ((5720.0, 6060.0),)
BALMER_CORES: Bands = ((6557.8, 6567.8), (4856.3, 4866.3))
"""+-5 A about H-alpha and H-beta: too shallow in computed spectra of giants."""


def inside(wave: np.ndarray, bands: Bands) -> np.ndarray:
    """Boolean array, True where a wavelength lies in one of the bands."""
    found = np.zeros(np.shape(wave), bool)
    for low, high in bands:
        found |= (wave >= low) & (wave <= high)
    return found


def has_ao_gap(wave: np.ndarray, good: np.ndarray) -> bool:
    """Whether a spectrum has the notch filter's gap: hardly a good pixel in 5820-5950 A, but good ones beside it."""
    core, beside = inside(wave, ((5820, 5950),)), inside(wave, ((5700, 5800), (5970, 6070)))
    return bool(core.any() and good[core].mean() < 0.1 and beside.any() and good[beside].mean() > 0.5)


def observed_mask(
    wave: np.ndarray, good: np.ndarray, barycentric: float, settings: PreparationSettings, *, dichroic: bool
) -> np.ndarray:
    """Bit codes of the pixels of an observed spectrum that hold no usable starlight.

    The atmosphere's and the instrument's bands are at rest with the observatory; in a spectrum that was brought to
    the barycentre they lie shifted by the correction. The user's bands are taken as they are.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,)
        Angstrom in air, as observed.
    good : ndarray, shape (n_wave,), bool
        False where the input is masked.
    barycentric : float
        Barycentric correction already in `wave`, km/s; NaN counts as 0.
    settings : PreparationSettings
    dichroic : bool
        Whether the model was trained with the gap.

    Returns
    -------
    ndarray, shape (n_wave,), uint16; 0 where the pixel may be used.
    """
    site = wave / (1.0 + np.nan_to_num(barycentric) / SPEED_OF_LIGHT)
    reason = np.where(good, 0, NO_DATA).astype(np.uint16)
    reason[inside(site, TELLURIC_BANDS[settings.telluric])] |= TELLURIC
    if has_ao_gap(site, good) if settings.mask_ao == "auto" else settings.mask_ao:
        reason[inside(site, AO_BAND)] |= AO
    if dichroic if settings.mask_dichroic == "model" else settings.mask_dichroic:
        reason[inside(site, DICHROIC_BAND)] |= DICHROIC
    reason[inside(wave, settings.masks)] |= USER
    return reason


def reasons_of(reason: np.ndarray) -> dict[str, int]:
    """Count the masked pixels by reason; a pixel with several reasons counts for each."""
    counts = {name: int(np.count_nonzero(reason & bit)) for bit, name in MASK_NAMES.items()}
    return {name: count for name, count in counts.items() if count}
