"""Labels from any catalogue, this program's or another's, in one form: columns told by their names, or as told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.catalogue.terms import QUANTITIES
from processing.errors import StellacubeError
from processing.star_columns import degrees, find, id_column, numbers, sky_columns
from processing.star_files import RawColumn, RawTable, read_tables

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue

_OTHER_NAMES = {
    "teff": ("teffk", "effectivetemperature", "teffspec", "teffsp", "teffpayne", "teffgspspec"),
    "logg": ("loggcgs", "surfacegravity", "loggspec", "loggsp", "logggspspec"),
    "fe_h": ("feh", "mh", "metallicity", "fehspec", "fehsp", "metal", "mhgspspec"),
    "vmic": ("vmicro", "vturb", "vt", "microturbulence", "xi"),
    "rv": ("radialvelocity", "vrad", "vr", "rvhelio", "vhelio", "vhelioavg", "vlos", "hrv", "rvgalah"),
}
_ERRORS = ("{}_err_cal", "{}_err", "{}_error", "e_{}", "err_{}", "sigma_{}", "{}_sigma", "{}_unc", "u_{}", "s_{}")
_SNR = ("snr_muse", "snr", "sn", "snr_der", "s_n", "snrg", "snr_g", "snr_c2_iraf")
_WORTH_USING = ("good", "check")


@dataclass(frozen=True)
class LabelTable:
    """The labels of a catalogue's rows.

    Parameters
    ----------
    name : str
        What the catalogue is called in tables and figures.
    star_id : ndarray of str, shape (n,)
    ra, dec : ndarray, shape (n,)
        ICRS degrees; NaN where unknown.
    values, errors : mapping of str to ndarray, shape (n,)
        By machine name, in K, dex, km/s; NaN where missing or not to be used. Of this program's catalogues the errors
        are ``X_err_cal``. A label without errors has none in `errors`.
    snr, corr_flux : ndarray, shape (n,)
        NaN where unknown.
    cube : ndarray of str, shape (n,)
        File that the row's spectrum came from; empty where unknown.
    model : str
        Model of the labels; empty where unknown.
    columns : mapping of str to str
        The column that each label was taken from.
    model_errors : mapping of str to ndarray, shape (n,)
        The part of `errors` that is the network's own, ``X_err_model``: all spectra of a star share it.
    """

    name: str
    star_id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    values: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    snr: np.ndarray
    corr_flux: np.ndarray
    cube: np.ndarray
    model: str
    columns: Mapping[str, str]
    model_errors: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.star_id)

    @property
    def labels(self) -> tuple[str, ...]:
        """Machine names of what it holds, in the catalogue's order."""
        return tuple(self.values)

    def noise_errors(self) -> dict[str, np.ndarray]:
        """Return the errors by which repeated measurements differ: without the network's own."""
        return {name: without(error, self.model_errors.get(name)) for name, error in self.errors.items()}


def without(error: np.ndarray, part: np.ndarray | None) -> np.ndarray:
    """Return errors without a part that was added in quadrature; NaN of it, where it is unknown, counts as 0."""
    if part is None:
        return error
    return np.sqrt(np.maximum(np.square(error) - np.square(np.nan_to_num(part)), 0.0))


def read_label_table(
    path: Path, columns: Mapping[str, str] | None = None, *, trusted: bool = False, name: str = ""
) -> LabelTable:
    """Read the labels of a catalogue: a session, or a table in any common format.

    Parameters
    ----------
    path : Path
    columns : mapping of str to str, optional
        Machine names (``teff``, ``mg_fe``, also ``teff_err``) and the columns that hold them, where the program would
        not find them.
    trusted : bool
        Of this program's labels, take only those whose ``X_flag`` and ``X_info`` are 1.
    name : str
        What to call it; default: the file's name.

    Raises
    ------
    StellacubeError
        If it cannot be read or holds no labels.
    """
    from processing.catalogue.export import read_catalogue
    from processing.session import SUFFIX

    called = name or path.stem.removesuffix("_catalogue")
    if path.suffix == SUFFIX:
        return of_catalogue(read_catalogue(path), called, trusted=trusted)
    tables = read_tables(path)
    for table in tables:
        found = _read(table, called, columns or {}, trusted)
        if found.labels:
            return found
    names = ", ".join(column.name for column in tables[0].columns[:40])
    raise StellacubeError(
        f"No label was found in {path.name}; its columns are {names}.", "Say which is which: --map teff=COLUMN."
    )


