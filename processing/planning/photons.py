"""How the SNR runs along the spectrum: where a cool star sends photons, MUSE counts them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from processing.errors import StellacubeError

SnrShape = Literal["photons", "flat"]

PIXEL = 1.25
"""Width of a MUSE pixel in A: the planner's SNR is per such pixel, whatever grid a model uses."""
THROUGHPUT = ((4800.0, 0.14), (7500.0, 0.35), (9300.0, 0.14))
"""Wavelength in A and throughput of MUSE in wide-field mode with telescope, as ESO's overview page of MUSE gives it."""
_MEDIAN_RANGE = np.arange(4750.0, 9350.0, 10.0)
_RADIATION = 1.438777e8
"""Second radiation constant in A K."""


def snr_shape(wave: np.ndarray, shape: SnrShape = "photons", teff: float = 4800.0) -> np.ndarray:
    """Return the SNR of a 1.25 A pixel along the spectrum, in units of its median over 4750-9350 A.

    Parameters
    ----------
    wave : ndarray, shape (n_pix,)
        Wavelength in A.
    shape : {"photons", "flat"}
        "photons": the square root of a black body's photons times MUSE's throughput (linear between ESO's three
        values), right for a star brighter than the sky and without extinction. "flat": the same SNR everywhere.
    teff : float
        Temperature of the black body, K.

    Returns
    -------
    ndarray, shape (n_pix,)
    """
    if shape == "flat":
        return np.ones_like(wave, dtype=float)
    if shape != "photons":
        raise StellacubeError(f"There is no SNR curve called {shape!r}.", "Choose photons or flat.")
    return np.sqrt(_counts(wave, teff) / np.median(_counts(_MEDIAN_RANGE, teff)))


def _counts(wave: np.ndarray, teff: float) -> np.ndarray:
    """Return the photons of a black body that are counted per A, in an arbitrary unit."""
    points, values = np.transpose(THROUGHPUT)
    return np.interp(wave, points, values) / (wave / 5500.0) ** 4 / np.expm1(_RADIATION / (wave * teff))
