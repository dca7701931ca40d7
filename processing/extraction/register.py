"""Laying a star list over a cube: offset and rotation by cross-correlation, then a fit of the list's mock image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.checkpoint import Block
from processing.errors import StellacubeError
from processing.extraction.align import Aligner, Alignment, Terms
from processing.extraction.overlay import Overlay, UnmatchedListError
from processing.extraction.peaks import Peaks, cross_correlate, find_peaks, high_pass, match_peaks, measure_fwhm
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import RegistrationSettings

if TYPE_CHECKING:
    from processing.reference import StarList

FEW_STARS = 4
"""With fewer stars a cross-correlation proves nothing; positions must coincide with peaks."""
MIN_FOR_AFFINE = 25
FIRST_STEPS = 6
"""Steps after which the places that the cross-correlation found are compared."""
SAME_PLACE = 0.15
"""A correction that moves no star by more than this (spaxels) is not applied: the PSF fit has the final word."""
CERTAIN = 6.0
"""Significance of the images' correlation from which a correction is trusted, the best of many that were tried."""
HIGHEST = 10
"""The highest peaks of the image, which a list without useful magnitudes must have stars at."""
CHANCE = 1e-3
"""Probability that so many of them coincide with stars by chance, below which the list is used as it is."""
FAITHFUL = 0.9
"""Correlation from which the mock image's width is that of the stars: it is exact where all of them are blended."""
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
        Image in white light or the list's passband; NaN where there are no data.
    settings : RegistrationSettings

    Raises
    ------
    UnmatchedListError
        If the list cannot be matched to the image; it can draw both.
    StellacubeError
        If no star of the list lies in the field.
    """
    _require_same_sky(cube, stars, white.shape)
    x, y = stars.positions(cube)
    scale = cube.pixel_scale if np.isfinite(cube.pixel_scale) else DEFAULT_SCALE
    reach = settings.max_offset / scale
    _require_overlap(stars, x, y, white.shape, reach)
    progress(0.0, "Laying the star list over the cube")
    contrast = high_pass(white)
    fwhm = measure_fwhm(contrast, white)
    same = _as_is(x, y, fwhm)
    if settings.fit == "none":
        return same
    centre = np.array([(white.shape[1] - 1) / 2.0, (white.shape[0] - 1) / 2.0])
    bright = _near(x, y, stars.mag, white.shape, 0.1 * max(white.shape))
    peaks = find_peaks(contrast, fwhm)
    if _near(x, y, stars.mag, white.shape, reach).size < FEW_STARS:
        return _few_stars(same, stars, bright, peaks, fwhm, reach, white)
    stop_if(cancelled)
    aligner = Aligner(white, np.stack([x, y], axis=1) - centre, _relative_flux(stars.mag), fwhm)
    as_is = aligner.fit(aligner.start(np.zeros((2, 3))), "none")
    best = _align(aligner, as_is, reach, settings, cancelled)
    if best.significance < CERTAIN and bright.size < FEW_STARS:
        return _few_stars(same, stars, bright, peaks, fwhm, reach, white)
    if best.significance < CERTAIN and _by_chance(x, y, peaks, fwhm, white.shape) > CHANCE:
        tried = _finish(same, best, centre)
        raise UnmatchedListError(
            f"The star list {stars.source} does not match the image: where it fits best, "
            f"{np.hypot(*best.matrix[:, 2]):.0f} spaxels away, it explains "
            f"{100 * max(best.correlation, 0.0) ** 2:.0f} % of the image's structure.",
            "Check that list and cube belong together, raise registration.max_offset or max_rotation, or set "
            'registration.fit = "none" to trust the coordinates.',
            Overlay(white, x, y, tried.x, tried.y, stars.mag, peaks.x, peaks.y, stars.source),
        )
    if best.significance < CERTAIN:
        best = as_is
        note = (
            "The highest peaks of the image are stars of the list but not as bright as the list says: "
            "its coordinates are used as they are."
        )
        same = replace(same, notes=(note,))
    elif best.correlation > FAITHFUL:
        same = replace(same, fwhm=best.fwhm)
    found = _finish(same, best, centre)
    bright = _near(found.x, found.y, stars.mag, white.shape, 0.0)
    n, rms = match_peaks(found.x[bright], found.y[bright], peaks, 0.5 * found.fwhm)
    progress(1.0, f"{n} stars of the list matched")
    return replace(found, n_matched=n, rms=rms, notes=(*found.notes, *_residuals(n, rms, scale)))


def _align(
    aligner: Aligner, as_is: Alignment, reach: float, settings: RegistrationSettings, cancelled: CancelCheck
) -> Alignment:
    """Return the best correction that the settings allow; another place must be clearly better than the list's own."""
    turns = settings.fit in ("rotation", "affine")
    best = min(as_is, aligner.fit(as_is, "offset"), key=lambda a: a.price)
    matrices = []
    if best.significance < 2.0 * CERTAIN or best.correlation < FAITHFUL:
        x, y = aligner.points.T
        turn = settings.max_rotation if turns else 0.0
        matrices = cross_correlate(aligner.data, x, y, aligner.flux, aligner.fwhm, reach, turn, cancelled)
    for matrix in matrices:
        stop_if(cancelled)
        terms: Terms = "rotation" if matrix[1, 0] else "offset"
        other = aligner.fit(aligner.start(matrix), terms, FIRST_STEPS)
        if other.significance > 1.1 * best.significance + 0.5:
            best = other
    if best.terms != "none":
        best = aligner.fit(best, best.terms)
    further: list[Terms] = ["rotation"] if turns else []
    if settings.fit == "affine" and aligner.near(best.matrix).size >= MIN_FOR_AFFINE:
        further.append("affine")
    for terms in further:
        stop_if(cancelled)
        best = min(best, aligner.fit(best, terms), key=lambda a: a.price)
    return best


