"""The student: the small smooth network of a fit, taught by any function that turns labels into coefficients."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.labels.network import Network
from processing.progress import CancelCheck, Progress, ignore, never, stop_if

if TYPE_CHECKING:
    import torch

    from processing.labels.gradient_term import GradientLoss, PhysicalGradients

CHECK_EVERY = 500
"""Steps between two looks at what is held back."""
CHECK_STARS = 64
"""Of the stars with physical gradients, kept for that."""
SAVE_EVERY = 20.0
"""Seconds between two checkpoints."""
FILLS = 8
"""How often gaps are filled before the principal components are taken."""


@dataclass(frozen=True)
class StudentSettings:
    """Size of the network and length of its training."""

    hidden: tuple[int, ...] = (256, 256)
    """Units of the hidden layers."""
    units: int = 64
    """Units of the linear bottleneck: principal components of the spectra."""
    draws: int = 120_000
    """Label vectors that the teacher is asked for."""
    steps: int = 30_000
    batch: int = 512
    rate: float = 4e-3
    """Highest learning rate; it rises over the first twentieth of the steps and falls as a cosine."""
    patience: int = 0
    """The training stops after so many checks, one every 500 steps, without a better one, and the best is kept; 0:
    it never stops early. For networks that learn from noisy spectra."""


@dataclass(frozen=True)
class Lesson:
    """What the student learns: coefficients of spectra on a basis, and where they belong.

    Parameters
    ----------
    labels : ndarray, shape (n, n_label)
    coefficients : ndarray, shape (n, k)
        On orthonormal spectra, so that squared differences add up to those of the flux.
    basis : ndarray, shape (n_pix, k)
    offset : ndarray, shape (n_pix,)
    """

    labels: np.ndarray
    coefficients: np.ndarray
    basis: np.ndarray
    offset: np.ndarray


def draw_labels(labels: np.ndarray, names: tuple[str, ...], n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw label vectors that fill the range of a training set and a little more.

    The atmosphere's labels are those of a random training star with a jitter of 15 % of their spread, so that the
    draws follow the set's band in the Kiel diagram; of half of the draws the abundances are that star's as well, of
    the other half each element is taken from another star, which makes the elements independent.
    """
    atmosphere = np.array([not name.endswith("_fe") for name in names])
    star = rng.integers(len(labels), size=n)
    drawn = labels[star]
    mixed = np.where(rng.random(n) < 0.5)[0]
    for column in np.where(~atmosphere)[0]:
        drawn[mixed, column] = labels[rng.integers(len(labels), size=len(mixed)), column]
    low, high = labels.min(0), labels.max(0)
    jitter = rng.normal(size=drawn.shape) * np.where(atmosphere, 0.15, 0.1) * labels.std(0)
    margin = 0.05 * (high - low)
    return np.clip(drawn + jitter, low - margin, high + margin)


