"""Errors of fitted labels: formal, and carried exactly through the resampling that correlates neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from processing.preparation.resample import Resampler
from processing.preparation.robust import masked_quantile

_CHUNKS = 16
_FEWEST = 20
"""Pixels below which a chunk of the spectrum has no say in the scatter."""


def robust_scale(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Robust standard deviation of each row about 0: the median over wavelength chunks of 1.4826 median(|value|).

    Taken about each chunk's own median it would come out 2 % too small, which a few dozen independent pixels share.

    Parameters
    ----------
    values : ndarray, shape (n, n_pix)
        Residuals in units of their errors.
    good : ndarray, shape (n, n_pix), bool

    Returns
    -------
    ndarray, shape (n,); 1 for a row without enough pixels.
    """
    edges = np.linspace(0, values.shape[1], _CHUNKS + 1).astype(int)
    chunks = [slice(start, stop) for start, stop in pairwise(edges)]
    size = np.abs(values)
    scales = 1.4826 * np.stack([masked_quantile(size[:, chunk], good[:, chunk]) for chunk in chunks], axis=1)
    enough = np.stack([good[:, chunk].sum(axis=1) >= _FEWEST for chunk in chunks], axis=1)
    result = masked_quantile(scales, enough)
    return np.where(result > 0, result, 1.0)


@dataclass(frozen=True)
class Design:
    """The linear problems at the best fits of n stars.

    Parameters
    ----------
    jacobian : ndarray, shape (n, n_par, n_pix)
        Derivatives of the fitted models.
    weight : ndarray, shape (n, n_pix)
        Inverse variances that the fits used.
    ivar : ndarray, shape (n, n_pix)
        From the raw errors alone.
    prior : ndarray, shape (n, n_par, n_par)
        Precision of what was known before.
    kept : int
        How many of the parameters, the first ones, the results are about; over the others they are marginalised.
    """

    jacobian: np.ndarray
    weight: np.ndarray
    ivar: np.ndarray
    prior: np.ndarray
    kept: int

    def formal(self) -> np.ndarray:
        """(J^T C^-1 J + P)^-1 with C diagonal from the raw errors; shape (n, kept, kept)."""
        fisher = (self.jacobian * self.ivar[:, None]) @ self.jacobian.transpose(0, 2, 1)
        return _inverse(fisher + self.prior)[:, : self.kept, : self.kept]

    @cached_property
    def _fitted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A^-1 with A = J^T W J + P, (n, kept, n_par), `gain` and `response`."""
        weighted = self.jacobian * self.weight[:, None]
        fisher = weighted @ self.jacobian.transpose(0, 2, 1)
        inverse = _inverse(fisher + self.prior)[:, : self.kept]
        return inverse, inverse @ weighted, inverse @ fisher[:, :, : self.kept]

    @property
    def gain(self) -> np.ndarray:
        """A^-1 J^T W: what small changes of the spectra do to the parameters, shape (n, kept, n_pix)."""
        return self._fitted[1]

    @property
    def response(self) -> np.ndarray:
        """A^-1 J^T W J: what shifts of the true parameters do to the fitted ones, shape (n, kept, kept)."""
        return self._fitted[2]

    def propagated(
        self, i: int, resampler: Resampler, good: np.ndarray, variance: np.ndarray, continuum: np.ndarray
    ) -> np.ndarray:
        """Covariance A^-1 (J^T W K V K^T W J + P) A^-1 of one star, shape (kept, kept).

        K resamples, degrades and divides by the pseudo-continuum; V holds the variances of the input's pixels,
        which are independent there. For a fit weighted with the true covariance it is the formal one.

        Parameters
        ----------
        i : int
            Which star.
        resampler : Resampler
        good : ndarray, shape (n_wave,), bool
            Input pixels that were used.
        variance : ndarray, shape (n_wave,)
            Their variances, rescaled by what the fit left over.
        continuum : ndarray, shape (n_pix,)
            What the resampled flux was divided by.
        """
        inverse, gain = self._fitted[0][i], self.gain[i]
        over = np.divide(1.0, continuum, out=np.zeros(continuum.shape), where=self.weight[i] > 0)
        back = resampler.adjoint((gain * over).T, good) * np.sqrt(variance)[:, None]
        return np.asarray(back.T @ back + inverse @ self.prior[i] @ inverse.T)


def inverse_root(fisher: np.ndarray) -> np.ndarray:
    """Return R with R R^T the inverse of information matrices, shape (..., n, n) as they have.

    In units of each label's own error a matrix has a unit diagonal and is safe to invert; a label without any signal,
    or a combination that the spectrum cannot tell apart, keeps an error too large to be mistaken for one.
    """
    unit = 1.0 / np.sqrt(np.maximum(np.diagonal(fisher, axis1=-2, axis2=-1), 1e-30))
    values, vectors = np.linalg.eigh(fisher * unit[..., :, None] * unit[..., None, :])
    return np.asarray(unit[..., :, None] * vectors / np.sqrt(np.maximum(values, 1e-14))[..., None, :])


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of symmetric positive matrices (n, n_par, n_par) whose entries differ by orders of magnitude."""
    root = 1 / np.sqrt(np.diagonal(matrix, axis1=1, axis2=2))
    scale = root[:, :, None] * root[:, None, :]
    return np.linalg.inv(matrix * scale) * scale
