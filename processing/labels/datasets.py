"""Training and validation spectra: read from files, brought to a model's grid, resolution and pseudo-continuum.

Every spectrum goes through the operators of `processing.preparation`, the same that the fit uses.

Three layouts are read: an ``.npz``; a FITS binary table whose columns are the arrays named here, one row per spectrum;
and an index, an ECSV or CSV table with a column ``file`` that names one spectrum per row in any format that the program
reads (LAMOST's, for instance), labels, and ``rv``, the star's velocity in it (`processing.labels.spectra_table`).

The ``.npz`` holds these arrays (n spectra, n_wave pixels):

- ``wave_air`` or ``wave_vac`` (n_wave,), Angstrom, increasing;
- ``flux`` (n, n_wave), NaN or 0 in gaps; or ``norm`` (flux over its continuum; integers are in units of
  1.25 / 65535) with ``continuum`` (n, n_cont) on ``wave_cont``;
- ``ivar`` (n, n_wave), optional: inverse variance;
- labels, NaN where unknown: either ``labels`` (n, n_label) with ``names``, or one array per label called by its
  name (``teff``, ``logg``, ``feh``, ``mg_fe``, ...); errors, optional: ``teff_err``, ...;
- star names, optional: ``star``, ``hd``, ``name`` or ``id``; two spectra of one star share a name.
"""

from __future__ import annotations

import glob
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processing.errors import StellacubeError
from processing.labels.names import LABELS, from_training_name
from processing.labels.spectra_table import FITS, INDEX, read_fits_table, read_index
from processing.preparation.air import in_frame, shifted
from processing.preparation.continuum import ContinuumOperator
from processing.preparation.lsf import degrading_resampler, lsf_fwhm
from processing.preparation.resample import log_grid
from processing.spectrum import Frame

_INTEGER_SCALE = 1.25 / 65535
_STAR_COLUMNS = ("star", "name", "id", "hd")


@dataclass(frozen=True)
class SpectraFile:
    """Spectra with labels as a file holds them.

    Parameters
    ----------
    stars : tuple of str, n of them
        Name of the star of each spectrum; empty names where the file gives none.
    labels, label_errors : mapping of machine name to ndarray, shape (n,)
        NaN where unknown.
    wave : ndarray, shape (n_wave,)
        Angstrom, in `frame`.
    flux, ivar : ndarray, shape (n, n_wave)
        ivar is 0 in gaps; 1 where the file gives no errors.
    """

    stars: tuple[str, ...]
    labels: Mapping[str, np.ndarray]
    label_errors: Mapping[str, np.ndarray]
    wave: np.ndarray
    frame: Frame
    flux: np.ndarray
    ivar: np.ndarray

    def __len__(self) -> int:
        return len(self.stars)


@dataclass(frozen=True)
class Grid:
    """What spectra are brought to: wavelengths, resolution, pseudo-continuum.

    Parameters
    ----------
    wave : ndarray, shape (n_pix,)
        Angstrom, in `frame`.
    lsf_fwhm : ndarray, shape (n_pix,)
        Angstrom.
    """

    wave: np.ndarray
    lsf_fwhm: np.ndarray
    continuum: ContinuumOperator
    frame: Frame = "air"

    @classmethod
    def make(
        cls, wave_min: float, wave_max: float, step: float, lsf: tuple[str, ...], continuum: ContinuumOperator
    ) -> Grid:
        """Build a grid of `step` dex whose resolution is the coarsest of the named ones at each wavelength."""
        wave = log_grid(wave_min, wave_max, step)
        return cls(wave, np.max([lsf_fwhm(name, wave) for name in lsf], axis=0), continuum)


