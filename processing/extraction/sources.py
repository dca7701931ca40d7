"""Which stars of the list get a spectrum, which are only modelled, and why the others are left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.errors import StellacubeError
from processing.extraction.defects import Saturation
from processing.extraction.linear import NormalFactor, background_matrix, light_on, make_stamps, narrowest_order
from processing.extraction.psf import PsfModel, constant_psf
from processing.settings import PsfSettings, SourceSettings

if TYPE_CHECKING:
    from processing.reference import StarList

N_SAMPLE = 24
"""Layers looked at for the typical noise."""
N_BRIGHT = 400
"""Stars that are measured together for the zero point."""
DENSITY_RADIUS = 5.0
"""The confusion density is counted within this many FWHM."""
MIN_LIGHT = 0.02
"""A contaminant with less of its light on valid pixels is not worth modelling."""
DENSEST = 1.0
"""Detected stars per resolution element above which deblending breaks down (Kamann et al. 2013)."""


@dataclass(frozen=True)
class SourceTable:
    """What became of every star of the list; all arrays have shape (n,).

    Parameters
    ----------
    star_id : ndarray of str
    x, y : ndarray
        Registered positions, 0-based spaxels; those of a merged group for its brightest star. NaN if unknown.
    ra, dec : ndarray
        ICRS degrees of the list; NaN if unknown.
    mag : ndarray
        Magnitude of the list; NaN if unknown.
    status : ndarray of str
        "extracted"; "merged" into a brighter star; "contaminant": outside the field, modelled because its light
        reaches in; "saturated": modelled by its wings; and not modelled "faint", "confused", "outside".
    reason : ndarray of str
        A sentence on why a star has no spectrum of its own; empty for extracted stars.
    flux_predicted : ndarray
        Mean flux per layer in the list's passband, in the cube's unit, from the magnitude or measured; NaN if unknown.
    snr_predicted : ndarray
        Signal-to-noise per layer that isolated PSF photometry would have there; NaN if unknown.
    multistar : ndarray of bool
        True where the spectrum is that of several merged stars.
    edge_dist : ndarray
        Distance from the nearest spaxel without data, spaxels; 0 outside the field.
    dx, dy : ndarray, optional
        How far (x, y) is from the list's registered position, spaxels: 0 where the light tells no more than the list.
    """

    star_id: np.ndarray
    x: np.ndarray
    y: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    mag: np.ndarray
    status: np.ndarray
    reason: np.ndarray
    flux_predicted: np.ndarray
    snr_predicted: np.ndarray
    multistar: np.ndarray
    edge_dist: np.ndarray
    dx: np.ndarray = field(default_factory=lambda: np.zeros(0))
    dy: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        for name in ("dx", "dy"):
            if getattr(self, name).size == 0:
                object.__setattr__(self, name, np.zeros(self.x.size))

    @property
    def extracted(self) -> np.ndarray:
        """True for stars that get a spectrum."""
        return self.status == "extracted"

    @property
    def modelled(self) -> np.ndarray:
        """True for stars whose light the solve models."""
        return self.extracted | np.isin(self.status, ("contaminant", "saturated"))


@dataclass(frozen=True)
class FieldImage:
    """The field as the selection sees it.

    Parameters
    ----------
    white : ndarray, shape (ny, nx)
        Mean flux per layer, of white light or the list's passband; NaN where there are no data.
    variance : ndarray, shape (ny, nx)
        Typical variance of one layer; NaN where there are no data.
    """

    white: np.ndarray
    variance: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        """Boolean image, True where there are data."""
        return np.isfinite(self.white) & np.isfinite(self.variance)


@dataclass(frozen=True)
class ZeroPoint:
    """What a magnitude means in the cube, from the brightest stars of the list whatever their colours.

    Parameters
    ----------
    mag : float
        Of a star with a mean flux of one unit per layer; NaN if no star can be measured.
    scatter : float
        Robust, mag.
    n : int
        Stars it rests on.
    """

    mag: float
    scatter: float
    n: int


def field_image(cube: Any, white: np.ndarray, wave_range: tuple[float, float] = (0.0, np.inf)) -> FieldImage:
    """Return an image of the cube with the median variance of a few layers spread over its wavelength range."""
    first, last = np.searchsorted(cube.wave, wave_range)
    last = max(min(int(last), cube.wave.size), int(first) + 1)
    layers = np.unique(np.linspace(first, last - 1, N_SAMPLE + 2).astype(int)[1:-1])
    ivar = np.concatenate([cube.block(int(i), int(i) + 1).ivar for i in layers])
    variance = np.where(ivar > 0, 1.0 / np.where(ivar > 0, ivar, 1.0), np.nan)
    some = np.isfinite(variance).any(0) & np.isfinite(white)
    typical = np.full(white.shape, np.nan)
    typical[some] = np.nanmedian(variance[:, some], axis=0)
    return FieldImage(np.where(some, white, np.nan), typical)


def select_sources(
    stars: StarList, x: np.ndarray, y: np.ndarray, image: FieldImage, fwhm: float, settings: SourceSettings,
    psf: PsfSettings, saturation: Saturation | None = None,
) -> tuple[SourceTable, tuple[str, ...]]:  # fmt: skip
    """Decide about every star of the list; return the decisions, and sentences on what the field is like.

    Parameters
    ----------
    stars : StarList
    x, y : ndarray, shape (n,)
        Registered positions, spaxels.
    image : FieldImage
    fwhm : float
        Of the image, spaxels.
    saturation : Saturation, optional
        The stars whose cores cannot be used.
    """
    n, valid = len(stars), image.valid
    status, reason = np.full(n, "extracted", dtype="<U12"), np.full(n, "", dtype=object)

    def leave_out(index: np.ndarray, as_what: str, sentences: list[str] | str) -> None:
        status[index] = as_what
        reason[index] = sentences

    edge = _edge_distance(x, y, valid)
    inside = edge > 0
    far = edge < -settings.edge_margin * fwhm
    leave_out(far, "outside", [f"{-d:.0f} spaxels outside the field" for d in edge[far]])
    unknown = ~np.isfinite(edge)
    leave_out(unknown, "outside", "no position in the list")
    near = np.flatnonzero(~far & ~unknown)
    flux = np.full(n, np.nan)
    flux[near], zero = predict_fluxes(x[near], y[near], stars.mag[near], image, fwhm, psf.beta)
    snr = np.full(n, np.nan)
    snr[near] = flux[near] / _flux_noise(x[near], y[near], image, fwhm, psf.beta)

    rank = np.argsort(-np.nan_to_num(flux), kind="stable")
    rank = rank[np.isin(rank, near)]
    x, y, multistar = x.copy(), y.copy(), np.zeros(n, bool)
    for i, group in merged_groups(x, y, rank, settings.merge_radius * fwhm):
        apart = np.hypot(x[group] - x[i], y[group] - y[i])
        sentences = [f"{d:.1f} spaxels from {stars.star_id[i]} and extracted with it" for d in apart]
        leave_out(group, "merged", sentences)
        together = np.append(group, i)
        weight = np.maximum(flux[together], 0.0)
        if weight.sum() > 0:
            x[i], y[i] = np.average(x[together], weights=weight), np.average(y[together], weights=weight)
        snr[i] *= weight.sum() / max(flux[i], 1e-30) if flux[i] > 0 else 1.0
        flux[i] = weight.sum()
        multistar[i] = True

    if saturation is not None:
        burnt = np.flatnonzero(saturation.star & (status == "extracted"))
        leave_out(burnt, "saturated", saturation.reason[burnt].tolist())
    open_ = status == "extracted"
    faint = open_ & ~(snr >= settings.snr_min)
    leave_out(faint & inside, "faint", [f"predicted S/N {s:.1f}" for s in snr[faint & inside]])
    leave_out(faint & ~inside, "outside", "outside the field and too faint to matter")
    light = np.zeros(n)
    off = np.flatnonzero(open_ & ~faint & ~inside)
    light[off] = light_on(valid, x[off], y[off], fwhm, max(psf.radius, 4.0 * fwhm))
    reaching = np.isin(np.arange(n), off) & (light > MIN_LIGHT) & (light * snr > settings.snr_min)
    ny, nx = valid.shape
    hole = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
    where = np.where(hole, "inside a region without data", "outside the field")
    leave_out(
        reaching, "contaminant",
        [f"{-edge[i]:.0f} spaxels {where[i]}; its light reaches the data" for i in np.flatnonzero(reaching)],
    )  # fmt: skip
    lost = np.isin(np.arange(n), off) & ~reaching
    leave_out(lost, "outside", "outside the field; its light does not reach in")
    detected = int((status == "extracted").sum())
    shining = np.isin(status[rank], ("extracted", "contaminant", "saturated"))
    density = confusion_density(x, y, rank[shining], fwhm, n)
    confused = (status == "extracted") & (density > settings.confusion_density)
    leave_out(confused, "confused", [f"{d:.2f} stars as bright per resolution element" for d in density[confused]])
    table = SourceTable(
        stars.star_id.astype(str), x, y, stars.ra, stars.dec, stars.mag, status, reason.astype(str), flux, snr,
        multistar, np.clip(np.nan_to_num(edge), 0.0, None),
    )  # fmt: skip
    return table, _field_notes(zero, detected / (4.0 * valid.sum() / (np.pi * fwhm**2)))


def _field_notes(zero: ZeroPoint, crowding: float) -> tuple[str, ...]:
    """Return sentences on the zero point and on too many stars; `crowding` counts them per resolution element."""
    notes = []
    if zero.n > 1:
        notes.append(
            f"Magnitude {zero.mag:.2f} is one unit of flux, whatever a star's colour: "
            f"{zero.n} stars scatter by {zero.scatter:.2f} mag."
        )
    if crowding > DENSEST:
        notes.append(
            f"There are {crowding:.1f} detected stars per resolution element. Above about one, deblending breaks down: "
            "trust the brighter stars, or observe in better seeing."
        )
    return tuple(notes)


def require_stars(sources: SourceTable, stars: StarList) -> None:
    """Raise `StellacubeError` if no star gets a spectrum; the message counts the reasons."""
    if sources.extracted.any():
        return
    kinds, counts = np.unique(sources.status, return_counts=True)
    why = ", ".join(f"{c} {k}" for k, c in zip(kinds, counts, strict=True))
    raise StellacubeError(
        f"None of the {len(stars)} stars of {stars.source} can be extracted ({why}).",
        "Check that the list belongs to this field, or lower sources.snr_min in the settings.",
    )


def predict_fluxes(
    x: np.ndarray, y: np.ndarray, mag: np.ndarray, image: FieldImage, fwhm: float, beta: float
) -> tuple[np.ndarray, ZeroPoint]:
    """Return the mean flux per layer of every star, from its magnitude or measured where it has none; and the scale.

    The zero point is the clipped median over the brightest stars, by PSF photometry of many at once: it needs no
    lonely stars.
    """
    flux = np.full(x.size, np.nan)
    zero = ZeroPoint(float("nan"), float("nan"), 0)
    known = np.isfinite(mag)
    if known.any():
        zero = zero_point(x[known], y[known], mag[known], image, fwhm, beta)
        flux[known] = 10.0 ** (0.4 * (zero.mag - mag[known]))
    missing = ~np.isfinite(flux)
    if missing.any():
        flux[missing] = measured_fluxes(x, y, image, fwhm, beta)[missing]
    return flux, zero


def zero_point(x: np.ndarray, y: np.ndarray, mag: np.ndarray, image: FieldImage, fwhm: float, beta: float) -> ZeroPoint:
    """Compare the brightest stars' fluxes with their magnitudes."""
    bright = np.argsort(mag, kind="stable")[:N_BRIGHT]
    measured = measured_fluxes(x[bright], y[bright], image, fwhm, beta)
    best = np.flatnonzero(measured > 0)[: max(5, N_BRIGHT // 8)]
    if best.size == 0:
        return ZeroPoint(float("nan"), float("nan"), 0)
    values = mag[bright[best]] + 2.5 * np.log10(measured[best])
    for _ in range(3):
        centre = np.median(values)
        spread = max(1.4826 * float(np.median(np.abs(values - centre))), 0.05)
        values = values[np.abs(values - centre) <= 3.0 * spread]
    scatter = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return ZeroPoint(float(np.median(values)), scatter, values.size)


def measured_fluxes(x: np.ndarray, y: np.ndarray, image: FieldImage, fwhm: float, beta: float) -> np.ndarray:
    """Return PSF fluxes of all stars at once on the white-light image, with a round Moffat."""
    psf = constant_psf("moffat", fwhm, beta, np.array([0.0, 1.0]), 0.0, 0.0)
    return fit_image(x, y, image, psf, 0.0, background_matrix(image.valid, "patches", 50))[0]


def fit_image(
    x: np.ndarray, y: np.ndarray, image: FieldImage, psf: PsfModel, wave: float, sky: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the stars' fluxes (n_star,) on one image, and what is left of it, shape (ny, nx)."""
    radius = 4.0 * float(psf.fwhm(wave))
    order = narrowest_order(x, y, 2.0 * radius + 1.0)
    px, py = psf.positions(x[order], y[order], wave)
    stamps = make_stamps(px, py, image.valid, radius, taper=False)
    matrix = stamps.matrix(stamps.profile(psf.at(wave), px, py))
    weight = 1.0 / image.variance[image.valid]
    factor = NormalFactor(matrix, sky, weight)
    data = (weight * image.white[image.valid])[:, None]
    solution = factor.solve(np.concatenate([matrix @ data, sky @ data]))[:, 0]
    flux = np.empty(x.size)
    flux[order] = solution[: x.size]
    residual = np.zeros(image.white.shape)
    model = matrix.T @ solution[: x.size] + sky.T @ solution[x.size :]
    residual[image.valid] = image.white[image.valid] - model
    return flux, residual


def _flux_noise(x: np.ndarray, y: np.ndarray, image: FieldImage, fwhm: float, beta: float) -> np.ndarray:
    """Return the 1-sigma error of one layer's flux of an isolated star: sqrt(variance / sum(PSF^2))."""
    r = np.arange(-int(4 * fwhm), int(4 * fwhm) + 1)
    psf = constant_psf("moffat", fwhm, beta, np.array([0.0, 1.0]), 0.0, 0.0)
    stamp = psf.stamp(r.size // 2, r.size // 2, 0.0, (r.size, r.size))
    ny, nx = image.variance.shape
    local = image.variance[np.clip(np.rint(y), 0, ny - 1).astype(int), np.clip(np.rint(x), 0, nx - 1).astype(int)]
    typical = float(np.nanmedian(image.variance))
    return np.sqrt(np.where(np.isfinite(local), local, typical) / (stamp**2).sum())


def merged_groups(x: np.ndarray, y: np.ndarray, rank: np.ndarray, radius: float) -> list[tuple[int, np.ndarray]]:
    """Return (brightest star, fainter stars within `radius` of it), going through the stars by brightness."""
    from scipy.spatial import cKDTree

    if rank.size == 0 or radius <= 0:
        return []
    near = cKDTree(np.stack([x[rank], y[rank]], axis=1)).query_ball_point(np.stack([x[rank], y[rank]], axis=1), radius)
    taken = np.zeros(rank.size, bool)
    groups = []
    for k, members in enumerate(near):
        if taken[k]:
            continue
        fainter = [m for m in sorted(members) if m > k and not taken[m]]
        if fainter:
            taken[fainter] = True
            groups.append((int(rank[k]), rank[fainter]))
    return groups


def confusion_density(x: np.ndarray, y: np.ndarray, rank: np.ndarray, fwhm: float, n: int) -> np.ndarray:
    """Return how many stars brighter than each one there are per resolution element (pi FWHM^2 / 4) around it.

    `rank` holds the stars to count, the brightest first; others get 0. The star itself is not counted.
    """
    from scipy.spatial import cKDTree

    density = np.zeros(n)
    if rank.size == 0:
        return density
    points = np.stack([x[rank], y[rank]], axis=1)
    near = cKDTree(points).query_ball_point(points, DENSITY_RADIUS * fwhm)
    brighter = np.array([np.count_nonzero(np.asarray(members) < k) for k, members in enumerate(near)])
    density[rank] = brighter / (4.0 * DENSITY_RADIUS**2)
    return density


def _edge_distance(x: np.ndarray, y: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the distance to the field's edge in spaxels: positive inside, negative outside, NaN without position."""
    from scipy.ndimage import distance_transform_edt

    known = np.isfinite(x) & np.isfinite(y)
    out = np.full(x.size, np.nan)
    ny, nx = valid.shape
    pad = 1
    padded = np.pad(valid, pad)
    inner, outer = distance_transform_edt(padded), distance_transform_edt(~padded)
    ix, iy = np.rint(x[known]).astype(int), np.rint(y[known]).astype(int)
    cx, cy = np.clip(ix, -pad, nx - 1 + pad), np.clip(iy, -pad, ny - 1 + pad)
    beyond = np.hypot(ix - cx, iy - cy)
    at = inner[cy + pad, cx + pad]
    out[known] = np.where(at > 0, at, -(outer[cy + pad, cx + pad] + beyond))
    return out
