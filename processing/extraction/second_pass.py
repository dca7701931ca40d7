"""Stars that the list lacks, searched in what the extraction left of the white-light image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.checkpoint import Block, Checkpoint
from processing.extraction.peaks import find_peaks
from processing.extraction.register import Registration

if TYPE_CHECKING:
    from processing.cube import MuseCube
    from processing.extraction.extract import Extraction
    from processing.extraction.psf import PsfShape
    from processing.reference import StarList

NEAR = 0.7
"""No star is new that is closer than this to a listed one, FWHM."""
MIN_SHARE = 0.05
"""A peak must have more than this share of the listed stars' light around it: the PSF's own errors have less."""
REACH = 2.0
"""New stars are centred on the spaxels within this many FWHM."""
PREFIX = "new-"


def missed_stars(found: Extraction, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the registered positions of stars that were not modelled, 0-based spaxels, the brightest first.

    Parameters
    ----------
    found : Extraction
    variance : ndarray, shape (ny, nx)
        Typical variance of a spaxel in one layer; only its pattern matters. NaN where there are no data.
    """
    from scipy.spatial import cKDTree

    wave = found.spectra[0].wave
    middle = float(wave[wave.size // 2])
    psf, fwhm = found.psf.at(middle), float(found.psf.fwhm(middle))
    good = np.isfinite(found.residual) & np.isfinite(variance)
    contrast = np.where(good, found.residual, 0.0) / np.sqrt(np.where(good, variance, 1.0))
    peaks = find_peaks(contrast, fwhm)
    sources = found.sources
    placed = np.isfinite(sources.x) & np.isfinite(sources.y)
    known = np.stack(found.psf.positions(sources.x[placed], sources.y[placed], middle), axis=1)
    far = cKDTree(known).query(np.stack([peaks.x, peaks.y], axis=1))[0] > NEAR * fwhm
    x, y = peaks.x[far], peaks.y[far]
    light = np.zeros(x.size)
    for star in found.spectra:
        sx, sy = found.psf.positions(np.asarray(star.x), np.asarray(star.y), middle)
        light += max(float(np.nanmean(star.flux)), 0.0) * psf(x - sx, y - sy)
    there = found.residual[np.rint(y).astype(int), np.rint(x).astype(int)] > MIN_SHARE * light
    x, y = x[there], y[there]
    for i in range(x.size):
        x[i], y[i] = _centred(np.where(good, found.residual, np.nan), psf, fwhm, known, x[i], y[i])
    there_x, there_y = found.psf.positions(x, y, middle)
    return 2.0 * x - there_x, 2.0 * y - there_y


def _centred(
    residual: np.ndarray, psf: PsfShape, fwhm: float, known: np.ndarray, x: float, y: float
) -> tuple[float, float]:
    """Return the place of a new star, fitted with the errors that it has made in its neighbours' fluxes."""
    grid = np.indices(residual.shape)
    near = (np.hypot(grid[1] - x, grid[0] - y) < REACH * fwhm) & np.isfinite(residual)
    neighbours = known[np.hypot(known[:, 0] - x, known[:, 1] - y) < 2.0 * REACH * fwhm]
    py, px = grid[:, near]
    others = [psf(px - a, py - b) for a, b in neighbours]
    at, step = np.array([x, y]), 0.05
    for _ in range(4):
        dx, dy = px - at[0], py - at[1]
        by_x = (psf(dx - step, dy) - psf(dx + step, dy)) / (2.0 * step)
        by_y = (psf(dx, dy - step) - psf(dx, dy + step)) / (2.0 * step)
        design = np.stack([psf(dx, dy), by_x, by_y, np.ones(px.size), *others], axis=1)
        solution: np.ndarray = np.linalg.lstsq(design, residual[near], rcond=None)[0]
        flux, along_x, along_y = solution[:3].tolist()
        if flux <= 0.0:
            return x, y
        at = at + np.clip(np.array([along_x, along_y]) / flux, -0.3, 0.3)
    return (float(at[0]), float(at[1])) if math.dist(at, (x, y)) < 0.5 * fwhm else (x, y)


def with_new_stars(
    cube: MuseCube, stars: StarList, registration: Registration, x: np.ndarray, y: np.ndarray
) -> tuple[StarList, Registration]:
    """Return the list and the registration with stars added at (x, y), named "new-001" and so on."""
    unknown = np.full(x.size, np.nan)
    ra, dec = cube.pixel_to_world(x, y) if cube.wcs is not None else (unknown, unknown)
    added: dict[str, Any] = {
        "star_id": np.array([f"{PREFIX}{k + 1:03d}" for k in range(x.size)]), "ra": ra, "dec": dec, "x": x, "y": y,
        "mag": unknown, "pm_ra": unknown, "pm_dec": unknown, "epoch": unknown,
    }  # fmt: skip
    longer: dict[str, Any] = {name: np.concatenate([getattr(stars, name), values]) for name, values in added.items()}
    places = np.append(registration.x, x), np.append(registration.y, y)
    return replace(stars, **longer), replace(registration, x=places[0], y=places[1])


@dataclass(frozen=True)
class FirstCheckpoint:
    """A store in which the blocks of the first pass lie beside those that count."""

    store: Checkpoint

    def load(self, key: str) -> Block | None:
        """Return the block stored under `key`, or None."""
        return self.store.load(f"first/{key}")

    def save(self, key: str, block: Block) -> None:
        """Store a finished block under `key`."""
        self.store.save(f"first/{key}", block)
