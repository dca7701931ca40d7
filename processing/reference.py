"""Star lists: read in any common format, cleaned of blanks and duplicates, or detected on the cube itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from processing.cube import CubeOverview, MuseCube
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import SourceSettings
from processing.star_columns import (
    degrees,
    epoch_column,
    id_column,
    magnitude_columns,
    magnitudes,
    motion_columns,
    numbers,
    pixel_columns,
    sky_columns,
)
from processing.star_files import RawColumn, RawTable, read_tables

_SAME_STAR = 0.01
"""Entries closer than this many arcsec are one star."""
_SAME_SPAXEL = 0.05
"""The same for lists without sky positions, in spaxels."""
_MAS = math.pi / 180 / 3.6e6


@dataclass(frozen=True)
class StarList:
    """Stars with positions and magnitudes; every array has one entry per star.

    Parameters
    ----------
    star_id : ndarray, shape (n,), str
        Unique.
    ra, dec : ndarray, shape (n,), float64
        ICRS degrees at `epoch`; NaN if unknown.
    x, y : ndarray, shape (n,), float64
        Spaxels counted from 0 at the centre of the first one; NaN if unknown. A list that has ra and dec as well may
        mean the pixels of another image: `positions` uses x and y only where there is no other way.
    mag : ndarray, shape (n,), float64
        NaN if unknown.
    mag_name : str
        The column that `mag` came from; empty without one.
    pm_ra, pm_dec : ndarray, shape (n,), float64
        Proper motion in mas/yr, cos(dec) included; NaN if unknown.
    epoch : ndarray, shape (n,), float64
        Julian year of ra and dec; NaN if unknown.
    source : str
        File name, or "detected".
    notes : tuple of str
        What was left out or had to be assumed, a sentence each.
    """

    star_id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    x: np.ndarray
    y: np.ndarray
    mag: np.ndarray
    mag_name: str
    pm_ra: np.ndarray
    pm_dec: np.ndarray
    epoch: np.ndarray
    source: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.star_id)

    def take(self, index: Any) -> StarList:
        """Return the stars of an index array, boolean mask or slice."""
        arrays = ("star_id", "ra", "dec", "x", "y", "mag", "pm_ra", "pm_dec", "epoch")
        return replace(self, **{name: getattr(self, name)[index] for name in arrays})

    def at_epoch(self, year: float) -> StarList:
        """Return the list with its stars moved to another Julian year where motion and epoch are known."""
        years = np.nan_to_num(year - self.epoch)
        dec = self.dec + np.nan_to_num(self.pm_dec) * years / 3.6e6
        ra = (self.ra + np.nan_to_num(self.pm_ra) * years / 3.6e6 / np.cos(np.radians(self.dec))) % 360.0
        moved = np.isfinite(self.epoch) & math.isfinite(year)
        return replace(self, ra=ra, dec=dec, epoch=np.where(moved, year, self.epoch))

    def positions(self, cube: MuseCube) -> tuple[np.ndarray, np.ndarray]:
        """Return where the stars should be in a cube, 0-based spaxels; NaN where it cannot be told.

        From ra and dec at the cube's date where list and cube have sky coordinates, from x and y otherwise.

        Raises
        ------
        StellacubeError
            If no star can be placed.
        """
        x, y = self.x.copy(), self.y.copy()
        sky = np.isfinite(self.ra) & np.isfinite(self.dec)
        if cube.wcs is not None and sky.any():
            moved = self.at_epoch(cube.epoch)
            x[sky], y[sky] = cube.world_to_pixel(moved.ra[sky], moved.dec[sky])
        if len(self) and not (np.isfinite(x) & np.isfinite(y)).any():
            raise StellacubeError(
                f"The stars of {self.source} have sky positions only, but {cube.path.name} has no sky coordinates.",
                "Use a list with x and y in spaxels, or no list to detect the stars.",
            )
        return x, y


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
    stars = stars.take(first)
    return replace(stars, star_id=_unique(stars.star_id, notes), notes=tuple(notes))


def detect_sources(
    cube: MuseCube,
    overview: CubeOverview,
    settings: SourceSettings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> StarList:
    """Find stars on the white-light image with DAOFIND (Stetson 1987) above a smooth background.

    Returns
    -------
    StarList
        Brightest first, with x, y, ra and dec where the cube has sky coordinates, and an instrumental magnitude
        -2.5 log10(flux in the detection kernel).

    Raises
    ------
    StellacubeError
        If no source rises above ``settings.detection_sigma``.
    """
    from photutils.detection import DAOStarFinder

    progress(0.0, "Detecting stars")
    empty = ~np.isfinite(overview.white)
    image = np.where(empty, 0.0, overview.white).astype(float)
    background, noise = _background(image, empty)
    stop_if(cancelled)
    if not noise > 0:
        raise StellacubeError("The white-light image holds no signal to detect stars on.", "Use a star list.")
    residual = np.where(empty, 0.0, image - background)
    scale = cube.pixel_scale
    fwhm = float(np.clip(0.7 / scale, 2.5, 5.0)) if math.isfinite(scale) else 3.5
    finder = DAOStarFinder(
        threshold=settings.detection_sigma * noise, fwhm=fwhm, roundlo=-1.5, roundhi=1.5, sharplo=0.1
    )
    found = finder(residual, mask=empty)
    stop_if(cancelled)
    if found is None or not len(found):
        raise StellacubeError(
            f"No star rises {settings.detection_sigma:g} sigma above the background of {cube.path.name}.",
            "Use a star list, or lower sources.detection_sigma in the settings.",
        )
    flux = np.asarray(found["flux"], float)
    order = np.argsort(-flux, kind="stable")
    name = "xcentroid" if "xcentroid" in found.colnames else "x_centroid"
    x, y = (np.asarray(found[axis + name[1:]], float)[order] for axis in "xy")
    unknown = np.full(len(x), np.nan)
    ra, dec = cube.pixel_to_world(x, y) if cube.wcs is not None else (unknown, unknown)
    progress(1.0, f"{len(x)} stars detected")
    return StarList(
        star_id=np.array([f"D{i + 1:04d}" for i in range(len(x))]),
        ra=ra,
        dec=dec,
        x=x,
        y=y,
        mag=-2.5 * np.log10(flux[order]),
        mag_name="instrumental",
        pm_ra=unknown,
        pm_dec=unknown,
        epoch=np.full(len(x), cube.epoch),
        source="detected",
        notes=(f"{len(x)} stars detected on the white-light image of {cube.path.name}.",),
    )


def _background(image: np.ndarray, empty: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a smooth background (clipped medians of boxes) and the noise of the sky about it."""
    from photutils.background import Background2D, MedianBackground

    good = image[~empty]
    if not good.size:
        return np.zeros_like(image), 0.0
    box = max(min(32, min(image.shape) // 2), 4)
    try:
        background = Background2D(
            image, box, mask=empty, filter_size=3, bkg_estimator=MedianBackground(), exclude_percentile=90
        ).background
    except ValueError:  # too few spaxels in every box
        background = np.full_like(image, np.median(good))
    below = (image - background)[~empty]
    below = below[below < 0]  # stars only add light: the scatter below the background is the noise
    return background, 1.4826 * float(np.median(-below)) if below.size else 0.0


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
    if len(np.unique(ids[~missing])) < max(1, n_star // 2):
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
