"""The band that a star list's magnitudes were measured in, and the cube's image in it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.paths import resource

if TYPE_CHECKING:
    from processing.cube import CubeOverview

STEEPNESS = 8
"""Exponent of the edges, exp(-ln2 |2 (wave - centre) / width|^8): from 90 to 10 % within an eighth of the width."""
WHITE = "white light"
USABLE = 0.1
"""Share of a band's light that must lie in the cube; with less, the nearest end of the cube stands in."""
STAND_IN = 1000.0
"""Width of that end, Angstrom."""

_SYSTEMS = (
    ("SkyMapper", r"skymapper|smss|^[uvgriz]_psf$"),
    ("LAMOST", r"lamost"),
    ("Pan-STARRS", r"panstarrs|pan_starrs|(^|_)ps1(_|$)|mean_?psf_?mag"),
    ("VISTA", r"vista|vvv|vhs|mag_?3$"),
    ("2MASS", r"2mass|twomass|tmass|^[jhk]_m$"),
    ("Johnson-Cousins", r"johnson|cousins|bessell?"),
    ("SDSS", r"sdss"),
    ("Gaia", r"gaia|phot_(g|bp|rp)_"),
)
"""How columns are called that say their system."""
_BY_LETTER = {
    **dict.fromkeys("UBVRI", "Johnson-Cousins"),
    "v": "Johnson-Cousins",
    **dict.fromkeys("ugriz", "SDSS"),
    **dict.fromkeys(("G", "BP", "RP"), "Gaia"),
    **dict.fromkeys(("J", "H", "Ks"), "2MASS"),
}
"""What a bare letter means; capital or not makes the difference between Gaia's G and the g of the SDSS."""
_DECORATION = r"phot|mean|psf|petro|model|auto|aper|mag|magnitude|m|band|filter|vega|ab|st|obs|0|3"


@dataclass(frozen=True)
class Passband:
    """A photometric passband.

    Parameters
    ----------
    name : str
        System and band: "SDSS g".
    wave : ndarray, shape (n,)
        Angstrom, increasing.
    transmission : ndarray, shape (n,)
        Relative; 0 outside `wave`.
    source : str
    """

    name: str
    wave: np.ndarray
    transmission: np.ndarray
    source: str

    def photons(self, wave: np.ndarray) -> np.ndarray:
        """Return the weights of flux densities at `wave` (Angstrom): transmission x wavelength, as detectors count."""
        return np.interp(wave, self.wave, self.transmission, left=0.0, right=0.0) * wave


@dataclass(frozen=True)
class BandImage:
    """The cube's image in a band.

    Parameters
    ----------
    image : ndarray, shape (ny, nx), float32
        Weighted mean flux per layer; NaN where there are no data.
    name : str
    wave_min, wave_max : float
        Of the layers that count, Angstrom.
    note : str
        A sentence on what stands in for what; empty where the band lies in the cube.
    """

    image: np.ndarray
    name: str
    wave_min: float
    wave_max: float
    note: str = ""


@cache
def passbands() -> dict[str, Passband]:
    """Return the passbands that the program knows, by name."""
    table = tomllib.loads(resource("passbands", "passbands.toml").read_text(encoding="utf-8"))
    found = {}
    for system, bands in table.items():
        source = bands.pop("source")
        for band, (centre, width) in bands.items():
            wave = np.linspace(centre - width, centre + width, 401)
            edge = np.exp(-np.log(2.0) * np.abs(2.0 * (wave - centre) / width) ** STEEPNESS)
            found[f"{system} {band}"] = Passband(f"{system} {band}", wave, edge, source)
    return found


