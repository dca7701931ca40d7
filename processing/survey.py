"""Many fields with one command: any number of processes, on one machine or a cluster, share a list of cubes."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from processing.errors import Cancelled, StellacubeError
from processing.files import prepare_folder, replacing
from processing.lock import InUse, Lock
from processing.pipeline import RunResult, run
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if
from processing.project import OutputExists, RunInputs
from processing.provenance import key_of
from processing.settings import Settings, to_dict

log = logging.getLogger(__name__)

State = Literal["done", "failed", "elsewhere", "waiting"]
LISTS = (".csv", ".ecsv", ".txt", ".dat", ".vot", ".xml")
"""Endings of files that list cubes; anything else is a cube."""


@dataclass(frozen=True)
class SurveyField:
    """One cube of a survey.

    Parameters
    ----------
    name : str
        Of its folder and of its results.
    cube : Path
    stars : Path or None
        None: stars are detected on the cube.
    """

    name: str
    cube: Path
    stars: Path | None

    def inputs(self, out: Path) -> RunInputs:
        """Return what a run of this field reads, and where it writes."""
        return RunInputs(self.cube, self.stars, out=out / self.name, name=self.name)


@dataclass(frozen=True)
class Outcome:
    """What became of a field."""

    name: str
    state: State
    text: str = ""
    """How many stars of which quality, or what went wrong and what to do."""
    seconds: float = 0.0
    fault: str = ""
    """The traceback of a fault of the program."""


def read_fields(sources: Sequence[Path], stars: Path | None = None) -> tuple[SurveyField, ...]:
    """Return the fields of a survey from cubes, or from one list of them.

    Parameters
    ----------
    sources : sequence of Path
        Cubes; or one table with a column ``cube`` and, if wanted, ``stars`` and ``name``. Its paths are relative to
        the folder it lies in.
    stars : Path, optional
        Star list of all fields that name none: a run takes from it what lies in its cube.

    Raises
    ------
    StellacubeError
        If the list cannot be read or has no such column, or if two fields have one name.
    """
    if len(sources) == 1 and sources[0].suffix.lower() in LISTS:
        fields = tuple(_listed(sources[0], stars))
    else:
        fields = tuple(SurveyField(RunInputs(cube).project, cube, stars) for cube in sources)
    if not fields:
        raise StellacubeError(f"{sources[0]} lists no cube.", "Give one row per cube, its path in a column cube.")
    names = [field.name for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise StellacubeError(f"Two fields are called {twice}.", "Name every field in a column name of the list.")
    odd = next((name for name in names if Path(name).name != name), None)
    if odd is not None:
        raise StellacubeError(f"A field cannot be called {odd!r}.", "It names a folder: leave out slashes and dots.")
    return fields


def _listed(path: Path, stars: Path | None) -> Iterator[SurveyField]:
    from processing.star_files import read_tables

    table = read_tables(path)[0]
    columns = {column.name.strip().lower(): column.values.astype(str) for column in table.columns}
    if "cube" not in columns:
        raise StellacubeError(
            f"{path.name} has no column cube.", "Its first line names the columns: cube, and if wanted stars and name."
        )
    for row, text in enumerate(columns["cube"]):
        own = {key: columns[key][row].strip() if key in columns else "" for key in ("stars", "name")}
        cube = path.parent / Path(text.strip()).expanduser()
        list_of = path.parent / Path(own["stars"]).expanduser() if own["stars"] else stars
        yield SurveyField(own["name"] or RunInputs(cube).project, cube, list_of)


def carry_out(
    fields: Sequence[SurveyField],
    out: Path,
    settings: Settings,
    *,
    retry: bool = False,
    overwrite: bool = False,
    tell: Callable[[Outcome], None] | None = None,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> tuple[Outcome, ...]:
    """Run every field that is neither done nor under way in another process; a field that fails stops no other.

    As many processes as wanted may be given the same fields and folder at the same time. What one of them leaves
    unfinished, however it ends, the next one to come goes on with.

    Parameters
    ----------
    fields : sequence of SurveyField
    out : Path
        Each field gets a folder of its own below it.
    settings : Settings
    retry : bool
        Try again what failed before with the same files and settings.
    overwrite : bool
        Replace results of other settings.
    tell : callable, optional
        Told each outcome as it comes.

    Returns
    -------
    tuple of Outcome
        In the order of the fields.

    Raises
    ------
    OutputExists
        If the folder holds results of other settings, and `overwrite` is False.
    StellacubeError
        If the folder cannot be written or the model cannot be read.
    Cancelled
        If the user wants so; the field under way keeps what was finished.
    """
    from processing.labels.model_file import load_model

    load_model(settings.fit.model)  # a wrong name must not fail one field after the other
    prepare_folder(out)
    outcomes = []
    for number, field in enumerate(fields):
        stop_if(cancelled)
        title = f"{field.name} ({number + 1} of {len(fields)}): "
        share = part(progress, number / len(fields), (number + 1) / len(fields))
        outcome = _one(field, out, settings, retry, overwrite, _titled(share, title), cancelled)
        outcomes.append(outcome)
        if tell is not None:
            tell(outcome)
    return tuple(outcomes)


def outcomes_so_far(fields: Sequence[SurveyField], out: Path, settings: Settings) -> tuple[Outcome, ...]:
    """Return what became of the fields, without working on any."""
    return tuple(_state(field, out, settings) for field in fields)


def _state(field: SurveyField, out: Path, settings: Settings) -> Outcome:
    if Lock.held(out / field.name):
        return Outcome(field.name, "elsewhere")
    return _known(field, out, settings) or Outcome(field.name, "waiting")


def _one(
    field: SurveyField, out: Path, settings: Settings, retry: bool, overwrite: bool, progress: Progress,
    cancelled: CancelCheck,
) -> Outcome:  # fmt: skip
    """Run a field, or say why not."""
    try:
        lock = Lock(out / field.name)
    except InUse:
        return Outcome(field.name, "elsewhere")
    try:
        known = _known(field, out, settings)
        if known is not None and not (retry and known.state == "failed"):
            return known
        outcome = _attempt(
            field.name,
            partial(run, field.inputs(out), settings, overwrite=overwrite, progress=progress, cancelled=cancelled),
        )
        if outcome.state != "elsewhere":
            _write(field, out, settings, outcome)
        return outcome
    finally:
        lock.release()


def _attempt(name: str, work: Callable[[], RunResult]) -> Outcome:
    """Turn however a run ends into an outcome."""
    start = time.perf_counter()
    try:
        result = work()
    except InUse:
        return Outcome(name, "elsewhere")
    except (Cancelled, OutputExists):  # other settings than before: true of all fields, and for the user to decide
        raise
    except StellacubeError as error:
        return Outcome(name, "failed", str(error), time.perf_counter() - start)
    except Exception as error:  # one field's fault must not cost the others
        log.exception("The field %s failed", name)
        text = f"A fault of the program: {type(error).__name__}: {error}."
        return Outcome(name, "failed", text, time.perf_counter() - start, traceback.format_exc())
    return Outcome(name, "done", f"{result.catalogue.summary}.", time.perf_counter() - start)


def _titled(progress: Progress, title: str) -> Progress:
    return lambda fraction, text: progress(fraction, title + text)


# A small file in a field's folder says what became of it, and of what.


def _note(field: SurveyField, out: Path) -> Path:
    return field.inputs(out).output("outcome.json")


def _write(field: SurveyField, out: Path, settings: Settings, outcome: Outcome) -> None:
    note = _note(field, out)
    prepare_folder(note.parent)
    with replacing(note) as temporary:
        temporary.write_text(json.dumps(asdict(outcome) | {"key": _key(field, settings)}, indent=1), encoding="utf-8")


def _known(field: SurveyField, out: Path, settings: Settings) -> Outcome | None:
    """Return what became of the same field with the same settings, if that is known."""
    try:
        entries: dict[str, Any] = json.loads(_note(field, out).read_text(encoding="utf-8"))
        return Outcome(**entries) if entries.pop("key") == _key(field, settings) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(field: SurveyField, settings: Settings) -> str:
    """Return a hash of what a field's results depend on; files count by place, size and time of change."""
    from processing.labels.model_file import model_files

    files = [str(field.cube.absolute())]
    for path in (field.cube, field.stars, *model_files(settings.fit.model)):
        if path is not None and path.exists():
            files.append(f"{path.stat().st_size} {path.stat().st_mtime_ns}")
    return key_of(files, {name: value for name, value in to_dict(settings).items() if name != "workers"})
