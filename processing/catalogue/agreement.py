"""How two sets of values agree: bias and dispersion as the paper defines them (section 4.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Recovery:
    """How one quantity came back: the statistics are the median and half the 15.87-84.13 percentile range.

    Parameters
    ----------
    name, symbol, unit : str
        Machine name, what to print, and the unit of the differences.
    n : int
        Number of stars.
    bias, dispersion : float
        Of (found - true); NaN when there are no stars.
    """

    name: str
    symbol: str
    unit: str
    n: int
    bias: float
    dispersion: float

    @classmethod
    def of(cls, name: str, symbol: str, unit: str, difference: np.ndarray) -> Recovery:
        """Summarise differences, shape (n_star,); those that are not finite are left out."""
        values = difference[np.isfinite(difference)]
        bias, dispersion = (float(x) for x in bias_and_dispersion(values)) if len(values) else (np.nan, np.nan)
        return cls(name, symbol, unit, len(values), bias, dispersion)


def bias_and_dispersion(values: np.ndarray) -> np.ndarray:
    """Return the median and half the 15.87-84.13 percentile range along the last axis, shape (2, ...)."""
    low, middle, high = np.percentile(values, (15.87, 50.0, 84.13), axis=-1)
    return np.array([middle, 0.5 * (high - low)])