def train_student(
    lesson: Lesson,
    label_min: np.ndarray,
    label_max: np.ndarray,
    settings: StudentSettings,
    seed: int,
    *,
    gradients: PhysicalGradients | None = None,
    checkpoint: Path | None = None,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Network:
    """Train the network on a lesson; goes on from `checkpoint` where that file exists.

    Parameters
    ----------
    label_min, label_max : ndarray, shape (n_label,)
        The first layer sees labels scaled to -1..1 over this range.
    gradients : PhysicalGradients, optional
        The derivatives that the network's are held to.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    centre, scale = (label_min + label_max) / 2, (label_max - label_min) / 2
    if gradients is not None:
        scale = gradients.scales()
    x = torch.tensor((lesson.labels - centre) / scale, dtype=torch.float32)
    level = float(np.sqrt((lesson.coefficients**2).sum(1).mean()))
    y = torch.tensor(lesson.coefficients / level, dtype=torch.float32)
    sizes = (x.shape[1], *settings.hidden, y.shape[1])
    parameters = _start(sizes, generator)
    term = gradients.loss(lesson.basis, centre, scale, level) if gradients is not None else None
    trainer = _Trainer(parameters, settings, term, checkpoint)
    held = max(len(x) // 50, min(len(x) // 5, 100))
    saved = time.monotonic()
    while trainer.done < settings.steps and not trainer.gave_up():
        stop_if(cancelled)
        # Seeded by the step: a resumed training sees the batches it would have seen.
        generator.manual_seed(seed * 1_000_003 + trainer.done)
        index = torch.randint(held, len(x), (settings.batch,), generator=generator)
        trainer.step(x[index], y[index], generator)
        if trainer.done % CHECK_EVERY == 0 or trainer.done == settings.steps:
            text = trainer.check(x[:held], y[:held], level / np.sqrt(len(lesson.basis)))
            progress(trainer.done / settings.steps, f"student: {text}")
            if checkpoint is not None and time.monotonic() - saved > SAVE_EVERY:
                trainer.save()
                saved = time.monotonic()
    arrays = [p.detach().numpy().copy() for p in (trainer.best if settings.patience else parameters)]
    return Network(
        label_center=centre,
        label_scale=scale,
        weights=(*arrays[0:-2:2], arrays[-2] * np.float32(level)),
        biases=(*arrays[1:-2:2], arrays[-1] * np.float32(level)),
        basis=lesson.basis.astype(np.float32),
        offset=lesson.offset.astype(np.float32),
    )


class _Trainer:
    """The state of a training, kept in a checkpoint: parameters, optimiser, steps done, the best parameters so far."""

    def __init__(
        self,
        parameters: list[torch.Tensor],
        settings: StudentSettings,
        term: GradientLoss | None,
        checkpoint: Path | None,
    ) -> None:
        import torch

        from processing.labels.adam import Adam

        self.parameters, self.settings, self.term, self.checkpoint = parameters, settings, term, checkpoint
        self.optimiser = Adam(parameters)
        self.done = 0
        self.best = [p.detach().clone() for p in parameters]
        self.best_error, self.best_at = float("inf"), 0
        if checkpoint is not None and checkpoint.is_file():
            with np.load(checkpoint, allow_pickle=False) as saved, torch.no_grad():
                self.done = self.optimiser.count = int(saved["done"])
                self.best_error, self.best_at = float(saved["best_error"]), int(saved["best_at"])
                for name, tensors in self._state().items():
                    for i, tensor in enumerate(tensors):
                        tensor.copy_(torch.tensor(saved[f"{name}_{i}"]))

    def _state(self) -> dict[str, list[torch.Tensor]]:
        optimiser = self.optimiser
        return {
            "parameter": self.parameters, "mean": optimiser.mean, "square": optimiser.square, "best": self.best
        }  # fmt: skip

    def check(self, x: torch.Tensor, y: torch.Tensor, unit: float) -> str:
        """Keep the parameters if their loss on what is held back is the least so far; say how they do.

        Parameters
        ----------
        x, y : Tensor
            Held back: scaled labels and coefficients.
        unit : float
            The flux that an rms error of 1 in all of the coefficients' length stands for.
        """
        import torch

        with torch.no_grad():
            loss = (_forward(self.parameters, x) - y).square().sum(1).mean().item()
            text = f"{100 * np.sqrt(loss) * unit:.3f} % rms of the flux it is taught"
            if self.term is not None:
                off = self.term.of(self.parameters, slice(CHECK_STARS)).item()
                loss += self.term.settings.weight * off
                text += f", gradients off by {100 * np.sqrt(off):.0f} %"
        if loss < self.best_error:
            self.best_error, self.best_at = loss, self.done
            self.best = [p.detach().clone() for p in self.parameters]
        return text

    def gave_up(self) -> bool:
        """Return whether the checks have not got better for too long."""
        return 0 < self.settings.patience <= (self.done - self.best_at) // CHECK_EVERY and np.isfinite(self.best_error)

    def step(self, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> None:
        """Take one step on a batch of scaled labels and coefficients."""
        import torch

        progress = self.done / self.settings.steps
        self.optimiser.rate = self.settings.rate * min(20 * progress + 0.01, 0.5 + 0.5 * np.cos(np.pi * progress))
        loss = (_forward(self.parameters, x) - y).square().sum(1).mean()
        if self.term is not None and self.done % self.term.settings.every == 0:
            settings = self.term.settings
            stars = torch.randint(CHECK_STARS, len(self.term.x), (settings.stars,), generator=generator)
            # As much on the whole, however seldom.
            loss = loss + settings.weight * settings.every * self.term.of(self.parameters, stars)
        self.optimiser.step(torch.autograd.grad(loss, self.parameters))
        self.done += 1

    def save(self) -> None:
        """Write the checkpoint; a killed run finds the whole of the old or of the new one."""
        assert self.checkpoint is not None
        arrays = {f"{n}_{i}": t.detach().numpy() for n, ts in self._state().items() for i, t in enumerate(ts)}
        unfinished = self.checkpoint.with_suffix(".part.npz")
        np.savez(unfinished, done=self.done, best_error=self.best_error, best_at=self.best_at, **arrays)
        unfinished.replace(self.checkpoint)


def _start(sizes: tuple[int, ...], generator: torch.Generator) -> list[torch.Tensor]:
    """Weights and biases, alternating, of variance 2 / n_in and 0 (He et al. 2015)."""
    import torch

    parameters = []
    for n_in, n_out in pairwise(sizes):
        weight = torch.randn(n_out, n_in, generator=generator) * np.sqrt(2.0 / n_in)
        parameters += [weight.requires_grad_(), torch.zeros(n_out).requires_grad_()]
    return parameters


def _forward(parameters: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    import torch

    for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        x = torch.nn.functional.silu(torch.addmm(bias, x, weight.T))
    return torch.addmm(parameters[-1], x, parameters[-2].T)


def make_lesson(
    spectra: Callable[[np.ndarray], np.ndarray],
    coefficients: np.ndarray,
    labels: np.ndarray,
    n_unit: int,
    rng: np.random.Generator,
) -> Lesson:
    """Find the orthonormal basis of `n_unit` spectra that holds a teacher's spectra best, and the lesson on it.

    Parameters
    ----------
    spectra : callable
        Turns a teacher's coefficients (n, m) into spectra (n, n_pix); must be linear.
    coefficients : ndarray, shape (n, m)
        The teacher's answers to `labels` (n, n_label).
    """
    m = coefficients.shape[1]
    zero = spectra(np.zeros((1, m)))[0].astype(float)
    directions = spectra(np.eye(m)) - zero
    sample = coefficients[rng.integers(len(coefficients), size=20_000)]
    centre = sample.mean(0)
    # Principal components of the spectra, found through the m x m covariance of their coefficients.
    q, r = np.linalg.qr(directions.T.astype(float))
    _, _, turn = np.linalg.svd((sample - centre) @ r.T, full_matrices=False)
    turn = turn[:n_unit]
    return Lesson(labels, (coefficients - centre) @ r.T @ turn.T, q @ turn.T, zero + centre @ directions)


def lesson_from_spectra(
    labels: np.ndarray,
    flux: np.ndarray,
    used: np.ndarray,
    n_unit: int,
    gradients: PhysicalGradients | None = None,
) -> Lesson:
    """Make a lesson of many spectra with labels, without a teacher: their own principal components.

    Gaps are filled from the components of the spectra that have data there, a few times over (probabilistic principal
    components: Tipping & Bishop 1999).

    Parameters
    ----------
    labels : ndarray, shape (n, n_label)
    flux : ndarray, shape (n, n_pix)
        Pseudo-normalised.
    used : ndarray of bool, shape (n, n_pix)
        False in gaps.
    gradients : PhysicalGradients, optional
        What the components cannot hold of them joins the basis.
    """
    count = used.sum(axis=0)
    mean = np.where(count > 0, np.where(used, flux, 0).sum(axis=0) / np.maximum(count, 1), 1.0)
    known = np.where(used, flux - mean, 0.0)
    filled, gaps = known, np.flatnonzero(~used.all(axis=1))
    for _ in range(FILLS if gaps.size else 1):
        values, basis = _components(filled, n_unit)
        noise, variances = max(values[n_unit:].mean(), 1e-8 * values[0]), values[:n_unit]
        if gradients is not None:
            more = gradients.missing(basis)
            basis = np.hstack([basis, more])
            variances = np.concatenate([variances, np.square(filled @ more).mean(axis=0)])
        coefficients = filled @ basis
        for i in gaps:
            seen = basis[used[i]]
            matrix = seen.T @ seen + np.diag(noise / np.maximum(variances, noise))
            coefficients[i] = np.linalg.solve(matrix, seen.T @ known[i, used[i]])
        filled = np.where(used, known, coefficients @ basis.T)
    # Not the coefficients of the fill-in, which shrink what hardly rises above the noise.
    return Lesson(labels, filled @ basis, basis, mean)


def _components(flux: np.ndarray, n_unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances of all principal components of spectra (n, n_pix), and the first of them, shape (n_pix, n_unit)."""
    if len(flux) < flux.shape[1]:
        _, size, vectors = np.linalg.svd(flux, full_matrices=False)
        return size**2 / len(flux), vectors[:n_unit].T
    values, vectors = np.linalg.eigh(flux.T @ flux / len(flux))
    return values[::-1], vectors[:, ::-1][:, :n_unit]
