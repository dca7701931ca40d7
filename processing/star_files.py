"""Tables of stars as they come, as plain columns: FITS, VOTable, ECSV, SExtractor, CDS, text of any delimiter."""

from __future__ import annotations

import csv
import gzip
import io
import re
import tarfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from processing.errors import StellacubeError

_HUGS_FILTERS = ("F275W", "F336W", "F438W", "F606W", "F814W")
_HUGS_COLUMNS = (
    "x_hst",
    "y_hst",
    *(f"{band}{part}" for band in _HUGS_FILTERS for part in ("", "_rms", "_qfit", "_sharp", "_nfound", "_ngood")),
    "member_prob",
    "ra",
    "dec",
    "id",
    "iteration",
)
"""Columns of the headerless HST UV Globular Cluster Survey catalogues (Nardiello et al. 2018)."""

_COMMENT = re.compile(r"^\s*(#|!|//)")
_RULE = re.compile(r"^[\s\-=|+,;]*[-=]{2}[\s\-=|+,;]*$")


@dataclass(frozen=True)
class RawColumn:
    """One column as the file gives it.

    Parameters
    ----------
    name : str
    values : ndarray, shape (n,)
        Numbers, or strings; missing numbers are NaN, missing strings empty. Integers stay integers.
    unit, ucd, description : str
        Empty where the file does not say.
    """

    name: str
    values: np.ndarray
    unit: str = ""
    ucd: str = ""
    description: str = ""


@dataclass(frozen=True)
class RawTable:
    """One table of a file: its columns, and whatever prose stands around them."""

    name: str
    columns: tuple[RawColumn, ...]
    remarks: str = ""
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.columns[0].values) if self.columns else 0


def read_tables(path: str | Path) -> list[RawTable]:
    """Read all tables of a file; the format is told by the content, not by the name.

    Raises
    ------
    StellacubeError
        If the file is missing, empty, no table or not readable; the message says which.
    """
    path = Path(path)
    content = _content(path)
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    lowered = start.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sloppy units and dates, of which most archives have some
            if start.startswith(b"SIMPLE"):
                return _fits_tables(path, content)
            if b"<votable" in lowered:
                return _votables(path, content)
            if lowered.startswith((b"<!doctype html", b"<html")):
                raise StellacubeError(f"{path.name} is a web page, not a star list.", "Download the table itself.")
            if b"\0" in start:
                raise StellacubeError(f"{path.name} is not a table of any known format.", _FORMATS)
            text = content.decode("utf-8-sig", errors="strict") if _is_utf8(content) else content.decode("latin-1")
            return [_text_table(path, text)]
    except StellacubeError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, csv.Error) as error:
        said = " ".join(str(error).split())[:200]
        raise StellacubeError(f"The star list {path.name} cannot be read: {said}.", _FORMATS) from error


_FORMATS = "CSV, ECSV, FITS, VOTable and text with a line of column names are understood."


