"""A star list changed by hand: stars added, moved and deleted, saved as a list that reads back the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from processing.errors import StellacubeError
from processing.labels.priors import PHOTOMETRIC
from processing.star_list import StarList

if TYPE_CHECKING:
    from processing.cube import MuseCube

Change = Literal["added", "moved", "deleted"]
_SKY_RADII = (5.0, 8.0)
"""Annulus around a star whose median is its sky, spaxels."""
_RADIUS = 3.0
_ARRAYS = ("star_id", "ra", "dec", "x", "y", "mag", "pm_ra", "pm_dec", "epoch")


@dataclass(frozen=True)
class EditedStars:
    """A star list and what was changed in it.

    Parameters
    ----------
    stars : StarList
        All stars where they are now, deleted ones included.
    changes : mapping
        "added", "moved" or "deleted" by star; nothing for the others.
    """

    stars: StarList
    changes: Mapping[str, Change] = field(default_factory=dict)

    @property
    def kept(self) -> StarList:
        """The stars that are not deleted: what a run is given."""
        return self.stars.take(
            np.array([self.changes.get(str(name)) != "deleted" for name in self.stars.star_id], bool)
        )

    def added(self, cube: MuseCube, x: float, y: float, mag: float) -> tuple[EditedStars, str]:
        """Return the list with a star more, at (x, y) in 0-based spaxels, and its name."""
        taken = set(self.stars.star_id.tolist())
        name = next(name for n in range(1, len(taken) + 2) if (name := f"new{n}") not in taken)
        values: dict[str, Any] = {"star_id": name, "x": x, "y": y, "mag": mag, **_sky(cube, x, y)}
        arrays: dict[str, Any] = {key: np.append(getattr(self.stars, key), values.get(key, np.nan)) for key in _ARRAYS}
        return EditedStars(replace(self.stars, **arrays), {**self.changes, name: "added"}), name

    def moved(self, cube: MuseCube, star_id: str, x: float, y: float) -> EditedStars:
        """Return the list with a star at another place; its proper motion does not move it any more."""
        row = self.stars.star_id == star_id
        values = {"x": x, "y": y, "pm_ra": np.nan, "pm_dec": np.nan, **_sky(cube, x, y)}
        arrays: dict[str, Any] = {key: np.where(row, value, getattr(self.stars, key)) for key, value in values.items()}
        change: Change = "added" if self.changes.get(star_id) == "added" else "moved"
        return EditedStars(replace(self.stars, **arrays), {**self.changes, star_id: change})

    def deleted(self, star_id: str) -> EditedStars:
        """Return the list without a star; one that was added by hand vanishes, another is marked."""
        if self.changes.get(star_id) == "added":
            changes = {name: change for name, change in self.changes.items() if name != star_id}
            return EditedStars(self.stars.take(self.stars.star_id != star_id), changes)
        return EditedStars(self.stars, {**self.changes, star_id: "deleted"})


def _sky(cube: MuseCube, x: float, y: float) -> dict[str, float]:
    """Return the sky position of a spaxel at the time of the cube; nothing where there are no coordinates."""
    if cube.wcs is None:
        return {"ra": np.nan, "dec": np.nan}
    ra, dec = cube.pixel_to_world(x, y)
    return {"ra": float(ra), "dec": float(dec), "epoch": cube.epoch}


def no_stars(source: str = "drawn by hand") -> StarList:
    """Return a list without stars, to be filled by hand."""
    none = np.empty(0)
    return StarList(np.empty(0, "U1"), none, none, none, none, none, "", none, none, none, source)


def centroid(image: np.ndarray, x: float, y: float, reach: float = 2.0) -> tuple[float, float]:
    """Return the centre of the light near (x, y), or (x, y) itself where no star stands out within `reach` spaxels.

    The first moment of what is brighter than the median of a box of 7 spaxels, three times, each around the last.
    """
    ny, nx = image.shape
    place = (x, y)
    for _ in range(3):
        i, j = round(place[0]), round(place[1])
        rows, columns = slice(max(j - 3, 0), min(j + 4, ny)), slice(max(i - 3, 0), min(i + 4, nx))
        box = image[rows, columns]
        if not np.isfinite(box).any():
            return x, y
        light = np.nan_to_num(np.clip(box - np.nanmedian(box), 0, None))
        if light.sum() <= 0:
            return x, y
        py, px = np.mgrid[rows, columns]
        place = (float((px * light).sum() / light.sum()), float((py * light).sum() / light.sum()))
        if np.hypot(place[0] - x, place[1] - y) > reach:
            return x, y
    return place


def estimate_magnitude(image: np.ndarray, stars: StarList, cube: MuseCube, x: float, y: float) -> float:
    """Return the magnitude of a star at (x, y) on the scale of the list.

    From the sum within three spaxels minus the median of an annulus on a white-light image; the zero point is the
    median of the list's stars in the field. NaN where either cannot be measured.
    """
    flux = _flux(image, x, y)
    if not len(stars) or not flux > 0:
        return float("nan")
    px, py = stars.positions(cube)
    ny, nx = image.shape
    with np.errstate(invalid="ignore"):
        inside = np.isfinite(stars.mag) & (px > 0) & (px < nx - 1) & (py > 0) & (py < ny - 1)
    bright = np.flatnonzero(inside)[np.argsort(stars.mag[inside])][:50]
    fluxes = np.array([_flux(image, float(px[n]), float(py[n])) for n in bright])
    usable = fluxes > 0
    if not usable.any():
        return float("nan")
    zero = np.median(stars.mag[bright][usable] + 2.5 * np.log10(fluxes[usable]))
    return float(zero - 2.5 * np.log10(flux))


def _flux(image: np.ndarray, x: float, y: float) -> float:
    """Return the flux within three spaxels above the sky around it; NaN without any."""
    ny, nx = image.shape
    reach = int(_SKY_RADII[1]) + 1
    rows = slice(max(round(y) - reach, 0), min(round(y) + reach + 1, ny))
    columns = slice(max(round(x) - reach, 0), min(round(x) + reach + 1, nx))
    box = image[rows, columns]
    if not box.size:
        return float("nan")
    py, px = np.mgrid[rows, columns]
    distance = np.hypot(px - x, py - y)
    star, ring = box[distance <= _RADIUS], box[(distance >= _SKY_RADII[0]) & (distance <= _SKY_RADII[1])]
    if not (np.isfinite(star).any() and np.isfinite(ring).any()):
        return float("nan")
    return float(np.nansum(star - np.nanmedian(ring)))


def write_star_list(edited: EditedStars, path: Path) -> Path:
    """Save the stars that are not deleted as CSV, or as ECSV where the name says so; `read_star_list` reads it back.

    Sky positions where all stars have one, spaxels beside them where some have not; what the list does not know is
    left out. The column ``edit`` says which stars were added or moved.

    Raises
    ------
    StellacubeError
        If no star is left, or the file cannot be written.
    """
    from astropy.table import Table

    stars = edited.kept
    if not len(stars):
        raise StellacubeError("No star is left in the list.", "Add stars, or undo.")
    table = Table({"id": stars.star_id.astype(str)})
    sky = bool(np.isfinite(stars.ra).all())
    columns = {"ra": stars.ra, "dec": stars.dec, stars.mag_name or "mag": stars.mag, "pmra": stars.pm_ra,
               "pmdec": stars.pm_dec, "ref_epoch": stars.epoch}  # fmt: skip
    if not sky:
        columns |= {"x": stars.x, "y": stars.y}
    known = [stars.known.get(str(name), {}) for name in stars.star_id]
    for key in (key for pair in PHOTOMETRIC.values() for key in pair):
        columns[key] = np.array([values.get(key, np.nan) for values in known])
    for name, values in columns.items():
        if np.isfinite(values).any():
            table[name] = np.ma.masked_invalid(values)
    table["edit"] = [edited.changes.get(str(name), "") for name in stars.star_id]
    kind = "ascii.ecsv" if path.suffix.lower() == ".ecsv" else "ascii.csv"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write(path, format=kind, overwrite=True)
    except OSError as error:
        raise StellacubeError(f"{path} cannot be written ({error.strerror}).", "Choose another folder.") from error
    return path
