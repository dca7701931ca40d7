"""What an exposure brings for a list of stars: how many reach the targets, and how well their mean is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from processing.errors import StellacubeError
from processing.planning.formulas import MAG_POSSIBLE, PrecisionLaw, Values, positive, snr, time_for_snr, without_floor


@dataclass(frozen=True)
class StarSample:
    """The V magnitudes of a list.

    Attributes
    ----------
    mags : ndarray, shape (n,)
        Usable magnitudes, bright to faint.
    n_unusable : int
        Entries without one, left out.
    source, column : str
        File and column they come from.
    """

    mags: np.ndarray
    n_unusable: int = 0
    source: str = ""
    column: str = ""

    def __len__(self) -> int:
        return self.mags.size

    def nth(self, count: int) -> float:
        """Return the magnitude of the faintest of the `count` brightest stars.

        Raises
        ------
        StellacubeError
            If the list has fewer stars than asked for, or none is asked for.
        """
        if not 1 <= count <= len(self):
            raise StellacubeError(
                f"{count} stars cannot be had from a list of {len(self)} with a magnitude.",
                f"Ask for 1 to {len(self)} stars.",
            )
        return float(self.mags[count - 1])


def read_magnitudes(path: str | Path, column: str | None = None) -> StarSample:
    """Read the magnitudes of a star list in any format of `processing.reference`; positions are not needed.

    Parameters
    ----------
    path : str or Path
    column : str, optional
        The column to use; otherwise V, G, F606W, F814W or I if there is one, or any other magnitude.

    Raises
    ------
    StellacubeError
        If the file is no table, or has no such column.
    """
    from processing.star_columns import magnitude_columns, magnitudes
    from processing.star_files import read_tables

    tables = read_tables(path)
    if column is not None:
        found = [c for table in tables for c in table.columns if c.name.lower() == column.lower()]
    else:
        found = [c for table in tables for c in magnitude_columns(table)]
    if not found:
        names = ", ".join(c.name for table in tables for c in table.columns)
        raise StellacubeError(
            f"{Path(path).name} has no {'magnitudes' if column is None else f'column {column!r}'}.",
            f"Its columns are {names}.",
        )
    return replace(star_sample(magnitudes(found[0])), source=Path(path).name, column=found[0].name)


def star_sample(mags: ArrayLike) -> StarSample:
    """Take the usable magnitudes of a list; NaN and what is no star's magnitude (99, -99.99) is counted and left out.

    Raises
    ------
    StellacubeError
        If no magnitude is usable.
    """
    values = np.asarray(mags, float).ravel()
    usable = np.sort(values[(values > MAG_POSSIBLE[0]) & (values < MAG_POSSIBLE[1])])
    if usable.size == 0:
        raise StellacubeError(
            f"None of the {values.size} stars has a usable magnitude.", "The list needs a column of V magnitudes."
        )
    return StarSample(usable, values.size - usable.size)


@dataclass(frozen=True)
class StarYield:
    """How many stars reach every target after which time.

    Attributes
    ----------
    times : ndarray, shape (n,)
        Seconds that each star of the sample needs, increasing.
    """

    times: np.ndarray

    def count(self, time: ArrayLike) -> np.ndarray:
        """Return how many stars reach all targets within `time` seconds."""
        return np.searchsorted(self.times, positive("The exposure time", time, zero=True), side="right")

    def time_for(self, count: int) -> float:
        """Return the shortest exposure in seconds after which `count` stars reach all targets."""
        return float(self.times[count - 1])


def star_yield(sample: StarSample, snr_needed: float, scale: float = 1.0) -> StarYield:
    """Return how long every star must be exposed to reach the SNR at which the worst label reaches its target."""
    return StarYield(time_for_snr(sample.mags, snr_needed, scale))


def mean_errors(
    sample: StarSample,
    time: float,
    law: PrecisionLaw,
    targets: ArrayLike,
    *,
    scale: float = 1.0,
    floor: ArrayLike = 0.0,
) -> tuple[Values, Values]:
    """Return the error of the mean of every label over the stars that reach the label's target.

    The mean is weighted by inverse variance. It holds the measurement's error alone: a real spread among the stars
    comes on top, as does a systematic floor, which many stars do not average away.

    Parameters
    ----------
    sample : StarSample
    time : float
        Seconds.
    law : PrecisionLaw
    targets : array_like, shape (n_label,)
        Errors that a star must reach in a label to be used for it.
    scale : float
        SNR scale factor.
    floor : array_like, scalar or shape (n_label,)
        Systematic floor, added to the mean in quadrature.

    Returns
    -------
    count : ndarray, shape (n_label,)
        Stars used.
    error : ndarray, shape (n_label,)
        K, dex or km/s; NaN where no star is used.
    """
    statistical = law.sigma(snr(sample.mags, time, scale))
    used = statistical <= without_floor(targets, floor)
    count = used.sum(0)
    with np.errstate(divide="ignore"):
        weight = np.where(used, 1.0 / (statistical * statistical), 0.0).sum(0)
        mean = np.where(count > 0, 1.0 / np.sqrt(weight), np.nan)
    return count, np.hypot(mean, floor)


def round_up(time: float, dit: float) -> int:
    """Return how many exposures of `dit` seconds make up at least `time` seconds; one at least."""
    return max(int(np.ceil(time / float(positive("The single exposure", dit)) - 1e-9)), 1)
