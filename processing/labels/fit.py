"""Stellar labels and velocities from spectra: batched Levenberg-Marquardt on a network (section 3.2 of the paper)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from processing.labels.arms import WIDTH, arms_of, remeasured, without_seam
from processing.labels.errors import robust_scale
from processing.labels.gather import EXCESS, gather
from processing.labels.held import bounds, ranges
from processing.labels.marquardt import ROUGH, TOLERANCE, Problem, Solution, minimise
from processing.labels.names import CORE
from processing.labels.normal import Emulator, NormalEquations
from processing.labels.outliers import find_outliers, near_emission_line, without
from processing.labels.priors import StarPriors
from processing.labels.representatives import first_guesses
from processing.labels.result import LabelFit, no_fit
from processing.labels.velocity import correlate
from processing.preparation.gaps import continuum_ratio
from processing.preparation.prepare import (
    Arms,
    Grid,
    Observation,
    Operators,
    Prepared,
    grid_of,
    input_fwhm,
    nearest_step,
    observe,
    prepare,
)
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

__all__ = ["LabelFit", "fit_labels"]

ROUNDS = 3
"""How often a star is brought to rest and normalised anew around its best fit."""
TRIAL_ITERATIONS = 8
"""After so many iterations from each of its starting points a star goes on from the lowest."""
MIN_PIXELS_PER_LABEL = 5
RATIO_UNCERTAINTY = 0.3
"""Part of the pseudo-continuum's change beside a gap that is taken as its 1-sigma error."""


