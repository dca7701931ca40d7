"""Three bands of a cube put together to a colour image, as pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from processing.cube import CubeOverview, MuseCube

Range = tuple[float, float]
Ranges = tuple[Range, Range, Range]
"""Wavelengths in Angstrom of red, green and blue."""
SOFTENING = 8.0
"""Lupton's Q: how soon the stretch turns from linear to logarithmic."""
FAINT = 0.2
"""The stretch is linear up to about this share of the brightness that is just not white."""


def thirds(wave: np.ndarray) -> Ranges:
    """Return the red, the middle and the blue third of a wavelength axis."""
    edges = np.linspace(float(wave[0]), float(wave[-1]), 4).tolist()
    return (edges[2], edges[3]), (edges[1], edges[2]), (edges[0], edges[1])


def band_mean(cube: MuseCube, overview: CubeOverview | None, low: float, high: float) -> np.ndarray:
    """Return the mean image between two wavelengths, shape (ny, nx).

    Where the overview has at least four band images that lie inside, they are averaged: the cube is not read again.
    """
    if overview is not None:
        start, stop = np.searchsorted(cube.wave, [low, high])
        inside = (overview.band_start[:-1] >= start) & (overview.band_start[1:] <= stop)
        if inside.sum() >= 4:
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # spaxels without data have no mean
                return np.nanmean(overview.bands[inside], axis=0)
    return cube.band_image(low, high)


def compose(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Put three images together so that colour does not depend on brightness (Lupton et al. 2004).

    The sky (median) of each band becomes black; then the bands are scaled to the same 99.5th percentile, so that the
    typical star is white.

    Returns
    -------
    ndarray, shape (ny, nx, 3), uint8
        0 where a band has no data.
    """
    from astropy.visualization import make_lupton_rgb

    bands = []
    for image in (red, green, blue):
        dark = np.asarray(image, float) - float(np.nanmedian(image)) if np.isfinite(image).any() else np.zeros(1)
        bright = float(np.nanpercentile(dark, 99.5))
        scaled = np.broadcast_to(dark / bright if bright > 0 else dark, image.shape)
        bands.append(np.nan_to_num(scaled, posinf=0.0, neginf=0.0))
    with np.errstate(divide="ignore", invalid="ignore"):  # where there is no light
        return np.ascontiguousarray(make_lupton_rgb(*bands, minimum=0.0, stretch=FAINT, Q=SOFTENING))