@dataclass(frozen=True)
class PreparedSet:
    """Spectra of one source on a model's grid.

    Parameters
    ----------
    stars : tuple of str, n of them
    labels, label_errors : ndarray, shape (n, n_label)
        In the order asked for; NaN where unknown.
    flux, ivar : ndarray, shape (n, n_pix), float32
        Pseudo-normalised; ivar 0 in gaps.
    lsf_fwhm : ndarray, shape (n_pix,)
        Resolution reached, Angstrom: coarser than the grid's where the source is.
    """

    stars: tuple[str, ...]
    labels: np.ndarray
    label_errors: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    lsf_fwhm: np.ndarray

    def __len__(self) -> int:
        return len(self.stars)

    def take(self, index: np.ndarray) -> PreparedSet:
        """Return the spectra that `index` (integers or booleans) chooses."""
        chosen = np.arange(len(self))[index]
        return PreparedSet(
            tuple(self.stars[i] for i in chosen),
            self.labels[chosen],
            self.label_errors[chosen],
            self.flux[chosen],
            self.ivar[chosen],
            self.lsf_fwhm,
        )


def read_spectra(path: str | Path) -> SpectraFile:
    """Read one ``.npz`` of spectra, or several on one wavelength grid joined in the order of their names.

    Parameters
    ----------
    path : str or Path
        An ``.npz`` or a FITS table; may hold wildcards: ``train_*.npz``.

    Raises
    ------
    StellacubeError
        If there is no such file, or it is not laid out as this module says.
    """
    files = _files(path)
    parts = [_read_one(file) for file in files]
    first = parts[0]
    if any(not np.array_equal(part.wave, first.wave) or part.labels.keys() != first.labels.keys() for part in parts):
        raise StellacubeError(f"The files {path} differ in wavelengths or labels.", "List them one by one.")
    return SpectraFile(
        tuple(star for part in parts for star in part.stars),
        {name: np.concatenate([part.labels[name] for part in parts]) for name in first.labels},
        {name: np.concatenate([part.label_errors[name] for part in parts]) for name in first.label_errors},
        first.wave,
        first.frame,
        np.concatenate([part.flux for part in parts]),
        np.concatenate([part.ivar for part in parts]),
    )


def read_sets(path: str | Path) -> list[SpectraFile]:
    """Read spectra in any layout, those on one wavelength grid together: of an index each at rest on its own."""
    files = [Path(file) for file in _files(path)]
    if not all(file.name.endswith(INDEX) for file in files):
        return [read_spectra(path)]
    sets = []
    for file in files:
        columns, spectra, velocity = read_index(file)
        try:
            labels, errors = _labels(columns, len(spectra))
        except KeyError as error:
            raise StellacubeError(f"The table {file} lacks the column {error.args[0]}.") from error
        stars = _stars(columns, len(spectra))
        for i, (star, speed) in enumerate(zip(spectra, velocity.tolist(), strict=True)):
            good = np.isfinite(star.flux) & (star.ivar > 0)
            sets.append(
                SpectraFile(
                    (stars[i],),
                    {name: values[i : i + 1] for name, values in labels.items()},
                    {name: values[i : i + 1] for name, values in errors.items()},
                    shifted(star.wave, star.frame, speed, star.frame),
                    star.frame,
                    np.where(good, star.flux, 0)[None].astype(np.float32),
                    np.where(good, star.ivar, 0)[None].astype(np.float32),
                )
            )
    return sets


def _files(path: str | Path) -> list[str]:
    files = sorted(glob.glob(str(Path(path).expanduser())))
    if not files:
        raise StellacubeError(
            f"There are no spectra at {path}.", "Give an .npz, a FITS table or an index table; * is a wildcard."
        )
    return files


def _read_one(file: str) -> SpectraFile:
    if file.endswith(FITS):
        arrays = read_fits_table(Path(file))
    else:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise StellacubeError(
                f"The spectra {file} cannot be read: {error}.", "An .npz archive or a FITS table is needed."
            ) from error
    try:
        frame: Frame = "air" if "wave_air" in arrays else "vacuum"
        wave = arrays["wave_air" if frame == "air" else "wave_vac"].astype(float)
        flux = _flux(arrays, wave)
        labels, errors = _labels(arrays, len(flux))
    except KeyError as error:
        raise StellacubeError(
            f"The spectra {file} lack the array {error.args[0]}.", "See the manual's layout."
        ) from error
    good = np.isfinite(flux) & (flux > 0)
    ivar = np.where(good, arrays.get("ivar", np.ones(1, np.float32)), 0).astype(np.float32)
    flux = np.where(good, flux, 0).astype(np.float32)
    return SpectraFile(_stars(arrays, len(flux)), labels, errors, wave, frame, flux, ivar)


