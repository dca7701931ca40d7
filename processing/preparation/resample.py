"""Flux-conserving rebinning with an optional Gaussian, as one sparse linear operator that carries errors and masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MASKED_FRACTION = 0.1
"""A pixel is masked when more than this part of its kernel falls on masked pixels or outside the input."""
_REACH = 4.5
"""The Gaussian is cut at this many sigma, where 7e-6 of it is left out."""


def log_grid(wave_min: float, wave_max: float, step: float = 1e-4) -> np.ndarray:
    """Wavelengths whose decimal logarithm grows by `step`, from `wave_min` up to `wave_max` Angstrom."""
    n_pix = int(np.floor((np.log10(wave_max) - np.log10(wave_min)) / step + 1e-6)) + 1
    return wave_min * 10 ** (step * np.arange(n_pix))


def edges_of(wave: np.ndarray) -> np.ndarray:
    """Borders of the pixels with centres `wave`: half way between neighbours; shape (n_pix + 1,)."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])


def rebinning_matrix(wave_in: np.ndarray, wave_out: np.ndarray, sigma: np.ndarray | float = 0.0) -> csr_array:
    """Operator from flux densities on `wave_in` to mean flux densities in the pixels of `wave_out`.

    The input is constant within each of its pixels, convolved with a Gaussian of the output pixel's own width and
    averaged over the output pixel, both integrals exact. With sigma 0 the weights are overlaps: the integral of
    the flux is conserved. Rows that reach beyond the input sum up to less than 1 (see `Resampler.apply`).

    Parameters
    ----------
    wave_in, wave_out : ndarray
        Pixel centres in Angstrom, increasing, in one frame.
    sigma : ndarray, shape (n_out,), or float
        Standard deviation of the Gaussian in Angstrom at each output pixel.

    Returns
    -------
    csr_array, shape (n_out, n_in), float64
    """
    from scipy.sparse import csr_array

    edges_in, edges_out = edges_of(wave_in), edges_of(wave_out)
    low, high = edges_out[:-1], edges_out[1:]
    sigma = np.broadcast_to(np.maximum(sigma, 0.0), wave_out.shape)
    first = np.searchsorted(edges_in, low - _REACH * sigma, side="right") - 1
    last = np.searchsorted(edges_in, high + _REACH * sigma, side="left")
    first, last = np.clip(first, 0, wave_in.size), np.clip(last, 0, wave_in.size)
    count = np.maximum(last - first, 0)
    starts = np.concatenate([[0], np.cumsum(count)])
    row = np.repeat(np.arange(wave_out.size), count)
    column = np.arange(starts[-1]) - np.repeat(starts[:-1] - first, count)

    def integral(out_edge: np.ndarray) -> np.ndarray:
        """Twofold integral of the Gaussian between one output border and each input pixel."""
        near = _ramp(out_edge[row] - edges_in[column], sigma[row])
        return near - _ramp(out_edge[row] - edges_in[column + 1], sigma[row])

    data = (integral(high) - integral(low)) / (high - low)[row]
    return csr_array((data, column, starts), shape=(wave_out.size, wave_in.size))


def _ramp(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Integral of the Gaussian's cumulative distribution from minus infinity to x; max(x, 0) for sigma 0."""
    from scipy.special import ndtr

    width = np.maximum(sigma, 1e-9)
    z = x / width
    return np.where(sigma > 0, x * ndtr(z) + width * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi), np.maximum(x, 0))


@dataclass(frozen=True)
class Resampler:
    """A sparse linear operator on spectra that carries masks, errors and, on request, covariances.

    Parameters
    ----------
    matrix : csr_array, shape (n_out, n_in)
        Non-negative weights; complete rows sum up to 1.
    """

    matrix: csr_array

    def apply(self, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Transform spectra; weights of good pixels are renormalised, pixels with too few of them are masked.

        Parameters
        ----------
        flux, ivar : ndarray, shape (n_in,) or (n, n_in)
            Input spectra; masked where ivar is 0.

        Returns
        -------
        flux, ivar : ndarray, shape (n_out,) or (n, n_out), float64
            The variance is the sum of the squared weights times the input's variance (neighbours become
            correlated: see `weights` for the covariance). Masked pixels have flux 0 and ivar 0.
        """
        good = ivar > 0
        variance = np.divide(1.0, ivar, out=np.zeros(np.shape(ivar)), where=good)
        coverage = (self.matrix @ good.T.astype(float)).T
        kept = coverage >= 1 - MASKED_FRACTION
        share = np.where(kept, coverage, 1.0)
        out = (self.matrix @ np.where(good, flux, 0.0).T.astype(float)).T / share
        out_variance = (self.squared @ variance.T).T / share**2
        kept &= out_variance > 0
        return np.where(kept, out, 0.0), np.divide(1.0, out_variance, out=np.zeros_like(out), where=kept)

    @property
    def squared(self) -> csr_array:
        """The squared weights, which carry variances."""
        from scipy.sparse import csr_array

        return csr_array((self.matrix.data**2, self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape)

    def weights(self, good: np.ndarray) -> csr_array:
        """Operator K of one star with the good pixels' weights renormalised: covariance out = K V K^T.

        Parameters
        ----------
        good : ndarray, shape (n_in,), bool
        """
        from scipy.sparse import csr_array, diags_array

        kept = self.matrix @ diags_array(good.astype(float))
        coverage = self.matrix @ good.astype(float)
        usable = coverage >= 1 - MASKED_FRACTION
        return csr_array(diags_array(np.where(usable, 1 / np.where(usable, coverage, 1), 0)) @ kept)
