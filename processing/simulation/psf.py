"""The simulated point spread function, integrated over pixels, and how it paints all stars into many layers at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processing.simulation.psf_truth import Alien, alien_psf
from processing.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CORE = 16.0
"""Least radius of the exact sum of stars, spaxels; see `Painter`."""
HALO_BETA = 2.5
# Gauss-Legendre nodes of a pixel, two each way: exact for a cubic, 1e-4 of the peak for a FWHM of 3 spaxels.
PIXEL_NODES = (-0.5 / np.sqrt(3.0), 0.5 / np.sqrt(3.0))


@dataclass(frozen=True)
class Psf:
    """The point spread function at one wavelength, in spaxels.

    The profile is the unit-flux elliptical Moffat
    ``(beta - 1) / (pi rd^2 q) (1 + (u^2 + (v/q)^2) / rd^2)^-beta`` with ``rd = fwhm / (2 sqrt(2^(1/beta) - 1))``, and
    where asked for a share of its light in a round halo; or one that no extraction fits (`alien_psf`).
    """

    fwhm: float
    beta: float
    ellipticity: float
    position_angle: float
    dx: float
    dy: float
    halo_fraction: float
    halo_fwhm: float
    foreign: Alien | None = None

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the share of a star's light in pixels at distances `x`, `y` from it."""
        value = np.zeros(np.broadcast_shapes(x.shape, y.shape))
        for node_x in PIXEL_NODES:
            for node_y in PIXEL_NODES:
                value += 0.25 * self._profile(x + node_x, y + node_y)
        return value

    def _profile(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if self.foreign is not None:
            return alien_psf(self.foreign, x, y, self.fwhm, self.beta)
        angle = np.deg2rad(self.position_angle)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        core = _moffat(u, v, self.fwhm, self.beta, 1.0 - self.ellipticity)
        if self.halo_fraction == 0.0:
            return core
        halo = _moffat(u, v, self.halo_fwhm, HALO_BETA, 1.0)
        return (1.0 - self.halo_fraction) * core + self.halo_fraction * halo


def _moffat(u: np.ndarray, v: np.ndarray, fwhm: float, beta: float, ratio: float) -> np.ndarray:
    square = fwhm**2 / (4.0 * (2.0 ** (1.0 / beta) - 1.0))
    return (beta - 1.0) / (np.pi * square * ratio) * (1.0 + (u**2 + (v / ratio) ** 2) / square) ** -beta


def psf_at(wave: float, settings: SimulationSettings) -> Psf:
    """Return the point spread function at a wavelength in Angstrom."""
    bend = (7000.0 / wave) ** 2 - 1.0
    return Psf(
        fwhm=settings.fwhm / settings.pixel_scale * (wave / 7000.0) ** -0.2,
        beta=settings.beta + settings.beta_slope * (wave - 7000.0) / 1000.0,
        ellipticity=settings.ellipticity * (1.0 + 0.3 * bend),
        position_angle=settings.position_angle,
        dx=settings.refraction[0] * bend,
        dy=settings.refraction[1] * bend,
        halo_fraction=settings.halo_fraction,
        halo_fwhm=settings.halo_fwhm / settings.pixel_scale,
        foreign=None if settings.foreign_psf == "none" else settings.foreign_psf,
    )


class Painter:
    """Paints the same stars into layer after layer.

    Stars are summed exactly out to a radius; beyond it, with a smooth hand-over, the wings are so wide that stars may
    be shared out among their four nearest pixels and convolved all at once (to 2e-6 of a star's light in any pixel).

    Parameters
    ----------
    x, y : ndarray, shape (n_star,)
        0-based positions at 7000 A, spaxels; stars outside the field count.
    settings : SimulationSettings
        The field.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, settings: SimulationSettings) -> None:
        self.x, self.y, self.settings = x, y, settings
        self.nx, self.ny = settings.nx, settings.ny
        radius = max(CORE, 3.5 * settings.fwhm / settings.pixel_scale)
        small = len(x) * self.nx * self.ny <= 2_000_000
        # In a small field every star reaches every pixel.
        self.radius = float(self.nx + self.ny + np.ptp(x) + np.ptp(y)) if small else radius
        self.wings = not small
        self._next: tuple[float, csr_array] | None = None

    def _hand_over(self, distance: np.ndarray) -> np.ndarray:
        """Return the share of the core at a distance: 1 within 2/3 of the radius, 0 beyond it."""
        if not self.wings:
            return np.ones_like(distance)
        step = np.clip(3.0 * distance / self.radius - 2.0, 0.0, 1.0)
        return 0.5 * (1.0 + np.cos(np.pi * step))

    def cores(self, wave: float) -> csr_array:
        """Return every star's share of every pixel at a wavelength, shape (ny * nx, n_star)."""
        from scipy.sparse import csc_array

        psf = psf_at(wave, self.settings)
        values, rows, starts = [], [], [0]
        for x, y in zip(self.x + psf.dx, self.y + psf.dy, strict=True):
            columns = np.arange(max(0, int(np.ceil(x - self.radius))), min(self.nx, int(x + self.radius) + 1))
            lines = np.arange(max(0, int(np.ceil(y - self.radius))), min(self.ny, int(y + self.radius) + 1))
            dx, dy = columns - x, lines[:, None] - y
            values.append((psf(dx, dy) * self._hand_over(np.hypot(dx, dy))).ravel().astype(np.float32))
            rows.append((lines[:, None] * self.nx + columns).ravel())
            starts.append(starts[-1] + values[-1].size)
        shape = (self.ny * self.nx, len(self.x))
        return csc_array((np.concatenate(values), np.concatenate(rows), starts), shape=shape).tocsr()

    def paint(self, waves: np.ndarray, flux: np.ndarray, end: float) -> np.ndarray:
        """Return the layers of a narrow range of wavelengths.

        Stars' shares are exact at its two ends and linear between them: over 40 A a star moves by 0.01 spaxels, and
        the error is below 1e-5 of its light.

        Parameters
        ----------
        waves : ndarray, shape (n,)
            Angstrom, increasing.
        flux : ndarray, shape (n_star, n)
            The stars' spectra.
        end : float
            Upper end of the range, where the next one starts, Angstrom.

        Returns
        -------
        ndarray, shape (n, ny, nx), float32
        """
        first = self.cores(waves[0]) if self._next is None or self._next[0] != waves[0] else self._next[1]
        last = self.cores(end)
        self._next = (end, last)
        part = ((waves - waves[0]) / (end - waves[0])).astype(np.float32)
        flux = flux.astype(np.float32)
        layers = first @ (flux * (1.0 - part)) + last @ (flux * part)
        layers = np.ascontiguousarray(layers.T).reshape(len(waves), self.ny, self.nx)
        return layers + self._wings(float(waves.mean()), flux) if self.wings else layers

    def _wings(self, wave: float, flux: np.ndarray) -> np.ndarray:
        """Return the light beyond the hand-over, shape (n, ny, nx), from one Fourier transform per layer."""
        from scipy.fft import irfft2, next_fast_len, rfft2

        psf = psf_at(wave, self.settings)
        margin = int(np.ceil(max(0.0, *(-self.x), *(-self.y), *(self.x - self.nx), *(self.y - self.ny)))) + 2
        shape = (next_fast_len(2 * (self.ny + 2 * margin)), next_fast_len(2 * (self.nx + 2 * margin)))
        dy, dx = (np.fft.fftfreq(n, 1.0 / n) for n in shape)
        kernel = psf(dx, dy[:, None]) * (1.0 - self._hand_over(np.hypot(dx, dy[:, None])))
        # Sharing a star among pixels blurs it by a known triangle, which is divided out again.
        blur = np.sinc(np.fft.fftfreq(shape[0]))[:, None] * np.sinc(np.fft.rfftfreq(shape[1]))
        transform = (rfft2(kernel) / blur**2).astype(np.complex64)
        x, y = self.x + psf.dx + margin, self.y + psf.dy + margin
        column, line = np.floor(x).astype(int), np.floor(y).astype(int)
        layers = np.empty((flux.shape[1], self.ny, self.nx), np.float32)
        for layer in range(flux.shape[1]):
            stars = np.zeros(shape, np.float32)
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                share = np.abs(1 - i - (y - line)) * np.abs(1 - j - (x - column))
                np.add.at(stars, (line + i, column + j), share * flux[:, layer])
            image = irfft2(rfft2(stars) * transform, s=shape)
            layers[layer] = image[margin : margin + self.ny, margin : margin + self.nx]
        return layers
