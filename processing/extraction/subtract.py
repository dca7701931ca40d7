"""Stars taken out of a cube: what is left is the sky, nebulae, galaxies, and the stars that the list did not know."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.cube_write import LayerSource, variance_layers, write_cube
from processing.errors import StellacubeError
from processing.extraction.automatic import is_narrow, settle
from processing.extraction.linear import FarWings, make_stamps
from processing.extraction.psf import PsfModel
from processing.extraction.psf_fit import core_radius
from processing.progress import CancelCheck, Progress, ignore, never
from processing.session import Session

if TYPE_CHECKING:
    from processing.cube import MuseCube


def star_layers(
    psf: PsfModel, wave: np.ndarray, x: np.ndarray, y: np.ndarray, flux: np.ndarray, shape: tuple[int, int],
    radius: float,
) -> LayerSource:  # fmt: skip
    """Return what gives images of stars, with their far wings.

    Parameters
    ----------
    psf : PsfModel
    wave : ndarray, shape (n_wave,)
        Angstrom.
    x, y : ndarray, shape (n_star,)
        Registered positions, spaxels.
    flux : ndarray, shape (n_star, n_wave)
        NaN counts as nothing.
    shape : tuple of int
        (ny, nx).
    radius : float
        Of the PSF's core, spaxels; further out a transform of Fourier's takes over.
    """
    everywhere = np.ones(shape, bool)

    def layers(start: int, stop: int) -> np.ndarray:
        """Interpolate the PSF linearly between the ends of the block, as the solver does."""
        part = np.nan_to_num(flux[:, start:stop])
        first, last = float(wave[start]), float(wave[stop - 1])
        places = [psf.positions(x, y, w) for w in (first, last)]
        middle = np.mean(places, axis=0)
        stamps = make_stamps(middle[0], middle[1], everywhere, radius, taper=True)
        ends = [stamps.matrix(stamps.profile(psf.at(w), *at)) for w, at in zip((first, last), places, strict=True)]
        along = ((wave[start:stop] - first) / max(last - first, 1e-9)).astype(np.float32)
        image = (ends[0].T @ (part * (1.0 - along)) + ends[1].T @ (part * along)).T.reshape(-1, *shape)
        wings = FarWings(middle[0], middle[1], shape, radius)
        return np.asarray(image + wings.images(part, wings.transfer(psf.at(0.5 * (first + last)))))

    return layers


def subtract_stars(
    session_path: Path,
    out: Path,
    *,
    keep: Collection[str] = (),
    cube_path: Path | None = None,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> int:
    """Write the cube of a session without its stars; the sky stays. Memory is that of a few layers.

    Parameters
    ----------
    session_path : Path
        With the extraction finished.
    out : Path
    keep : collection of str
        Stars that are not taken out.
    cube_path : Path, optional
        Where the cube is now; default: where it was.

    Returns
    -------
    int
        Number of stars that were taken out, those outside the field included whose light reaches in.

    Raises
    ------
    StellacubeError
        If the session holds no extraction of a cube, the cube is gone, or a star to be kept is not known.
    """
    from processing.cube import MuseCube

    with Session.open(session_path, read_only=True) as session:
        block, cubes = session.load("psf"), [file.path for file in session.inputs if file.role == "cube"]
        if block is None or not (cubes or cube_path):
            raise StellacubeError(f"{session_path.name} holds no PSF of a cube.", "Extract it first, by PSF fitting.")
        stars = {
            star.star_id: (star.x, star.y, star.flux / float(star.meta.get("flux_scale", 1.0)))
            for star in session.spectra()
        }
        others = session.load("contaminants")
        settings = session.settings
    missing = set(keep) - stars.keys()
    if missing:
        raise StellacubeError(f"The session has no spectrum of {', '.join(sorted(missing))}.", "Check the names.")
    lights = [stars[name] for name in stars.keys() - set(keep)]
    if others is not None:
        lights += list(zip(others["x"], others["y"], others["flux"], strict=True))
    path = Path(cube_path or cubes[0])
    if out.exists() and path.exists() and out.samefile(path):
        raise StellacubeError("The residual cube would take the cube's place.", "Choose another name for it.")
    if not lights:
        raise StellacubeError("There is no star to be taken out.", "Keep fewer stars.")
    with MuseCube.open(path) as cube:
        psf = PsfModel.from_arrays(block)
        x, y, flux = (np.array([light[k] for light in lights]) for k in range(3))
        if flux.shape[1:] != cube.wave.shape:
            raise StellacubeError(
                f"{cube.path.name} has {cube.wave.size} layers and the spectra {flux.shape[-1]} pixels.",
                "Give the cube that the session was made from.",
            )
        chosen, _ = settle(settings, is_narrow(cube))
        radius = core_radius(chosen.psf, float(np.max(psf.fwhm(cube.wave))), cube.shape[1:])
        model = star_layers(psf, cube.wave, x, y, flux, cube.shape[1:], radius)
        extensions = {"DATA": _difference(cube, model), "STAT": variance_layers(cube)}
        write_cube(out, cube, extensions, progress=progress, cancelled=cancelled)
    return len(lights)


def _difference(cube: MuseCube, model: LayerSource) -> LayerSource:
    """Return what gives the cube minus a model, NaN where masked."""

    def layers(start: int, stop: int) -> np.ndarray:
        block = cube.block(start, stop)
        return np.where(block.ivar > 0, block.flux - model(start, stop), np.nan)

    return layers
