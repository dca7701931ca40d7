"""Read spectra from whatever file they are in; the layout is told by the content, not by the ending."""

from __future__ import annotations

import bz2
import gzip
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.spectrum import StarSpectrum

log = logging.getLogger(__name__)

FORMATS = (
    "Known are PampelMUSE's and Stellacube's own spectra, LAMOST, SDSS, tables with wavelength, flux and error, and "
    "one-dimensional FITS images with a wavelength axis."
)


def spectrum_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files that are meant: files as they are, folders as all that lies in them, sorted by name.

    Raises
    ------
    StellacubeError
        If there is no such file, or a folder is empty.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise StellacubeError(f"The folder {path} is empty.", "Give a folder or files with spectra.")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise StellacubeError(f"There is no file {path}.", "Check the path.")
    return tuple(dict.fromkeys(files))


def read_spectra(
    paths: Sequence[Path], *, numbered: bool = True, progress: Progress = ignore, cancelled: CancelCheck = never
) -> tuple[tuple[StarSpectrum, ...], tuple[str, ...]]:
    """Read all spectra of some files and folders.

    Parameters
    ----------
    paths : sequence of Path
    numbered : bool
        Give identifiers that occur twice a number.
    progress, cancelled : callable

    Returns
    -------
    spectra : tuple of StarSpectrum
        In the order of the files.
    notes : tuple of str
        Sentences on files that hold no spectrum, and on what had to be guessed.

    Raises
    ------
    StellacubeError
        If not one file holds a spectrum, or a file that was named (not found in a folder) holds none.
    """
    files = spectrum_files(paths)
    spectra: list[StarSpectrum] = []
    problems: list[str] = []
    for number, path in enumerate(files):
        stop_if(cancelled)
        progress(number / len(files), f"Reading {path.name}")
        try:
            spectra += read_file(path)
        except StellacubeError as error:
            if path in paths:
                raise
            problems.append(str(error))
    if not spectra:
        raise StellacubeError("No spectrum was found.", problems[0] if problems else FORMATS)
    named = unique_names(spectra) if numbered else tuple(spectra)
    return named, (*_summary(problems), *_guesses(spectra))


def read_file(path: str | Path) -> tuple[StarSpectrum, ...]:
    """Read the spectra of one file.

    Raises
    ------
    StellacubeError
        If the file cannot be read or is of no known layout; the message says what was found.
    """
    from processing.spectra_io.tables import read_text

    path = Path(path)
    try:
        start = _first_bytes(path)
    except (OSError, EOFError) as error:
        raise StellacubeError(f"{path} cannot be read: {error}.", "Check the file.") from error
    if start.startswith(b"SIMPLE  ="):
        return _read_fits(path)
    if start.startswith(b"SQLite format 3"):
        from processing.session import Session

        with Session.open(path, read_only=True) as session:
            return tuple(session.spectra())
    if b"\0" in start or not start.strip():
        raise StellacubeError(f"{path} is neither a FITS file nor a table.", FORMATS)
    return (read_text(path),)


def _first_bytes(path: Path) -> bytes:
    """Return the start of a file, unpacked where it is compressed."""
    with path.open("rb") as file:
        start = file.read(2880)
    for magic, unpack in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open)):
        if start.startswith(magic):
            with unpack(path, "rb") as packed:
                return bytes(packed.read(2880))
    return start


def _read_fits(path: Path) -> tuple[StarSpectrum, ...]:
    from astropy.io import fits

    from processing.spectra_io.image import is_image, read_image
    from processing.spectra_io.own import is_own_table, read_own_table
    from processing.spectra_io.surveys import is_lamost, is_sdss, read_lamost, read_sdss
    from processing.spectra_io.tables import is_table, read_fits_table

    try:
        with fits.open(path, memmap=False) as hdus:
            if is_own_table(hdus):
                return read_own_table(hdus)
            if "SOURCES" in hdus and "PSFPARS" in hdus:
                raise StellacubeError(
                    f"{path} holds PampelMUSE's parameters, not its spectra.",
                    "Give the folder that GETSPECTRA wrote, as spectra/ beside it.",
                )
            for known, read in (
                (is_lamost, read_lamost),
                (is_sdss, read_sdss),
                (is_image, read_image),
                (is_table, read_fits_table),
            ):
                if known(hdus):
                    return (read(hdus, path),)
            shape = " x ".join(map(str, next((hdu.shape for hdu in hdus if hdu.shape), ())))
    except (OSError, TypeError, ValueError, IndexError, KeyError) as error:
        raise StellacubeError(f"{path} is damaged or truncated: {error}.", "Copy it again from its source.") from error
    raise StellacubeError(f"{path} is a FITS file of {shape or 'no'} pixels, which is no spectrum.", FORMATS)


def unique_names(spectra: Sequence[StarSpectrum]) -> tuple[StarSpectrum, ...]:
    """Give identifiers that occur more than once a number: 17, 17_2, 17_3."""
    taken = {spectrum.star_id for spectrum in spectra}
    seen: set[str] = set()
    unique = []
    for spectrum in spectra:
        name, number = spectrum.star_id, 2
        if name in seen:
            while (name := f"{spectrum.star_id}_{number}") in taken:
                number += 1
            taken.add(name)
        seen.add(name)
        unique.append(spectrum if name == spectrum.star_id else replace(spectrum, star_id=name))
    return tuple(unique)


def _summary(problems: Sequence[str]) -> tuple[str, ...]:
    if not problems:
        return ()
    return (f"{len(problems)} files in the folder hold no spectrum and were left out; the first: {problems[0]}",)


def _guesses(spectra: Sequence[StarSpectrum]) -> tuple[str, ...]:
    counts = Counter(
        (key, str(spectrum.meta[key])) for spectrum in spectra for key in ("errors", "frame") if key in spectrum.meta
    )
    words = {
        "errors": "have no errors: they were",
        "frame": "do not say whether their wavelengths are in air or vacuum:",
    }
    return tuple(f"{count} spectra {words[key]} {value}." for (key, value), count in counts.items())
