"""Every choice of a simulated field, as one frozen dataclass with units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PIXEL_SCALE = {"WFM-NOAO-N": 0.2, "WFM-NOAO-E": 0.2, "WFM-AO-N": 0.2, "WFM-AO-E": 0.2, "NFM-AO-N": 0.025}
"""Arcsec per spaxel of the instrument's modes."""
LIGHT_SPEED = 299792.458
"""km/s."""
AO_GAP = (5805.0, 5966.0)
"""The notch of the AO laser around Na D, Angstrom in air at the telescope."""


@dataclass(frozen=True)
class SimulationSettings:
    """A field of stars as MUSE would deliver it."""

    n_stars: int = 40
    nx: int = 60
    ny: int = 60
    mode: Literal["WFM-NOAO-N", "WFM-NOAO-E", "WFM-AO-N", "WFM-AO-E", "NFM-AO-N"] = "WFM-NOAO-N"
    """The instrument's mode; the AO modes have a gap around Na D."""
    wave_min: float = 4750.0
    wave_max: float = 9350.0
    wave_step: float = 1.25
    """Wavelengths in Angstrom, air."""
    exptime: float = 900.0
    """Seconds; decides the photon noise."""
    barycentric: float = 12.0
    """Barycentric correction in the wavelengths, km/s: sky lines and the AO gap are displaced by it."""

    layout: Literal["uniform", "king"] = "uniform"
    core_radius: float = 3.0
    """Core radius of a "king" field, arcsec; its tidal radius is ten times that."""
    outside: float = -4.0
    """How far beyond the field's edges stars lie, spaxels; negative: how far within."""
    mag_bright: float = 16.3
    mag_faint: float = 19.2
    mag_slope: float = 0.15
    """Number of stars per magnitude grows as 10^(slope * V)."""
    velocity: float = -20.0
    velocity_dispersion: float = 30.0
    """Of the stars' radial velocities, km/s."""

    fwhm: float = 0.8
    """Of the point spread function at 7000 A, arcsec, along its major axis; it goes as wavelength^-0.2."""
    beta: float = 2.8
    beta_slope: float = 0.1
    """Moffat exponent at 7000 A, and what it gains per 1000 A."""
    ellipticity: float = 0.05
    position_angle: float = 35.0
    """1 - minor/major axis, and the major axis from x towards y, degrees."""
    halo_fraction: float = 0.0
    halo_fwhm: float = 3.0
    """Share of the light in a second, wider Moffat profile (beta 2.5, round), and its FWHM, arcsec."""
    foreign_psf: Literal["none", "airy", "double"] = "none"
    """A PSF that no extraction fits, of the same FWHM and beta: with the rings of an Airy pattern, or two Moffats."""
    refraction: tuple[float, float] = (0.12, -0.08)
    """Residual differential refraction: the shift in x and y is this many spaxels times (7000 A / wavelength)^2 - 1."""

    rotation: float = 0.0
    """Angle of the field, from north through east, degrees; known to the header."""
    wcs_offset: tuple[float, float] = (0.0, 0.0)
    """Error of the header's coordinates, arcsec east and north: how far the stars seem to be displaced."""
    wcs_rotation: float = 0.0
    """Error of the header's angle, degrees."""

    noise: bool = True
    resampling: float = 0.2
    """Share of every voxel's noise that resampling hands to each neighbour along each axis; 0: none. STAT is then right
    voxel by voxel, as the instrument's pipeline makes it, and sums over many voxels have errors larger than it says
    by `noise_factor`."""
    read_noise: float = 3.0
    """Electrons per voxel."""
    sky: bool = True
    """Sky emission, whose photons make noise."""
    sky_residual: float = 0.02
    """Scatter of the share of a sky line that its subtraction leaves, from slice to slice of the instrument."""
    border: int = 3
    """Spaxels without data along the edges."""
    bad_voxels: float = 1e-4
    """Share of voxels without data."""
    write_dq: bool = False
    """Write a DQ extension as well."""
    seed: int = 1

    @property
    def pixel_scale(self) -> float:
        """Arcsec per spaxel."""
        return PIXEL_SCALE[self.mode]

    @property
    def doppler(self) -> float:
        """Wavelength in the cube over wavelength at the telescope."""
        return 1.0 + self.barycentric / LIGHT_SPEED

    @property
    def noise_factor(self) -> float:
        """How much larger than STAT implies the noise of a spectrum summed over a wide aperture is."""
        return 1.0 / ((1.0 - 2.0 * self.resampling) ** 2 + 2.0 * self.resampling**2)
