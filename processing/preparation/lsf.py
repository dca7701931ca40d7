"""Line spread functions, and how a spectrum is brought from one to another (Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from processing.errors import StellacubeError
from processing.preparation.resample import Resampler, rebinning_matrix

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
    return np.sqrt(np.maximum(difference, 0)) / FWHM_PER_SIGMA, difference < 0


@dataclass(frozen=True)
class Match:
    """How a resolution on one grid is brought to that on another.

    Parameters
    ----------
    sigma : ndarray, shape (n_out,)
        Standard deviation of the Gaussian to convolve with, Angstrom.
    reached : ndarray, shape (n_out,)
        The resolution of what comes out, FWHM in Angstrom: more than asked for where the input is coarser.
    coarser : ndarray, shape (n_out,), bool
        Where the input is coarser than asked for by Eq. 1.
    """

    sigma: np.ndarray
    reached: np.ndarray
    coarser: np.ndarray


def match(
    wave_in: np.ndarray, fwhm_in: np.ndarray, wave_out: np.ndarray, fwhm_out: np.ndarray, mode: Mode = "coarser"
) -> Match:
    """Find the Gaussian that takes spectra on one grid to the resolution wanted on another (Eq. 1).

    Averaging over pixels broadens as well, by (pixel width)^2 / 12 in variance for the input's and the output's
    pixels each. That share is taken off Eq. 1's Gaussian, so that what comes out has the resolution asked for; in
    the mode "published" it is not, as Eq. 1 stands.

    Parameters
    ----------
    wave_in, wave_out : ndarray
        Pixel centres in Angstrom, one frame.
    fwhm_in, fwhm_out : ndarray
        Resolution of the input at `wave_in`, and that wanted at `wave_out`, FWHM in Angstrom.
    mode : {"coarser", "published"}
    """
    fwhm_here = np.interp(wave_out, wave_in, fwhm_in)
    sigma, coarser = eq1_sigma(fwhm_out, fwhm_here)
    boxes = (np.interp(wave_out, wave_in, np.gradient(wave_in)) ** 2 + np.gradient(wave_out) ** 2) / 12
    with_boxes = np.hypot(fwhm_here, FWHM_PER_SIGMA * np.sqrt(boxes))
    if mode == "coarser":
        sigma, _ = eq1_sigma(fwhm_out, with_boxes)
    return Match(sigma, np.hypot(with_boxes, FWHM_PER_SIGMA * sigma), coarser)


def degrading_resampler(
    wave_in: np.ndarray, fwhm_in: np.ndarray, wave_out: np.ndarray, fwhm_out: np.ndarray, *, mode: Mode = "coarser"
) -> tuple[Resampler, np.ndarray, np.ndarray]:
    """Build the operator that rebins spectra to a new grid and degrades them to its resolution.

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
    return Resampler(rebinning_matrix(wave_in, wave_out, found.sigma)), found.reached, found.coarser


def broadening_matrix(wave: np.ndarray, fwhm_model: np.ndarray, fwhm_target: np.ndarray) -> csr_array | None:
    """Operator that brings a model on its own grid to a coarser resolution; None where nothing is to be done.

    The weights are the discrete Gaussian exp(-t) I_n(t) (Lindeberg 1990), whose variance is exactly t = sigma^2
    in pixels however narrow it is: a sampled or pixel-integrated Gaussian of a third of a pixel is too wide or
    no Gaussian at all. Rows are renormalised at the ends.

    Parameters
    ----------
    wave : ndarray, shape (n_pix,)
        Angstrom.
    fwhm_model, fwhm_target : ndarray, shape (n_pix,)
        FWHM in Angstrom; pixels where the target is not coarser are left as they are.
    """
    from scipy.sparse import csr_array, diags_array
    from scipy.special import ive

    sigma, _ = eq1_sigma(fwhm_target, fwhm_model)
    if not (sigma > 0).any():
        return None
    variance = (sigma / np.gradient(wave)) ** 2
    reach = 1 + int(np.ceil(5 * np.sqrt(variance.max())))
    offsets = np.arange(-reach, reach + 1)
    weights = ive(np.abs(offsets)[:, None], variance)
    n_pix = wave.size
    column = np.arange(n_pix) + offsets[:, None]
    inside = (column >= 0) & (column < n_pix)
    row = np.broadcast_to(np.arange(n_pix), column.shape)
    matrix = csr_array((weights[inside], (row[inside], column[inside])), shape=(n_pix, n_pix))
    return csr_array(diags_array(1 / matrix.sum(axis=1)) @ matrix)
