"""What real stars teach: how far the physical spectra are off, as a smooth function of Teff, logg and [Fe/H].

Real spectra have the last word on Teff, logg, [Fe/H]; they say nothing about single elements, since their abundances
are not known. So the correction depends on the three labels that the libraries give and on no other: every derivative
with respect to [X/Fe] stays the physical one, exactly. The correction is a Gaussian process per pixel, compressed into
a small network that is added to the physical one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from processing.labels.fit import fit_labels
from processing.labels.model_error import Unseen
from processing.labels.names import CORE
from processing.labels.network import Network
from processing.labels.normal import Emulator
from processing.labels.real_stars import Library, known_labels, label_by_fit
from processing.labels.student import StudentSettings, lesson_from_spectra, make_lesson, train_student
from processing.preparation.air import in_frame
from processing.preparation.gaps import continuum_ratio
from processing.preparation.masks import BALMER_CORES, inside
from processing.preparation.prepare import Operators, observe, prepare
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

RATIOS = np.geomspace(0.03, 30.0, 13)
"""Ratios of the correction's variance to the scatter's that are tried for each pixel."""
COARSER = 1.1
"""A pixel teaches nothing where its source is coarser than the model by more than this factor."""
CENTRE = np.array([5040.0 / 5300.0, 3.5, -0.3])
ERROR_UNITS = 80
"""Principal components that hold what is left over of real stars."""
MIN_STARS = 10
"""A pixel that fewer stars cover is not corrected."""


@dataclass(frozen=True)
class CorrectionSettings:
    """The correction's smoothness, and the size of its network."""

    lengths: tuple[float, float, float] = (0.3, 5.0, 1.5)
    """Length scales in 5040 / Teff, logg, [Fe/H]."""
    hidden: tuple[int, ...] = (64, 64)
    units: int = 24
    draws: int = 30_000
    steps: int = 5_000
    label_below: float = 0.0
    """Stars without labels get those of a fit below this wavelength in Angstrom and teach as well; 0: they do not."""
    core_scatter: float = 2.5
    """How much wider the cores of H-alpha and H-beta are taken to scatter than they do: active stars differ."""
    outlier: float = 5.0
    """A star that fits badly counts less, by this factor in its scatter at most."""


@dataclass(frozen=True)
class Residuals:
    """Real spectra minus the physical model's at the stars' labels.

    Parameters
    ----------
    core : ndarray, shape (n, 3)
        Teff, logg, [Fe/H].
    flux : ndarray, shape (n, n_pix)
        Difference of pseudo-normalised fluxes.
    used : ndarray of bool, shape (n, n_pix)
        False where there are no data or the source is too coarse.
    noise : ndarray, shape (n,)
        Relative scatter of each star.
    label_error : ndarray, shape (n, n_label)
        Errors of all labels that the model's spectra were computed with.
    """

    core: np.ndarray
    flux: np.ndarray
    used: np.ndarray
    noise: np.ndarray
    label_error: np.ndarray


def residuals(
    library: Library, model: LabelModel, *, progress: Progress = ignore, cancelled: CancelCheck = never
) -> Residuals:
    """Compare a library's spectra with a model, with the fit's own operators and at the library's resolution.

    The velocities are those of a full fit: the libraries' rest frames are not good enough.
    """
    fits = fit_labels(library.spectra, model, library.settings, progress=progress, cancelled=cancelled)
    operators = Operators(model, library.settings.preparation)
    stars = [observe(spectrum, model, library.settings.preparation) for spectrum in library.spectra]
    prepared = prepare(stars, np.array([fit.rv for fit in fits]), model, operators)
    reached = operators.reached(stars[0])
    emulator = Emulator.at_resolution(model.network, model.wave, model.lsf_fwhm, reached)
    labels, label_error = known_labels(library.core, library.errors, model.labels)
    flux = emulator.network.flux(labels)
    ratio = continuum_ratio(prepared, flux, model)
    used = (prepared.weight > 0) & (reached < COARSER * model.lsf_fwhm)
    noise = np.full(len(stars), library.noise) * np.maximum(library.errors[:, 0] / np.median(library.errors[:, 0]), 1)
    return Residuals(library.core, np.where(used, prepared.flux / ratio - flux, 0), used, noise, label_error)


