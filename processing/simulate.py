"""Simulated MUSE cubes with known truth, for the demo, the tests and injections; written layer by layer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.simulation.field import Truth, draw_field, field_wcs, wave_grid, write_star_list
from processing.simulation.library import Library, network_library, sample_library
from processing.simulation.psf import Painter
from processing.simulation.settings import AO_GAP, SimulationSettings
from processing.simulation.sky import electrons_per_flux, sky_spectrum, slice_pattern

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = [
    "Library",
    "SimulationSettings",
    "Truth",
    "draw_field",
    "network_library",
    "sample_library",
    "simulate_field",
    "write_cube",
    "write_star_list",
]

LAYERS = 32
"""Layers made at a time."""
FITS_BLOCK = 2880


def simulate_field(
    library: Library,
    settings: SimulationSettings,
    out_cube: str | Path,
    out_stars: str | Path | None = None,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Truth:
    """Draw a field of stars and write its cube and star list.

    Parameters
    ----------
    library : Library
        The spectra, as `sample_library` or `network_library` give them.
    settings : SimulationSettings
        The field, the instrument and the noise.
    out_cube, out_stars : path
        FITS file with DATA and STAT (and DQ), and CSV with id, ra, dec and V magnitude.
    progress, cancelled : callables
        See `processing.progress`.

    Returns
    -------
    Truth
        What went in.
    """
    truth = draw_field(library, settings)
    write_cube(truth, settings, out_cube, progress=progress, cancelled=cancelled)
    if out_stars is not None:
        write_star_list(truth, out_stars)
    return truth


def write_cube(
    truth: Truth,
    settings: SimulationSettings,
    path: str | Path,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> None:
    """Write the cube that shows given stars; the file appears when it is whole.

    Raises
    ------
    StellacubeError
        If the file cannot be written.
    """
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as file:
            starts = _write_headers(file, settings)
            layer_bytes = settings.nx * settings.ny * 4
            for start, data, stat in make_layers(truth, settings, progress=progress, cancelled=cancelled):
                bad = np.isnan(data).astype(">i4")
                for where, values in zip(starts, (data.astype(">f4"), stat.astype(">f4"), bad), strict=False):
                    file.seek(where + start * layer_bytes)
                    file.write(values.tobytes())
        os.replace(unfinished, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StellacubeError(f"The simulated cube {path} cannot be written: {reason}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def make_layers(
    truth: Truth, settings: SimulationSettings, *, progress: Progress = ignore, cancelled: CancelCheck = never
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the cube in blocks of `LAYERS` layers: first layer, DATA and STAT, each (n, ny, nx) float32.

    Every layer has random numbers of its own, so that no result depends on how layers are grouped.
    """
    wave = wave_grid(settings)
    painter = Painter(truth.x, truth.y, settings)
    continuum, lines, slopes = sky_spectrum(wave, settings) if settings.sky else np.zeros((3, len(wave)))
    rng = np.random.default_rng([settings.seed, len(wave)])
    line_factors = 1.0 + 0.5 * np.sin(wave / 97.0)  # neighbouring bands of lines are not subtracted equally well
    pattern = slice_pattern(settings, rng) * settings.sky_residual
    gain = electrons_per_flux(wave, settings)
    squares = ((1.0 - 2.0 * settings.resampling) ** 2 + 2.0 * settings.resampling**2) ** 3
    for start in range(0, len(wave), LAYERS):
        stop_if(cancelled)
        stop = min(start + LAYERS, len(wave))
        part = slice(start, stop)
        data = painter.paint(wave[part], truth.flux[:, part], wave[start] + LAYERS * settings.wave_step)
        background, electrons = (continuum + lines)[part, None, None], gain[part, None, None]
        variance = (np.maximum(data, 0.0) + background) / electrons + (settings.read_noise / electrons) ** 2
        variance = np.maximum(variance, 1e-12)
        if settings.sky:
            data += (lines * line_factors)[part, None, None] * pattern[0] + slopes[part, None, None] * pattern[1]
        if settings.noise:
            data += np.sqrt(variance) * _resampled_noise(start, stop, settings)
        stat = (variance * squares).astype(np.float32)
        _mask(data, stat, wave[part], start, settings)
        yield start, data.astype(np.float32), stat
        progress(stop / len(wave), f"Layer {stop} of {len(wave)}")


def _resampled_noise(start: int, stop: int, settings: SimulationSettings) -> np.ndarray:
    """Return noise of unit variance before resampling, each voxel's shared out among its neighbours, (n, ny, nx)."""
    from scipy.ndimage import convolve1d

    shape = (settings.ny, settings.nx)
    raw = np.stack([_layer_rng(settings, i, 0).standard_normal(shape, np.float32) for i in range(start - 1, stop + 1)])
    kernel = np.array([settings.resampling, 1.0 - 2.0 * settings.resampling, settings.resampling])
    for axis in range(3):
        raw = convolve1d(raw, kernel, axis=axis, mode="wrap")
    return raw[1:-1]


