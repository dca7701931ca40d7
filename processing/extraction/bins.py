"""Mean images of wavelength bins, on which the PSF is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from processing.errors import Cancelled
from processing.extraction.clipping import find_rays, layer_levels
from processing.extraction.layer_model import Layers
from processing.progress import CancelCheck, Progress


@dataclass(frozen=True)
class BinImage:
    """The mean of neighbouring layers: flux and ivar (ny, nx), and the mean wavelength in Angstrom."""

    flux: np.ndarray
    ivar: np.ndarray
    wave: float


def bin_images(cube: Layers, n_bin: int, progress: Progress, cancelled: CancelCheck) -> Iterator[BinImage]:
    """Yield the mean image of each wavelength bin; bins without enough valid layers are left out.

    Layers are weighted by their typical inverse variance, the same for all pixels, so that a bin's PSF is one
    mean over wavelength. Layers that are mostly masked (a laser gap) do not enter.
    """
    n_wave = cube.wave.size
    edges = np.unique(np.linspace(0, n_wave, min(n_bin, n_wave) + 1).astype(int))
    covered = 0
    for k, (start, stop) in enumerate(pairwise(edges)):
        if cancelled():
            raise Cancelled
        block = cube.block(int(start), int(stop))
        progress(0.3 * (k + 1) / (edges.size - 1), "Averaging layers for the PSF")
        valid = block.ivar > 0
        counts = valid.sum((1, 2))
        covered = max(covered, int(counts.max()))
        live = counts > 0.5 * covered
        if live.sum() < 0.2 * (stop - start):
            continue
        weight = np.array([np.median(v[m]) if ok else 0.0 for v, m, ok in zip(block.ivar, valid, live, strict=True)])
        weight /= weight.max()
        first = np.einsum("i,ijk->jk", weight, block.flux) / np.maximum(np.einsum("i,ijk->jk", weight, valid), 1e-9)
        first = first.astype(block.flux.dtype)
        level = layer_levels(block.flux, block.ivar, first)[:, None, None]
        valid &= ~find_rays(block.flux, block.ivar, first + level)
        total = np.einsum("i,ijk->jk", weight, valid)
        used = total > 0.5 * weight.sum()
        norm = np.where(used, total, 1.0)
        # Without each layer's level, so that a voxel missing in a sky line leaves no hole.
        flux = np.einsum("i,ijk->jk", weight, np.where(valid, block.flux - level, 0.0)) / norm
        flux += np.average(level.ravel(), weights=weight)
        variance = np.einsum("i,ijk->jk", weight**2, np.where(valid, 1.0 / np.where(valid, block.ivar, 1.0), 0.0))
        with np.errstate(divide="ignore"):
            ivar = np.where(used, norm**2 / variance, 0.0)
        wave = float(np.average(cube.wave[start:stop], weights=weight))
        yield BinImage(np.where(used, flux, 0.0), ivar, wave)


def merge_bins(images: Sequence[BinImage], n: int) -> list[BinImage]:
    """Return at most `n` images: the means of neighbouring bins, weighted by their typical inverse variance."""
    edges = np.unique(np.linspace(0, len(images), min(n, len(images)) + 1).astype(int))
    merged = []
    for start, stop in pairwise(edges.tolist()):
        some = images[start:stop]
        used = np.all([image.ivar > 0 for image in some], axis=0)
        if not used.any():
            continue
        weight = np.array([np.median(image.ivar[used]) for image in some])
        weight /= weight.sum()
        flux, variance = np.zeros(used.shape), np.ones(used.shape)
        flux[used] = sum(w * image.flux[used] for w, image in zip(weight, some, strict=True))
        variance[used] = sum(w**2 / image.ivar[used] for w, image in zip(weight, some, strict=True))
        merged.append(BinImage(flux, used / variance, float(weight @ [image.wave for image in some])))
    return merged
