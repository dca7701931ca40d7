"""Several cubes of one field: each is extracted into a session of its own, the spectra are combined and fitted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from processing.errors import StellacubeError
from processing.pipeline import RunInputs, RunResult, extract_only, fit_only
from processing.progress import CancelCheck, Progress, ignore, never, part
from processing.project import describe, extraction_key
from processing.session import Session
from processing.settings import Settings

EXTRACTION = 0.8
"""Share of the time that the extractions take, about."""


def run_exposures(
    cubes: Sequence[Path],
    stars: Path | None,
    out: Path,
    settings: Settings,
    *,
    name: str = "",
    overwrite: bool = False,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> RunResult:
    """Take several exposures of a field to one catalogue.

    Every cube gets a session of its own (CUBE.stellacube, with PSF, images and spectra); the combined spectra, labels
    and catalogue are in a further one. An interrupted run goes on where it stopped.

    Parameters
    ----------
    cubes : sequence of Path
    stars : Path or None
        One list for all; None: stars are detected in each cube, and matched by position.
    out : Path
    settings : Settings
    name : str
        First part of the combined results' names; default "combined".

    Raises
    ------
    StellacubeError
        If there are fewer than two cubes, two have one name, or as `processing.pipeline.run`.
    """
    runs = [RunInputs(cube, stars, out=out) for cube in cubes]
    name = name or "combined"
    names = [run.project for run in runs]
    if len(runs) < 2:
        raise StellacubeError("There is one cube only, and nothing to combine it with.", "Give several exposures.")
    if len({*names, name}) <= len(names):
        raise StellacubeError(f"Two of {', '.join([*names, name])} have the same name.", "Rename one, or give --name.")
    single = replace(settings, exposures=replace(settings.exposures, combine=False))
    for number, run in enumerate(runs):
        if not _extracted(run, single, cancelled):
            share = part(progress, EXTRACTION * number / len(runs), EXTRACTION * (number + 1) / len(runs))
            extract_only(run, single, overwrite=overwrite, progress=share, cancelled=cancelled)
    together = replace(settings, exposures=replace(settings.exposures, combine=True))
    inputs = RunInputs(spectra=tuple(run.session for run in runs), out=out, name=name)
    result = fit_only(
        inputs, together, overwrite=overwrite, progress=part(progress, EXTRACTION, 1.0), cancelled=cancelled
    )
    return replace(result, notes=(*(note for run in runs for note in _notes(run)), *result.notes))


def _notes(run: RunInputs) -> list[str]:
    """Return what the extraction of one cube had to say, with the cube's name."""
    with Session.open(run.session, read_only=True) as session:
        stage = session.stage("extraction")
    return [f"{run.project}: {note}" for note in stage.notes] if stage else []


def _extracted(run: RunInputs, settings: Settings, cancelled: CancelCheck) -> bool:
    """Tell whether an earlier run left all of this extraction: its session must stay as it is, for the fit to go on."""
    if not run.session.exists() or not run.output("sources.csv").exists():
        return False
    key = extraction_key(describe(run, cancelled=cancelled), settings)
    with Session.open(run.session, read_only=True) as session:
        stage = session.stage("extraction")
        return stage is not None and stage.done and stage.key == key
