"""What there is to say about a cube before any work is done on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.cube import MuseCube

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

_SAMPLE = 24
"""Layers on which the share of masked voxels is measured."""


def describe_cube(path: Path) -> dict[str, str]:
    """Return names and values of what a cube holds, and what each shipped model can use of it.

    Raises
    ------
    StellacubeError
        If the file is no usable cube.
    """
    with MuseCube.open(path) as cube:
        n_wave, ny, nx = cube.shape
        step = np.diff(cube.wave)
        facts = {
            "file": f"{cube.path.name}, {cube.path.stat().st_size / 1e6:.0f} MB",
            "object": cube.object_name or "not named",
            "instrument": " ".join(word for word in (cube.instrument, cube.mode) if word) or "not named",
            "observed": f"{cube.date_obs or 'date unknown'}, {_number(cube.exptime, 's', 'exposure time unknown')}",
            "size": f"{nx} x {ny} spaxels, {n_wave} layers",
            "wavelengths": f"{cube.wave[0]:.2f}-{cube.wave[-1]:.2f} A in {cube.frame}, {np.median(step):.4g} A a layer",
            "barycentric": _number(cube.barycentric, "km/s applied", "correction unknown"),
            "flux unit": cube.flux_unit or "not given",
            "sky": _sky(cube),
            "variance": "given (STAT)" if cube.has_variance else "not given: estimated from the scatter of each layer",
            "line spread": "given (LSF)" if cube.lsf_fwhm is not None else "not given: the instrument's is assumed",
            "masked": f"about {_masked(cube):.1%} of the voxels",
        }
        facts |= _models(cube)
        facts |= {f"note {number}": note for number, note in enumerate(cube.notes, 1)}
    return facts


def _number(value: float, unit: str, otherwise: str) -> str:
    return f"{value:.4g} {unit}" if np.isfinite(value) else otherwise


def _sky(cube: MuseCube) -> str:
    if cube.wcs is None:
        return "no coordinates: use a star list with x and y, or none"
    ny, nx = cube.shape[1:]
    ra, dec = cube.pixel_to_world((nx - 1) / 2, (ny - 1) / 2)
    scale = cube.pixel_scale
    return f'centre {ra:.5f} {dec:+.5f} deg, {scale:.3f}" a spaxel, {nx * scale:.0f}" x {ny * scale:.0f}"'


def _masked(cube: MuseCube) -> float:
    """Return the share of masked voxels on some layers spread evenly."""
    layers = np.unique(np.linspace(0, cube.shape[0] - 1, _SAMPLE).astype(int))
    return float(np.mean([np.isnan(cube.layer(int(layer))).mean() for layer in layers]))


def _models(cube: MuseCube) -> dict[str, str]:
    from processing.labels.model_file import list_models, load_model

    return {f"model {name}": _coverage(cube, load_model(path)) for name, path in list_models().items()}


def _coverage(cube: MuseCube, model: LabelModel) -> str:
    """Say how much of a model's wavelengths the cube covers; air and vacuum differ by less than two pixels."""
    fitted = model.wave[model.mask]
    inside = (fitted > cube.wave[0]) & (fitted < cube.wave[-1])
    if not inside.any():
        return "cannot be used: no wavelength in common"
    return f"{fitted[inside][0]:.0f}-{fitted[inside][-1]:.0f} A, {inside.mean():.0%} of its pixels"
