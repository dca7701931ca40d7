"""Calibrated abundances beside the raw ones: the [Mg/Fe]-Teff trend (Appendix A of the paper) and plain offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from processing.catalogue.label_table import LabelTable
from processing.errors import StellacubeError
from processing.labels.names import LABELS

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue

TREND = "mg_fe"
"""The abundance whose trend with Teff the paper measured."""
FE_H_EDGES = np.array([-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6])
PAPER_SLOPES: dict[str, dict[str, tuple[float, ...]]] = {
    "apogee-payne": {
        "giants": (-0.025, -0.086, -0.125, -0.128, -0.118, -0.131, -0.165),
        "dwarfs": (-0.044, -0.092, -0.111, -0.142, -0.162, -0.186, -0.212),
    },
    "dd-payne-a": {
        "giants": (-0.117, -0.105, -0.080, -0.071, -0.064, -0.078, -0.130),
        "dwarfs": (-0.141, -0.132, -0.098, -0.093, -0.104, -0.132, -0.154),
    },
}
"""Table A1: slopes in dex per 1000 K in bins of [Fe/H] (`FE_H_EDGES`). They include what stars of different age have
of their own; the seven open clusters of the paper give -0.082 on average."""
GIANT = 3.8
"""log g below which a star counts as a giant."""
REFERENCE_TEFF = 4500.0
"""K, where the calibrated abundance is the raw one unless the user says otherwise: a giant of the bulge."""
_FEWEST, _CLIP, _ROUNDS, _N_BOOTSTRAP = 10, 3.0, 5, 300


@dataclass(frozen=True)
class Trend:
    """How [Mg/Fe] goes with Teff.

    Parameters
    ----------
    slopes : mapping of {"giants", "dwarfs"} to ndarray, shape (n_bin,)
        dex per 1000 K.
    edges : ndarray, shape (n_bin + 1,)
        Of the bins in [Fe/H]; beyond, the first and the last hold.
    source : str
        Where it comes from.
    error : float
        Of a measured slope; NaN for the paper's.
    n : int
        Stars that it was measured on.
    """

    slopes: Mapping[str, np.ndarray]
    edges: np.ndarray
    source: str
    error: float = float("nan")
    n: int = 0

    @classmethod
    def of_paper(cls, name: str) -> Trend:
        """Return the paper's slopes (Table A1).

        Raises
        ------
        StellacubeError
            If there is no column of that name.
        """
        if name not in PAPER_SLOPES:
            raise StellacubeError(
                f"The paper has no slopes called {name}.", f"Choose {' or '.join(PAPER_SLOPES)}, or measure them."
            )
        slopes = {kind: np.array(values) for kind, values in PAPER_SLOPES[name].items()}
        return cls(slopes, FE_H_EDGES, f"Wang et al. 2022, Table A1, {name}")

    def at(self, fe_h: np.ndarray, logg: np.ndarray) -> np.ndarray:
        """Return the slopes of stars in dex per 1000 K, shape (n,)."""
        place = np.clip(np.searchsorted(self.edges, fe_h, side="right") - 1, 0, len(self.edges) - 2)
        return np.where(logg < GIANT, self.slopes["giants"][place], self.slopes["dwarfs"][place])


def measure_trend(samples: Sequence[LabelTable], seed: int = 1) -> Trend:
    """Measure one slope of [Mg/Fe] with Teff on clusters, each of which was born with one [Mg/Fe].

    Each cluster keeps a zero point of its own; stars beyond three robust standard deviations have no say.

    Parameters
    ----------
    samples : sequence of LabelTable
        The members of every cluster.
    seed : int
        Of the bootstrap that gives the error.

    Raises
    ------
    StellacubeError
        If they hold too few stars.
    """
    teff, abundance, cluster = [], [], []
    for number, sample in enumerate(samples):
        if not {"teff", TREND} <= set(sample.values):
            raise StellacubeError(f"{sample.name} lacks Teff or {LABELS[TREND].symbol}.", "--map names columns.")
        known = np.isfinite(sample.values["teff"]) & np.isfinite(sample.values[TREND])
        teff.append(sample.values["teff"][known] / 1000.0)
        abundance.append(sample.values[TREND][known])
        cluster.append(np.full(known.sum(), number))
    x, y, of = np.concatenate(teff), np.concatenate(abundance), np.concatenate(cluster)
    if len(x) < _FEWEST:
        raise StellacubeError(f"{len(x)} stars are too few to measure a trend.", f"Give {_FEWEST} at least.")
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(_N_BOOTSTRAP):
        index = rng.integers(0, len(x), len(x))
        drawn.append(_slope(x[index], y[index], of[index]))
    slope = np.array([_slope(x, y, of)])
    names = ", ".join(sample.name for sample in samples)
    source = f"measured on {len(x)} stars of {names}"
    return Trend({"giants": slope, "dwarfs": slope}, np.array([-np.inf, np.inf]), source, float(np.std(drawn)), len(x))


def _slope(x: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> float:
    """Fit a common slope with a zero point per cluster by least squares, clipping outliers."""
    design = np.column_stack([x, *(cluster == number for number in np.unique(cluster))])
    used = np.ones(len(x), bool)
    for _ in range(_ROUNDS):
        solution, *_ = np.linalg.lstsq(design[used], y[used], rcond=None)
        residual = y - design @ solution
        scatter = 1.4826 * np.median(np.abs(residual[used]))
        used = np.abs(residual) <= _CLIP * max(scatter, 1e-6)
    return float(solution[0])


def remove_trend(catalogue: Catalogue, trend: Trend, teff: float = REFERENCE_TEFF) -> Catalogue:
    """Add ``mg_fe_cal``, [Mg/Fe] without its trend, as if every star had one temperature; the raw column stays.

    Parameters
    ----------
    catalogue : Catalogue
        With Teff, log g, [Fe/H] and [Mg/Fe].
    teff : float
        K, where both are the same.
    """
    table = catalogue.table
    missing = [name for name in ("teff", "logg", "fe_h", TREND) if name not in table.colnames]
    if missing:
        raise StellacubeError(f"The catalogue lacks {', '.join(missing)}, so the trend cannot be removed.")
    columns = {name: np.asarray(table[name], float) for name in ("teff", "logg", "fe_h", TREND)}
    change = -trend.at(columns["fe_h"], columns["logg"]) * (columns["teff"] - teff) / 1000.0
    entry = f"{LABELS[TREND].symbol} calibrated for its trend with Teff ({trend.source}), the same at {teff:g} K"
    return _calibrated(catalogue, TREND, change, entry)


def add_offset(catalogue: Catalogue, label: str, offset: float) -> Catalogue:
    """Add ``X_cal``, a label with an offset added; the raw column stays."""
    if label not in catalogue.labels:
        raise StellacubeError(f"The catalogue has no label {label}.", f"It has {', '.join(catalogue.labels)}.")
    change = np.full(len(catalogue), offset)
    return _calibrated(catalogue, label, change, f"{offset:+g} {LABELS[label].unit} added to {LABELS[label].symbol}")


def _calibrated(catalogue: Catalogue, label: str, change: np.ndarray, entry: str) -> Catalogue:
    """Add to the calibrated column, made from the raw one where there is none yet, and to the history."""
    from astropy.table import Column

    table, name, info = catalogue.table.copy(), f"{label}_cal", LABELS[label]
    if entry in catalogue.provenance.history:
        raise StellacubeError("This calibration was made before.", f"The column {name} has it.")
    if name not in table.colnames:
        column = Column(np.array(table[label], float), name=name, unit=info.unit or None)
        column.description = f"{info.symbol}, calibrated; see the history in the provenance"
        table.add_column(column, index=table.colnames.index(label) + 1)
    table[name][:] = np.asarray(table[name]) + change
    provenance = replace(catalogue.provenance, history=(*catalogue.provenance.history, entry))
    return replace(catalogue, table=table, provenance=provenance)


def parse_offset(text: str) -> tuple[str, float]:
    """Read ``mg_fe=0.08``."""
    label, _, value = text.partition("=")
    try:
        return label.strip(), float(value)
    except ValueError as error:
        raise StellacubeError(f"{text} is no offset.", "Write LABEL=VALUE, as mg_fe=0.08.") from error
