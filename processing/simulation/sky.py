"""The simulated night sky and the instrument's sensitivity: what decides the noise and the residuals of sky lines."""

from __future__ import annotations

import numpy as np

from processing.simulation.library import FWHM_TO_SIGMA
from processing.simulation.settings import SimulationSettings

TELESCOPE_AREA = 4.85e5
"""Of one VLT unit, cm2."""
PHOTON_ENERGY = 1.98645e-8
"""Planck's constant times the speed of light, erg Angstrom."""

# Wavelength in air [A] and surface brightness [1e-20 erg/s/cm2/arcsec2 times 1e3] of the strongest lines: [O I], Na D
# and the OH bands, after Osterbrock et al. (1996) and Hanuschik (2003), rounded.
SKY_LINES: tuple[tuple[float, float], ...] = (
    (5577.34, 180.0), (5889.95, 20.0), (5895.92, 12.0), (6300.30, 120.0), (6363.78, 40.0), (6257.96, 4.0),
    (6287.43, 5.0), (6498.73, 8.0), (6533.04, 9.0), (6553.62, 8.0), (6577.28, 6.0), (6596.64, 4.0),
    (6829.50, 8.0), (6834.10, 8.0), (6863.96, 20.0), (6889.29, 8.0), (6900.83, 6.0), (6912.62, 6.0),
    (6923.22, 14.0), (6939.52, 10.0), (6948.94, 6.0), (6978.41, 5.0), (7240.20, 18.0), (7244.91, 14.0),
    (7276.41, 36.0), (7284.44, 14.0), (7303.72, 24.0), (7316.28, 34.0), (7329.15, 20.0), (7340.89, 36.0),
    (7358.66, 12.0), (7369.25, 24.0), (7392.20, 12.0), (7401.69, 20.0), (7524.10, 6.0), (7571.75, 8.0),
    (7712.20, 16.0), (7715.90, 14.0), (7750.64, 50.0), (7759.99, 14.0), (7780.40, 20.0), (7794.11, 50.0),
    (7808.47, 24.0), (7821.50, 50.0), (7841.27, 18.0), (7853.24, 30.0), (7867.90, 8.0), (7913.71, 50.0),
    (7921.00, 16.0), (7949.20, 24.0), (7964.65, 60.0), (7993.33, 60.0), (8014.06, 20.0), (8025.81, 50.0),
    (8052.02, 16.0), (8061.98, 26.0), (8288.62, 34.0), (8298.90, 12.0), (8310.72, 16.0), (8344.60, 70.0),
    (8352.79, 24.0), (8382.39, 34.0), (8399.17, 90.0), (8415.23, 34.0), (8430.17, 80.0), (8452.25, 24.0),
    (8465.36, 50.0), (8493.39, 20.0), (8504.63, 26.0), (8548.71, 8.0), (8629.24, 12.0), (8640.60, 14.0),
    (8655.90, 14.0), (8761.30, 14.0), (8767.91, 50.0), (8778.33, 40.0), (8791.19, 40.0), (8827.10, 80.0),
    (8836.02, 20.0), (8849.70, 30.0), (8867.61, 40.0), (8885.85, 100.0), (8903.11, 40.0), (8919.61, 110.0),
    (8943.40, 30.0), (8957.92, 80.0), (8988.37, 50.0), (9001.35, 60.0), (9037.50, 20.0), (9049.50, 24.0),
    (9105.00, 16.0), (9310.50, 50.0), (9337.90, 60.0),
)  # fmt: skip


def muse_lsf(wave: np.ndarray) -> np.ndarray:
    """Return MUSE's FWHM in Angstrom at wavelengths in Angstrom (Bacon et al. 2017, UDF-10)."""
    return 5.866e-8 * wave**2 - 9.187e-4 * wave + 6.040


def electrons_per_flux(wave: np.ndarray, settings: SimulationSettings) -> np.ndarray:
    """Return the electrons of one voxel for a flux of 1e-20 erg/s/cm2/A, atmosphere and detector included."""
    throughput = 0.26 * np.exp(-0.5 * ((wave - 6900.0) / 1600.0) ** 2) + 0.02
    collected = TELESCOPE_AREA * settings.exptime * settings.wave_step * 1e-20
    return throughput * collected * wave / PHOTON_ENERGY


def sky_spectrum(wave: np.ndarray, settings: SimulationSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sky of one spaxel, and the two shapes that an imperfect subtraction leaves.

    Returns
    -------
    continuum, lines, slopes : ndarray, shape (n_wave,)
        In 1e-20 erg/s/cm2/A: the continuum (V = 21.5 per square arcsec, a little redder than flat), the lines, and the
        lines' change per Angstrom of wavelength error.
    """
    area = settings.pixel_scale**2
    continuum = 910.0 * area * (wave / 5500.0) ** 0.5
    lines, slopes = np.zeros_like(wave), np.zeros_like(wave)
    for centre, strength in SKY_LINES:
        sigma = muse_lsf(np.array(centre)) * FWHM_TO_SIGMA
        offset = (wave - centre * settings.doppler) / sigma
        profile = strength * 1e3 * area * np.exp(-0.5 * offset**2) / (sigma * np.sqrt(2.0 * np.pi))
        lines += profile
        slopes += profile * offset / sigma
    return continuum, lines, slopes


def slice_pattern(settings: SimulationSettings, rng: np.random.Generator) -> np.ndarray:
    """Return two maps of unit scatter, shape (2, ny, nx): constant along the instrument's slices of 75 x 1 spaxels."""
    pattern = rng.standard_normal((2, settings.ny, -(-settings.nx // 75)))
    return np.repeat(pattern, 75, axis=2)[:, :, : settings.nx]
