"""One star's posterior by Markov chains: the shape of its labels' errors, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.files import replacing
from processing.labels.names import LABELS
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from processing.labels.fit import LabelFit
    from processing.labels.model_file import LabelModel
    from processing.labels.normal import NormalEquations

CHAINS, STEPS, BURN_IN, EVERY = 64, 3000, 1000, 10
"""Chains side by side, steps of each, steps thrown away, and steps from one sample that is kept to the next."""
_REACH = 2.38
"""Of a random walk's steps over the posterior's width and the root of the dimensions (Gelman et al. 1996)."""


@dataclass(frozen=True)
class Posterior:
    """Samples of one star's labels and velocity.

    Parameters
    ----------
    fit : LabelFit
        The fit about which the chains ran.
    samples : ndarray, shape (n_chain, n_sample, n_label + 1)
        Labels, then rv in km/s.
    accepted : float
        Part of the steps that were taken.
    spread : ndarray, shape (n_label + 1,)
        Gelman and Rubin's factor: 1 where all chains have seen the same.
    """

    fit: LabelFit
    samples: np.ndarray
    accepted: float
    spread: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Machine names of the labels, and ``rv``."""
        return (*self.fit.labels, "rv")

    def percentiles(self) -> np.ndarray:
        """Return the 15.87, 50 and 84.13 % points of every quantity, shape (3, n_label + 1)."""
        return np.percentile(self.samples.reshape(-1, self.samples.shape[2]), (15.87, 50.0, 84.13), axis=0)


