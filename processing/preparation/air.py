"""Wavelengths in air and in vacuum, and the Doppler shift between them."""

from __future__ import annotations

import numpy as np

from processing.spectrum import Frame

SPEED_OF_LIGHT = 299792.458
"""km/s."""


def refractive_index(wave: np.ndarray) -> np.ndarray:
    """Refractive index of dry air at 15 C, 101325 Pa and 450 ppm CO2 (Ciddor 1996, Applied Optics 35, 1566, Eq. 1).

    Parameters
    ----------
    wave : ndarray
        Vacuum wavelength in Angstrom.
    """
    squared = (1e4 / np.asarray(wave, float)) ** 2
    return 1.0 + 0.05792105 / (238.0185 - squared) + 0.00167917 / (57.362 - squared)


def to_air(wave: np.ndarray) -> np.ndarray:
    """Turn vacuum wavelengths into air wavelengths, both in Angstrom."""
    return np.asarray(wave, float) / refractive_index(wave)


def to_vacuum(wave: np.ndarray) -> np.ndarray:
    """Turn air wavelengths into vacuum wavelengths, both in Angstrom; the exact inverse of `to_air`."""
    air = np.asarray(wave, float)
    vacuum = air
    for _ in range(3):  # the index changes by 1e-8 per Angstrom: three rounds reach 1e-13
        vacuum = air * refractive_index(vacuum)
    return vacuum


def in_frame(wave: np.ndarray, frame: Frame, target: Frame) -> np.ndarray:
    """Bring wavelengths in Angstrom from one frame to another."""
    if frame == target:
        return np.asarray(wave, float)
    return to_air(wave) if target == "air" else to_vacuum(wave)


def shifted(wave: np.ndarray, frame: Frame, velocity: float, target: Frame) -> np.ndarray:
    """Bring observed wavelengths to the rest frame of a source that recedes with `velocity` km/s.

    The Doppler factor acts on vacuum wavelengths, 1 + v/c as spectroscopic velocities are defined.
    """
    return in_frame(in_frame(wave, frame, "vacuum") / (1.0 + velocity / SPEED_OF_LIGHT), "vacuum", target)


def observed(wave: np.ndarray, frame: Frame, velocity: float, target: Frame) -> np.ndarray:
    """Bring rest-frame wavelengths to where a source that recedes with `velocity` km/s shows them: undoes `shifted`."""
    return in_frame(in_frame(wave, frame, "vacuum") * (1.0 + velocity / SPEED_OF_LIGHT), "vacuum", target)