def recognise(column: str) -> Passband | None:
    """Return the band that a column of magnitudes is named after, or None: `mag` alone says nothing."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.strip()))
    hst = re.search(r"f(\d{3})(w|lp)?(?![0-9])", name.lower())
    if hst:
        camera = "WFC3/UVIS" if re.search(r"wfc3|uvis", name.lower()) else "ACS/WFC"
        for band in (f"F{hst[1]}{suffix}" for suffix in ("W", "LP")):
            for system in (camera, "WFC3/UVIS", "ACS/WFC"):
                if f"{system} {band}" in passbands():
                    return passbands()[f"{system} {band}"]
        return None
    system = next((s for s, pattern in _SYSTEMS if re.search(pattern, name.lower())), "")
    words = [w for w in re.split(r"_|(?i:mag)", name) if w and not re.fullmatch(_DECORATION, w.lower())]
    for word in words:
        for spelling in (word, word.upper(), word.lower(), "Ks" if word.lower() in ("k", "ks") else word):
            of = system or _BY_LETTER.get(spelling, "")
            if f"{of} {spelling}" in passbands():
                return passbands()[f"{of} {spelling}"]
    return None


def choose_passband(wanted: str, column: str) -> Passband | None:
    """Return the band that the settings want, or that the list's column is named after; None for white light.

    Parameters
    ----------
    wanted : str
        A name as in `passbands` or as columns have it, "white", the path of a table with wavelength (Angstrom) and
        transmission, or empty: `column` decides.
    column : str
        Name of the column of magnitudes.

    Raises
    ------
    StellacubeError
        If no such band is known and no such file can be read.
    """
    if not wanted:
        return recognise(column) if column else None
    if wanted.lower() in ("white", WHITE):
        return None
    by_name = {name.lower(): band for name, band in passbands().items()}
    if wanted.lower() in by_name:
        return by_name[wanted.lower()]
    if Path(wanted).is_file():
        return read_passband(Path(wanted))
    if (found := recognise(wanted)) is not None:
        return found
    raise StellacubeError(
        f"The passband {wanted} is not known and no file.",
        f"Known are {', '.join(passbands())}; or give the path of a table with wavelength and transmission.",
    )


def read_passband(path: Path) -> Passband:
    """Read a curve: two columns of text or CSV, wavelength in Angstrom (or nm, if below 3000) and transmission."""
    rows = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append([float(value) for value in re.split(r"[,;\s]+", line.strip())[:2]])
            except ValueError:
                continue  # headings and remarks
    except (OSError, UnicodeDecodeError) as error:
        raise StellacubeError(f"The passband {path} cannot be read.") from error
    table = np.array([row for row in rows if len(row) == 2])
    if len(table) < 2 or not (table[:, 1] > 0).any():
        raise StellacubeError(
            f"{path.name} holds no passband.", "It needs two columns: wavelength in Angstrom and transmission."
        )
    wave, transmission = table[np.argsort(table[:, 0])].T
    if wave[-1] < 3000.0:
        wave = 10.0 * wave
    return Passband(path.stem, wave, np.clip(transmission, 0.0, None), path.name)


def band_image(wave: np.ndarray, overview: CubeOverview, band: Passband | None) -> BandImage:
    """Return the cube's image in a band, from the band images of an overview: no further pass over the file.

    Outside the cube's range the nearest end of it stands in.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,)
        The cube's, Angstrom.
    overview : CubeOverview
    band : Passband or None
        None: white light.
    """
    first, last = float(wave[0]), float(wave[-1])
    if band is None:
        return BandImage(overview.white, WHITE, first, last)
    photons = band.photons(wave)
    inside = float(np.trapezoid(photons, wave)) / float(np.trapezoid(band.photons(band.wave), band.wave))
    note = ""
    if inside < USABLE:
        red = float(np.average(band.wave, weights=band.transmission)) > last
        low, high = (last - STAND_IN, last) if red else (first, first + STAND_IN)
        photons = ((wave >= low) & (wave <= high)).astype(float)
        note = f"{band.name} lies outside the cube: its end at {max(low, first):.0f}-{min(high, last):.0f} A stands in."
    elif inside < 0.8:
        note = f"{inside:.0%} of {band.name} lies in the cube."
    weight = np.array([photons[a:b].sum() for a, b in pairwise(overview.band_start)])
    usable = np.isfinite(overview.bands) & (weight[:, None, None] > 0)
    total = (usable * weight[:, None, None]).sum(0)
    light = (np.where(usable, overview.bands, 0.0) * weight[:, None, None]).sum(0)
    enough = total > 0.5 * weight.sum()  # elsewhere the mean would be that of other wavelengths
    image = np.where(enough, light / np.where(enough, total, 1.0), np.nan).astype(np.float32)
    if not enough.any():
        return BandImage(overview.white, WHITE, first, last, f"The cube has no data in {band.name}.")
    counted = wave[photons > 0.5 * photons.max()]
    return BandImage(image, band.name, float(counted[0]), float(counted[-1]), note)
