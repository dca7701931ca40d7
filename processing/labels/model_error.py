"""The model's own error: what spectra that the network never saw would do to the labels of a fit.

A network is wrong by a little, in a way that no noise averages out. How wrong, and in which pixels together, is known
from spectra that were predicted without having been learned. Every fit is linear near its minimum, so each of their
residuals, sent through the pseudo-inverse of the fit at hand, is an error of its labels, whatever its wavelengths,
masks, noise and priors are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from processing.labels.names import CORE
from processing.preparation.lsf import broadening_matrix

WIDTHS = np.array([500.0, 1.0, 0.6])
"""K, dex, dex: how the distance between stars is measured."""
NEIGHBOURS = 48
"""Residuals of so many stars nearest to the one that is fitted are used: errors of its errors of 10 per cent."""
KEPT = 0.995
"""Part of the residuals' variance that the stored components hold; what is beyond them is noise to any label."""
MOST = 120
CLIP = 3.0
"""One star's error counts up to so many robust standard deviations: catalogues hold wrong labels."""


@dataclass(frozen=True)
class Unseen:
    """Residuals of spectra that the network did not learn, compressed to their principal components.

    Parameters
    ----------
    core : ndarray, shape (n, 3)
        Teff, logg, [Fe/H] of the spectra.
    coefficients : ndarray, shape (n, k)
    basis : ndarray, shape (k, n_pix), float32
        The residuals, true minus model, in normalised flux, are ``coefficients @ basis``.
    label_error : ndarray, shape (n, n_label)
        Errors of the labels at which the residuals were taken; 0 where they are known exactly.
    """

    core: np.ndarray
    coefficients: np.ndarray
    basis: np.ndarray
    label_error: np.ndarray

    @classmethod
    def of(cls, core: np.ndarray, residual: np.ndarray, label_error: np.ndarray) -> Unseen:
        """Compress residuals, shape (n, n_pix), 0 in gaps."""
        left, size, right = np.linalg.svd(residual.astype(np.float32), full_matrices=False)
        held = np.cumsum(size**2) / max(np.sum(size**2), 1e-30)
        k = min(int(np.searchsorted(held, KEPT)) + 1, MOST, len(size))
        return cls(core, left[:, :k] * size[:k], right[:k], label_error)

    def spread(self, gain: np.ndarray, response: np.ndarray, core: np.ndarray) -> np.ndarray:
        """Covariance of the labels, from the nearest stars, beyond that of the labels they were given.

        Parameters
        ----------
        gain : ndarray, shape (n_par, n_pix)
            What a small change of the spectrum does to the parameters.
        response : ndarray, shape (n_par, n_par)
            What a shift of the true parameters does to the fitted ones; unity without priors.
        core : ndarray, shape (3,)
        """
        distance = np.square((self.core - core) / WIDTHS).sum(axis=1)
        near = np.argsort(distance, kind="stable")[:NEIGHBOURS]
        shifts = self.coefficients[near] @ (gain @ self.basis.T).T
        limit = CLIP * 1.4826 * np.median(np.abs(shifts), axis=0)
        shifts = np.clip(shifts, -limit, limit)
        given = np.zeros(len(gain))
        given[:-1] = np.square(self.label_error[near]).mean(axis=0)
        return np.asarray(shifts.T @ shifts / len(near) - (response * given) @ response.T)


@dataclass(frozen=True)
class ModelError:
    """What is known of a model's own error.

    Parameters
    ----------
    synthetic : Unseen
        Of training spectra, each predicted without itself.
    real : Unseen or None
        Of the stars that corrected the network, each predicted without itself.
    """

    synthetic: Unseen
    real: Unseen | None = None

    def covariance(
        self, gain: np.ndarray, response: np.ndarray, labels: np.ndarray, names: tuple[str, ...]
    ) -> np.ndarray:
        """Covariance of a fit's parameters, shape (n_par, n_par), that the model's own error causes.

        Synthetic spectra tell how well the network renders physics; real stars, whose labels have errors of their own,
        how much worse real spectra fare than that.

        Parameters
        ----------
        gain, response : ndarray
            As in `Unseen.spread`; the velocity is the last parameter.
        labels : ndarray, shape (n_label,)
        names : tuple of str
        """
        core = np.array([labels[names.index(name)] for name in CORE])
        gain = gain.astype(np.float32)  # as the residuals: twice as fast, and errors of errors are far larger
        emulation = self.synthetic.spread(gain, response, core)
        if self.real is None:
            return emulation
        return emulation + _positive(self.real.spread(gain, response, core) - emulation)

    def at_resolution(self, wave: np.ndarray, fwhm: np.ndarray, reached: np.ndarray) -> ModelError:
        """Return the error of the model broadened from its own resolution to the one reached, FWHM in Angstrom."""
        matrix = broadening_matrix(wave, fwhm, reached)
        if matrix is None:
            return self
        return self._each(lambda part: replace(part, basis=(matrix @ part.basis.T).T.astype(np.float32)))

    def for_labels(self, keep: list[int]) -> ModelError:
        """Return the error of a model that fits some of the labels."""
        return self._each(lambda part: replace(part, label_error=part.label_error[:, keep]))

    def _each(self, change: Callable[[Unseen], Unseen]) -> ModelError:
        return ModelError(change(self.synthetic), None if self.real is None else change(self.real))


def _positive(matrix: np.ndarray) -> np.ndarray:
    """Return the nearest matrix without negative eigenvalues, in units of each parameter's own spread."""
    unit = np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-30))
    values, vectors = np.linalg.eigh(matrix / unit / unit[:, None])
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T * unit * unit[:, None])
