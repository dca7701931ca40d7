"""The linear model of a batch of neighbouring layers, and its solution by preconditioned conjugate gradients."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from processing.errors import Cancelled
from processing.extraction.linear import (
    FarWings,
    NormalFactor,
    Stamps,
    background_matrix,
    make_stamps,
    narrowest_order,
)
from processing.extraction.psf import PsfModel
from processing.progress import CancelCheck
from processing.settings import SolveSettings

MAX_STEPS = 40
UNRESOLVED_RADIUS = 2.5
"""Unresolved stars are painted out to this many FWHM."""


class Layers(Protocol):
    """What the solver reads of a cube."""

    @property
    def wave(self) -> np.ndarray:
        """Wavelengths of the layers in Angstrom."""

    def block(self, start: int, stop: int) -> Any:
        """Return ``flux`` and ``ivar``, each (n, ny, nx), 0 where masked."""


@dataclass(frozen=True)
class Unresolved:
    """Known stars that are too faint or too crowded to be solved for one by one.

    Their common image is one more component, with a free scale in every layer. Left to the sky, they would bias it and
    with it all other stars.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Registered positions, spaxels.
    flux : ndarray, shape (n,)
        Predicted fluxes; only their ratios matter.
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray

    def image(self, psf: PsfModel, wave: float, used: np.ndarray) -> np.ndarray:
        """Return their image on the used pixels, shape (n_pixel,), with a highest value of 1."""
        x, y = psf.positions(self.x, self.y, wave)
        stamps = make_stamps(x, y, used, UNRESOLVED_RADIUS * float(psf.fwhm(wave)), taper=False)
        data = stamps.profile(psf.at(wave), x, y) * self.flux[stamps.star]
        image = np.bincount(stamps.pixel, data, minlength=stamps.n_pixel)
        return image / max(float(image.max(initial=0.0)), 1e-30)


@dataclass(frozen=True)
class StarField:
    """What all layers have in common: the stars that are solved for, the PSF, and how to solve.

    Parameters
    ----------
    x, y : ndarray, shape (n_star,)
        Registered positions, 0-based spaxels.
    psf : PsfModel
    shape : tuple of int
        (ny, nx) of a layer.
    radius : float
        Radius of the PSF core in spaxels.
    settings : SolveSettings
    unresolved : Unresolved, optional
    """

    x: np.ndarray
    y: np.ndarray
    psf: PsfModel
    shape: tuple[int, int]
    radius: float
    settings: SolveSettings
    unresolved: Unresolved | None = None
    order: np.ndarray = field(init=False)
    """Star numbers in the order that keeps the normal matrix's band narrow."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", narrowest_order(self.x, self.y, 2.0 * self.radius + 1.0))


class LayerModel:
    """The linear model of a batch: PSFs that change from layer to layer, sky patches, and the shared factor."""

    def __init__(self, stars: StarField, used: np.ndarray, wave: np.ndarray, weight: np.ndarray) -> None:
        psf, settings, self.order = stars.psf, stars.settings, stars.order
        x, y = stars.x[self.order], stars.y[self.order]
        ends = float(wave[0]), float(wave[-1])
        places = [psf.positions(x, y, w) for w in ends]
        middle = np.mean(places, axis=0)
        self.fwhm = float(psf.fwhm(np.array(ends)).mean())
        self.stamps: Stamps = make_stamps(middle[0], middle[1], used, stars.radius, settings.far_wings)
        first, last = (self.stamps.profile(psf.at(w), *xy) for w, xy in zip(ends, places, strict=True))
        self.mean = self.stamps.matrix(0.5 * (first + last))
        self.slope = self.stamps.matrix(last - first)
        span = max(ends[1] - ends[0], 1e-9)
        self.along = ((wave - ends[0]) / span - 0.5).astype(np.float32)  # position in the batch, -1/2 to 1/2
        faint = None if stars.unresolved is None else stars.unresolved.image(psf, float(wave.mean()), used)
        self.sky = background_matrix(used, settings.sky, settings.sky_side, faint)
        self.n_star, self.n_sky = self.order.size, self.sky.shape[0]
        self.factor = NormalFactor(self.mean, self.sky, weight)
        self.used = used
        self.wings = FarWings(middle[0], middle[1], stars.shape, stars.radius) if settings.far_wings else None
        self._transfer = None
        if self.wings is not None:
            self._transfer = self.wings.transfer(psf.at(0.5 * (ends[0] + ends[1])))

    def only(self, layers: np.ndarray) -> LayerModel:
        """Return the model of some of the layers; matrices and factor are shared."""
        model = copy(self)
        model.along = self.along[layers]
        return model

    def mean_solution(self, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the solution (n_star + n_sky, 1) for the weighted mean of the layers, without far wings."""
        mean = np.einsum("ij,ij->i", weight, data)[:, None] / weight.any(0).sum()
        solution = self.factor.solve(np.concatenate([self.mean @ mean, self.sky @ mean]))
        return solution.astype(np.float32)

    def star_image(self, solution: np.ndarray) -> np.ndarray:
        """Return the stars' model (n_pixel, n), without far wings."""
        flux = solution[: self.n_star]
        return self.mean.T @ flux + self.slope.T @ (flux * self.along)

    def image(self, solution: np.ndarray) -> np.ndarray:
        """Return the model of stars and sky (n_pixel, n), without far wings."""
        image = self.star_image(solution)
        image += self.sky.T @ solution[self.n_star :]
        return image

    def project(self, image: np.ndarray) -> np.ndarray:
        """Return the transpose of `image`: sums of PSF x image, shape (n_star + n_sky, n)."""
        stars = self.mean @ image + self.along * (self.slope @ image)
        return np.concatenate([stars, self.sky @ image])

    def far_wings(self, solution: np.ndarray) -> np.ndarray:
        """Return the stars' light outside their stamps (n_pixel, n)."""
        assert self.wings is not None
        assert self._transfer is not None
        return self.wings.images(solution[: self.n_star], self._transfer)[:, self.used].T

    def conjugate_gradients(
        self, data: np.ndarray, weight: np.ndarray, start: np.ndarray, tolerance: float, cancelled: CancelCheck
    ) -> np.ndarray:
        """Solve each layer's normal equations, from `start`, until no star changes by `tolerance` sigma."""
        x = start
        residual = self.project(weight * (data - self.image(x)))
        sigma = np.sqrt(self.factor.diagonal)[:, None]
        direction = None
        last = np.ones(data.shape[1])
        for _ in range(MAX_STEPS):
            if cancelled():
                raise Cancelled
            step = self.factor.solve(residual).astype(np.float32)
            if np.abs(step[: self.n_star] * sigma).max(initial=0.0) < tolerance:
                return x + step
            now = np.einsum("ij,ij->j", residual, step, dtype=np.float64)
            if direction is None:
                direction = step
            else:
                direction = step + direction * ratio(now, last).astype(np.float32)
            product = self.project(weight * self.image(direction))
            length = ratio(now, np.einsum("ij,ij->j", direction, product, dtype=np.float64)).astype(np.float32)
            x = x + length * direction
            residual = residual - length * product
            last = now
        return x


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b, and 0 where b is not positive (a layer that has converged)."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
