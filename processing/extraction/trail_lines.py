"""The brightest straight line of a field from which the stars were taken away.

Lines of all directions are drawn through what is left of the white-light image, in segments that must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from processing.extraction.linear import NormalFactor, background_matrix, make_stamps, narrowest_order
from processing.extraction.psf import PsfShape
from processing.layer_statistics import masked_median
from processing.progress import CancelCheck, stop_if

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FAINTEST = 2.0
"""A trail fainter than this many sigma of a voxel does little harm."""
MODEL_ERROR = 0.1
"""Error of the stars' model in this first look, as a share of it."""
FLOOR = 0.25
"""Least error of a spaxel of the white-light image, in sigma of a voxel."""
SEGMENT = 2.0
"""Length of the segments of a line that must agree, in its width."""
FEWEST, COVERED = 6, 0.4
"""Least number of segments that tell something, and their least share of the line's length."""
TELLING = 0.1
"""Least weight of a segment that tells something, in that of one without stars and holes."""
SHORTEST = 0.5
"""Least length of a line, in the field's shorter side."""
FLANK = (1.25, 2.75)
"""Where the strips on both sides of a line are: distances from its middle, in its width."""
CLEAR, UNIQUE = 10.0, 2.0
"""A line must stand out from the scatter of all lines, and from the brightest other one, by these factors."""
RIDGE = 1e-3
"""Prior weight of a component that is no star, as a share of what the spaxels give it."""


