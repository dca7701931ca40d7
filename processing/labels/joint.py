"""One set of labels from several spectra of a star, each with a velocity and an error scale of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processing.labels.errors import inverse_root
from processing.labels.fit import ROUNDS, Batch, LabelFit, fit_labels
from processing.labels.gather import gather
from processing.labels.marquardt import MAX_RESIDUAL_VELOCITY, Problem, minimise
from processing.labels.normal import NormalEquations
from processing.labels.priors import StarPriors, sharing_known
from processing.preparation.prepare import Grid, Operators, observe
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if
from processing.settings import Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

STARS_AT_ONCE = 64


@dataclass(frozen=True)
class JointFit:
    """The labels that fit all spectra of a star together.

    Parameters
    ----------
    labels : tuple of str
        Machine names.
    values : ndarray, shape (n_label,)
    covariance, covariance_scaled : ndarray, shape (n_label, n_label)
        As those of `LabelFit`, velocities marginalised: the information of the spectra added up, the prior once.
    covariance_model : ndarray, shape (n_label, n_label)
        From the network's own error, which all spectra share: the mean of theirs; 0 where it is unknown.
    fits : tuple of LabelFit
        Each spectrum at these labels, with its own velocity and error scale.
    converged : bool
    """

    labels: tuple[str, ...]
    values: np.ndarray
    covariance: np.ndarray
    covariance_scaled: np.ndarray
    covariance_model: np.ndarray
    fits: tuple[LabelFit, ...]
    converged: bool

    def errors(self) -> np.ndarray:
        """Formal 1-sigma errors of the labels from the raw errors."""
        return np.sqrt(np.diag(self.covariance))

    def errors_scaled(self) -> np.ndarray:
        """1-sigma errors of the labels: noise rescaled, correlation of neighbouring pixels, the model's own error."""
        return np.sqrt(np.diag(self.covariance_scaled + self.covariance_model))


