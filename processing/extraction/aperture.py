"""Aperture photometry of all stars in all layers: the alternative to PSF fitting where stars are few."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from processing.aperture import circle
from processing.checkpoint import Checkpoint
from processing.errors import Cancelled
from processing.extraction.blocks import run_blocks
from processing.extraction.layer_model import Layers
from processing.extraction.linear import make_stamps
from processing.extraction.psf import PsfModel, PsfShape
from processing.extraction.solve import Solution, assemble
from processing.layer_statistics import masked_median
from processing.progress import CancelCheck, Progress, ignore, never
from processing.settings import ExtractionSettings

LAYERS = 64
"""Neighbouring layers that share apertures and PSF."""
CLEAR = 1.2
"""Sky is taken further than this many FWHM from other stars, where enough of the annulus remains."""
MIN_SKY = 0.3
MIN_LIGHT = 0.5
"""Share of the light that the full aperture would hold below which a layer is masked for the star."""


@dataclass(frozen=True)
class ApertureField:
    """Stars to measure, and how.

    Parameters
    ----------
    x, y : ndarray, shape (n_star,)
        Registered positions, 0-based spaxels.
    psf : PsfModel
        Its position terms move the apertures; its curve of growth corrects them.
    shape : tuple of int
        (ny, nx) of a layer.
    settings : ExtractionSettings
    """

    x: np.ndarray
    y: np.ndarray
    psf: PsfModel
    shape: tuple[int, int]
    settings: ExtractionSettings


def sum_apertures(
    cube: Layers,
    stars: ApertureField,
    *,
    workers: int = 1,
    checkpoint: Checkpoint | None = None,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Solution:
    """Measure every star in every layer.

    The flux is the sum over the aperture of data minus sky, over the share of the PSF in it: the aperture correction of
    the fitted curve of growth, which also makes up for masked pixels. The sky is the median of an annulus; what the
    star's own wings add to it is corrected in the same way.
    """
    n_wave = cube.wave.size
    batches = {f"aperture/{a:04d}": (a, min(a + LAYERS, n_wave)) for a in range(0, n_wave, LAYERS)}

    def work(batch: tuple[int, int], stop: CancelCheck) -> dict[str, np.ndarray]:
        block = cube.block(*batch)
        return _batch(stars, block.flux, block.ivar, float(cube.wave[slice(*batch)].mean()), stop)

    done: dict[str, dict[str, np.ndarray]] = {}
    for key, block in run_blocks(batches, work, workers, checkpoint, cancelled):
        done[key] = block
        progress(len(done) / len(batches), f"Measuring {stars.x.size} stars: {len(done)} of {len(batches)} blocks")
    return assemble(stars.x.size, [done[key] for key in batches])


def _batch(
    stars: ApertureField, flux: np.ndarray, ivar: np.ndarray, wave: float, cancelled: CancelCheck
) -> dict[str, np.ndarray]:
    """Measure one batch of layers, each (n, ny, nx); the result is like that of `solve.solve_batch`."""
    n_star, n = stars.x.size, len(flux)
    x, y = stars.psf.positions(stars.x, stars.y, wave)
    psf, fwhm = stars.psf.at(wave), float(stars.psf.fwhm(wave))
    out, weight = np.full((n_star, n), np.nan), np.zeros((n_star, n))
    chi2, pixels = np.zeros(n_star), np.zeros(n_star)
    background = np.full((n_star, n), np.nan)
    for i in range(n_star):
        if cancelled():
            raise Cancelled
        patch = _Patch.around(float(x[i]), float(y[i]), fwhm, stars, (x, y), psf)
        if patch is None:
            continue
        data, information = flux[:, patch.rows, patch.columns], ivar[:, patch.rows, patch.columns]
        out[i], weight[i], background[i] = patch.measure(data, information)
        core = patch.share > 0.5
        model = background[i][:, None] + out[i][:, None] * patch.psf[core]
        good = (information[:, core] > 0) & (weight[i] > 0)[:, None]
        chi2[i] = float((np.where(good, data[:, core] - model, 0.0) ** 2 * information[:, core]).sum())
        pixels[i] = good.sum()
    live = (ivar > 0).any((1, 2))
    mean = np.nan_to_num(np.where(weight > 0, out, 0.0)[:, live].mean(1)) if live.any() else np.zeros(n_star)
    contamination, n_eff = _sharing(stars, x, y, psf, fwhm, mean)
    count = (ivar > 0).sum(0)
    stamps = make_stamps(x, y, np.ones(stars.shape, bool), 6.0 * fwhm, taper=False)
    model = stamps.matrix(stamps.profile(psf, x, y)).T @ mean
    sky = float(np.nan_to_num(np.nanmedian(background))) if np.isfinite(background).any() else 0.0
    left = np.where(count > 0, flux.sum(0) / np.maximum(count, 1) - model.reshape(stars.shape) - sky, 0.0)
    unit = max(float(np.abs(left).max()) / 6e4, 1e-30)
    return {
        "flux": out.astype(np.float32), "ivar": weight.astype(np.float32),
        "residual": (left / unit).astype(np.float16), "count": np.minimum(count, 255).astype(np.uint8),
        "unit": np.array(unit), "chi2": chi2, "pixels": pixels, "contamination": contamination, "n_eff": n_eff,
    }  # fmt: skip


@dataclass(frozen=True)
class _Patch:
    """One star's surroundings: shares of the pixels in the aperture, the PSF, and where the sky is taken."""

    rows: slice
    columns: slice
    share: np.ndarray
    psf: np.ndarray
    sky: np.ndarray

    @classmethod
    def around(
        cls, x: float, y: float, fwhm: float, stars: ApertureField, others: tuple[np.ndarray, np.ndarray], psf: PsfShape
    ) -> _Patch | None:
        """Lay out aperture and annulus; None for a star off the image."""
        settings = stars.settings
        radius, (inner, outer) = settings.aperture_radius * fwhm, (r * fwhm for r in settings.annulus)
        reach, (ny, nx) = max(radius, outer) + 1.0, stars.shape
        rows = slice(max(math.floor(y - reach), 0), min(math.ceil(y + reach) + 1, ny))
        columns = slice(max(math.floor(x - reach), 0), min(math.ceil(x + reach) + 1, nx))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        dy, dx = np.mgrid[rows, columns] - np.array([y, x])[:, None, None]
        r = np.hypot(dx, dy)
        ring = (r >= inner) & (r <= outer)
        near = (np.hypot(others[0] - x, others[1] - y) < outer + CLEAR * fwhm) & ((others[0] != x) | (others[1] != y))
        clear = ring.copy()
        for ox, oy in zip(others[0][near] - x, others[1][near] - y, strict=True):
            clear &= np.hypot(dx - ox, dy - oy) > CLEAR * fwhm
        sky = clear if clear.sum() >= MIN_SKY * np.pi * (outer**2 - inner**2) else ring
        return cls(rows, columns, circle(x, y, radius, rows, columns), psf(dx, dy), sky)

    def measure(self, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return flux, ivar and sky of the star in each layer (n,) from the patch's data (n, ny, nx)."""
        used = self.share > 0
        share, psf = self.share[used], self.psf[used]
        good = ivar[:, used] > 0
        weight = np.where(good, share, 0.0)
        around = np.where(ivar[:, self.sky] > 0, flux[:, self.sky], np.nan)
        sky = masked_median(around)
        scatter = 1.4826 * masked_median(np.abs(around - sky[:, None]))
        n_sky = np.maximum(np.isfinite(around).sum(1), 1)
        own = float(np.median(self.psf[self.sky])) if self.sky.any() else 0.0
        light = weight @ psf - weight.sum(1) * own
        kept = np.isfinite(sky) & (weight @ psf > MIN_LIGHT * float(share @ psf))
        norm = np.where(kept, light, 1.0)
        area = weight.sum(1)
        total = (weight * np.where(good, flux[:, used], 0.0)).sum(1) - area * np.nan_to_num(sky)
        variance = (weight**2 / np.where(good, ivar[:, used], 1.0)).sum(1)
        variance += area**2 * np.nan_to_num(math.pi / 2.0 * scatter**2 / n_sky)
        kept &= variance > 0
        value = np.where(kept, total / norm, np.nan)
        background = np.where(kept, sky - own * value, np.nan)
        return value, np.where(kept, norm**2 / np.where(kept, variance, 1.0), 0.0), background


def _sharing(
    stars: ApertureField, x: np.ndarray, y: np.ndarray, psf: PsfShape, fwhm: float, flux: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the fraction of the light in each aperture that is other stars', and the effective number of stars."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import spsolve
    from scipy.spatial import cKDTree

    radius = stars.settings.aperture_radius * fwhm
    places = np.stack([x, y], axis=1)
    pairs = cKDTree(places).query_pairs(radius + 2.0 * fwhm, output_type="ndarray")
    both = np.concatenate([np.stack([np.arange(x.size)] * 2, axis=1), pairs, pairs[:, ::-1]])
    r = int(np.ceil(radius))
    oy, ox = (o.ravel() for o in np.mgrid[-r : r + 1, -r : r + 1])
    inside = np.hypot(ox, oy) <= radius
    dx, dy = ox[inside], oy[inside]
    distance = places[both[:, 0]] - places[both[:, 1]]
    part = psf(dx + distance[:, :1], dy + distance[:, 1:]).sum(1)  # of star j's light in the aperture of star i
    matrix = csr_matrix((part, (both[:, 0], both[:, 1])), shape=(x.size, x.size))
    alone = np.maximum(spsolve(matrix, part[: x.size] * flux), 0.0)  # the fluxes that explain the apertures' sums
    share = part * alone[both[:, 1]]
    total = np.bincount(both[:, 0], share, minlength=x.size)
    squares = np.bincount(both[:, 0], share**2, minlength=x.size)
    total, squares = np.where(total > 0, total, np.nan), np.where(total > 0, squares, np.nan)
    return 1.0 - share[: x.size] / total, total**2 / squares
