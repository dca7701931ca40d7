"""MuseCube: a cube of spectra that stays on the disk, with its masks, wavelengths and sky coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from processing.aperture import aperture_spectrum
from processing.cube_file import CubeFile, ImageReader, read_cube_file
from processing.cube_header import (
    barycentric_correction,
    card_number,
    celestial_wcs,
    flux_unit,
    instrument_cards,
    velocity_reference,
    wavelength_axis,
)
from processing.errors import StellacubeError
from processing.layer_statistics import difference_noise, masked_mean, to_variance
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.spectrum import Frame, StarSpectrum

_BLOCK_BYTES = 24 << 20
"""Flux held at a time while streaming; with variance, masks and copies a pass stays below 0.3 GB."""
_BAND_BYTES = 64 << 20
"""All band images of an overview together."""
_BAND_LAYERS = 64
_N_SAMPLE = 9
"""Layers looked at when a cube is opened."""


@dataclass(frozen=True)
class LayerBlock:
    """Some consecutive layers.

    Parameters
    ----------
    flux : ndarray, shape (n, ny, nx), float32
        In the cube's flux unit; 0 where masked.
    ivar : ndarray, shape (n, ny, nx), float32
        1 / variance; 0 where masked.
    """

    flux: np.ndarray
    ivar: np.ndarray


@dataclass(frozen=True)
class CubeOverview:
    """What one pass over the cube gives.

    Parameters
    ----------
    white : ndarray, shape (ny, nx), float32
        Mean over wavelength of what is not masked; NaN where nothing is left.
    mean_spectrum : ndarray, shape (n_wave,), float32
        Mean over the field; NaN where a layer is masked altogether.
    bands : ndarray, shape (n_band, ny, nx), float32
        Means over the layers ``band_start[i]..band_start[i + 1]``; NaN where nothing is left.
    band_start : ndarray, shape (n_band + 1,), int
    """

    white: np.ndarray
    mean_spectrum: np.ndarray
    bands: np.ndarray
    band_start: np.ndarray


class MuseCube:
    """A MUSE cube opened for reading; see `open`.

    A voxel is masked where the flux is not finite, the variance is not a positive number, the data quality is not 0, or
    a whole layer is exactly 0 (the notch of the laser guide stars in some cubes). Without a variance extension the
    variance of a layer is estimated from its own scatter (`layer_noise`) and spaxels that are 0 throughout are masked.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        (n_wave, ny, nx).
    wave : ndarray, shape (n_wave,), float64
        Wavelength in Angstrom, increasing, in `frame` ("air" or "vacuum").
    wcs : astropy.wcs.WCS or None
        The two sky axes.
    pixel_scale : float
        arcsec per spaxel; NaN without wcs.
    flux_unit : str
        Unit of the flux, scale included.
    has_variance : bool
        Whether the file carries usable variances.
    instrument, mode, object_name, date_obs : str
        Empty where the header does not say.
    exptime : float
        Seconds; NaN when unknown.
    lsf_fwhm : ndarray, shape (n_wave,), or None
        Line spread function in Angstrom where the file carries one (one-dimensional extension LSF).
    notes : tuple of str
        A sentence for everything odd about the file.
    """

    def __init__(self, file: CubeFile) -> None:
        self._file = file
        self.path = file.path
        self.shape = file.flux.shape
        notes = list(file.notes)
        self.frame: Frame
        self.wave, self.frame, remarks = wavelength_axis(file.header, self.shape[0])
        self.wcs, self.pixel_scale, sky_remarks = celestial_wcs(file.header)
        self.flux_unit, unit_remarks = flux_unit(file.header)
        cards = instrument_cards(file.primary, file.header)
        self.instrument: str = cards["instrument"]
        self.mode: str = cards["mode"]
        self.object_name: str = cards["object_name"]
        self.exptime: float = cards["exptime"]
        self.date_obs: str = cards["date_obs"]
        self._velocity, velocity_remarks = velocity_reference(file.primary, self.instrument)
        self.lsf_fwhm = file.lsf
        self._flux = ImageReader(self.path, file.flux)
        self._noise = ImageReader(self.path, file.noise) if file.noise else None
        self._mask = ImageReader(self.path, file.mask) if file.mask else None
        self._layer_noise: np.ndarray | None = None
        self._scale = 1.0
        self._empty = np.zeros(self.shape[1:], bool)
        notes += [*remarks, *sky_remarks, *unit_remarks, *velocity_remarks, *self._examine()]
        self.notes = tuple(notes)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a cube; only the headers and a few layers are read.

        Raises
        ------
        StellacubeError
            If the file is no usable cube; the message says why.
        """
        return cls(read_cube_file(path))

    def close(self) -> None:
        """Release the file."""
        for reader in (self._flux, self._noise, self._mask):
            if reader is not None:
                reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return type(self).open, (self.path,)

    @property
    def has_variance(self) -> bool:
        """Whether the file carries usable variances."""
        return self._noise is not None

    @cached_property
    def barycentric(self) -> float:
        """Barycentric velocity correction already in `wave`, km/s; 0 when none was applied, NaN when unknown."""
        if isinstance(self._velocity, float):
            return self._velocity
        return (
            barycentric_correction(self._file.primary, self._file.header)
            if self._velocity == "barycentre"
            else math.nan
        )

    @property
    def epoch(self) -> float:
        """Julian year of the observation; NaN when unknown."""
        mjd = card_number(self._file.primary, "MJD-OBS", card_number(self._file.header, "MJD-OBS"))
        return 2000.0 + (mjd - 51544.5) / 365.25

    def layer(self, index: int) -> np.ndarray:
        """Return the flux of one layer, shape (ny, nx), float32; NaN where masked."""
        flux, bad, _ = self._layers(index, index + 1)
        flux[bad] = np.nan
        return flux[0]

    def variance(self, index: int) -> np.ndarray:
        """Return the variance of one layer, shape (ny, nx), float32; NaN where masked."""
        ivar = self.block(index, index + 1).ivar[0]
        with np.errstate(divide="ignore"):
            return np.where(ivar > 0, 1 / ivar, np.float32(np.nan))

    def block(self, start: int, stop: int) -> LayerBlock:
        """Return the layers ``start..stop`` with their inverse variances."""
        flux, bad, variance = self._layers(start, stop)
        if variance is None:
            variance = np.broadcast_to(self.layer_noise[start:stop, None, None] ** 2, flux.shape)
            bad |= ~(variance > 0)
        flux[bad] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            ivar = (1.0 / variance).astype(np.float32)
        ivar[bad] = 0
        return LayerBlock(flux, ivar)

    def spaxel(self, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
        """Return flux (NaN where masked) and inverse variance (0 there) of one spaxel, both (n_wave,) float32."""
        flux, ivar = self.box(slice(int(y), int(y) + 1), slice(int(x), int(x) + 1))
        return flux[:, 0, 0], ivar[:, 0, 0]

    def aperture(self, x: float, y: float, radius: float, annulus: tuple[float, float] | None = None) -> StarSpectrum:
        """Sum the flux in a circle, minus the median of an annulus; see `processing.aperture.aperture_spectrum`."""
        return aperture_spectrum(self, x, y, radius, annulus)

    def band_image(self, wave_min: float, wave_max: float) -> np.ndarray:
        """Return the mean over ``wave_min..wave_max`` (Angstrom), shape (ny, nx), float32; NaN where all is masked."""
        start, stop = np.searchsorted(self.wave, [wave_min, wave_max])
        start = min(int(start), self.shape[0] - 1)
        total, count = self._sum(start, max(int(stop), start + 1))
        return masked_mean(total, count)

    def overview(self, *, progress: Progress = ignore, cancelled: CancelCheck = never) -> CubeOverview:
        """Make white light, mean spectrum and band images in one pass over the file, in little memory."""
        n_wave, ny, nx = self.shape
        n_band = max(1, min(math.ceil(n_wave / _BAND_LAYERS), _BAND_BYTES // (4 * ny * nx)))
        band_start = np.linspace(0, n_wave, n_band + 1).astype(int)
        white, count = np.zeros((ny, nx)), np.zeros((ny, nx), np.int64)
        bands = np.empty((n_band, ny, nx), np.float32)
        spectrum = np.empty(n_wave, np.float32)
        for i, (start, stop) in enumerate(pairwise(band_start)):
            band, band_count = self._sum(start, stop, spectrum, cancelled)
            bands[i] = masked_mean(band, band_count)
            white += band
            count += band_count
            progress((i + 1) / n_band, "Reading the cube")
        if not self.has_variance and self._layer_noise is None:  # so that the first spectrum need not wait for it
            self._layer_noise = self._measure_noise(cancelled)
        return CubeOverview(masked_mean(white, count), spectrum, bands, band_start)

    @property
    def layer_noise(self) -> np.ndarray:
        """Noise of each layer of a cube without variances, shape (n_wave,), float32; 0 where a layer is empty.

        Robust scatter over the field of ``(2 f_i - f_{i-2} - f_{i+2}) / sqrt(6)``, on about 4000 spaxels (as in
        Stoehr et al. 2008: smooth spectra leave no trace). One pass over the cube, made when first needed.
        """
        if self._layer_noise is None:
            self._layer_noise = self._measure_noise()
        return self._layer_noise

    def _measure_noise(self, cancelled: CancelCheck = never) -> np.ndarray:
        """Make the pass for `layer_noise`."""
        n_wave, ny, nx = self.shape
        step = max(1, math.isqrt(ny * nx // 4000))
        noise = np.zeros(n_wave, np.float32)
        size = self._layers_per_block()
        for start in range(0, n_wave, size):
            stop_if(cancelled)
            stop = min(start + size, n_wave)
            low, high = max(0, start - 4), min(n_wave, stop + 4)
            flux, bad, _ = self._layers(low, high)
            flux[bad] = np.nan
            noise[start:stop] = difference_noise(flux[:, ::step, ::step], start - low, stop - low)
        live = np.isfinite(noise)
        positive = noise[live & (noise > 0)]
        noise[live & (noise == 0)] = np.median(positive) if positive.size else 1.0
        return np.where(live, noise, np.float32(0))

    def world_to_pixel(self, ra: Any, dec: Any) -> tuple[Any, Any]:
        """Convert ICRS degrees to 0-based spaxels (x, y); scalars or arrays."""
        self._need_wcs()
        x, y = self.wcs.wcs_world2pix(ra, dec, 0, ra_dec_order=True)
        return x[()], y[()]

    def pixel_to_world(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Convert 0-based spaxels to ICRS degrees (ra, dec); scalars or arrays."""
        self._need_wcs()
        ra, dec = self.wcs.wcs_pix2world(x, y, 0, ra_dec_order=True)
        return ra[()], dec[()]

    def _need_wcs(self) -> None:
        if self.wcs is None:
            raise StellacubeError(f"{self.path.name} has no sky coordinates.", "Use a star list with x and y.")

    def _layers_per_block(self) -> int:
        return max(1, min(_BAND_LAYERS, _BLOCK_BYTES // (4 * self.shape[1] * self.shape[2])))

    def _layers(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Read flux as stored, what is masked, and the variance (None without) of the layers ``start..stop``."""
        if not 0 <= start < stop <= self.shape[0]:
            raise StellacubeError(f"The cube has layers 0 to {self.shape[0] - 1}, not {start} to {stop - 1}.")
        noise = self._noise.layers(start, stop) if self._noise else None
        mask = self._mask.layers(start, stop) if self._mask else None
        flux, bad, variance = self._masked(self._flux.layers(start, stop), noise, mask, self._empty)
        bad |= ~flux.any(axis=(1, 2), keepdims=True)
        return flux, bad, variance

    def box(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Read flux (NaN where masked) and inverse variance of a box of spaxels, (n_wave, len(rows), len(columns))."""
        if not (0 <= rows.start < rows.stop <= self.shape[1] and 0 <= columns.start < columns.stop <= self.shape[2]):
            raise StellacubeError(f"There is no spaxel x = {columns.start}, y = {rows.start} in the cube.")
        noise = self._noise.columns(rows, columns) if self._noise else None
        mask = self._mask.columns(rows, columns) if self._mask else None
        flux, bad, variance = self._masked(self._flux.columns(rows, columns), noise, mask, self._empty[rows, columns])
        blank = ~flux.any(axis=(1, 2), keepdims=True)
        if np.mean(blank) < 0.2:  # zeros at some wavelengths only are a gap, not a dark spaxel
            bad |= blank
        if variance is None:
            variance = np.broadcast_to(self.layer_noise[:, None, None] ** 2, flux.shape)
            bad |= ~(variance > 0)
        flux[bad] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            return flux, np.where(bad, 0.0, 1.0 / variance).astype(np.float32)

    def _masked(
        self, stored: np.ndarray, noise: np.ndarray | None, mask: np.ndarray | None, empty: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Turn stored numbers into flux (float32), mask (True: unusable) and variance."""
        flux = (stored if self._scale == 1.0 else stored * np.float64(self._scale)).astype(np.float32, copy=False)
        bad = ~np.isfinite(flux)
        flux[bad] = 0
        bad |= empty
        if mask is not None:
            bad |= mask != 0
        if noise is None:
            return flux, bad, None
        variance = to_variance(noise, self._file.noise_kind)
        if self._scale != 1.0:
            variance = variance * np.float64(self._scale) ** 2
        bad |= ~((variance > 0) & (variance < np.inf))
        return flux, bad, variance

    def _sum(
        self, start: int, stop: int, spectrum: np.ndarray | None = None, cancelled: CancelCheck = never
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sum the layers ``start..stop`` (float64) and count what went in; fill in the field's mean spectrum."""
        total = np.zeros(self.shape[1:])
        count = np.zeros(self.shape[1:], np.int64)
        size = self._layers_per_block()
        for first in range(start, stop, size):
            stop_if(cancelled)
            last = min(first + size, stop)
            flux, bad, _ = self._layers(first, last)
            flux[bad] = 0
            total += flux.sum(axis=0, dtype=np.float64)
            count += (last - first) - bad.sum(axis=0, dtype=np.int32)
            if spectrum is not None:
                good = bad[0].size - np.count_nonzero(bad, axis=(1, 2))
                spectrum[first:last] = masked_mean(flux.sum(axis=(1, 2), dtype=np.float64), good)
        return total, count

    def _examine(self) -> list[str]:
        """Look at a few layers: is there anything, and can variance, mask and numerical range be trusted."""
        notes: list[str] = []
        sample = np.unique(np.linspace(0, self.shape[0] - 1, _N_SAMPLE).astype(int))
        flux = np.concatenate([self._flux.layers(i, i + 1) for i in sample]).astype(np.float64)
        finite = np.isfinite(flux)
        if not (finite & (flux != 0)).any():
            self._require_data()
        largest = np.abs(flux[finite]).max(initial=0.0)
        if 0 < largest < 1e-9:  # squares of cgs fluxes do not fit into single precision
            self._scale = 1e20
            self.flux_unit = f"10**(-20)*{self.flux_unit}" if self.flux_unit else "10**(-20)"
            notes.append("The flux is multiplied by 1e20 to be calculated with; the unit says so.")
        if self._noise is not None:
            noise = np.concatenate([self._noise.layers(i, i + 1) for i in sample])
            variance = np.where(finite, to_variance(noise, self._file.noise_kind), np.nan)
            if finite.any() and np.count_nonzero(variance > 0) < 0.01 * np.count_nonzero(finite):
                notes.append("The variances are zero, negative or missing nearly everywhere and are not used.")
                self._noise.close()
                self._noise = None
        if self._mask is not None:
            quality = np.concatenate([self._mask.layers(i, i + 1) for i in sample])
            if finite.any() and np.count_nonzero(finite & (quality != 0)) > 0.95 * np.count_nonzero(finite):
                notes.append("The data quality extension flags nearly everything and is not used.")
                self._mask.close()
                self._mask = None
        if self._noise is None:
            self._empty = finite.any(axis=0) & ~(finite & (flux != 0)).any(axis=0)
            if self._empty.all():
                self._empty[:] = False
            notes.append("The cube has no variances: errors are estimated from the scatter of each layer.")
        return notes

    def _require_data(self) -> None:
        """Raise where no layer of the cube holds a number other than 0."""
        for start in range(0, self.shape[0], self._layers_per_block()):
            flux = self._flux.layers(start, min(start + self._layers_per_block(), self.shape[0]))
            if (np.isfinite(flux) & (flux != 0)).any():
                return
        self.close()
        raise StellacubeError(
            f"{self.path.name} holds no data: every voxel is NaN or zero.",
            "Check how the cube was made, or choose another.",
        )
