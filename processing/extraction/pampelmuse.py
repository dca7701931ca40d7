"""PampelMUSE (Kamann et al. 2013) as the engine: its routines in order, and its results as this program's own nouns."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.checkpoint import Checkpoint
from processing.errors import StellacubeError
from processing.extraction.automatic import is_narrow, settle
from processing.extraction.extract import Extraction
from processing.extraction.pampelmuse_files import PrmFile, read_prm, write_inputs
from processing.extraction.register import register
from processing.extraction.sources import SourceTable, field_image, select_sources
from processing.files import prepare_folder
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if
from processing.settings import Settings
from processing.spectrum import MetaValue, StarSpectrum

if TYPE_CHECKING:
    from processing.cube import CubeOverview, MuseCube
    from processing.reference import StarList

log = logging.getLogger(__name__)

ROUTINES = ("INITFIT", "CUBEFIT", "POLYFIT", "CUBEFIT", "GETSPECTRA")
"""The second CUBEFIT uses the PSF and the positions that POLYFIT has smoothed."""
SHARES = (0.05, 0.45, 0.02, 0.43, 0.05)
"""Of the time, about."""
SPECTRUM_FILE = re.compile(r"^spec.*id(\d+)jd\d+p\d+.*\.fits$")
LOOK = 0.1
"""Seconds between two looks at the user's wish to stop."""
INSTALL = "pip install git+https://gitlab.gwdg.de/skamann/pampelmuse.git"


def find_executable(name: str = "PampelMuse") -> Path:
    """Return PampelMUSE's program.

    Raises
    ------
    StellacubeError
        If it is neither on the PATH nor a path itself.
    """
    found = shutil.which(name)
    if found is None:
        raise StellacubeError(
            f"PampelMUSE was not found: there is no program {name} on the PATH.",
            f"Install it ({INSTALL}), name its path as pampelmuse.executable, or use Stellacube's own engine.",
        )
    return Path(found).resolve()


