"""Read spectra from tables with wavelength, flux and error: text, ECSV, VOTable, and binary tables in FITS files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.errors import StellacubeError
from processing.spectra_io.common import frame_from_words, header_number, make_spectrum, to_angstrom
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from astropy.io.fits import HDUList
    from astropy.table import Table

_NAMES = {
    role: tuple(names.split())
    for role, names in {
        "wave": "wave wavelength lambda lam wl wavel waves spectralaxis awav angstrom waveair wavevac wavevacuum "
        "wavelengthair wavelengthvac wavelengthvacuum lambdaair lambdavac",
        "loglam": "loglam logwave loglambda logwavelength log10wave",
        "flux": "flux f flam fluxdensity intensity counts spectrum spec fluxnorm normflux fluxreduced",
        "error": "error err sigma sig fluxerr fluxerror fluxsigma errflux eflux uncertainty unc noise dflux std "
        "errreduced",
        "variance": "variance var stat",
        "ivar": "ivar invvar inversevariance",
        "mask": "mask dq flag flags quality",
    }.items()
}
"""Column names in lower case without anything but letters and digits."""


def _roles(table: Table) -> dict[str, str]:
    """Return which column plays which part; unnamed columns are wavelength, flux, error in this order."""
    plain = {"".join(c for c in name.lower() if c.isalnum()): name for name in table.colnames}
    roles = {role: next((plain[name] for name in names if name in plain), "") for role, names in _NAMES.items()}
    roles = {role: name for role, name in roles.items() if name}
    if not roles and all(name.startswith("col") for name in table.colnames) and len(table.colnames) in (2, 3, 4):
        roles = dict(zip(("wave", "flux", "error"), table.colnames, strict=False))
    return roles


def read_text(path: Path) -> StarSpectrum:
    """Return the spectrum of a text table: CSV, ECSV, VOTable, or columns with or without a header.

    Columns are found by name (wave, lambda, loglam; flux; error, sigma, ivar, ...), else taken as wavelength, flux,
    error. The wavelength's unit is the column's, else guessed from the values (`to_angstrom`). Air or vacuum is taken
    from the column's name or the comments; where nothing is said, air, and ``meta["frame"]`` says so.
    """
    from astropy.io import ascii as text
    from astropy.table import Table

    try:
        if path.open("rb").read(5) == b"<?xml":
            table = Table.read(path, format="votable")
        else:
            table = text.read(path)
            if len(table.colnames) == 1 and ";" in table.colnames[0]:  # the one common delimiter it does not guess
                table = text.read(path, delimiter=";")
    except (text.InconsistentTableError, UnicodeDecodeError, ValueError, OSError, IndexError) as error:
        raise StellacubeError(
            f"{path} is not a table that can be read.", "A spectrum has columns for wavelength, flux and error."
        ) from error
    return _from_table(table, path, table.meta.get("comments", ()))


def is_table(hdus: HDUList) -> bool:
    """Tell whether a FITS file has a binary table with wavelengths and flux."""
    from astropy.table import Table

    return any({"flux"} < _roles(Table(hdu.data)).keys() for hdu in hdus[1:] if not hdu.is_image)


def read_fits_table(hdus: HDUList, path: Path) -> StarSpectrum:
    """Return the spectrum of a binary table: one pixel per row, or one row of vectors (ESO's science products)."""
    from astropy.table import Table

    for hdu in hdus[1:]:
        if hdu.is_image:
            continue
        table = Table.read(hdu)
        if not {"flux"} < _roles(table).keys():
            continue
        if len(table) == 1:
            vectors = {name: table[name] for name in table.colnames if table[name].size > 1}
            units = {name: column.unit for name, column in vectors.items() if column.unit}
            table = Table({name: np.ravel(column) for name, column in vectors.items()}, units=units)
        header = hdus[0].header.copy()
        header.update(hdu.header)
        return _from_table(table, path, (header.get("SPECSYS", ""), header.get("VACUUM", "")), header)
    raise StellacubeError(f"{path} has no table with wavelengths and flux.")


def _from_table(table: Table, path: Path, words: Any, header: Any = None) -> StarSpectrum:
    """Return the spectrum whose columns have been found by name."""
    roles = _roles(table)
    if "flux" not in roles or not {"wave", "loglam"} & roles.keys():
        raise StellacubeError(
            f"{path} has no columns for wavelength and flux: its columns are {', '.join(table.colnames[:8])}.",
            "Name them wave, flux and error.",
        )
    columns = {role: _numbers(table, name, path) for role, name in roles.items()}
    unit = table[roles["wave"]].unit if "wave" in roles else None
    wave = to_angstrom(columns["wave"], str(unit) if unit else None) if "wave" in roles else 10 ** columns["loglam"]
    meta: dict[str, Any] = {}
    frame = frame_from_words(roles.get("wave", ""), *words)
    if frame is None:
        frame, meta["frame"] = "air", "air was taken"
    if header is not None:
        meta |= {
            key: header[card] for key, card in (("instrument", "INSTRUME"), ("date_obs", "DATE-OBS")) if card in header
        }
    flux_unit = table[roles["flux"]].unit
    return make_spectrum(
        str((header or {}).get("STAR ID") or path.name.split(".")[0]), wave, columns["flux"], _ivar(columns), frame,
        meta=meta, flux_unit=str(flux_unit) if flux_unit else "",
        ra=header_number(header or {}, "RA"), dec=header_number(header or {}, "DEC"),
    )  # fmt: skip


def _numbers(table: Table, name: str, path: Path) -> np.ndarray:
    """Return a column as floats, NaN where missing."""
    try:
        return np.ma.filled(np.ma.asarray(table[name]).astype(float), np.nan)
    except (ValueError, TypeError) as error:
        raise StellacubeError(f"The column {name} of {path} holds text where numbers are expected.") from error


def _ivar(columns: dict[str, np.ndarray]) -> np.ndarray | None:
    with np.errstate(divide="ignore", invalid="ignore"):
        if "ivar" in columns:
            ivar = columns["ivar"]
        elif "error" in columns:
            ivar = np.where(columns["error"] > 0, 1.0 / columns["error"] ** 2, 0.0)
        elif "variance" in columns:
            ivar = np.where(columns["variance"] > 0, 1.0 / columns["variance"], 0.0)
        else:
            return None
    return np.where(columns["mask"] == 0, ivar, 0.0) if "mask" in columns else ivar
