"""The PSF fitted to all stars at once, in wavelength bins, then smoothed to polynomials in wavelength.

Fluxes and sky are projected out (variable projection): only the profile and the affine position terms are iterated.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from processing.extraction import psf_maoppy
from processing.extraction.automatic import WIDE, profile_of
from processing.extraction.bins import BinImage, bin_images
from processing.extraction.blocks import run_blocks
from processing.extraction.layer_model import Layers, Unresolved
from processing.extraction.linear import light_on, narrowest_order
from processing.extraction.psf import PsfModel, constant_psf
from processing.extraction.psf_profiles import Profile, at_wave, first_guess, free_parameters
from processing.extraction.psf_projection import Projection, Scene, State
from processing.extraction.psf_residual import fit_residual, radial_knots
from processing.extraction.psf_smooth import BinFit, smooth
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import PsfSettings, SolveSettings

MAX_PSF_STARS = 60
"""The brightest stars' surroundings suffice; every star that shines into them is modelled."""
MIN_AFFINE_STARS = 10
"""With fewer stars only the offset is fitted."""
MODEL_ERROR = 0.01
"""Assumed error of the PSF relative to the star's own light: keeps one bright star from deciding alone."""
PRIOR_SIGMA = np.array([np.inf, 0.5, 0.15, 0.15, 2.0, 2.0, 3e-3, 3e-3, 3e-3, 3e-3, 1.0, 0.3])
"""Width of the Gaussian priors around the start, so that faint fields stay sensible."""
LOWEST = np.array([0.8, 1.6, -0.6, -0.6, -5.0, -5.0, -0.05, -0.05, -0.05, -0.05, 0.3, 0.0])
WIDEST = 10.0
"""Largest FWHM of a star, spaxels (2 arcsec of seeing): a wider galaxy core must not pass for a star."""
HIGHEST = np.array([WIDEST, 12.0, 0.6, 0.6, 5.0, 5.0, 0.05, 0.05, 0.05, 0.05, 20.0, 0.95])
MIN_LIGHT = 0.1
"""A star with less of its light than this around the PSF stars is held at its predicted flux."""
FINE_SKY = 4.0
"""With sky knots closer than this many FWHM, wings and sky are one: beta is held at the settings' value, because it
would take up what the sky cannot follow (a galaxy) and all fluxes with it."""
MAX_STEPS = 25
LAST_GAIN = 1.0
"""A step that promises to lower chi2 by less than this (one sigma of one parameter) is the last, and not checked."""
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
    images: list[BinImage] | None = None,
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
        Settled: none of its entries is automatic.
    flux : ndarray, shape (n_star,), optional
        Predicted fluxes; only their ratios matter. Without them, the light of stars far from all PSF stars is left to
        the sky, and the PSF's wings with it.
    solve : SolveSettings, optional
        Sky and far wings as the solve will have them.
    unresolved : Unresolved, optional
        Stars that are not in `x`, `y` but shine.
    images : list of BinImage, optional
        The means of `settings.bins` wavelength bins; made here if not given.

    Returns
    -------
    PsfModel
        With no usable bin, the round first guess.
    """
    solve, profile = solve or WIDE.solve, profile_of(settings)
    if images is None:
        images = list(bin_images(cube, settings.bins, progress, cancelled))
    if not images:
        return constant_psf(profile, fwhm, settings.beta, cube.wave, float(x.mean()), float(y.mean()))
    flux = np.zeros(x.size) if flux is None else np.maximum(np.nan_to_num(flux), 0.0)
    fit = _BinFitter(images[0].flux.shape, x, y, snr, flux, fwhm, settings, solve, unresolved)
    quality = [np.median(np.sqrt(image.ivar[image.ivar > 0])) * max(fit.brightness(image), 0.0) for image in images]
    middle = int(np.argmax(quality))
    start = first_guess(profile, fwhm, settings.beta)
    first = fit(images[middle], start, cancelled, rounds=4)
    if first is None:
        return constant_psf(profile, fwhm, settings.beta, cube.wave, *fit.pivot)
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
    model = smooth(fits, cube.wave, fit.free, fit.pivot, fit.n_psf_stars, settings)
    if settings.residual:
        progress(0.9, "Looking for what the PSF's profile lacks")
        model = fit.with_residual(model, images, workers, cancelled)
    progress(1.0, "PSF fitted")
    return model


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
        self.settings, self.shape = settings, shape
        profile = profile_of(settings)
        self.low, self.high, self.prior_sigma = limits(profile)
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
        beyond = x[~shining], y[~shining], flux[~shining]
        order = np.flatnonzero(shining)
        order = order[narrowest_order(x[order], y[order], 2 * self.radius + 1)] if order.size else order
        self.x, self.y = x[order], y[order]
        self.is_psf_star = np.isin(order, bright)
        self.n_psf_stars = int(self.is_psf_star.sum())
        free = free_parameters(profile)
        self.sky_is_fine = solve.sky == "patches" and solve.sky_patch < FINE_SKY * fwhm
        free[1] &= not self.sky_is_fine
        free[6:10] = bright.size >= MIN_AFFINE_STARS
        self.free = np.flatnonzero(free)
        self.scene = Scene(
            profile, self.x, self.y, flux[order], self.is_psf_star, beyond, self.pivot, shape,
            self.radius, self.free, solve, unresolved,
        )  # fmt: skip

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
        start = at_wave(self.scene.profile, start, image.wave)
        theta, weight = start, ivar
        for _ in range(rounds):  # the weights follow the model and its outliers
            problem = Projection(self.scene, used, data, theta)
            state = problem.state(theta, weight)
            if state.snr < MIN_BIN_SNR:
                return None
            weight = _robust_weights(state, data, ivar)
            state, curvature = self._minimise(problem, theta, weight, start, cancelled)
            theta = state.theta
        chi2 = float((weight * state.residual**2).sum() / max((weight > 0).sum() - self.x.size, 1))
        information = np.zeros((theta.size,) * 2)
        prior = np.where(self.free >= 10, 1.0 / self.prior_sigma[self.free] ** 2, 0.0)  # two components may be like one
        information[np.ix_(self.free, self.free)] = curvature / max(chi2, 1.0) + np.diag(prior)
        return BinFit(image.wave, theta, information, float(np.sqrt(chi2)))

    def _minimise(
        self,
        problem: Projection,
        theta: np.ndarray,
        weight: np.ndarray,
        centre: np.ndarray,
        cancelled: CancelCheck,
    ) -> tuple[State, np.ndarray]:
        """Minimise chi2 plus prior at fixed weights; return the last state and J^T W J."""
        prior = 1.0 / self.prior_sigma[self.free] ** 2
        low, high = self.low[self.free], self.high[self.free]

        def cost(s: State) -> float:
            return s.chi2 + float((prior * (s.theta - centre)[self.free] ** 2).sum())

        state = problem.state(theta, weight)
        slopes = problem.slopes(state)
        best, damping = cost(state), 1e-6
        for _ in range(MAX_STEPS):
            stop_if(cancelled)
            at = state.theta[self.free]
            curvature = slopes[0] + np.diag(prior)
            gradient = slopes[1] - prior * (state.theta - centre)[self.free]
            inside = ~(((at >= high) & (gradient > 0)) | ((at <= low) & (gradient < 0)))
            step = np.zeros_like(gradient)
            damped = curvature + damping * np.diag(np.diag(curvature))
            step[inside] = np.linalg.solve(damped[np.ix_(inside, inside)], gradient[inside])
            trial = state.theta.copy()
            trial[self.free] += step
            trial = np.clip(trial, self.low, self.high)
            if step @ gradient < LAST_GAIN:
                return replace(state, theta=trial), slopes[0]
            if damping > 1e6:
                break
            new = problem.state(trial, weight)
            if cost(new) < best:
                state, slopes, best, damping = new, problem.slopes(new), cost(new), damping * 0.1
            else:
                damping = max(damping, 1e-5) * 10.0
        return state, slopes[0]

    def with_residual(self, model: PsfModel, images: list[BinImage], workers: int, cancelled: CancelCheck) -> PsfModel:
        """Return the model with what the stars have beside its profile."""
        knots = radial_knots(float(np.median(model.fwhm(model.bin_wave))), self.radius)
        fitted = dict(zip(model.bin_wave.tolist(), model.bin_used.tolist(), strict=True))
        used = {f"{image.wave:.3f}": image for image in images if fitted.get(image.wave)}

        def work(image: BinImage, stop: CancelCheck) -> dict[str, np.ndarray]:
            stop_if(stop)
            pixels = self.near & (image.ivar > 0)
            theta, ivar = model.parameters(image.wave), image.ivar[pixels]
            problem = Projection(self.scene, pixels, image.flux[pixels], theta)
            state = problem.state(theta, ivar)
            weight = forgiving_weights(state, pixels, ivar, float(model.fwhm(image.wave)))
            normal, right = problem.beside(problem.state(theta, weight), knots)
            return {"normal": normal, "right": right}

        done = dict(run_blocks(used, work, workers, None, cancelled))
        if not done:
            return model
        wave = np.array([image.wave for image in used.values()])
        middle = model.at(float(wave[wave.size // 2]))
        normals, rights = (np.stack([done[key][name] for key in used]) for name in ("normal", "right"))
        return replace(model, residual=fit_residual(knots, middle, model.variable(wave), normals, rights))


def limits(profile: Profile) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lowest and highest values of a profile's parameters, and the widths of their priors."""
    if profile == "maoppy":
        return psf_maoppy.LOWEST, psf_maoppy.HIGHEST, psf_maoppy.PRIOR_SIGMA
    return LOWEST, HIGHEST, PRIOR_SIGMA


