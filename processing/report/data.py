"""A spectrum with its fit, or two compared, as a table on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import processing
from processing.errors import StellacubeError
from processing.files import replacing
from processing.labels.residuals import Comparison, deviations, normalised_error
from processing.preparation.air import observed
from processing.spectrum import Frame, StarSpectrum

if TYPE_CHECKING:
    from astropy.table import Table

    from processing.labels.fit import LabelFit

FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits"}


def spectrum_table(spectrum: StarSpectrum, fit: LabelFit | None, title: str) -> Table:
    """Return a spectrum as a table: as observed, or where there is a fit the prepared spectrum on the model's pixels.

    Parameters
    ----------
    spectrum : StarSpectrum
    fit : LabelFit or None
    title : str
        Whose spectrum it is.
    """
    from astropy.table import Table

    meta: dict[str, str | float] = {
        "TITLE": title,
        "FRAME": spectrum.frame,
        "PROGRAM": f"Stellacube {processing.__version__}",
    }
    if fit is None:
        columns = {"wave": spectrum.wave, "flux": spectrum.flux, "error": spectrum.error, "used": spectrum.good}
    else:
        meta["RV"] = float(np.nan_to_num(fit.rv))
        rv = fit.rv if np.isfinite(fit.rv) else 0.0
        columns = {
            "wave": observed(fit.wave, fit.frame, rv, spectrum.frame),
            "wave_rest": fit.wave,
            "flux": fit.flux,
            "error": normalised_error(fit),
            "fit": fit.best,
            "residual": deviations(fit),
            "used": fit.ivar > 0,
            "mask_reason": fit.mask_reason,
        }
    table = Table(columns, meta=meta)
    for name in ("wave", "wave_rest"):
        if name in table.colnames:
            table[name].unit = "Angstrom"
    return table


def comparison_table(result: Comparison, names: tuple[str, str], frame: Frame) -> Table:
    """Return two compared spectra as a table."""
    from astropy.table import Table

    columns = {name: getattr(result, name) for name in ("wave", "one", "two", "difference", "error")}
    meta = {"ONE": names[0], "TWO": names[1], "FRAME": frame, "PROGRAM": f"Stellacube {processing.__version__}"}
    table = Table(columns, meta=meta)
    table["wave"].unit = "Angstrom"
    return table


def write_data(table: Table, path: Path) -> Path:
    """Write a table as CSV, ECSV or FITS by the path's suffix; without one as CSV.

    Raises
    ------
    StellacubeError
        If the suffix is none of these, or the file cannot be written.
    """
    path = path if path.suffix else path.with_suffix(".csv")
    if path.suffix.lower() not in FORMATS:
        raise StellacubeError(f"Tables are not written as {path.suffix}.", f"Use {', '.join(FORMATS)}.")
    with replacing(path) as temporary:
        table.write(temporary, format=FORMATS[path.suffix.lower()], overwrite=True)
    return path
