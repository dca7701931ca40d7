"""How much repeated observations scatter beyond their errors (Eq. 10), and the errors of a catalogue made honest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.catalogue.label_table import without
from processing.errors import StellacubeError

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue

FEW_STARS = 30
"""Below this many stars a factor is hardly known."""
N_BOOTSTRAP = 1000
_ONE_SIGMA = 0.6827
HISTORY = "errors multiplied"
"""How the history of a catalogue begins that has been calibrated: it is done once."""


@dataclass(frozen=True)
class Width:
    """A measured width and the 68 % interval that bootstrapping the stars gives."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Pairs:
    """All pairs of measurements of the same star.

    Parameters
    ----------
    difference, error : ndarray, shape (n,)
        Difference of a label and its error from both errors.
    star : ndarray, shape (n,), int
    """

    difference: np.ndarray
    error: np.ndarray
    star: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, errors: np.ndarray, star: np.ndarray) -> Pairs:
        """Form the pairs of measurements (n,) that have a value and an error; `star` tells whose they are."""
        known = np.flatnonzero(np.isfinite(values) & np.isfinite(errors))
        members = [known[star[known] == name] for name in np.unique(star[known])]
        index = np.array([pair for rows in members for pair in combinations(rows.tolist(), 2)], int).reshape(-1, 2)
        first, second = index.T
        return cls(values[first] - values[second], np.hypot(errors[first], errors[second]), star[first])

    def __len__(self) -> int:
        return len(self.difference)

    @property
    def n_star(self) -> int:
        """Number of stars."""
        return len(np.unique(self.star))

    @property
    def scaled(self) -> np.ndarray:
        """Differences over their errors."""
        return self.difference / self.error

    def calibrated(self, *, robust: bool) -> np.ndarray:
        """Differences over their errors times the factor that all other stars give, shape (n,)."""
        result = np.empty(len(self))
        for name in np.unique(self.star):
            others = self.star != name
            result[~others] = self.scaled[~others] / spread(self.scaled[others], robust=robust)
        return result


def spread(scaled: np.ndarray, *, robust: bool, weight: np.ndarray | None = None) -> np.ndarray:
    """Width of differences over their errors, whose sign has no meaning: 1 where the errors are right.

    Parameters
    ----------
    scaled : ndarray, shape (n,)
    robust : bool
        The 68.27th percentile of the absolute values; otherwise the standard deviation about zero, which is Eq. 10
        with the square root that its print lacks.
    weight : ndarray, shape (..., n), optional
        How often each counts.

    Returns
    -------
    ndarray, shape (...)
    """
    weight = np.ones(len(scaled)) if weight is None else weight
    total = weight.sum(axis=-1)
    if not robust:
        return np.asarray(np.sqrt((weight * scaled**2).sum(axis=-1) / total))
    order = np.argsort(np.abs(scaled))
    ordered = np.abs(scaled)[order]
    # Each value stands in the middle of its weight, so that equal weights give the usual percentile.
    place = np.cumsum(weight[..., order], axis=-1) - 0.5 * weight[..., order]
    wanted = _ONE_SIGMA * total
    flat = place.reshape(-1, len(scaled))
    found = [np.interp(w, row, ordered) for w, row in zip(np.ravel(wanted), flat, strict=True)]
    return np.array(found).reshape(np.shape(total))


def width(scaled: np.ndarray, star: np.ndarray, *, robust: bool, seed: int) -> Width:
    """Measure a width, and its 68 % interval from drawing the stars again with all their pairs.

    Raises
    ------
    StellacubeError
        If there are fewer than three stars.
    """
    names, place = np.unique(star, return_inverse=True)
    if len(names) < 3:
        raise StellacubeError(f"A scatter needs repeated observations of at least three stars, not {len(names)}.")
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), N_BOOTSTRAP)
    draws = spread(scaled, robust=robust, weight=counts[:, place].astype(float))
    low, high = np.percentile(draws, (15.87, 84.13))
    return Width(float(spread(scaled, robust=robust)), float(low), float(high))


def multiply_errors(catalogue: Catalogue, factors: Mapping[str, float], source: str) -> Catalogue:
    """Multiply the noise in ``X_err_cal`` by factors measured from repeats, once; ``X_err`` stays as it is.

    The network's own error, ``X_err_model``, is no part of what repeats tell: it is taken out before and added after.

    Parameters
    ----------
    catalogue : Catalogue
    factors : mapping of str to float
        By machine name, for errors like those that the factors were measured with; labels without one keep theirs.
    source : str
        Where the factors come from, for the provenance.

    Raises
    ------
    StellacubeError
        If it was done before, or no factor is for this catalogue.
    """
    provenance = catalogue.provenance
    if any(entry.startswith(HISTORY) for entry in provenance.history):
        raise StellacubeError(
            "The errors of this catalogue are calibrated already.", "Take the catalogue as the run wrote it."
        )
    table = catalogue.table.copy()
    used = {name: factor for name, factor in factors.items() if f"{name}_err_cal" in table.colnames}
    if "rv" in factors and "rv_err" in table.colnames:
        used["rv"] = factors["rv"]
    if not used:
        raise StellacubeError("None of the factors is for a label of this catalogue.")
    for name, factor in used.items():
        if not (np.isfinite(factor) and factor > 0):
            raise StellacubeError(f"The factor {factor} of {name} is no positive number.")
        column = table["rv_err" if name == "rv" else f"{name}_err_cal"]
        own = np.asarray(table[f"{name}_err_model"]) if f"{name}_err_model" in table.colnames else None
        noise = without(np.asarray(column), own)
        column[:] = np.hypot(factor * noise, 0.0 if own is None else np.nan_to_num(own))
        column.description = f"{column.description}; noise times {factor:.3g} from repeated observations"
    said = ", ".join(f"{name} {factor:.4g}" for name, factor in used.items())
    entry = f"{HISTORY} by factors of repeated observations ({source}): {said}"
    return replace(catalogue, table=table, provenance=replace(provenance, history=(*provenance.history, entry)))


def read_factors(path: Path, column: str = "factor_robust") -> dict[str, float]:
    """Read factors by label from a table that ``repeats`` wrote, or any with the columns ``label`` and `column`.

    Raises
    ------
    StellacubeError
        If the file holds no such columns.
    """
    from processing.star_columns import numbers
    from processing.star_files import read_tables

    columns = {entry.name: entry for entry in read_tables(path)[0].columns}
    if "label" not in columns or column not in columns:
        raise StellacubeError(
            f"{path.name} has no columns label and {column}.", "Give the table NAME_repeatability.ecsv of `repeats`."
        )
    values = numbers(columns[column])
    return {str(name): float(value) for name, value in zip(columns["label"].values, values, strict=True)
            if np.isfinite(value)}  # fmt: skip
