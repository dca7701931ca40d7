"""Levenberg-Marquardt of many stars side by side, in labels and residual velocity, with bounds and a prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.labels.normal import Emulator, NormalEquations
from processing.labels.priors import AbundancePrior
from processing.progress import CancelCheck, never, stop_if

VELOCITY_SCALE = 10.0
"""km/s; labels are scaled by their ranges."""
MAX_RESIDUAL_VELOCITY = 150.0
"""km/s: two pixels, beyond which a shift is no longer linear; the spectra are then brought to rest anew."""
TOLERANCE, ROUGH = 1e-5, 1e-3
"""A star takes its last step when that changes its chi2 by less than this: what is left then is a smaller part of its
errors than 0.003; 0.03 where the fit goes on from there with better weights."""
_ROUNDING = 1e-6
"""Changes of chi2 that cannot be told from rounding."""


@dataclass(frozen=True)
class Problem:
    """What is minimised.

    Parameters
    ----------
    emulator : Emulator
    equations : NormalEquations
        Of n stars.
    prior : AbundancePrior
    low, high : ndarray, shape (n_label,)
        Bounds; a label whose bounds are equal is held.
    """

    emulator: Emulator
    equations: NormalEquations
    prior: AbundancePrior
    low: np.ndarray
    high: np.ndarray

    @property
    def scale(self) -> np.ndarray:
        """Units in which steps are taken, velocity last; shape (n_label + 1,)."""
        return np.append(np.where(self.high > self.low, self.high - self.low, 1.0), VELOCITY_SCALE)

    def take(self, index: np.ndarray) -> Problem:
        """Return the problem of some of the stars."""
        return Problem(self.emulator, self.equations.take(index), self.prior.take(index), self.low, self.high)

    def evaluate(self, values: np.ndarray) -> _Point:
        """Evaluate chi2 with the prior, and its derivatives, at labels and residual velocities (n, n_label + 1)."""
        equations, n_label = self.equations, values.shape[1] - 1
        labels, scale = values[:, :n_label], self.scale
        z = self.emulator.exact.bottleneck(labels)
        _, slopes = self.emulator.network.hidden(labels)
        step = np.concatenate([z - equations.reference, values[:, n_label:]], axis=1)
        image = (equations.matrix @ step[:, :, None])[:, :, 0]
        prior_cost, prior_pull, prior_matrix = self.prior.terms(labels)
        cost = equations.constant - 2 * (equations.linear * step).sum(1) + (step * image).sum(1) + prior_cost
        jacobian = np.zeros((len(z), step.shape[1], n_label + 1))
        jacobian[:, :-1, :n_label] = slopes
        jacobian[:, -1, -1] = 1.0
        jacobian *= scale
        force = equations.linear - image
        pull = (force[:, None] @ jacobian)[:, 0]
        curvature = jacobian.transpose(0, 2, 1) @ (equations.matrix @ jacobian)
        pull[:, :n_label] += prior_pull * scale[:n_label]
        curvature[:, :n_label, :n_label] += prior_matrix * scale[:n_label, None] * scale[:n_label]
        return _Point(cost, pull, curvature, jacobian, force)


@dataclass(frozen=True)
class _Point:
    """Chi2 of each star and its derivatives at some place, per scaled unit of the parameters.

    Parameters
    ----------
    cost : ndarray, shape (n,)
    pull : ndarray, shape (n, n_par)
        Minus half the gradient.
    curvature : ndarray, shape (n, n_par, n_par)
        The Gauss-Newton part of half the second derivative.
    jacobian : ndarray, shape (n, k + 1, n_par)
        Derivatives of the bottleneck's values and of the velocity.
    force : ndarray, shape (n, k + 1)
        Minus half the derivative of chi2 with respect to those.
    """

    cost: np.ndarray
    pull: np.ndarray
    curvature: np.ndarray
    jacobian: np.ndarray
    force: np.ndarray

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return all arrays, in the order of the constructor."""
        return self.cost, self.pull, self.curvature, self.jacobian, self.force

    def take(self, index: np.ndarray) -> _Point:
        """Return some of the stars."""
        return _Point(*(array[index] for array in self.arrays()))

    def put(self, index: np.ndarray, other: _Point, chosen: np.ndarray) -> None:
        """Overwrite some stars, in place, with the chosen ones of another point."""
        for mine, theirs in zip(self.arrays(), other.arrays(), strict=True):
            mine[index] = theirs[chosen]


@dataclass(frozen=True)
class Solution:
    """Where the minimisation ended.

    Parameters
    ----------
    values : ndarray, shape (n, n_label + 1)
        Labels and residual velocity in km/s.
    cost : ndarray, shape (n,)
        Chi2 with the prior.
    converged : ndarray, shape (n,), bool
    """

    values: np.ndarray
    cost: np.ndarray
    converged: np.ndarray

    def lower_of(self, other: Solution) -> Solution:
        """Take each star from the solution with the lower cost."""
        better = other.cost < self.cost
        return Solution(
            np.where(better[:, None], other.values, self.values),
            np.where(better, other.cost, self.cost),
            np.where(better, other.converged, self.converged),
        )


