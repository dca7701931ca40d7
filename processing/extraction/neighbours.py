"""How close a star's neighbours are, and how much of their light falls on it, whether they were modelled or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REACH = 5.0
"""Neighbours count up to this many FWHM."""


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of every star of a list; all arrays have shape (n,).

    Parameters
    ----------
    nearest : ndarray of int
        Number of the nearest star, -1 without one within `REACH` FWHM.
    distance : ndarray
        Its distance, spaxels; NaN without one.
    ratio : ndarray
        Its flux over the star's own; NaN where unknown.
    blending : ndarray
        Light of all neighbours at the star's centre over its own there: sum of f_j P(d_ij) / (f_i P(0)).
    """

    nearest: np.ndarray
    distance: np.ndarray
    ratio: np.ndarray
    blending: np.ndarray


def find_neighbours(x: np.ndarray, y: np.ndarray, flux: np.ndarray, fwhm: float, beta: float = 2.5) -> Neighbours:
    """Look at the neighbours of all stars.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Spaxels; stars without a position have no neighbours.
    flux : ndarray, shape (n,)
        Predicted; NaN counts as nothing.
    fwhm, beta : float
        Of a round Moffat, spaxels.
    """
    from scipy.spatial import cKDTree

    n = x.size
    nearest, distance = np.full(n, -1), np.full(n, np.nan)
    ratio, blending = np.full(n, np.nan), np.full(n, np.nan)
    placed = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    points = np.column_stack([x, y])[placed]
    pairs = placed[cKDTree(points).query_pairs(REACH * fwhm, output_type="ndarray")].reshape(-1, 2)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    apart = np.hypot(*(np.stack([x, y])[:, pairs[:, 0]] - np.stack([x, y])[:, pairs[:, 1]]))
    order = np.lexsort((apart, pairs[:, 0]))
    stars, first = np.unique(pairs[order, 0], return_index=True)
    closest = order[first]
    nearest[stars], distance[stars] = pairs[closest, 1], apart[closest]
    light = np.where(flux > 0, flux, np.nan)
    ratio[stars] = light[nearest[stars]] / light[stars]
    scale = (fwhm / 2.0) ** 2 / (2.0 ** (1.0 / beta) - 1.0)
    falling = np.nan_to_num(light)[pairs[:, 1]] * (1.0 + apart**2 / scale) ** -beta
    blending[placed] = (np.bincount(pairs[:, 0], falling, minlength=n) / light)[placed]
    return Neighbours(nearest, distance, ratio, blending)
