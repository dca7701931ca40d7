"""Normal equations of many stars at once in the few units of the network's bottleneck instead of thousands of pixels.

A model spectrum is ``offset + basis @ z(labels)``. With a star's weights W its chi2 is an exact quadratic form in z,
whose matrix B^T W B is computed once; every iteration of the fit then costs k^2 instead of n_pix operations.
Plain NumPy: as fast as torch here (the time goes into float32 matrix products), and nothing heavy to import.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from processing.labels.network import Network
from processing.preparation.air import SPEED_OF_LIGHT
from processing.preparation.lsf import broadening_matrix

_FEW = 12
"""Below this many stars the products of all pairs of basis spectra cost more than they save."""
_DERIVATIVE = np.array([-1, 9, -45, 0, 45, -9, 1], np.float32) / np.float32(60)
"""Sixth-order first derivative: lines are sampled by two to three pixels per FWHM only."""


@dataclass(frozen=True)
class Emulator:
    """A network at the resolution of some spectra, with what the normal equations of many stars share.

    Parameters
    ----------
    network : Network
        Its basis and offset broadened.
    wave : ndarray, shape (n_pix,)
        Angstrom.
    """

    network: Network
    wave: np.ndarray

    @classmethod
    def at_resolution(cls, network: Network, wave: np.ndarray, fwhm: np.ndarray, reached: np.ndarray) -> Emulator:
        """Broaden a network from its own resolution to the one reached, FWHM in Angstrom; exact, as it is linear."""
        matrix = broadening_matrix(wave, fwhm, reached)
        if matrix is None:
            return cls(network, wave)
        return cls(network.with_basis(matrix @ network.basis, matrix @ network.offset), wave)

    @cached_property
    def _per_velocity(self) -> np.ndarray:
        """Pixels, (n_pix,), by which 1 km/s moves a spectrum to the blue."""
        return (-1.0 / np.gradient(np.log(self.wave)) / SPEED_OF_LIGHT).astype(np.float32)

    def velocity_derivative(self, flux: np.ndarray) -> np.ndarray:
        """Return the derivative of model spectra (n, n_pix) with respect to velocity, per km/s."""
        padded = np.pad(np.asarray(flux, np.float32), ((0, 0), (3, 3)), mode="edge")
        slope = sum(c * padded[:, i : i + flux.shape[1]] for i, c in enumerate(_DERIVATIVE))
        return np.asarray(slope * self._per_velocity)

    @cached_property
    def exact(self) -> Network:
        """The network in float64, for the bottleneck's values.

        Rounding in float32 depends on how many stars are evaluated together and hides changes of chi2 below 1e-2.
        """
        weights = tuple(weight.astype(float) for weight in self.network.weights)
        return replace(self.network, weights=weights, biases=tuple(bias.astype(float) for bias in self.network.biases))

    @cached_property
    def _products(self) -> np.ndarray:
        """Products of all pairs of basis spectra, shape (k (k + 1) / 2, n_pix)."""
        basis = np.ascontiguousarray(self.network.basis.T)
        return np.concatenate([basis[i] * basis[i:] for i in range(len(basis))])

    def gram(self, weight: np.ndarray) -> np.ndarray:
        """B^T W B of stars with weights (n, n_pix): shape (n, k, k), float64."""
        basis = self.network.basis
        if len(weight) < _FEW:
            return np.stack([(basis * w[:, None]).T @ basis for w in weight]).astype(float)
        row, column = np.triu_indices(basis.shape[1])
        pair = np.empty((basis.shape[1],) * 2, int)
        pair[row, column] = pair[column, row] = np.arange(row.size)
        return np.take(weight @ self._products.T, pair, axis=1).astype(float)


@dataclass(frozen=True)
class NormalEquations:
    """Chi2 of each star as a quadratic form in (z - z_reference, velocity).

    chi2 = constant - 2 linear . d + d . matrix . d; written about a reference near the minimum, where the
    differences are small, so that float32 sums lose nothing.

    Parameters
    ----------
    reference : ndarray, shape (n, k)
    constant : ndarray, shape (n,)
    linear : ndarray, shape (n, k + 1)
    matrix : ndarray, shape (n, k + 1, k + 1)
        All float64; the last entry is the residual velocity in km/s.
    """

    reference: np.ndarray
    constant: np.ndarray
    linear: np.ndarray
    matrix: np.ndarray

    @classmethod
    def build(
        cls,
        emulator: Emulator,
        flux: np.ndarray,
        weight: np.ndarray,
        ratio: np.ndarray,
        labels: np.ndarray,
        extra: np.ndarray | None = None,
    ) -> NormalEquations:
        """Set the equations up.

        Parameters
        ----------
        emulator : Emulator
        flux, weight : ndarray, shape (n, n_pix)
            Pseudo-normalised flux, and the inverse variance that it is fitted with.
        ratio : ndarray, shape (n, n_pix)
            What model spectra are multiplied by (`processing.preparation.prepare.continuum_ratio`).
        labels : ndarray, shape (n, n_label)
            Labels of the reference.
        extra : ndarray, shape (n, n_pix), optional
            A spectrum of which each star may have some in addition, 0 +- 1 of it. Chi2 is that of the best amount,
            so that nothing which looks like this spectrum is read as a label.
        """
        network = emulator.network
        z = emulator.exact.bottleneck(labels)
        model = z.astype(np.float32) @ network.basis.T + network.offset
        residual = flux - ratio * model
        shift = ratio * emulator.velocity_derivative(model)
        k = z.shape[1]
        matrix = np.empty((len(flux), k + 1, k + 1))
        matrix[:, :k, :k] = emulator.gram(weight * ratio**2)
        matrix[:, k, :k] = matrix[:, :k, k] = (weight * ratio * shift) @ network.basis
        matrix[:, k, k] = np.einsum("ij,ij,ij->i", weight, shift, shift)
        linear = np.empty((len(flux), k + 1))
        linear[:, :k] = (weight * ratio * residual) @ network.basis
        linear[:, k] = np.einsum("ij,ij,ij->i", weight, shift, residual)
        constant = np.einsum("ij,ij,ij->i", weight, residual, residual, dtype=float)
        if extra is not None:
            weighted = weight * extra
            mixed = np.empty((len(flux), k + 1))
            mixed[:, :k] = (weighted * ratio) @ network.basis
            mixed[:, k] = np.einsum("ij,ij->i", weighted, shift)
            pull = np.einsum("ij,ij->i", weighted, residual, dtype=float)
            stiffness = 1.0 + np.einsum("ij,ij->i", weighted, extra, dtype=float)
            matrix -= mixed[:, :, None] * mixed[:, None, :] / stiffness[:, None, None]
            linear -= mixed * (pull / stiffness)[:, None]
            constant -= pull**2 / stiffness
        return cls(z, constant, linear, matrix)

    def take(self, index: np.ndarray) -> NormalEquations:
        """Return the equations of some of the stars."""
        return NormalEquations(self.reference[index], self.constant[index], self.linear[index], self.matrix[index])
