"""A run's folder: what goes in, what its files are called, and whether they may be written."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import processing
from processing.catalogue.export import FORMATS
from processing.errors import StellacubeError
from processing.files import prepare_folder
from processing.progress import CancelCheck, never, stop_if
from processing.provenance import InputFile, flatten, input_file, key_of
from processing.session import SUFFIX, Session
from processing.settings import Settings, to_dict

log = logging.getLogger(__name__)


class OutputExists(StellacubeError):
    """The output folder holds another run's results; writing over them takes the user's word."""


@dataclass(frozen=True)
class RunInputs:
    """What a run reads and where it writes.

    Parameters
    ----------
    cube : Path or None
        A MUSE cube.
    stars : Path or None
        Its star list; None: stars are detected on the cube.
    spectra : tuple of Path
        Files or folders of spectra, for a run without a cube.
    out : Path
        Folder of the results; made where it does not exist.
    name : str
        First part of the results' file names; empty: that of the cube or the spectra.
    """

    cube: Path | None = None
    stars: Path | None = None
    spectra: tuple[Path, ...] = ()
    out: Path = Path("stellacube")
    name: str = ""

    @property
    def project(self) -> str:
        """First part of the results' file names."""
        if self.name:
            return self.name
        source = self.cube or (self.spectra[0] if len(self.spectra) == 1 else None)
        return _stem(source.resolve()) if source else "spectra"

    @property
    def session(self) -> Path:
        """The session file."""
        return self.out / f"{self.project}{SUFFIX}"

    def output(self, ending: str) -> Path:
        """Return the path of a result, as ``NAME_catalogue.csv``."""
        return self.out / f"{self.project}_{ending}"


def _stem(path: Path) -> str:
    """Return a file's name without the endings of FITS files and their compressed forms."""
    name = path.name
    for ending in (".gz", ".fz", ".bz2", ".fits", ".fit", ".fts", ".csv", ".ecsv", ".txt", ".dat", SUFFIX):
        name = name[: -len(ending)] if name.lower().endswith(ending) else name
    return name or "stellacube"


def describe(inputs: RunInputs, models: Sequence[Path] = (), cancelled: CancelCheck = never) -> tuple[InputFile, ...]:
    """Return size and fingerprint of every input file.

    Raises
    ------
    StellacubeError
        If one does not exist or cannot be read, or there is none.
    """
    from processing.spectra_io import spectrum_files

    if inputs.cube is None and not inputs.spectra:
        raise StellacubeError("There is nothing to do: neither a cube nor spectra were given.")
    roles: list[tuple[str, Path | None]] = [("cube", inputs.cube), ("stars", inputs.stars)]
    roles += [("spectra", path) for path in spectrum_files(inputs.spectra)]
    roles += [("model", path) for path in models]
    files = []
    for role, path in roles:
        stop_if(cancelled)
        if path is not None:
            files.append(input_file(role, path))
    return tuple(files)


def extraction_key(files: Sequence[InputFile], settings: Settings) -> str:
    """Return a hash of all that the extracted spectra depend on."""
    parts = (
        settings.registration, settings.sources, settings.extraction, settings.psf, settings.solve, settings.pampelmuse,
        settings.exposures,
    )  # fmt: skip
    identities = [file.identity for file in files if file.role != "model"]
    return key_of(processing.__version__, identities, [to_dict(part) for part in parts], settings.seed)


def fit_key(files: Sequence[InputFile], settings: Settings) -> str:
    """Return a hash of all that the fits depend on."""
    models = [file.identity for file in files if file.role == "model"]
    parts = [to_dict(settings.preparation), to_dict(settings.fit), to_dict(settings.evidence)]
    return key_of(extraction_key(files, settings), models, parts)


def open_project(inputs: RunInputs, files: Sequence[InputFile], settings: Settings, overwrite: bool = False) -> Session:
    """Open the session of a run: a new one, or the one that an earlier, identical run left.

    Parameters
    ----------
    inputs : RunInputs
    files : sequence of InputFile
        What `describe` returned for them.
    settings : Settings
    overwrite : bool
        Another run's results may be replaced; what they share with this run is not computed again.

    Raises
    ------
    OutputExists
        If the folder holds the results of a different run and `overwrite` is False.
    StellacubeError
        If the folder or the session cannot be written.
    """
    path = inputs.session
    written = {output.resolve() for output in (path, *outputs(inputs))}
    for file in files:
        if Path(file.path) in written:
            raise StellacubeError(
                f"The run would write over its own input {file.name}.", "Choose another folder or name."
            )
    prepare_folder(inputs.out)
    if not path.exists():
        present = [p.name for p in outputs(inputs) if p.exists()]
        if present and not overwrite:
            raise OutputExists(
                f"{inputs.out} holds {present[0]} already, and no session says where it comes from.",
                "Choose another folder or name, or say --overwrite to replace it.",
            )
        return Session.create(path, files, settings)
    session = Session.open(path)
    try:
        differing = list(_differences(session, files, settings))
        if differing and not overwrite:
            raise OutputExists(
                f"{path} belongs to a run with {_listed(differing)}.",
                "Choose another folder or name, or say --overwrite to replace it.",
            )
        if differing:
            session.set_info("overwritten", True)
        models = [] if any(file.role == "model" for file in files) else [f for f in session.inputs if f.role == "model"]
        session.describe([*files, *models], settings)
    except BaseException:
        session.close()
        raise
    return session


def outputs(inputs: RunInputs) -> Iterator[Path]:
    """Yield the results that a run may write, session and single spectra apart."""
    for ending in FORMATS.values():
        yield inputs.output(f"catalogue{ending}")
    yield inputs.output("sources.csv")
    yield inputs.output("spectra.fits")


def _differences(session: Session, files: Sequence[InputFile], settings: Settings) -> Iterator[str]:
    """Yield what differs between a session and the run that is asked for, in words."""
    if session.info("settings") is None:  # a process was killed before it could say what the session is for
        return
    words = {"cube": "another cube", "stars": "another star list", "spectra": "other spectra", "model": "another model"}
    for role, word in words.items():
        old = sorted(file.identity for file in session.inputs if file.role == role)
        new = sorted(file.identity for file in files if file.role == role)
        if old != new and not (role == "model" and not (old and new)):  # an extraction alone has no model yet
            yield word
    before, after = _working(session.settings), _working(settings)
    yield from (f"{name} = {before[name]} instead of {after[name]}" for name in after if before[name] != after[name])


def _working(settings: Settings) -> Mapping[str, Any]:
    """Return the settings that change results; how they are written, judged and shared out may differ."""
    values = to_dict(settings)
    del values["catalogue"], values["workers"]
    return dict(flatten(values))


def _listed(words: Sequence[str]) -> str:
    shown = list(words[:3]) + ([f"{len(words) - 3} more differences"] if len(words) > 3 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
