"""Simulated cubes of full size for the benchmarks, painted with formulas of their own and never held in memory."""

# ruff: noqa: E402 -- the path is set before the program is imported
from __future__ import annotations

import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "processing")]

from star_fields import moffat, write_header

from processing.simulation.psf_truth import alien_psf

REACH = 50
"""Stars are painted this far, spaxels."""
BLOCK = 64
"""Layers between which a star's image is linear in wavelength."""
NODES = (-0.5 / 3**0.5, 0.5 / 3**0.5)
CORE = 60.0
"""Core radius of a King field, spaxels (12 arcsec); its tidal radius is ten times that."""


@dataclass(frozen=True)
class Mock:
    """A simulated field: positions in spaxels, magnitudes, fluxes (n_star, n_wave), and what painted it."""

    x: np.ndarray
    y: np.ndarray
    mag: np.ndarray
    flux: np.ndarray
    size: int
    psf: str

    @property
    def t(self) -> np.ndarray:
        """Place of each layer in the wavelength range, from 0 to 1."""
        return np.linspace(0.0, 1.0, self.flux.shape[1])

    def within(self, radius, t):
        """Return the share of a star's light within a radius in spaxels."""
        dy, dx = np.mgrid[-radius - 1 : radius + 1.01 : 0.25, -radius - 1 : radius + 1.01 : 0.25]
        return float(profile(self.psf, dx, dy, t)[np.hypot(dx, dy) <= radius].sum()) / 16.0

    def bound(self, variance, layer):
        """Return the photon bound of every star's flux error in a layer of known variance (ny, nx): no neighbours."""
        shares = Painter(self.x, self.y, self.size, self.psf).matrix(self.t[layer])
        information = shares.multiply(shares).T @ np.where(np.isfinite(variance), 1.0 / variance, 0.0).ravel()
        return 1.0 / np.sqrt(np.maximum(information, 1e-30))


def profile(psf, dx, dy, t):
    """Return the PSF: width, exponent and rings change with wavelength (t from 0 to 1)."""
    fwhm, beta = 4.2 - 0.5 * t, 2.5 + 0.3 * t
    return moffat(dx, dy, fwhm, beta, 0.05, 0.6) if psf == "moffat" else alien_psf(psf, dx, dy, fwhm, beta)


class Painter:
    """Paints stars of unit flux into layers."""

    def __init__(self, x, y, size, psf):
        self.x, self.y, self.size, self.psf = x, y, size, psf
        oy, ox = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
        px, py = np.rint(x).astype(int)[:, None, None] + ox, np.rint(y).astype(int)[:, None, None] + oy
        keep = (px >= 0) & (px < size) & (py >= 0) & (py < size)
        self.dx, self.dy = (px - x[:, None, None])[keep].astype(np.float32), (py - y[:, None, None])[keep].astype("f4")
        self.star = np.broadcast_to(np.arange(x.size)[:, None, None], px.shape)[keep].astype(np.int32)
        self.pixel = (py * size + px)[keep].astype(np.int32)

    def matrix(self, t):
        from scipy.sparse import csr_matrix

        dx, dy = self.dx - np.float32(0.3 * t), self.dy + np.float32(0.2 * t)
        value = sum(profile(self.psf, dx + np.float32(a), dy + np.float32(b), t) for a in NODES for b in NODES) / 4.0
        return csr_matrix((value.astype(np.float32), (self.pixel, self.star)), shape=(self.size**2, self.x.size))


def positions(rng, n_star, size, layout):
    """Draw places that are uniform, or as dense as a cluster of King (1962)."""
    if layout == "uniform":
        return rng.uniform(-2, size + 1, (2, n_star))
    chosen, edge = np.empty((2, 0)), 1.0 / np.sqrt(101.0)
    while chosen.shape[1] < n_star:
        places = rng.uniform(-2, size + 1, (2, 4 * n_star))
        radius = np.hypot(*(places - 0.5 * size)) / CORE
        density = ((1.0 / np.sqrt(1.0 + radius**2) - edge) / (1.0 - edge)) ** 2
        chosen = np.concatenate([chosen, places[:, rng.random(4 * n_star) < density]], axis=1)
    return chosen[:, :n_star]


def simulate(path, n_star, size, n_wave, layout="uniform", psf="moffat", seed=1):
    """Write a cube with DATA and STAT layer by layer, noise uncorrelated; return its `Mock`."""
    rng = np.random.default_rng(seed)
    x, y = positions(rng, n_star, size, layout)
    mag = 14.0 + np.log10(1 + rng.random(n_star) * (10 ** (0.3 * 8) - 1)) / 0.3
    wave = np.linspace(4750.0, 9350.0, n_wave)
    t = np.linspace(0.0, 1.0, n_wave)
    lines = 1.0 - 0.4 * rng.random(n_wave) ** 8
    slope = rng.uniform(-0.5, 0.5, n_star)
    flux = (3e5 * 10 ** (-0.4 * (mag - 14.0))[:, None] * (1 + slope[:, None] * (t - 0.5)) * lines).astype(np.float32)
    sky = 120.0 * (1.0 + 8.0 * rng.random(n_wave) ** 12)
    painter = Painter(x, y, size, psf)
    offset, stat_offset = write_header(path, wave, size)
    data = np.memmap(path, ">f4", "r+", offset, (n_wave, size, size))
    stat = np.memmap(path, ">f4", "r+", stat_offset, (n_wave, size, size))
    last = painter.matrix(0.0)
    for a in range(0, n_wave, BLOCK):
        b = min(a + BLOCK, n_wave)
        first, last = last, painter.matrix(t[min(b, n_wave - 1)])
        part = (np.arange(b - a) / (b - a)).astype(np.float32)
        image = (first @ (flux[:, a:b] * (1 - part)) + last @ (flux[:, a:b] * part)).T.reshape(b - a, size, size)
        variance = image + sky[a:b, None, None] + 25.0
        noisy = image + sky[a:b, None, None] + np.sqrt(variance) * rng.standard_normal(image.shape, np.float32)
        noisy[:, [0, 1, 2, -3, -2, -1]] = noisy[:, :, [0, 1, 2, -3, -2, -1]] = np.nan
        noisy[rng.random(image.shape, np.float32) < 1e-4] = np.nan
        data[a:b], stat[a:b] = noisy, variance
    return Mock(x, y, mag, flux, size, psf)


def simulated(folder, n_star, size, n_wave, layout="uniform", psf="moffat"):
    """Return the path of a cube in a folder, simulated there unless it is already, and its `Mock`.

    It is simulated in a process of its own, so that the caller's memory is the extraction's.
    """
    given = n_star, size, n_wave, layout, psf
    path = Path(folder) / f"{'-'.join(map(str, given))}.fits"
    known = path.with_suffix(".pickle")
    if not known.is_file():
        path.parent.mkdir(exist_ok=True)
        with ProcessPoolExecutor(1) as pool:
            known.write_bytes(pickle.dumps(pool.submit(simulate, path, *given).result()))
    return path, pickle.loads(known.read_bytes())