@dataclass(frozen=True)
class Line:
    """The line ``-sin(angle) x + cos(angle) y = offset``.

    Parameters
    ----------
    angle : float
        Radians, from x towards y.
    offset : float
        Spaxels.
    fwhm : float
        Of its profile, spaxels.
    """

    angle: float
    offset: float
    fwhm: float

    def across(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the distance from the line, spaxels, positive on its upper side."""
        return np.asarray(y * np.cos(self.angle) - x * np.sin(self.angle) - self.offset)

    def along(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the coordinate along the line, spaxels."""
        return np.asarray(x * np.cos(self.angle) + y * np.sin(self.angle))


@dataclass(frozen=True)
class Scene:
    """The field and the stars fitted in it: `images` (n_image, ny, nx) in sigma of a voxel, white first."""

    images: np.ndarray
    valid: np.ndarray
    x: np.ndarray
    y: np.ndarray
    psf: PsfShape
    fwhm: float

    @cached_property
    def starless(self) -> tuple[np.ndarray, np.ndarray]:
        """The white-light image without its stars, and the error of each of its spaxels, both (ny, nx)."""
        sky = background_matrix(self.valid, "patches", 50)
        left, error = np.zeros(self.valid.shape), np.ones(self.valid.shape)
        for _ in range(2):
            _, stars, residual = self.fit(self.images[:1], error, self.valid, sky)
            left[self.valid] = residual[:, 0]
            floor = max(FLOOR, 1.4826 * float(np.median(np.abs(residual))))
            error[self.valid] = np.hypot(floor, MODEL_ERROR * np.abs(stars[:, 0]))
        return left, error

    def fit(
        self, images: np.ndarray, error: np.ndarray, used: np.ndarray, components: csr_matrix
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fit the stars and further components (n_component, n_pixel) to images together.

        Returns
        -------
        coefficients : ndarray, shape (n_component, n_image)
        stars, residual : ndarray, shape (n_pixel, n_image)
        """
        from scipy.sparse import csr_matrix, diags, hstack

        radius = 4.0 * self.fwhm
        order = narrowest_order(self.x, self.y, 2.0 * radius + 1.0)
        x, y = self.x[order], self.y[order]
        stamps = make_stamps(x, y, used, radius, taper=False)
        matrix = stamps.matrix(stamps.profile(self.psf, x, y))
        data, weight = images[:, used].T, 1.0 / error[used] ** 2
        held = RIDGE * np.maximum(components.power(2) @ weight, 1e-3 * weight.max())  # what stars hide altogether is 0
        bound = hstack([components, diags(np.sqrt(held))], format="csr")
        free = hstack([matrix, csr_matrix((x.size, held.size), dtype=np.float32)], format="csr")
        weighted = weight[:, None] * data
        solution = NormalFactor(free, bound, np.append(weight, np.ones(held.size))).solve(
            np.concatenate([matrix @ weighted, components @ weighted])
        )
        coefficients = solution[x.size :]
        stars = matrix.T @ solution[: x.size]
        return coefficients, stars, data - stars - components.T @ coefficients


def brightest_line(scene: Scene, width: float, cancelled: CancelCheck) -> Line | None:
    """Return the line of a width, spaxels, whose segments are brightest in the median, if it stands alone."""
    residual, error = scene.starless
    lines = Lines(residual, error, scene.valid, width)
    scores = lines.scores(cancelled)
    finite = scores[np.isfinite(scores)]
    if finite.size == 0:
        return None
    k, j = divmod(int(np.nanargmax(scores)), scores.shape[1])
    middle = float(np.median(finite))
    spread = 1.4826 * float(np.median(np.abs(finite - middle)))
    score = float(scores[k, j])
    other = float(np.nanmax(np.where(lines.overlapping(k, j), -np.inf, scores)))
    if score < max(0.5 * FAINTEST, middle + CLEAR * spread, UNIQUE * other):
        return None
    return lines.line(k, j)


class Lines:
    """All lines through an image: sums over their segments, and over strips on both sides.

    Parameters
    ----------
    image, error : ndarray, shape (ny, nx)
    valid : ndarray of bool, shape (ny, nx)
    width : float
        Of the lines, spaxels.
    """

    def __init__(self, image: np.ndarray, error: np.ndarray, valid: np.ndarray, width: float) -> None:
        self.width = width
        self.step = step = max(2 if width >= 3.0 else 1, int(width / 2.6))  # a lower resolution will do
        self.ny, self.nx = (n // step * step for n in valid.shape)
        weight = np.where(valid, 1.0 / error**2, 0.0)
        sums = [self._binned(a) for a in (weight, weight * np.where(valid, image, 0.0), valid.astype(float))]
        y, x = np.indices((self.ny // step, self.nx // step)) * step + 0.5 * (step - 1)
        self.centre = 0.5 * (self.nx - 1), 0.5 * (self.ny - 1)
        used = sums[2] > 0
        self.x, self.y = x[used] - self.centre[0], y[used] - self.centre[1]
        self.sums = [s[used] for s in sums]  # weight, weighted light and number of spaxels
        self.full = float(np.percentile(weight[valid], 90))
        self.half = 0.5 * float(np.hypot(self.nx, self.ny))
        self.segment = SEGMENT * width
        self.reach = int(np.ceil((self.half + FLANK[1] * width) / step)) + 2
        self.angles = np.arange(0.0, np.pi, step / max(valid.shape))
        self.offsets = (np.arange(2 * self.reach + 1) - self.reach) * step

    def _binned(self, image: np.ndarray) -> np.ndarray:
        step = self.step
        cut = image[: self.ny, : self.nx].reshape(self.ny // step, step, self.nx // step, step)
        return np.asarray(cut.sum((1, 3)))

    def scores(self, cancelled: CancelCheck) -> np.ndarray:
        """Return the median contrast of the segments of each line, (n_angle, n_offset); NaN where few segments tell."""
        out = np.full((self.angles.size, self.offsets.size), np.nan)
        for k, angle in enumerate(self.angles):
            stop_if(cancelled)
            contrast, there = self._contrast(float(angle))
            told = np.isfinite(contrast).sum(1)
            enough = (told >= np.maximum(FEWEST, COVERED * there)) & (
                there * self.segment >= SHORTEST * min(self.nx, self.ny)
            )
            out[k, enough] = masked_median(contrast[enough])
        return out

    def _contrast(self, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the light of segments minus that of the brighter strip beside them, and how many segments exist.

        Shapes (n_offset, n_segment), NaN where the segment or both strips have too little weight, and (n_offset,).
        """
        c, s = np.cos(angle), np.sin(angle)
        n, n_segment = self.offsets.size, int(np.ceil(2 * self.half / self.segment))
        row = np.rint((self.y * c - self.x * s) / self.step).astype(int) + self.reach
        column = ((self.x * c + self.y * s + self.half) / self.segment).astype(int).clip(0, n_segment - 1)
        cell = row * n_segment + column
        tables = [np.bincount(cell, q, minlength=n * n_segment).reshape(n, n_segment) for q in self.sums]
        weight, light, count = (np.concatenate([np.zeros((1, n_segment)), table.cumsum(0)]) for table in tables)
        i = np.arange(n)

        def strip(total: np.ndarray, first: int, last: int) -> np.ndarray:
            return np.asarray(total[np.clip(i + last + 1, 0, n)] - total[np.clip(i + first, 0, n)])

        core = int(0.5 * self.width / self.step)
        near, far = (int(np.ceil(f * self.width / self.step)) for f in FLANK)
        means = []
        for first, last in ((-core, core), (-far, -near), (near, far)):
            own, area = strip(weight, first, last), self.segment * self.step * (last - first + 1)
            tells = own > TELLING * area * self.full
            means.append(np.where(tells, strip(light, first, last) / np.where(tells, own, 1.0), np.nan))
        there = strip(count, -core, core) > 0.3 * self.segment * self.step * (2 * core + 1)
        return means[0] - np.fmax(means[1], means[2]), there.sum(1)

    def line(self, k: int, j: int) -> Line:
        """Return one of the lines."""
        angle = float(self.angles[k])
        x0, y0 = self.centre
        return Line(angle, float(self.offsets[j]) + y0 * np.cos(angle) - x0 * np.sin(angle), self.width)

    def overlapping(self, k: int, j: int) -> np.ndarray:
        """Return which lines lie on a given one in part, bool (n_angle, n_offset)."""
        c, s = np.cos(self.angles[k]), np.sin(self.angles[k])
        u = np.linspace(-self.half, self.half, 60)
        px, py = u * c - self.offsets[j] * s, u * s + self.offsets[j] * c
        inside = (np.abs(px) < 0.5 * self.nx) & (np.abs(py) < 0.5 * self.ny)
        place = np.cos(self.angles)[:, None] * py[inside] - np.sin(self.angles)[:, None] * px[inside]
        close = np.abs(place[:, None, :] - self.offsets[None, :, None]) < 3.0 * self.width
        return np.asarray(close.sum(2) > 0.2 * inside.sum())
