"""Sky-line residuals: found by a line list and the local scatter, replaced by clean neighbours with raised errors."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from processing.paths import resource
from processing.preparation.air import SPEED_OF_LIGHT
from processing.preparation.robust import masked_deviation, masked_quantile

_WINDOW = 40.0
"""Half width in Angstrom of the surroundings that a residual is compared with."""
_HALF_WIDTH = 1.0
"""Half width of a sky line in FWHM of the line spread function."""
_FEWEST = 10
"""Clean pixels that the surroundings must have."""
_THRESHOLD = 5.0
"""In robust standard deviations of the surroundings, stellar lines included."""


@lru_cache(maxsize=1)
def sky_lines() -> np.ndarray:
    """Wavelengths of the strong airglow lines in Angstrom in air."""
    return np.loadtxt(resource("lines", "sky_lines.csv"), delimiter=",", skiprows=2, usecols=0)


def at_sky_line(wave: np.ndarray, fwhm: np.ndarray, barycentric: float) -> np.ndarray:
    """Boolean array, True within a listed airglow line; parameters as of `clean_sky_lines`."""
    return _geometry(wave.tobytes(), fwhm.tobytes(), float(np.nan_to_num(barycentric)))[0]


def clean_sky_lines(
    wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray, fwhm: np.ndarray, barycentric: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Replace emission that is left at the wavelengths of airglow lines by the mean of the adjacent clean pixels.

    Only pixels within a line's width of a listed line, and only those that stand above *everything* near them by five
    robust standard deviations, count as residuals. The surroundings' scatter has the stellar lines in it, so the
    shoulders of the calcium triplet, which peak beside their deep lines, stay as they are.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,)
        Angstrom in air, as observed.
    flux, ivar : ndarray, shape (n_wave,)
        Masked where ivar is 0.
    fwhm : ndarray, shape (n_wave,)
        Line spread function in Angstrom.
    barycentric : float
        Barycentric correction in `wave`, km/s; NaN counts as 0.

    Returns
    -------
    flux, ivar : ndarray, float64
        The variance of a replaced pixel grows by the square of what was taken away: a residual is known no better.
    replaced : ndarray, bool
    """
    flux, ivar = np.array(flux, float), np.array(ivar, float)
    good = ivar > 0
    at_line, around, nearest = _geometry(wave.tobytes(), fwhm.tobytes(), float(np.nan_to_num(barycentric)))
    clean = good & ~at_line
    usable = clean[around]
    noise = np.divide(1.0, np.sqrt(ivar), out=np.zeros_like(ivar), where=good)
    scatter = np.maximum(masked_deviation(flux[around], usable), masked_quantile(noise[around], usable))
    # The highest clean pixels set the level, so that a peak between deep lines is no emission.
    level = masked_quantile(flux[around], usable, 0.95) + _THRESHOLD * scatter
    level[usable.sum(axis=1) < _FEWEST] = np.inf
    replaced = at_line & good & (flux > level[nearest])
    if replaced.any() and clean.any():
        replaced = _grown(replaced, at_line & good)
        _replace(flux, ivar, np.flatnonzero(replaced), np.flatnonzero(good & ~replaced))
    return flux, ivar, replaced


@lru_cache(maxsize=8)
def _geometry(wave_bytes: bytes, fwhm_bytes: bytes, barycentric: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find what lies where on one wavelength grid.

    Returns
    -------
    at_line : ndarray, shape (n_wave,), bool
        Pixels within a sky line.
    around : ndarray, shape (n_line, n_around), int
        Pixels of each line's surroundings.
    nearest : ndarray, shape (n_wave,), int
        The line nearest to each pixel.
    """
    wave, fwhm = np.frombuffer(wave_bytes), np.frombuffer(fwhm_bytes)
    lines = sky_lines() * (1.0 + barycentric / SPEED_OF_LIGHT)
    nearest = np.searchsorted(0.5 * (lines[1:] + lines[:-1]), wave)
    at_line = np.abs(wave - lines[nearest]) < _HALF_WIDTH * fwhm
    half = int(np.ceil(_WINDOW / np.median(np.diff(wave))))
    around = np.searchsorted(wave, lines)[:, None] + np.arange(-half, half + 1)
    return at_line, np.clip(around, 0, wave.size - 1), nearest


def _grown(replaced: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Add the two neighbours of each residual, whose wings hold some of its light, where the line reaches."""
    grown = replaced.copy()
    grown[1:] |= replaced[:-1]
    grown[:-1] |= replaced[1:]
    return grown & allowed


def _replace(flux: np.ndarray, ivar: np.ndarray, pixels: np.ndarray, clean: np.ndarray) -> None:
    """Set pixels to the mean of the two clean pixels on each side, in place."""
    place = np.searchsorted(clean, pixels)
    sides = clean[np.clip(place[:, None] + np.array([-2, -1, 0, 1]), 0, clean.size - 1)]
    mean = flux[sides].mean(axis=1)
    variance = 1 / ivar[pixels] + (flux[pixels] - mean) ** 2
    flux[pixels], ivar[pixels] = mean, 1 / variance
