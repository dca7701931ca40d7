"""Write a cube of the size and coordinates of another one, a few layers at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.files import replacing
from processing.progress import CancelCheck, Progress, ignore, never, stop_if

if TYPE_CHECKING:
    from processing.cube import MuseCube

CHUNK = 16
"""Layers that are held in memory."""

LayerSource = Callable[[int, int], np.ndarray]
"""Takes the first layer and the one after the last; returns (n, ny, nx)."""


def write_cube(
    path: Path,
    cube: MuseCube,
    extensions: Mapping[str, LayerSource],
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> None:
    """Write extensions with the headers of `cube`, in single precision and in its unit.

    Parameters
    ----------
    path : Path
        Written whole or not at all.
    cube : MuseCube
    extensions : mapping of str to callable
        What gives the layers of each extension, in the order of the file.

    Raises
    ------
    StellacubeError
        If the file cannot be written.
    """
    from astropy.io import fits

    n_wave, ny, nx = cube.shape
    with fits.open(cube.path) as hdus:
        primary = fits.Header([card for card in hdus[0].header.cards if not card.keyword.startswith("NAXIS")])
        header = next(hdu.header.copy() for hdu in hdus if hdu.header.get("NAXIS") == 3)
    for name in ("XTENSION", "SIMPLE", "EXTNAME", "BSCALE", "BZERO"):
        header.remove(name, ignore_missing=True)
    header["BUNIT"] = cube.flux_unit
    with replacing(path) as temporary:
        fits.PrimaryHDU(header=primary).writeto(temporary)
        for number, (name, layers) in enumerate(extensions.items()):
            cards = fits.ImageHDU(np.zeros((1, ny, nx), np.float32), header, name).header
            cards["NAXIS3"] = n_wave
            if name == "STAT":
                cards["BUNIT"] = f"({cube.flux_unit})**2"
            with fits.StreamingHDU(str(temporary), cards) as stream:
                for start in range(0, n_wave, CHUNK):
                    stop_if(cancelled)
                    progress((number + start / n_wave) / len(extensions), f"Writing {path.name}")
                    stream.write(layers(start, min(start + CHUNK, n_wave)).astype(">f4"))


def flux_layers(cube: MuseCube) -> LayerSource:
    """Return what gives a cube's flux, NaN where masked."""

    def layers(start: int, stop: int) -> np.ndarray:
        block = cube.block(start, stop)
        return np.where(block.ivar > 0, block.flux, np.nan)

    return layers


def variance_layers(cube: MuseCube) -> LayerSource:
    """Return what gives a cube's variance, NaN where masked."""

    def layers(start: int, stop: int) -> np.ndarray:
        ivar = cube.block(start, stop).ivar
        return np.where(ivar > 0, 1.0 / np.where(ivar > 0, ivar, 1.0), np.nan)

    return layers
