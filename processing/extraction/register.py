"""Laying a star list over a cube: offset and rotation by cross-correlation, then a match of stars to peaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.checkpoint import Block
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import RegistrationSettings

if TYPE_CHECKING:
    from processing.reference import StarList

MIN_FWHM, MAX_FWHM = 1.5, 12.0
MAX_TRIED = 80
"""The brightest stars of the list that are expected to show as peaks."""
MAX_PEAKS = 150
FEW_STARS = 4
"""With fewer stars a cross-correlation proves nothing; positions must coincide with peaks."""
MIN_FOR_ROTATION, MIN_FOR_AFFINE = 5, 12
SAME_PLACE = 0.15
"""A correction that moves no star by more than this (spaxels) is not applied: the PSF fit has the final word."""
DEFAULT_SCALE = 0.2
"""Arcsec per spaxel, where the cube does not say."""


@dataclass(frozen=True)
class Registration:
    """Where the stars of the list are in the cube.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Registered positions, 0-based spaxels; NaN where the list has none.
    matrix : ndarray, shape (2, 3)
        Takes (x - x0, y - y0, 1) of the list's own position to the correction (dx, dy); (x0, y0) is the centre.
    offset : tuple of float
        Correction at the field's centre, spaxels.
    rotation : float
        Degrees, counter-clockwise in the image.
    scale : float
        Factor applied to the list's scale.
    n_matched : int
        Stars matched to a peak of the image.
    rms : float
        Root mean square distance between matched stars and peaks, spaxels; NaN without a match.
    fwhm : float
        Of the stars on the image, spaxels.
    method : str
        What was corrected: "none", "offset", "rotation" or "affine".
    notes : tuple of str
    """

    x: np.ndarray
    y: np.ndarray
    matrix: np.ndarray
    offset: tuple[float, float]
    rotation: float
    scale: float
    n_matched: int
    rms: float
    fwhm: float
    method: str
    notes: tuple[str, ...] = ()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the registration as named arrays, as a checkpoint keeps it."""
        numbers = np.array([*self.offset, self.rotation, self.scale, self.n_matched, self.rms, self.fwhm])
        texts = np.array([self.method, *self.notes])
        return {"x": self.x, "y": self.y, "matrix": self.matrix, "numbers": numbers, "texts": texts}

    @staticmethod
    def from_arrays(block: Block) -> Registration:
        """Rebuild a registration from `to_arrays`."""
        dx, dy, rotation, scale, n, rms, fwhm = block["numbers"].tolist()
        method, *notes = block["texts"].tolist()
        return Registration(
            block["x"], block["y"], block["matrix"], (dx, dy), rotation, scale, int(n), rms, fwhm, method, tuple(notes)
        )


@dataclass(frozen=True)
class Peaks:
    """Local maxima of an image, the highest first: positions in spaxels and heights in sigma."""

    x: np.ndarray
    y: np.ndarray
    height: np.ndarray


