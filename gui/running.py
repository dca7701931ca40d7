"""The run and the export as stage functions for jobs; no Qt, and heavy imports wait for the start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue
    from processing.cube import MuseCube
    from processing.pipeline import RunResult
    from processing.settings import Settings
    from processing.star_edits import EditedStars

FORMATS = {
    "csv": "CSV table (*.csv)",
    "fits": "FITS table (*.fits)",
    "votable": "VOTable (*.xml *.vot)",
    "ecsv": "ECSV table (*.ecsv)",
}
SUFFIXES = {".csv": "csv", ".fits": "fits", ".fit": "fits", ".xml": "votable", ".vot": "votable", ".ecsv": "ecsv"}


def run_stage(
    cube: Path | None,
    stars: Path | EditedStars | None,
    spectra: tuple[Path, ...],
    out: Path,
    replace: bool = False,
    settings: Settings | None = None,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> RunResult:
    """Run the whole way from a cube, or the fit alone from spectra, with default settings unless others are given.

    A list that was changed by hand is saved beside the results first.
    """
    progress(0.0, "Starting")
    from processing import pipeline, project
    from processing.settings import Settings

    if stars is not None and not isinstance(stars, Path):
        from processing.star_edits import write_star_list

        stars = write_star_list(stars, project.RunInputs(cube=cube, out=out).output("edited_stars.csv"))
    inputs = pipeline.RunInputs(cube=cube, stars=stars, spectra=spectra, out=out)
    stage = pipeline.run if cube is not None else pipeline.fit_only
    try:
        return stage(inputs, settings or Settings(), overwrite=replace, progress=progress, cancelled=cancelled)
    except project.OutputExists as error:
        raise StellacubeError(error.message, "Choose another folder, or let the run replace what is there.") from error


def beside(cube: Path) -> Path:
    """Return the folder beside a cube that its results go to by default."""
    stem = cube.name.partition(".fits")[0]
    return cube.parent / f"{stem}_stellacube"


def session_of(cube: Path | None, spectra: tuple[Path, ...], out: Path) -> Path:
    """Return the session that a run will write."""
    from processing.project import RunInputs

    return RunInputs(cube=cube, spectra=spectra, out=out).session


def summary(catalogue: Catalogue) -> str:
    """Say how good the stars of a catalogue are, best first: ``14 good, 3 check``."""
    words, counts = np.unique(np.asarray(catalogue.table["quality"]).astype(str), return_counts=True)
    count = dict(zip(words.tolist(), counts.tolist(), strict=True))
    order = sorted(count, key=lambda word: (QUALITIES.index(word) if word in QUALITIES else len(QUALITIES), word))
    return f"Quality: {', '.join(f'{count[word]:n} {word}' for word in order)}." if count else "No star was fitted."


QUALITIES = ("good", "check", "poor", "out of scope")


def duration(seconds: float) -> str:
    """Return a time as it is read out."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def save_stars_stage(
    edited: EditedStars, path: Path, *, progress: Progress = ignore, cancelled: CancelCheck = never
) -> Path:
    """Save a star list that was changed by hand."""
    from processing.star_edits import write_star_list

    return write_star_list(edited, path if path.suffix else path.with_suffix(".csv"))


def save_image_stage(
    pixels: np.ndarray, cube: MuseCube, title: str, path: Path, *,
    progress: Progress = ignore, cancelled: CancelCheck = never,
) -> Path:  # fmt: skip
    """Save an image as FITS with the sky coordinates of its cube; a colour composite as three planes."""
    from astropy.io import fits

    planes = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels
    header = cube.wcs.to_header() if cube.wcs is not None else fits.Header()
    header["OBJECT"] = cube.object_name
    header["BUNIT"] = cube.flux_unit if pixels.ndim == 2 else ""
    header["HISTORY"] = f"{title} of {cube.path.name}"
    path = path if path.suffix else path.with_suffix(".fits")
    try:
        fits.PrimaryHDU(planes, header).writeto(path, overwrite=True)
    except OSError as error:
        raise StellacubeError(f"{path} cannot be written ({error}).", "Choose another folder.") from error
    return path


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
