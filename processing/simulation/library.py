"""Spectra of known labels that a simulated field is made of: the sample that ships, a network's, or given ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.labels.names import SYNTHETIC_ORDER
from processing.paths import resource
from processing.preparation.air import in_frame
from processing.simulation.settings import LIGHT_SPEED

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

FWHM_TO_SIGMA = 1.0 / np.sqrt(8.0 * np.log(2.0))
HC_OVER_K = 1.438777e8
"""Second radiation constant, Angstrom K."""
VISUAL_BAND = (5070.0, 5950.0)
"""A top hat that stands for Johnson V, Angstrom."""
VISUAL_ZERO_POINT = 3.63e11
"""Flux density of V = 0 in 1e-20 erg/s/cm2/A (Bessell et al. 1998)."""


@dataclass(frozen=True)
class Library:
    """Spectra with known labels, at rest, in air.

    Parameters
    ----------
    name : tuple of str
        What each spectrum is called where it comes from.
    label_names : tuple of str
        Machine names of the labels.
    labels : ndarray, shape (n, n_label)
        NaN where unknown.
    wave : ndarray, shape (n_wave,)
        Angstrom in air, increasing.
    flux : ndarray, shape (n, n_wave)
        Flux per Angstrom with its true continuum, any scale.
    fwhm : ndarray, shape (n_wave,)
        Full width at half maximum of the spectra's own line spread function, Angstrom.
    """

    name: tuple[str, ...]
    label_names: tuple[str, ...]
    labels: np.ndarray
    wave: np.ndarray
    flux: np.ndarray
    fwhm: np.ndarray

    def __len__(self) -> int:
        return len(self.name)

    def take(self, index: np.ndarray) -> Library:
        """Return the spectra of the given rows, repeats allowed."""
        names = tuple(self.name[i] for i in index)
        return Library(names, self.label_names, self.labels[index], self.wave, self.flux[index], self.fwhm)

    def observed(self, row: int, velocity: float, wave: np.ndarray, fwhm: np.ndarray) -> np.ndarray:
        """Return one spectrum as an instrument sees it.

        Parameters
        ----------
        row : int
            Which spectrum.
        velocity : float
            Radial velocity, km/s.
        wave : ndarray, shape (n_pix,)
            Centres of the instrument's pixels, Angstrom in air. Beyond the library's ends its last pixel goes on.
        fwhm : ndarray, shape (n_pix,)
            The instrument's line spread function in Angstrom, the pixel's own width included as it is where the
            function was measured on arc lines. Where the library is coarser its own resolution stays.

        Returns
        -------
        ndarray, shape (n_pix,), float64
            Flux per Angstrom in the library's scale.
        """
        from scipy.interpolate import CubicSpline

        doppler = 1.0 + velocity / LIGHT_SPEED
        own = np.interp(wave, self.wave * doppler, self.fwhm * doppler)
        sigma = np.sqrt(np.clip(fwhm**2 - own**2, 0.0, None)) * FWHM_TO_SIGMA
        # Quadrature on nodes of the kernel itself: exact for any width, a width of zero included.
        nodes = np.linspace(-4.0, 4.0, 25)
        weights = np.exp(-0.5 * nodes**2)
        at = (wave[:, None] + sigma[:, None] * nodes) / doppler
        spline = CubicSpline(self.wave, self.flux[row])
        return spline(np.clip(at, self.wave[0], self.wave[-1])) @ (weights / weights.sum())


def visual_magnitude(wave: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Return V magnitudes of spectra in 1e-20 erg/s/cm2/A, shape (..., n_wave), in a top-hat band."""
    band = (wave >= VISUAL_BAND[0]) & (wave <= VISUAL_BAND[1])
    if not band.any():
        raise StellacubeError(
            "The spectra do not cover the visual band, so their magnitudes are not defined.",
            f"Take a range that overlaps {VISUAL_BAND[0]:.0f}-{VISUAL_BAND[1]:.0f} Å.",
        )
    return -2.5 * np.log10(flux[..., band].mean(axis=-1) / VISUAL_ZERO_POINT)


def sample_library() -> Library:
    """Read the sample that ships: synthetic spectra that no shipped network was trained on.

    Raises
    ------
    StellacubeError
        If the file is missing or damaged.
    """
    path = resource("sample", "sample.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            wave = np.exp(file["log_wave_start"] + file["log_wave_step"] * np.arange(file["norm"].shape[1]))
            norm = file["norm"] * (1.25 / 65535)
            knots = file["wave_continuum"]
            continuum = np.array([np.interp(wave, knots, row) for row in file["continuum"]])
            names = tuple(f"synthetic-{i}" for i in file["index"])
            return Library(names, SYNTHETIC_ORDER, file["labels"], wave, norm * continuum, wave / file["resolution"])
    except (OSError, KeyError, ValueError) as error:
        raise StellacubeError(f"The sample spectra in {path} cannot be read.", "Install the program again.") from error


def network_library(model: LabelModel, labels: np.ndarray) -> Library:
    """Make spectra with a network; the continuum, which it does not know, is a black body's.

    Parameters
    ----------
    model : LabelModel
        A loaded model.
    labels : ndarray, shape (n, n_label)
        In the model's order and units.
    """
    wave = in_frame(model.wave, model.frame, "air")
    planck = wave**-5.0 / np.expm1(HC_OVER_K / np.outer(labels[:, model.labels.index("teff")], wave))
    flux = model.network.flux(labels) * planck / planck.mean(axis=1, keepdims=True)
    names = tuple(f"{model.name}-{i}" for i in range(len(labels)))
    return Library(names, tuple(model.labels), np.asarray(labels, float), wave, flux, model.lsf_fwhm)