def joined(parts: Sequence[Residuals]) -> Residuals:
    """Put the stars of several libraries together."""
    return Residuals(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Residuals)))


@dataclass(frozen=True)
class Correction:
    """Gaussian process of the difference between real and physical spectra.

    Parameters
    ----------
    anchors : ndarray, shape (n_star, 3)
        Teff, logg, [Fe/H] of the stars it was learned from.
    lengths : tuple of float
    solution : ndarray, shape (n_star, n_pix)
    scatter : ndarray, shape (n_pix,)
        Robust standard deviation of `left_out`.
    left_out : ndarray, shape (n_star, n_pix)
        What is left over of each star, predicted without itself; 0 where it has no data.
    """

    anchors: np.ndarray
    lengths: tuple[float, ...]
    solution: np.ndarray
    scatter: np.ndarray
    left_out: np.ndarray

    def weights(self, core: np.ndarray) -> np.ndarray:
        """Covariance of stars with Teff, logg, [Fe/H] (n, 3) with the anchors; shape (n, n_star)."""
        return _covariance(core, self.anchors, self.lengths)

    def flux(self, core: np.ndarray) -> np.ndarray:
        """Correction of stars with Teff, logg, [Fe/H] (n, 3); shape (n, n_pix)."""
        return self.weights(core) @ self.solution


def _covariance(a: np.ndarray, b: np.ndarray, lengths: tuple[float, ...]) -> np.ndarray:
    """Sum of a constant, a linear term and a bell; the first two carry the correction on where stars end."""
    x, y = ((np.column_stack([5040.0 / c[:, 0], c[:, 1:]]) - CENTRE) / lengths for c in (a, b))
    square = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
    return 1.0 + 0.05 * x @ y.T + np.exp(-0.5 * np.maximum(square, 0))


def learn_correction(real: Residuals, settings: CorrectionSettings, *, cancelled: CancelCheck = never) -> Correction:
    """Fit the correction, then once more with stars that fitted badly counting less."""
    first = _regress(real, real.noise, settings, cancelled)
    left = np.where(real.used, (real.flux - first.flux(real.core)) / first.scatter, 0)
    misfit = np.sqrt(np.square(left).sum(1) / np.maximum(real.used.sum(1), 1))
    worse = np.clip(misfit / np.median(misfit), 1.0, settings.outlier)
    return _regress(real, real.noise * worse, settings, cancelled)


def _regress(real: Residuals, noise: np.ndarray, settings: CorrectionSettings, cancelled: CancelCheck) -> Correction:
    """Fit a Gaussian process to each pixel; pixels that the same stars cover share their matrices."""
    covariance = _covariance(real.core, real.core, settings.lengths)
    solution = np.zeros(real.flux.shape)
    scatter = np.full(real.flux.shape[1], np.nan)
    left_out = np.zeros(real.flux.shape, np.float32)
    patterns, group = np.unique(real.used, axis=1, return_inverse=True)
    for i, used in enumerate(patterns.T):
        stop_if(cancelled)
        if used.sum() < MIN_STARS:
            continue
        cell = np.ix_(used, np.flatnonzero(group.ravel() == i))
        root = noise[used][:, None]
        values, vectors = np.linalg.eigh(covariance[np.ix_(used, used)] / root / root.T)
        values = np.maximum(values, 0)[:, None]
        projected = vectors.T @ (real.flux[cell] / root)
        # Marginal likelihood of each ratio of variances, at the best overall variance.
        likelihood = [
            -0.5 * len(root) * np.log(np.mean(projected**2 / (r * values + 1), axis=0))
            - 0.5 * np.log(r * values + 1).sum()
            for r in RATIOS
        ]
        ratio = RATIOS[np.argmax(likelihood, axis=0)]
        left = projected / (ratio * values + 1)
        solution[cell] = vectors @ (ratio * left) / root
        # Leave-one-out residuals of a linear smoother: the residual over one minus the leverage.
        one_minus_leverage = np.square(vectors) @ (1 / (ratio * values + 1))
        left_out[cell] = root * (vectors @ left) / one_minus_leverage
        scatter[cell[1]] = 1.4826 * np.median(np.abs(left_out[cell] / root), axis=0)
    # Where no star teaches, the physical model may be as wrong as it was found elsewhere.
    known = np.isfinite(scatter)
    uncorrected = [1.4826 * np.median(np.abs(real.flux[real.used[:, i], i])) for i in np.flatnonzero(known)]
    scatter[~known] = np.median(uncorrected)
    return Correction(real.core, settings.lengths, solution, scatter, left_out)


