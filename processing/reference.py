"""Star lists: read in any common format, cleaned of blanks and duplicates."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from processing.detection import detect_sources
from processing.errors import StellacubeError
from processing.labels.priors import PHOTOMETRIC
from processing.star_columns import (
    degrees,
    epoch_column,
    find,
    id_column,
    magnitude_columns,
    magnitudes,
    motion_columns,
    numbers,
    pixel_columns,
    sky_columns,
    squeeze,
)
from processing.star_files import RawColumn, RawTable, read_tables
from processing.star_list import StarList

__all__ = ["StarList", "detect_sources", "read_star_list"]

_SAME_STAR = 0.01
"""Entries closer than this many arcsec are one star."""
_SAME_SPAXEL = 0.05
"""The same for lists without sky positions, in spaxels."""
_MAS = math.pi / 180 / 3.6e6


def read_star_list(path: str | Path, *, mag_column: str | None = None) -> StarList:
    """Read a star list: CSV, ECSV, FITS, VOTable, SExtractor, CDS or plain text, packed with gzip or not.

    Columns are found by name, unit or UCD. Rows without a position and second entries of a star (same position within
    0.01 arcsec) are left out; `StarList.notes` counts them.

    Parameters
    ----------
    path : str or Path
    mag_column : str, optional
        The magnitude to use; otherwise V, G, F606W, F814W or I if there is one, or any other.

    Raises
    ------
    StellacubeError
        If nothing usable can be read; the message says what the file holds.
    """
    path = Path(path)
    tables = read_tables(path)
    usable = [table for table in tables if len(table) and (sky_columns(table) or pixel_columns(table))]
    if not usable:
        _explain_no_positions(path, tables)
    table = usable[0]
    notes = list(table.notes)
    if len(tables) > 1:
        notes.append(f"{path.name} holds {len(tables)} tables; the first with positions, {table.name}, is used.")
    stars = _star_list(path, table, mag_column, notes)
    placed = (np.isfinite(stars.ra) & np.isfinite(stars.dec)) | (np.isfinite(stars.x) & np.isfinite(stars.y))
    if not placed.any():
        raise StellacubeError(
            f"None of the {len(stars)} rows of {path.name} has a valid position.",
            "Positions are ra and dec in degrees or as 00:24:05.6 -72:04:52, or x and y in spaxels.",
        )
    if not placed.all():
        notes.append(f"{_rows(_count(~placed))} without a position left out.")
    stars = stars.take(placed)
    first = _first_entries(stars)
    if len(first) < len(stars):
        notes.append(f"{_rows(len(stars) - len(first))} at the position of another star (within 0.01 arcsec) left out.")
    ids = _unique(stars.star_id[first], notes)
    known = _known(table, np.flatnonzero(placed)[first], ids)
    if known:
        notes.append(f"Photometric labels of {_rows(len(known))} enter the fit as priors.")
    return replace(stars.take(first), star_id=ids, notes=tuple(notes), known=known)


def _known(table: RawTable, rows: np.ndarray, ids: np.ndarray) -> dict[str, dict[str, float]]:
    """Return what columns as teff_phot and teff_phot_err say, by star; stars without a value are left out."""
    known: dict[str, dict[str, float]] = defaultdict(dict)
    for key in (key for pair in PHOTOMETRIC.values() for key in pair):
        column = find(table, [squeeze(key)])
        if column is not None:
            for name, value in zip(ids.tolist(), numbers(column)[rows].tolist(), strict=True):
                if np.isfinite(value):
                    known[name][key] = value
    return dict(known)


def _explain_no_positions(path: Path, tables: list[RawTable]) -> None:
    """Raise a sentence that names what was found instead of positions."""
    filled = [table for table in tables if len(table)]
    if not filled:
        raise StellacubeError(f"The star list {path.name} holds no stars.", "Export or download it again.")
    names = [column.name for column in filled[0].columns]
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    raise StellacubeError(
        f"The star list {path.name} has no columns for positions. It has: {shown}.",
        "Name the columns ra and dec (degrees or 00:24:05.6), or x and y (spaxels from 0).",
    )


def _star_list(path: Path, table: RawTable, mag_column: str | None, notes: list[str]) -> StarList:
    """Convert a table's columns as they are, without leaving out a row."""
    unknown = np.full(len(table), np.nan)
    ra, dec, x, y = unknown, unknown, unknown, unknown
    if sky := sky_columns(table):
        ra, dec = degrees(sky[0], is_ra=True), degrees(sky[1], is_ra=False)
    if pixels := pixel_columns(table):
        x, y = numbers(pixels[0]), numbers(pixels[1])
        if pixels[2]:
            x, y = x - 1, y - 1
            notes.append(f"{pixels[0].name} and {pixels[1].name} count from 1, as in FITS: 1 was subtracted.")
    mag, mag_name = _magnitude(path, table, mag_column, notes)
    motions = motion_columns(table)
    pm_ra, pm_dec = (numbers(motions[0]), numbers(motions[1])) if motions else (unknown, unknown)
    column = epoch_column(table)
    epoch = numbers(column) if column else unknown
    epoch = np.where((epoch > 1900) & (epoch < 2100), epoch, np.nan)
    if motions and not np.isfinite(epoch).any():
        notes.append("The list has proper motions but no epoch (ref_epoch): they are not applied.")
    ids = _ids(id_column(table), len(table), notes)
    return StarList(ids, ra, dec, x, y, mag, mag_name, pm_ra, pm_dec, epoch, path.name)