def fit_joint(
    stars: Sequence[Sequence[StarSpectrum]],
    model: LabelModel,
    settings: Settings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> list[JointFit | None]:
    """Fit the spectra of each star with labels in common.

    The spectra may differ in instrument, wavelengths and resolution. Each is fitted alone first; one that cannot be
    fitted, or looks like none of the stars that the model knows, has no say.

    Parameters
    ----------
    stars : sequence of sequences of StarSpectrum
        The spectra of every star.
    model : LabelModel
    settings : Settings
        `preparation`, `fit` and `workers` are used.

    Returns
    -------
    list of JointFit or None
        One for each star; None where no spectrum could be fitted.
    """
    from threadpoolctl import threadpool_limits

    spectra = [spectrum for star in stars for spectrum in sharing_known(star)]
    of_star = np.repeat(np.arange(len(stars)), [len(star) for star in stars])
    alone = fit_labels(spectra, model, settings, progress=part(progress, 0.0, 0.6), cancelled=cancelled)
    usable = np.array([fit.in_scope and bool(np.isfinite(fit.values).all()) for fit in alone], bool)
    results: list[JointFit | None] = [None] * len(stars)
    with threadpool_limits(1):
        for start in range(0, len(stars), STARS_AT_ONCE):
            progress(0.6 + 0.4 * start / len(stars), f"Fitting the spectra of {len(stars)} stars together")
            chosen = np.flatnonzero(usable & (of_star >= start) & (of_star < start + STARS_AT_ONCE))
            names, members = np.unique(of_star[chosen], return_inverse=True)
            if not chosen.size:
                continue
            together = _Together([spectra[i] for i in chosen], members, model, settings, cancelled)
            for name, fit in zip(names.tolist(), together.fit([alone[i] for i in chosen]), strict=True):
                results[name] = fit
    return results


class _Together:
    """Spectra of several stars on their way through the rounds of the fit, those of one wavelength grid in a batch."""

    def __init__(
        self,
        spectra: Sequence[StarSpectrum],
        of_star: np.ndarray,
        model: LabelModel,
        settings: Settings,
        cancelled: CancelCheck,
    ) -> None:
        self.model, self.limit, self.cancelled = model, settings.fit.max_velocity, cancelled
        self.max_iterations = settings.fit.max_iterations
        self.of_star, self.n_star = of_star, int(of_star.max()) + 1
        observations = []
        for spectrum in spectra:
            stop_if(cancelled)
            observations.append(observe(spectrum, model, settings.preparation))
        grids: dict[Grid, list[int]] = defaultdict(list)
        for index, observation in enumerate(observations):
            grids[observation.grid].append(index)
        _, first = np.unique(of_star, return_index=True)
        self.prior = StarPriors.of([spectra[i].meta for i in first], model.labels, settings.fit)
        self.members = [np.array(members) for members in grids.values()]
        self.batches = [
            Batch(
                [observations[i] for i in members], model, settings, Operators(model, settings.preparation), cancelled
            )
            for members in self.members
        ]

    def fit(self, alone: Sequence[LabelFit]) -> list[JointFit]:
        """Run all rounds from the spectra's own fits and gather the results."""
        labels = self._start(alone)
        velocity = np.array([fit.rv for fit in alone])
        for turn in range(ROUNDS):
            for members, batch in zip(self.members, self.batches, strict=True):
                batch.bring_to_rest(velocity[members], labels[self.of_star[members]])
            labels, shift, converged = self._minimise(labels)
            for members, batch in zip(self.members, self.batches, strict=True):
                moved = batch.prepared.velocity + shift[members]
                velocity[members] = np.clip(moved, -self.limit, self.limit)
                batch.learn_from_residuals(labels[self.of_star[members]], shift[members], last=turn == ROUNDS - 1)
        fits: dict[int, LabelFit] = {}
        for members, batch in zip(self.members, self.batches, strict=True):
            of_star = self.of_star[members]
            found = gather(batch, labels[of_star], shift[members], converged[of_star])
            fits |= dict(zip(members.tolist(), found, strict=True))
        return [
            self._result(star, labels[star], [fits[i] for i in np.flatnonzero(self.of_star == star).tolist()], ok)
            for star, ok in enumerate(converged.tolist())
        ]

    def _start(self, alone: Sequence[LabelFit]) -> np.ndarray:
        """Labels (n_star, n_label) of each star's best spectrum, that with the highest correlation."""
        quality = np.array([fit.corr_flux for fit in alone])
        best = [int(np.argmax(np.where(self.of_star == star, quality, -np.inf))) for star in range(self.n_star)]
        return np.array([alone[i].values for i in best])

    def _minimise(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Minimise the sum of the spectra's chi2 and one prior per star.

        A residual velocity enters one spectrum's chi2 alone, and quadratically: at its best value, a linear function
        of the bottleneck, what is left is a quadratic form in the bottleneck, and those of a star's spectra add up.

        Returns
        -------
        labels : ndarray, shape (n_star, n_label)
        shift : ndarray, shape (n_spectrum,)
            Residual velocities, km/s.
        converged : ndarray, shape (n_star,), bool
        """
        n_unit = self.model.network.n_unit
        matrix = np.zeros((self.n_star, n_unit + 1, n_unit + 1))
        linear, constant = np.zeros((self.n_star, n_unit + 1)), np.zeros(self.n_star)
        matrix[:, -1, -1] = 1.0  # the star as a whole has no velocity
        parts = []
        for members, batch in zip(self.members, self.batches, strict=True):
            of_star = self.of_star[members]
            one = batch.equations(labels[of_star])
            mixed, pull, stiffness = one.matrix[:, :-1, -1], one.linear[:, -1], one.matrix[:, -1, -1]
            np.add.at(
                matrix[:, :-1, :-1],
                of_star,
                one.matrix[:, :-1, :-1] - mixed[:, :, None] * mixed[:, None, :] / stiffness[:, None, None],
            )
            np.add.at(linear[:, :-1], of_star, one.linear[:, :-1] - mixed * (pull / stiffness)[:, None])
            np.add.at(constant, of_star, one.constant - pull**2 / stiffness)
            parts.append((members, mixed, pull, stiffness))
        first = self.batches[0]
        reference = first.emulator.exact.bottleneck(labels)
        equations = NormalEquations(reference, constant, linear, matrix)
        problem = Problem(first.emulator, equations, self.prior, first.low, first.high)
        start = np.column_stack([labels, np.zeros(self.n_star)])
        solution = minimise(problem, start, self.max_iterations, self.cancelled)
        step = first.emulator.exact.bottleneck(solution.values[:, :-1]) - reference
        shift = np.zeros(len(self.of_star))
        for members, mixed, pull, stiffness in parts:
            best = (pull - (mixed * step[self.of_star[members]]).sum(axis=1)) / stiffness
            shift[members] = np.clip(best, -MAX_RESIDUAL_VELOCITY, MAX_RESIDUAL_VELOCITY)
        return solution.values[:, :-1], shift, solution.converged

    def _result(self, star: int, values: np.ndarray, fits: Sequence[LabelFit], converged: bool) -> JointFit:
        own = [fit.covariance_model[:-1, :-1] for fit in fits if fit.covariance_model is not None]
        again = (len(fits) - 1) * self.prior.take(np.array([star])).terms(values[None])[2][0]
        return JointFit(
            labels=self.model.labels,
            values=values,
            covariance=_inverse(sum(_inverse(fit.covariance[:-1, :-1]) for fit in fits) - again),
            covariance_scaled=_inverse(sum(_inverse(fit.covariance_scaled[:-1, :-1]) for fit in fits) - again),
            covariance_model=np.mean(own, axis=0) if own else np.zeros_like(again),
            fits=tuple(fits),
            converged=converged,
        )


def _inverse(matrix: np.ndarray) -> np.ndarray:
    root = inverse_root(matrix)
    return root @ root.T
