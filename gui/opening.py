"""What the user dropped or chose, told apart by content and read: stage functions for jobs, no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gui.star_rows import StarRows, rows_from_catalogue, rows_from_list, rows_from_run, rows_from_spectra
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never, stop_if

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue
    from processing.cube import CubeOverview, MuseCube
    from processing.reference import StarList
    from processing.session import Session
    from processing.spectrum import StarSpectrum

SESSION = ".stellacube"
FITS = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz", ".fz")
LISTS = (".csv", ".ecsv", ".txt", ".dat", ".tsv", ".cat", ".xml", ".vot", ".votable")
WHAT_OPENS = "Stellacube opens MUSE cubes, star lists, folders of spectra, and its own sessions."


@dataclass(frozen=True)
class Choice:
    """What a set of paths turned out to be."""

    cube: Path | None = None
    stars: Path | None = None
    session: Path | None = None
    spectra: tuple[Path, ...] = ()
    left: tuple[Path, ...] = ()
    """Lists that belong to none of the cubes."""
    queue: tuple[tuple[Path, Path | None], ...] = ()
    """Several cubes, each with its star list, to be run one after another; the first is shown."""


@dataclass(frozen=True)
class Opened:
    """What was read; None where nothing of the kind was given."""

    cube: MuseCube | None = None
    stars: StarList | None = None
    session: Session | None = None
    catalogue: Catalogue | None = None
    rows: StarRows | None = None
    residual: np.ndarray | None = None
    spectra: tuple[Path, ...] = ()
    """Files and folders of spectra, for a run."""
    loaded: tuple[StarSpectrum, ...] = ()
    """What they hold."""
    cube_path: Path | None = None
    stars_path: Path | None = None
    queue: tuple[tuple[Path, Path | None], ...] = ()
    """Several cubes with their lists, to be run one after another."""
    notes: tuple[str, ...] = ()


def sort_out(paths: Sequence[Path]) -> Choice:
    """Tell cubes, lists, sessions and spectra apart; FITS files by a look into their headers.

    Raises
    ------
    StellacubeError
        If a path is missing or is nothing that can be opened, or a session comes together with other things.
    """
    found: dict[str, list[Path]] = {"cube": [], "stars": [], "session": [], "spectra": []}
    for path in paths:
        found[_kind(path)].append(path)
    if found["session"] and (len(found["session"]) > 1 or any(found[k] for k in ("cube", "stars", "spectra"))):
        raise StellacubeError("A session opens alone: it brings its own cube and stars.", "Drop one session by itself.")
    if found["cube"] and found["spectra"]:
        raise StellacubeError("A cube and spectra cannot be opened together.", "Drop either the cube or the spectra.")
    cubes, lists = list(dict.fromkeys(found["cube"])), found["stars"]
    session = next(iter(found["session"]), None)
    if len(cubes) < 2:
        stars = next(iter(lists), None)
        return Choice(next(iter(cubes), None), stars, session, tuple(found["spectra"]), tuple(lists[1:]))
    queue = tuple((cube, list_of(cube, lists)) for cube in cubes)
    taken = [stars for _, stars in queue]
    return Choice(*queue[0], left=tuple(path for path in lists if path not in taken), queue=queue)


def list_of(cube: Path, lists: Sequence[Path]) -> Path | None:
    """Return the star list of a cube: the only one, else the one whose name begins like the cube's."""
    if len(lists) < 2:
        return next(iter(lists), None)
    stem = cube.name.partition(".")[0].casefold()
    alike = {path: _alike(stem, path.name.casefold()) for path in lists}
    best = max(alike, key=lambda path: alike[path])
    rivals = sum(length == alike[best] for length in alike.values())
    return best if alike[best] >= max(3, len(stem) // 2) and rivals == 1 else None


def _alike(one: str, other: str) -> int:
    """Return how many characters two names have in common at their beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _kind(path: Path) -> str:
    """Return what one path is."""
    name = path.name.lower()
    if not path.exists():
        raise StellacubeError(f"{path.name} is not there any more.", "It was moved, renamed or deleted.")
    if path.is_dir():
        return "spectra"
    if name.endswith(SESSION):
        return "session"
    if name.endswith(LISTS):
        return "stars"
    if name.endswith(FITS):
        return _fits_kind(path)
    raise StellacubeError(f"{path.name} is of no kind that can be opened.", WHAT_OPENS)


def _fits_kind(path: Path) -> str:
    """Look into the headers: an image with three axes is a cube, a table a list, one axis a spectrum."""
    import warnings

    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, memmap=True, lazy_load_hdus=True) as hdus:
                kinds = [(hdu.header.get("NAXIS", 0), hdu.header.get("XTENSION", "IMAGE").strip()) for hdu in hdus]
    except OSError:
        return "cube"  # what is wrong with it is said by the reader of cubes, which knows more
    if any(naxis == 3 and kind == "IMAGE" for naxis, kind in kinds):
        return "cube"
    if any(naxis == 1 and kind == "IMAGE" for naxis, kind in kinds):
        return "spectra"
    if any("TABLE" in kind for _, kind in kinds):
        return "stars"
    return "cube"


def open_paths(
    paths: Sequence[Path],
    cube: MuseCube | None = None,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Opened:
    """Read whatever was dropped or chosen.

    Parameters
    ----------
    paths : sequence of Path
    cube : MuseCube, optional
        The cube that is open already; a star list that comes alone is shown on it.

    Returns
    -------
    Opened
    """
    progress(0.0, "Looking at the files")
    choice = sort_out(paths)
    notes = tuple(f"{p.name} was left: one star list per cube." for p in choice.left)
    if choice.queue:
        notes += (f"{len(choice.queue)} cubes wait in the queue (View, Panels, Queue); the first one is shown.",)
    stop_if(cancelled)
    if choice.session:
        return open_session(choice.session)
    opened = None
    if choice.cube:
        from processing.cube import MuseCube

        progress(0.2, f"Opening {choice.cube.name}")
        opened = MuseCube.open(choice.cube)
        notes += tuple(opened.notes)
    stop_if(cancelled)
    stars = rows = None
    if choice.stars:
        from processing.reference import read_star_list

        progress(0.6, f"Reading {choice.stars.name}")
        stars = read_star_list(choice.stars)
        rows = rows_from_list(stars, opened or cube)
        notes += tuple(stars.notes)
    loaded: tuple[StarSpectrum, ...] = ()
    if choice.spectra:
        from processing.spectra_io.read import read_spectra

        loaded, said = read_spectra(choice.spectra, progress=progress, cancelled=cancelled)
        rows = rows_from_spectra(loaded)
        notes += said
    return Opened(
        opened, stars, rows=rows, spectra=choice.spectra, loaded=loaded, cube_path=choice.cube,
        stars_path=choice.stars, queue=choice.queue, notes=notes,
    )  # fmt: skip


def open_session(path: Path) -> Opened:
    """Open a finished or interrupted run, with its cube where that is still in its place."""
    from processing.cube import MuseCube
    from processing.session import Session

    session = Session.open(path, read_only=True)
    given: dict[str, list[Path]] = {}
    for entry in session.inputs:
        given.setdefault(entry.role, []).append(Path(entry.path))
    cube, notes = None, []
    cube_path = next(iter(given.get("cube", [])), None)
    if cube_path and cube_path.is_file():
        cube = MuseCube.open(cube_path)
    elif cube_path:
        notes.append(f"The cube {cube_path} is not there any more; the results are shown without it.")
    catalogue = session.catalogue()
    rows = (
        rows_from_catalogue(catalogue, session.sources(), cube)
        if catalogue is not None
        else _rows_without_catalogue(session, cube)
    )
    stars_path = next(iter(given.get("stars", [])), None)
    return Opened(
        cube, _list_of_run(stars_path), session, catalogue, rows, session.image("residual"),
        tuple(given.get("spectra", ())), cube_path=cube_path, stars_path=stars_path, notes=tuple(notes),
    )  # fmt: skip


def _rows_without_catalogue(session: Session, cube: MuseCube | None) -> StarRows | None:
    """Show the stars of a run that was stopped or only extracted; None where it has no spectra."""
    spectra, fits = tuple(session.spectra()), tuple(session.fits())
    return replace(rows_from_run(session, spectra, fits, cube), fitted=bool(fits)) if spectra else None


def _list_of_run(path: Path | None) -> StarList | None:
    """Read the star list of a run again, for who wants to change it; None where it is not there any more."""
    from processing.reference import read_star_list

    try:
        return read_star_list(path) if path is not None and path.is_file() else None
    except StellacubeError:
        return None  # the run's own results say what was in it


def read_overview(cube: MuseCube, *, progress: Progress = ignore, cancelled: CancelCheck = never) -> CubeOverview:
    """Read the whole cube once: white light, mean spectrum and band images."""
    return cube.overview(progress=progress, cancelled=cancelled)
