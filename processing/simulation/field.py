"""A simulated field's truth: where its stars are, what they are, and what light they send."""

from __future__ import annotations

import csv
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS

from processing.errors import StellacubeError
from processing.simulation.library import Library, visual_magnitude
from processing.simulation.settings import SimulationSettings
from processing.simulation.sky import muse_lsf

CENTRE = (6.0236, -72.0813)
"""Of every simulated field: 47 Tuc, ICRS degrees; so far south that a forgotten cosine shows."""
TIDAL_RATIO = 10.0


@dataclass(frozen=True)
class Truth:
    """What went into a simulated cube.

    Parameters
    ----------
    star_id, source : ndarray of str, shape (n_star,)
        Name in the star list, and of the spectrum in the library.
    x, y : ndarray, shape (n_star,)
        0-based position in spaxels at 7000 A.
    ra, dec : ndarray, shape (n_star,)
        True ICRS position, degrees.
    mag : ndarray, shape (n_star,)
        V.
    velocity : ndarray, shape (n_star,)
        km/s.
    label_names : tuple of str
    labels : ndarray, shape (n_star, n_label)
    wave : ndarray, shape (n_wave,)
        Angstrom in air.
    flux : ndarray, shape (n_star, n_wave), float32
        The whole star's light at the instrument's resolution, 1e-20 erg/s/cm2/A.
    """

    star_id: np.ndarray
    source: np.ndarray
    x: np.ndarray
    y: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    mag: np.ndarray
    velocity: np.ndarray
    label_names: tuple[str, ...]
    labels: np.ndarray
    wave: np.ndarray
    flux: np.ndarray

    def __len__(self) -> int:
        return len(self.star_id)

    def take(self, index: np.ndarray) -> Truth:
        """Return the stars of the given rows."""
        whole = ("label_names", "wave")
        rows = {f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self) if f.name not in whole}
        return dataclasses.replace(self, **rows)

    def save(self, path: str | Path) -> None:
        """Write a NumPy archive that `load` reads."""
        values: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in dataclasses.fields(self)}
        np.savez_compressed(path, **values)

    @classmethod
    def load(cls, path: str | Path) -> Truth:
        """Read what `save` wrote.

        Raises
        ------
        StellacubeError
            If the file is not such an archive.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                values = {f.name: file[f.name] for f in dataclasses.fields(cls)}
        except (OSError, KeyError, ValueError) as error:
            raise StellacubeError(f"{path} does not hold the truth of a simulated field.") from error
        return cls(**values | {"label_names": tuple(map(str, values["label_names"]))})


def wave_grid(settings: SimulationSettings) -> np.ndarray:
    """Return the wavelengths of the cube's layers, Angstrom in air."""
    n_wave = round((settings.wave_max - settings.wave_min) / settings.wave_step) + 1
    if n_wave < 2 or settings.nx < 1 or settings.ny < 1 or settings.n_stars < 1:
        raise StellacubeError(
            f"{settings.nx} x {settings.ny} spaxels, {n_wave} layers and {settings.n_stars} stars make no field.",
            "Take at least one spaxel, one star and two layers.",
        )
    return settings.wave_min + settings.wave_step * np.arange(n_wave)


