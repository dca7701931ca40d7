"""Finding stars on the white-light image when there is no list."""

from __future__ import annotations

import math
import warnings

import numpy as np

from processing.cube import CubeOverview, MuseCube
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import SourceSettings
from processing.star_list import StarList

_SEEING = 0.7
"""FWHM of the detection kernel in arcsec where that is 2.5 to 5 spaxels."""


def detect_sources(
    cube: MuseCube,
    overview: CubeOverview,
    settings: SourceSettings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> StarList:
    """Find stars on the white-light image: peaks of the height of a Gaussian fitted around every spaxel.

    The heights are those of DAOFIND (Stetson 1987, PASP 99, 191), except that masked spaxels are left out of each fit.

    Returns
    -------
    StarList
        Brightest first, with x, y, ra and dec where the cube has sky coordinates, and an instrumental magnitude
        -2.5 log10(flux of the Gaussian).

    Raises
    ------
    StellacubeError
        If no source rises above ``settings.detection_sigma``.
    """
    from photutils.detection import find_peaks

    progress(0.0, "Detecting stars")
    scale = cube.pixel_scale
    fwhm = float(np.clip(_SEEING / scale, 2.5, 5.0)) if math.isfinite(scale) else 3.5
    good = np.isfinite(overview.white)
    height = gaussian_heights(overview.white, fwhm)
    stop_if(cancelled)
    noise = _noise(overview, height, fwhm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "no peaks" is said below
        found = find_peaks(height, settings.detection_sigma * noise, box_size=3, mask=~good) if noise > 0 else None
    if found is None or not len(found):
        raise StellacubeError(
            f"No star rises {settings.detection_sigma:g} sigma above the background of {cube.path.name}.",
            "Use a star list, or lower sources.detection_sigma in the settings.",
        )
    row, column = np.asarray(found["y_peak"], int), np.asarray(found["x_peak"], int)
    order = np.argsort(-height[row, column], kind="stable")
    row, column = row[order], column[order]
    x, y = column + _vertex(height, row, column, 0, 1), row + _vertex(height, row, column, 1, 0)
    flux = height[row, column] * math.pi * fwhm**2 / (4 * math.log(2))
    unknown = np.full(len(x), np.nan)
    ra, dec = cube.pixel_to_world(x, y) if cube.wcs is not None else (unknown, unknown)
    progress(1.0, f"{len(x)} stars detected")
    return StarList(
        star_id=np.array([f"D{i + 1:04d}" for i in range(len(x))]),
        ra=ra,
        dec=dec,
        x=x,
        y=y,
        mag=-2.5 * np.log10(flux),
        mag_name="instrumental",
        pm_ra=unknown,
        pm_dec=unknown,
        epoch=np.full(len(x), cube.epoch),
        source="detected",
        notes=(f"{len(x)} stars detected on the white-light image of {cube.path.name}.",),
    )


def gaussian_heights(image: np.ndarray, fwhm: float) -> np.ndarray:
    """Fit a Gaussian plus a constant around every pixel by least squares and return its height.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        NaN where masked.
    fwhm : float
        Pixels.

    Returns
    -------
    ndarray, shape (ny, nx), float64
        0 where too few pixels are left for a fit.
    """
    from scipy.ndimage import convolve

    reach = math.ceil(fwhm)
    axis = np.arange(-reach, reach + 1)
    square = axis[:, None] ** 2 + axis[None, :] ** 2
    window = (square <= reach**2).astype(float)
    kernel = window * np.exp(-4 * math.log(2) * square / fwhm**2)
    good = np.isfinite(image).astype(float)
    level = float(np.median(image[good > 0])) if good.any() else 0.0
    data = np.where(good > 0, image - level, 0.0)
    count, g, gg, d, gd = (
        convolve(values, weights, mode="constant")
        for values, weights in ((good, window), (good, kernel), (good, kernel**2), (data, window), (data, kernel))
    )
    count = np.maximum(np.round(count), 1.0)
    spread = gg - g**2 / count
    enough = (count > 0.5 * window.sum()) & (spread > 0.3 * ((kernel**2).sum() - kernel.sum() ** 2 / window.sum()))
    return np.where(enough, (gd - g * d / count) / np.where(enough, spread, 1.0), 0.0)


def _noise(overview: CubeOverview, height: np.ndarray, fwhm: float) -> float:
    """Return the noise of the heights.

    In a crowded field every height is a star's, so the noise is that of the heights in a difference of neighbouring
    band images, where the stars cancel. With few bands it is taken from the heights below zero.
    """
    n_band = len(overview.bands) // 2 * 2
    if n_band >= 8:
        signs = np.where(np.arange(n_band) % 2, -1.0, 1.0)
        difference = np.tensordot(signs, overview.bands[:n_band], axes=1) / n_band
        noise = gaussian_heights(difference, fwhm)[np.isfinite(difference)]
        return 1.4826 * float(np.median(np.abs(noise))) if noise.size else 0.0
    below = -height[np.isfinite(overview.white) & (height < 0)]
    return 1.4826 * float(np.median(below)) if below.size else 0.0


def _vertex(height: np.ndarray, row: np.ndarray, column: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return the offset of the vertex of the parabola through a peak and its two neighbours, within half a pixel."""
    padded = np.pad(height, 1)
    middle = padded[row + 1, column + 1]
    before, after = padded[row + 1 - down, column + 1 - right], padded[row + 1 + down, column + 1 + right]
    bend = 2 * middle - before - after
    return np.clip(np.where(bend > 0, (after - before) / (2 * np.where(bend > 0, bend, 1.0)), 0.0), -0.5, 0.5)
