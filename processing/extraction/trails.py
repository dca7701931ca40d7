"""Trails of satellites: straight bright lines that cross the field, told from all that only looks like one.

The brighter stars are fitted on the white-light image; lines of all directions are drawn through what is left, in
segments that must agree; the best one is then fitted together with the stars, and judged piece by piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.extraction.linear import NormalFactor, background_matrix, make_stamps, narrowest_order
from processing.extraction.psf import PsfShape
from processing.extraction.psf_profiles import first_guess
from processing.extraction.sources import FieldImage, SourceTable, confusion_density, predict_fluxes
from processing.layer_statistics import masked_median
from processing.progress import CancelCheck, never, stop_if

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

DENSEST = 0.15
"""Brighter stars per resolution element up to which a star is fitted: in crowds all together would pass for a trail."""
DETECTED_LEVELS = (15.0, 100.0)
"""Least peak of stars that are fitted, sigma of a voxel, where stars are detected: those on a trail are none."""
MODEL_ERROR = 0.1
"""Error of the stars' model in this first look, as a share of it."""
FLOOR = 0.25
"""Least error of a spaxel of the white-light image, in sigma of a voxel."""
SEGMENT = 2.0
"""Length of the segments of a line that must agree, FWHM."""
FEWEST, COVERED = 6, 0.4
"""Least number of segments that tell something, and their least share of the line's length."""
TELLING = 0.1
"""Least weight of a segment that tells something, in that of one without stars and holes."""
SHORTEST = 0.5
"""Least length of a line, in the field's shorter side."""
FLANK = (1.25, 2.75)
"""Where the strips on both sides of a line are, FWHM from its middle."""
FAINTEST = 2.0
"""A trail fainter than this many sigma of a voxel does little harm."""
CLEAR, UNIQUE = 10.0, 2.0
"""A line must stand out from the scatter of all lines, and from the brightest other one, by these factors."""
WINDOW = 4.0
"""Half width of the strip in which a line is looked at closely, FWHM."""
NARROWEST, WIDEST = 0.85, 2.0
"""Limits of a trail's width, FWHM."""
PIECE, PIECES, SEEN, SPAN = 0.8, 8, 0.35, 0.5
"""Length of the pieces in which the best line is judged, FWHM (a row of stars is no line); their least number, and
shares of the line's length that they must cover and span."""
KNOWN = 0.3
"""Error of a piece that tells something, at most, as a share of the line's height."""
EVEN, UNEVEN, SLOPE = 0.75, 0.35, 0.25
"""At least this share of the pieces must be as bright as the line's median within the second number, in its units, and
four fifths of the line within the third, the last one by half."""
HOLLOW = 0.2
"""The profile must nowhere be further below the background, in that of its peak: a step or a wave is no trail."""
GREY = (0.25, 4.0)
"""Limits of the brightness in each band, in that of the median band."""
BANDS = 10
"""Bands in which a trail must shine."""
RIDGE = 1e-3
"""Prior weight of a component that is no star, as a share of what the spaxels give it."""
HIDDEN = 0.05
"""The wings of a trail are masked down to this many sigma of a voxel."""


HIDES = "under the trail of a satellite"
TOUCHES = "the trail of a satellite hides a part of it"


