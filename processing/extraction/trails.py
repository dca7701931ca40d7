"""Trails of satellites: straight bright lines that cross the field, told from all that only looks like one.

The best line through the field is fitted together with the brighter stars, and judged piece by piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from processing.extraction.psf import PsfShape
from processing.extraction.psf_profiles import first_guess
from processing.extraction.sources import FieldImage, SourceTable, confusion_density, predict_fluxes
from processing.extraction.trail_lines import FAINTEST, FEWEST, FLANK, SEGMENT, TELLING, Line, Scene, brightest_line
from processing.progress import CancelCheck, never, stop_if

DENSEST = 0.15
"""Brighter stars per resolution element up to which a star is fitted: in crowds all together would pass for a trail."""
DETECTED_LEVELS = (15.0, 100.0)
"""Least peak of stars that are fitted, sigma of a voxel, where stars are detected: those on a trail are none."""
WINDOW = 4.0
"""Half width of the strip in which a line is looked at closely, in its width."""
WIDTHS = {1.0: (0.85, 2.0), 2.0: (1.5, 3.2), 3.5: (2.5, 5.0)}
"""Widths of the lines that are searched for, and limits of the width of a trail found so, in the stars' FWHM: a
satellite 500 km high is out of focus, 8.2 m / 500 km = 3.4 arcsec wide."""
WIDE, ALIKE, STRAIGHT = 1.6, 1.15, 0.08
"""Lines wider than the first number of FWHM may be galaxies or units of a spectrograph: the widths of their quarters
must agree within the second number, their centres must be on the line within the third, in its width; they must be more
even than others, and not run along the field's sides."""
PARALLEL = np.radians(2.0)
"""Least angle between wide lines and the sides of the field."""
PIECE, PIECES, SEEN, SPAN = 0.8, 8, 0.35, 0.5
"""Length of the pieces in which the best line is judged, in its width (a row of stars is no line); their least number,
and shares of the line's length that they must cover and span."""
KNOWN = 0.3
"""Error of a piece that tells something, at most, as a share of the line's height."""
EVEN, UNEVEN, SLOPE = 0.75, (0.35, 0.2), (0.25, 0.12)
"""At least this share of the pieces must be as bright as the line's median within the second number, in its units, and
four fifths of the line within the third, the last one by half; numbers of narrow and of wide lines."""
HOLLOW = 0.2
"""The profile must nowhere be further below the background, in that of its peak: a step or a wave is no trail."""
GREY = (0.25, 4.0)
"""Limits of the brightness in each band, in that of the median band."""
BANDS = 10
"""Bands in which a trail must shine."""
HIDDEN = 0.05
"""The wings of a trail are masked down to this many sigma of a voxel."""

HIDES = "under the trail of a satellite"
TOUCHES = "the trail of a satellite hides a part of it"


@dataclass(frozen=True)
class Trail(Line):
    """A line that is bright: `height` is that of its middle, in sigma of a typical voxel."""

    height: float

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

    That is: right across the field, as wide as the stars or up to five times wider, equally bright from end to end and
    in all bands, and alone. Wide ones are not found along the sides of the field, nor in one too small for them.

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
        for width in WIDTHS:
            line = brightest_line(scene, width * fwhm, cancelled)
            trail = None if line is None else judged(scene, line, WIDTHS[width], cancelled)
            if trail is not None:
                return trail
    return None


def judged(scene: Scene, line: Line, limits: tuple[float, float], cancelled: CancelCheck) -> Trail | None:
    """Return the line, centred and measured, if it has all that a trail has; `limits` of its width in FWHM."""
    for _ in range(3):
        stop_if(cancelled)
        line = Strip(scene, line).centred()
    strip = Strip(scene, line)
    halves = strip.profile()
    profile = halves.mean(1)
    widths = [full_width(strip.knots, p) for p in (profile, *halves.T)]
    if not all(limits[0] * scene.fwhm < w < limits[1] * scene.fwhm for w in widths):
        return None
    wide = widths[0] > WIDE * scene.fwhm
    if wide and (along_a_side(line, scene.valid) or not strip.uniform()):
        return None
    if (halves.min(0) < -HOLLOW * halves.max(0)).any():
        return None
    found, seen = strip.heights(profile)
    heights = found[seen]
    if len(heights) < PIECES or seen.mean() < SEEN or np.ptp(np.flatnonzero(seen)) < SPAN * seen.size:
        return None
    white, *bands = np.median(heights, axis=0)
    if white < FAINTEST or (np.abs(heights[:, 0] - white) < UNEVEN[wide] * white).mean() < EVEN:
        return None
    fifths = np.array([np.median(part[:, 0]) for part in np.array_split(heights, 5)]) / white
    grey = float(np.median(bands))
    off = np.sort(np.abs(fifths - 1.0))[-2]  # a star that the list lacks may spoil one of them
    if off > SLOPE[wide] or fifths.min() < 0.5 or min(bands) < GREY[0] * grey or max(bands) > GREY[1] * grey:
        return None
    return Trail(line.angle, line.offset, widths[0], float(white))


