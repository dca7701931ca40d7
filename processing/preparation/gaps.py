"""What gaps and missing ends of a spectrum do to its pseudo-continuum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from processing.preparation.air import in_frame
from processing.preparation.masks import DICHROIC_BAND, inside

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel
    from processing.preparation.prepare import Prepared


def full_coverage(model: LabelModel) -> np.ndarray:
    """Pixels that the training spectra's pseudo-continuum rested on: all but the dichroic gap; shape (n_pix,), bool."""
    air = in_frame(model.wave, model.frame, "air")
    return ~(inside(air, DICHROIC_BAND) & model.masks_dichroic)


_AT_ONCE = 32
"""Stars side by side: what is worked out of them fits the processor's cache."""


def continuum_ratio(prepared: Prepared, best: np.ndarray, model: LabelModel) -> np.ndarray:
    """By how much gaps and missing ends change the pseudo-normalised flux of stars like these.

    The model's spectra are normalised over their full range, a star's only where it has good pixels. The ratio of
    the two pseudo-continua of one and the same spectrum is 1 away from gaps; beside them it is what the model must
    be multiplied by. That spectrum is the current best model times the star's own smooth deviation from it
    (a local linear fit, which unlike a mean is not drawn towards the inside at an edge), carried across the gaps.

    Parameters
    ----------
    prepared : Prepared
    best : ndarray, shape (n, n_pix)
        Best model so far, pseudo-normalised with full coverage.
    model : LabelModel

    Returns
    -------
    ndarray, shape (n, n_pix), float32
    """
    ratio = np.empty(best.shape, np.float32)
    for start in range(0, len(best), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        flux = prepared.flux[rows] * prepared.continuum[rows]
        ratio[rows] = _ratio(flux, prepared.weight[rows], best[rows], model)
    return ratio


def _ratio(flux: np.ndarray, weight: np.ndarray, best: np.ndarray, model: LabelModel) -> np.ndarray:
    """`continuum_ratio` of some stars' fluxes (n, n_pix)."""
    operator, wave = model.continuum, model.wave
    flat = (weight > 0).astype(np.float32)
    trend = _local_trend(model, flux, best, flat)
    spectrum = (best * trend).astype(np.float32)
    full = np.broadcast_to(full_coverage(model), flat.shape)
    typical = np.max(weight, axis=1, keepdims=True)
    all_pixels = np.where(full, np.where(weight > 0, weight, typical), 0).astype(np.float32)
    here = operator.continuum(wave, spectrum, weight)
    everywhere = operator.continuum(wave, spectrum, all_pixels)
    known = (here > 0) & (everywhere > 0)
    return np.where(known, everywhere / np.where(known, here, 1), 1).astype(np.float32)


def _local_trend(model: LabelModel, flux: np.ndarray, best: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Smooth factor between a spectrum and its model, by local linear regression, carried across gaps."""
    operator, wave = model.continuum, model.wave
    distance = ((wave - wave.mean()) / 1000.0).astype(np.float32)
    model_squared = weight * best * best
    product = weight * flux * best
    stack = np.stack(
        [model_squared, model_squared * distance, model_squared * distance**2, product, product * distance]
    )
    s0, s1, s2, t0, t1 = operator.sums(wave, stack).astype(float)
    # Moments about each pixel's own wavelength.
    first = s1 - distance * s0
    second = s2 - 2 * distance * s1 + distance**2 * s0
    first_product = t1 - distance * t0
    determinant = s0 * second - first**2
    level = np.divide(t0, s0, out=np.zeros_like(t0), where=s0 > 0)
    steady = determinant > 1e-3 * s0**2 * (operator.length / 1000.0) ** 2
    trend = np.where(steady, (second * t0 - first * first_product) / np.where(steady, determinant, 1), level)
    usual = np.array([np.median(row[w > 0]) if (w > 0).any() else 1.0 for row, w in zip(level, weight, strict=True)])
    low, high = 0.05 * np.abs(usual)[:, None], 20 * np.abs(usual)[:, None]
    logarithm = np.log(np.clip(trend, np.maximum(low, 1e-6), np.maximum(high, 1e-5)))
    for row, w in zip(logarithm, weight, strict=True):
        good = w > 0
        if good.any():
            row[~good] = np.interp(wave[~good], wave[good], row[good])
    return np.exp(logarithm - logarithm.mean(axis=1, keepdims=True))
