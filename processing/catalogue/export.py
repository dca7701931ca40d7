"""Catalogues in and out of files: CSV for a spreadsheet, ECSV, FITS and VOTable with units and provenance."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.catalogue.table import Catalogue
from processing.errors import StellacubeError
from processing.files import replacing
from processing.provenance import InputFile, Provenance
from processing.settings import from_dict, to_dict

if TYPE_CHECKING:
    from astropy.io.fits import HDUList
    from astropy.table import Table

FORMATS = {"csv": ".csv", "ecsv": ".ecsv", "fits": ".fits", "votable": ".vot"}
"""Formats by name, with the ending of their files."""
DEX = " (dex)"
"""Ends a description in formats that have no such unit."""


def write_catalogue(catalogue: Catalogue, path: Path, fmt: str) -> None:
    """Write a catalogue, replacing the file at `path` only once the new one is complete.

    Parameters
    ----------
    catalogue : Catalogue
    path : Path
    fmt : {"csv", "ecsv", "fits", "votable"}

    Raises
    ------
    StellacubeError
        If the format is not known or the file cannot be written.
    """
    writers: dict[str, Callable[[Catalogue, Path], None]] = {
        "csv": _write_csv,
        "ecsv": _write_ecsv,
        "fits": _write_fits,
        "votable": _write_votable,
    }
    if fmt not in writers:
        raise StellacubeError(f"There is no catalogue format {fmt!r}.", f"Choose from {', '.join(FORMATS)}.")
    with replacing(path) as temporary:
        writers[fmt](catalogue, temporary)


def format_of(path: Path) -> str:
    """Return the format that a file's ending asks for.

    Raises
    ------
    StellacubeError
        If it asks for none.
    """
    for fmt, ending in FORMATS.items():
        if path.suffix.lower() == ending:
            return fmt
    raise StellacubeError(f"{path.name} has no ending of a catalogue.", f"Choose from {', '.join(FORMATS.values())}.")


def write_csv(table: Table, path: Path) -> None:
    """Write a table as plain CSV: one header line, UTF-8, missing numbers empty, true and false in words."""
    columns = [_texts(table[name]) for name in table.colnames]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table.colnames)
        writer.writerows(zip(*columns, strict=True))


def _texts(column: Any) -> list[str]:
    """Return a column's values as a spreadsheet reads them; ten digits give positions to a microarcsecond."""
    kind = column.dtype.kind
    if kind == "f":
        return [f"{value:.10g}" if np.isfinite(value) else "" for value in column]
    if kind == "b":
        return ["true" if value else "false" for value in column]
    return [str(value) for value in column]


def _write_csv(catalogue: Catalogue, path: Path) -> None:
    write_csv(catalogue.table, path)


def _write_fits(catalogue: Catalogue, path: Path) -> None:
    path.write_bytes(to_fits_bytes(catalogue))


def _write_ecsv(catalogue: Catalogue, path: Path) -> None:
    table = catalogue.table.copy(copy_data=False)
    table.meta = {
        "provenance": dict(catalogue.provenance.cards()),
        "record": json.dumps(_to_json(catalogue.provenance)),
    }
    table.write(path, format="ascii.ecsv", delimiter=",", overwrite=True)


def _write_votable(catalogue: Catalogue, path: Path) -> None:
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import Info

    tree = from_table(_dex_in_words(catalogue.table), table_id="catalogue")
    tree.resources[0].infos.extend(Info(ID=None, name=key, value=value) for key, value in catalogue.provenance.cards())
    tree.to_xml(str(path))


def to_fits_bytes(catalogue: Catalogue) -> bytes:
    """Return the catalogue as a FITS file: HDU 1 the table, HDU 2 the provenance as keys and values."""
    buffer = io.BytesIO()
    _hdus(catalogue).writeto(buffer)
    return buffer.getvalue()


def _hdus(catalogue: Catalogue) -> HDUList:
    from astropy.io import fits
    from astropy.table import Table

    provenance = catalogue.provenance
    plain = _in_ascii(_dex_in_words(catalogue.table))
    main = fits.table_to_hdu(plain)
    main.name = "CATALOGUE"
    for number, name in enumerate(plain.colnames, 1):
        main.header.comments[f"TTYPE{number}"] = plain[name].description[:45]
        main.header[f"TCOMM{number}"] = plain[name].description  # what TOPCAT shows
    for key, value, comment in (
        ("CREATOR", provenance.program, "program"),
        ("DATE", provenance.created, "UTC"),
        ("MODEL", provenance.model, "label model"),
        ("MODELVER", provenance.model_version, "its version"),
    ):
        main.header[key] = (value, comment)
    keys, values = zip(*((key, _escaped(value)) for key, value in provenance.cards()), strict=True)
    record = fits.table_to_hdu(Table({"key": list(keys), "value": list(values)}))
    record.name = "PROVENANCE"
    # The exact record, to be read back; the table beside it is for people.
    record.header["RECORD"] = json.dumps(_to_json(provenance))
    return fits.HDUList([fits.PrimaryHDU(), main, record])


