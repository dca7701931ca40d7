"""The pseudo-continuum: one operator for training spectra, templates and observations (science.md's section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

_NODE_STEP = 0.4
_REACH = 2.8
"""In lengths; exp(-2 d^2/L^2) is 2e-7 there."""
_BLOCK = 256


@dataclass(frozen=True)
class ContinuumOperator:
    """Flux smoothed with a Gaussian in wavelength, aware of masks; part of every model file.

    The spectrum is first divided by a polynomial that follows its own smoothed flux, so that neither the star's
    colour nor its extinction shifts the mean of the one-sided kernels at edges and beside masks (1.4 % for a
    cool star without it). Then (Ho et al. 2017; Eq. in section 3.1 of the paper leaves kernel and weights open)

        fbar(l0) = sum_i f_i w_i k_i(l0) / sum_i w_i k_i(l0),    k_i(l0) = exp(-(l0 - l_i)^2 / L^2).

    Parameters
    ----------
    kernel : {"gauss"}
        exp(-d^2 / L^2).
    length : float
        L in Angstrom.
    weights : {"flat", "ivar"}
        What good pixels weigh: 1, or the inverse variance.
    flatten : int
        Degree of the polynomial in wavelength, fitted to the logarithm of the smoothed flux; -1: none.
    """

    kernel: Literal["gauss"] = "gauss"
    length: float = 50.0
    weights: Literal["flat", "ivar"] = "flat"
    flatten: int = 4

    def pixel_weights(self, ivar: np.ndarray) -> np.ndarray:
        """Weights of the pixels in the mean, 0 where `ivar` is 0; float32."""
        ivar = np.asarray(ivar, np.float32)
        return ivar if self.weights == "ivar" else (ivar > 0).astype(np.float32)

    def smooth(self, wave: np.ndarray, flux: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Weighted running mean of spectra, without the flattening.

        Parameters
        ----------
        wave : ndarray, shape (n_pix,)
            Angstrom, increasing.
        flux, weight : ndarray, shape (n_pix,) or (n, n_pix)
            Flux must be finite where the weight is above 0.

        Returns
        -------
        ndarray, float32, of the same shape; 0 where no weight lies within reach.
        """
        total, norm = self.sums(wave, np.where(weight > 0, flux * weight, 0)), self.sums(wave, weight)
        return np.divide(total, norm, out=np.zeros_like(total), where=norm > 1e-6 * norm.max(-1, keepdims=True))

    def sums(self, wave: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Sum of `values` under the kernel at each pixel; symmetric, so it is its own transpose."""
        values = np.asarray(values, np.float32)
        n_node, blocks = _half_kernels(np.asarray(wave, float).tobytes(), self.length)
        nodes = np.zeros((*values.shape[:-1], n_node), np.float32)
        for pixels, near, kernel in blocks:
            nodes[..., near] += values[..., pixels] @ kernel
        out = np.empty(values.shape, np.float32)
        for pixels, near, kernel in blocks:
            out[..., pixels] = nodes[..., near] @ kernel.T
        return out

    def continuum(self, wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
        """Pseudo-continuum of spectra; shapes as in `smooth`, 0 where there is none."""
        weight = self.pixel_weights(ivar)
        flux = np.where(weight > 0, flux, 0).astype(np.float32)
        first = self.smooth(wave, flux, weight)
        if self.flatten < 0:
            return first
        slope = _fit_polynomial(wave, first, weight > 0, self.flatten)
        return slope * self.smooth(wave, flux / slope, weight)

    def normalise(
        self, wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Divide spectra by their pseudo-continuum.

        Parameters
        ----------
        wave : ndarray, shape (n_pix,)
            Angstrom, increasing.
        flux, ivar : ndarray, shape (n_pix,) or (n, n_pix)
            A pixel with ivar 0 is masked and takes no part.

        Returns
        -------
        flux, ivar, continuum : ndarray, float32
            Normalised flux (1 where masked), its inverse variance (0 where masked or where the pseudo-continuum
            is not positive), and what the spectra were divided by.
        """
        continuum = self.continuum(wave, flux, ivar)
        good = (ivar > 0) & (continuum > 0)
        divisor = np.where(good, continuum, 1)
        return (
            np.where(good, flux / divisor, 1).astype(np.float32),
            np.where(good, ivar * divisor.astype(float) ** 2, 0).astype(np.float32),
            continuum,
        )


def _fit_polynomial(wave: np.ndarray, flux: np.ndarray, good: np.ndarray, degree: int) -> np.ndarray:
    """Exponential of the polynomial that fits log(flux) best over the good pixels; 1 where nothing can be fitted."""
    x = 2 * (wave - wave[0]) / (wave[-1] - wave[0]) - 1
    basis = np.polynomial.legendre.legvander(x, degree)
    floor = 0.02 * np.median(np.abs(flux), axis=-1, keepdims=True)
    used = good & (flux > np.maximum(floor, np.finfo(np.float32).tiny))
    target = np.log(np.where(used, flux, 1).astype(float))
    matrix = np.einsum("...p,pi,pj->...ij", used.astype(float), basis, basis, optimize=True)
    # The small ridge keeps a spectrum with a few pixels, or none, solvable.
    matrix += 1e-6 * (1 + used.sum(-1))[..., None, None] * np.eye(degree + 1)
    level = target.sum(-1, keepdims=True) / np.maximum(used.sum(-1, keepdims=True), 1)
    vector = np.where(used, target - level, 0) @ basis
    solution = np.linalg.solve(matrix, vector[..., None])[..., 0]
    return np.exp(np.clip(solution @ basis.T, -10, 10) + level).astype(np.float32)


@lru_cache(maxsize=8)
def _half_kernels(wave_bytes: bytes, length: float) -> tuple[int, tuple[tuple[slice, slice, np.ndarray], ...]]:
    """Split the kernel into two that are narrower by sqrt(2), from the pixels to a coarse row of nodes and back.

    A Gaussian is the convolution of two narrower ones, and a sum over nodes 0.4 lengths apart replaces the integral
    of the convolution to 4e-7; seven times fewer operations than with the banded kernel itself.

    Returns
    -------
    n_node : int
    blocks : tuple of (pixels, nodes, kernel)
        Dense blocks; kernel of shape (pixels, nodes), float32.
    """
    wave = np.frombuffer(wave_bytes)
    step = _NODE_STEP * length
    nodes = np.arange(wave[0] - _REACH * length, wave[-1] + _REACH * length + step, step)
    norm = np.sqrt(2 * _NODE_STEP / np.sqrt(np.pi))
    blocks = []
    for start in range(0, wave.size, _BLOCK):
        pixels = slice(start, min(start + _BLOCK, wave.size))
        centres = wave[pixels]
        low, high = np.searchsorted(nodes, [centres[0] - _REACH * length, centres[-1] + _REACH * length])
        distance = (centres[:, None] - nodes[low:high]) / length
        # Cut, not only small: products with numbers below 1e-38 are ten times slower.
        kernel = np.where(np.abs(distance) < _REACH, norm * np.exp(-2 * distance**2), 0).astype(np.float32)
        blocks.append((pixels, slice(int(low), int(high)), kernel))
    return nodes.size, tuple(blocks)