def correction_network(
    correction: Correction,
    model: LabelModel,
    settings: CorrectionSettings,
    seed: int,
    *,
    cancelled: CancelCheck = never,
) -> Network:
    """Turn a correction into a network in Teff, logg, [Fe/H].

    It is taught where the stars are and, at half weight, over the whole range of the model.
    """
    rng = np.random.default_rng(seed)
    column = [model.labels.index(name) for name in CORE]
    low, high = model.label_min[column], model.label_max[column]
    cloud = model.training_labels[:, column].astype(float)
    half = settings.draws // 2
    core = np.concatenate([anchor[rng.integers(len(anchor), size=half)] for anchor in (correction.anchors, cloud)])[
        rng.permutation(2 * half)
    ]
    core += rng.normal(size=core.shape) * [120.0, 0.25, 0.15]
    margin = 0.05 * (high - low)
    core = np.clip(core, low - margin, high + margin)
    lesson = make_lesson(
        lambda weights: weights @ correction.solution, correction.weights(core), core, settings.units, rng
    )
    student = StudentSettings(hidden=settings.hidden, units=settings.units, steps=settings.steps)
    return train_student(lesson, low, high, student, seed, cancelled=cancelled)


def corrected_model(
    model: LabelModel,
    libraries: Sequence[Library],
    settings: CorrectionSettings,
    seed: int,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> LabelModel:
    """Adapt a model to real stars, and learn from each of them how wrong it is for a star that it did not see.

    Parameters
    ----------
    model : LabelModel
        Trained on physical spectra.
    libraries : sequence of Library
        The stars that train.

    Returns
    -------
    LabelModel
        With a network of as many units in the bottleneck, its `correction`, and its `scatter` and `error` from real
        stars.
    """
    column = [model.labels.index(name) for name in CORE]
    parts = []
    for i, library in enumerate(libraries):
        share = part(progress, 0.5 * i / len(libraries), 0.5 * (i + 1) / len(libraries))
        parts.append(residuals(library.take(library.labelled), model, progress=share, cancelled=cancelled))

    def learn() -> tuple[Network, Correction]:
        correction = learn_correction(joined(parts), settings, cancelled=cancelled)
        return correction_network(correction, model, settings, seed, cancelled=cancelled), correction

    small, correction = learn()
    if settings.label_below > 0:
        progress(0.7, "fitting the stars without labels")
        first = replace(model, network=model.network.plus(small, column), scatter=correction.scatter)
        strangers = [library.take(~library.labelled) for library in libraries]
        found = [label_by_fit(library, first, settings.label_below, cancelled=cancelled) for library in strangers]
        parts += [residuals(library, model, cancelled=cancelled) for library in found if library.spectra]
        small, correction = learn()
    both = model.network.plus(small, column)
    cores = inside(in_frame(model.wave, model.frame, "air"), BALMER_CORES)
    scatter = np.where(cores, settings.core_scatter, 1.0) * correction.scatter
    real = joined(parts)
    left_out = correction.left_out + np.where(real.used, correction.flux(real.core) - small.flux(real.core), 0)
    return replace(
        model,
        network=both.compressed(model.training_labels.astype(float), model.network.n_unit),
        correction=small,
        scatter=scatter.astype(np.float32),
        error=model.error and replace(model.error, real=_unseen(real, left_out)),
    )


def _unseen(real: Residuals, left_out: np.ndarray) -> Unseen:
    """Compress what is left over of real stars (n, n_pix); what their libraries lack is filled in from the others."""
    lesson = lesson_from_spectra(real.core, left_out, real.used, min(ERROR_UNITS, len(left_out) // 3))
    return Unseen(real.core, lesson.coefficients, lesson.basis.T, real.label_error)
