"""What the detector did to the brightest stars: cores that are saturated, and holes that they tore around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.cube import LayerBlock
from processing.extraction.layer_model import Layers
from processing.extraction.psf import constant_psf
from processing.layer_statistics import masked_median

if TYPE_CHECKING:
    from processing.cube import CubeOverview

N_BRIGHT = 40
"""Only the brightest stars of a field can be saturated."""
CORE, WINGS = 0.35, (0.65, 2.2)
"""Radii of a star's core, and of the wings that tell how bright the core should be, FWHM."""
NEIGHBOURS, FAINTER = 12, 4.0
"""Stars around it that are fitted with it, up to so many magnitudes fainter."""
BLEND = 2.0
"""With a neighbour inside its wings that is fainter by less than this many magnitudes, a star cannot be judged."""
ONE = 0.25
"""A neighbour within this many FWHM is one star with it."""
FLAT = 0.7
"""A core with less of the brightness that its wings promise is flat-topped."""
RELIABLE = 8.0
"""The promised core must stand out from the wings' scatter around their fit by this factor to tell anything."""
FULL = 0.7
"""The promised core must reach this share of the brightest sound core of the band: all stars saturate at one level."""
OFTEN = 0.05
"""A star is saturated when its core is flat in more than this share of the bands."""
BETA = 2.5
HOLE = 6.0
"""Pixels this many sigma below the background around a saturated star are holes torn by it."""
REACH = 3.0
"""Holes are looked for within this many FWHM."""
N_HOLE = 4
"""So many of them within reach of one of the brightest stars prove it saturated."""


@dataclass(frozen=True)
class Saturation:
    """Stars that are saturated, and the voxels that they spoil.

    Parameters
    ----------
    star : ndarray of bool, shape (n,)
    reason : ndarray of str, shape (n,)
        A sentence; empty for sound stars.
    mask : ndarray of bool, shape (n_band, ny, nx)
        True where voxels must not be used.
    band_start : ndarray of int, shape (n_band + 1,)
        First layer of each band.
    """

    star: np.ndarray
    reason: np.ndarray
    mask: np.ndarray
    band_start: np.ndarray


class Unspoilt:
    """The layers of a cube without spoilt voxels.

    Parameters
    ----------
    cube : Layers
    mask : ndarray of bool, shape (n_band, ny, nx)
        True where voxels must not be used.
    band_start : ndarray of int, shape (n_band + 1,)
        First layer of each band.
    """

    def __init__(self, cube: Layers, mask: np.ndarray, band_start: np.ndarray) -> None:
        self._cube, self._mask, self._band_start = cube, mask, band_start

    @property
    def wave(self) -> np.ndarray:
        """Wavelengths of the layers in Angstrom."""
        return self._cube.wave

    def block(self, start: int, stop: int) -> Any:
        """Return ``flux`` and ``ivar``, each (n, ny, nx), 0 where masked."""
        block = self._cube.block(start, stop)
        spoilt = self._mask[np.searchsorted(self._band_start, np.arange(start, stop), side="right") - 1]
        return LayerBlock(np.where(spoilt, np.float32(0), block.flux), np.where(spoilt, np.float32(0), block.ivar))


