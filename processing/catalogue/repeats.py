"""Repeated observations of the same stars: the best, the mean, the joint fit, and how repeatable the labels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.catalogue.columns import Column
from processing.catalogue.factors import FEW_STARS, Pairs, Width, spread, width
from processing.catalogue.label_table import QUANTITIES, LabelTable
from processing.catalogue.matching import RADIUS, By, group
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if
from processing.session import SUFFIX, Session

if TYPE_CHECKING:
    from astropy.table import Table

    from processing.labels.joint import JointFit
    from processing.labels.model_file import LabelModel
    from processing.settings import Settings
    from processing.spectrum import StarSpectrum

PAPER_FACTOR = 1.5
"""The paper's Eq. 10 takes 1.5 times the Cramer-Rao bound for the error."""


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
        Labels and velocity that all catalogues hold, by machine name.
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
        errors={name: gather([table.errors[name] for table in tables]) for name in with_errors},
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
                error=float(np.nanmedian(errors)) if errors is not None else np.nan,
                **{kind: widths.get(kind) for kind in _WIDTHS},  # type: ignore[arg-type]
            )
        )
    return tuple(found)


_WIDTHS = {
    "eq10": "width of the differences over their errors (Eq. 10 with its square root): the factor for the errors",
    "robust": "the same from the 68.27th percentile",
    "eq10_calibrated": "width once the errors are multiplied by the factor that the other stars give",
    "robust_calibrated": "the same, robust",
    "planner": "Eq. 10 with the Cramer-Rao bound for the error: 1.5 times the paper's f_corr",
}
FACTOR = {"eq10": "factor_eq10", "robust": "factor_robust", "planner": "factor_planner"}
"""Columns of the repeatability table that hold factors."""


def repeatability_table(found: Sequence[Repeatability]) -> Table:
    """Return the repeatability as a table with a row per label."""
    from processing.catalogue.table import make_table

    columns = [
        Column("label", "", "machine name", str),
        Column("symbol", "", "label", str),
        Column("unit", "", "unit of scatter and error", str),
        Column("n_star", "", "stars with repeats", int),
        Column("n_pair", "", "pairs of measurements", int),
        Column("scatter", "", "robust standard deviation of one measurement, from the pairs"),
        Column("error", "", "median error of one measurement"),
    ]
    for kind, description in _WIDTHS.items():
        name = FACTOR.get(kind, f"width_{kind}")
        columns += [Column(name, "", description), Column(f"{name}_low", "", "lower end of its 68 % interval"),
                    Column(f"{name}_high", "", "upper end of its 68 % interval")]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for entry in found:
        info = QUANTITIES[entry.name]
        row = {name: getattr(entry, name) for name in ("n_star", "n_pair", "scatter", "error")}
        row |= {"label": entry.name, "symbol": info.symbol, "unit": info.unit}
        for kind in _WIDTHS:
            one, name = getattr(entry, kind), FACTOR.get(kind, f"width_{kind}")
            if one is not None:
                row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        rows.append(row)
    return make_table(columns, rows)