@dataclass(frozen=True)
class Trail:
    """The line ``-sin(angle) x + cos(angle) y = offset``.

    Parameters
    ----------
    angle : float
        Radians, from x towards y.
    offset : float
        Spaxels.
    fwhm : float
        Of its profile, spaxels.
    height : float
        Of its middle, in sigma of a typical voxel.
    """

    angle: float
    offset: float
    fwhm: float
    height: float = 0.0

    def across(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the distance from the line, spaxels, positive on its upper side."""
        return np.asarray(y * np.cos(self.angle) - x * np.sin(self.angle) - self.offset)

    def along(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the coordinate along the line, spaxels."""
        return np.asarray(x * np.cos(self.angle) + y * np.sin(self.angle))

    @property
    def half_width(self) -> float:
        """Half width of what is spoilt, spaxels: where a Gaussian falls to `HIDDEN`, and a little more."""
        return 0.6 * self.fwhm * float(np.sqrt(np.log2(self.height / HIDDEN)))

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """Return an image (ny, nx), True where the trail shines."""
        return np.abs(self.across(*np.indices(shape)[::-1])) < self.half_width

    def flag(self, sources: SourceTable, shape: tuple[int, int], fwhm: float) -> tuple[SourceTable, str]:
        """Return the stars, selected without the trail's spaxels, with what it did to them, and a sentence on it.

        Parameters
        ----------
        sources : SourceTable
        shape : tuple of int
            (ny, nx) of the field.
        fwhm : float
            Of the stars, spaxels.
        """
        x, y, kept = sources.x, sources.y, sources.extracted
        away = np.abs(self.across(x, y)) - self.half_width
        inside = (x > -0.5) & (x < shape[1] - 0.5) & (y > -0.5) & (y < shape[0] - 0.5)
        hidden = inside & (away < 0.75) & np.isin(sources.status, ("contaminant", "outside"))
        touched = (away < fwhm) & kept
        reason = np.where(hidden, HIDES, np.where(touched, TOUCHES, sources.reason))
        note = (
            f"A straight bright line crosses the field, {self.height:.0f} sigma of a voxel high and {self.fwhm:.1f} "
            f"spaxels wide: probably the trail of a satellite. It is left out in all layers (sources.trails): "
            f"{hidden.sum()} stars under it get no spectrum, {touched.sum()} beside it lose a part of their light."
        )
        return replace(sources, reason=reason), note


def find_trail(
    image: FieldImage, bands: np.ndarray, x: np.ndarray, y: np.ndarray, mag: np.ndarray, fwhm: float, beta: float,
    *, detected: bool = False, cancelled: CancelCheck = never,
) -> Trail | None:  # fmt: skip
    """Return the trail that crosses the field; None where no line has all that a trail has.

    That is: right across the field, of the stars' width or somewhat wider, equally bright from end to end and in all
    bands, and alone.

    Parameters
    ----------
    image : FieldImage
    bands : ndarray, shape (n_band, ny, nx)
        Images of parts of the cube's wavelength range.
    x, y, mag : ndarray, shape (n,)
        Of the listed stars; positions in spaxels, magnitudes NaN where unknown.
    fwhm, beta : float
        Of the stars, spaxels.
    detected : bool
        Whether the stars were detected on this image, where a trail looks like a row of them.
    """
    valid, sigma = image.valid, float(np.sqrt(np.nanmedian(image.variance)))
    margin = 2.0 * fwhm
    ny, nx = valid.shape
    near = np.flatnonzero((x > -margin) & (x < nx + margin) & (y > -margin) & (y < ny + margin))
    if near.size == 0 or min(ny, nx) < FEWEST * fwhm:
        return None
    x, y = x[near], y[near]
    flux, _ = predict_fluxes(x, y, mag[near], image, fwhm, beta)
    density = confusion_density(x, y, np.argsort(-flux, kind="stable"), fwhm, x.size)
    psf = PsfShape("moffat", first_guess("moffat", fwhm, beta))
    peak = flux * float(psf(np.zeros(1), np.zeros(1))[0]) / sigma
    part = np.array_split(bands[np.isfinite(bands).any((1, 2))], BANDS)
    images = np.stack([image.white, *(band.mean(0) for band in part if len(band))]) / sigma
    valid &= np.isfinite(images).all(0)
    for level in DETECTED_LEVELS if detected else (-np.inf,):
        chosen = (density < DENSEST) & (peak > level)
        scene = Scene(images, valid, x[chosen], y[chosen], psf, fwhm)
        line = brightest_line(scene, cancelled)
        trail = None if line is None else judged(scene, line, cancelled)
        if trail is not None:
            return trail
    return None


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


def brightest_line(scene: Scene, cancelled: CancelCheck) -> Trail | None:
    """Return the line whose segments are brightest in the median, if it stands alone; as wide as the stars."""
    residual, error = scene.starless
    lines = Lines(residual, error, scene.valid, scene.fwhm)
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
        self.width, self.step = width, 2 if width >= 3.0 else 1  # half the resolution will do
        step = self.step
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

    def line(self, k: int, j: int) -> Trail:
        """Return one of the lines."""
        angle = float(self.angles[k])
        x0, y0 = self.centre
        return Trail(angle, float(self.offsets[j]) + y0 * np.cos(angle) - x0 * np.sin(angle), self.width)

    def overlapping(self, k: int, j: int) -> np.ndarray:
        """Return which lines lie on a given one in part, bool (n_angle, n_offset)."""
        c, s = np.cos(self.angles[k]), np.sin(self.angles[k])
        u = np.linspace(-self.half, self.half, 60)
        px, py = u * c - self.offsets[j] * s, u * s + self.offsets[j] * c
        inside = (np.abs(px) < 0.5 * self.nx) & (np.abs(py) < 0.5 * self.ny)
        place = np.cos(self.angles)[:, None] * py[inside] - np.sin(self.angles)[:, None] * px[inside]
        close = np.abs(place[:, None, :] - self.offsets[None, :, None]) < 3.0 * self.width
        return np.asarray(close.mean(2) > 0.2)


def judged(scene: Scene, line: Trail, cancelled: CancelCheck) -> Trail | None:
    """Return the line, centred and measured, if it has all that a trail has."""
    for _ in range(3):
        stop_if(cancelled)
        line = Strip(scene, line).centred()
    strip = Strip(scene, line)
    halves = strip.profile()
    profile = halves.mean(1)
    widths = [full_width(strip.knots, p) for p in (profile, *halves.T)]
    if not all(NARROWEST * scene.fwhm < w < WIDEST * scene.fwhm for w in widths):
        return None
    if (halves.min(0) < -HOLLOW * halves.max(0)).any():
        return None
    found, seen = strip.heights(profile)
    heights = found[seen]
    if len(heights) < PIECES or seen.mean() < SEEN or np.ptp(np.flatnonzero(seen)) < SPAN * seen.size:
        return None
    white, *bands = np.median(heights, axis=0)
    if white < FAINTEST or (np.abs(heights[:, 0] - white) < UNEVEN * white).mean() < EVEN:
        return None
    fifths = np.array([np.median(part[:, 0]) for part in np.array_split(heights, 5)]) / white
    grey = float(np.median(bands))
    off = np.sort(np.abs(fifths - 1.0))[-2]  # a star that the list lacks may spoil one of them
    if off > SLOPE or fifths.min() < 0.5 or min(bands) < GREY[0] * grey or max(bands) > GREY[1] * grey:
        return None
    return replace(line, fwhm=widths[0], height=float(white))


class Strip:
    """The surroundings of a line, its stars included."""

    def __init__(self, scene: Scene, line: Trail) -> None:
        self.line, self.fwhm = line, scene.fwhm
        yy, xx = np.mgrid[: scene.valid.shape[0], : scene.valid.shape[1]]
        across = line.across(xx, yy)
        self.used = scene.valid & (np.abs(across) < WINDOW * scene.fwhm)
        near = np.abs(line.across(scene.x, scene.y)) < (WINDOW + 4.0) * scene.fwhm
        self.scene = replace(scene, x=scene.x[near], y=scene.y[near])
        self.error = scene.starless[1]
        self.across, along = across[self.used], line.along(xx, yy)[self.used]
        self.start = float(along.min())
        self.middle = 0.5 * (self.start + float(along.max()))
        self.along = along
        self.segment = ((along - self.start) / (SEGMENT * scene.fwhm)).astype(int)
        self.piece = ((along - self.start) / (PIECE * scene.fwhm)).astype(int)
        spacing = max(scene.fwhm / 3.0, 1.2)
        n_side = int(np.ceil(2.5 * scene.fwhm / spacing))
        self.knots = np.arange(-n_side, n_side + 1) * spacing

    def _components(self, columns: Sequence[np.ndarray]) -> Any:
        """Return columns of values (n_pixel,), and a straight background across every segment, as components."""
        from scipy.sparse import csr_matrix, vstack

        pixel = np.arange(self.across.size)
        ground = [csr_matrix((v, (self.segment, pixel))) for v in (np.ones(pixel.size), self.across / self.fwhm)]
        return vstack([csr_matrix(np.stack(columns)), *ground], format="csr")

    def profile(self) -> np.ndarray:
        """Return the line's profile at `knots`, of its first and second half, (n_knot, 2), in sigma of a voxel."""
        spacing = self.knots[1] - self.knots[0]
        hats = [np.clip(1.0 - np.abs(self.across - knot) / spacing, 0.0, None) for knot in self.knots]
        halves = [np.where(half, hat, 0.0) for half in self._halves() for hat in hats]
        coefficients, *_ = self.scene.fit(self.scene.images[:1], self.error, self.used, self._components(halves))
        return np.asarray(coefficients[: len(halves), 0].reshape(2, -1).T)

    def _halves(self) -> tuple[np.ndarray, np.ndarray]:
        first = self.along < self.middle
        return first, ~first

    def centred(self) -> Trail:
        """Return the line laid through the centres of its halves' profiles."""
        profile = np.clip(self.profile(), 0.0, None)
        profile = np.where(profile > 0.3 * profile.max(0), profile, 0.0)
        centres = (self.knots @ profile) / np.maximum(profile.sum(0), 1e-30)
        places = [float(self.along[half].mean()) for half in self._halves()]
        slope = (centres[1] - centres[0]) / (places[1] - places[0])
        shift = centres[0] - slope * places[0]  # at along = 0, where the line's own foot is
        turn = float(np.arctan(slope))
        return replace(self.line, angle=self.line.angle + turn, offset=float((self.line.offset + shift) * np.cos(turn)))

    def heights(self, profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the line's height in each of its short pieces and each image, and which pieces tell something.

        Shapes (n_piece, n_image), in sigma of a voxel, and (n_piece,). Pieces without data in the middle are left out.
        """
        shape = np.interp(self.across, self.knots, profile / profile.max())
        n = self.piece.max() + 1
        columns = [np.where(self.piece == k, shape, 0.0) for k in range(n)]
        found, *_ = self.scene.fit(self.scene.images, self.error, self.used, self._components(columns))
        weight, area = 1.0 / self.error[self.used] ** 2, PIECE * self.fwhm**2

        def total(which: np.ndarray, values: np.ndarray) -> np.ndarray:
            return np.bincount(self.piece[which], values[which], minlength=n) / area

        one, side = np.ones(weight.size), FLANK[0] * self.fwhm
        core = np.abs(self.across) < 0.5 * self.fwhm
        there = total(core, one) > 0.5
        seen = there & (total(self.across > side, one) > 1.0) & (total(self.across < -side, one) > 1.0)
        if seen.any():
            typical = abs(float(np.median(found[:n, 0][seen])))
            seen &= total(core, weight) > min(TELLING * float(weight.max()), (KNOWN * typical + 1e-9) ** -2)
        return found[:n][there], seen[there]


def full_width(x: np.ndarray, profile: np.ndarray) -> float:
    """Return the full width at half maximum of a profile by linear interpolation; infinite if it falls not so far."""
    top = int(np.argmax(profile))
    half = 0.5 * profile[top]
    left, right = np.flatnonzero(profile[:top] < half), np.flatnonzero(profile[top:] < half) + top
    if half <= 0.0 or left.size == 0 or right.size == 0:
        return float("inf")
    i, j = left[-1], right[0]
    low = x[i] + (half - profile[i]) / (profile[i + 1] - profile[i]) * (x[i + 1] - x[i])
    high = x[j] - (half - profile[j]) / (profile[j - 1] - profile[j]) * (x[j] - x[j - 1])
    return float(high - low)