def fit_labels(
    spectra: Sequence[StarSpectrum],
    model: LabelModel,
    settings: Settings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> list[LabelFit]:
    """Fit the labels and velocities of stars.

    The velocity comes first, from cross-correlation; then spectra are brought to rest, to the model's resolution and
    pseudo-continuum, and fitted, three times over. A star's result does not depend on the stars beside it.

    Parameters
    ----------
    spectra : sequence of StarSpectrum
    model : LabelModel
    settings : Settings
        `preparation`, `fit` and `workers` are used.

    Returns
    -------
    list of LabelFit
        One for each spectrum, in the same order; NaN labels and a note where a spectrum cannot be fitted.
    """
    from threadpoolctl import threadpool_limits

    progress(0.0, f"Fitting {len(spectra)} spectra")
    results: list[LabelFit | None] = [None] * len(spectra)
    chunks = _chunks(spectra, settings)
    done = 0

    def work(members: list[int]) -> list[LabelFit]:
        return _fit_batch([spectra[i] for i in members], model, settings, cancelled)

    with threadpool_limits(1), ThreadPoolExecutor(max(1, settings.workers or 2)) as pool:
        for members, fits in zip(chunks, pool.map(work, chunks), strict=True):
            for index, fit in zip(members, fits, strict=True):
                results[index] = fit
            done += len(members)
            progress(done / len(spectra), f"Fitted {done} of {len(spectra)} spectra")
    return [fit for fit in results if fit is not None]


def _chunks(spectra: Sequence[StarSpectrum], settings: Settings) -> list[list[int]]:
    """Divide stars among workers: those with one wavelength grid together, which then share their operators."""
    groups: dict[Grid, list[int]] = defaultdict(list)
    for index, spectrum in enumerate(spectra):
        groups[grid_of(spectrum, input_fwhm(spectrum, settings.preparation))].append(index)
    size = max(1, min(settings.fit.batch, -(-len(spectra) // max(1, settings.workers or 2))))
    return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]


def _fit_batch(
    spectra: Sequence[StarSpectrum], model: LabelModel, settings: Settings, cancelled: CancelCheck
) -> list[LabelFit]:
    """Fit stars of one wavelength grid; those without enough pixels get a note."""
    stars = []
    for spectrum in spectra:
        stop_if(cancelled)
        stars.append(observe(spectrum, model, settings.preparation))
    operators = Operators(model, settings.preparation)
    at_zero = prepare(stars, np.zeros(len(stars)), model, operators)
    usable = (at_zero.ivar > 0).sum(axis=1) >= MIN_PIXELS_PER_LABEL * len(model.labels)
    index = np.flatnonzero(usable).tolist()
    fits = {i: no_fit(stars[i], model, at_zero, i) for i in np.flatnonzero(~usable).tolist()}
    if index:
        batch = Batch([stars[i] for i in index], model, settings, operators, cancelled)
        fits |= dict(zip(index, batch.fit(at_zero.take(usable)), strict=True))
    return [fits[i] for i in range(len(stars))]


class Batch:
    """Stars of one wavelength grid on their way through the rounds of the fit."""

    def __init__(
        self,
        stars: list[Observation],
        model: LabelModel,
        settings: Settings,
        operators: Operators,
        cancelled: CancelCheck,
    ) -> None:
        self.arms = [arms_of(star, settings.fit) for star in stars]
        self.stars = [without_seam(star, arms) for star, arms in zip(stars, self.arms, strict=True)]
        self.inputs: list[tuple[Observation, Arms, float]] = []
        self.model, self.settings = model, settings
        self.operators, self.cancelled = operators, cancelled
        reached = operators.reached(stars[0])
        self.reached = reached
        self.emulator = Emulator.at_resolution(model.network, model.wave, model.lsf_fwhm, reached)
        self.correction = None
        if model.correction is not None:
            self.correction = Emulator.at_resolution(model.correction, model.wave, model.lsf_fwhm, reached).network
        self.error = model.error and model.error.at_resolution(model.wave, model.lsf_fwhm, reached)
        self.prior = StarPriors.of([star.meta for star in stars], model.labels, settings.fit)
        self.low, self.high = bounds(model, settings.fit)
        self.ranges = ranges(model, settings.fit)
        self.inflation = np.ones((len(stars), model.wave.size), np.float32)
        self.emission = near_emission_line(model.wave, model.frame)

    def fit(self, at_zero: Prepared) -> list[LabelFit]:
        """Run all rounds and gather the results."""
        limit = self.settings.fit.max_velocity
        velocity, labels = correlate(at_zero, self.model, limit)
        for turn in range(ROUNDS):
            self.bring_to_rest(velocity, labels)
            last = turn == ROUNDS - 1
            starts = [labels]
            if turn == 0:
                starts = first_guesses(self.emulator.network, self.model, self.prepared.flux, self.weight, self.ratio)
            solution = self._minimise(starts, velocity - self.prepared.velocity, TOLERANCE if last else ROUGH)
            labels, shift = solution.values[:, :-1], solution.values[:, -1]
            velocity = np.clip(self.prepared.velocity + shift, -limit, limit)
            self.learn_from_residuals(labels, shift, last=last)
        return gather(self, labels, shift, solution.converged)

    def bring_to_rest(self, velocity: np.ndarray, labels: np.ndarray) -> None:
        """Prepare the spectra anew at their velocities (n,), normalised as fits their labels (n, n_label) so far."""
        stop_if(self.cancelled)
        self._prepare(velocity)
        self.ratio = continuum_ratio(self.prepared, self.emulator.network.flux(labels), self.model)
        self.learned = self._learned(labels)
        self.weight = self._weights()

    def _prepare(self, velocity: np.ndarray) -> None:
        """Prepare the spectra at their velocities; those that would come out as they are stay."""
        steps = nearest_step(velocity)
        inputs = list(zip(self.stars, self.arms, steps.tolist(), strict=True))
        if not self.inputs:
            self.prepared = prepare(self.stars, steps, self.model, self.operators, self.arms)
        else:
            pairs = enumerate(zip(inputs, self.inputs, strict=True))
            changed = [i for i, (now, before) in pairs if now[0] is not before[0] or now[1:] != before[1:]]
            stars, arms = [self.stars[i] for i in changed], [self.arms[i] for i in changed]
            if changed:
                fresh = prepare(stars, steps[changed], self.model, self.operators, arms)
                self.prepared.put(np.array(changed), fresh)
        self.inputs = inputs
        self.operators.keep({(star.grid, step, arms) for star, arms, step in inputs})

    def equations(self, labels: np.ndarray) -> NormalEquations:
        """Return the normal equations about labels (n, n_label)."""
        extra = EXCESS * self.learned if self.correction is not None else None
        return NormalEquations.build(self.emulator, self.prepared.flux, self.weight, self.ratio, labels, extra)

    def learn_from_residuals(self, labels: np.ndarray, shift: np.ndarray, *, last: bool) -> None:
        """Rescale the errors by what labels and velocities leave over.

        Unless it was the `last` time outliers are masked as well, and the arms' velocities told apart.
        """
        self.best = self.ratio * self.emulator.network.flux(labels)
        self.excess = self._excess(self.prepared.flux - self.shifted_best(shift))
        self.best += self.excess[:, None] * self.learned
        residual = np.where(self.weight > 0, self.prepared.flux - self.shifted_best(shift), 0.0)
        scaled = np.sqrt(self.weight) * residual
        scale = np.clip(self.scales(scaled, self.weight > 0), 0.2, 20.0)
        self.inflation *= scale
        if not last:
            self._tell_arms_apart(residual)
            self._leave_out(find_outliers(residual, scaled / scale, self.emission, self.prepared.at_sky))

    def _leave_out(self, found: np.ndarray) -> None:
        """Mask outliers in the observations themselves, so that they bend the pseudo-continuum no longer either."""
        for i in np.flatnonzero(found.any(axis=1)):
            velocity = float(self.prepared.velocity[i])
            self.stars[i] = without(self.stars[i], found[i], self.model.wave, self.model.frame, velocity)

    def scales(self, scaled: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Robust widths (n, 1) of scaled residuals (n, n_pix); (n, n_pix) where a star has two arms, each its own."""
        if not any(np.isfinite(arms.split) for arms in self.arms):
            return robust_scale(scaled, good)[:, None]
        red = np.array([self.red(i) for i in range(len(self.arms))])
        blue, other = (robust_scale(scaled, good & part)[:, None] for part in (~red, red))
        return np.where(red, other, blue)

    def _tell_arms_apart(self, residual: np.ndarray) -> None:
        """Improve the velocities of red arms by what is left over, (n, n_pix)."""
        for i, arms in enumerate(self.arms):
            if np.isfinite(arms.split):
                slope = self.emulator.velocity_derivative(self.best[i : i + 1])[0]
                self.arms[i] = remeasured(arms, self.red(i), residual[i], slope, self.weight[i])

    def velocity_variance(self) -> np.ndarray:
        """Variances (n,) of the velocities if the labels were known and pixels independent, the red arm's apart."""
        information = self.weight * np.square(self.emulator.velocity_derivative(self.best))
        red = np.array([self.red(i) for i in range(len(self.stars))])
        own = (information * red).sum(axis=1)
        return np.asarray(1.0 / (information.sum(axis=1) - own**2 / (own + WIDTH**-2)))

    def red(self, i: int) -> np.ndarray:
        """Pixels (n_pix,) that a star has from the red arm."""
        return self.operators.red_part(float(self.prepared.velocity[i]), self.arms[i])

    def _learned(self, labels: np.ndarray) -> np.ndarray:
        """Return what real stars added to physical spectra at labels (n, n_label); shape (n, n_pix)."""
        if self.correction is None:
            return np.zeros_like(self.ratio)
        core = labels[:, [self.model.labels.index(name) for name in CORE]]
        return self.ratio * self.correction.flux(core)

    def _excess(self, residual: np.ndarray) -> np.ndarray:
        """By how much more of what real stars taught each star has than usual, from residuals (n, n_pix)."""
        weighted = self.weight * self.learned
        stiffness = EXCESS**-2 + (weighted * self.learned).sum(axis=1)
        return np.asarray((weighted * residual).sum(axis=1) / stiffness, np.float32)

    def _weights(self) -> np.ndarray:
        """Inverse variances of the fit: the raw errors and the model's own scatter, rescaled to what was left over.

        Where gaps change the pseudo-continuum a third of the change is taken as uncertain.
        """
        ivar = self.prepared.ivar.astype(float)
        variance = np.divide(1.0, ivar, out=np.ones_like(ivar), where=ivar > 0)
        variance += np.square(self.model.scatter) + np.square(RATIO_UNCERTAINTY * (self.ratio - 1.0))
        variance *= np.square(self.inflation)
        return np.where(ivar > 0, 1.0 / variance, 0.0).astype(np.float32)

    def _minimise(self, starts: list[np.ndarray], shift: np.ndarray, tolerance: float) -> Solution:
        """Minimise from each of the starting points and keep each star's lowest minimum."""
        problem = Problem(self.emulator, self.equations(starts[0]), self.prior, self.low, self.high)
        values = [np.column_stack([start, shift]) for start in starts]
        if len(values) > 1:
            tried = [minimise(problem, start, TRIAL_ITERATIONS, self.cancelled, tolerance) for start in values]
            values = [reduce(Solution.lower_of, tried).values]
        return minimise(problem, values[0], self.settings.fit.max_iterations, self.cancelled, tolerance)

    def shifted_best(self, shift: np.ndarray) -> np.ndarray:
        """Best-fitting models with their residual velocities (n,), shape (n, n_pix)."""
        return self.best + shift[:, None].astype(np.float32) * self.emulator.velocity_derivative(self.best)