def register(
    cube: Any,
    stars: StarList,
    white: np.ndarray,
    settings: RegistrationSettings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Registration:
    """Find where the stars of a list are in a cube.

    Parameters
    ----------
    cube : MuseCube
    stars : StarList
        Proper motions are applied to the cube's date where the list has them.
    white : ndarray, shape (ny, nx)
        White-light image; NaN where there are no data.
    settings : RegistrationSettings

    Raises
    ------
    StellacubeError
        If no star of the list lies in the field, or the list cannot be matched to the image.
    """
    x, y = stars.positions(cube)
    scale = cube.pixel_scale if np.isfinite(cube.pixel_scale) else DEFAULT_SCALE
    reach = settings.max_offset / scale
    _require_overlap(cube, stars, x, y, white.shape, reach)
    progress(0.0, "Laying the star list over the cube")
    contrast = high_pass(white)
    fwhm = measure_fwhm(contrast, white)
    same = _as_is(x, y, fwhm)
    if settings.fit == "none":
        return same
    peaks = find_peaks(contrast, fwhm)
    centre = np.array([(white.shape[1] - 1) / 2.0, (white.shape[0] - 1) / 2.0])
    bright = _brightest(x, y, stars.mag, white.shape, reach)
    if bright.size < FEW_STARS:
        return _few_stars(same, stars, bright, peaks, fwhm, reach)
    stop_if(cancelled)
    match = _Matcher(np.stack([x, y], axis=1) - centre, bright, peaks, centre, fwhm, settings.fit, white.shape)
    candidates = [np.zeros((2, 3))]
    candidates += cross_correlate(contrast, x - centre[0], y - centre[1], stars.mag, fwhm, reach, settings, cancelled)
    best, *others = [match.refine(c) for c in candidates]
    for other in others:  # the list as it is wins unless another place is clearly better
        if other.score > 1.2 * best.score + 1.0:
            best = other
    progress(1.0, f"{best.n} stars of the list matched")
    if not best.trusted:
        return _untrusted(same, match, stars, fwhm)
    return _finish(same, best, centre, white.shape)


def _require_overlap(
    cube: Any, stars: StarList, x: np.ndarray, y: np.ndarray, shape: tuple[int, int], reach: float
) -> None:
    """Raise if no star lies in the field or within the largest offset of it; the message says where they are."""
    ny, nx = shape
    away = np.hypot(np.clip(np.maximum(-x, x - nx + 1), 0, None), np.clip(np.maximum(-y, y - ny + 1), 0, None))
    away = np.where(np.isfinite(x) & np.isfinite(y), away, np.inf)
    known = np.isfinite(stars.ra) & np.isfinite(stars.dec)
    if cube.wcs is not None and known.any():  # a gnomonic projection also shows the far side of the sky
        separation = np.full(x.size, np.inf)
        separation[known] = _separation(cube, stars.ra[known], stars.dec[known], shape)
        away = np.where(known & (separation > 10.0), np.inf, away)
        if not (away <= reach).any():
            i = int(np.argmin(separation))
            raise StellacubeError(
                f"None of the {len(stars)} stars of {stars.source} lies in the field of view: the nearest, "
                f"{stars.star_id[i]}, is {_angle(separation[i])} from its centre.",
                "Check that list and cube belong together and that ra and dec are in ICRS degrees.",
            )
    if not (away <= reach).any():
        i = int(np.argmin(away))
        raise StellacubeError(
            f"None of the {len(stars)} stars of {stars.source} lies in the field of view: the nearest, "
            f"{stars.star_id[i]}, is {away[i]:.0f} spaxels outside.",
            "Check that list and cube belong together, and that x and y count spaxels from 0.",
        )


def _separation(cube: Any, ra: np.ndarray, dec: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the angular distance of stars from the field's centre in degrees."""
    ra0, dec0 = np.radians(cube.pixel_to_world((shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0))
    ra, dec = np.radians(ra), np.radians(dec)
    half = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec0) * np.cos(dec) * np.sin((ra - ra0) / 2) ** 2
    return np.degrees(2.0 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))))


def _angle(degrees: float) -> str:
    return f"{degrees:.1f} degrees" if degrees >= 1.0 else f"{60.0 * degrees:.1f} arcmin"