def sample_posterior(
    spectrum: StarSpectrum,
    model: LabelModel,
    settings: Settings,
    *,
    steps: int = STEPS,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Posterior:
    """Fit one star, and walk through the likelihood of its fit, prior and limits included.

    The likelihood is the fit's own chi2: the spectrum at rest, its errors rescaled, the model's scatter in its
    weights. Neighbouring pixels share noise; all of chi2 is divided by what that adds to the velocity's variance.

    Raises
    ------
    StellacubeError
        If the star has too few pixels for a fit.
    """
    from processing.labels.fit import MIN_PIXELS_PER_LABEL, Batch
    from processing.preparation.prepare import Operators, observe, prepare

    operators = Operators(model, settings.preparation)
    star = observe(spectrum, model, settings.preparation)
    batch = Batch([star], model, settings, operators, cancelled)
    prepared = prepare([star], np.zeros(1), model, operators)
    if (prepared.ivar > 0).sum() < MIN_PIXELS_PER_LABEL * len(model.labels):
        raise StellacubeError(f"{spectrum.star_id} cannot be fitted.", "It has too few pixels.")
    (fit,) = batch.fit(prepared)
    best = np.append(fit.values, fit.rv - batch.prepared.velocity[0])
    equations = batch.equations(fit.values[None])
    correlation = max(fit.covariance_scaled[-1, -1] / batch.velocity_variance()[0], 1.0)
    free = batch.high > batch.low

    def minus_half_chi2(values: np.ndarray) -> np.ndarray:
        """Logarithm of the posterior at labels and velocities (n, n_label + 1)."""
        labels = values[:, :-1]
        inside = ((labels >= batch.low) & (labels <= batch.high))[:, free].all(axis=1)
        step = np.column_stack([batch.emulator.exact.bottleneck(labels) - equations.reference, values[:, -1]])
        cost = _chi2(equations, step) / correlation + batch.prior.terms(labels)[0]
        return np.where(inside, -0.5 * cost, -np.inf)

    root = np.linalg.cholesky(fit.covariance_scaled)
    root[~np.append(free, True)] = 0.0
    rng = np.random.default_rng(settings.seed)
    here = np.clip(best + rng.normal(size=(CHAINS, best.size)) @ root.T, *_limits(batch.low, batch.high))
    level, kept, taken = minus_half_chi2(here), [], 0.0
    for step in range(steps):
        stop_if(cancelled)
        there = here + _REACH / np.sqrt(best.size) * rng.normal(size=here.shape) @ root.T
        risen = minus_half_chi2(there)
        moves = np.log(rng.random(CHAINS)) < risen - level
        here, level = np.where(moves[:, None], there, here), np.where(moves, risen, level)
        if step >= BURN_IN * steps // STEPS:
            taken += moves.mean() / (steps - BURN_IN * steps // STEPS)
            if step % EVERY == 0:
                kept.append(here)
        if step % 50 == 0:
            progress(step / steps, f"Walking through the posterior of {spectrum.star_id}")
    samples = np.stack(kept, axis=1)
    samples[:, :, -1] += batch.prepared.velocity[0]
    return Posterior(fit, samples, float(taken), _gelman_rubin(samples))


def _limits(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Limits with those of the velocity, which has none."""
    return np.append(low, -np.inf), np.append(high, np.inf)


def _chi2(equations: NormalEquations, step: np.ndarray) -> np.ndarray:
    """Chi2 (n,) of the first star at many distances (n, k + 1) from the reference."""
    return equations.constant[0] - 2 * step @ equations.linear[0] + np.einsum(
        "ni,ij,nj->n", step, equations.matrix[0], step, optimize=True
    )  # fmt: skip


def _gelman_rubin(samples: np.ndarray) -> np.ndarray:
    """Root of the variance of all samples over that within chains; 1 for what does not vary."""
    within = samples.var(axis=1, ddof=1).mean(axis=0)
    between = samples.mean(axis=1).var(axis=0, ddof=1)
    n = samples.shape[1]
    total = within * (n - 1) / n + between
    return np.sqrt(np.divide(total, within, out=np.ones_like(total), where=within > 0))


def corner_figure(posterior: Posterior, names: Sequence[str]) -> Figure:
    """Draw the samples of some labels against each other, and the Gaussian that the catalogue gives.

    Raises
    ------
    StellacubeError
        If a name is none of the star's labels.
    """
    from matplotlib.figure import Figure

    unknown = [name for name in names if name not in posterior.names]
    if unknown:
        raise StellacubeError(f"There is no label {unknown[0]}.", f"Known are {', '.join(posterior.names)}.")
    chosen = [posterior.names.index(name) for name in names]
    samples = posterior.samples.reshape(-1, posterior.samples.shape[2])[:, chosen]
    best = np.append(posterior.fit.values, posterior.fit.rv)[chosen]
    covariance = posterior.fit.covariance_total[np.ix_(chosen, chosen)]
    n = len(chosen)
    figure = Figure(figsize=(1.25 * n + 0.9,) * 2, dpi=160, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.0, hspace=0.0)  # type: ignore[union-attr, call-arg]
    panels = figure.subplots(n, n, sharex="col", squeeze=False)
    for row in range(n):
        for column in range(n):
            axes = panels[row, column]
            axes.tick_params(direction="in", labelsize=6, labelleft=column == 0 < row, labelbottom=row == n - 1)
            axes.tick_params("x", rotation=45)
            axes.locator_params(nbins=4)
            if column > row:
                axes.set_axis_off()
            elif column == row:
                axes.hist(samples[:, row], 40, density=True, color="#9fc0e8")
                x = best[row] + np.sqrt(covariance[row, row]) * np.linspace(-3.5, 3.5, 141)
                width = np.sqrt(covariance[row, row])
                axes.plot(x, np.exp(-0.5 * ((x - best[row]) / width) ** 2) / (2.5066 * width), color="#d98200", lw=1)
                axes.set_yticks([])
            else:
                _contours(axes, samples[:, column], samples[:, row])
                pair = np.ix_([column, row], [column, row])
                angle = np.linspace(0, 2 * np.pi, 100)
                circle = 1.515 * np.linalg.cholesky(covariance[pair]) @ np.array([np.cos(angle), np.sin(angle)])
                axes.plot(best[column] + circle[0], best[row] + circle[1], color="#d98200", lw=1)
            if column == 0 < row:
                axes.set_ylabel(_title(names[row]), fontsize=7)
            if row == n - 1:
                axes.set_xlabel(_title(names[column]), fontsize=7)
    star = posterior.fit.star_id
    figure.suptitle(f"{star}: chains (blue, 68 and 95 %) and the catalogue's errors (orange, 68 %)", fontsize=8)
    return figure


def _title(name: str) -> str:
    info = LABELS.get(name)
    if info is None:
        return "rv, km/s"
    return info.symbol if info.unit in ("", "dex") else f"{info.symbol}, {info.unit.replace(' ', '')}"


def _contours(axes: object, x: np.ndarray, y: np.ndarray) -> None:
    """Fill the regions of highest density that hold 68 and 95 % of the samples."""
    from scipy.ndimage import gaussian_filter

    counts, x_edges, y_edges = np.histogram2d(x, y, 50)
    smooth = gaussian_filter(counts, 1.5)
    order = np.sort(smooth.ravel())[::-1]
    share = np.cumsum(order) / order.sum()
    levels = [float(order[np.searchsorted(share, part)]) for part in (0.9545, 0.6827)]
    middles = [0.5 * (edges[1:] + edges[:-1]) for edges in (x_edges, y_edges)]
    axes.contourf(*middles, smooth.T, [*levels, float(smooth.max()) + 1], colors=["#cfe0f5", "#5f97d8"])  # type: ignore[attr-defined]


def write_posterior(posterior: Posterior, names: Sequence[str], folder: Path) -> list[Path]:
    """Write the corner plot as PNG and all samples as a FITS table; return the paths."""
    from astropy.table import Table

    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in posterior.fit.star_id)
    picture, table = folder / f"{stem}_posterior.png", folder / f"{stem}_posterior.fits"
    figure = corner_figure(posterior, names)
    with replacing(picture) as temporary:
        figure.savefig(temporary, format="png")
    flat = posterior.samples.reshape(-1, posterior.samples.shape[2])
    with replacing(table) as temporary:
        Table(dict(zip(posterior.names, flat.T, strict=True))).write(temporary, format="fits", overwrite=True)
    return [picture, table]
