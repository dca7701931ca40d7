"""What goes wrong in real cubes, put into a simulated one: to see how gracefully an extraction degrades."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Defect = Callable[[np.ndarray, np.ndarray, int], None]
"""Changes DATA and STAT, each (n, ny, nx), in place; the number is that of the first layer."""

LAYERS = 64


def saturated_star(x: float, y: float, level: float, radius: float = 5.0) -> Defect:
    """Cut a star off at `level`, and tear holes into the columns beside its core as bleeding charge does."""

    def spoil(data: np.ndarray, stat: np.ndarray, first: int) -> None:
        yy, xx = np.indices(data.shape[1:])
        near = np.hypot(xx - x, yy - y) < radius
        burnt = near & (np.nanmax(data, axis=0) > level)
        data[:, near] = np.minimum(data[:, near], level)
        column = (np.abs(xx - x) < 1.0) & (np.abs(yy - y) < 2.0 * radius) & ~near
        if burnt.any():
            data[:, column] -= 0.2 * level

    return spoil


def dead_slice(first_row: int, last_row: int, columns: slice = slice(None)) -> Defect:
    """Take all data from a slice of an IFU: a stripe of rows."""

    def spoil(data: np.ndarray, stat: np.ndarray, first: int) -> None:
        data[:, first_row : last_row + 1, columns] = np.nan
        stat[:, first_row : last_row + 1, columns] = np.nan

    return spoil


def satellite_trail(x: float, y: float, angle: float, width: float, sigmas: float) -> Defect:
    """Draw a straight trail through (x, y), `angle` degrees from x towards y.

    Its profile is a Gaussian with a FWHM of `width` spaxels and a height of so many sigma of a voxel in every layer.
    """

    def spoil(data: np.ndarray, stat: np.ndarray, first: int) -> None:
        yy, xx = np.indices(data.shape[1:])
        turn = np.radians(angle)
        across = (yy - y) * np.cos(turn) - (xx - x) * np.sin(turn)
        profile = np.exp(-4.0 * np.log(2.0) * (across / width) ** 2)
        data += (sigmas * np.sqrt(np.nanmedian(stat, axis=(1, 2), keepdims=True)) * profile).astype(data.dtype)

    return spoil


def cosmic_rays(share: float, sigmas: float, seed: int = 1) -> Defect:
    """Add residues of cosmic rays: single voxels and their neighbours along a row, exponential in brightness."""

    def spoil(data: np.ndarray, stat: np.ndarray, first: int) -> None:
        for layer in range(len(data)):
            rng = np.random.default_rng([seed, first + layer])
            n = rng.poisson(share * data[layer].size)
            rows, columns = rng.integers(0, data.shape[1], n), rng.integers(0, data.shape[2], n)
            hit = sigmas * rng.exponential(1.0, n) * np.sqrt(np.nanmedian(stat[layer]))
            for step, part in ((0, 1.0), (1, 0.4)):
                np.add.at(data[layer], (rows, np.minimum(columns + step, data.shape[2] - 1)), part * hit)

    return spoil


def missing_block(x: float, y: float, half: float, first_layer: int, last_layer: int) -> Defect:
    """Take the voxels of a square around a star away, in some of the layers."""

    def spoil(data: np.ndarray, stat: np.ndarray, first: int) -> None:
        yy, xx = np.indices(data.shape[1:])
        square = (np.abs(xx - x) <= half) & (np.abs(yy - y) <= half)
        layers = np.arange(first, first + len(data))
        hit = ((layers >= first_layer) & (layers <= last_layer))[:, None, None] & square
        data[hit] = np.nan
        stat[hit] = np.nan

    return spoil


def wrong_variance(factor: float) -> Defect:
    """Multiply all variances."""

    def spoil(data: np.ndarray, stat: np.ndarray, first: int) -> None:
        stat *= factor

    return spoil


def spoil_cube(path: Path, defects: Sequence[Defect]) -> None:
    """Put defects into a cube with DATA and STAT, in place, a few layers at a time."""
    from astropy.io import fits

    with fits.open(path, mode="update", memmap=True) as hdus:
        data, stat = hdus["DATA"].data, hdus["STAT"].data
        for first in range(0, len(data), LAYERS):
            part = slice(first, first + LAYERS)
            flux, variance = data[part].astype(np.float32), stat[part].astype(np.float32)
            for defect in defects:
                defect(flux, variance, first)
            data[part], stat[part] = flux, variance