def _dex_in_words(table: Table) -> Table:
    """Return the table with dex in the descriptions: neither FITS nor VOTable has such a unit, and readers complain."""
    table = table.copy(copy_data=False)
    for column in table.itercols():
        if str(column.unit or "") == "dex":
            column.unit, column.description = None, f"{column.description}{DEX}"
    return table


def _in_ascii(table: Table) -> Table:
    """Return the table with its texts as FITS can hold them: what is not ASCII as Python's escapes."""
    table = table.copy(copy_data=False)
    for column in list(table.itercols()):
        if column.dtype.kind == "U":
            values = np.array([_escaped(text) for text in column], dtype=str)
            table.replace_column(column.name, type(column)(values, name=column.name, description=column.description))
    return table


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def from_fits_bytes(data: bytes) -> Catalogue:
    """Return the catalogue that `to_fits_bytes` wrote."""
    from astropy.io import fits
    from astropy.table import Table

    with fits.open(io.BytesIO(data)) as hdus:
        header = hdus["CATALOGUE"].header
        # silent: earlier versions wrote dex as a unit
        table = Table.read(hdus["CATALOGUE"], character_as_bytes=False, unit_parse_strict="silent")
        for number, column in enumerate(table.itercols(), 1):
            words = header[f"TCOMM{number}"]
            column.description = words.removesuffix(DEX)
            column.unit = "dex" if words.endswith(DEX) else header.get(f"TUNIT{number}")
        record = json.loads(hdus["PROVENANCE"].header["RECORD"])
    return Catalogue(_plain(table), _from_json(record))


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue from a session, or from the FITS or ECSV form that `write_catalogue` wrote.

    Raises
    ------
    StellacubeError
        If the file is none.
    """
    from astropy.table import Table

    from processing.session import SUFFIX, Session

    if not path.is_file():
        raise StellacubeError(f"There is no catalogue {path}.", "Check the path.")
    if path.suffix == SUFFIX:
        with Session.open(path, read_only=True) as session:
            catalogue = session.catalogue()
        if catalogue is None:
            raise StellacubeError(f"The session {path.name} has no catalogue yet.", "Let its run come to an end.")
        return catalogue
    try:
        if path.suffix.lower() != ".ecsv":
            return from_fits_bytes(path.read_bytes())
        table = Table.read(path, format="ascii.ecsv")
        return Catalogue(_plain(table, escaped=False), _from_json(json.loads(table.meta["record"])))
    except (OSError, KeyError, ValueError) as error:
        raise StellacubeError(
            f"{path.name} is not a catalogue that Stellacube wrote as FITS or ECSV.",
            "Only these forms hold what is needed to go on with a catalogue: take the .fits file beside it.",
        ) from error


def _plain(table: Table, *, escaped: bool = True) -> Table:
    """Return the table without the masks that the FITS reader puts on NaN and empty text, metadata dropped."""
    from astropy.table import Column, MaskedColumn
    from astropy.table import Table as PlainTable

    plain = PlainTable()
    for name in table.colnames:
        column = table[name]
        missing = {"f": np.nan, "U": "", "i": 0, "b": False}[column.dtype.kind]
        values = column.filled(missing) if isinstance(column, MaskedColumn) else column
        if column.dtype.kind == "U" and escaped:
            values = [text.encode("ascii").decode("unicode_escape") for text in values]
        plain[name] = Column(np.asarray(values, column.dtype), unit=column.unit, description=column.description)
    return plain


def _to_json(provenance: Provenance) -> dict[str, Any]:
    return {
        **{name: getattr(provenance, name) for name in ("model", "model_version", "program", "created")},
        "inputs": [vars(file) for file in provenance.inputs],
        "history": list(provenance.history),
        "settings": to_dict(provenance.settings),
    }


def _from_json(record: dict[str, Any]) -> Provenance:
    inputs = tuple(InputFile(**file) for file in record.pop("inputs"))
    history = tuple(record.pop("history", ()))
    return Provenance(inputs, from_dict(record.pop("settings")), history=history, **record)
