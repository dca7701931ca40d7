"""The catalogue: one row per extracted star, built from spectra and fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.catalogue.columns import Column, all_columns
from processing.catalogue.quality import judge
from processing.errors import StellacubeError
from processing.labels.arms import arm_difference
from processing.labels.gradients import flags, informative
from processing.labels.held import at_limit
from processing.labels.names import LABELS
from processing.provenance import Provenance
from processing.settings import Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from astropy.table import Table

    from processing.labels.fit import LabelFit
    from processing.labels.model_file import LabelModel

RED = 5991.0
"""Angstrom: where the paper's fits of the bulge begin."""
_FROM_EXTRACTION = ("status", "multistar", "edge_dist", "contamination", "n_eff", "psf_fwhm")
_MISSING: dict[type, Any] = {float: np.nan, int: 0, bool: False, str: ""}


@dataclass(frozen=True)
class Catalogue:
    """Labels and quality of every extracted star, with where they come from.

    Parameters
    ----------
    table : astropy.table.Table
        One row per star; the columns are those of `processing.catalogue.columns`, each with unit and description.
    provenance : Provenance
        Inputs, settings, model, program, date.
    """

    table: Table
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> tuple[str, ...]:
        """Machine names of the labels it holds."""
        return tuple(name for name in self.table.colnames if name in LABELS)

    @property
    def summary(self) -> str:
        """How many stars it holds, and of which quality."""
        words, counts = np.unique(np.asarray(self.table["quality"]).astype(str), return_counts=True)
        return f"{len(self)} stars: {', '.join(f'{n} {word}' for n, word in zip(counts, words, strict=True))}"

    @property
    def magnitude(self) -> str:
        """Name of the magnitude's column."""
        return str(self.table.colnames[3])


def build_catalogue(
    spectra: Sequence[StarSpectrum],
    fits: Sequence[LabelFit],
    model: LabelModel | None,
    provenance: Provenance,
    magnitude: str = "",
) -> Catalogue:
    """Make the catalogue of a run.

    Parameters
    ----------
    spectra : sequence of StarSpectrum
        All extracted stars, in the order of the rows.
    fits : sequence of LabelFit
        Their fits, in any order; a star without one is called "not fitted".
    model : LabelModel or None
        What they were fitted with; None: an extraction alone, whose table has no labels.
    provenance : Provenance
    magnitude : str
        What the star list calls its magnitude.

    Raises
    ------
    StellacubeError
        If two spectra, or a fit and no spectrum, have a name.
    """
    by_star = {fit.star_id: fit for fit in fits}
    names = [spectrum.star_id for spectrum in spectra]
    if len(set(names)) < len(names):
        raise StellacubeError("Two spectra have the same star identifier, so their fits cannot be told apart.")
    if not by_star.keys() <= set(names):
        raise StellacubeError("There are fits of stars that have no spectrum.")
    columns = all_columns(magnitude, model.labels if model else ())
    rows = [_row(spectrum, by_star.get(spectrum.star_id), model, provenance) for spectrum in spectra]
    for row in rows:
        row[columns[3].name] = row.pop("magnitude")
    return Catalogue(make_table(columns, rows), provenance)


def make_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return an astropy table with units and descriptions; what a row lacks is NaN, 0, False or empty."""
    from astropy.table import Column as TableColumn
    from astropy.table import Table

    table = Table()
    for column in columns:
        values = [column.kind(row.get(column.name, _MISSING[column.kind])) for row in rows]
        dtype = None if column.kind is str and rows else column.kind
        table[column.name] = TableColumn(
            np.array(values, dtype), unit=column.unit or None, description=column.description
        )
    return table


def _row(
    spectrum: StarSpectrum, fit: LabelFit | None, model: LabelModel | None, provenance: Provenance
) -> dict[str, Any]:
    """Return one star's values by column name."""
    quality, reason = judge(spectrum, fit, model, provenance.settings)
    meta = spectrum.meta
    row: dict[str, Any] = {
        "stellar_id": spectrum.star_id,
        **{name: getattr(spectrum, name) for name in ("ra", "dec", "x", "y", "snr_der")},
        "magnitude": spectrum.mag,
        "snr_muse": spectrum.snr,
        "snr_red": spectrum.snr_above(RED),
        "quality": quality,
        "quality_reason": reason,
        "cube": Path(str(meta.get("cube", ""))).name,
        "date": meta.get("date_obs", ""),
    }
    row |= {name: meta[name] for name in _FROM_EXTRACTION if name in meta}
    if model is not None:
        row |= {"model": model.name, "model_version": model.version}
    if fit is not None and model is not None:
        row |= _fit_values(fit, model, provenance.settings)
    return row


def _fit_values(fit: LabelFit, model: LabelModel, settings: Settings) -> dict[str, Any]:
    errors, total, noise, own = fit.errors(), fit.errors_scaled(), fit.errors_noise(), fit.errors_model()
    row: dict[str, Any] = {
        name: getattr(fit, name)
        for name in (
            "rv",
            "rv_err",
            "red_chi2",
            "corr_flux",
            "error_scale",
            "extrapolated",
            "n_pix",
            "n_masked",
            "n_replaced",
            "prior",
        )
    }
    row["grad_distance"] = fit.grad_distance
    row["at_limit"] = " ".join(at_limit(model, fit.values, settings.fit))
    row["rv_arms"], row["rv_arms_err"] = arm_difference(fit)
    for index, name in enumerate(fit.labels):
        row |= {
            name: fit.values[index], f"{name}_err": errors[index], f"{name}_err_cal": total[index],
            f"{name}_err_scaled": noise[index], f"{name}_err_model": own[index],
        }  # fmt: skip
    if fit.gradcorr is not None and fit.gradcorr_info is not None:
        good, known = flags(fit, settings.evidence), informative(fit, settings.evidence)
        for index, name in enumerate(fit.labels):
            row |= {
                f"{name}_flag": good[index], f"{name}_gradcorr": fit.gradcorr[index], f"{name}_info": known[index],
                f"{name}_gradcorr_info": fit.gradcorr_info[index],
            }  # fmt: skip
    return row