def _content(path: Path) -> bytes:
    """Return the file's bytes, unpacked where gzip or tar was around them."""
    if not path.exists():
        raise StellacubeError(f"There is no file {path}.", "Check the name and the folder.")
    if path.is_dir():
        raise StellacubeError(f"{path} is a folder, not a star list.", "Choose the file in it.")
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise StellacubeError(f"The star list {path.name} cannot be read: {error}.", "Download it again.") from error
    if content[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            member = next((archive.extractfile(entry) for entry in archive if entry.isfile()), None)
            content = member.read() if member else b""
    if not content.strip():
        raise StellacubeError(f"The star list {path.name} is empty.", "Export or download it again.")
    return content


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _fits_tables(path: Path, content: bytes) -> list[RawTable]:
    """Read the binary and ASCII tables of a FITS file."""
    from astropy.io import fits
    from astropy.table import Table

    try:
        with fits.open(io.BytesIO(content)) as hdus:
            tables = [
                _from_astropy(Table.read(hdu), hdu.name or f"extension {i}")
                for i, hdu in enumerate(hdus)
                if isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and not isinstance(hdu, fits.CompImageHDU)
            ]
    except fits.VerifyError as error:
        raise StellacubeError(f"The FITS table {path.name} is damaged: {error}.", "Download it again.") from error
    if not tables:
        raise StellacubeError(f"{path.name} is a FITS file without a table.", "A star list is needed, not an image.")
    return tables


def _votables(path: Path, content: bytes) -> list[RawTable]:
    """Read all tables of a VOTable; one that only reports a failure is quoted."""
    from astropy.io.votable import parse
    from astropy.io.votable.exceptions import VOTableSpecError

    try:
        votable = parse(io.BytesIO(content), verify="ignore")
    except (VOTableSpecError, ValueError, IndexError) as error:
        raise StellacubeError(f"The VOTable {path.name} is damaged: {' '.join(str(error).split())[:200]}.") from error
    tables = [
        _from_astropy(table.to_table(use_names_over_ids=True), str(table.name or table.ID or "table"))
        for table in votable.iter_tables()
        if len(table.fields)
    ]
    if not tables:
        infos = [*votable.infos, *(info for resource in votable.resources for info in resource.infos)]
        said = "; ".join(
            str(info.content or info.value) for info in infos if "error" in f"{info.name}{info.value}".lower()
        )
        answer = f"; the service that wrote it answered: {said}" if said else ""
        raise StellacubeError(f"The VOTable {path.name} holds no table{answer}.", "Repeat the query.")
    return tables


def _text_table(path: Path, text: str) -> RawTable:
    """Read the kinds of text: those that describe themselves by astropy, plain ones here."""
    from astropy.table import Table

    start = text[:4096]
    described = {
        "ascii.ecsv": start.startswith("# %ECSV"),
        "ascii.sextractor": bool(re.match(r"#\s+1\s+[A-Z]\w+", start)),
        "ascii.mrt": "Byte-by-byte Description" in start,
        "ascii.ipac": bool(re.match(r"(\\.*\n)*(\|.*\n){1,4}(?!\|)", start)),
    }
    for name, is_it in described.items():
        if is_it:
            return _from_astropy(Table.read(text.splitlines(), format=name), path.name)
    return _plain_text(path, text)


def _plain_text(path: Path, text: str) -> RawTable:
    """Read delimited text with a line of names (commented out or not), as VizieR's with units and a rule below it."""
    lines = [line for line in text.splitlines() if line.strip()]
    remarks = [line for line in lines if _COMMENT.match(line)]
    lines = [line for line in lines if not _COMMENT.match(line)]
    if not lines:
        raise StellacubeError(f"The star list {path.name} holds no stars.", "Export or download it again.")
    rule = next((i for i, line in enumerate(lines[:4]) if _RULE.match(line)), 0)
    first = rule + 1 if rule else 0
    delimiter = _delimiter(lines[first : first + 20])
    header = _split(lines[:1], delimiter)[0]
    rows = _split(lines[first:] if rule else lines[1:], delimiter)
    units = _split(lines[rule - 1 : rule], delimiter)[0] if rule > 1 else []
    if _numeric_share(header) >= 0.5:
        rows = [header, *rows]
        header = _names_above(path, remarks, header, delimiter)
    if not rows:
        raise StellacubeError(f"The star list {path.name} has column names but no stars.", "Export it again.")
    whole = [row for row in rows if len(row) == len(header)]
    skipped = len(rows) - len(whole)
    notes = (f"{skipped} line{'s' * (skipped > 1)} with another number of fields left out.",) if skipped else ()
    if not whole:
        raise StellacubeError(
            f"The lines of {path.name} have {len(rows[0])} fields, but there are {len(header)} column names.",
            "Give every column a name without blanks.",
        )
    columns = tuple(
        RawColumn(name.strip() or f"column {i + 1}", np.array(values), units[i].strip() if i < len(units) else "")
        for i, (name, values) in enumerate(zip(header, zip(*whole, strict=True), strict=True))
    )
    return RawTable(path.name, columns, "\n".join(remarks), notes)


def _names_above(path: Path, remarks: list[str], first: list[str], delimiter: str) -> list[str]:
    """Find the names of a table whose first line holds numbers: in a comment above it, or known by its shape."""
    for line in reversed(remarks):
        names = _split([_COMMENT.sub("", line).strip()], delimiter)[0]
        if len(names) == len(first) and _numeric_share(names) == 0:
            return names
    if len(first) == len(_HUGS_COLUMNS) and re.fullmatch(r"R\d{7}", first[-2]):
        return list(_HUGS_COLUMNS)
    raise StellacubeError(
        f"The star list {path.name} has no line of column names: its first line starts with {', '.join(first[:4])}.",
        "Put the names above the columns, for example: id ra dec mag (degrees), or: id x y mag (spaxels from 0).",
    )


def _delimiter(lines: list[str]) -> str:
    """Return the delimiter that splits all lines alike; whitespace where none does."""
    for candidate in (",", ";", "\t", "|"):
        counts = {len(next(csv.reader([line], delimiter=candidate))) for line in lines}
        if len(counts) == 1 and counts.pop() > 1:
            return candidate
    for candidate in ("\t", ";", ","):  # ragged, but clearly meant
        if candidate in lines[0] and 2 * sum(candidate in line for line in lines) > len(lines):
            return candidate
    return " "


def _split(lines: list[str], delimiter: str) -> list[list[str]]:
    """Split lines into fields, respecting quotes."""
    if delimiter == " ":
        lines = [line.replace("\t", " ").strip() for line in lines]
        return list(csv.reader(lines, delimiter=" ", skipinitialspace=True))
    if delimiter == "|":
        lines = [line.strip().strip("|") for line in lines]
    return [[text.strip() for text in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]


def _numeric_share(fields: list[str]) -> float:
    """Return the fraction of the fields that are numbers or sexagesimal angles."""
    number = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$|[+-]?\d+[: ]\d+[: ][\d.]+$")
    return sum(bool(number.match(text.strip())) for text in fields) / max(len(fields), 1)


def _from_astropy(table: Any, name: str) -> RawTable:
    """Turn an astropy table into plain columns; columns of arrays are left out."""
    columns = tuple(
        RawColumn(
            name=column.name,
            values=_plain_values(column),
            unit=str(getattr(column, "unit", None) or ""),
            ucd=str((getattr(column, "meta", None) or {}).get("ucd", "")).lower(),
            description=str(getattr(column, "description", None) or ""),
        )
        for column in table.itercols()
        if getattr(column, "ndim", 1) == 1
    )
    return RawTable(str(table.meta.get("name", name)), columns, " ".join(map(str, table.meta.get("comments", []))))


def _plain_values(column: Any) -> np.ndarray:
    """Return a column without mask or unit: missing numbers NaN, missing strings empty, bytes decoded."""
    mask = np.ma.getmaskarray(column) if hasattr(column, "mask") else np.zeros(len(column), bool)
    values = np.asarray(getattr(column, "value", column) if not hasattr(column, "filled") else column.data)
    values = np.ma.getdata(values)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind in "UO":
        text = np.array([_as_text(value) for value in values], dtype=str)
        return np.where(mask, "", text) if len(text) else text
    if values.dtype.kind in "iub" and mask.any():
        return np.array(["" if hidden else str(value) for value, hidden in zip(values, mask, strict=True)])
    if mask.any():
        values = np.where(mask, np.nan, values)
    return values.astype(values.dtype.newbyteorder("="))


def _as_text(value: Any) -> str:
    """Return an object as a string; None is missing."""
    if value is None or value is np.ma.masked:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