def along_a_side(line: Line, valid: np.ndarray) -> bool:
    """Return whether a line is parallel to an axis, or to a side of the smallest rectangle around the data."""
    from scipy.spatial import ConvexHull

    points = np.argwhere(valid)
    y, x = points[ConvexHull(points).vertices].T
    turns = np.radians(np.arange(0.0, 90.0, 0.5))
    c, s = np.cos(turns)[:, None], np.sin(turns)[:, None]
    side = turns[np.argmin(np.ptp(x * c + y * s, axis=1) * np.ptp(y * c - x * s, axis=1))]
    return bool(min(abs(np.sin(2.0 * (line.angle - a))) for a in (0.0, side)) < np.sin(2.0 * PARALLEL))


class Strip:
    """The surroundings of a line, its stars included."""

    def __init__(self, scene: Scene, line: Line) -> None:
        self.line, width = line, line.fwhm
        yy, xx = np.mgrid[: scene.valid.shape[0], : scene.valid.shape[1]]
        across = line.across(xx, yy)
        self.used = scene.valid & (np.abs(across) < WINDOW * width)
        near = np.abs(line.across(scene.x, scene.y)) < WINDOW * width + 4.0 * scene.fwhm
        self.scene = replace(scene, x=scene.x[near], y=scene.y[near])
        self.error = scene.starless[1]
        self.across, along = across[self.used], line.along(xx, yy)[self.used]
        self.start = float(along.min())
        self.along = along
        self.segment = ((along - self.start) / (SEGMENT * width)).astype(int)
        self.piece = ((along - self.start) / (PIECE * width)).astype(int)
        spacing = max(width / 3.0, 1.2)
        n_side = int(np.ceil(2.5 * width / spacing))
        self.knots = np.arange(-n_side, n_side + 1) * spacing

    def _components(self, columns: Sequence[np.ndarray]) -> Any:
        """Return columns of values (n_pixel,), and a straight background across every segment, as components."""
        from scipy.sparse import csr_matrix, vstack

        pixel = np.arange(self.across.size)
        ground = [csr_matrix((v, (self.segment, pixel))) for v in (np.ones(pixel.size), self.across / self.line.fwhm)]
        return vstack([csr_matrix(np.stack(columns)), *ground], format="csr")

    def _parts(self, n: int) -> list[np.ndarray]:
        """Return the pixels of `n` equally long parts of the line, bool (n_pixel,) each."""
        part = (n * (self.along - self.start) / (self.along.max() - self.start + 1e-9)).astype(int)
        return [part == k for k in range(n)]

    def profile(self, n: int = 2) -> np.ndarray:
        """Return the line's profile at `knots`, of `n` parts of it, (n_knot, n), in sigma of a voxel."""
        spacing = self.knots[1] - self.knots[0]
        hats = [np.clip(1.0 - np.abs(self.across - knot) / spacing, 0.0, None) for knot in self.knots]
        columns = [np.where(part, hat, 0.0) for part in self._parts(n) for hat in hats]
        coefficients, *_ = self.scene.fit(self.scene.images[:1], self.error, self.used, self._components(columns))
        return np.asarray(coefficients[: len(columns), 0].reshape(n, -1).T)

    def _centres(self, profile: np.ndarray) -> np.ndarray:
        """Return the centres of profiles (n_knot, n), spaxels from the line."""
        profile = np.clip(profile, 0.0, None)
        profile = np.where(profile > 0.3 * profile.max(0), profile, 0.0)
        return np.asarray((self.knots @ profile) / np.maximum(profile.sum(0), 1e-30))

    def uniform(self) -> bool:
        """Return whether the quarters of the line are in line, and equally wide."""
        profile = self.profile(4)
        widths = [full_width(self.knots, p) for p in profile.T]
        return max(widths) < ALIKE * min(widths) and bool(
            (np.abs(self._centres(profile)) < STRAIGHT * min(widths)).all()
        )

    def centred(self) -> Line:
        """Return the line laid through the centres of its halves' profiles."""
        centres = self._centres(self.profile())
        places = [float(self.along[half].mean()) for half in self._parts(2)]
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
        weight, area = 1.0 / self.error[self.used] ** 2, PIECE * self.line.fwhm**2

        def total(which: np.ndarray, values: np.ndarray) -> np.ndarray:
            return np.bincount(self.piece[which], values[which], minlength=n) / area

        one, side = np.ones(weight.size), FLANK[0] * self.line.fwhm
        core = np.abs(self.across) < 0.5 * self.line.fwhm
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