def minimise(
    problem: Problem,
    start: np.ndarray,
    max_iterations: int,
    cancelled: CancelCheck = never,
    tolerance: float = TOLERANCE,
) -> Solution:
    """Minimise chi2 plus prior of each star within the bounds.

    A star whose step lowers its chi2 by less than the tolerance leaves the batch; what it does never depends on others.

    Parameters
    ----------
    problem : Problem
    start : ndarray, shape (n, n_label + 1)
        Labels and residual velocity.
    """
    low = np.append(problem.low, -MAX_RESIDUAL_VELOCITY)
    high = np.append(problem.high, MAX_RESIDUAL_VELOCITY)
    values = np.clip(start, low, high)
    here = problem.evaluate(values)
    second = np.zeros_like(here.curvature)
    damping, raise_by = np.full(len(values), 1e-3), np.full(len(values), 2.0)
    converged = np.zeros(len(values), bool)
    for _ in range(max_iterations):
        stop_if(cancelled)
        active = np.flatnonzero(~converged)
        scaled = values[active] / problem.scale, low / problem.scale, high / problem.scale
        curvature = here.curvature[active] + second[active]
        step, promise = _step(here.pull[active], curvature, damping[active], *scaled)
        done = (np.abs(promise) < tolerance) & (damping[active] < 0.1)
        converged[active] = done
        values[active[done]] = np.clip(values[active[done]] + step[done] * problem.scale, low, high)
        active, step, promise = active[~done], step[~done], promise[~done]
        if not active.size:
            break
        trial = np.clip(values[active] + step * problem.scale, low, high)
        there = problem.take(active).evaluate(trial)
        gain = here.cost[active] - there.cost
        better = gain > 0
        converged[active] = (np.abs(gain) < _ROUNDING) & (np.abs(promise) < _ROUNDING)
        # Nielsen's rule: the damping follows how well the quadratic form foretold the gain.
        trust = np.clip(gain / np.maximum(promise, _ROUNDING), 0, 1)
        damping[active] *= np.where(better, np.maximum(0.1, 1 - (2 * trust - 1) ** 3), raise_by[active])
        raise_by[active] = np.where(better, 2.0, 2 * raise_by[active])
        taken = active[better]
        second[taken] = _secant(second[taken], step[better], here.take(taken), there.take(better))
        values[taken] = trial[better]
        here.put(taken, there, better)
    return Solution(values, here.cost, converged)


def _secant(second: np.ndarray, step: np.ndarray, before: _Point, after: _Point) -> np.ndarray:
    """Learn the part of the second derivative that Gauss-Newton leaves out from two gradients.

    The structured secant update of Dennis, Gay & Welsch (1981, ACM TOMS 7, 348), with their sizing. Where a label
    is weakly constrained the network's own curvature times the noise matters, and Gauss-Newton alone converges
    slowly, by a factor of two an iteration.
    """
    change = before.pull - after.pull
    wanted = (after.force[:, None] @ (before.jacobian - after.jacobian))[:, 0]
    known = (second @ step[:, :, None])[:, :, 0]
    along, old = (step * wanted).sum(1), (step * known).sum(1)
    size = np.minimum(1.0, np.abs(np.divide(along, old, out=np.ones_like(old), where=old != 0)))
    known *= size[:, None]
    slope = (step * change).sum(1)
    usable = slope > 0
    slope = np.where(usable, slope, 1.0)[:, None, None]
    missing = wanted - known
    cross = missing[:, :, None] * change[:, None, :]
    outer = change[:, :, None] * change[:, None, :]
    update = (cross + cross.transpose(0, 2, 1)) / slope - (step * missing).sum(1)[:, None, None] * outer / slope**2
    return np.where(usable[:, None, None], size[:, None, None] * second + update, second)


def _step(
    pull: np.ndarray, curvature: np.ndarray, damping: np.ndarray, values: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the damped step within the bounds, and the drop in chi2 that it promises.

    Parameters
    ----------
    values, low, high : ndarray
        In scaled units, as the step.

    Returns
    -------
    step : ndarray, shape (n, n_par)
    promise : ndarray, shape (n,)
    """
    damped = damping[:, None] * np.abs(np.einsum("nii->ni", curvature)) + 1e-9
    free = ~(((values <= low) & (pull < 0)) | ((values >= high) & (pull > 0)))
    step = np.zeros_like(values)
    for _ in range(2):  # what the first step would carry over a bound goes just there, and the rest follows
        matrix = curvature * free[:, :, None] * free[:, None, :]
        diagonal = np.einsum("nii->ni", matrix)
        diagonal += np.where(free, damped, 1.0)
        force = pull - (curvature @ np.where(free, 0.0, step)[:, :, None])[:, :, 0]
        step = np.where(free, np.linalg.solve(matrix, np.where(free, force, 0.0)[:, :, None])[:, :, 0], step)
        free &= (values + step >= low) & (values + step <= high)
        step = np.where(free, step, np.clip(values + step, low, high) - values)
        if free.all():
            break
    return step, (step * (2 * pull - (curvature @ step[:, :, None])[:, :, 0])).sum(axis=1)
