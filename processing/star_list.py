"""StarList: the noun between a catalogue of positions and the extraction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from processing.cube import MuseCube
from processing.errors import StellacubeError
from processing.spectrum import StarSpectrum


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
    known : mapping of str to mapping of str to float
        By star: labels known beforehand, named as `processing.labels.priors.PHOTOMETRIC` does.
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
    known: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.star_id)

    def take(self, index: Any) -> StarList:
        """Return the stars of an index array, boolean mask or slice."""
        arrays = ("star_id", "ra", "dec", "x", "y", "mag", "pm_ra", "pm_dec", "epoch")
        return replace(self, **{name: getattr(self, name)[index] for name in arrays})

    def told(self, spectra: Sequence[StarSpectrum]) -> tuple[StarSpectrum, ...]:
        """Return the spectra, each with what the list knows of its star's labels beforehand."""
        return tuple(replace(star, meta={**star.meta, **self.known.get(star.star_id, {})}) for star in spectra)

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
