"""The command line's part about many fields: survey and collect."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processing.console import BAD_INPUT, FAULT, Console
from processing.errors import StellacubeError
from processing.settings import Settings, read_settings

if TYPE_CHECKING:
    from processing.survey import State

WORDS: dict[State, str] = {
    "done": "done",
    "failed": "failed",
    "elsewhere": "under way in another process",
    "waiting": "to be done",
}


def survey(
    fields: Annotated[
        list[Path],
        typer.Argument(help="Cubes; or a table (CSV, ECSV, text) with a column cube and, if wanted, stars and name."),
    ],
    stars: Annotated[
        Path | None, typer.Option("--stars", help="Star list of all fields for which the table names none.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results; each field has its own in it.")] = Path(
        "survey"
    ),
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")] = None,
    model: Annotated[str, typer.Option("--model", help="Model file, or the name of one that ships.")] = "",
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of other settings.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only tell how far it has come.")] = False,
) -> None:
    """Run many fields, a folder of results for each; a field that fails stops no other.

    Give the same command to as many processes as there are, on one machine or on the nodes of a cluster that share
    the folder: each takes the next field that is neither done nor under way. The same command goes on after an
    interruption. It ends with 2 if any field failed.

    Examples: python main.py survey fields.csv --out survey

    python main.py survey cubes/*.fits --stars gaia.fits --out survey

    python main.py survey fields.csv --out survey --status
    """
    from processing.survey import carry_out, outcomes_so_far, read_fields

    settings = read_settings(config) if config else Settings()
    if model:
        settings = replace(settings, fit=replace(settings.fit, model=model))
    chosen = read_fields(fields, stars)
    with Console() as console:
        if status:
            outcomes = outcomes_so_far(chosen, out, settings)
        else:
            outcomes = carry_out(
                chosen, out, settings, retry=retry, overwrite=overwrite, progress=console.progress,
                cancelled=console.cancelled,
                tell=lambda outcome: console.say(f"{outcome.name}: {outcome.text or WORDS[outcome.state]}"),
            )  # fmt: skip
        counts = Counter(outcome.state for outcome in outcomes)
        if status:
            console.table(
                ("field", "state", "", "time"),
                [(o.name, WORDS[o.state], o.text, f"{o.seconds:.0f} s" if o.seconds else "") for o in outcomes],
            )
        told = ", ".join(f"{counts[state]} {word}" for state, word in WORDS.items() if counts[state])
        console.say(f"{len(outcomes)} fields: {told}.")
    if not status and counts["failed"]:
        raise typer.Exit(FAULT if any(outcome.fault for outcome in outcomes) else BAD_INPUT)


def collect(
    sources: Annotated[list[Path], typer.Argument(help="Folders of results, or catalogues (FITS, ECSV, sessions).")],
    out: Annotated[Path, typer.Option("--out", help="Catalogue to write: .fits, .csv, .ecsv or .vot.")] = Path(
        "collected.fits"
    ),
) -> None:
    """Make one catalogue of those of many fields.

    Stars that several fields hold keep a row of each; `repeats` brings them together.

    Example: python main.py collect survey --out survey.fits
    """
    from processing.catalogue.collect import catalogue_files
    from processing.catalogue.collect import collect as collect_catalogues
    from processing.catalogue.export import format_of, write_catalogue

    form = format_of(out)
    files = catalogue_files(sources)
    if any(path.resolve() == out.resolve() for path in files):
        raise StellacubeError(f"{out} is one of the catalogues to collect.", "Choose another name.")
    with Console() as console:
        catalogue = collect_catalogues(files, progress=console.progress, cancelled=console.cancelled)
        write_catalogue(catalogue, out, form)
        console.say(f"{len(files)} catalogues, {catalogue.summary}.")
        console.files([out])
