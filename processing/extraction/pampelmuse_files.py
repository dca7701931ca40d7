"""PampelMUSE's files: its configuration and catalogue are written, its parameter file is read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.cube_write import CHUNK, flux_layers, variance_layers, write_cube
from processing.errors import StellacubeError
from processing.extraction.psf import PsfModel
from processing.extraction.psf_profiles import PARAMETERS, Profile
from processing.files import cannot_write
from processing.progress import CancelCheck, never, stop_if
from processing.settings import Settings

if TYPE_CHECKING:
    from processing.cube import MuseCube

TRANSFORMATION = ("A", "B", "C", "D", "x0", "y0")
"""x = x0 + A x_ref + C y_ref and y = y0 + B x_ref + D y_ref."""
N_KNOTS = 40
"""Wavelengths at which PampelMUSE's PSF is taken over."""


@dataclass(frozen=True)
class PrmFile:
    """What the program uses of a file ``<prefix>.prm.fits``.

    Parameters
    ----------
    star_id : ndarray of int, shape (n,)
    status : ndarray of int, shape (n,)
        PampelMUSE's own codes; 3 marks the stars that the PSF was fitted to.
    wave : ndarray, shape (n_wave,)
        Angstrom.
    psf : dict of str to ndarray, shape (n_wave,)
        By PampelMUSE's names: fwhm (spaxels), beta, e = 1 - b/a, theta (radians).
    transformation : dict of str to ndarray, shape (n_wave,)
        By the names of `TRANSFORMATION`; empty where the file has none.
    """

    star_id: np.ndarray
    status: np.ndarray
    wave: np.ndarray
    psf: dict[str, np.ndarray]
    transformation: dict[str, np.ndarray]

    def model(self, degree: int, x0: float, y0: float) -> PsfModel:
        """Return the PSF as this program's own model, the positions counted from those at the middle wavelength."""
        profile: Profile = "moffat" if "beta" in self.psf else "gaussian"
        knots = np.unique(np.linspace(0, self.wave.size - 1, N_KNOTS).astype(int))
        values = np.zeros((knots.size, len(PARAMETERS)))
        unknown = np.zeros(self.wave.size)
        e, theta = self.psf.get("e", unknown)[knots], self.psf.get("theta", unknown)[knots]
        known = {"fwhm": self.psf["fwhm"][knots], "beta": self.psf.get("beta", unknown + 2.5)[knots]}
        known |= {"e1": e * np.cos(2 * theta), "e2": e * np.sin(2 * theta)}
        if self.transformation:
            known |= self._affine(knots, x0, y0)
        for name, column in known.items():
            values[:, PARAMETERS.index(name)] = column
        wave_min, wave_max = float(self.wave[0]), float(self.wave[-1])
        t = (2.0 * self.wave[knots] - wave_min - wave_max) / (wave_max - wave_min)
        used = np.asarray(np.isfinite(values).all(1))
        degree = min(degree, int(used.sum()) - 1)
        coefficients = np.polynomial.chebyshev.chebfit(t[used], values[used], degree).T
        return PsfModel(
            profile, wave_min, wave_max, x0, y0, coefficients, bin_wave=self.wave[knots], bin_values=values,
            bin_errors=np.zeros_like(values), bin_used=used, bin_chi=np.full(knots.size, np.nan),
            n_stars=int((self.status == 3).sum()),
        )  # fmt: skip

    def _affine(self, knots: np.ndarray, x0: float, y0: float) -> dict[str, np.ndarray]:
        """Return the position terms of `PARAMETERS` at the knots, relative to the middle one."""
        a, b, c, d, x, y = (self.transformation[name][knots] for name in TRANSFORMATION)
        forward = np.stack([np.stack([a, c], -1), np.stack([b, d], -1)], -2)  # (n, 2, 2): reference to spaxels
        middle = knots.size // 2
        relative = forward @ np.linalg.inv(forward[middle])
        pivot, shift = np.array([x0, y0]), np.stack([x, y], -1)
        moved = shift + np.einsum("nij,j->ni", relative, pivot - shift[middle]) - pivot
        terms = np.concatenate([moved, (relative - np.eye(2)).reshape(-1, 4)], axis=1)
        return dict(zip(("dx", "dy", "xx", "xy", "yx", "yy"), terms.T, strict=True))


def read_prm(path: Path) -> PrmFile:
    """Read a parameter file; its tables are found by EXTNAME and content, their order differs between versions.

    Raises
    ------
    StellacubeError
        If it cannot be read or lacks a table.
    """
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as hdus:
            sources, axis = hdus["SOURCES"].data, hdus["SPECTRA"].header
            columns = {name.lower(): name for name in sources.names}
            psf = _by_name(hdus["PSFPARS"].data)
            places: dict[str, np.ndarray] = {}
            for name in ("POSPARS", "POSITIONS"):
                rows = _by_name(hdus[name].data) if name in hdus else {}
                if set(TRANSFORMATION) <= rows.keys():
                    places = rows
            size = next(iter(psf.values())).size
            # The axis is in metres, and counts from the first layer without a CRPIX3.
            wave = 1e10 * (axis["CRVAL3"] + axis["CDELT3"] * np.arange(size))
            return PrmFile(
                np.asarray(sources[columns["id"]]).astype(int), np.asarray(sources[columns["status"]]).astype(int),
                wave, psf, places,
            )  # fmt: skip
    except (OSError, KeyError, ValueError, TypeError, StopIteration) as error:
        raise StellacubeError(
            f"{path.name} is no parameter file of PampelMUSE that could be read: {error}.",
            "Expected are extensions SOURCES, SPECTRA, PSFPARS, and POSPARS or POSITIONS.",
        ) from error