def core_radius(settings: PsfSettings, fwhm: float, shape: tuple[int, ...]) -> float:
    """Return the radius of the PSF core in spaxels: the settings' or four FWHM, at most the size of the field."""
    return float(min(max(settings.radius, 4.0 * fwhm), max(shape)))


def _robust_weights(state: State, data: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Return weights that allow for an imperfect PSF and leave out outliers (cosmic rays, unlisted stars)."""
    weight = 1.0 / (1.0 / ivar + (MODEL_ERROR * state.stars) ** 2)
    chi = np.abs(state.residual) * np.sqrt(weight)
    limit = 5.0 * max(1.4826 * float(np.median(chi)), 1.0)
    return np.where(chi < limit, weight, 0.0)


def forgiving_weights(state: State, pixels: np.ndarray, ivar: np.ndarray, fwhm: float) -> np.ndarray:
    """Return weights that leave out what no error of a star's profile can explain.

    A pixel is left out where its residual exceeds half the brightest light of stars within one FWHM.
    """
    from scipy.ndimage import maximum_filter

    light = np.zeros(pixels.shape)
    light[pixels] = state.stars
    around = maximum_filter(light, 2 * int(np.ceil(fwhm)) + 1)[pixels]
    weight = 1.0 / (1.0 / ivar + (MODEL_ERROR * state.stars) ** 2)
    strange = (np.abs(state.residual) * np.sqrt(weight) > 5.0) & (np.abs(state.residual) > 0.5 * around)
    return np.where(strange, 0.0, weight)
