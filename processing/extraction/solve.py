"""The simultaneous weighted least squares of all stars and the sky, for batches of neighbouring layers.

The layers of a batch share one factorised normal matrix (mean PSF, mean weights). It preconditions conjugate
gradients on each layer's own normal equations: its own PSF, mask and weights. A few steps make the fluxes exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from processing.checkpoint import Checkpoint
from processing.extraction.blocks import run_blocks
from processing.extraction.clipping import find_outliers
from processing.extraction.layer_model import LayerModel, Layers, StarField, ratio
from processing.progress import CancelCheck, Progress, ignore, never

TOLERANCE = 0.01
"""Fluxes are iterated until they change by less than this many sigma."""
CLIP_ROUNDS = 4
MIN_INFORMATION = 0.05
"""A star that keeps less of its weight than this on a layer's valid pixels has no flux there."""


@dataclass(frozen=True)
class Solution:
    """Fluxes of all stars in all layers.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n_star, n_wave), float32
        In the cube's unit; NaN and 0 where a star has no valid pixels.
    residual : ndarray, shape (ny, nx), float32
        Mean over the layers of data minus model; NaN where no layer is valid.
    chi : ndarray, shape (n_star,)
        Root of the mean squared residual, in sigma, within one FWHM of each star.
    contamination : ndarray, shape (n_star,)
        Fraction of the light under the star's PSF that belongs to other stars.
    n_eff : ndarray, shape (n_star,)
        Effective number of stars that share this light.
    """

    flux: np.ndarray
    ivar: np.ndarray
    residual: np.ndarray
    chi: np.ndarray
    contamination: np.ndarray
    n_eff: np.ndarray


