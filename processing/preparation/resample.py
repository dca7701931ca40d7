"""Flux-conserving rebinning and smoothing as sparse linear operators that carry errors and masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MASKED_FRACTION = 0.1
"""A pixel is masked when more than this part of its kernel falls on masked pixels or outside the input."""
_REACH = 4.5
"""Gaussians are cut at this many sigma, where 7e-6 of them are left out."""
_STENCIL = 8
"""Borders of input pixels between which the running integral of the flux is interpolated."""


def log_grid(wave_min: float, wave_max: float, step: float = 1e-4) -> np.ndarray:
    """Wavelengths whose decimal logarithm grows by `step`, from `wave_min` up to `wave_max` Angstrom."""
    n_pix = int(np.floor((np.log10(wave_max) - np.log10(wave_min)) / step + 1e-6)) + 1
    return wave_min * 10 ** (step * np.arange(n_pix))


def edges_of(wave: np.ndarray) -> np.ndarray:
    """Borders of the pixels with centres `wave`: half way between neighbours; shape (n_pix + 1,)."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])


def smoothing_matrix(variance: np.ndarray) -> csr_array:
    """Operator that convolves spectra with a Gaussian whose width changes from pixel to pixel.

    The weights are a sampled Gaussian, or, where that is narrower than 0.7 pixels and hardly sampled, seven weights
    with a Gaussian's moments up to the sixth: lines of two pixels FWHM come out right to 1e-3 in either case. Rows
    whose kernels reach beyond the spectrum sum up to less than 1.

    Parameters
    ----------
    variance : ndarray, shape (n_pix,)
        Square of the Gaussian's standard deviation at each pixel, in pixels squared.

    Returns
    -------
    csr_array, shape (n_pix, n_pix)
    """
    from scipy.sparse import csr_array

    n_pix = variance.size
    reach = np.maximum(3, np.ceil(_REACH * np.sqrt(variance)).astype(int)) * (variance > 0)
    count = 2 * reach + 1
    row = np.repeat(np.arange(n_pix), count)
    offset = np.arange(row.size) - np.repeat(np.cumsum(count) - reach - 1, count)
    sampled = np.exp(-0.5 * offset**2 / np.maximum(variance, 0.1)[row])
    sampled /= np.bincount(row, sampled)[row]
    narrow = (variance < 0.5)[row]
    weight = np.where(narrow, _seven_weights(variance)[row, np.minimum(np.abs(offset), 3)], sampled)
    column = row + offset
    inside = (column >= 0) & (column < n_pix)
    place = row[inside].astype(np.int32), column[inside].astype(np.int32)
    return csr_array((weight[inside], place), shape=(n_pix, n_pix))


def _seven_weights(variance: np.ndarray) -> np.ndarray:
    """Weights at distances 0..3 of the symmetric kernels with the moments t, 3 t^2, 15 t^3; shape (n_pix, 4)."""
    moments = np.stack([variance, 3 * variance**2, 15 * variance**3])
    distance = np.arange(1, 4)
    outer = np.linalg.solve(2.0 * distance ** np.array([[2], [4], [6]]), moments)
    return np.vstack([1 - 2 * outer.sum(axis=0), outer]).T


def rebinning_matrix(wave_in: np.ndarray, wave_out: np.ndarray) -> csr_array:
    """Operator from flux densities on `wave_in` to mean flux densities in the pixels of `wave_out`.

    The integral of the flux up to each border of an output pixel is interpolated with a polynomial of seventh
    degree through the integrals up to eight borders of input pixels. The flux is conserved, and a star's lines, sampled
    by little more than two pixels per FWHM, keep their shapes: 0.001 rms in normalised flux at MUSE's blue end, where
    sharing pixels out as if their flux were constant leaves 0.003 and more.

    Parameters
    ----------
    wave_in, wave_out : ndarray
        Pixel centres in Angstrom, increasing, in one frame.

    Returns
    -------
    csr_array, shape (n_out, n_in), float64
        Rows of output pixels that are not fully within the input are empty or incomplete.
    """
    from scipy.sparse import csr_array

    borders, targets = edges_of(wave_in), edges_of(wave_out)
    share, first = _partial_sums(borders, targets)
    inside = (targets >= borders[0]) & (targets <= borders[-1])
    complete = inside[:-1] & inside[1:]
    moved = np.diff(first)
    count = np.where(complete, moved + _STENCIL - 1, 0)
    starts = np.concatenate([[0], np.cumsum(count)])
    row = np.repeat(np.arange(wave_out.size), count)
    place = np.arange(starts[-1]) - np.repeat(starts[:-1], count)
    column = place + np.repeat(first[:-1], count)
    # Pixels before those that a border depends on lie below it fully, pixels after them not at all.
    padded = np.pad(share, ((0, 0), (1, 1)), constant_values=((0, 0), (1.0, 0.0))).ravel()
    width = _STENCIL + 1
    lower = padded[row * width + np.minimum(place + 1, width - 1)]
    upper = padded[(row + 1) * width + np.maximum(place + 1 - np.repeat(moved, count), 0)]
    data = (upper - lower) * np.diff(borders)[column] / np.diff(targets)[row]
    column, starts = column.astype(np.int32), starts.astype(np.int32)  # half the memory, and faster products
    return csr_array((data, column, starts), shape=(wave_out.size, wave_in.size))