def find_saturated(
    overview: CubeOverview, wave: np.ndarray, x: np.ndarray, y: np.ndarray, mag: np.ndarray, fwhm: float
) -> Saturation | None:
    """Find stars with flat or hollow cores, band by band; None where all are sound.

    The core is compared with what a fit to the star's wings promises, its neighbours fitted along, and that with the
    same of the other bright stars in the band: the PSF need not be known exactly.

    Parameters
    ----------
    overview : CubeOverview
    wave : ndarray, shape (n_wave,)
        The cube's, Angstrom.
    x, y : ndarray, shape (n,)
        Registered positions, spaxels.
    mag : ndarray, shape (n,)
        NaN if unknown: such stars are judged too.
    fwhm : float
        Of the stars, spaxels.
    """
    bands = overview.bands
    ny, nx = overview.white.shape
    inside = np.flatnonzero((x > 1) & (x < nx - 2) & (y > 1) & (y < ny - 2))
    bright = inside[np.argsort(np.nan_to_num(mag[inside], nan=-99.0), kind="stable")[:N_BRIGHT]]
    live = np.isfinite(bands).any((1, 2))
    if bright.size == 0 or not live.any():
        return None
    level = np.full(len(bands), np.nan)
    noise = np.full(len(bands), np.nan)
    level[live] = np.nanmedian(bands[live], axis=(1, 2))
    noise[live] = level[live] - np.nanpercentile(bands[live], 15.87, axis=(1, 2))  # below the stars
    torn = bands < (level - HOLE * noise)[:, None, None]
    sound_bands = np.where(torn.mean(0) > OFTEN, np.nan, bands[live])
    found, promised = np.full((2, len(bands), bright.size), np.nan)
    for j, i in enumerate(bright):
        found[live, j], promised[live, j] = _core(bands[live], sound_bands, x, y, mag, int(i), fwhm)
    ratio = found / promised
    sound = np.clip(masked_median(ratio), 0.5, None)
    flat = ratio < FLAT * np.where(np.isfinite(sound), sound, 1.0)[:, None]
    holes = np.array([[hole[_within(x[i], y[i], REACH * fwhm, (ny, nx))].sum() for i in bright] for hole in torn])
    bad = flat | (holes >= N_HOLE)
    flat = bad & (promised > FULL * np.nan_to_num(np.where(bad, 0.0, found)).max(1)[:, None])
    flat &= flat.sum(0) > OFTEN * live.sum()
    if not flat.any():
        return None
    star, reason, mask = np.zeros(x.size, bool), np.full(x.size, "", dtype="<U80"), np.zeros(bands.shape, bool)
    for column in np.flatnonzero(flat.any(0)):
        i, hit = bright[column], np.flatnonzero(flat[:, column])
        ends = wave[overview.band_start[hit[0]]], wave[overview.band_start[hit[-1] + 1] - 1]
        star[i] = True
        reason[i] = f"saturated: flat or hollow, or with holes around it, at {ends[0]:.0f}-{ends[1]:.0f} A"
        mask[:, _within(x[i], y[i], WINGS[0] * fwhm, (ny, nx))] = True
        mask |= _within(x[i], y[i], REACH * fwhm, (ny, nx)) & torn
    return Saturation(star, reason, mask, overview.band_start)


def _within(x: float, y: float, radius: float, shape: tuple[int, int]) -> np.ndarray:
    """Return an image of `shape`, True within a circle."""
    yy, xx = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((xx - x) ** 2 + (yy - y) ** 2 < radius**2)


def _core(
    bands: np.ndarray, sound: np.ndarray, x: np.ndarray, y: np.ndarray, mag: np.ndarray, i: int, fwhm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of a star's core without its neighbours, and what its wings promise, both (n_band,).

    The wings are those of `sound`, (n_band, ny, nx), where holes are NaN. The result is NaN where the wings promise
    nothing clear, or where a neighbour is too close to tell.
    """
    nothing = np.full(len(bands), np.nan)
    apart = np.hypot(x - x[i], y - y[i]) / fwhm
    if (~(mag[(apart < WINGS[0]) & (apart > ONE)] > mag[i] + BLEND)).any():
        return nothing, nothing
    near = np.flatnonzero((apart >= WINGS[0]) & (apart < WINGS[1] + 0.5) & ~(mag > mag[i] + FAINTER))
    near = near[np.argsort(mag[near], kind="stable")[:NEIGHBOURS]]
    reach = int(np.ceil(WINGS[1] * fwhm)) + 1
    left, low = max(int(x[i]) - reach, 0), max(int(y[i]) - reach, 0)
    box = (slice(None), slice(low, low + 2 * reach + 1), slice(left, left + 2 * reach + 1))
    bands, sound = bands[box], sound[box]
    shape = bands.shape[1:]
    yy, xx = np.indices(shape)
    r = np.hypot(xx + left - x[i], yy + low - y[i]) / fwhm
    core = np.isfinite(bands).all(0) & (r <= max(CORE, 0.75 / fwhm))
    wings = np.isfinite(sound).all(0) & (r >= WINGS[0]) & (r <= WINGS[1])
    if core.sum() == 0 or wings.sum() < 4 * (near.size + 2):
        return nothing, nothing
    psf = constant_psf("moffat", fwhm, BETA, np.array([0.0, 1.0]), 0.0, 0.0)
    columns = [psf.stamp(x[k] - left, y[k] - low, 0.0, shape) for k in (i, *near)]
    design = np.stack([*columns, np.ones(shape)], axis=-1)
    coefficients = np.linalg.lstsq(design[wings], bands[:, wings].T.astype(float), rcond=None)[0]  # (n_column, n_band)
    scatter = np.std(bands[:, wings].T - design[wings] @ coefficients, axis=0)
    own = bands[:, core].T - design[core][:, 1:] @ coefficients[1:]
    promised = design[core][:, 0].mean() * coefficients[0]
    clear = promised > RELIABLE * scatter
    return np.where(clear, own.mean(0), np.nan), np.where(clear, promised, np.nan)
