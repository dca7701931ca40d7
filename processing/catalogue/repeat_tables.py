"""Repeated observations as tables: a row per star with best, mean and joint fit; a row per label with its factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.catalogue.columns import Column
from processing.catalogue.repeats import WIDTHS, Repeatability, Repeats
from processing.catalogue.table import make_table
from processing.catalogue.terms import QUANTITIES

if TYPE_CHECKING:
    from astropy.table import Table

    from processing.labels.joint import JointFit

_MEANING = {
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
    columns = [
        Column("label", "", "machine name", str),
        Column("symbol", "", "label", str),
        Column("unit", "", "unit of scatter and error", str),
        Column("n_star", "", "stars with repeats", int),
        Column("n_pair", "", "pairs of measurements", int),
        Column("scatter", "", "robust standard deviation of one measurement, from the pairs"),
        Column("error", "", "median error of one measurement"),
    ]
    for kind in WIDTHS:
        name = FACTOR.get(kind, f"width_{kind}")
        columns += [Column(name, "", _MEANING[kind]), Column(f"{name}_low", "", "lower end of its 68 % interval"),
                    Column(f"{name}_high", "", "upper end of its 68 % interval")]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for entry in found:
        info = QUANTITIES[entry.name]
        row = {name: getattr(entry, name) for name in ("n_star", "n_pair", "scatter", "error")}
        row |= {"label": entry.name, "symbol": info.symbol, "unit": info.unit}
        for kind in WIDTHS:
            one, name = getattr(entry, kind), FACTOR.get(kind, f"width_{kind}")
            if one is not None:
                row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        rows.append(row)
    return make_table(columns, rows)


def combined_table(repeats: Repeats, joint: Sequence[JointFit | None] = ()) -> Table:
    """Return one row per star: for each label the best measurement, the mean, and the joint fit where there is one.

    The best is that of the spectrum with the highest corr_flux (the paper); the mean is weighted by inverse variance;
    chi2 over the degrees of freedom tells whether the errors explain the scatter.
    """
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
            Column(f"{name}_mean_err", info.unit, f"error of {name}_mean; the network's own does not average out"),
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
            row |= {f"{name}_best": values[best], **_mean(repeats, name, members)}
        fit = joint[number] if joint else None
        if fit is not None:
            for name, value, error in zip(fit.labels, fit.values, fit.errors_scaled(), strict=True):
                row |= {f"{name}_joint": value, f"{name}_joint_err": error}
        rows.append(row)
    return make_table(columns, rows)


def _mean(repeats: Repeats, name: str, members: np.ndarray) -> dict[str, float]:
    """Return the mean of one star's measurements of a label, its error, and their chi2 about it."""
    values, errors = repeats.values[name][members], repeats.errors.get(name)
    error = np.ones(len(members)) if errors is None else errors[members]
    known = np.isfinite(values) & np.isfinite(error) & (error > 0)
    if not known.any():
        return {}
    weight = error[known] ** -2
    mean = float((weight * values[known]).sum() / weight.sum())
    result = {f"{name}_mean": mean}
    if errors is not None:
        own = repeats.model_errors[name][members][known] if name in repeats.model_errors else np.zeros(1)
        result[f"{name}_mean_err"] = float(np.sqrt(1 / weight.sum() + np.mean(np.nan_to_num(own) ** 2)))
        if known.sum() > 1:
            result[f"{name}_chi2"] = float((weight * (values[known] - mean) ** 2).sum() / (known.sum() - 1))
    return result