def _stars(arrays: Mapping[str, np.ndarray], n: int) -> tuple[str, ...]:
    column = next((name for name in _STAR_COLUMNS if name in arrays), "")
    return tuple(str(star).strip() for star in arrays[column]) if column else ("",) * n


def _flux(arrays: Mapping[str, np.ndarray], wave: np.ndarray) -> np.ndarray:
    if "flux" in arrays and arrays["flux"].ndim == 2:
        return arrays["flux"]
    norm = arrays["norm"]
    scale = _INTEGER_SCALE if np.issubdtype(norm.dtype, np.integer) else 1.0
    continuum = [np.interp(wave, arrays["wave_cont"], one) for one in arrays["continuum"]]
    return (norm * scale * np.array(continuum)).astype(np.float32)


def _labels(arrays: Mapping[str, np.ndarray], n: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Labels and their errors by machine name, from a matrix with names or from one array per label."""
    columns: dict[str, np.ndarray] = {}
    if "labels" in arrays:
        columns.update(zip((str(name) for name in arrays["names"]), arrays["labels"].T, strict=True))
    columns.update({name: array for name, array in arrays.items() if array.shape == (n,) and array.dtype.kind in "fi"})
    labels: dict[str, np.ndarray] = {}
    errors: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        target = errors if name.endswith("_err") else labels
        try:
            target[from_training_name(name.removesuffix("_err"))] = column.astype(float)
        except KeyError:
            continue
    if not labels:
        raise KeyError("labels, or one array per label such as teff,")
    return labels, errors


def prepare_spectra(
    spectra: SpectraFile, grid: Grid, lsf: str, labels: tuple[str, ...], default_errors: Mapping[str, float]
) -> PreparedSet:
    """Bring spectra at rest to a grid, its resolution and its pseudo-continuum, as the fit does with observed ones.

    Parameters
    ----------
    lsf : str
        The spectra's own resolution, as `processing.preparation.lsf.lsf_fwhm` reads it.
    labels : tuple of str
        Machine names of the labels wanted; those that the spectra lack are NaN.
    default_errors : mapping
        Errors of labels for which the file gives none; 0 where neither does.
    """
    unknown = [name for name in labels if name not in LABELS]
    if unknown:
        raise StellacubeError(f"There is no label called {unknown[0]}.", f"Known labels: {', '.join(LABELS)}.")
    wave = in_frame(spectra.wave, spectra.frame, grid.frame)
    near = (wave > grid.wave[0] - 50) & (wave < grid.wave[-1] + 50)
    wave = wave[near]
    resampler, reached, _ = degrading_resampler(wave, lsf_fwhm(lsf, wave), grid.wave, grid.lsf_fwhm)
    flux, ivar = resampler.apply(spectra.flux[:, near], spectra.ivar[:, near])
    # Fluxes of 1e-14 would leave float32's range once squared.
    level = np.median(np.where(ivar > 0, flux, np.nan), axis=1, keepdims=True) if len(flux) else 1.0
    level = np.where(np.isfinite(level) & (level > 0), level, 1.0)
    flux, ivar, _ = grid.continuum.normalise(grid.wave, flux / level, ivar * level**2)
    n = len(spectra)
    return PreparedSet(
        spectra.stars,
        np.column_stack([spectra.labels.get(name, np.full(n, np.nan)) for name in labels]),
        np.column_stack([spectra.label_errors.get(name, np.full(n, default_errors.get(name, 0.0))) for name in labels]),
        flux,
        ivar,
        reached,
    )


def prepare_sets(
    path: str | Path, grid: Grid, lsf: str, labels: tuple[str, ...], default_errors: Mapping[str, float]
) -> PreparedSet:
    """Read spectra in any layout and bring them to a grid, as `read_sets` and `prepare_spectra` do."""
    parts = [prepare_spectra(part, grid, lsf, labels, default_errors) for part in read_sets(path)]
    arrays = ("labels", "label_errors", "flux", "ivar")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    stars = tuple(star for part in parts for star in part.stars)
    return PreparedSet(stars, **joined, lsf_fwhm=np.max([part.lsf_fwhm for part in parts], axis=0))
