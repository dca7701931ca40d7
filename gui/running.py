"""The run and the export as stage functions for jobs; no Qt, and heavy imports wait for the start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue
    from processing.pipeline import RunResult

FORMATS = {
    "csv": "CSV table (*.csv)",
    "fits": "FITS table (*.fits)",
    "votable": "VOTable (*.xml *.vot)",
    "ecsv": "ECSV table (*.ecsv)",
}
SUFFIXES = {".csv": "csv", ".fits": "fits", ".fit": "fits", ".xml": "votable", ".vot": "votable", ".ecsv": "ecsv"}


def run_stage(
    cube: Path | None,
    stars: Path | None,
    spectra: tuple[Path, ...],
    out: Path,
    replace: bool = False,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> RunResult:
    """Run the whole way from a cube, or the fit alone from spectra, with default settings."""
    progress(0.0, "Starting")
    from processing import pipeline, project
    from processing.settings import Settings

    inputs = pipeline.RunInputs(cube=cube, stars=stars, spectra=spectra, out=out)
    stage = pipeline.run if cube is not None else pipeline.fit_only
    try:
        return stage(inputs, Settings(), overwrite=replace, progress=progress, cancelled=cancelled)
    except project.OutputExists as error:
        raise StellacubeError(error.message, "Choose another folder, or let the run replace what is there.") from error


def export_stage(
    catalogue: Catalogue, path: Path, *, progress: Progress = ignore, cancelled: CancelCheck = never
) -> Path:
    """Write the catalogue in the format that the file's name asks for."""
    from processing.catalogue.export import write_catalogue

    write: Any = write_catalogue
    write(catalogue, path, SUFFIXES.get(path.suffix.lower(), "csv"))
    return path


def export_path(name: str, chosen_filter: str) -> Path:
    """Return the path that was chosen in the dialog, with the suffix of the chosen format where it has none."""
    path = Path(name)
    if path.suffix.lower() in SUFFIXES:
        return path
    chosen = next((kind for kind, text in FORMATS.items() if text == chosen_filter), "csv")
    suffix = next(suffix for suffix, kind in SUFFIXES.items() if kind == chosen)
    return path.with_name(path.name + suffix)
