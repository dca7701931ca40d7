"""Gradient templates: how a physical model's spectra change with each label, at stars all over the range.

Hundreds of stars with some twenty gradients of thousands of pixels each would be too much for a model file. They are
kept as combinations of a few common spectra; a convolution of a template is then a convolution of those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DISTANCE_UNITS = {"teff": 100.0, "logg": 0.2, "fe_h": 0.1}
"""Eq. 4: what counts as a distance of 1 between a star and a template, in K and dex."""


@dataclass(frozen=True)
class Templates:
    """Gradient spectra of a physical model, prepared as a label model's own spectra are.

    d(pseudo-normalised flux)/d(label) per unit of the label: d/d[X/Fe] at fixed [Fe/H], d/d[Fe/H] at fixed [X/Fe].

    Parameters
    ----------
    names : tuple of str
        One per star.
    labels : ndarray, shape (n_star, n_label)
    coefficients : ndarray, shape (n_star, n_label, k), float32
    basis : ndarray, shape (k, n_pix), float32
        The gradients are ``coefficients @ basis``.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    coefficients: np.ndarray
    basis: np.ndarray

    @classmethod
    def none(cls, n_label: int, n_pix: int) -> Templates:
        """Return templates of no stars."""
        return cls((), np.zeros((0, n_label)), np.zeros((0, n_label, 0), np.float32), np.zeros((0, n_pix), np.float32))

    @classmethod
    def of(cls, names: tuple[str, ...], labels: np.ndarray, gradients: np.ndarray, n_basis: int = 0) -> Templates:
        """Compress gradient spectra of stars.

        Parameters
        ----------
        names : tuple of str
        labels : ndarray, shape (n_star, n_label)
        gradients : ndarray, shape (n_star, n_label, n_pix)
        n_basis : int
            Number of common spectra; 0: as many as an exact copy takes.
        """
        n_star, n_label, n_pix = gradients.shape
        flat = gradients.reshape(-1, n_pix).astype(float)
        # A weak gradient's shape matters as much as a strong one's.
        size = np.linalg.norm(flat, axis=1, keepdims=True)
        unit = np.divide(flat, size, out=np.zeros_like(flat), where=size > 0)
        basis = _principal(unit, n_basis or min(unit.shape))
        coefficients = (flat @ basis.T).reshape(n_star, n_label, len(basis))
        return cls(names, np.asarray(labels, float), coefficients.astype(np.float32), basis.astype(np.float32))

    def gradients(self, stars: np.ndarray | list[int] | slice = slice(None)) -> np.ndarray:
        """Return the gradient spectra of some stars, shape (n, n_label, n_pix), float32."""
        chosen = self.coefficients[stars]
        return (chosen.reshape(-1, len(self.basis)) @ self.basis).reshape(*chosen.shape[:2], -1)

    def nearest(self, labels: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Find the template nearest to each star (Eq. 4).

        Parameters
        ----------
        labels : ndarray, shape (n, n_label)
        names : tuple of str
            Machine names of the labels.

        Returns
        -------
        index : ndarray of int, shape (n,)
        distance : ndarray, shape (n,)
            D of Eq. 4.
        """
        place = [i for i, name in enumerate(names) if name in DISTANCE_UNITS]
        units = np.array([DISTANCE_UNITS[names[i]] for i in place])
        ours, theirs = np.atleast_2d(labels)[:, place] / units, self.labels[:, place] / units
        square = np.square(ours[:, None] - theirs).sum(axis=2)
        index = square.argmin(axis=1)
        return index, np.sqrt(square[np.arange(len(index)), index])


def _principal(rows: np.ndarray, n: int) -> np.ndarray:
    """Orthonormal spectra (at most n, n_pix) that hold the rows best (Halko et al. 2011: one power iteration)."""
    rng = np.random.default_rng(0)
    sample = rows @ rng.normal(size=(rows.shape[1], min(n + 20, *rows.shape)))
    found = np.linalg.qr(rows @ (rows.T @ np.linalg.qr(sample)[0]))[0]
    return np.linalg.svd(found.T @ rows, full_matrices=False)[2][:n]
