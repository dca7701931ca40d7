"""The PSF that adaptive optics leave, as MAOPPY computes it (Fetick et al. 2019): optional, for the narrow field.

MAOPPY is called where it is installed. It makes the PSF from the power spectrum of the phase: Kolmogorov's beyond the
reach of the deformable mirror (the halo), a Moffat plus a constant within (the core). These are properties of the
atmosphere and the instrument; their effect at each wavelength follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from warnings import filterwarnings

import numpy as np

from processing.errors import StellacubeError

PARAMETERS = (
    "variance", "r0", "e1", "e2", "dx", "dy", "xx", "xy", "yx", "yy", "alpha", "exponent", "background", "wave",
)  # fmt: skip
"""Variance (rad2), width (1/m) and exponent of the corrected phase's Moffat, its ellipticity as that of the other
profiles, Fried's parameter (m) and the constant (rad2 m2), all at `REFERENCE`; and the wavelength in Angstrom, which
is known. The position terms are those of `psf_profiles.PARAMETERS`."""
START = {"r0": 0.13, "alpha": 0.1, "exponent": 1.6, "background": 0.005, "wave": 7000.0}
LOWEST = np.array([0.02, 0.03, -0.6, -0.6, -5.0, -5.0, -0.05, -0.05, -0.05, -0.05, 0.02, 1.05, 0.0, 0.0])
HIGHEST = np.array([200.0, 1.0, 0.6, 0.6, 5.0, 5.0, 0.05, 0.05, 0.05, 0.05, 2.0, 4.5, 0.2, 2e4])
PRIOR_SIGMA = np.array([np.inf, 0.1, 0.15, 0.15, 2.0, 2.0, 3e-3, 3e-3, 3e-3, 3e-3, 0.1, 0.5, 0.02, 1.0])
REFERENCE = 5000.0
"""Angstrom."""
SPAXEL = 0.025
"""Of the narrow field, arcsec."""
SIZE, SAMPLING = 768, 3.0
"""Pixels along an edge of MAOPPY's images, and per lambda/D: the same at all wavelengths."""
INNER = 0.36
"""Radius in units of the image's edge beyond which the halo follows its power law, r^(-11/3) (Kolmogorov): further
out, the image lacks what is beyond its edges (2 % of the halo there, and the whole light is right to 0.3 %)."""
STEPS = {"variance": 0.01, "r0": 0.001, "e1": 0.01, "e2": 0.01, "alpha": 0.005, "exponent": 0.01, "background": 5e-4}
"""Of the numerical derivatives."""
SLOPE = np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / 12.0
KNOTS = 9
"""Wavelengths at which the width is measured where it is asked for at many."""
RADII, ANGLES = np.arange(0.0, 20.0, 0.02), np.pi * np.arange(8) / 8


def is_installed() -> bool:
    """Return whether MAOPPY can be used."""
    return find_spec("maoppy") is not None


def require() -> None:
    """Raise StellacubeError if MAOPPY is not installed."""
    _package("psfmodel")


def first_guess(fwhm: float) -> np.ndarray:
    """Return the parameters of a round PSF as wide as `fwhm` (spaxels) at 7000 A, where typical seeing permits that."""
    parameters = np.array([START.get(name, 0.0) for name in PARAMETERS])
    low, high = np.log(LOWEST[0]), np.log(HIGHEST[0])
    for _ in range(12):
        parameters[0] = np.exp(0.5 * (low + high))
        wide = float(half_width(parameters)) > fwhm
        low, high = (low, np.log(parameters[0])) if wide else (np.log(parameters[0]), high)
    return parameters


def at_wave(parameters: np.ndarray, wave: float | np.ndarray) -> np.ndarray:
    """Return the parameters (..., n_parameter) at `wave` (Angstrom), kept where MAOPPY can use them."""
    parameters = np.clip(parameters, LOWEST, HIGHEST)
    parameters[..., -1] = wave
    return parameters