def of_catalogue(catalogue: Catalogue, name: str, *, trusted: bool = False) -> LabelTable:
    """Return the labels of one of this program's own catalogues; `trusted` as in `read_label_table`."""
    columns = tuple(RawColumn(column.name, np.asarray(column)) for column in catalogue.table.itercols())
    return _read(RawTable(name, columns), name, {}, trusted)


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a name for each input that tells it from the others: the file's, with its folder where needed."""
    stems = [path.name.partition(".")[0].removesuffix("_catalogue") for path in paths]
    return [
        stem if stems.count(stem) == 1 else f"{path.parent.name}/{stem}"
        for path, stem in zip(paths, stems, strict=True)
    ]


def _read(table: RawTable, name: str, columns: Mapping[str, str], trusted: bool) -> LabelTable:
    named = {_plain(column.name): column for column in reversed(table.columns)}
    by_name = {column.name: column for column in table.columns}
    for label, column in columns.items():
        if column not in by_name:
            raise StellacubeError(f"{name} has no column {column}.", f"It has {', '.join(list(by_name)[:40])}.")
        named[_plain(label)] = by_name[column]
    usable = _usable(named, len(table))
    values, errors, own, taken = {}, {}, {}, {}
    for label in QUANTITIES:
        spelled = next((text for text in (_plain(label), *_OTHER_NAMES.get(label, ())) if text in named), None)
        if spelled is None:
            continue
        good = usable & _flags(named, label) if trusted else usable
        value = np.where(good, numbers(named[spelled]), np.nan)
        if not np.isfinite(value).any():
            continue
        values[label], taken[label] = value, named[spelled].name
        spellings = (_plain(form.format(text)) for text in (label, spelled) for form in _ERRORS)
        error = next((named[text] for text in spellings if text in named), None)
        if error is not None:
            found = numbers(error)
            errors[label] = np.where(found > 0, found, np.nan)
        if (part := named.get(_plain(f"{label}_err_model"))) is not None:
            own[label] = numbers(part)
    unknown = np.full(len(table), np.nan)
    sky = sky_columns(table)
    ra, dec = (degrees(sky[0], is_ra=True), degrees(sky[1], is_ra=False)) if sky else (unknown, unknown)
    ids = find(table, ("stellarid",)) or id_column(table)
    model = _texts(named.get("model"), len(table))
    return LabelTable(
        name=name,
        star_id=_texts(ids, len(table)),
        ra=ra,
        dec=dec,
        values=values,
        errors=errors,
        model_errors=own,
        snr=next((numbers(named[text]) for text in map(_plain, _SNR) if text in named), unknown),
        corr_flux=numbers(named["corrflux"]) if "corrflux" in named else unknown,
        cube=_texts(named.get("cube"), len(table)),
        model=next((text for text in model if text), ""),
        columns=taken,
    )


def _plain(name: str) -> str:
    """Return a column name without case and signs: ``[Mg/Fe]`` and ``MG_FE`` both become ``mgfe``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _texts(column: RawColumn | None, count: int) -> np.ndarray:
    return np.full(count, "") if column is None else np.char.strip(np.asarray(column.values).astype(str))


def _usable(named: Mapping[str, RawColumn], count: int) -> np.ndarray:
    """Rows that may be used: of this program's catalogues those that are good or to be checked."""
    if "quality" not in named or "qualityreason" not in named:
        return np.ones(count, bool)
    return np.isin(_texts(named["quality"], count), _WORTH_USING)


def _flags(named: Mapping[str, RawColumn], label: str) -> np.ndarray:
    """Rows whose label is read from its own lines and determined by its spectrum; all where nothing is said."""
    flags = [numbers(named[text]) == 1 for text in (_plain(f"{label}_flag"), _plain(f"{label}_info")) if text in named]
    return np.all(flags, axis=0) if flags else np.array(True)
