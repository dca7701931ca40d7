"""The image of one wavelength bin as a function of the PSF alone: fluxes and sky are solved for whatever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from processing.extraction.layer_model import Unresolved
from processing.extraction.linear import FarWings, NormalFactor, background_matrix, make_stamps
from processing.extraction.psf import PsfShape, constant_psf
from processing.extraction.psf_profiles import SHAPE, Profile, derivatives, like_moffat, shifts
from processing.extraction.psf_residual import basis
from processing.settings import SolveSettings

BRIGHT = 0.05
"""Stars fainter than this share of the PSF stars' median flux tell nothing of what is beside the profile."""
MAX_TELLING = 150


@dataclass(frozen=True)
class Scene:
    """What all bins have in common.

    Parameters
    ----------
    profile : Profile
    x, y, predicted : ndarray, shape (n_star,)
        Stars whose fluxes are fitted: registered positions in spaxels, and predicted fluxes.
    is_psf_star : ndarray of bool, shape (n_star,)
    beyond : tuple of ndarray
        x, y and predicted flux of the stars further off, which shine at their predicted fluxes.
    pivot : tuple of float
        Of the affine position terms, spaxels.
    shape : tuple of int
        (ny, nx) of a layer.
    radius : float
        Of the PSF core, spaxels.
    free : ndarray of int
        Parameters that are fitted.
    solve : SolveSettings
    unresolved : Unresolved, optional
    """

    profile: Profile
    x: np.ndarray
    y: np.ndarray
    predicted: np.ndarray
    is_psf_star: np.ndarray
    beyond: tuple[np.ndarray, np.ndarray, np.ndarray]
    pivot: tuple[float, float]
    shape: tuple[int, int]
    radius: float
    free: np.ndarray
    solve: SolveSettings
    unresolved: Unresolved | None


@dataclass(frozen=True)
class State:
    """The least squares solved at one PSF.

    Parameters
    ----------
    theta : ndarray, shape (n_parameter,)
    weight, residual, stars : ndarray, shape (n_pixel,)
        Weights, data minus model, and the stars' model, on the pixels used.
    flux : ndarray, shape (n_star,)
    chi2, snr : float
        Weighted sum of the squared residuals, and the PSF stars' signal-to-noise.
    matrix, factor
        The stars' PSFs and the factorised normal matrix.
    """

    theta: np.ndarray
    weight: np.ndarray
    residual: np.ndarray
    stars: np.ndarray
    flux: np.ndarray
    chi2: float
    snr: float
    matrix: Any
    factor: NormalFactor


