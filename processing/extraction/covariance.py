"""How the flux errors of neighbouring stars hang together: the formal covariance of the simultaneous fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.extraction.layer_model import LayerModel, Layers, StarField
from processing.progress import CancelCheck, never, stop_if

PLACES = (0.2, 0.5, 0.8)
"""Where in the wavelength range the covariance is looked at; it changes slowly."""
SMALLEST = 0.003
"""Weaker correlations are left out."""


@dataclass(frozen=True)
class Correlations:
    """Pairs of stars and the correlation of the errors of their fluxes in a layer, each of shape (n_pair,).

    Parameters
    ----------
    first, second : ndarray of int
        Numbers of the stars in the field.
    value : ndarray
        -1 to 1: what one star gains the other mostly loses, so that it is negative.
    """

    first: np.ndarray
    second: np.ndarray
    value: np.ndarray


def neighbour_correlations(cube: Layers, stars: StarField, *, cancelled: CancelCheck = never) -> Correlations:
    """Return the correlations of all pairs of stars whose PSFs overlap, the mean of a few layers."""
    n = stars.x.size
    total: dict[int, list[float]] = {}
    for place in PLACES:
        stop_if(cancelled)
        start = int(place * (cube.wave.size - 1))
        weight = cube.block(start, start + 1).ivar[0]
        used = weight > 0
        if used.mean() < 0.1:
            continue
        wave = cube.wave[start : start + 1]
        row, column, value = LayerModel(stars, used, wave, weight[used] / np.median(weight[used])).factor.correlations()
        for key, rho in zip((stars.order[row] * n + stars.order[column]).tolist(), value.tolist(), strict=True):
            total.setdefault(key, []).append(rho)
    keys = np.array(sorted(total), dtype=int)
    values = np.array([np.mean(total[key]) for key in keys.tolist()])
    strong = np.abs(values) > SMALLEST
    return Correlations(keys[strong] // n, keys[strong] % n, values[strong])
