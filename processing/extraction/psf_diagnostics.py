"""How well the PSF describes the stars: its parameters against wavelength, and what the PSF stars look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processing.extraction.psf import PsfModel
from processing.extraction.psf_profiles import parameter_names

if TYPE_CHECKING:
    from processing.session import Session
    from processing.spectrum import StarSpectrum

N_CURVE = 200
N_KNOTS = 9
"""Wavelengths whose mean stands for white light."""
AT_MOST = 20
"""Stars that are stacked."""
LONELY = 0.25
"""Highest contamination of a star that is stacked: its neighbours are subtracted, but none too well where close."""
REACH = 3.0
"""The stack reaches out to this many FWHM."""
RING = 0.5
"""Width of the radial profile's rings, spaxels."""


@dataclass(frozen=True)
class PsfDiagnostics:
    """What there is to see of a PSF.

    Parameters
    ----------
    model : PsfModel
        With the bins that were fitted.
    wave : ndarray, shape (n,)
        Angstrom.
    curves : dict of str to ndarray, shape (n,)
        The polynomials through the bins, by `parameter_names`.
    stars : tuple of str
        The bright, lonely stars that are stacked; empty where there are none.
    radius : ndarray, shape (m,)
        Spaxels from the centre.
    profile, spread, fitted : ndarray, shape (m,)
        White light per spaxel over the star's flux: mean over the stars, its scatter from star to star, and the
        model's.
    residual : ndarray, shape (k, k)
        Mean residual of these stars in per cent of the model's peak.
    """

    model: PsfModel
    wave: np.ndarray
    curves: dict[str, np.ndarray]
    stars: tuple[str, ...]
    radius: np.ndarray
    profile: np.ndarray
    spread: np.ndarray
    fitted: np.ndarray
    residual: np.ndarray


def psf_diagnostics(session: Session) -> PsfDiagnostics | None:
    """Return what a session tells of its PSF; None where it holds no extraction of a cube."""
    block, residual = session.load("psf"), session.image("residual")
    if block is None:
        return None
    model = PsfModel.from_arrays(block)
    wave = np.linspace(model.wave_min, model.wave_max, N_CURVE)
    curves = dict(zip(parameter_names(model.profile), model.parameters(wave).T, strict=True))
    nothing, width = np.empty(0), 2 * _reach(model) + 1
    if residual is None or not (chosen := _chosen(session, model)):
        return PsfDiagnostics(
            model, wave, curves, (), nothing, nothing, nothing, nothing, residual=np.zeros((width, width))
        )
    cutouts = [_cutout(star, model, residual) for star in chosen]
    radius, seen, expected = _profiles(cutouts, _reach(model))
    names = tuple(star.star_id for star in chosen)
    profile, spread = np.nanmean(seen, axis=0), np.nanstd(seen, axis=0)
    return PsfDiagnostics(
        model, wave, curves, names, radius, profile, spread, np.nanmean(expected, axis=0), _mean_residual(cutouts)
    )


@dataclass(frozen=True)
class _Cutout:
    """A star's surroundings; the images have shape (k, k).

    Parameters
    ----------
    radius : ndarray
        Distance from the star's centre, spaxels.
    unit : ndarray
        Model in white light of a star of unit flux.
    residual : ndarray
        White light minus all models; NaN outside the field.
    flux : float
        Of the star, mean over the layers.
    """

    radius: np.ndarray
    unit: np.ndarray
    residual: np.ndarray
    flux: float


def _chosen(session: Session, model: PsfModel) -> list[StarSpectrum]:
    """Return the brightest stars that have the stack's area to themselves, nearly."""
    stars = [
        star
        for star in session.spectra()
        if not star.meta.get("multistar", False)
        and float(star.meta.get("contamination", 1.0)) < LONELY
        and float(star.meta.get("edge_dist", 0.0)) > 0.5 * _reach(model)
        and star.snr > 0
    ]
    return sorted(stars, key=lambda star: -star.snr)[:AT_MOST]


def _reach(model: PsfModel) -> int:
    return int(np.ceil(REACH * float(np.max(model.fwhm(np.array([model.wave_min, model.wave_max]))))))


def _cutout(star: StarSpectrum, model: PsfModel, residual: np.ndarray) -> _Cutout:
    """Cut a star's surroundings out of the residual image, and make its model there."""
    reach = _reach(model)
    offset = np.arange(-reach, reach + 1)
    columns, rows = np.rint(star.x).astype(int) + offset, np.rint(star.y).astype(int) + offset
    xx, yy = np.meshgrid(columns, rows)
    ny, nx = residual.shape
    inside = (xx >= 0) & (xx < nx) & (yy >= 0) & (yy < ny)
    left = np.where(inside, residual[np.clip(yy, 0, ny - 1), np.clip(xx, 0, nx - 1)], np.nan)
    flux = np.where(star.good, star.flux, np.nan) / float(star.meta.get("flux_scale", 1.0))
    total, weights = np.zeros(xx.shape), 0.0
    for part, waves in zip(np.array_split(flux, N_KNOTS), np.array_split(star.wave, N_KNOTS), strict=True):
        light = float(np.nansum(part))
        if light > 0:
            wave = float(waves.mean())
            x, y = model.positions(np.asarray(star.x), np.asarray(star.y), wave)
            total += light * model.at(wave)(xx - x, yy - y)
            weights += light
    x, y = model.positions(np.asarray(star.x), np.asarray(star.y), float(np.median(star.wave)))
    return _Cutout(np.hypot(xx - x, yy - y), total / max(weights, 1e-30), left, float(np.nanmean(flux)))


def _profiles(cutouts: list[_Cutout], reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rings' mean radii (m,), and every star's profile and the model's, shape (n, m)."""
    edges = np.arange(0.0, reach + RING, RING)
    radius, seen, expected = np.full((3, len(cutouts), edges.size - 1), np.nan)
    for n, cutout in enumerate(cutouts):
        good = np.isfinite(cutout.residual)
        ring = np.digitize(cutout.radius[good], edges) - 1
        count = np.bincount(ring, minlength=edges.size)[: edges.size - 1]
        observed = cutout.unit + cutout.residual / cutout.flux
        for rows, image in ((radius, cutout.radius), (seen, observed), (expected, cutout.unit)):
            sums = np.bincount(ring, image[good], minlength=edges.size)[: edges.size - 1]
            rows[n] = np.divide(sums, count, out=rows[n], where=count > 0)
    some = np.isfinite(seen).any(0)
    return np.nanmean(radius[:, some], axis=0), seen[:, some], expected[:, some]


def _mean_residual(cutouts: list[_Cutout]) -> np.ndarray:
    """Return the stars' mean residual in per cent of the model's peak, bright stars counting more."""
    known = np.array([np.isfinite(cutout.residual) for cutout in cutouts])
    peaks = np.array([cutout.flux * cutout.unit.max() for cutout in cutouts])
    light = (known * peaks[:, None, None]).sum(0)
    total = np.nansum([cutout.residual for cutout in cutouts], axis=0)
    return np.asarray(100.0 * np.divide(total, light, out=np.zeros(light.shape), where=light > 0))