def _layer_rng(settings: SimulationSettings, layer: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, layer + 1, purpose])


def _mask(data: np.ndarray, stat: np.ndarray, wave: np.ndarray, start: int, settings: SimulationSettings) -> None:
    """Set voxels without data to NaN, in place: the border, lone bad voxels, and the gap of the AO modes."""
    bad = np.stack(
        [
            _layer_rng(settings, start + i, 1).random(data.shape[1:], np.float32) < settings.bad_voxels
            for i in range(len(data))
        ]
    )
    inside = slice(settings.border, -settings.border or None)
    edge = np.ones(data.shape[1:], bool)
    edge[inside, inside] = False
    bad |= edge
    if "AO" in settings.mode.split("-"):
        bad[(wave > AO_GAP[0] * settings.doppler) & (wave < AO_GAP[1] * settings.doppler)] = True
    data[bad] = np.nan
    stat[bad] = np.nan


def _write_headers(file: BinaryIO, settings: SimulationSettings) -> list[int]:
    """Write the headers, make the file as long as it will be, and return where each HDU's data start."""
    from astropy.io import fits

    file.write(_primary_header(settings).tostring().encode("ascii"))
    n_wave = len(wave_grid(settings))
    size = settings.nx * settings.ny * n_wave * 4
    starts = []
    for name in ("DATA", "STAT", "DQ")[: 3 if settings.write_dq else 2]:
        header = fits.Header()
        header["XTENSION"] = ("IMAGE", "Image extension")
        header["BITPIX"] = 32 if name == "DQ" else -32
        header["NAXIS"] = 3
        header["NAXIS1"], header["NAXIS2"], header["NAXIS3"] = settings.nx, settings.ny, n_wave
        header["PCOUNT"], header["GCOUNT"] = 0, 1
        header["EXTNAME"] = name
        header.update(_axes(settings))
        unit = "10**(-20)*erg/s/cm**2/Angstrom"
        if name != "DQ":
            header["BUNIT"] = unit if name == "DATA" else f"({unit})**2"
        file.write(header.tostring().encode("ascii"))
        starts.append(file.tell())
        file.seek(size + -size % FITS_BLOCK, os.SEEK_CUR)
    file.truncate()
    return starts


def _primary_header(settings: SimulationSettings) -> fits.Header:
    from astropy.io import fits

    wcs = field_wcs(settings, true=False)
    header = fits.PrimaryHDU().header
    header["ORIGIN"] = ("STELLACUBE", "simulated")
    header["TELESCOP"] = "ESO-VLT-U4"
    header["INSTRUME"] = "MUSE"
    header["OBJECT"] = "Simulated field"
    header["RA"], header["DEC"] = float(wcs.wcs.crval[0]), float(wcs.wcs.crval[1])
    header["EQUINOX"] = 2000.0
    header["RADECSYS"] = "FK5"
    header["EXPTIME"] = (settings.exptime, "[s]")
    header["MJD-OBS"] = 57000.0
    header["DATE-OBS"] = "2014-12-09T00:00:00.000"
    header["HIERARCH ESO INS MODE"] = settings.mode
    header["HIERARCH ESO TEL AIRM START"] = 1.4
    header["HIERARCH ESO DRS MUSE PIXTABLE RVCORR"] = (settings.barycentric, "[km/s] applied")
    return header


def _axes(settings: SimulationSettings) -> fits.Header:
    """Return the cards of the three axes as MUSE's pipeline writes them."""
    from astropy.io import fits

    wcs = field_wcs(settings, true=False).wcs
    header = fits.Header()
    for axis in (0, 1):
        header[f"CTYPE{axis + 1}"], header[f"CUNIT{axis + 1}"] = ("RA---TAN", "DEC--TAN")[axis], "deg"
        header[f"CRPIX{axis + 1}"], header[f"CRVAL{axis + 1}"] = float(wcs.crpix[axis]), float(wcs.crval[axis])
        for other in (0, 1):
            header[f"CD{axis + 1}_{other + 1}"] = float(wcs.cd[axis, other])
    header["CTYPE3"], header["CUNIT3"] = "AWAV", "Angstrom"
    header["CRPIX3"], header["CRVAL3"], header["CD3_3"] = 1.0, settings.wave_min, settings.wave_step
    for card in ("CD1_3", "CD2_3", "CD3_1", "CD3_2"):
        header[card] = 0.0
    header["SPECSYS"] = ("BARYCENT", "Velocities are barycentric")
    return header