def solve_cube(
    cube: Layers,
    stars: StarField,
    *,
    workers: int = 1,
    checkpoint: Checkpoint | None = None,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Solution:
    """Solve every layer of `cube` for the fluxes of `stars` and the sky.

    Batches are fixed by layer number, whatever the number of workers and wherever an earlier run stopped, so a
    resumed run gives the same numbers as an uninterrupted one.
    """
    step = stars.settings.layers_per_batch
    n_wave = cube.wave.size
    batches = [(start, min(start + step, n_wave)) for start in range(0, n_wave, step)]
    results: dict[str, Any] = {}

    def work(batch: tuple[int, int], stop: CancelCheck) -> dict[str, np.ndarray]:
        block = cube.block(*batch)
        return solve_batch(stars, block.flux, block.ivar, cube.wave[slice(*batch)], stop)

    keys = {f"solve/{a:04d}-{b:04d}": (a, b) for a, b in batches}
    for key, block in run_blocks(keys, work, workers, checkpoint, cancelled):
        results[key] = block
        progress(
            len(results) / len(batches), f"Solving for {stars.x.size} stars: {len(results)} of {len(batches)} blocks"
        )
    return assemble(stars.x.size, [results[key] for key in keys])


def solve_batch(
    stars: StarField,
    flux: np.ndarray,
    ivar: np.ndarray,
    wave: np.ndarray,
    cancelled: CancelCheck = never,
) -> dict[str, np.ndarray]:
    """Solve one batch of layers.

    Parameters
    ----------
    stars : StarField
    flux, ivar : ndarray, shape (n, ny, nx), float32
        Data and weights; ivar is 0 where masked.
    wave : ndarray, shape (n,)
        Wavelengths in Angstrom.

    Returns
    -------
    dict of ndarray
        ``flux``, ``ivar`` (n_star, n); ``sky`` (n_sky, n); ``residual`` (ny, nx) float16 in units of ``unit``, the mean
        over the layers, ``count`` (ny, nx) its number of layers; ``chi2``, ``pixels``, ``contamination``, ``n_eff``
        (n_star,).
    """
    n = wave.size
    used = np.asarray((ivar > 0).any(0))
    level = np.array([np.median(layer[layer > 0]) if (layer > 0).any() else 0.0 for layer in ivar])
    live = level > 0
    if not live.any():
        return _empty_block(stars, n)
    noise = np.where(live, 1.0 / np.sqrt(np.where(live, level, 1.0)), 1.0)
    data = np.ascontiguousarray((flux[:, used] / noise[:, None]).T, dtype=np.float32)  # (n_pixel, n), in sigma
    weight = np.ascontiguousarray((ivar[:, used] * noise[:, None] ** 2).T, dtype=np.float32)

    model = LayerModel(stars, used, wave, weight[:, live].mean(1))
    mean = model.mean_solution(data, weight)
    target = data if model.wings is None else data - model.far_wings(mean)
    solution = np.repeat(mean, n, axis=1)
    refinements = stars.settings.refinements
    solution = model.conjugate_gradients(
        target, weight, solution, TOLERANCE * (10.0 if refinements else 1.0), cancelled
    )
    for _ in range(refinements):
        if model.wings is not None:
            target = data - model.far_wings(solution)
        solution = model.conjugate_gradients(target, weight, solution, TOLERANCE, cancelled)
    known = weight > 0
    for _ in range(CLIP_ROUNDS):
        outlier = find_outliers(target - model.image(solution), model.star_image(solution), weight)
        hit = np.flatnonzero(outlier.any(0))
        if hit.size == 0:
            break
        weight[outlier] = 0.0
        solution[:, hit] = model.only(hit).conjugate_gradients(
            target[:, hit], weight[:, hit], solution[:, hit], TOLERANCE, cancelled
        )
    return _report(stars, model, solution, target - model.image(solution), weight, known, noise, used)


def _report(
    stars: StarField,
    model: LayerModel,
    solution: np.ndarray,
    residual: np.ndarray,
    weight: np.ndarray,
    known: np.ndarray,
    noise: np.ndarray,
    used: np.ndarray,
) -> dict[str, np.ndarray]:
    """Turn a batch's solution into fluxes, errors and quality, in the stars' own order and the cube's unit."""
    n_star = model.n_star
    squared = model.mean.copy()
    squared.data = squared.data**2
    information = squared @ weight  # (n_star, n)
    diagonal = model.factor.diagonal[:, None]
    share = np.divide(information, diagonal, out=np.zeros_like(information), where=diagonal > 0)
    typical = np.array([np.median(s[s > 0]) if (s > 0).any() else 1.0 for s in share.T])
    valid = share > MIN_INFORMATION * typical
    variance = model.factor.crowding()[:, None] / np.where(valid, information, 1.0)
    flux = solution[:n_star] * noise
    chi = residual * np.sqrt(weight)
    core = model.stamps.matrix((np.hypot(model.stamps.dx, model.stamps.dy) < model.fwhm).astype(np.float32))
    contamination, n_eff = _sharing(model, flux[:, weight.any(0)].mean(1))
    good = weight > 0
    count = np.zeros(stars.shape, np.uint8)
    count[used] = np.minimum(known.sum(1), 255)  # what was left out of the fit, an unlisted star too, is left over
    unit = float(np.median(noise))
    mean = np.zeros(stars.shape, np.float16)
    mean[used] = np.clip((residual * known * (noise / unit)).sum(1) / np.maximum(known.sum(1), 1), -6e4, 6e4)
    unsort = np.argsort(model.order)
    return {
        "flux": np.where(valid, flux, np.nan).astype(np.float32)[unsort],
        "ivar": np.where(valid, 1.0 / (variance * noise**2), 0.0).astype(np.float32)[unsort],
        "sky": (solution[n_star:] * noise).astype(np.float32),
        "residual": mean,
        "count": count,
        "unit": np.array(unit),
        "chi2": (core @ (chi**2).sum(1))[unsort],
        "pixels": (core @ good.sum(1).astype(np.float32))[unsort],
        "contamination": contamination[unsort],
        "n_eff": n_eff[unsort],
    }


def _sharing(model: LayerModel, flux: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the contamination fraction and the effective number of stars under each star's PSF.

    With g_ij the flux of star j seen through the weighted PSF of star i, these are 1 - g_ii / sum_j g_ij and
    (sum_j g_ij)^2 / sum_j g_ij^2.
    """
    matrix = model.factor.star_star
    shared = matrix.data * np.maximum(flux, 0.0)[matrix.col]
    own = model.factor.diagonal * np.maximum(flux, 0.0)
    total = np.bincount(matrix.row, shared, minlength=model.n_star)
    squares = np.bincount(matrix.row, shared**2, minlength=model.n_star)
    return 1.0 - ratio(own, total), ratio(total**2, squares)


def _empty_block(stars: StarField, n: int) -> dict[str, np.ndarray]:
    """Return the result of a batch without a valid pixel."""
    nothing = np.zeros((stars.x.size, n), np.float32)
    zeros = np.zeros(stars.x.size)
    return {
        "flux": np.full_like(nothing, np.nan),
        "ivar": nothing,
        "sky": np.zeros((0, n), np.float32),
        "residual": np.zeros(stars.shape, np.float16),
        "count": np.zeros(stars.shape, np.uint8),
        "unit": np.array(1.0),
        "chi2": zeros,
        "pixels": zeros,
        "contamination": np.full_like(zeros, np.nan),
        "n_eff": np.full_like(zeros, np.nan),
    }


def assemble(n_star: int, blocks: list[Any]) -> Solution:
    """Join the batches in wavelength."""
    counts = np.stack([b["count"] for b in blocks]).astype(np.float64)
    sums = sum(b["residual"].astype(np.float64) * float(b["unit"]) * c for b, c in zip(blocks, counts, strict=True))
    total = counts.sum(0)
    pixels = sum(b["pixels"] for b in blocks)
    mean = [np.stack([b[name] for b in blocks]) for name in ("contamination", "n_eff")]
    alive = np.isfinite(mean[0]).any(1)
    quality = [np.nanmedian(m[alive], axis=0) if alive.any() else np.full(n_star, np.nan) for m in mean]
    return Solution(
        flux=np.concatenate([b["flux"] for b in blocks], axis=1),
        ivar=np.concatenate([b["ivar"] for b in blocks], axis=1),
        residual=np.where(total > 0, sums / np.maximum(total, 1), np.nan).astype(np.float32),
        chi=np.sqrt(np.divide(sum(b["chi2"] for b in blocks), pixels, out=np.full(n_star, np.nan), where=pixels > 0)),
        contamination=quality[0],
        n_eff=quality[1],
    )