def _magnitude(path: Path, table: RawTable, wanted: str | None, notes: list[str]) -> tuple[np.ndarray, str]:
    """Return the wanted magnitude, or the best one that has values."""
    if wanted:
        match = next((column for column in table.columns if column.name.lower() == wanted.strip().lower()), None)
        if match is None:
            names = ", ".join(column.name for column in table.columns)
            raise StellacubeError(f"The star list {path.name} has no column {wanted}.", f"It has: {names}.")
        return magnitudes(match), match.name
    for column in magnitude_columns(table):
        values = magnitudes(column)
        if np.isfinite(values).any():
            missing = _count(~np.isfinite(values))
            if missing:
                notes.append(f"{_rows(missing)} without a magnitude {column.name}.")
            return values, column.name
    notes.append(f"No magnitude was found in {path.name}: all stars count as equally bright.")
    return np.full(len(table), np.nan), ""


def _ids(column: RawColumn | None, n_star: int, notes: list[str]) -> np.ndarray:
    """Return the names of the stars, as text; numbers from 1 where the list has none or the same for all."""
    made = np.array([str(i + 1) for i in range(n_star)])
    if column is None:
        return made
    values = column.values
    if values.dtype.kind == "f":
        values = np.array([f"{value:.0f}" if value == round(value) else repr(float(value)) for value in values])
    ids = np.char.strip(values.astype(str))
    missing = np.isin(np.char.lower(ids), ("", "nan", "--", "null", "none"))
    if n_star > 1 and 2 * len(np.unique(ids[~missing])) <= n_star:
        notes.append(f"The column {column.name} does not tell the stars apart: they are numbered instead.")
        return made
    if missing.any():
        notes.append(f"{_rows(_count(missing))} without a name in {column.name}: named after their row.")
    return np.where(missing, np.char.add("row", made), ids)


def _first_entries(stars: StarList) -> np.ndarray:
    """Return the indices, in order, of the stars that no earlier or better entry has the position of.

    An entry with a magnitude is better than one without.
    """
    from scipy.spatial import cKDTree

    sky = np.isfinite(stars.ra) & np.isfinite(stars.dec)
    dropped = np.zeros(len(stars), bool)
    ra, dec = np.radians(stars.ra[sky]), np.radians(stars.dec[sky])
    unit = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    groups: Sequence[tuple[np.ndarray, np.ndarray, float]] = (
        (np.flatnonzero(sky), unit, _SAME_STAR * 1000 * _MAS),
        (np.flatnonzero(~sky), np.column_stack([stars.x, stars.y])[~sky], _SAME_SPAXEL),
    )
    worse = np.lexsort((np.arange(len(stars)), np.isnan(stars.mag)))
    rank = np.empty(len(stars), int)
    rank[worse] = np.arange(len(stars))
    for index, points, radius in groups:
        if len(index) < 2:
            continue
        pairs = index[cKDTree(points).query_pairs(radius, output_type="ndarray")]
        better_first = np.where((rank[pairs[:, 0]] < rank[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
        for better, other in better_first[np.argsort(rank[better_first[:, 0]], kind="stable")]:
            if not dropped[better]:
                dropped[other] = True
    return np.flatnonzero(~dropped)


def _unique(ids: np.ndarray, notes: list[str]) -> np.ndarray:
    """Add _2, _3 ... to names that several stars at different positions share."""
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    if len(first) == len(ids):
        return ids
    taken, counts, result = set(ids.tolist()), dict[str, int](), list[str]()
    for i, (name, group) in enumerate(zip(ids.tolist(), inverse, strict=True)):
        if i == first[group]:
            result.append(name)
            continue
        number = counts.get(name, 1) + 1
        while f"{name}_{number}" in taken:
            number += 1
        counts[name] = number
        taken.add(f"{name}_{number}")
        result.append(f"{name}_{number}")
    notes.append(
        f"{_rows(len(ids) - len(first))} with the name of another star at another position: renamed with _2, _3."
    )
    return np.array(result)


def _count(which: np.ndarray) -> int:
    return int(np.count_nonzero(which))


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"
