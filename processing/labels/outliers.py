"""Pixels that no spectrum explains: what cosmic rays, dead pixels and badly subtracted sky leave behind."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from processing.preparation.air import in_frame, observed
from processing.preparation.masks import OUTLIER

if TYPE_CHECKING:
    from processing.preparation.prepare import Observation
    from processing.spectrum import Frame

EMISSION_LINES = (
    4861.3, 4958.9, 5006.8, 5875.6, 6300.3, 6363.8, 6548.0, 6562.8, 6583.5, 6678.2, 6716.4, 6730.8,
    8498.0, 8542.1, 8662.1,
)  # fmt: skip
"""Rest wavelengths in air where stars and nebulae emit: what stands out there belongs to the object."""
NEAR_LINE = 10.0
"""Angstrom."""
_SIGMA, _HEIGHT = 8.0, 0.08
"""An outlier stands out by this many robust sigma and by this much normalised flux."""
_MOST = 0.015
"""With more outliers than this part of the pixels it is the model that is wrong, and none is taken out."""
_SKY_SIGMA, _SKY_HEIGHT, _MOST_SKY = 4.0, 0.015, 0.1
"""The same for pixels within sky lines."""
_FOOT, _WIDEST = 4.0, 10
"""Above this many sigma an outlier is no wider than this many pixels, four times the resolution; what is wider, as
the lines of a galaxy or a nebula, is the object's own."""


def near_emission_line(wave: np.ndarray, frame: Frame) -> np.ndarray:
    """Boolean array, True within `NEAR_LINE` of an emission line; `wave` at rest, in Angstrom in `frame`."""
    air = in_frame(wave, frame, "air")
    return (np.abs(air[:, None] - np.array(EMISSION_LINES)) < NEAR_LINE).any(axis=1)


def broad(scaled: np.ndarray) -> np.ndarray:
    """Find features that are too wide for an outlier in residuals (n, n_pix) in robust standard deviations."""
    from scipy.ndimage import binary_closing, binary_opening

    above = binary_closing(np.abs(scaled) > _FOOT, np.ones((1, 3)))
    return binary_opening(above, np.ones((1, _WIDEST + 1)))


def find_outliers(
    residual: np.ndarray, scaled: np.ndarray, expected: np.ndarray, at_sky: np.ndarray | None = None
) -> np.ndarray:
    """Find isolated pixels that the best fit cannot explain.

    Where the sky has a line less is needed: what its subtraction left is as often too little as too much, and unlike
    a star's line it is not in the best fit.

    Parameters
    ----------
    residual : ndarray, shape (n, n_pix)
        Normalised flux minus best fit; 0 where not fitted.
    scaled : ndarray, shape (n, n_pix)
        The same in robust standard deviations of the star's residuals.
    expected : ndarray, shape (n_pix,), bool
        Where residuals may be the object's own (`near_emission_line`).
    at_sky : ndarray, shape (n, n_pix), bool, optional
        Pixels within airglow lines.

    Returns
    -------
    ndarray, shape (n, n_pix), bool
        The outliers and the pixels on either side.
    """
    found = (np.abs(scaled) > _SIGMA) & (np.abs(residual) > _HEIGHT) & ~expected
    wide_ones = broad(scaled)
    found &= ~wide_ones
    found &= (found.mean(axis=1) <= _MOST)[:, None]
    if at_sky is not None:
        left = (np.abs(scaled) > _SKY_SIGMA) & (np.abs(residual) > _SKY_HEIGHT) & at_sky & ~expected & ~wide_ones
        found |= left & (left.mean(axis=1) <= _MOST_SKY)[:, None]
    wide = found.copy()
    for step in (1, 2):  # the light of one bad pixel, degraded, reaches its neighbours
        wide[:, step:] |= found[:, :-step]
        wide[:, :-step] |= found[:, step:]
    return wide & ~expected


def without(star: Observation, found: np.ndarray, wave: np.ndarray, frame: Frame, velocity: float) -> Observation:
    """Mask the pixels of an observation that lie under outliers of its prepared spectrum.

    Parameters
    ----------
    star : Observation
        In vacuum, as observed.
    found : ndarray, shape (n_pix,), bool
    wave : ndarray, shape (n_pix,)
        Rest wavelengths of `found` in Angstrom in `frame`.
    velocity : float
        km/s that were taken off.
    """
    there = observed(wave, frame, velocity, "vacuum")
    under = np.interp(star.wave, there, found.astype(float), left=0.0, right=0.0) > 0.5
    reason = np.where(under & (star.reason == 0), OUTLIER, star.reason).astype(star.reason.dtype)
    return replace(star, ivar=np.where(under, 0.0, star.ivar), reason=reason)
