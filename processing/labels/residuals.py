"""Fits and spectra against each other: residuals over their errors, their distribution, and two spectra compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processing.preparation.air import in_frame

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit

_WIDEST = 8.0
"""Robust standard deviations shown on either side of the middle."""


def deviations(fit: LabelFit) -> np.ndarray:
    """Return (O - P)/e of every pixel with the pipeline's errors, NaN where it was not fitted; shape (n_pix,)."""
    used = fit.ivar > 0
    return np.where(used, (fit.flux - fit.best) * np.sqrt(fit.ivar), np.nan)


def normalised_error(fit: LabelFit) -> np.ndarray:
    """Return the 1-sigma errors of the normalised flux, NaN where it was not fitted; shape (n_pix,)."""
    used = fit.ivar > 0
    return np.where(used, 1.0 / np.sqrt(np.where(used, fit.ivar, 1.0)), np.nan)


@dataclass(frozen=True)
class Distribution:
    """How (O - P)/e is distributed (Fig. 3 of the paper).

    Parameters
    ----------
    edges : ndarray, shape (n_bin + 1,)
    counts : ndarray, shape (n_bin,)
        Pixels in each bin; those beyond the edges are in none.
    middle, width : float
        Median and robust standard deviation, 1.4826 MAD: the Gaussian that is drawn.
    number, beyond : int
        Fitted pixels, and those of them that lie outside the edges.
    """

    edges: np.ndarray
    counts: np.ndarray
    middle: float
    width: float
    number: int
    beyond: int

    def gaussian(self, x: np.ndarray) -> np.ndarray:
        """Return the Gaussian as counts per bin."""
        step = float(self.edges[1] - self.edges[0])
        height = self.number * step / (np.sqrt(2 * np.pi) * self.width)
        return np.asarray(height * np.exp(-0.5 * ((np.asarray(x, float) - self.middle) / self.width) ** 2))


def distribution(fit: LabelFit, n_bin: int = 60) -> Distribution | None:
    """Count a fit's residuals in units of their errors; None where too few pixels were fitted or all fit exactly."""
    values = deviations(fit)
    values = values[np.isfinite(values)]
    if values.size < n_bin:
        return None
    middle = float(np.median(values))
    width = float(1.4826 * np.median(np.abs(values - middle)))
    if width <= 0:
        return None
    counts, edges = np.histogram(values, n_bin, (middle - _WIDEST * width, middle + _WIDEST * width))
    return Distribution(edges, counts, middle, width, values.size, values.size - int(counts.sum()))


@dataclass(frozen=True)
class Comparison:
    """Two normalised spectra, or two fits of one, at rest on the first one's pixels (Fig. 2 of the paper).

    Parameters
    ----------
    wave : ndarray, shape (n_pix,)
        Angstrom at rest, in the first one's frame.
    one, two : ndarray, shape (n_pix,)
        NaN where one is not known.
    difference, error : ndarray, shape (n_pix,)
        one - two, and the 1-sigma error of both together; NaN where either was not fitted.
    median, scatter : float
        Of the difference: median, and robust standard deviation.
    chi2 : float
        Mean squared difference over error.
    """

    wave: np.ndarray
    one: np.ndarray
    two: np.ndarray
    difference: np.ndarray
    error: np.ndarray
    median: float
    scatter: float
    chi2: float


def compare(one: LabelFit, two: LabelFit) -> Comparison:
    """Compare two stars' normalised spectra, or two fits of one star: then their best fits, with the star's errors.

    The second is interpolated to the first one's pixels where those differ. A pixel counts where both are known;
    interpolation never reaches across one that is not.
    """
    wave = np.asarray(one.wave, float)
    other = in_frame(two.wave, two.frame, one.frame)
    variance = normalised_error(one) ** 2
    if one.star_id == two.star_id:
        first, second = np.asarray(one.best, float), _at(wave, other, two.best)
    else:
        first, second = np.asarray(one.flux, float), _at(wave, other, two.flux)
        variance = variance + _at(wave, other, normalised_error(two)) ** 2
    difference = np.where(np.isfinite(variance), first - second, np.nan)
    known = np.isfinite(difference)
    median = scatter = chi2 = float("nan")
    if known.any():
        median = float(np.median(difference[known]))
        scatter = float(1.4826 * np.median(np.abs(difference[known] - median)))
        chi2 = float(np.mean(difference[known] ** 2 / variance[known]))
    return Comparison(wave, first, second, difference, np.sqrt(variance), median, scatter, chi2)


def _at(wave: np.ndarray, other: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolate linearly; NaN beyond the ends and beside a NaN."""
    if np.array_equal(wave, other):
        return np.asarray(values, float)
    return np.interp(wave, other, np.asarray(values, float), left=np.nan, right=np.nan)
