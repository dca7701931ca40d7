"""Cholesky factor of a banded matrix in dense blocks as wide as the band, so that all its work is matrix products."""

from __future__ import annotations

import numpy as np

RIDGE = 1e-6
"""Added to the diagonal, which is 1: keeps stars in one place apart, and those without light from nothing."""

NOTHING = 1e-9
"""Smaller elements are set to 0: products of theirs would be too small for single precision, and slow."""


class BandedFactor:
    """A symmetric positive definite matrix of bandwidth b as a block-bidiagonal Cholesky factor, blocks b x b.

    LAPACK's banded solver takes right-hand sides one by one; this one takes them together, and gives the diagonal of
    the inverse. Diagonal blocks are kept inverted.

    Parameters
    ----------
    row, column, value : ndarray, shape (n_entry,)
        Lower triangle of the matrix, whose diagonal is 1 (or 0).
    n : int
        Its order.
    """

    def __init__(self, row: np.ndarray, column: np.ndarray, value: np.ndarray, n: int) -> None:
        from scipy.linalg import cholesky, solve_triangular

        self.n = n
        side = max(int((row - column).max(initial=0)), min(n, 64), 1)
        count = max(1, -(-n // side))
        block, i, j = column // side, row % side, column % side
        inside = row // side == block
        diagonal, below = np.zeros((count, side, side)), np.zeros((count, side, side))
        diagonal[block[inside], i[inside], j[inside]] = value[inside]
        below[block[~inside], i[~inside], j[~inside]] = value[~inside]
        diagonal[:, np.arange(side), np.arange(side)] += RIDGE
        unit = np.eye(side)
        self._root = np.empty((count, side, side), np.float32)
        for k in range(count):
            if k:
                diagonal[k] -= below[k - 1] @ below[k - 1].T
            root = solve_triangular(cholesky(diagonal[k], lower=True, check_finite=False), unit, lower=True)
            root[np.abs(root) < NOTHING] = 0.0
            below[k] = below[k] @ root.T
            self._root[k] = root
        below[np.abs(below) < NOTHING] = 0.0
        self._below = below.astype(np.float32)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Solve for right-hand sides (n, m), in single precision."""
        count, side = self._root.shape[:2]
        x = np.zeros((count, side, right.shape[1]), np.float32)
        x.reshape(count * side, -1)[: self.n] = right
        for k in range(count):
            if k:
                x[k] -= self._below[k - 1] @ x[k - 1]
            x[k] = self._root[k] @ x[k]
        for k in reversed(range(count)):
            if k + 1 < count:
                x[k] -= self._below[k].T @ x[k + 1]
            x[k] = self._root[k].T @ x[k]
        return x.reshape(count * side, -1)[: self.n]

    def inverse(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Return elements of the inverse within the band, row >= column, by Takahashi et al. (1973) on blocks."""
        count, side = self._root.shape[:2]
        out, later = np.zeros(row.size), np.zeros((side, side), np.float32)
        block, below = column // side, row // side > column // side
        i, j = row % side, column % side
        for k in reversed(range(count)):
            through = self._below[k] @ self._root[k]
            across = later @ through
            later = self._root[k].T @ self._root[k] + through.T @ across
            here, under = (block == k) & ~below, (block == k) & below
            out[here], out[under] = later[i[here], j[here]], -across[i[under], j[under]]
        return out