def field_wcs(settings: SimulationSettings, *, true: bool) -> WCS:
    """Return the celestial coordinates of the field: the true ones, or those that the header will claim."""
    angle = np.deg2rad(settings.rotation + (0.0 if true else settings.wcs_rotation))
    east, north = (0.0, 0.0) if true else settings.wcs_offset
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [(settings.nx + 1) / 2, (settings.ny + 1) / 2]
    wcs.wcs.crval = [CENTRE[0] + east / 3600 / np.cos(np.deg2rad(CENTRE[1])), CENTRE[1] + north / 3600]
    rotation = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = settings.pixel_scale / 3600 * rotation
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def draw_field(library: Library, settings: SimulationSettings) -> Truth:
    """Draw a field of stars.

    Parameters
    ----------
    library : Library
        Each spectrum is used once before any is used again.
    settings : SimulationSettings
        Number, places, magnitudes and velocities of the stars, and the seed.

    Returns
    -------
    Truth
    """
    wave = wave_grid(settings)
    rng = np.random.default_rng(settings.seed)
    n = settings.n_stars
    rounds = -(-n // len(library))
    rows = np.concatenate([rng.permutation(len(library)) for _ in range(rounds)])[:n]
    velocity = rng.normal(settings.velocity, settings.velocity_dispersion, n)
    x, y = _positions(settings, rng)
    mag = _magnitudes(settings, rng)
    flux = spectra(library, rows, velocity, mag, wave)
    ra, dec = field_wcs(settings, true=True).all_pix2world(x, y, 0)
    width = len(str(n))
    return Truth(
        star_id=np.array([f"S{i + 1:0{width}d}" for i in range(n)]),
        source=np.array([library.name[row] for row in rows]),
        x=x,
        y=y,
        ra=ra,
        dec=dec,
        mag=mag,
        velocity=velocity,
        label_names=library.label_names,
        labels=library.labels[rows],
        wave=wave,
        flux=flux,
    )


def spectra(library: Library, rows: np.ndarray, velocity: np.ndarray, mag: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Return spectra as MUSE sees stars of given velocities (km/s) and V magnitudes, 1e-20 erg/s/cm2/A.

    The magnitude is that of the spectrum at rest, over the library's own range.
    """
    scale = 10 ** (0.4 * (visual_magnitude(library.wave, library.flux[rows]) - mag))
    lsf = muse_lsf(wave)
    flux = np.empty((len(rows), len(wave)), np.float32)
    for i, (row, speed) in enumerate(zip(rows, velocity, strict=True)):
        flux[i] = library.observed(row, speed, wave, lsf) * scale[i]
    return flux


def write_star_list(truth: Truth, path: str | Path) -> None:
    """Write a star list as an observer would have it: CSV with id, ra, dec (degrees) and V magnitude."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("id", "ra", "dec", "mag"))
        for star, ra, dec, mag in zip(truth.star_id, truth.ra, truth.dec, truth.mag, strict=True):
            table.writerow((star, f"{ra:.8f}", f"{dec:.8f}", f"{mag:.3f}"))


def _positions(settings: SimulationSettings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw positions in spaxels, uniform or as King (1962) has them, by rejection."""
    low = -settings.outside - 0.5
    size = np.array([settings.nx, settings.ny]) + 2 * settings.outside
    if np.any(size <= 0):
        raise StellacubeError("No place for stars is left in the simulated field.", "Choose a larger `outside`.")
    if settings.layout == "uniform":
        places = low + rng.random((settings.n_stars, 2)) * size
        return places[:, 0], places[:, 1]
    core = settings.core_radius / settings.pixel_scale
    edge = 1.0 / np.sqrt(1.0 + TIDAL_RATIO**2)
    chosen = np.empty((0, 2))
    while len(chosen) < settings.n_stars:
        places = low + rng.random((4 * settings.n_stars, 2)) * size
        radius = np.hypot(*(places - (np.array([settings.nx, settings.ny]) - 1) / 2).T) / core
        density = np.where(radius < TIDAL_RATIO, (1.0 / np.sqrt(1.0 + radius**2) - edge) / (1.0 - edge), 0.0) ** 2
        chosen = np.concatenate([chosen, places[rng.random(len(places)) < density]])
    return chosen[: settings.n_stars, 0], chosen[: settings.n_stars, 1]


def _magnitudes(settings: SimulationSettings, rng: np.random.Generator) -> np.ndarray:
    """Draw V magnitudes whose number grows as 10^(slope V) between the limits."""
    part = rng.random(settings.n_stars)
    steepness = settings.mag_slope * np.log(10.0)
    reach = settings.mag_faint - settings.mag_bright
    if abs(steepness * reach) < 1e-9:
        return settings.mag_bright + part * reach
    return settings.mag_bright + np.log1p(part * np.expm1(steepness * reach)) / steepness