def _partial_sums(borders: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the integral up to each target depends on the input pixels around it.

    Returns
    -------
    share : ndarray, shape (n_target, 7)
        Part of each of seven pixels that counts; those before them count fully, those after not at all.
    first : ndarray, shape (n_target,), int
        The first of the seven.
    """
    first = np.searchsorted(borders, targets, side="right") - _STENCIL // 2
    first = np.clip(first, 0, borders.size - _STENCIL)
    points = borders[first + np.arange(_STENCIL)[:, None]]
    distance = targets - points
    lagrange = np.ones(points.shape)
    for k, other in permutations(range(_STENCIL), 2):
        lagrange[k] *= distance[other] / (points[k] - points[other])
    return np.cumsum(lagrange[:0:-1], axis=0)[::-1].T, first


@dataclass(frozen=True)
class Resampler:
    """A sparse linear operator on spectra that carries masks, errors and, on request, covariances.

    Parameters
    ----------
    matrix : csr_array, shape (n_out, n_in)
        Complete rows sum up to 1; those that reach beyond the input to less.
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
            correlated: see `adjoint`). Masked pixels have flux 0 and ivar 0.
        """
        good = ivar > 0
        variance = np.divide(1.0, ivar, out=np.zeros(np.shape(ivar)), where=good)
        kept, share = self._shares(good)
        out = (self.matrix @ np.where(good, flux, 0.0).T.astype(float)).T * share
        out_variance = (self._with(np.square) @ variance.T).T * share**2
        kept &= out_variance > 0
        return np.where(kept, out, 0.0), np.divide(1.0, out_variance, out=np.zeros_like(out), where=kept)

    def lost(self, bad: np.ndarray) -> np.ndarray:
        """Part of each output pixel's kernel that falls on bad pixels; `bad` (n_in,) or (n, n_in), bool."""
        return (self._absolute @ bad.T.astype(float)).T

    @cached_property
    def _absolute(self) -> csr_array:
        """The matrix with the absolute values of its weights."""
        return self._with(np.abs)

    @cached_property
    def _beyond(self) -> np.ndarray:
        """Part of each output pixel's kernel that lies beyond the input, shape (n_out,)."""
        return np.abs(1.0 - self.matrix.sum(axis=1))

    def _with(self, function: Callable[[np.ndarray], np.ndarray]) -> csr_array:
        """Return the matrix with a function of its weights."""
        from scipy.sparse import csr_array

        return csr_array((function(self.matrix.data), self.matrix.indices, self.matrix.indptr), self.matrix.shape)

    def _shares(self, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Output pixels with enough good input, and the factor that makes up for the rest (0 where masked)."""
        weight = (self.matrix @ good.T.astype(float)).T
        kept = self.lost(~good) + self._beyond <= MASKED_FRACTION
        return kept, np.where(kept, 1.0 / np.where(kept, weight, 1.0), 0.0)

    def adjoint(self, values: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Apply K^T, where K is what `apply` does to a spectrum with these good pixels.

        The covariance of what comes out is K V K^T; contracted with some vectors u it costs no more than K^T u.

        Parameters
        ----------
        values : ndarray, shape (n_out, n_vector)
        good : ndarray, shape (n_in,), bool

        Returns
        -------
        ndarray, shape (n_in, n_vector)
        """
        _, share = self._shares(good)
        return (self.matrix.T @ (values * share[:, None])) * good[:, None]
