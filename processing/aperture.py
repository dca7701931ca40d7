"""Aperture photometry of every layer: the plain spectrum of whatever lies in a circle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.layer_statistics import masked_median
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.cube import MuseCube


def aperture_spectrum(
    cube: MuseCube, x: float, y: float, radius: float, annulus: tuple[float, float] | None = None
) -> StarSpectrum:
    """Sum the flux in a circle, minus the median of an annulus.

    Spaxels cut by the circle count by their area. Where masked voxels or the edge leave a gap in the circle the sum is
    scaled up to the full area, and masked itself where they take more than half of it.

    Parameters
    ----------
    cube : MuseCube
    x, y : float
        Centre in 0-based spaxels.
    radius : float
        Radius in spaxels.
    annulus : tuple of float, optional
        Inner and outer radius of the sky annulus in spaxels.
    """
    reach = max(radius, annulus[1] if annulus else 0.0) + 1
    _, ny, nx = cube.shape
    rows, columns = _around(y, reach, ny), _around(x, reach, nx)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise StellacubeError(f"The aperture at x = {x:.1f}, y = {y:.1f} lies outside the cube.")
    flux, ivar = cube.box(rows, columns)
    good = ivar > 0
    full = math.pi * radius**2
    weight = np.where(good, circle(x, y, radius, rows, columns), 0.0)
    covered = weight.sum(axis=(1, 2))
    kept = covered > 0.5 * full
    scale = np.where(kept, full / np.where(kept, covered, 1.0), 0.0)
    total = scale * (weight * np.where(good, flux, 0.0)).sum(axis=(1, 2))
    variance = scale**2 * (weight**2 / np.where(good, ivar, 1.0)).sum(axis=(1, 2))
    if annulus:
        ring = circle(x, y, annulus[1], rows, columns) - circle(x, y, annulus[0], rows, columns) > 0.5
        sky, sky_variance = _sky(flux[:, ring])
        kept &= np.isfinite(sky)
        total -= full * np.nan_to_num(sky)
        variance += full**2 * np.nan_to_num(sky_variance)
    kept &= variance > 0
    ra, dec = cube.pixel_to_world(x, y) if cube.wcs is not None else (math.nan, math.nan)
    return StarSpectrum(
        star_id=f"x{x:.1f}y{y:.1f}",
        wave=cube.wave,
        flux=np.where(kept, total, np.nan).astype(np.float32),
        ivar=np.where(kept, 1.0 / np.where(kept, variance, 1.0), 0.0).astype(np.float32),
        frame=cube.frame,
        flux_unit=cube.flux_unit,
        lsf_fwhm=cube.lsf_fwhm,
        ra=float(ra),
        dec=float(dec),
        x=float(x),
        y=float(y),
        barycentric=cube.barycentric,
        meta={"cube": cube.path.name, "date_obs": cube.date_obs, "status": "aperture"},
    )


def _sky(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median of an annulus per layer (NaN is masked) and its variance, pi/2 times that of a mean."""
    if not values.shape[1]:
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    sky = masked_median(values)
    scatter = 1.4826 * masked_median(np.abs(values - sky[:, None]))
    count = np.maximum(np.count_nonzero(np.isfinite(values), axis=1), 1)
    return sky, math.pi / 2 * scatter**2 / count


def _around(centre: float, reach: float, size: int) -> slice:
    """Return the whole pixels of the image within `reach` of `centre`."""
    return slice(max(math.floor(centre - reach), 0), min(math.ceil(centre + reach) + 1, size))


def circle(x: float, y: float, radius: float, rows: slice, columns: slice, fine: int = 10) -> np.ndarray:
    """Return the share of each pixel that lies within the circle, from fine x fine points in it."""
    points = (np.arange(fine) + 0.5) / fine - 0.5
    yy = (np.arange(rows.start, rows.stop)[:, None] + points).ravel() - y
    xx = (np.arange(columns.start, columns.stop)[:, None] + points).ravel() - x
    inside = yy[:, None] ** 2 + xx[None, :] ** 2 <= radius**2
    return inside.reshape(rows.stop - rows.start, fine, columns.stop - columns.start, fine).mean(axis=(1, 3))
