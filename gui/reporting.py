"""Data and reports as stage functions for jobs; no Qt, and heavy imports wait for the start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress

if TYPE_CHECKING:
    import numpy as np

    from gui.reading import ShownSpectrum
    from processing.catalogue.table import Catalogue
    from processing.labels.refit import Refit
    from processing.session import Session

DATA = "CSV table (*.csv);;FITS table (*.fits);;ECSV table (*.ecsv)"


def data_stage(
    shown: ShownSpectrum,
    pair: tuple[ShownSpectrum, ShownSpectrum] | None,
    path: Path,
    *,
    progress: Progress,
    cancelled: CancelCheck,
) -> Path:
    """Save a spectrum with its fit, or two compared."""
    from processing.labels.residuals import compare
    from processing.report.data import comparison_table, spectrum_table, write_data

    if pair is not None and pair[0].fit is not None and pair[1].fit is not None:
        table = comparison_table(compare(pair[0].fit, pair[1].fit), (pair[0].title, pair[1].title), pair[0].fit.frame)
    elif shown.observed is not None:
        table = spectrum_table(shown.observed, shown.fit, shown.title)
    else:
        raise StellacubeError("There is no spectrum to be saved.", "Choose a star or a spaxel that has one.")
    return write_data(table, path)


def report_stage(
    session: Session,
    star_id: str,
    refit: Refit | None,
    white: np.ndarray | None,
    path: Path,
    *,
    progress: Progress,
    cancelled: CancelCheck,
) -> Path:
    """Write the one-page report of a star."""
    from processing.report.star import read_star, write_report

    progress(0.1, f"Drawing the report of {star_id}")
    star = read_star(session, star_id, refit=refit, white=white)
    return write_report(star, path)


def methods_stage(catalogue: Catalogue, *, progress: Progress, cancelled: CancelCheck) -> str:
    """Write the paragraph about a run."""
    from processing.report.methods import methods

    return methods(catalogue)
