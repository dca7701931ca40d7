"""Spectra with labels in an astronomer's own files: a FITS table, or an index table beside a folder of spectra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.errors import StellacubeError
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from astropy.table import Table

FITS = (".fits", ".fit", ".fits.gz", ".fit.gz")
INDEX = (".ecsv", ".csv")
_FILE, _VELOCITY = "file", "rv"


def read_fits_table(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a binary table by lower-case name, as the arrays of an ``.npz`` of spectra.

    One row per spectrum. The wavelengths are a vector column ``wave_air`` or ``wave_vac``, the same in all rows;
    ``error`` stands in for ``ivar``.
    """
    table = _read(path)
    arrays = {name.lower(): np.asarray(_plain(table[name])) for name in table.colnames}
    for name in ("wave_air", "wave_vac"):
        if name in arrays and arrays[name].ndim == 2:
            if len(arrays[name]) and np.ptp(arrays[name], axis=0).max() > 1e-3:
                raise StellacubeError(
                    f"The spectra in {path} differ in wavelengths.", "Put each into a file of its own, with an index."
                )
            arrays[name] = arrays[name][0]
    if "ivar" not in arrays and "error" in arrays:
        error = arrays.pop("error").astype(float)
        good = np.isfinite(error) & (error > 0)
        arrays["ivar"] = np.divide(1.0, error**2, out=np.zeros_like(error), where=good)
    return arrays


def read_index(path: Path) -> tuple[dict[str, np.ndarray], list[StarSpectrum], np.ndarray]:
    """Read an index table and the spectra that it names.

    Columns: ``file``, relative to the table; any labels with their errors; the star's name (optional); ``rv``, the
    velocity in km/s with which the star recedes in its spectrum (optional; 0).

    Returns
    -------
    columns : dict of str to ndarray, shape (n,)
        By lower-case name.
    spectra : list of StarSpectrum
        One for each row, as observed.
    velocity : ndarray, shape (n,)
        km/s.
    """
    from processing.spectra_io.read import read_file

    table = _read(path)
    columns = {name.lower(): np.asarray(_plain(table[name])) for name in table.colnames}
    if _FILE not in columns:
        raise StellacubeError(
            f"The table {path} has no column {_FILE!r} that names each row's spectrum.",
            "An index of spectra needs one, with paths relative to the table.",
        )
    spectra = []
    for name in columns[_FILE].astype(str):
        found = read_file(path.parent / name)
        if len(found) != 1:
            raise StellacubeError(f"{path.parent / name} holds {len(found)} spectra.", "An index names one per row.")
        spectra.append(found[0])
    velocity = columns.pop(_VELOCITY, np.zeros(len(spectra))).astype(float)
    return columns, spectra, np.nan_to_num(velocity)


def _plain(column: Any) -> np.ndarray:
    """Return a column without its mask: NaN, or an empty text, where nothing is known."""
    if isinstance(column, np.ma.MaskedArray):
        number = column.dtype.kind in "fiu"
        return np.asarray(np.ma.filled(column.astype(float), np.nan) if number else np.ma.filled(column, ""))
    return np.asarray(column)


def _read(path: Path) -> Table:
    import warnings

    from astropy.table import Table
    from astropy.units import UnitsWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnitsWarning)
            kind = "ascii.ecsv" if path.suffix == ".ecsv" else "ascii.csv" if path.suffix == ".csv" else None
            table = Table.read(path, format=kind) if kind else Table.read(path, hdu=1)
    except (OSError, ValueError, IndexError) as error:
        raise StellacubeError(f"The table {path} cannot be read: {str(error).splitlines()[0]}.") from error
    table.convert_bytestring_to_unicode()
    return table