def evaluate(parameters: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return the share of a star's light in spaxels at offsets (dx, dy) from it."""
    from scipy.ndimage import map_coordinates

    grid = _grid(_key(parameters))
    dx, dy = np.broadcast_arrays(dx, dy)
    r = np.hypot(dx, dy)
    value = grid.halo * np.maximum(r, grid.radius) ** (-11.0 / 3.0)
    near = r < grid.radius
    at = [o[near] / grid.step + SIZE // 2 for o in (dy, dx)]
    value[near] = map_coordinates(grid.spline, at, order=3, prefilter=False)
    return value


def derivatives(parameters: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the PSF and its derivatives by (variance, r0, e1, e2, star x, star y, alpha, exponent, background).

    They are differences, interpolated linearly on MAOPPY's grid: they guide the search, the value decides.
    """
    from scipy.ndimage import correlate1d

    key = _key(parameters)
    middle = _grid(key)
    slopes = {name: correlate1d(middle.image, SLOPE / -middle.step, axis) for name, axis in (("x", 1), ("y", 0))}
    for name, step in STEPS.items():
        k = PARAMETERS.index(name)
        there = parameters.copy()
        there[k] += step if parameters[k] + step < HIGHEST[k] else -step
        slopes[name] = (_image(_key(there)) - middle.image) / (there[k] - parameters[k])
    names = ("variance", "r0", "e1", "e2", "x", "y", "alpha", "exponent", "background")
    return evaluate(parameters, dx, dy), _linear(np.stack([slopes[n] for n in names], axis=-1), middle.step, dx, dy)


def half_width(parameters: np.ndarray) -> np.ndarray:
    """Return the FWHM of a star's image in spaxels, mean of all directions, for parameters (..., n_parameter).

    Where there are more than `KNOTS` rows, those between are interpolated in wavelength.
    """
    rows = parameters.reshape(-1, len(PARAMETERS))
    rows = rows[np.argsort(rows[:, -1], kind="stable")]
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(KNOTS, len(rows))).astype(int))]
    dx, dy = np.multiply.outer(np.cos(ANGLES), RADII), np.multiply.outer(np.sin(ANGLES), RADII)
    widths = []
    for row in rows:
        height = evaluate(row, dx, dy).mean(0)
        inside = int(np.argmax(height < 0.5 * height[0]))
        widths.append(2.0 * np.interp(-0.5 * height[0], -height[: inside + 1], RADII[: inside + 1]))
    return np.interp(parameters[..., -1], rows[:, -1], widths)


@dataclass(frozen=True)
class Grid:
    """The PSF at one wavelength, integrated over spaxels, on a fine grid.

    Parameters
    ----------
    image, spline : ndarray, shape (SIZE, SIZE), float32
        Share of the light per spaxel, and its cubic spline coefficients.
    step, radius : float
        Of the grid, and where the power law takes over, spaxels.
    halo : float
        The power law at a distance of one spaxel.
    """

    image: np.ndarray
    spline: np.ndarray
    step: float
    radius: float
    halo: float


def _key(parameters: np.ndarray) -> tuple[float, ...]:
    """Return what the image depends on."""
    return tuple(np.delete(parameters, slice(4, 10)).tolist())


@lru_cache(maxsize=16)
def _grid(key: tuple[float, ...]) -> Grid:
    from scipy.ndimage import spline_filter

    image, step = _image(key), _step(key[-1])
    radius = INNER * SIZE * step
    r = step * _distance()
    ring = (r > 0.9 * radius) & (r < radius)
    halo = float(image[ring].mean() / (r[ring] ** (-11.0 / 3.0)).mean())
    return Grid(image, spline_filter(image, 3, np.float32), step, radius, halo)


def _image(key: tuple[float, ...]) -> np.ndarray:
    """Return MAOPPY's PSF, integrated over spaxels, shape (SIZE, SIZE), float32; the whole PSF has a flux of 1."""
    from scipy.fft import irfft2, rfft2

    variance, r0, e1, e2, alpha, exponent, background, wave = key
    e, angle = np.hypot(e1, e2), 0.5 * np.arctan2(e2, e1)
    model = _model()
    # MAOPPY counts the angle of the wide axis from the image's rows, backwards.
    at_reference = [r0, background, variance, alpha, (1.0 - min(e, 0.9)) ** -0.5, angle - 0.5 * np.pi, exponent]
    image = model(model.param_scaling(at_reference, wave / REFERENCE))
    step = _step(wave)
    fine, half = np.fft.fftfreq(SIZE), np.fft.rfftfreq(SIZE)
    x, y = (np.sinc(f / step) / np.sinc(f) for f in (half, fine))  # pixels of MAOPPY's grid become spaxels
    return irfft2(rfft2(image) * x * y[:, None] / step**2, s=image.shape).astype(np.float32)


def _step(wave: float) -> float:
    """Return the spacing of MAOPPY's grid at a wavelength, spaxels."""
    return float(wave * 1e-10 / (_model().system.D * SAMPLING) / np.deg2rad(SPAXEL / 3600.0))


@lru_cache(maxsize=1)
def _distance() -> np.ndarray:
    """Return the distance from the centre in pixels of MAOPPY's grid."""
    offset = np.arange(SIZE) - SIZE // 2
    return np.hypot(offset, offset[:, None])


def _linear(images: np.ndarray, step: float, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return images (SIZE, SIZE, n) at offsets (dx, dy), shape (n, *dx.shape)."""
    flat = images.reshape(-1, images.shape[-1])
    u, v = (np.clip(o.ravel() / step + SIZE // 2, 0.0, SIZE - 1.001).astype(np.float32) for o in (dx, dy))
    i, j = u.astype(np.int32), v.astype(np.int32)
    u, v, corner = (u - i)[:, None], (v - j)[:, None], j * SIZE + i
    low = flat[corner] * (1 - u) + flat[corner + 1] * u
    high = flat[corner + SIZE] * (1 - u) + flat[corner + SIZE + 1] * u
    return np.moveaxis(low * (1 - v) + high * v, -1, 0).reshape(-1, *np.shape(dx))


@lru_cache(maxsize=1)
def _model() -> Any:
    """Return MAOPPY's PSF for the telescope and the deformable mirror of the narrow field."""
    # Below two steps of the spectrum's grid, the variance is not exactly that of the phase; the PSF is as good.
    filterwarnings("ignore", "`alpha < 2", UserWarning)
    return _package("psfmodel").Psfao((SIZE, SIZE), system=_package("instrument").muse_nfm, samp=SAMPLING)


def _package(name: str) -> Any:
    try:
        return import_module(f"maoppy.{name}")
    except ImportError as error:
        raise StellacubeError(
            'The PSF profile "maoppy" needs the package MAOPPY, which is not installed.',
            "Install it: pip install maoppy. Or choose another psf.profile.",
        ) from error
