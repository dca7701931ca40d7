"""The PSF fitted to all stars at once, in wavelength bins, then smoothed to polynomials in wavelength.

Fluxes and sky are projected out (variable projection): only the profile and the affine position terms are iterated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from processing.errors import Cancelled
from processing.extraction.bins import BinImage, bin_images
from processing.extraction.blocks import run_blocks
from processing.extraction.layer_model import Layers, Unresolved
from processing.extraction.linear import (
    FarWings,
    NormalFactor,
    background_matrix,
    light_on,
    make_stamps,
    narrowest_order,
)
from processing.extraction.psf import N_SHAPE, PARAMETERS, PsfModel, constant_psf, derivatives, shifts
from processing.extraction.psf_smooth import BinFit, smooth
from processing.progress import CancelCheck, Progress, ignore, never
from processing.settings import PsfSettings, SolveSettings

MAX_PSF_STARS = 60
"""The brightest stars' surroundings suffice; every star that shines into them is modelled."""
MIN_AFFINE_STARS = 10
"""With fewer stars only the offset is fitted."""
MODEL_ERROR = 0.01
"""Assumed error of the PSF relative to the star's own light: keeps one bright star from deciding alone."""
PRIOR_SIGMA = np.array([np.inf, 0.5, 0.15, 0.15, 2.0, 2.0, 3e-3, 3e-3, 3e-3, 3e-3])
"""Width of the Gaussian priors around the start, so that faint fields stay sensible."""
LOWEST = np.array([0.8, 1.6, -0.6, -0.6, -5.0, -5.0, -0.05, -0.05, -0.05, -0.05])
WIDEST = 10.0
"""Largest FWHM of a star, spaxels (2 arcsec of seeing): a wider galaxy core must not pass for a star."""
HIGHEST = np.array([WIDEST, 12.0, 0.6, 0.6, 5.0, 5.0, 0.05, 0.05, 0.05, 0.05])
MIN_LIGHT = 0.1
"""A star with less of its light than this around the PSF stars is held at its predicted flux."""
FINE_SKY = 4.0
"""With sky knots closer than this many FWHM, wings and sky are one: beta is held at the settings' value, because it
would take up what the sky cannot follow (a galaxy) and all fluxes with it."""
MAX_STEPS = 25
MIN_GAIN = 0.02
"""A step that promises to lower chi2 by less than this is not worth taking (0.1 sigma of one parameter)."""
MIN_BIN_SNR = 20.0
"""Bins in which the PSF stars together have less than this are skipped."""


