"""Repeated observations of the same stars, and how repeatable the labels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from processing.catalogue.factors import FEW_STARS, Pairs, Width, spread, width
from processing.catalogue.label_table import LabelTable
from processing.catalogue.matching import group
from processing.catalogue.terms import QUANTITIES, RADIUS, By
from processing.errors import StellacubeError

WIDTHS = ("eq10", "robust", "eq10_calibrated", "robust_calibrated", "planner")
"""What is measured of the differences over their errors; see `Repeatability`."""


@dataclass(frozen=True)
class Repeats:
    """Measurements of the stars that were measured more than once.

    Parameters
    ----------
    star : ndarray, shape (n,), int
        The star of every measurement, counted from 0.
    source, star_id : ndarray of str, shape (n,)
        Catalogue of every measurement and the star's name there.
    rows : ndarray, shape (n, 2), int
        Number of the catalogue, and row in it.
    ra, dec, snr, corr_flux : ndarray, shape (n,)
    values, errors : mapping of str to ndarray, shape (n,)
        Labels and velocity that all catalogues hold, by machine name; the errors are those of the noise, without the
        network's own error, which is the same in all spectra of a star.
    model_errors : mapping of str to ndarray, shape (n,)
        The network's own errors, where known.
    bounds : mapping of str to ndarray, shape (n,)
        Cramer-Rao bounds of the spectra, where sessions gave them.
    """

    star: np.ndarray
    source: np.ndarray
    star_id: np.ndarray
    rows: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    snr: np.ndarray
    corr_flux: np.ndarray
    values: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    model_errors: Mapping[str, np.ndarray]
    bounds: Mapping[str, np.ndarray]

    @property
    def n_star(self) -> int:
        """Number of stars."""
        return int(self.star.max()) + 1

    def members(self) -> list[np.ndarray]:
        """Return the measurements of every star."""
        order = np.argsort(self.star, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.star[order])) + 1)


@dataclass(frozen=True)
class Repeatability:
    """How well one label repeats.

    Parameters
    ----------
    name : str
        Machine name.
    n_star, n_pair : int
    scatter : float
        Robust standard deviation of one measurement: 68.27th percentile of |difference| over the root of 2.
    error : float
        Median error of one measurement; NaN without errors.
    eq10, robust : Width or None
        Width of the differences over their errors, by which errors must be multiplied: Eq. 10, and a robust one.
    eq10_calibrated, robust_calibrated : Width or None
        The same once the errors are multiplied by the factor that all *other* stars give.
    planner : Width or None
        Eq. 10 with the bare Cramer-Rao bound for the error: 1.5 times the paper's f_corr, what the planner multiplies
        bounds by.
    """

    name: str
    n_star: int
    n_pair: int
    scatter: float
    error: float
    eq10: Width | None
    robust: Width | None
    eq10_calibrated: Width | None
    robust_calibrated: Width | None
    planner: Width | None


def find_repeats(
    tables: Sequence[LabelTable], by: By = "auto", radius: float = RADIUS,
    bounds: Sequence[Mapping[str, np.ndarray]] = (),
) -> Repeats:  # fmt: skip
    """Collect the measurements of the stars that some catalogues hold more than once; rows without labels are left out.

    Parameters
    ----------
    tables : sequence of LabelTable
    by, radius
        See `processing.catalogue.matching.match`.
    bounds : sequence of mappings of str to ndarray
        Cramer-Rao bounds of the rows of each table, where known.

    Raises
    ------
    StellacubeError
        If there is no such star, or the catalogues have no label in common.
    """
    names = [name for name in QUANTITIES if all(name in table.values for table in tables)]
    if not names:
        raise StellacubeError(
            "The catalogues have no label in common that may be used.", "Their rows may all be of poor quality."
        )
    fitted = [_rows_with(table, names) for table in tables]
    rows, groups = group([_take(table, index) for table, index in zip(tables, fitted, strict=True)], by, radius)
    rows = np.array([(t, fitted[t][row]) for t, row in rows])
    star = np.empty(len(rows), int)
    for number, members in enumerate(groups):
        star[members] = number

    def gather(columns: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([columns[t][row] for t, row in rows])

    noises = [table.noise_errors() for table in tables]
    with_errors = [name for name in names if all(name in table.errors for table in tables)]
    known = set.intersection(*(set(entry) for entry in bounds)) if len(bounds) == len(tables) else set()
    return Repeats(
        star=star,
        source=np.array([tables[t].name for t, _ in rows]),
        star_id=gather([table.star_id for table in tables]),
        rows=rows,
        ra=gather([table.ra for table in tables]),
        dec=gather([table.dec for table in tables]),
        snr=gather([table.snr for table in tables]),
        corr_flux=gather([table.corr_flux for table in tables]),
        values={name: gather([table.values[name] for table in tables]) for name in names},
        errors={name: gather([noise[name] for noise in noises]) for name in with_errors},
        model_errors={
            name: gather([table.model_errors[name] for table in tables])
            for name in with_errors
            if all(name in table.model_errors for table in tables)
        },
        bounds={name: gather([entry[name] for entry in bounds]) for name in names if name in known},
    )


def repeatability(repeats: Repeats, seed: int = 1) -> tuple[Repeatability, ...]:
    """Measure how well every label repeats; labels with repeats of fewer than three stars are left out."""
    found = []
    for name, values in repeats.values.items():
        pairs = Pairs.of(values, np.ones_like(values), repeats.star)
        if pairs.n_star < 3:
            continue
        errors = repeats.errors.get(name)
        widths: dict[str, Width] = {}
        if errors is not None and (scaled := Pairs.of(values, errors, repeats.star)).n_star >= 3:
            for kind, robust in (("eq10", False), ("robust", True)):
                widths[kind] = width(scaled.scaled, scaled.star, robust=robust, seed=seed)
                calibrated = scaled.calibrated(robust=robust)
                widths[f"{kind}_calibrated"] = width(calibrated, scaled.star, robust=robust, seed=seed)
        bounds = repeats.bounds.get(name)
        if bounds is not None and (limited := Pairs.of(values, bounds, repeats.star)).n_star >= 3:
            widths["planner"] = width(limited.scaled, limited.star, robust=False, seed=seed)
        found.append(
            Repeatability(
                name=name,
                n_star=pairs.n_star,
                n_pair=len(pairs),
                scatter=float(spread(pairs.difference, robust=True)) / np.sqrt(2),
                error=float(np.nanmedian(errors)) if errors is not None and np.isfinite(errors).any() else np.nan,
                **{kind: widths.get(kind) for kind in WIDTHS},  # type: ignore[arg-type]
            )
        )
    return tuple(found)


def remarks(repeats: Repeats, found: Sequence[Repeatability]) -> tuple[str, ...]:
    """Return the sentences that must stand beside the numbers."""
    said = []
    if repeats.n_star < FEW_STARS:
        said.append(f"{repeats.n_star} stars are few: factors from fewer than {FEW_STARS} are hardly known.")
    if not any(entry.eq10 for entry in found):
        said.append("The catalogues give no errors, so there are no factors.")
    return tuple(said)


def _rows_with(table: LabelTable, names: Sequence[str]) -> np.ndarray:
    """Rows that have any of the labels."""
    return np.flatnonzero(np.any([np.isfinite(table.values[name]) for name in names], axis=0))


def _take(table: LabelTable, rows: np.ndarray) -> LabelTable:
    """Return some rows, without what matching does not need."""
    return LabelTable(
        name=table.name, star_id=table.star_id[rows], ra=table.ra[rows], dec=table.dec[rows], values={}, errors={},
        snr=table.snr[rows], corr_flux=table.corr_flux[rows], cube=table.cube[rows], model=table.model, columns={},
    )  # fmt: skip
