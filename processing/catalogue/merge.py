"""One catalogue from two models: each label from the model whose gradient is closer to the physical one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from processing.catalogue.columns import FIT, QUALITY, Column, label_columns
from processing.catalogue.label_table import of_catalogue
from processing.catalogue.matching import match
from processing.catalogue.table import Catalogue, make_table
from processing.catalogue.terms import RADIUS, By
from processing.errors import StellacubeError
from processing.labels.names import LABELS
from processing.provenance import now

_RANK = {"good": 0, "check": 1, "poor": 2, "out of scope": 3, "not fitted": 4}
_SOURCE = "merged from"


def merge(first: Catalogue, second: Catalogue, by: By = "auto", radius: float = RADIUS) -> Catalogue:
    """Take each label of each star from the model with the larger gradient correlation (section 3.3 of the paper).

    A row that is good or to be checked goes before one that is not, whatever its gradients. Everything that belongs to
    a whole fit (velocity, chi2, quality) is that of the better row: by quality, then by corr_flux. Stars that only one
    catalogue has are kept as they are.

    Parameters
    ----------
    first, second : Catalogue
        Of the same stars, from two models or two settings.
    by, radius
        See `processing.catalogue.matching.match`.

    Returns
    -------
    Catalogue
        With a column ``X_model`` beside every label: "first" or "second" where both are of one model.

    Raises
    ------
    StellacubeError
        If the two have no star in common, or hold no labels.
    """
    tables = (first.table, second.table)
    labels = tuple(name for name in LABELS if name in first.labels or name in second.labels)
    if not (first.labels and second.labels):
        raise StellacubeError("A catalogue without labels cannot be merged.", "Fit its spectra first.")
    found = match(of_catalogue(first, "the first"), of_catalogue(second, "the second"), by, radius)
    partner = dict(zip(found.first.tolist(), found.second.tolist(), strict=True))
    alone = sorted(set(range(len(second))) - set(partner.values()))
    pairs = [(row, partner.get(row)) for row in range(len(first))] + [(None, row) for row in alone]
    models = [f"{c.provenance.model} {c.provenance.model_version}".strip() for c in (first, second)]
    names = ("first", "second") if models[0] == models[1] else tuple(c.provenance.model for c in (first, second))
    rows = []
    for one, other in pairs:
        candidates = [
            {**{column: table[column][row] for column in table.colnames}, _SOURCE: name}
            for table, row, name in zip(tables, (one, other), names, strict=True)
            if row is not None
        ]
        rows.append(_merged(candidates, labels))
    columns = _columns(first, labels)
    provenance = replace(
        first.provenance,
        inputs=tuple(dict.fromkeys((*first.provenance.inputs, *second.provenance.inputs))),
        model=" + ".join(c.provenance.model for c in (first, second)),
        model_version=" + ".join(c.provenance.model_version for c in (first, second)),
        created=now(),
        history=(
            *first.provenance.history,
            *second.provenance.history,
            f"merged from {models[0]} and {models[1]}: each label from the model with the larger gradient correlation; "
            "the settings are those of the first",
        ),
    )
    table = make_table(columns, rows)
    return Catalogue(table, provenance)


def _columns(first: Catalogue, labels: tuple[str, ...]) -> list[Column]:
    """Return the columns of the merged catalogue: those of any, and the model of every label beside it."""
    own = [
        Column(column.name, str(column.unit or ""), column.description or "", _kind(column))
        for column in first.table.itercols()
    ]
    of_labels = {column.name for column in label_columns(tuple(LABELS))}
    whole = {column.name for column in (*FIT, *QUALITY)}
    columns = [column for column in own if column.name not in of_labels and column.name not in whole]
    for name in labels:
        columns += [*label_columns((name,)), Column(f"{name}_model", "", f"model that gave {LABELS[name].symbol}", str)]
    return columns + [column for column in own if column.name in whole]


def _kind(column: Any) -> type:
    return {"f": float, "i": int, "b": bool}.get(column.dtype.kind, str)


def _merged(candidates: list[dict[str, Any]], labels: tuple[str, ...]) -> dict[str, Any]:
    """Merge the one or two rows of a star."""
    order = sorted(candidates, key=lambda row: (_RANK.get(str(row["quality"]), 4), -_number(row, "corr_flux")))
    merged = dict(order[0])
    for name in labels:
        columns = [column.name for column in label_columns((name,))]
        known = [row for row in candidates if np.isfinite(_number(row, name))] or [order[0]]
        best = max(known, key=lambda row: (_RANK.get(str(row["quality"]), 4) < 2, _number(row, f"{name}_gradcorr")))
        for column in columns:
            merged.pop(column, None)
        merged |= {column: best[column] for column in columns if column in best}
        merged[f"{name}_model"] = str(best[_SOURCE]) if np.isfinite(_number(best, name)) else ""
    return merged


def _number(row: dict[str, Any], name: str) -> float:
    """Return a number of a row; below everything where there is none."""
    value = float(row.get(name, -np.inf))
    return value if np.isfinite(value) else -np.inf


def counts(merged: Catalogue) -> dict[str, dict[str, int]]:
    """Return how many stars have each label from which model."""
    found: dict[str, dict[str, int]] = {}
    for name in merged.labels:
        models, numbers = np.unique(np.asarray(merged.table[f"{name}_model"]), return_counts=True)
        found[name] = {str(m): int(n) for m, n in zip(models, numbers, strict=True) if m}
    return found