def fit_psf(
    cube: Layers,
    x: np.ndarray,
    y: np.ndarray,
    snr: np.ndarray,
    fwhm: float,
    settings: PsfSettings,
    *,
    flux: np.ndarray | None = None,
    solve: SolveSettings | None = None,
    unresolved: Unresolved | None = None,
    workers: int = 1,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> PsfModel:
    """Fit the PSF of `cube` on the stars at (x, y).

    Parameters
    ----------
    cube : MuseCube
    x, y : ndarray, shape (n_star,)
        Registered positions of all stars that are modelled, 0-based spaxels.
    snr : ndarray, shape (n_star,)
        Predicted signal-to-noise per layer; NaN or negative for stars that must not count as PSF stars.
    fwhm : float
        First guess in spaxels.
    settings : PsfSettings
    flux : ndarray, shape (n_star,), optional
        Predicted fluxes; only their ratios matter. Without them, the light of stars far from all PSF stars is left to
        the sky, and the PSF's wings with it.
    solve : SolveSettings, optional
        Sky and far wings as the solve will have them.
    unresolved : Unresolved, optional
        Stars that are not in `x`, `y` but shine.

    Returns
    -------
    PsfModel
        With no usable bin, the round first guess.
    """
    solve = solve or SolveSettings()
    images = list(bin_images(cube, settings.bins, progress, cancelled))
    if not images:
        return constant_psf(settings.profile, fwhm, settings.beta, cube.wave, float(x.mean()), float(y.mean()))
    flux = np.zeros(x.size) if flux is None else np.maximum(np.nan_to_num(flux), 0.0)
    fit = _BinFitter(images[0].flux.shape, x, y, snr, flux, fwhm, settings, solve, unresolved)
    quality = [np.median(np.sqrt(image.ivar[image.ivar > 0])) * max(fit.brightness(image), 0.0) for image in images]
    middle = int(np.argmax(quality))
    start = np.zeros(len(PARAMETERS))
    start[:2] = fwhm, settings.beta
    first = fit(images[middle], start, cancelled, rounds=4)
    if first is None:
        return constant_psf(settings.profile, fwhm, settings.beta, cube.wave, *fit.pivot)
    chains = {"up": images[middle + 1 :], "down": images[:middle][::-1]}

    def work(chain: list[BinImage], stop: CancelCheck) -> dict[str, list[BinFit]]:
        fits, last = [], first.values
        for image in chain:
            found = fit(image, last, stop)
            if found is not None:
                fits.append(found)
                last = found.values
        return {"fits": fits}

    done = dict(run_blocks(chains, work, workers, None, cancelled))
    fits = sorted([first, *done["up"]["fits"], *done["down"]["fits"]], key=lambda f: f.wave)
    progress(1.0, "PSF fitted")
    return smooth(fits, cube.wave, fit.free, fit.pivot, fit.n_psf_stars, settings)


class _BinFitter:
    """Fits one bin's PSF; holds what all bins share."""

    def __init__(
        self,
        shape: tuple[int, int],
        x: np.ndarray,
        y: np.ndarray,
        snr: np.ndarray,
        flux: np.ndarray,
        fwhm: float,
        settings: PsfSettings,
        solve: SolveSettings,
        unresolved: Unresolved | None,
    ) -> None:
        self.settings, self.solve, self.shape, self.unresolved = settings, solve, shape, unresolved
        self.radius = core_radius(settings, fwhm, shape)
        bright = np.argsort(-np.nan_to_num(snr, nan=-1.0), kind="stable")[:MAX_PSF_STARS]
        bright = bright[np.nan_to_num(snr[bright], nan=-1.0) > 0]
        self.pivot = (float(x[bright].mean()), float(y[bright].mean())) if bright.size else (0.0, 0.0)
        yy, xx = np.indices(shape)
        near = np.zeros(shape, bool)
        for i in bright:
            near |= (xx - x[i]) ** 2 + (yy - y[i]) ** 2 < self.radius**2
        self.near = near
        shining = light_on(near, x, y, fwhm, self.radius) > MIN_LIGHT
        self.beyond = x[~shining], y[~shining], flux[~shining]
        order = np.flatnonzero(shining)
        order = order[narrowest_order(x[order], y[order], 2 * self.radius + 1)] if order.size else order
        self.x, self.y, self.predicted = x[order], y[order], flux[order]
        self.is_psf_star = np.isin(order, bright)
        self.n_psf_stars = int(self.is_psf_star.sum())
        free = np.ones(len(PARAMETERS), bool)
        free[1] = settings.profile == "moffat" and not (solve.sky == "patches" and solve.sky_patch < FINE_SKY * fwhm)
        free[6:] = bright.size >= MIN_AFFINE_STARS
        self.free = np.flatnonzero(free)

    def brightness(self, image: BinImage) -> float:
        """Return the median flux of the pixels at the PSF stars' positions, above the image's median."""
        ny, nx = self.shape
        x = np.clip(np.rint(self.x[self.is_psf_star]).astype(int), 0, nx - 1)
        y = np.clip(np.rint(self.y[self.is_psf_star]).astype(int), 0, ny - 1)
        good = image.ivar[y, x] > 0
        if not good.any():
            return 0.0
        return float(np.median(image.flux[y, x][good]) - np.median(image.flux[image.ivar > 0]))

    def __call__(self, image: BinImage, start: np.ndarray, cancelled: CancelCheck, rounds: int = 2) -> BinFit | None:
        """Fit one bin by Levenberg-Marquardt from `start`; None where the stars are too faint there."""
        used = self.near & (image.ivar > 0)
        if used.sum() < 30:
            return None
        data, ivar = image.flux[used], image.ivar[used]
        theta, weight = start, ivar
        for _ in range(rounds):  # the weights follow the model and its outliers
            problem = _Projection(self, used, data, theta)
            state = problem.state(theta, weight)
            if state.snr < MIN_BIN_SNR:
                return None
            weight = _robust_weights(state, data, ivar)
            theta, state = self._minimise(problem, theta, weight, start, cancelled)
        chi2 = float((weight * state.residual**2).sum() / max((weight > 0).sum() - self.x.size, 1))
        information = np.zeros((theta.size,) * 2)
        information[np.ix_(self.free, self.free)] = state.curvature / max(chi2, 1.0)
        return BinFit(image.wave, theta, information, float(np.sqrt(chi2)))

    def _minimise(
        self,
        problem: _Projection,
        theta: np.ndarray,
        weight: np.ndarray,
        centre: np.ndarray,
        cancelled: CancelCheck,
    ) -> tuple[np.ndarray, _State]:
        """Minimise chi2 plus prior at fixed weights."""
        prior = 1.0 / PRIOR_SIGMA[self.free] ** 2
        state = problem.state(theta, weight, slopes=True)

        def cost(s: _State, t: np.ndarray) -> float:
            return s.chi2 + float((prior * (t - centre)[self.free] ** 2).sum())

        best, damping = cost(state, theta), 1e-6
        for _ in range(MAX_STEPS):
            if cancelled():
                raise Cancelled
            curvature = state.curvature + np.diag(prior)
            gradient = state.gradient - prior * (theta - centre)[self.free]
            at, low, high = theta[self.free], LOWEST[self.free], HIGHEST[self.free]
            inside = ~(((at >= high) & (gradient > 0)) | ((at <= low) & (gradient < 0)))
            step = np.zeros_like(gradient)
            damped = curvature + damping * np.diag(np.diag(curvature))
            step[inside] = np.linalg.solve(damped[np.ix_(inside, inside)], gradient[inside])
            if step @ gradient < MIN_GAIN or damping > 1e6:
                break
            trial = theta.copy()
            trial[self.free] += step
            trial = np.clip(trial, LOWEST, HIGHEST)
            new = problem.state(trial, weight, slopes=True)
            value = cost(new, trial)
            if value < best:
                theta, state, best, damping = trial, new, value, damping * 0.1
            else:
                damping = max(damping, 1e-5) * 10.0
        return theta, state


@dataclass(frozen=True)
class _State:
    """Where the projected least squares stands: residual, star model, chi2, and its slopes if asked for."""

    residual: np.ndarray
    stars: np.ndarray
    chi2: float
    snr: float
    curvature: np.ndarray
    gradient: np.ndarray


class _Projection:
    """Least squares of one image in which fluxes and sky are solved for whatever the PSF's parameters are."""

    def __init__(self, fitter: _BinFitter, used: np.ndarray, data: np.ndarray, start: np.ndarray) -> None:
        self.fitter, self.data, self.used = fitter, data, used
        self.profile = fitter.settings.profile
        self.rx, self.ry = fitter.x - fitter.pivot[0], fitter.y - fitter.pivot[1]
        dx, dy = shifts(start, self.rx, self.ry)
        x, y = fitter.x + dx, fitter.y + dy
        self.stamps = make_stamps(x, y, used, fitter.radius, fitter.solve.far_wings)
        self.star = self.stamps.star
        faint = None
        if fitter.unresolved is not None:
            fwhm, beta = start[:2].tolist()
            guess = constant_psf(self.profile, fwhm, beta, np.array([0.0, 1.0]), *fitter.pivot)
            faint = fitter.unresolved.image(guess, 0.0, used)
        self.sky = background_matrix(used, fitter.solve.sky, fitter.solve.sky_patch, faint)
        self.wings = FarWings(x, y, fitter.shape, fitter.radius) if fitter.solve.far_wings else None
        self.flux = np.zeros((fitter.x.size, 1))
        self.beyond = self._beyond(start)

    def _beyond(self, theta: np.ndarray) -> np.ndarray:
        """Return the light on the used pixels of the stars that are not fitted, at their predicted fluxes."""
        x, y, flux = self.fitter.beyond
        if not self.fitter.solve.far_wings or not flux.any() or not self.fitter.predicted.any():
            return np.zeros_like(self.data)
        dx, dy = shifts(theta, x - self.fitter.pivot[0], y - self.fitter.pivot[1])
        x, y = x + dx, y + dy
        stamps = make_stamps(x, y, self.used, self.fitter.radius, taper=True)
        near = stamps.matrix(stamps.profile(self.profile, theta, x, y)).T @ flux
        wings = FarWings(x, y, self.fitter.shape, self.fitter.radius)
        return near + wings.images(flux[:, None], wings.transfer(self.profile, theta))[0][self.used]

    def state(self, theta: np.ndarray, weight: np.ndarray, slopes: bool = False) -> _State:
        """Solve for fluxes and sky at `theta` and return the residual and, if asked, its slopes by `theta`."""
        n = self.stamps.x.size
        sx, sy = shifts(theta, self.rx, self.ry)
        dx = self.stamps.dx - (self.fitter.x + sx - self.stamps.x)[self.star]
        dy = self.stamps.dy - (self.fitter.y + sy - self.stamps.y)[self.star]
        value, by = derivatives(self.profile, theta, dx, dy)
        matrix = self.stamps.matrix(value * self.stamps.taper)
        factor = NormalFactor(matrix, self.sky, weight)
        target = self.data
        transfer = self.wings.transfer(self.profile, theta) if self.wings is not None else None
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
        psf_flux = flux[self.fitter.is_psf_star]
        snr = np.sqrt(np.sum(np.maximum(psf_flux, 0) ** 2 * factor.diagonal[self.fitter.is_psf_star]))
        chi2 = float((weight * residual**2).sum())
        curvature, gradient = np.zeros((0, 0)), np.zeros(0)
        if slopes:
            curvature, gradient = self._slopes(
                by * self.stamps.taper * flux[self.star], matrix, factor, weight, residual
            )
        return _State(residual, matrix.T @ flux, chi2, float(snr), curvature, gradient)

    def _zero(self) -> float:
        """Return the typical ratio of fitted to predicted flux."""
        known = self.fitter.is_psf_star & (self.fitter.predicted > 0)
        return float(np.median(self.flux[known, 0] / self.fitter.predicted[known])) if known.any() else 0.0

    def _slopes(
        self, by: np.ndarray, matrix: Any, factor: NormalFactor, weight: np.ndarray, residual: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return J^T W J and J^T W r with the fluxes projected out (Kaufman's approximation)."""
        rx, ry = self.rx[self.star], self.ry[self.star]
        entries = [*by[:N_SHAPE], by[4], by[5], by[4] * rx, by[4] * ry, by[5] * rx, by[5] * ry]
        columns = [np.bincount(self.stamps.pixel, entries[k], minlength=self.data.size) for k in self.fitter.free]
        jacobian = np.stack(columns, axis=1)
        for _ in range(2):
            jacobian = jacobian - self._image(matrix, factor.solve(self._project(matrix, weight[:, None] * jacobian)))
        return jacobian.T @ (weight[:, None] * jacobian), jacobian.T @ (weight * residual)

    def _image(self, matrix: Any, solution: np.ndarray) -> np.ndarray:
        n = self.stamps.x.size
        image = matrix.T @ solution[:n] + self.sky.T @ solution[n:]
        return image[:, 0] if solution.shape[1] == 1 else image

    def _project(self, matrix: Any, image: np.ndarray) -> np.ndarray:
        image = image[:, None] if image.ndim == 1 else image
        return np.concatenate([matrix @ image, self.sky @ image])


def core_radius(settings: PsfSettings, fwhm: float, shape: tuple[int, ...]) -> float:
    """Return the radius of the PSF core in spaxels: the settings' or four FWHM, at most the size of the field."""
    return float(min(max(settings.radius, 4.0 * fwhm), max(shape)))


def _robust_weights(state: _State, data: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Return weights that allow for an imperfect PSF and leave out outliers (cosmic rays, unlisted stars)."""
    weight = 1.0 / (1.0 / ivar + (MODEL_ERROR * state.stars) ** 2)
    chi = np.abs(state.residual) * np.sqrt(weight)
    limit = 5.0 * max(1.4826 * float(np.median(chi)), 1.0)
    return np.where(chi < limit, weight, 0.0)