def extract_with_pampelmuse(
    cube: MuseCube,
    stars: StarList | None,
    settings: Settings,
    folder: Path,
    *,
    overview: CubeOverview,
    checkpoint: Checkpoint | None = None,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Extraction:
    """Extract with PampelMUSE; otherwise as `processing.extraction.extract.extract`.

    Parameters
    ----------
    cube : MuseCube
    stars : StarList
        PampelMUSE detects no stars: without a list it cannot run.
    settings : Settings
    folder : Path
        Where it works; its own files stay there.
    overview : CubeOverview
    checkpoint : Checkpoint, optional
        Remembers the routines that are done, so that an interrupted run goes on with the next one.

    Raises
    ------
    StellacubeError
        If PampelMUSE is not installed, fails, or leaves no spectra.
    """
    program = find_executable(settings.pampelmuse.executable)
    if stars is None:
        raise StellacubeError("PampelMUSE extracts the stars of a list, and there is none.", "Give a star list.")
    settings, said = settle(settings, is_narrow(cube))
    registration = register(cube, stars, overview.white, settings.registration, cancelled=cancelled)
    sources, field_notes = select_sources(
        stars, registration.x, registration.y, field_image(cube, overview.white), registration.fwhm, settings.sources,
        settings.psf,
    )  # fmt: skip
    numbers = _numbers(stars.star_id)
    prepare_folder(folder)
    passband = settings.pampelmuse.passband or stars.mag_name
    if checkpoint is None or checkpoint.load("pampelmuse/0") is None:
        config = write_inputs(folder, cube, _catalogue(stars, cube, numbers, passband), passband, settings, cancelled)
    else:
        config = folder / "pampelmuse.json"
    first = "INITFIT" if cube.wcs is not None else "SINGLESRC"
    _run_all(program, config, (first, *ROUTINES[1:]), checkpoint, part(progress, 0.02, 0.97), cancelled)
    prm = read_prm(folder / "cube.prm.fits")
    spectra = _spectra(cube, sources, numbers, folder, cancelled)
    kept = np.isin(sources.star_id, [spectrum.star_id for spectrum in spectra])
    sources = _judged(sources, kept, numbers, prm)
    ny, nx = cube.shape[1:]
    psf = prm.model(settings.psf.degree, (nx - 1) / 2, (ny - 1) / 2)
    if checkpoint is not None:
        checkpoint.save("registration", registration.to_arrays())
        checkpoint.save("psf", psf.to_arrays())
    count = f"{kept.sum()} of {kept.size} stars were extracted by PampelMUSE ({program})."
    notes = (*registration.notes, *field_notes, *said, count)
    return Extraction(spectra, sources, psf, registration, np.full((ny, nx), np.nan, np.float32), notes)


def _numbers(star_id: np.ndarray) -> np.ndarray:
    """Return the stars' numbers for PampelMUSE: their own names where all are numbers of up to nine digits."""
    if all(name.isdecimal() and len(name) <= 9 for name in star_id.tolist()):
        numbers = star_id.astype(int)
        if np.unique(numbers).size == numbers.size:
            return numbers
    return np.arange(1, star_id.size + 1)


def _catalogue(stars: StarList, cube: MuseCube, numbers: np.ndarray, passband: str) -> dict[str, np.ndarray]:
    """Return the columns of PampelMUSE's catalogue; stars without magnitude or position are left out."""
    if not passband:
        raise StellacubeError(
            f"{stars.source} has no magnitudes, which PampelMUSE needs.", "Use a list with magnitudes."
        )
    if cube.wcs is not None:
        moved = stars.at_epoch(cube.epoch)
        place = {"ra": moved.ra, "dec": moved.dec}
    else:
        place = {"x": stars.x, "y": stars.y}
    columns = {"id": numbers, **place, passband: stars.mag}
    known = np.all([np.isfinite(values) for values in columns.values()], axis=0)
    return {name: values[known] for name, values in columns.items()}


def _run_all(
    program: Path, config: Path, routines: Sequence[str], checkpoint: Checkpoint | None, progress: Progress,
    cancelled: CancelCheck,
) -> None:  # fmt: skip
    """Carry out the routines that an earlier, interrupted run has not finished."""
    ends = np.cumsum(SHARES)
    for number, routine in enumerate(routines):
        key = f"pampelmuse/{number}"
        if checkpoint is not None and checkpoint.load(key) is not None:
            continue
        share = part(progress, float(ends[number] - SHARES[number]), float(ends[number]))
        run_routine(program, config, routine, share, cancelled)
        if checkpoint is not None:
            checkpoint.save(key, {"done": np.array(True)})


def run_routine(program: Path, config: Path, routine: str, progress: Progress, cancelled: CancelCheck) -> None:
    """Run ``PampelMuse CONFIG ROUTINE`` in the configuration's folder; what it says goes into ``ROUTINE.log`` there.

    Raises
    ------
    Cancelled
        Within half a second of the user's wish; the program and what it started are ended.
    StellacubeError
        If it ends with a code other than 0; its last words are quoted.
    """
    said: deque[str] = deque(maxlen=8)
    logfile = config.parent / f"{routine}.log"
    progress(0.0, f"PampelMUSE: {routine}")
    with (
        logfile.open("w", encoding="utf-8") as record,
        subprocess.Popen(
            [program, config, routine], cwd=config.parent, text=True, errors="replace", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process,
    ):  # fmt: skip

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                record.write(line)
                said.append(line.strip())

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            while process.poll() is None:
                stop_if(cancelled)
                listener.join(LOOK)
                if said:
                    progress(0.0, f"PampelMUSE {routine}: {said[-1][:80]}")
        except BaseException:
            _end(process)
            raise
        finally:
            listener.join(5.0)
    if process.returncode:
        words = next((line for line in reversed(said) if line), "it said nothing")
        raise StellacubeError(
            f"PampelMUSE's {routine} ended with code {process.returncode}: {words}", f"All it said is in {logfile}."
        )


def _end(process: subprocess.Popen[str]) -> None:
    """End a program and its workers."""
    log.info("PampelMUSE (process %d) is ended", process.pid)
    try:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        return


def _spectra(
    cube: MuseCube, sources: SourceTable, numbers: np.ndarray, folder: Path, cancelled: CancelCheck
) -> tuple[StarSpectrum, ...]:
    """Read what GETSPECTRA wrote, in the list's order, with what list and cube know better."""
    from processing.spectra_io import read_file

    files = {
        int(match[1]): path for path in sorted(folder.rglob("*.fits")) if (match := SPECTRUM_FILE.match(path.name))
    }
    spectra = []
    for i in range(numbers.size):
        stop_if(cancelled)
        path = files.get(int(numbers[i]))
        if path is None:
            continue
        (read,) = read_file(path)
        meta: dict[str, MetaValue] = {
            **read.meta, "cube": cube.path.name, "date_obs": cube.date_obs, "status": "extracted",
            "edge_dist": float(sources.edge_dist[i]), "snr": read.snr, "snr_der": read.snr_der,
            "snr_predicted": float(sources.snr_predicted[i]),
        }  # fmt: skip
        spectra.append(replace(
            read, star_id=str(sources.star_id[i]), flux_unit=cube.flux_unit, lsf_fwhm=cube.lsf_fwhm, frame=cube.frame,
            ra=float(sources.ra[i]), dec=float(sources.dec[i]), mag=float(sources.mag[i]),
            barycentric=cube.barycentric, meta=meta,
        ))  # fmt: skip
    if not spectra:
        raise StellacubeError(
            "PampelMUSE left no spectra.", f"Look at the logs of its routines in {folder}; GETSPECTRA.log is the last."
        )
    return tuple(spectra)


def _judged(sources: SourceTable, kept: np.ndarray, numbers: np.ndarray, prm: PrmFile) -> SourceTable:
    """Return the table with PampelMUSE's own choice of stars; for the others our reason stands, where there is one."""
    codes = dict(zip(prm.star_id.tolist(), prm.status.tolist(), strict=True))
    status, reason = sources.status.astype("<U12"), sources.reason.astype(object)
    status[kept], reason[kept] = "extracted", ""
    for i in np.flatnonzero(~kept & sources.extracted):
        code = codes.get(int(numbers[i]))
        said = "did not see it" if code is None else f"gave it status {code} and no spectrum"
        status[i], reason[i] = "faint", f"PampelMUSE {said}"
    return replace(sources, status=status, reason=reason.astype(str))
