"""StarSpectrum: the noun between extraction and preparation, and where a user's own spectra enter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Frame = Literal["air", "vacuum"]
MetaValue = str | float | int | bool


@dataclass(frozen=True)
class StarSpectrum:
    """One star's spectrum as observed: flux and inverse variance on the instrument's own pixels.

    Parameters
    ----------
    star_id : str
        The star's name in the reference list.
    wave : ndarray, shape (n_wave,), float64
        Wavelength in Angstrom, increasing, in `frame`, at rest with the observer or the barycentre
        (see `barycentric`).
    flux : ndarray, shape (n_wave,), float32
        Flux density in `flux_unit`. NaN only where `ivar` is 0.
    ivar : ndarray, shape (n_wave,), float32
        1 / error^2 in 1 / `flux_unit`^2; 0 where masked.
    frame : {"air", "vacuum"}
        What the wavelengths are measured in.
    flux_unit : str
        As the file says it, scale included.
    lsf_fwhm : ndarray, shape (n_wave,), or None
        Full width at half maximum of the line spread function in Angstrom where the input carries its own;
        None: the settings' instrument preset applies.
    ra, dec : float
        ICRS position in degrees; NaN when unknown.
    x, y : float
        0-based position in the cube's spaxels; NaN for spectra that came from no cube.
    mag : float
        Magnitude of the reference list; NaN when unknown.
    barycentric : float
        Barycentric velocity correction already in `wave`, km/s; NaN when unknown, 0 when none was applied.
    meta : mapping of str to str, float, int or bool
        Extraction quality and provenance. Keys used by the program: ``cube``, ``date_obs``, ``multistar`` (bool),
        ``in_field`` (bool), ``edge_dist`` (spaxels), ``psf_fwhm`` (spaxels, at the middle wavelength),
        ``n_eff`` (effective number of stars in its PSF), ``contamination`` (fraction 0..1), ``status`` (text).
    """

    star_id: str
    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    frame: Frame = "air"
    flux_unit: str = ""
    lsf_fwhm: np.ndarray | None = None
    ra: float = np.nan
    dec: float = np.nan
    x: float = np.nan
    y: float = np.nan
    mag: float = np.nan
    barycentric: float = np.nan
    meta: Mapping[str, MetaValue] = field(default_factory=dict)

    @property
    def good(self) -> np.ndarray:
        """Boolean array, True where the pixel may be used."""
        return (self.ivar > 0) & np.isfinite(self.flux)

    @property
    def error(self) -> np.ndarray:
        """1-sigma error per pixel in `flux_unit`; NaN where masked."""
        with np.errstate(divide="ignore"):
            return np.where(self.ivar > 0, 1.0 / np.sqrt(self.ivar), np.nan)

    @property
    def snr(self) -> float:
        """Median of flux over the pipeline's error per pixel (the catalogue's ``snr_muse``); NaN if all masked."""
        return self.snr_above(0.0)

    def snr_above(self, wave_min: float) -> float:
        """Return the same of the pixels at a wavelength in Angstrom and beyond."""
        good = self.good & (self.wave >= wave_min)
        return float(np.median(self.flux[good] * np.sqrt(self.ivar[good]))) if good.any() else float("nan")

    @property
    def snr_der(self) -> float:
        """DER_SNR of the flux (Stoehr et al. 2008): noise from the scatter of neighbours, not from the errors."""
        flux = self.flux[self.good].astype(float)
        if flux.size < 5:
            return float("nan")
        noise = 0.6052697 * np.median(np.abs(2 * flux[2:-2] - flux[:-4] - flux[4:]))
        return float(np.median(flux) / noise) if noise > 0 else float("nan")
