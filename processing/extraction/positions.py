"""Each star's own position: where its light is, as far as it tells more than the list."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.checkpoint import Block
from processing.extraction.bins import BinImage
from processing.extraction.blocks import run_blocks
from processing.extraction.layer_model import Unresolved
from processing.extraction.linear import NormalFactor, make_stamps, narrowest_order
from processing.extraction.neighbours import find_neighbours
from processing.extraction.psf import PsfModel
from processing.extraction.psf_fit import MIN_AFFINE_STARS, forgiving_weights
from processing.extraction.psf_projection import Projection, Scene
from processing.progress import CancelCheck, never, stop_if
from processing.settings import SolveSettings

if TYPE_CHECKING:
    from processing.extraction.sources import SourceTable

N_WIDE = 5
"""Wide wavelength bins in which the stars' light is looked at."""
ROUNDS = 2
"""Gauss-Newton steps."""
CORE = 2.0
"""The PSF's slope is looked at within this many FWHM."""
MAX_SHIFT = 0.3
"""A star with neighbours that would move by more than this many FWHM is another one than the list's: it stays."""
STRAY, MAX_STRAY = 0.1, 0.6
"""A star without neighbours can hardly be mistaken (it may have moved since the list was made), and a bright one at a
wrong place would spoil the PSF. From the first of these on, in FWHM, it goes to its light whatever the list's errors
are, up to the second."""
LONELY = 0.1
"""Stars with less light of others at their centre than this, in units of their own, tell the list's errors."""
MIN_LONELY, MAX_LONELY = 8, 100
"""How many such stars it takes at least; the best measured ones are used."""
CERTAIN, FINEST = 4.0, 0.002
"""The list has errors where its scatter exceeds that of the measurements by this many standard deviations, and is more
than so many FWHM: neighbours and the PSF's own errors leave some ten-thousandths in dense fields."""
ELSEWHERE = "its light is not where the list has it: kept at the list's position"
FOLLOWED = "its light is not where the list has it: followed there"
NORMAL = 0.6745
"""Median absolute value of a standard normal variable."""


