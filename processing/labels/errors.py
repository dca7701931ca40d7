"""Errors of fitted labels: formal, and carried exactly through the resampling that correlates neighbours."""

from __future__ import annotations

from dataclasses import dataclass
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
    """The linear problem at one star's best fit.

    Parameters
    ----------
    jacobian : ndarray, shape (n_pix, n_par)
        Derivatives of the fitted model.
    weight : ndarray, shape (n_pix,)
        Inverse variances that the fit used.
    ivar : ndarray, shape (n_pix,)
        From the raw errors alone.
    prior : ndarray, shape (n_par, n_par)
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
        """(J^T C^-1 J + P)^-1 with C diagonal from the raw errors; shape (kept, kept)."""
        jacobian = self.jacobian.astype(float)
        return _inverse((jacobian * self.ivar[:, None]).T @ jacobian + self.prior)[: self.kept, : self.kept]

    def gain(self) -> np.ndarray:
        """(J^T W J + P)^-1 J^T W: what a small change of the spectrum does to the parameters, shape (kept, n_pix)."""
        jacobian = self.jacobian.astype(float)
        weighted = jacobian * self.weight[:, None]
        return np.asarray(_inverse(weighted.T @ jacobian + self.prior)[: self.kept] @ weighted.T)

    def propagated(
        self, resampler: Resampler, good: np.ndarray, variance: np.ndarray, continuum: np.ndarray
    ) -> np.ndarray:
        """Covariance A^-1 (J^T W K V K^T W J + P) A^-1 with A = J^T W J + P.

        K resamples, degrades and divides by the pseudo-continuum; V holds the variances of the input's pixels,
        which are independent there. For a fit weighted with the true covariance it is the formal one.

        Parameters
        ----------
        resampler : Resampler
        good : ndarray, shape (n_wave,), bool
            Input pixels that were used.
        variance : ndarray, shape (n_wave,)
            Their variances, rescaled by what the fit left over.
        continuum : ndarray, shape (n_pix,)
            What the resampled flux was divided by.
        """
        jacobian = self.jacobian.astype(float)
        weighted = jacobian * self.weight[:, None]
        inverse = _inverse(weighted.T @ jacobian + self.prior)[: self.kept]
        used = self.weight > 0
        weighted[used] /= continuum[used, None]
        back = resampler.adjoint(weighted, good)
        spread = (back * variance[:, None]).T @ back
        return inverse @ (spread + self.prior) @ inverse.T


def inverse_root(fisher: np.ndarray) -> np.ndarray:
    """Return R with R R^T the inverse of information matrices, shape (..., n, n) as they have.

    In units of each label's own error a matrix has a unit diagonal and is safe to invert; a label without any signal,
    or a combination that the spectrum cannot tell apart, keeps an error too large to be mistaken for one.
    """
    unit = 1.0 / np.sqrt(np.maximum(np.diagonal(fisher, axis1=-2, axis2=-1), 1e-30))
    values, vectors = np.linalg.eigh(fisher * unit[..., :, None] * unit[..., None, :])
    return np.asarray(unit[..., :, None] * vectors / np.sqrt(np.maximum(values, 1e-14))[..., None, :])


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive matrix whose entries differ by orders of magnitude."""
    scale = 1 / np.sqrt(np.diag(matrix))
    return np.linalg.inv(matrix * scale[:, None] * scale) * scale[:, None] * scale