def high_pass(white: np.ndarray) -> np.ndarray:
    """Return the image without its smooth background, in units of its robust scatter; 0 where there are no data."""
    from scipy.ndimage import median_filter

    good = np.isfinite(white)
    level = float(np.median(white[good])) if good.any() else 0.0
    image = np.where(good, white, level)
    box = max(9, min(41, min(white.shape) // 2) | 1)
    coarse = median_filter(image[::2, ::2], size=box // 2 | 1)
    smooth = np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1)[: white.shape[0], : white.shape[1]]
    contrast = np.where(good, image - smooth, 0.0)
    values = contrast[good]
    low = values[values <= np.median(values)] - np.median(values) if values.size else np.zeros(1)
    noise = 1.4826 * float(np.median(np.abs(low)))
    return contrast / noise if noise > 0 else contrast


def measure_fwhm(contrast: np.ndarray, white: np.ndarray) -> float:
    """Return the stars' FWHM in spaxels from the area above half maximum of the brightest peaks.

    Blends and galaxies look wider than stars: the lower quartile counts.
    """
    from scipy.ndimage import label, zoom

    peaks = find_peaks(contrast, 3.5)
    widths = []
    half = int(MAX_FWHM)
    for x, y in zip(np.rint(peaks.x[:40]).astype(int), np.rint(peaks.y[:40]).astype(int), strict=True):
        cut = contrast[y - half : y + half + 1, x - half : x + half + 1]
        if cut.shape != (2 * half + 1,) * 2 or not np.isfinite(white[y - 2 : y + 3, x - 2 : x + 3]).all():
            continue
        fine = zoom(cut, 3, order=3)
        centre = fine.shape[0] // 2
        top = fine[centre - 4 : centre + 5, centre - 4 : centre + 5].max()
        regions, _ = label(fine > 0.5 * top)
        own = regions[centre, centre]
        if own:
            widths.append(2.0 * np.sqrt((regions == own).sum() / np.pi) / 3.0)
    if not widths:
        return 3.5
    return float(np.clip(np.percentile(widths, 25), MIN_FWHM, MAX_FWHM))


def find_peaks(contrast: np.ndarray, fwhm: float, threshold: float = 5.0) -> Peaks:
    """Return the local maxima of the smoothed image with centres interpolated by parabolas, the highest first."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    smooth = gaussian_filter(contrast, 0.3 * fwhm)
    values = smooth[contrast != 0]
    if values.size == 0:
        return Peaks(np.zeros(0), np.zeros(0), np.zeros(0))
    low = values[values <= np.median(values)] - np.median(values)
    noise = max(1.4826 * float(np.median(np.abs(low))), 1e-12)
    size = max(3, int(fwhm) | 1)
    top = (smooth == maximum_filter(smooth, size=size)) & (smooth > threshold * noise)
    top[:1], top[-1:], top[:, :1], top[:, -1:] = False, False, False, False
    y, x = np.nonzero(top)

    def vertex(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> np.ndarray:
        bend = before - 2.0 * at + after
        return np.clip(0.5 * (before - after) / np.where(bend < 0, bend, -np.inf), -0.5, 0.5)

    dx = vertex(smooth[y, x - 1], smooth[y, x], smooth[y, x + 1])
    dy = vertex(smooth[y - 1, x], smooth[y, x], smooth[y + 1, x])
    order = np.argsort(-smooth[y, x], kind="stable")[:MAX_PEAKS]
    return Peaks((x + dx)[order], (y + dy)[order], smooth[y, x][order] / noise)


def _brightest(x: np.ndarray, y: np.ndarray, mag: np.ndarray, shape: tuple[int, int], reach: float) -> np.ndarray:
    """Return the stars expected to show as peaks: the brightest in or near the field."""
    ny, nx = shape
    margin = min(reach, 0.1 * max(shape))
    near = np.flatnonzero((x > -margin) & (x < nx + margin) & (y > -margin) & (y < ny + margin))
    known = near[np.isfinite(mag[near])]
    if known.size >= max(FEW_STARS, near.size // 2):
        near = known[np.argsort(mag[known], kind="stable")]
    return near[:MAX_TRIED]


def cross_correlate(
    contrast: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    mag: np.ndarray,
    fwhm: float,
    reach: float,
    settings: RegistrationSettings,
    cancelled: CancelCheck,
) -> list[np.ndarray]:
    """Return the most promising corrections (2, 3), the best first, from mock images at a range of rotations.

    Both images are compressed (arcsinh, square root of flux) so that many stars decide, not the brightest one.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2
    from scipy.ndimage import fourier_gaussian

    ny, nx = contrast.shape
    pad = int(np.ceil(reach))
    size = (next_fast_len(ny + 2 * pad, real=True), next_fast_len(nx + 2 * pad, real=True))
    known = np.isfinite(mag)
    faintest = np.percentile(mag[known], 90) if known.any() else 0.0
    weight = 10.0 ** (-0.2 * np.clip(np.where(known, mag, faintest) - faintest, -10.0, 0.0))
    weight = np.where(np.isfinite(x), np.minimum(weight, 30.0), 0.0)
    image = fourier_gaussian(rfft2(np.arcsinh(np.clip(contrast, -3.0, None) / 3.0), s=size), 0.3 * fwhm, size[1])
    half = 0.5 * float(np.hypot(nx, ny))
    step = np.degrees(0.5 * fwhm / half)
    limit = settings.max_rotation if settings.fit in ("rotation", "affine") else 0.0
    angles = step * np.arange(-int(limit / step), int(limit / step) + 1)
    found = []
    oy, ox = (np.fft.fftfreq(n, 1.0 / n).astype(int) for n in size)
    window = (np.abs(oy)[:, None] <= reach) & (np.abs(ox)[None, :] <= reach)
    for angle in angles:
        stop_if(cancelled)
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        rx, ry = c * x - s * y + (nx - 1) / 2.0, s * x + c * y + (ny - 1) / 2.0
        on = (rx > -pad) & (rx < nx + pad - 1) & (ry > -pad) & (ry < ny + pad - 1)
        mock = np.zeros(size)
        np.add.at(mock, (np.rint(ry[on]).astype(int) % size[0], np.rint(rx[on]).astype(int) % size[1]), weight[on])
        mock_transform = fourier_gaussian(rfft2(mock), 0.42 * fwhm, size[1])
        mock_transform[0, 0] = 0.0
        correlation = np.where(window, irfft2(image * np.conj(mock_transform), s=size), -np.inf)
        top = np.unravel_index(int(np.argmax(correlation)), size)
        found.append((correlation[top], np.array([[c - 1.0, -s, ox[top[1]]], [s, c - 1.0, oy[top[0]]]])))
    found.sort(key=lambda f: -f[0])
    return [matrix for _, matrix in found[:3]]


@dataclass(frozen=True)
class _Match:
    """A correction with the stars it matches to peaks."""

    matrix: np.ndarray
    n: int
    rms: float
    chance: float
    tried: int
    method: str
    error: float

    @property
    def score(self) -> float:
        """Matches beyond those expected by chance."""
        return self.n - self.chance

    @property
    def trusted(self) -> bool:
        """Whether there are far more matches than chance gives, and a fair part of the stars has one."""
        return self.score > 4.0 * np.sqrt(self.chance + 0.25) and self.n >= max(3, 0.25 * self.tried)


class _Matcher:
    """Matches the brightest stars to the image's peaks and refines a correction on the pairs."""

    def __init__(
        self,
        points: np.ndarray,
        bright: np.ndarray,
        peaks: Peaks,
        centre: np.ndarray,
        fwhm: float,
        fit: str,
        shape: tuple[int, int],
    ) -> None:
        from scipy.spatial import cKDTree

        self.points, self.bright, self.fwhm, self.fit, self.shape = points[bright], bright, fwhm, fit, shape
        self.peaks = np.stack([peaks.x, peaks.y], axis=1) - centre
        self.tree = cKDTree(self.peaks) if len(self.peaks) else None
        self.half = np.array([shape[1], shape[0]]) / 2.0

    def pairs(self, matrix: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, int]:
        """Return matched stars and peaks (each peak once), and how many stars fall on the image."""
        moved = self.points + self.points @ matrix[:, :2].T + matrix[:, 2]
        inside = (np.abs(moved) <= self.half).all(1)
        if self.tree is None:
            return np.zeros(0, int), np.zeros(0, int), int(inside.sum())
        distance, index = self.tree.query(moved, distance_upper_bound=radius)
        stars = np.flatnonzero(np.isfinite(distance) & inside)
        stars = stars[np.argsort(distance[stars], kind="stable")]
        _, first = np.unique(index[stars], return_index=True)
        chosen = stars[first]
        return chosen, index[chosen], int(inside.sum())

    def refine(self, matrix: np.ndarray) -> _Match:
        """Improve a correction step by step, with ever smaller matching radius."""
        method, error = "none", np.inf
        radius = 1.5 * self.fwhm
        for radius in self.fwhm * np.array([1.5, 1.0, 0.7, 0.5, 0.5]):
            stars, peaks, _ = self.pairs(matrix, radius)
            if stars.size == 0:
                break
            matrix, method, error = self._fit(self.points[stars], self.peaks[peaks])
        stars, peaks, tried = self.pairs(matrix, radius)
        off = self.peaks[peaks] - self.points[stars] - self.points[stars] @ matrix[:, :2].T - matrix[:, 2]
        rms = float(np.sqrt((off**2).sum(1).mean())) if stars.size else float("nan")
        density = len(self.peaks) / (self.shape[0] * self.shape[1])
        chance = tried * (1.0 - np.exp(-density * np.pi * radius**2))
        return _Match(matrix, int(stars.size), rms, float(chance), tried, method, error)

    def _fit(self, stars: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, str, float]:
        """Fit offset, rotation or affine terms to pairs, clipping at 3 sigma; also the offset's standard error."""
        off = peaks - stars
        keep = np.ones(len(stars), bool)
        matrix, method = np.zeros((2, 3)), "offset"
        for _ in range(3):
            p, o = stars[keep], off[keep]
            if self.fit == "affine" and len(p) >= MIN_FOR_AFFINE:
                method = "affine"
                design = np.column_stack([p, np.ones(len(p))])
                matrix = np.linalg.lstsq(design, o, rcond=None)[0].T
            elif self.fit in ("rotation", "affine") and len(p) >= MIN_FOR_ROTATION:
                method = "rotation"
                matrix = _rigid(p, p + o)
            else:
                method = "offset"
                matrix = np.column_stack([np.zeros((2, 2)), np.median(o, axis=0)])
            distance = np.hypot(*(off - stars @ matrix[:, :2].T - matrix[:, 2]).T)
            scatter = 1.2 * float(np.median(distance[keep]))
            keep = distance <= 2.5 * max(scatter, 0.05)
        return matrix, method, scatter / np.sqrt(max(keep.sum(), 1))


def _rigid(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correction (2, 3) of the rotation and offset that take points `a` to `b` (Kabsch)."""
    ca, cb = a.mean(0), b.mean(0)
    u, _, vt = np.linalg.svd((a - ca).T @ (b - cb))
    turn = vt.T @ np.diag([1.0, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    return np.column_stack([turn - np.eye(2), cb - turn @ ca])


def _as_is(x: np.ndarray, y: np.ndarray, fwhm: float) -> Registration:
    """Return the list's own positions."""
    return Registration(x, y, np.zeros((2, 3)), (0.0, 0.0), 0.0, 1.0, 0, float("nan"), fwhm, "none")


def _finish(same: Registration, match: _Match, centre: np.ndarray, shape: tuple[int, int]) -> Registration:
    """Apply a correction, unless it moves nothing by more than its error."""
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * centre
    largest = np.hypot(*(corners @ match.matrix[:, :2].T + match.matrix[:, 2]).T).max()
    found = replace(same, n_matched=match.n, rms=match.rms)
    if largest < max(SAME_PLACE, 3.0 * match.error):
        return found
    points = np.stack([same.x, same.y], axis=1) - centre
    moved = points + points @ match.matrix[:, :2].T + match.matrix[:, 2] + centre
    jacobian = match.matrix[:, :2] + np.eye(2)
    rotation = float(np.degrees(np.arctan2(jacobian[1, 0] - jacobian[0, 1], jacobian[0, 0] + jacobian[1, 1])))
    dx, dy = match.matrix[:, 2].tolist()
    note = f"The star list is shifted by ({dx:+.2f}, {dy:+.2f}) spaxels and rotated by {rotation:+.3f} degrees."
    return replace(
        found, x=moved[:, 0], y=moved[:, 1], matrix=match.matrix, offset=(dx, dy), rotation=rotation,
        scale=float(np.sqrt(np.linalg.det(jacobian))), method=match.method, notes=(note,),
    )  # fmt: skip


def _few_stars(
    same: Registration, stars: StarList, bright: np.ndarray, peaks: Peaks, fwhm: float, reach: float
) -> Registration:
    """Register one to three stars: keep them where there is a peak, or take them all to the only bright peak near."""
    x, y = same.x[bright], same.y[bright]
    distance = np.hypot(peaks.x - x[:, None], peaks.y - y[:, None]) if peaks.x.size else np.full((x.size, 1), np.inf)
    on_peak = distance.min(1) < fwhm
    if on_peak.any():
        note = f"{bright.size} star{'s' * (bright.size > 1)} in the field: too few to check the star list's positions."
        rms = float(np.sqrt((distance.min(1)[on_peak] ** 2).mean()))
        return replace(same, n_matched=int(on_peak.sum()), rms=rms, notes=(note,))
    near = np.flatnonzero(distance[0] < reach)
    if near.size and (near.size == 1 or peaks.height[near[0]] > 5.0 * peaks.height[near[1]]):
        dx, dy = float(peaks.x[near[0]] - x[0]), float(peaks.y[near[0]] - y[0])
        matrix = np.column_stack([np.zeros((2, 2)), [dx, dy]])
        note = f"The star list is shifted by ({dx:+.1f}, {dy:+.1f}) spaxels to the only bright source near."
        return replace(
            same, x=same.x + dx, y=same.y + dy, matrix=matrix, offset=(dx, dy), n_matched=1, rms=0.0,
            method="offset", notes=(note,),
        )  # fmt: skip
    raise StellacubeError(
        f"Nothing bright is found at the position of {', '.join(stars.star_id[bright])}.",
        'Check the list\'s coordinates; registration.fit = "none" takes them as they are.',
    )


def _untrusted(same: Registration, match: _Matcher, stars: StarList, fwhm: float) -> Registration:
    """Keep the list's own positions where its brightest stars sit on peaks of the image; raise otherwise."""
    found, _, tried = match.pairs(np.zeros((2, 3)), fwhm)
    brightest = np.count_nonzero(found < 5)
    if found.size >= max(1, 0.3 * tried) or brightest >= 2:
        note = (
            f"The star list could not be checked by cross-correlation; {found.size} of its {tried} brightest stars "
            "coincide with peaks of the image and its coordinates are used as they are."
        )
        return replace(same, n_matched=int(found.size), notes=(note,))
    raise StellacubeError(
        f"The star list {stars.source} does not match the image: {found.size} of {tried} bright stars sit on a peak.",
        "Check that list and cube belong together, raise registration.max_offset or max_rotation, or set "
        'registration.fit = "none" to trust the coordinates.',
    )
