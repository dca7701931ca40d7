"""Aligning a star list with an image: the list's mock image is moved until it fits, by non-linear least squares.

The mock image is filtered as the data are. Blends are in both, so crowding and a narrow range of magnitudes harm
neither the position nor the judgement whether list and image belong together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from processing.extraction.linear import make_stamps
from processing.extraction.peaks import MAX_FWHM, MIN_FWHM
from processing.extraction.psf_profiles import derivatives, first_guess

Terms = Literal["none", "offset", "rotation", "affine"]

N_TERMS: dict[Terms, int] = {"none": 0, "offset": 2, "rotation": 3, "affine": 6}
MAX_STARS = 500
"""The brightest stars on the image that are painted."""
STAMP = 2.5
"""Radius of the painted stars in FWHM; light further out is smooth and filtered away."""
SMOOTH = 3.0
"""Width (sigma) of the smoothing that takes the background away, FWHM."""
BETA = 2.5
OUTLIER = 0.5
"""Differences between the compressed images beyond this count less (Cauchy's loss): saturated or unlisted stars."""
PER_STAR = 4.0
"""Resolution elements that one star can decide: two or three of a foreign list's stars are soon laid over others."""
MAX_STEPS = 15
ENOUGH = 1e-4
"""The fit ends with a step that lowers the cost by less than this fraction."""


@dataclass(frozen=True)
class Alignment:
    """A correction of the list's positions, and how well its mock image then fits.

    Parameters
    ----------
    matrix : ndarray, shape (2, 3)
        Takes (x, y, 1), counted from the image's centre, to the correction.
    terms : {"none", "offset", "rotation", "affine"}
        What was fitted.
    fwhm : float
        Of the mock image's stars, spaxels.
    zero : float
        Natural logarithm of the flux of a star of relative flux 1.
    cost : float
        Sum of squared differences, robust.
    correlation : float
        Pearson's, of both filtered images.
    n_element : float
        Number of resolution elements that carry the mock image's structure.
    """

    matrix: np.ndarray
    terms: Terms
    fwhm: float
    zero: float
    cost: float = np.inf
    correlation: float = 0.0
    n_element: float = 0.0

    @property
    def significance(self) -> float:
        """Of the correlation, in sigma (Fisher's transformation)."""
        return float(np.arctanh(min(self.correlation, 0.999)) * np.sqrt(max(self.n_element - 3.0, 0.0)))

    @property
    def price(self) -> float:
        """Bayesian information criterion: lower where more terms are worth it."""
        n = max(self.n_element, 2.0)
        return float(n * np.log(1.0 - min(self.correlation, 0.9999) ** 2) + N_TERMS[self.terms] * np.log(n))


class Aligner:
    """Fits a star list's mock image to an image.

    Parameters
    ----------
    white : ndarray, shape (ny, nx)
        NaN where there are no data.
    points : ndarray, shape (n, 2)
        The list's positions, counted from the image's centre; NaN if unknown.
    flux : ndarray, shape (n,)
        Relative fluxes.
    fwhm : float
        First guess, spaxels.
    """

    def __init__(self, white: np.ndarray, points: np.ndarray, flux: np.ndarray, fwhm: float) -> None:
        self.points, self.flux, self.fwhm = points, flux, fwhm
        self.good = np.isfinite(white)
        self.centre = (np.array(white.shape[::-1]) - 1) / 2.0
        self._covered = np.maximum(self._blur(self.good.astype(float)), 0.05)
        self.contrast = self._high_pass(np.where(self.good, white - np.median(white[self.good]), 0.0))
        values = self.contrast[self.good]
        self.unit = 4.5 * float(np.median(np.abs(values - np.median(values)))) or float(np.ptp(values)) or 1.0
        self.data = np.arcsinh(self.contrast / self.unit)
        """The filtered image: arcsinh, so that many stars decide and not the brightest one."""

    def start(self, matrix: np.ndarray) -> Alignment:
        """Return a correction to start from, with the flux scale read off the image."""
        stars = self.near(matrix)
        if stars.size == 0:
            return Alignment(matrix, "none", self.fwhm, 0.0)
        mock = self._high_pass(self._paint(stars, matrix, self.fwhm)[0])
        bright = self.good & (mock >= max(np.percentile(mock[self.good], 70), 1e-3 * mock.max()))
        ratio = float(np.median(self.contrast[bright] / mock[bright])) if mock.max() > 0 else 0.0
        return Alignment(matrix, "none", self.fwhm, float(np.log(max(ratio, 0.1 * self.unit / max(mock.max(), 1e-30)))))

    def fit(self, start: Alignment, terms: Terms, steps: int = MAX_STEPS) -> Alignment:
        """Improve position terms, flux scale and width from `start` by Levenberg-Marquardt steps."""
        stars = self.near(start.matrix)
        if stars.size == 0:
            return start
        theta = np.concatenate([[start.zero, start.fwhm], np.zeros(N_TERMS[terms])])
        best, curvature, gradient = self._state(stars, start, terms, theta)
        damping = 1e-3
        for _ in range(steps):
            diagonal = np.diag(curvature)
            floor = 1e-9 * diagonal.max() + 1e-30
            step = np.linalg.solve(curvature + np.diag(damping * diagonal + floor), gradient)
            move = np.abs(step[2:4]).max(initial=0.0) / (0.5 * self.fwhm)
            step /= max(1.0, move, np.abs(step[:2]).max() / 0.7)
            trial = theta + step
            trial[1] = np.clip(trial[1], MIN_FWHM, MAX_FWHM)
            found, new_curvature, new_gradient = self._state(stars, start, terms, trial)
            gain = best.cost - found.cost
            if gain > 0:
                theta, best, curvature, gradient = trial, found, new_curvature, new_gradient
                damping *= 0.3
                if gain < ENOUGH * best.cost:
                    break
            else:
                damping = 10.0 * max(damping, 1e-2)
                if damping > 1e3:
                    break
        return best

    def near(self, matrix: np.ndarray) -> np.ndarray:
        """Return the brightest stars that are on the image once corrected."""
        moved = self.points + self.points @ matrix[:, :2].T + matrix[:, 2]
        on = np.flatnonzero((np.abs(moved) < self.centre + self.fwhm).all(1))
        return on[np.argsort(-self.flux[on], kind="stable")[:MAX_STARS]]

    def _blur(self, image: np.ndarray) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        return np.asarray(gaussian_filter(image, SMOOTH * self.fwhm, mode="constant", truncate=3.0))

    def _high_pass(self, image: np.ndarray) -> np.ndarray:
        """Return the image without its smooth background; 0 where there are no data."""
        return np.where(self.good, image - self._blur(np.where(self.good, image, 0.0)) / self._covered, 0.0)

    def _paint(self, stars: np.ndarray, matrix: np.ndarray, fwhm: float) -> np.ndarray:
        """Return the list's image and its slopes by FWHM, dx, dy, xx, xy, yx, yy (see `psf_profiles.PARAMETERS`)."""
        p = self.points[stars]
        at = p + p @ matrix[:, :2].T + matrix[:, 2] + self.centre
        stamps = make_stamps(at[:, 0], at[:, 1], np.ones_like(self.good), STAMP * self.fwhm, taper=True)
        parameters = first_guess("moffat", fwhm, BETA)
        value, by = derivatives("moffat", parameters, stamps.dx, stamps.dy)
        by_x, by_y = by[4], by[5]
        share = stamps.taper * self.flux[stars][stamps.star]
        px, py = p[stamps.star].T
        entries = [value, by[0], by_x, by_y, by_x * px, by_x * py, by_y * px, by_y * py]
        images = [np.bincount(stamps.pixel, e * share, minlength=self.good.size) for e in entries]
        return np.stack(images).reshape(len(entries), *self.good.shape)

    def _state(
        self, stars: np.ndarray, start: Alignment, terms: Terms, theta: np.ndarray
    ) -> tuple[Alignment, np.ndarray, np.ndarray]:
        """Return the alignment at `theta` with J^T W J and J^T W r."""
        matrix = start.matrix + _correction(terms, theta[2:])
        zero, fwhm = theta[:2].tolist()
        value, by_fwhm, dx, dy, xx, xy, yx, yy = np.exp(zero) * self._paint(stars, matrix, fwhm)
        value = self._high_pass(value)  # the slopes are as good without: they only guide the search
        columns = [value, by_fwhm, *{"none": [], "offset": [dx, dy], "rotation": [dx, dy, yx - xy],
                                     "affine": [dx, dy, xx, xy, yx, yy]}[terms]]  # fmt: skip
        slope = 1.0 / np.hypot(self.unit, value)
        model, data = np.arcsinh(value / self.unit)[self.good], self.data[self.good]
        jacobian = np.stack([(slope * c)[self.good] for c in columns], axis=1)
        residual = data - model
        weight = 1.0 / (1.0 + (residual / OUTLIER) ** 2)
        cost = OUTLIER**2 * float(np.log1p((residual / OUTLIER) ** 2).sum())
        correlation = float(np.corrcoef(data, model)[0, 1]) if np.ptp(model) > 0 and np.ptp(data) > 0 else 0.0
        structure = (model - model.mean()) ** 2
        filled = 3.0 * structure.sum() ** 2 / max((structure**2).sum(), 1e-30)  # all pixels, were they Gaussian noise
        n_element = min(float(filled), float(data.size)) / (0.5 * np.pi * fwhm**2)
        n_element = min(n_element, PER_STAR * stars.size)
        found = Alignment(matrix, terms, fwhm, zero, cost, correlation, n_element)
        return found, jacobian.T @ (weight[:, None] * jacobian), jacobian.T @ (weight * residual)


def _correction(terms: Terms, values: np.ndarray) -> np.ndarray:
    """Return the matrix (2, 3) of an offset, an offset and a small angle, or an offset and four linear terms."""
    if terms == "none":
        return np.zeros((2, 3))
    linear = values[2:].reshape(2, 2) if terms == "affine" else np.zeros((2, 2))
    if terms == "rotation":
        linear = values[2] * np.array([[0.0, -1.0], [1.0, 0.0]])
    return np.column_stack([linear, values[:2]])
