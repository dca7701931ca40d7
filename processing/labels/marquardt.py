"""Levenberg-Marquardt of many stars side by side, in labels and residual velocity, with bounds and a prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.labels.network import Network
from processing.labels.normal import NormalEquations
from processing.labels.priors import AbundancePrior
from processing.progress import CancelCheck, never, stop_if

VELOCITY_SCALE = 10.0
"""km/s; labels are scaled by their ranges."""
MAX_RESIDUAL_VELOCITY = 150.0
"""km/s: two pixels, beyond which a shift is no longer linear; the spectra are then brought to rest anew."""
_TOLERANCE = 1e-5
"""A star is done when a full step would change its chi2 by less than this: 0.003 of its errors."""
_ROUNDING = 1e-4
"""Changes of chi2 that float32 networks cannot tell from rounding."""


@dataclass(frozen=True)
class Problem:
    """What is minimised.

    Parameters
    ----------
    network : Network
    equations : NormalEquations
        Of n stars.
    prior : AbundancePrior
    low, high : ndarray, shape (n_label,)
        Bounds.
    """

    network: Network
    equations: NormalEquations
    prior: AbundancePrior
    low: np.ndarray
    high: np.ndarray

    @property
    def scale(self) -> np.ndarray:
        """Units in which steps are taken, velocity last; shape (n_label + 1,)."""
        return np.append(self.high - self.low, VELOCITY_SCALE)

    def take(self, index: np.ndarray) -> Problem:
        """Return the problem of some of the stars."""
        return Problem(self.network, self.equations.take(index), self.prior, self.low, self.high)

    def evaluate(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Chi2 with the prior, and the normal equations in labels and velocity.

        Parameters
        ----------
        values : ndarray, shape (n, n_label + 1)
            Labels and residual velocity.

        Returns
        -------
        cost : ndarray, shape (n,)
        pull : ndarray, shape (n, n_label + 1)
            Minus half the gradient, per scaled unit.
        curvature : ndarray, shape (n, n_label + 1, n_label + 1)
            Gauss-Newton matrix, per scaled units.
        """
        equations, n_label = self.equations, values.shape[1] - 1
        z, slopes = self.network.hidden(values[:, :n_label])
        step = np.concatenate([z - equations.reference, values[:, n_label:]], axis=1)
        image = (equations.matrix @ step[:, :, None])[:, :, 0]
        prior_cost, prior_pull, prior_matrix = self.prior.terms(values[:, :n_label])
        cost = equations.constant - 2 * (equations.linear * step).sum(1) + (step * image).sum(1) + prior_cost
        jacobian = np.zeros((len(z), step.shape[1], n_label + 1))
        jacobian[:, :-1, :n_label] = slopes
        jacobian[:, -1, -1] = 1.0
        jacobian *= self.scale
        transposed = jacobian.transpose(0, 2, 1)
        pull = (transposed @ (equations.linear - image)[:, :, None])[:, :, 0]
        curvature = transposed @ (equations.matrix @ jacobian)
        scale = self.scale[:n_label]
        pull[:, :n_label] += prior_pull * scale
        curvature[:, :n_label, :n_label] += prior_matrix * scale[:, None] * scale
        return cost, pull, curvature


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


def minimise(problem: Problem, start: np.ndarray, max_iterations: int, cancelled: CancelCheck = never) -> Solution:
    """Minimise chi2 plus prior of each star within the bounds.

    A star whose step would lower its chi2 by less than 1e-5 leaves the batch; what it does never depends on others.

    Parameters
    ----------
    problem : Problem
    start : ndarray, shape (n, n_label + 1)
        Labels and residual velocity.
    """
    low = np.append(problem.low, -MAX_RESIDUAL_VELOCITY)
    high = np.append(problem.high, MAX_RESIDUAL_VELOCITY)
    values = np.clip(start, low, high)
    cost, pull, curvature = problem.evaluate(values)
    damping, raise_by = np.full(len(values), 1e-3), np.full(len(values), 2.0)
    converged = np.zeros(len(values), bool)
    for _ in range(max_iterations):
        stop_if(cancelled)
        active = np.flatnonzero(~converged)
        step, promise = _step(values[active], pull[active], curvature[active], damping[active], low, high)
        done = (promise < _TOLERANCE) & (damping[active] < 0.1)
        converged[active] = done
        active, step, promise = active[~done], step[~done], promise[~done]
        if not active.size:
            break
        trial = np.clip(values[active] + step * problem.scale, low, high)
        new_cost, new_pull, new_curvature = problem.take(active).evaluate(trial)
        gain = cost[active] - new_cost
        better = gain > 0
        converged[active] = (np.abs(gain) < _ROUNDING) & (promise < _ROUNDING)
        # Nielsen's rule: the damping follows how well the quadratic form foretold the gain.
        trust = np.clip(gain / promise, 0, 1)
        damping[active] *= np.where(better, np.maximum(0.1, 1 - (2 * trust - 1) ** 3), raise_by[active])
        raise_by[active] = np.where(better, 2.0, 2 * raise_by[active])
        taken = active[better]
        values[taken], cost[taken] = trial[better], new_cost[better]
        pull[taken], curvature[taken] = new_pull[better], new_curvature[better]
    return Solution(values, cost, converged)


def _step(
    values: np.ndarray, pull: np.ndarray, curvature: np.ndarray, damping: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Damped Gauss-Newton step in scaled units, with what sits at a bound and pushes outwards held; and the drop in chi2 that it promises."""
    held = ((values <= low) & (pull < 0)) | ((values >= high) & (pull > 0))
    free = ~held
    diagonal = np.einsum("nii->ni", curvature)
    matrix = curvature * free[:, :, None] * free[:, None, :]
    inner = np.einsum("nii->ni", matrix)
    damped = damping[:, None] * diagonal + 1e-9
    inner += damped + held
    force = np.where(free, pull, 0.0)
    step = np.linalg.solve(matrix, force[:, :, None])[:, :, 0]
    return step, (step * (force + damped * step)).sum(axis=1)