class Projection:
    """Least squares of one image in which fluxes and sky are solved for whatever the PSF's parameters are."""

    def __init__(self, scene: Scene, used: np.ndarray, data: np.ndarray, start: np.ndarray) -> None:
        self.scene, self.data, self.used = scene, data, used
        self.rx, self.ry = scene.x - scene.pivot[0], scene.y - scene.pivot[1]
        dx, dy = shifts(start, self.rx, self.ry)
        x, y = scene.x + dx, scene.y + dy
        self.stamps = make_stamps(x, y, used, scene.radius, scene.solve.far_wings)
        self.star = self.stamps.star
        faint = None
        if scene.unresolved is not None:
            fwhm, beta = like_moffat(scene.profile, start)
            guess = constant_psf("moffat", fwhm, beta, np.array([0.0, 1.0]), *scene.pivot)
            faint = scene.unresolved.image(guess, 0.0, used)
        self.sky = background_matrix(used, scene.solve.sky, scene.solve.sky_side, faint)
        self.wings = FarWings(x, y, scene.shape, scene.radius) if scene.solve.far_wings else None
        self.flux = np.zeros((scene.x.size, 1))
        self.beyond = self._beyond(start)

    def _beyond(self, theta: np.ndarray) -> np.ndarray:
        """Return the light on the used pixels of the stars that are not fitted, at their predicted fluxes."""
        x, y, flux = self.scene.beyond
        if not self.scene.solve.far_wings or not flux.any() or not self.scene.predicted.any():
            return np.zeros_like(self.data)
        dx, dy = shifts(theta, x - self.scene.pivot[0], y - self.scene.pivot[1])
        x, y = x + dx, y + dy
        psf = PsfShape(self.scene.profile, theta)
        stamps = make_stamps(x, y, self.used, self.scene.radius, taper=True)
        near = stamps.matrix(stamps.profile(psf, x, y)).T @ flux
        wings = FarWings(x, y, self.scene.shape, self.scene.radius)
        return near + wings.images(flux[:, None], wings.transfer(psf))[0][self.used]

    def _offsets(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each entry's offset from its star at `theta`."""
        dx, dy = shifts(theta, self.rx, self.ry)
        x, y = self.scene.x + dx - self.stamps.x, self.scene.y + dy - self.stamps.y
        return (
            self.stamps.dx - x.astype(np.float32)[self.star],
            self.stamps.dy - y.astype(np.float32)[self.star],
        )

    def state(self, theta: np.ndarray, weight: np.ndarray) -> State:
        """Solve for fluxes and sky at `theta`."""
        n, psf = self.stamps.x.size, PsfShape(self.scene.profile, theta)
        matrix = self.stamps.matrix(psf(*self._offsets(theta)) * self.stamps.taper)
        factor = NormalFactor(matrix, self.sky, weight)
        target = self.data
        transfer = self.wings.transfer(psf) if self.wings is not None else None
        for _ in range(2 if self.wings is not None else 1):
            if self.wings is not None and transfer is not None:
                target = self.data - self.wings.images(self.flux, transfer)[0][self.used] - self._zero() * self.beyond
            solution = np.zeros((n + self.sky.shape[0], 1))
            for _ in range(2):  # the second round removes the single-precision error of the factor
                residual = target - self._image(matrix, solution)
                solution += factor.solve(self._project(matrix, weight * residual))
            self.flux = solution[:n]
        residual = target - self._image(matrix, solution)
        flux = self.flux[:, 0]
        of_psf_stars = np.maximum(flux[self.scene.is_psf_star], 0.0)
        snr = np.sqrt(np.sum(of_psf_stars**2 * factor.diagonal[self.scene.is_psf_star]))
        chi2 = float((weight * residual**2).sum())
        return State(theta, weight, residual, matrix.T @ flux, flux, chi2, float(snr), matrix, factor)

    def _zero(self) -> float:
        """Return the typical ratio of fitted to predicted flux."""
        known = self.scene.is_psf_star & (self.scene.predicted > 0)
        return float(np.median(self.flux[known, 0] / self.scene.predicted[known])) if known.any() else 0.0

    def slopes(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Return J^T W J and J^T W r of the free parameters, the fluxes projected out (Kaufman's approximation)."""
        _, by = derivatives(self.scene.profile, state.theta, *self._offsets(state.theta))
        by *= self.stamps.taper * state.flux.astype(np.float32)[self.star]
        rx, ry = (r.astype(np.float32)[self.star] for r in (self.rx, self.ry))
        entries = [*by[SHAPE], by[4], by[5], by[4] * rx, by[4] * ry, by[5] * rx, by[5] * ry, *by[6:]]
        columns = [np.bincount(self.stamps.pixel, entries[k], minlength=self.data.size) for k in self.scene.free]
        return self._normal(state, np.stack(columns, axis=1))

    def beside(self, state: State, knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return J^T W J and J^T W r of what the stars have beside the profile, in the components of `basis`."""
        from scipy.sparse import csr_matrix

        level = BRIGHT * float(np.median(state.flux[self.scene.is_psf_star]))
        telling = np.argsort(-state.flux, kind="stable")[:MAX_TELLING]
        entry = np.flatnonzero(np.isin(self.star, telling[state.flux[telling] > level]))
        dx, dy = self._offsets(state.theta)
        flux = state.flux[self.star[entry]].astype(np.float32)
        place = (self.stamps.pixel[entry], np.arange(entry.size))
        light = csr_matrix((flux, place), shape=(self.data.size, entry.size))
        return self._normal(state, light @ basis(knots, dx[entry], dy[entry]))

    def _normal(self, state: State, jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return J^T W J and J^T W r with fluxes and sky projected out of J."""
        weight = state.weight[:, None]
        for _ in range(2):
            step = state.factor.solve(self._project(state.matrix, weight * jacobian))
            jacobian = jacobian - self._image(state.matrix, step)
        return jacobian.T @ (weight * jacobian), jacobian.T @ (state.weight * state.residual)

    def _image(self, matrix: Any, solution: np.ndarray) -> np.ndarray:
        n = self.stamps.x.size
        image = matrix.T @ solution[:n] + self.sky.T @ solution[n:]
        return image[:, 0] if solution.shape[1] == 1 else image

    def _project(self, matrix: Any, image: np.ndarray) -> np.ndarray:
        image = image[:, None] if image.ndim == 1 else image
        return np.concatenate([matrix @ image, self.sky @ image])