def _by_chance(x: np.ndarray, y: np.ndarray, peaks: Peaks, fwhm: float, shape: tuple[int, int]) -> float:
    """Return the probability that so many of the highest peaks have a star at half a FWHM by chance."""
    from scipy.stats import binom

    inside = (x > 0) & (x < shape[1]) & (y > 0) & (y < shape[0])
    top_x, top_y = peaks.x[:HIGHEST, None], peaks.y[:HIGHEST, None]
    hit = (np.hypot(top_x - x[inside], top_y - y[inside]) < 0.5 * fwhm).any(1)
    chance = 1.0 - np.exp(-inside.sum() / (shape[0] * shape[1]) * np.pi * (0.5 * fwhm) ** 2)
    return float(binom.sf(hit.sum() - 1, hit.size, chance))


def _relative_flux(mag: np.ndarray) -> np.ndarray:
    """Return relative fluxes; stars without magnitude count as faint ones."""
    known = np.isfinite(mag)
    faint = np.percentile(mag[known], 90) if known.any() else 0.0
    return np.asarray(10.0 ** (-0.4 * (np.where(known, mag, faint) - faint)))


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


def _near(x: np.ndarray, y: np.ndarray, mag: np.ndarray, shape: tuple[int, int], margin: float) -> np.ndarray:
    """Return the stars in the field or up to `margin` spaxels outside, the brightest first."""
    ny, nx = shape
    near = np.flatnonzero((x > -margin) & (x < nx + margin) & (y > -margin) & (y < ny + margin))
    return near[np.argsort(mag[near], kind="stable")]


def _as_is(x: np.ndarray, y: np.ndarray, fwhm: float) -> Registration:
    """Return the list's own positions."""
    return Registration(x, y, np.zeros((2, 3)), (0.0, 0.0), 0.0, 1.0, 0, float("nan"), fwhm, "none")


def _residuals(n: int, rms: float, scale: float) -> tuple[str, ...]:
    """Return a sentence on the matched stars; `scale` is arcsec per spaxel."""
    if n == 0:
        return ()
    return (f'{n} stars of the list coincide with peaks of the image to {rms:.2f} spaxels ({rms * scale:.3f}").',)


def _finish(same: Registration, match: Alignment, centre: np.ndarray) -> Registration:
    """Apply a correction, unless it moves next to nothing."""
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * centre
    largest = np.hypot(*(corners @ match.matrix[:, :2].T + match.matrix[:, 2]).T).max()
    if largest < SAME_PLACE:
        return same
    points = np.stack([same.x, same.y], axis=1) - centre
    moved = points + points @ match.matrix[:, :2].T + match.matrix[:, 2] + centre
    jacobian = match.matrix[:, :2] + np.eye(2)
    rotation = float(np.degrees(np.arctan2(jacobian[1, 0] - jacobian[0, 1], jacobian[0, 0] + jacobian[1, 1])))
    dx, dy = match.matrix[:, 2].tolist()
    scale = float(np.sqrt(np.linalg.det(jacobian)))
    note = f"The star list is shifted by ({dx:+.2f}, {dy:+.2f}) spaxels and rotated by {rotation:+.3f} degrees"
    note += f", its scale changed by {100 * (scale - 1):+.2f} %." if match.terms == "affine" else "."
    return replace(
        same, x=moved[:, 0], y=moved[:, 1], matrix=match.matrix, offset=(dx, dy), rotation=rotation, scale=scale,
        method=match.terms, notes=(note,),
    )  # fmt: skip


def _few_stars(
    same: Registration, stars: StarList, bright: np.ndarray, peaks: Peaks, fwhm: float, reach: float,
    white: np.ndarray,
) -> Registration:  # fmt: skip
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
    raise UnmatchedListError(
        f"Nothing bright is found at the position of {', '.join(stars.star_id[bright])}.",
        'Check the list\'s coordinates; registration.fit = "none" takes them as they are.',
        Overlay(white, same.x, same.y, same.x, same.y, stars.mag, peaks.x, peaks.y, stars.source),
    )