def combined_table(repeats: Repeats, joint: Sequence[JointFit | None] = ()) -> Table:
    """Return one row per star: for each label the best measurement, the mean, and the joint fit where there is one.

    The best is that of the spectrum with the highest corr_flux (the paper); the mean is weighted by inverse variance,
    and its error is that of the weights; chi2 over the degrees of freedom tells whether the errors explain the scatter.
    """
    from processing.catalogue.table import make_table

    columns = [
        Column("stellar_id", "", "name of the star, of its best measurement", str),
        Column("ra", "deg", "right ascension, ICRS"),
        Column("dec", "deg", "declination, ICRS"),
        Column("n", "", "number of measurements", int),
        Column("best", "", "catalogue of the best measurement, with the highest corr_flux", str),
        Column("measurements", "", "all measurements", str),
    ]
    for name in repeats.values:
        info = QUANTITIES[name]
        columns += [
            Column(f"{name}_best", info.unit, f"{info.symbol} of the best measurement"),
            Column(f"{name}_mean", info.unit, f"mean {info.symbol}, weighted by inverse variance"),
            Column(f"{name}_mean_err", info.unit, f"error of {name}_mean"),
            Column(f"{name}_chi2", "", f"chi2 of {info.symbol} about its mean over the degrees of freedom"),
        ]
        if joint and name != "rv":
            columns += [Column(f"{name}_joint", info.unit, f"{info.symbol} from a joint fit of all spectra"),
                        Column(f"{name}_joint_err", info.unit, f"error of {name}_joint, rescaled")]  # fmt: skip
    rows = []
    for number, members in enumerate(repeats.members()):
        quality = np.nan_to_num(repeats.corr_flux[members], nan=-np.inf)
        best = members[int(np.argmax(quality))]
        row: dict[str, Any] = {
            "stellar_id": repeats.star_id[best], "ra": repeats.ra[best], "dec": repeats.dec[best], "n": len(members),
            "best": repeats.source[best],
            "measurements": "; ".join(f"{repeats.source[i]} {repeats.star_id[i]}" for i in members),
        }  # fmt: skip
        for name, values in repeats.values.items():
            row |= {f"{name}_best": values[best], **_mean(name, values[members], repeats.errors.get(name), members)}
        fit = joint[number] if joint else None
        if fit is not None:
            for name, value, error in zip(fit.labels, fit.values, fit.errors_scaled(), strict=True):
                row |= {f"{name}_joint": value, f"{name}_joint_err": error}
        rows.append(row)
    return make_table(columns, rows)


def _mean(name: str, values: np.ndarray, errors: np.ndarray | None, members: np.ndarray) -> dict[str, float]:
    error = np.ones(len(members)) if errors is None else errors[members]
    known = np.isfinite(values) & np.isfinite(error)
    if not known.any():
        return {}
    weight = error[known] ** -2
    mean = float((weight * values[known]).sum() / weight.sum())
    result = {f"{name}_mean": mean}
    if errors is not None:
        result[f"{name}_mean_err"] = float(weight.sum() ** -0.5)
        if known.sum() > 1:
            result[f"{name}_chi2"] = float((weight * (values[known] - mean) ** 2).sum() / (known.sum() - 1))
    return result


def session_bounds(path: Path, table: LabelTable) -> dict[str, np.ndarray]:
    """Return the Cramer-Rao bounds of a session's spectra by label, in the order of the table's rows."""
    with Session.open(path, read_only=True) as session:
        fits = {fit.star_id: fit for fit in session.fits() if fit.bound is not None}
    if not fits:
        return {}
    labels = next(iter(fits.values())).labels
    found = np.full((len(table), len(labels)), np.nan)
    for row, name in enumerate(table.star_id.tolist()):
        if name in fits:
            found[row] = fits[name].bound
    return dict(zip(labels, found.T, strict=True))


def fit_repeats(
    repeats: Repeats,
    paths: Sequence[Path],
    model: LabelModel,
    settings: Settings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> list[JointFit | None]:
    """Fit the spectra of each repeated star together.

    Parameters
    ----------
    repeats : Repeats
    paths : sequence of Path
        The sessions, in the order in which `find_repeats` had their catalogues.

    Raises
    ------
    StellacubeError
        If one of them is no session: catalogues hold no spectra.
    """
    from processing.labels.joint import fit_joint

    spectra: dict[int, StarSpectrum] = {}
    for number, path in enumerate(paths):
        if path.suffix != SUFFIX:
            raise StellacubeError(f"{path.name} holds no spectra for a joint fit.", "Give sessions (.stellacube).")
        with Session.open(path, read_only=True) as session:
            for i in np.flatnonzero(repeats.rows[:, 0] == number).tolist():
                stop_if(cancelled)
                spectra[i] = session.spectrum(str(repeats.star_id[i]))
        progress(0.1 * (number + 1) / len(paths), "Reading the spectra")
    stars = [[spectra[i] for i in members.tolist()] for members in repeats.members()]
    return fit_joint(stars, model, settings, progress=part(progress, 0.1, 1.0), cancelled=cancelled)


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
