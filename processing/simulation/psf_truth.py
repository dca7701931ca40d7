"""Point spread functions that are not of the fitted family: what an extraction must not be spoilt by."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

Alien = Literal["airy", "double"]
AIRY_SHARE = 0.05
"""Share of the light in the halo with rings."""
DOUBLE = (0.2, 2.0, 2.3, 0.8)
"""Second Moffat: its share of the light, FWHM in units of the first one's, exponent, and twist in radians."""


def alien_psf(kind: Alien, dx: np.ndarray, dy: np.ndarray, fwhm: float, beta: float) -> np.ndarray:
    """Return the unit-flux PSF at offsets (dx, dy).

    Parameters
    ----------
    kind : {"airy", "double"}
        A Moffat with `AIRY_SHARE` of its light in the rings of an Airy pattern as wide as the Moffat; or two Moffats,
        both 2 % elliptical, whose axes are not aligned.
    dx, dy : ndarray
        Spaxels.
    fwhm, beta : float
        Of the Moffat that holds most of the light, spaxels.
    """
    if kind == "airy":
        return (1.0 - AIRY_SHARE) * moffat(dx, dy, fwhm, beta) + AIRY_SHARE * airy(np.hypot(dx, dy), 0.55 * fwhm)
    share, ratio, second, twist = DOUBLE
    core = moffat(dx, dy, fwhm, beta, 0.02, 0.3)
    return (1.0 - share) * core + share * moffat(dx, dy, ratio * fwhm, second, 0.02, 0.3 + twist)


def moffat(
    dx: np.ndarray, dy: np.ndarray, fwhm: float, beta: float, ellipticity: float = 0.0, angle: float = 0.0
) -> np.ndarray:
    """Return a Moffat of unit flux; `fwhm` is the mean of its axes, `angle` (radians) that of the major one."""
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    square = fwhm**2 / (4.0 * (2.0 ** (1.0 / beta) - 1.0))
    r2 = (1.0 - ellipticity) * u**2 + v**2 / (1.0 - ellipticity)
    return (beta - 1.0) / (np.pi * square) * (1.0 + r2 / square) ** -beta


def airy(r: np.ndarray, scale: float) -> np.ndarray:
    """Return an Airy pattern of unit flux, (2 J1(v) / v)^2 / (4 pi scale^2) with v = r / scale."""
    v, pattern = _pattern()
    return np.interp(r / scale, v, pattern).astype(r.dtype) / (4.0 * np.pi * scale**2)


@lru_cache(maxsize=1)
def _pattern() -> tuple[np.ndarray, np.ndarray]:
    """Return (2 J1(v) / v)^2 on a fine grid."""
    from scipy.special import j1

    v = np.arange(1, 40_001) * 5e-3
    return v, (2.0 * j1(v) / v) ** 2
