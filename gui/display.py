"""How an image is shown: stretches and limits, positions in words, and where north is, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from processing.cube import MuseCube

STRETCHES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda t: t,
    "sqrt": np.sqrt,
    "log": lambda t: np.log10(1.0 + 1000.0 * t) / np.log10(1001.0),
    "asinh": lambda t: np.arcsinh(10.0 * t) / np.arcsinh(10.0),
}
"""From 0..1 to 0..1; log and asinh with the constants of astropy.visualization and DS9."""
LIMITS: dict[str, tuple[float, float] | None] = {
    "99.5 %": (0.25, 99.75),
    "99 %": (0.5, 99.5),
    "98 %": (1.0, 99.0),
    "95 %": (2.5, 97.5),
    "90 %": (5.0, 95.0),
    "min – max": (0.0, 100.0),
    "zscale": None,
}
"""Percentiles of what is finite; zscale as in IRAF."""
COLOUR_MAPS: dict[str, str] = {
    "grey": "CET-L1",
    "viridis": "viridis",
    "cividis": "cividis",
    "magma": "magma",
    "inferno": "inferno",
    "diverging": "CET-D1A",
}
"""Perceptually uniform ones only, by what they are called here and by pyqtgraph's names."""
SAMPLE = 100_000
"""Limits of larger images are taken from an even sample of this many pixels."""
TABLE_SIZE = 4096


def even_sample(image: np.ndarray) -> np.ndarray:
    """Return the finite values of an image, at most about `SAMPLE` of them, evenly spread."""
    values = image[np.isfinite(image)]
    return values[:: max(1, values.size // SAMPLE)]


def limits(image: np.ndarray, rule: str) -> tuple[float, float]:
    """Return the values shown darkest and brightest.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
    rule : str
        A key of `LIMITS`.

    Returns
    -------
    tuple of float
        Two finite values, the second larger.
    """
    values = even_sample(image)
    if not values.size:
        return 0.0, 1.0
    percentiles = LIMITS.get(rule, (0.25, 99.75))
    if percentiles is None:
        from astropy.visualization import ZScaleInterval

        low, high = ZScaleInterval().get_limits(values)
    else:
        low, high = np.percentile(values, percentiles)
    low, high = float(low), float(high)
    return (low, high) if high > low else (low, low + max(abs(low) * 1e-6, 1e-6))


def symmetric(image: np.ndarray, rule: str) -> tuple[float, float]:
    """Return limits of equal size on both sides of zero, for residuals."""
    low, high = limits(image, rule)
    size = max(abs(low), abs(high))
    return -size, size


def colour_table(colours: np.ndarray, stretch: str, invert: bool = False) -> np.ndarray:
    """Bend a colour map by a stretch.

    The stretch lies in the table, not in the image: images are shown as they are, however the stretch is changed.

    Parameters
    ----------
    colours : ndarray, shape (n, 3 or 4), uint8
    stretch : str
        A key of `STRETCHES`.
    invert : bool
        Dark for bright.

    Returns
    -------
    ndarray, shape (TABLE_SIZE, 3 or 4), uint8
    """
    bent = STRETCHES[stretch](np.linspace(0.0, 1.0, TABLE_SIZE))
    table = colours[np.round(bent * (len(colours) - 1)).astype(int)]
    return np.ascontiguousarray(table[::-1] if invert else table)


def scale_bar(arcsec_per_point: float, longest: float) -> tuple[float, str]:
    """Return a round length in arcsec, at most `longest` points on the screen, and its label."""
    lengths = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
    fitting = [length for length in lengths if length / arcsec_per_point <= longest] or [lengths[0]]
    length = fitting[-1]
    return length, f"{length / 60:g}′" if length >= 60 else f"{length:g}″"


def sexagesimal(ra: float, dec: float) -> str:
    """Return a position as hours and degrees, to 0.01 s and 0.1 arcsec."""
    tenths = round(abs(dec) * 36000)
    hundredths = round((ra % 360.0) / 15 * 360000) % (24 * 360000)
    hours, rest = divmod(hundredths, 360000)
    minutes, seconds = divmod(rest, 6000)
    degrees, left = divmod(tenths, 36000)
    arcmin, arcsec = divmod(left, 600)
    sign = "−" if dec < 0 else "+"
    return (
        f"{hours:02d}:{minutes:02d}:{seconds / 100:05.2f} {sign}{degrees:02d}:{arcmin:02d}:{arcsec / 10:04.1f}"
    )  # fmt: skip


def sky_directions(cube: MuseCube) -> tuple[tuple[float, float] | None, tuple[float, float] | None, float]:
    """Find where north and east are, in pixels, from a small step on the sky at the middle of the field.

    Returns
    -------
    north, east : (dx, dy) or None
        None without coordinates.
    pixel_scale : float
        arcsec; NaN without coordinates.
    """
    if cube.wcs is None:
        return None, None, math.nan
    _, ny, nx = cube.shape
    x, y = (nx - 1) / 2, (ny - 1) / 2
    ra, dec = (float(v) for v in cube.pixel_to_world(x, y))
    step = 1 / 3600
    to_east = step / max(math.cos(math.radians(dec)), 1e-3)
    places = (cube.world_to_pixel(ra, dec + step), cube.world_to_pixel(ra + to_east, dec))
    north, east = ((float(place[0]) - x, float(place[1]) - y) for place in places)
    return north, east, cube.pixel_scale
