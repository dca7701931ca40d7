"""Laying a star list over a cube: offset and rotation by cross-correlation, then a match of stars to peaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.checkpoint import Block
from processing.errors import StellacubeError
from processing.extraction.match import Match, Matcher
from processing.extraction.peaks import Peaks, cross_correlate, find_peaks, high_pass, measure_fwhm
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import RegistrationSettings

if TYPE_CHECKING:
    from processing.reference import StarList

MAX_TRIED = 80
"""The brightest stars of the list that are expected to show as peaks."""
FEW_STARS = 4
"""With fewer stars a cross-correlation proves nothing; positions must coincide with peaks."""
SAME_PLACE = 0.15
"""A correction that moves no star by more than this (spaxels) is not applied: the PSF fit has the final word."""
UNTRUSTED_RADIUS = 0.6
"""A star coincides with a peak within this many FWHM."""
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
    _require_same_sky(cube, stars, white.shape)
    x, y = stars.positions(cube)
    reach = settings.max_offset / (cube.pixel_scale if np.isfinite(cube.pixel_scale) else DEFAULT_SCALE)
    _require_overlap(stars, x, y, white.shape, reach)
    progress(0.0, "Laying the star list over the cube")
    contrast = high_pass(white)
    fwhm = measure_fwhm(contrast, white)
    same = _as_is(x, y, fwhm)
    if settings.fit == "none":
        return same
    peaks = find_peaks(contrast, fwhm)
    centre = np.array([(white.shape[1] - 1) / 2.0, (white.shape[0] - 1) / 2.0])
    bright = _brightest(x, y, stars.mag, white.shape, reach, peaks.x.size)
    if bright.size < FEW_STARS:
        return _few_stars(same, stars, bright, peaks, fwhm, reach)
    stop_if(cancelled)
    match = Matcher(np.stack([x, y], axis=1) - centre, bright, peaks, centre, fwhm, settings.fit, white.shape)
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


def _require_same_sky(cube: Any, stars: StarList, shape: tuple[int, int]) -> None:
    """Raise if all stars are too far away to be projected on the cube's tangent plane."""
    known = np.flatnonzero(np.isfinite(stars.ra) & np.isfinite(stars.dec))
    if cube.wcs is None or known.size == 0:
        return
    separation = _separation(cube, stars.ra[known], stars.dec[known], shape)
    i = int(np.argmin(separation))
    if separation[i] > 1.0:
        _refuse(stars, known[i], f"{separation[i]:.1f} degrees from its centre")


def _require_overlap(stars: StarList, x: np.ndarray, y: np.ndarray, shape: tuple[int, int], reach: float) -> None:
    """Raise if no star lies in the field or within the largest offset of it."""
    ny, nx = shape
    away = np.hypot(np.clip(np.maximum(-x, x - nx + 1), 0, None), np.clip(np.maximum(-y, y - ny + 1), 0, None))
    i = int(np.nanargmin(away))
    if away[i] > reach:
        _refuse(stars, i, f"{away[i]:.0f} spaxels outside")


def _refuse(stars: StarList, nearest: int, where: str) -> None:
    raise StellacubeError(
        f"None of the {len(stars)} stars of {stars.source} lies in the field of view: the nearest, "
        f"{stars.star_id[nearest]}, is {where}.",
        "Check that list and cube belong together: ra and dec in ICRS degrees, x and y in spaxels from 0.",
    )


def _separation(cube: Any, ra: np.ndarray, dec: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the angular distance of stars from the field's centre in degrees."""
    ra0, dec0 = np.radians(cube.pixel_to_world((shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0))
    ra, dec = np.radians(ra), np.radians(dec)
    half = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec0) * np.cos(dec) * np.sin((ra - ra0) / 2) ** 2
    return np.degrees(2.0 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))))


def _brightest(
    x: np.ndarray, y: np.ndarray, mag: np.ndarray, shape: tuple[int, int], reach: float, n_peak: int
) -> np.ndarray:
    """Return the stars expected to show as peaks, about as many as there are peaks: the brightest in or near."""
    ny, nx = shape
    margin = min(reach, 0.1 * max(shape))
    near = np.flatnonzero((x > -margin) & (x < nx + margin) & (y > -margin) & (y < ny + margin))
    known = near[np.isfinite(mag[near])]
    if known.size >= max(FEW_STARS, near.size // 2):
        near = known[np.argsort(mag[known], kind="stable")]
    return near[: min(MAX_TRIED, n_peak + n_peak // 4 + 5)]


def _as_is(x: np.ndarray, y: np.ndarray, fwhm: float) -> Registration:
    """Return the list's own positions."""
    return Registration(x, y, np.zeros((2, 3)), (0.0, 0.0), 0.0, 1.0, 0, float("nan"), fwhm, "none")


def _finish(same: Registration, match: Match, centre: np.ndarray, shape: tuple[int, int]) -> Registration:
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
    """Register one to three stars: keep them where there is a peak, or take one to the only bright peak near."""
    x, y = same.x[bright], same.y[bright]
    distance = np.hypot(peaks.x - x[:, None], peaks.y - y[:, None]) if peaks.x.size else np.full((x.size, 1), np.inf)
    on_peak = distance.min(1) < fwhm
    if on_peak.any():
        note = f"{bright.size} star{'s' * (bright.size > 1)} in the field: too few to check the star list's positions."
        rms = float(np.sqrt((distance.min(1)[on_peak] ** 2).mean()))
        return replace(same, n_matched=int(on_peak.sum()), rms=rms, notes=(note,))
    near = np.flatnonzero(distance[0] < reach)
    if bright.size == 1 and near.size and (near.size == 1 or peaks.height[near[0]] > 5.0 * peaks.height[near[1]]):
        dx, dy = float(peaks.x[near[0]] - x[0]), float(peaks.y[near[0]] - y[0])
        matrix = np.column_stack([np.zeros((2, 2)), [dx, dy]])
        note = f"The star is taken to be the only bright source near, ({dx:+.1f}, {dy:+.1f}) spaxels away."
        return replace(
            same, x=same.x + dx, y=same.y + dy, matrix=matrix, offset=(dx, dy), n_matched=1, rms=0.0,
            method="offset", notes=(note,),
        )  # fmt: skip
    raise StellacubeError(
        f"Nothing bright is found at the position of {', '.join(stars.star_id[bright])}.",
        'Check the list\'s coordinates; registration.fit = "none" takes them as they are.',
    )


def _untrusted(same: Registration, match: Matcher, stars: StarList, fwhm: float) -> Registration:
    """Keep the list's own positions where its brightest stars sit on peaks, beyond chance; raise otherwise."""
    from scipy.stats import binom

    found, _, tried = match.pairs(np.zeros((2, 3)), UNTRUSTED_RADIUS * fwhm)
    by_chance = match.chance(UNTRUSTED_RADIUS * fwhm)
    odds = [binom.sf(np.count_nonzero(found < n) - 1, min(n, tried), by_chance) for n in (3, 6, tried) if tried]
    if min(odds, default=1.0) < 0.01:
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