def _by_name(table: Any) -> dict[str, np.ndarray]:
    """Return the vectors of a table with one row per parameter: its polynomials, else what was fitted."""
    columns = {name.lower(): name for name in table.names}
    vectors = [name for name in table.names if table[name].ndim == 2 and table[name].dtype.kind == "f"]
    if "name" not in columns or not vectors:
        return {}
    values = table[columns.get("polyfit", vectors[0])]
    return {str(name).strip(): np.array(row, float) for name, row in zip(table[columns["name"]], values, strict=True)}


def configuration(prefix: Path, catalogue: Path, passband: str, settings: Settings) -> dict[str, Any]:
    """Return PampelMUSE's configuration; only keys that are known from files in use are set.

    Parameters
    ----------
    prefix : Path
        The cube without ``.fits``.
    catalogue : Path
    passband : str
        Name of the catalogue's column of magnitudes.
    settings : Settings
    """
    source, psf, solve = settings.sources, settings.psf, settings.solve
    shape = {"profile": "gauss" if psf.profile == "gaussian" else "moffat", "beta": psf.beta}
    if psf.fwhm:
        shape["fwhm"] = psf.fwhm
    patch = solve.sky_patch if solve.sky == "patches" else -1
    return {
        "global": {
            "prefix": str(prefix),
            "verbose": 2,
            "interact": False,
            "cpucount": settings.workers or os.cpu_count() or 1,
        },
        "catalog": {"name": str(catalogue), "passband": passband},
        "layers": {"first": 0, "last": -1, "binning": 1},
        "psf": shape,
        "sky": {"use": solve.sky != "none", "binsize": patch},
        "polynom": {"type": "plain", "degree": psf.degree},
        "initfit": {
            "usesigma": True,
            "confdens": source.confusion_density,
            "snrcut": source.snr_min,
            "binrad": source.merge_radius,
        },
        "cubefit": {"usesigma": True, "iterations": 5},
        "getspectra": {"prefix": "spec", "folder": "spectra"},
    }


def write_inputs(
    folder: Path,
    cube: MuseCube,
    stars: dict[str, np.ndarray],
    passband: str,
    settings: Settings,
    cancelled: CancelCheck = never,
) -> Path:
    """Write cube, catalogue and configuration into a folder; return the path of the configuration.

    Parameters
    ----------
    folder : Path
    cube : MuseCube
    stars : dict of str to ndarray
        ``id``, and ``ra``, ``dec`` (degrees) or ``x``, ``y`` (spaxels), and the magnitude under the passband's name.
    passband : str
    settings : Settings
    """
    catalogue, config = folder / "stars.csv", folder / "pampelmuse.json"
    rows = zip(*(values.tolist() for values in stars.values()), strict=True)
    lines = [",".join(stars), *(",".join(map(repr, row)) for row in rows)]
    try:
        _place_cube(cube, folder / "cube.fits", cancelled)
        catalogue.write_text("\n".join(lines) + "\n", encoding="utf-8")
        text = json.dumps(configuration(folder / "cube", catalogue, passband, settings), indent=2)
        config.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(folder, error) from error
    return config


def _place_cube(cube: MuseCube, path: Path, cancelled: CancelCheck) -> None:
    """Link the cube, or write a copy where PampelMUSE would fail on it.

    It fails on voxels of zero variance that are not masked: the copy has NaN there. Cubes that are packed, or have
    their variances under other names, are copied too.
    """
    from astropy.io import fits

    path.unlink(missing_ok=True)
    n_wave = cube.shape[0]
    with fits.open(cube.path, memmap=True) as hdus:
        plain = cube.path.suffix == ".fits" and "DATA" in hdus and "STAT" in hdus
        if plain:  # neither scaled nor masked by the reader
            stored = hdus["DATA"].data[n_wave // 2]
            plain = np.array_equal(np.nan_to_num(stored), np.nan_to_num(cube.layer(n_wave // 2)))
        for start in range(0, n_wave if plain else 0, CHUNK):
            stop_if(cancelled)
            data, stat = (hdus[name].data[start : start + CHUNK] for name in ("DATA", "STAT"))
            if (np.isfinite(data) & ~(stat > 0)).any():
                plain = False
                break
    if plain:
        path.symlink_to(cube.path.resolve())
    else:
        write_cube(path, cube, {"DATA": flux_layers(cube), "STAT": variance_layers(cube)}, cancelled=cancelled)
