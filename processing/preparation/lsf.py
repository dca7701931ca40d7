"""Line spread functions, and how a spectrum is brought from one to another (Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from processing.errors import StellacubeError
from processing.preparation.resample import Resampler, rebinning_matrix, smoothing_matrix

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Mode = Literal["coarser", "published"]

FWHM_PER_SIGMA = 2.3548200450309493
"""2 sqrt(2 ln 2); the paper rounds to 2.355."""

MUSE_LSF: dict[str, tuple[float, float, float]] = {
    "muse-udf10": (5.866e-8, -9.187e-4, 6.040),
    "muse-mosaic": (5.835e-8, -9.080e-4, 5.983),
    "muse-pipeline": (4.934e-8, -7.567e-4, 5.199),
}
"""FWHM = a l^2 + b l + c in Angstrom, l in Angstrom in air (Bacon et al. 2017, section 4.1; the pipeline's own fit)."""

LAMOST_RESOLVING_POWER = 1800.0
"""LAMOST low resolution, as documented at 5500 A; no table of FWHM against wavelength is public."""


def lsf_fwhm(name: str, wave: np.ndarray) -> np.ndarray:
    """Full width at half maximum of a named or given line spread function.

    Parameters
    ----------
    name : str
        ``muse-udf10``, ``muse-mosaic``, ``muse-pipeline``, ``lamost`` (R = 1800), a constant width in Angstrom
        (``3.2``), a constant resolving power (``R=1800``), or the path of a table of wavelength and FWHM in Angstrom.
    wave : ndarray
        Wavelength in Angstrom (air for the MUSE presets).

    Returns
    -------
    ndarray, Angstrom.

    Raises
    ------
    StellacubeError
        If the name is none of these, or the table cannot be used.
    """
    wave = np.asarray(wave, float)
    key = name.strip().lower()
    if key in MUSE_LSF:
        return np.polyval(MUSE_LSF[key], wave)
    if key == "lamost":
        return wave / LAMOST_RESOLVING_POWER
    try:
        value = float(key.removeprefix("r="))
    except ValueError:
        return _table_fwhm(name, wave)
    if not 0 < value < np.inf:
        raise StellacubeError(f"The line spread function {name} is not positive.", "Give a width in Angstrom or R=....")
    return wave / value if key.startswith("r=") else np.full(wave.shape, value)


def _table_fwhm(path: str, wave: np.ndarray) -> np.ndarray:
    """Interpolate a text table of two columns, wavelength and FWHM in Angstrom; constant beyond its ends."""
    hint = f"Known names: {', '.join(MUSE_LSF)}, lamost; or 3.2 (Angstrom), R=1800, or the path of a table."
    if not Path(path).is_file():
        raise StellacubeError(f"There is no line spread function called {path}, and no such file.", hint)
    try:
        table = np.loadtxt(path, delimiter="," if path.lower().endswith(".csv") else None, ndmin=2)
    except (ValueError, OSError) as error:
        raise StellacubeError(f"The line spread function table {path} cannot be read: {error}.", hint) from error
    if table.shape[1] < 2 or not (np.isfinite(table[:, :2]).all() and (table[:, 1] > 0).all()):
        raise StellacubeError(f"The table {path} needs two columns: wavelength and FWHM, both in Angstrom.", hint)
    table = table[np.argsort(table[:, 0])]
    return np.interp(wave, table[:, 0], table[:, 1])


def eq1_sigma(fwhm_target: np.ndarray, fwhm_input: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width of the Gaussian that takes one resolution to a coarser one (Eq. 1).

    Returns
    -------
    sigma : ndarray
        Standard deviation in the units of the widths; 0 where the input is already coarser (Eq. 1 is imaginary).
    coarser : ndarray, bool
        True where the input is coarser than the target.
    """
    difference = np.square(fwhm_target) - np.square(fwhm_input)
    # A model at MUSE's own resolution is not coarser or finer by rounding.
    return np.sqrt(np.maximum(difference, 0)) / FWHM_PER_SIGMA, difference < -1e-4 * np.square(fwhm_target)


@dataclass(frozen=True)
class Match:
    """How spectra on one grid are brought to the resolution wanted on another.

    Parameters
    ----------
    variance : ndarray, shape (n_in,)
        Of the Gaussian to convolve the input with, in its pixels squared.
    reached : ndarray, shape (n_out,)
        The resolution of what comes out, FWHM in Angstrom: more than asked for where the input is coarser.
    coarser : ndarray, shape (n_out,), bool
        Where the input is coarser than asked for by Eq. 1.
    """

    variance: np.ndarray
    reached: np.ndarray
    coarser: np.ndarray


def match(
    wave_in: np.ndarray, fwhm_in: np.ndarray, wave_out: np.ndarray, fwhm_out: np.ndarray, mode: Mode = "coarser"
) -> Match:
    """Find the Gaussian that takes spectra on one grid to the resolution wanted on another (Eq. 1).

    Line spread functions are what a spectrum shows, its pixels included. Going to pixels of another size changes
    them by a twelfth of the difference of the squared sizes, which is counted in; with "published" it is not, as Eq. 1
    stands.

    Parameters
    ----------
    wave_in, wave_out : ndarray
        Pixel centres in Angstrom, one frame.
    fwhm_in, fwhm_out : ndarray
        Resolution of the input at `wave_in`, and that wanted at `wave_out`, FWHM in Angstrom.
    mode : {"coarser", "published"}
    """
    pixel_in, pixel_out = np.gradient(wave_in), np.gradient(wave_out)
    wanted = np.interp(wave_in, wave_out, fwhm_out)
    pixels = (np.interp(wave_in, wave_out, pixel_out) ** 2 - pixel_in**2) * FWHM_PER_SIGMA**2 / 12
    rebinned = np.sqrt(np.maximum(fwhm_in**2 + (pixels if mode == "coarser" else 0.0), 0.0))
    sigma, _ = eq1_sigma(wanted, rebinned)
    reached = np.interp(wave_out, wave_in, np.maximum(rebinned, wanted))
    _, coarser = eq1_sigma(fwhm_out, np.interp(wave_out, wave_in, fwhm_in))
    return Match((sigma / pixel_in) ** 2, np.maximum(reached, fwhm_out), coarser)


def degrading_resampler(
    wave_in: np.ndarray, fwhm_in: np.ndarray, wave_out: np.ndarray, fwhm_out: np.ndarray, *, mode: Mode = "coarser"
) -> tuple[Resampler, np.ndarray, np.ndarray]:
    """Build the operator that degrades spectra to a resolution and rebins them to its grid.

    Parameters
    ----------
    wave_in, fwhm_in, wave_out, fwhm_out, mode
        As in `match`.

    Returns
    -------
    resampler : Resampler
    reached, coarser : ndarray, shape (n_out,)
        As in `Match`.
    """
    found = match(wave_in, fwhm_in, wave_out, fwhm_out, mode)
    matrix = rebinning_matrix(wave_in, wave_out) @ smoothing_matrix(found.variance)
    return Resampler(matrix), found.reached, found.coarser


def broadening_matrix(wave: np.ndarray, fwhm_model: np.ndarray, fwhm_target: np.ndarray) -> csr_array | None:
    """Operator that brings a model on its own grid to a coarser resolution; None where nothing is to be done.

    Parameters
    ----------
    wave : ndarray, shape (n_pix,)
        Angstrom.
    fwhm_model, fwhm_target : ndarray, shape (n_pix,)
        FWHM in Angstrom; pixels where the target is not coarser are left as they are.

    Returns
    -------
    csr_array, shape (n_pix, n_pix), or None
        Rows are renormalised at the ends.
    """
    from scipy.sparse import csr_array, diags_array

    sigma, _ = eq1_sigma(fwhm_target, fwhm_model)
    if not (sigma > 0).any():
        return None
    matrix = smoothing_matrix((sigma / np.gradient(wave)) ** 2)
    return csr_array(diags_array(1 / matrix.sum(axis=1)) @ matrix)