@dataclass(frozen=True)
class Places:
    """How far the stars are from where the list has them; arrays have shape (n_star,).

    Parameters
    ----------
    dx, dy : ndarray
        Spaxels; 0 for stars that stay where they are. Without what all stars have in common, the PSF's position terms.
    scatter : float
        Standard deviation of the list's errors along each axis, spaxels; 0 where they cannot be told from noise.
    error : ndarray
        Of the measurement of a lonely star along each axis, spaxels; infinite for stars that were not measured.
    refused, strayed : ndarray of bool
        True for stars whose light is too far from where the list has it; and for lonely ones that went to it.
    """

    dx: np.ndarray
    dy: np.ndarray
    scatter: float
    error: np.ndarray
    refused: np.ndarray
    strayed: np.ndarray

    @property
    def moved(self) -> np.ndarray:
        """True for stars whose light tells more than the list."""
        return (self.error < self.scatter) & ~self.refused

    @staticmethod
    def of_list(n: int) -> Places:
        """Return the list's own positions of `n` stars."""
        return Places(np.zeros(n), np.zeros(n), 0.0, np.full(n, np.inf), np.zeros(n, bool), np.zeros(n, bool))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the offsets as named arrays, as a checkpoint keeps them."""
        return {
            name: np.asarray(getattr(self, name)) for name in ("dx", "dy", "scatter", "error", "refused", "strayed")
        }

    @staticmethod
    def from_arrays(block: Block) -> Places:
        """Rebuild the offsets from `to_arrays`."""
        return Places(
            block["dx"], block["dy"], float(block["scatter"]), block["error"], block["refused"], block["strayed"]
        )

    def flag(self, sources: SourceTable, rows: np.ndarray, scale: float) -> tuple[SourceTable, tuple[str, ...]]:
        """Return the table with the stars in `rows` moved, and a sentence; `scale` is in arcsec per spaxel."""
        dx, dy, reason = np.zeros(sources.x.size), np.zeros(sources.x.size), sources.reason.astype(object)
        dx[rows], dy[rows] = self.dx, self.dy
        notes = []
        for stars, sentence in ((rows[self.refused], ELSEWHERE), (rows[self.strayed], FOLLOWED)):
            reason[stars] = np.where(reason[stars] == "", sentence, reason[stars])
        if self.scatter > 0.0:
            notes.append(
                f"The list's positions scatter by {1000 * self.scatter * scale:.0f} mas: "
                f"{self.moved.sum()} stars were moved to where their light is."
            )
        for stars, what in (
            (rows[self.refused], "but kept there"),
            (rows[self.strayed], "and followed to their light"),
        ):
            if stars.size:
                notes.append(
                    f"{stars.size} stars are over {MAX_SHIFT} FWHM from where the list has them, {what}: "
                    f"{', '.join(sources.star_id[stars[:5]])}{', ...' if stars.size > 5 else ''}."
                )
        moved = replace(sources, x=sources.x + dx, y=sources.y + dy, dx=dx, dy=dy, reason=reason.astype(str))
        return moved, tuple(notes)


def find_places(
    images: list[BinImage],
    psf: PsfModel,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    movable: np.ndarray,
    single: np.ndarray,
    solve: SolveSettings,
    radius: float,
    *,
    scatter: float | None = None,
    unresolved: Unresolved | None = None,
    workers: int = 1,
    cancelled: CancelCheck = never,
) -> Places:
    """Fit the offsets of all stars from the list's positions together, the fluxes free in every image.

    Least squares by the PSF's slopes, with a Gaussian prior as wide as the list's errors: faint stars stay, bright ones
    move, and blended ones move as far as all their light together tells them apart.

    Parameters
    ----------
    images : list of BinImage
    psf : PsfModel
    x, y, flux : ndarray, shape (n_star,)
        Registered positions in spaxels, and predicted fluxes, of all stars that are modelled.
    movable, single : ndarray of bool, shape (n_star,)
        Stars that may move, and those of them that are no merged groups: they tell the list's errors.
    solve : SolveSettings
    radius : float
        Of the PSF core, spaxels.
    scatter : float, optional
        Standard deviation of the list's errors along each axis, spaxels; measured if not given.
    unresolved : Unresolved, optional
    """
    fwhm = float(np.median(psf.fwhm(np.array([image.wave for image in images]))))
    blending = find_neighbours(x, y, flux, fwhm).blending
    order = narrowest_order(x, y, 2 * radius + 1)
    start, free = np.stack([x[order], y[order]]), np.flatnonzero(movable[order])
    lonely = (single & (np.nan_to_num(blending, nan=np.inf) < LONELY))[order[free]]
    terms = _design(start[:, free], int(lonely.sum()))
    offset, refused, strayed = np.zeros((2, order.size)), np.zeros(free.size, bool), np.zeros(free.size, bool)
    for _ in range(ROUNDS):
        place = start + offset
        scene = Scene(
            psf.profile, place[0], place[1], flux[order], np.ones(order.size, bool), (np.zeros(0),) * 3,
            (psf.x0, psf.y0), images[0].flux.shape, radius, np.zeros(0, int), solve, unresolved,
        )  # fmt: skip
        problem = _Equations(_all_slopes(scene, psf, images, free, workers, cancelled), lonely & ~refused & ~strayed)
        told, own, error = problem.telling, offset[:, free], problem.error
        common, width = _common((own + problem.alone)[:, told], error[:, told], terms[told], scatter)
        if scatter is None and width < FINEST * fwhm:
            width = 0.0
        common = common @ terms.T
        alone = own + problem.alone
        away, sure = np.hypot(*(alone - common)), CERTAIN * np.hypot(error.max(0), width)
        strayed |= lonely & (away > np.maximum(STRAY * fwhm, sure))
        refused |= strayed & (away > MAX_STRAY * fwhm)
        strayed &= ~refused
        if width == 0.0:
            offset[:, free] = np.where(strayed, alone, common)
            if not strayed.any():
                break
            continue
        for _ in range(2):  # again without those that are somewhere else
            fixed = refused | strayed | ~problem.seen
            step = problem.step(own - common, width, fixed, cancelled)
            found = np.where(fixed, common, own + step)
            far = np.hypot(*(found - common)) > MAX_SHIFT * fwhm
            refused |= far
            if not far.any():
                break
        offset[:, free] = np.where(strayed, alone, np.where(refused, common, found))
        del problem  # large: the next round's must not lie beside it
    out, errors, wrong = np.zeros((2, order.size)), np.full(order.size, np.inf), np.zeros((2, order.size), bool)
    out[:, order[free]], errors[order[free]] = offset[:, free] - common, error.max(0)
    wrong[:, order[free]] = refused, strayed
    return Places(out[0], out[1], width, errors, wrong[0], wrong[1])


@dataclass(frozen=True)
class _Slopes:
    """One image's normal equations for the offsets (2, n_free), fluxes and sky projected out.

    Parameters
    ----------
    stars, sky, factor
        The linear model: PSFs (n_star, n_pixel), background (n_sky, n_pixel), their factorised normal matrix.
    slopes : tuple of csr_matrix, each (n_free, n_pixel)
        Change of the image when a star moves along x and along y.
    weight : ndarray, shape (n_pixel,), float32
    gradient, curvature : ndarray, shape (2, n_free)
        J^T W r, and the diagonal of J^T W J.
    """

    stars: Any
    sky: Any
    factor: NormalFactor
    slopes: tuple[Any, Any]
    weight: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray

    def product(self, offset: np.ndarray) -> np.ndarray:
        """Return the product of the normal matrix and offsets (2, n_free)."""
        image = sum(slope.T @ along for slope, along in zip(self.slopes, offset.astype(np.float32), strict=True))
        weighted = (self.weight * image)[:, None]
        step = self.factor.solve(np.concatenate([self.stars @ weighted, self.sky @ weighted]))[:, 0].astype(np.float32)
        n = self.stars.shape[0]
        image = self.weight * (image - self.stars.T @ step[:n] - self.sky.T @ step[n:])
        return np.stack([slope @ image for slope in self.slopes])


class _Equations:
    """The normal equations of all images together, with errors as large as the images scatter.

    Parameters
    ----------
    bins : list of _Slopes
    lonely : ndarray of bool, shape (n_free,)
        Stars whose measurements do not hang together with those of others.
    """

    def __init__(self, bins: list[_Slopes], lonely: np.ndarray) -> None:
        self.bins = bins
        self.gradient: np.ndarray = np.sum([b.gradient for b in bins], axis=0)
        self.curvature: np.ndarray = np.sum([b.curvature for b in bins], axis=0)
        self.seen = (self.curvature > 0).all(0)
        self.alone = np.where(self.seen, self.gradient, 0.0) / np.where(self.seen, self.curvature, 1.0)
        """The step that each star would make were it the only one, (2, n_free)."""
        telling = np.flatnonzero(lonely & self.seen)
        self.telling = telling[np.argsort(-self.curvature[:, telling].sum(0), kind="stable")[:MAX_LONELY]]
        self.noise = _noise(bins, self.telling)
        self.error = np.where(self.seen, self.noise / np.sqrt(np.where(self.seen, self.curvature, 1.0)), np.inf)

    def step(self, at: np.ndarray, width: float, fixed: np.ndarray, cancelled: CancelCheck) -> np.ndarray:
        """Return the step (2, n_free) of all stars together from offsets `at`, whose prior is N(0, width^2)."""
        from scipy.sparse.linalg import LinearOperator, cg

        moving, shape = ~fixed, at.shape

        def product(vector: np.ndarray) -> np.ndarray:
            offset = vector.reshape(shape)
            data = moving * sum(b.product(moving * offset) for b in self.bins)
            return np.ravel(data / self.noise**2 + offset / width**2)

        right = moving * (self.gradient / self.noise**2 - at / width**2)
        diagonal = np.ravel(moving * self.curvature / self.noise**2 + 1.0 / width**2)
        step, _ = cg(
            LinearOperator((at.size, at.size), product, dtype=float), right.ravel(), rtol=3e-3, maxiter=100,
            M=LinearOperator((at.size, at.size), lambda vector: vector / diagonal, dtype=float),
            callback=lambda _: stop_if(cancelled),
        )  # fmt: skip
        return np.asarray(step).reshape(shape)


def _all_slopes(
    scene: Scene, psf: PsfModel, images: list[BinImage], free: np.ndarray, workers: int, cancelled: CancelCheck
) -> list[_Slopes]:
    """Return the normal equations of all images, in the order of their wavelengths."""

    def work(image: BinImage, stop: CancelCheck) -> dict[str, _Slopes]:
        stop_if(stop)
        return {"slopes": _slopes(scene, psf, image, free)}

    done = dict(run_blocks({str(k): image for k, image in enumerate(images)}, work, workers, None, cancelled))
    return [done[str(k)]["slopes"] for k in range(len(images))]


def _slopes(scene: Scene, psf: PsfModel, image: BinImage, free: np.ndarray) -> _Slopes:
    """Return the normal equations of the stars numbered `free` on one image."""
    used = image.ivar > 0
    data, ivar, wave = image.flux[used], image.ivar[used], image.wave
    theta, fwhm = psf.parameters(wave), float(psf.fwhm(wave))
    problem = Projection(scene, used, data, theta)
    weight = forgiving_weights(problem.state(theta, ivar), used, ivar, fwhm)
    state = problem.state(theta, weight)
    x, y = (v[free] for v in psf.positions(scene.x, scene.y, wave))
    stamps, shape, half = make_stamps(x, y, used, CORE * fwhm, taper=False), psf.at(wave), 0.02 * fwhm
    flux = np.maximum(state.flux[free], 0.0)[stamps.star] / (2.0 * half)
    by_x = flux * (stamps.profile(shape, x + half, y) - stamps.profile(shape, x - half, y))
    by_y = flux * (stamps.profile(shape, x, y + half) - stamps.profile(shape, x, y - half))
    slopes = stamps.matrix(by_x.astype(np.float32)), stamps.matrix(by_y.astype(np.float32))
    gradient = np.stack([slope @ (weight * state.residual) for slope in slopes])
    curvature = np.stack([slope.multiply(slope) @ weight for slope in slopes])
    return _Slopes(state.matrix, problem.sky, state.factor, slopes, weight.astype(np.float32), gradient, curvature)


def _design(place: np.ndarray, n_telling: int) -> np.ndarray:
    """Return the terms (n, 1 or 3) of what positions (2, n) may have in common, those of the PSF."""
    one = np.ones((place.shape[1], 1))
    if n_telling < MIN_AFFINE_STARS:
        return one
    centred = place - place.mean(1, keepdims=True)
    return np.concatenate([one, centred.T / np.abs(centred).max()], axis=1)


def _noise(bins: list[_Slopes], telling: np.ndarray) -> float:
    """Return the factor by which the images of the bins scatter more than their errors say, at least 1."""
    if len(bins) < 2 or telling.size == 0:
        return 1.0
    gradient = np.stack([b.gradient[:, telling] for b in bins])
    curvature = np.stack([b.curvature[:, telling] for b in bins])
    good = curvature > 0
    share = curvature / curvature.sum(0)
    chi = (gradient - share * gradient.sum(0))[good] / np.sqrt((curvature * np.maximum(1.0 - share, 1e-3))[good])
    return max(1.0, float(np.median(np.abs(chi))) / NORMAL)


def _common(
    offset: np.ndarray, error: np.ndarray, terms: np.ndarray, scatter: float | None
) -> tuple[np.ndarray, float]:
    """Return what offsets (2, n) have in common, the coefficients (2, n_term) of `terms`, and how they scatter.

    Both are robust: a tenth of the stars may be anywhere. The scatter is the one in excess of the errors, 0 if it is
    not `CERTAIN`.
    """
    n, n_term = terms.shape
    if n < (MIN_LONELY if scatter is None else n_term + 1):
        return np.zeros((2, n_term)), scatter or 0.0
    width = float(np.median(np.abs(offset))) / NORMAL if scatter is None else scatter
    common = _robust(offset, np.hypot(error, width), terms, np.zeros((2, n_term)))
    if scatter is not None:
        return common, width
    expected = NORMAL * np.sqrt(1.0 - n_term / n)
    noise_alone = _robust(offset, error, terms, common)
    highest = expected * (1.0 + CERTAIN * 1.17 / np.sqrt(2.0 * n))
    if np.median(np.abs(offset - noise_alone @ terms.T) / error) < highest:
        return noise_alone, 0.0
    for _ in range(6):
        width = _excess(np.abs(offset - common @ terms.T), error, expected)
        common = _robust(offset, np.hypot(error, width), terms, common)
    return common, width


def _robust(offset: np.ndarray, sigma: np.ndarray, terms: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the coefficients (2, n_term) of `terms` that fit offsets (2, n), far ones hardly counting."""
    common = start.copy()
    for _ in range(5):
        weight = 1.0 / (sigma**2 + 0.25 * (offset - common @ terms.T) ** 2)
        for axis in (0, 1):
            weighted = terms.T * weight[axis]
            common[axis] = np.linalg.solve(weighted @ terms, weighted @ offset[axis])
    return common


def _excess(offset: np.ndarray, error: np.ndarray, expected: float) -> float:
    """Return the scatter that, with the errors, makes `expected` the median of |offset| over its deviation."""
    low, high = 0.0, float(offset.max()) / expected
    for _ in range(40):
        middle = 0.5 * (low + high)
        if np.median(offset / np.sqrt(error**2 + middle**2)) > expected:
            low = middle
        else:
            high = middle
    return low
