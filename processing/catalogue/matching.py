"""The same star in two catalogues, or several times in some: by position or by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from processing.catalogue.label_table import LabelTable
from processing.catalogue.terms import RADIUS, By
from processing.errors import StellacubeError

_ARCSEC = np.pi / 180 / 3600


@dataclass(frozen=True)
class Match:
    """Rows of two catalogues that are the same stars.

    Parameters
    ----------
    first, second : ndarray, shape (n,), int
        Row numbers.
    separation : ndarray, shape (n,)
        Arcsec; NaN where matched by name.
    by : {"position", "name"}
    """

    first: np.ndarray
    second: np.ndarray
    separation: np.ndarray
    by: Literal["position", "name"]


def match(first: LabelTable, second: LabelTable, by: By = "auto", radius: float = RADIUS) -> Match:
    """Pair the rows of two catalogues, each row once at most.

    By position two rows are a pair when each is the other's nearest, within `radius` arcsec; by name when both have
    the name, and no other row of either has it. "auto" takes positions where both catalogues have some.

    Raises
    ------
    StellacubeError
        If they have no star in common.
    """
    from scipy.spatial import cKDTree

    how = _how((first, second), by)
    if how == "name":
        unique = [
            {name for name, count in zip(*np.unique(table.star_id, return_counts=True), strict=True) if count == 1}
            for table in (first, second)
        ]
        common = (unique[0] & unique[1]) - {""}
        place = {name: row for row, name in enumerate(second.star_id)}
        rows = np.array([row for row, name in enumerate(first.star_id) if name in common], int)
        others = np.array([place[first.star_id[row]] for row in rows], int)
        separation = np.full(len(rows), np.nan)
    else:
        on_sky = [np.flatnonzero(_on_sky(table)) for table in (first, second)]
        points = [
            _vectors(table.ra[rows], table.dec[rows]) for table, rows in zip((first, second), on_sky, strict=True)
        ]
        distance, nearest = cKDTree(points[1]).query(points[0])
        _, back = cKDTree(points[0]).query(points[1])
        mutual = (distance < radius * _ARCSEC) & (back[nearest] == np.arange(len(nearest)))
        rows, others, separation = on_sky[0][mutual], on_sky[1][nearest[mutual]], distance[mutual] / _ARCSEC
    if not rows.size:
        raise StellacubeError(f"{first.name} and {second.name} have no star in common.", _hint(how, radius))
    return Match(rows, others, separation, how)


def group(tables: Sequence[LabelTable], by: By = "auto", radius: float = RADIUS) -> tuple[np.ndarray, list[np.ndarray]]:
    """Find the stars that were measured more than once, in some catalogues or within one.

    Rows of one cube are different stars, however close; rows without a cube (spectra from anywhere) may be one star.

    Parameters
    ----------
    tables : sequence of LabelTable
    by, radius
        As in `match`.

    Returns
    -------
    rows : ndarray, shape (n, 2), int
        Catalogue and row of every measurement of such stars.
    groups : list of ndarray of int
        The measurements of every star, as numbers of `rows`. Sets in which two rows of one cube are linked through a
        third are left out: nobody can tell which of the two it is.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    how = _how(tables, by)
    places = np.array([(t, row) for t, table in enumerate(tables) for row in range(len(table))])
    cubes = [f"{t}/{cube}" if cube else f"{t}//{row}" for t, table in enumerate(tables) for row, cube in
             enumerate(table.cube)]  # fmt: skip
    _, exposure = np.unique(cubes, return_inverse=True)
    if how == "name":
        names = np.concatenate([table.star_id for table in tables])
        _, component = np.unique(names, return_inverse=True)
        component = np.where(names == "", component.max() + 1 + np.arange(len(names)), component)
    else:
        pairs = _links(tables, exposure, radius)
        shape = (len(places), len(places))
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape)
        _, component = connected_components(links, directed=False)
    order = np.argsort(component, kind="stable")
    sets = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    found = [s for s in sets if len(s) > 1 and len(np.unique(exposure[s])) == len(s)]
    if not found:
        raise StellacubeError("No star was measured more than once.", _hint(how, radius))
    used = np.concatenate(found)
    ends = np.cumsum([len(s) for s in found])
    return places[used], np.split(np.arange(len(used)), ends[:-1])


def _links(tables: Sequence[LabelTable], exposure: np.ndarray, radius: float) -> np.ndarray:
    """Pairs of measurements (n, 2) within the radius, each the other's nearest of its exposure."""
    from scipy.spatial import cKDTree

    ra, dec = (np.concatenate([getattr(table, name) for table in tables]) for name in ("ra", "dec"))
    on_sky = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    points = _vectors(ra[on_sky], dec[on_sky])
    pairs = cKDTree(points).query_pairs(radius * _ARCSEC, output_type="ndarray")
    distance = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    pairs = on_sky[pairs]
    apart = exposure[pairs[:, 0]] != exposure[pairs[:, 1]]
    pairs, distance = pairs[apart], distance[apart]
    nearest = np.ones(len(pairs), bool)
    for one, other in ((0, 1), (1, 0)):
        order = np.lexsort((distance, exposure[pairs[:, other]], pairs[:, one]))
        keys = np.column_stack([pairs[order, one], exposure[pairs[order, other]]])
        first = np.ones(len(order), bool)
        first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
        nearest[order] &= first
    return np.asarray(pairs[nearest], int)


def _how(tables: Sequence[LabelTable], by: By) -> Literal["position", "name"]:
    if by != "auto":
        return by
    return "position" if all(_on_sky(table).any() for table in tables) else "name"


def _on_sky(table: LabelTable) -> np.ndarray:
    return np.isfinite(table.ra) & np.isfinite(table.dec)


def _vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return unit vectors (n, 3) of positions in degrees: chords between them are angles, for small ones."""
    ra, dec = np.radians(ra), np.radians(dec)
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def _hint(how: str, radius: float) -> str:
    if how == "name":
        return "They were compared by name; give --by position where both have right ascension and declination."
    return f"They were compared by position within {radius:g} arcsec; try a larger --radius, or --by name."
