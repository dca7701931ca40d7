"""Several exposures of a star combined into one spectrum: on one grid, at one flux scale, without outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from processing.preparation.air import in_frame, observed
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import ExposureSettings
from processing.spectrum import MetaValue, StarSpectrum

if TYPE_CHECKING:
    from processing.preparation.resample import Resampler

MODEL_ERROR = 0.02
"""Exposures may differ by this fraction of the flux, besides the noise, before a pixel counts as an outlier."""
BRIGHT = 10.0
"""Signal-to-noise from which a star's own ratio between two exposures is measured as a parabola in wavelength."""
NEIGHBOURHOOD = 25
"""Pixels whose median tells which of two exposures is wrong."""
WIDE = 10.0
"""km/s: barycentric corrections that differ by more deserve a remark."""


def combine_spectra(
    spectra: Sequence[StarSpectrum],
    settings: ExposureSettings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> tuple[tuple[StarSpectrum, ...], tuple[str, ...]]:
    """Combine the spectra of the same stars; stars with one spectrum stay as they are.

    The exposure with the highest signal-to-noise gives grid, frame and flux scale. The others are brought to the
    barycentre where a correction is known to be missing, resampled with the flux conserved where their pixels differ,
    scaled, compared pixel by pixel, and averaged with their inverse variances. The variances are those of the input:
    exposures that differ by more than their errors say so in ``meta["exposure_scatter"]`` (in sigma, 1 expected).

    Parameters
    ----------
    spectra : sequence of StarSpectrum
        Two of one cube are two stars, however close.
    settings : ExposureSettings

    Returns
    -------
    spectra : tuple of StarSpectrum
        In the order in which the stars first occur, under their first names.
    notes : tuple of str

    Raises
    ------
    StellacubeError
        If no star occurs twice.
    """
    from processing.spectra_io.read import unique_names

    groups = _same_stars(spectra, settings.radius)
    combined: dict[int, StarSpectrum] = {}
    for number, group in enumerate(groups):
        stop_if(cancelled)
        progress(number / len(groups), "Combining exposures")
        combined[min(group)] = combine_exposures([spectra[i] for i in sorted(group)], settings.clip)
    later = {i for group in groups for i in group} - combined.keys()
    stars = tuple(combined.get(i, star) for i, star in enumerate(spectra) if i not in later)
    return unique_names(stars), _notes(
        combined, len(stars), [spectra[i].barycentric for group in groups for i in group]
    )


def combine_exposures(exposures: Sequence[StarSpectrum], clip: float) -> StarSpectrum:
    """Combine the exposures of one star.

    Parameters
    ----------
    exposures : sequence of StarSpectrum
    clip : float
        Pixels further off than this many sigma are left out.
    """
    exposures = [_at_barycentre(star) for star in exposures]
    best = max(exposures, key=lambda star: np.nan_to_num(star.snr))
    flux, ivar = (np.stack(parts) for parts in zip(*(_on_grid(star, best) for star in exposures), strict=True))
    for k, star in enumerate(exposures):
        if star is not best:
            ratio = _ratio(best, star, flux[k], ivar[k])
            flux[k], ivar[k] = flux[k] / ratio, ivar[k] * ratio**2
    outlier, scatter = _outliers(flux, ivar, clip)
    ivar[outlier] = 0.0
    total = ivar.sum(0)
    mean = np.divide((ivar * flux).sum(0), total, out=np.full(total.shape, np.nan), where=total > 0)
    weight = np.array([np.median(w[w > 0]) if (w > 0).any() else 0.0 for w in ivar])
    star = replace(
        best, star_id=exposures[0].star_id, flux=mean.astype(np.float32), ivar=total.astype(np.float32),
        lsf_fwhm=_lsf(exposures, best, weight), x=np.nan, y=np.nan,
        barycentric=float(np.average([e.barycentric for e in exposures], weights=weight + 1e-30)),
    )  # fmt: skip
    return replace(star, meta=_meta(exposures, best, star, weight, int(outlier.sum()), scatter))


def _same_stars(spectra: Sequence[StarSpectrum], radius: float) -> list[list[int]]:
    """Return the numbers of the spectra of every star that has several."""
    from processing.catalogue.label_table import LabelTable
    from processing.catalogue.matching import group

    unknown = np.full(len(spectra), np.nan)
    table = LabelTable(
        "the spectra", np.array([star.star_id for star in spectra]), np.array([star.ra for star in spectra]),
        np.array([star.dec for star in spectra]), {}, {}, unknown, unknown,
        np.array([str(star.meta.get("cube", "")) for star in spectra]), "", {},
    )  # fmt: skip
    rows, groups = group([table], radius=radius)
    return [rows[members, 1].tolist() for members in groups]


def _notes(combined: dict[int, StarSpectrum], n_stars: int, velocities: Sequence[float]) -> tuple[str, ...]:
    n_exposures = [int(star.meta["n_exposures"]) for star in combined.values()]
    single = n_stars - len(combined)
    rest = f"; {single} more {'has' if single == 1 else 'have'} one each" if single else ""
    notes = [f"{sum(n_exposures)} exposures of {len(combined)} stars were combined{rest}."]
    known = [v for v in velocities if np.isfinite(v)]
    if known and np.ptp(known) > WIDE:
        notes.append(
            f"The exposures' barycentric corrections differ by up to {np.ptp(known):.0f} km/s: sky lines and telluric "
            "bands are masked at the mean, so mask a little more around them, or fit the exposures jointly."
        )
    if len(known) < len(velocities):
        notes.append("Exposures that do not say so were taken to be corrected to the barycentre.")
    return tuple(notes)


def _on_grid(star: StarSpectrum, best: StarSpectrum) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and inverse variance (0 where masked) on the pixels of `best`, in double precision."""
    flux = np.where(star.good, star.flux, 0.0).astype(float)
    ivar = np.where(star.good, star.ivar, 0.0).astype(float)
    wave = in_frame(star.wave, star.frame, best.frame)
    if wave.size == best.wave.size and np.abs(wave - best.wave).max() < 1e-3:
        return flux, ivar
    resampled, kept = _resampler(wave.tobytes(), best.wave.astype(float).tobytes()).apply(flux, ivar)
    # Resampling makes neighbours correlated and each of them less noisy. What is averaged and fitted pixel by pixel
    # keeps the information that it had: the noise of the pixels that went in, by their width.
    steps = np.interp(best.wave, wave, np.gradient(wave)) / np.gradient(best.wave)
    good = ivar > 0
    variance = np.interp(best.wave, wave[good], 1.0 / ivar[good]) * steps if good.any() else np.ones(resampled.size)
    return resampled, np.where(kept > 0, 1.0 / variance, 0.0)


@lru_cache(maxsize=16)
def _resampler(wave: bytes, target: bytes) -> Resampler:
    """Return the operator between two grids, which all stars of two exposures share."""
    from processing.preparation.resample import Resampler, rebinning_matrix

    return Resampler(rebinning_matrix(np.frombuffer(wave), np.frombuffer(target)))


def _at_barycentre(star: StarSpectrum) -> StarSpectrum:
    """Return the spectrum with the barycentric correction, where it is known to lack one that can be computed."""
    from processing.cube_header import barycentric_correction

    if star.barycentric != 0.0:
        return star
    cards = {"RA": star.ra, "DEC": star.dec, "DATE-OBS": star.meta.get("date_obs", "")}
    velocity = barycentric_correction(cards, cards)
    if not np.isfinite(velocity):
        return star
    return replace(star, wave=observed(star.wave, star.frame, velocity, star.frame), barycentric=velocity)


def _ratio(best: StarSpectrum, star: StarSpectrum, flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Return an exposure's flux over that of the best one, shape (n_wave,): a constant, for bright stars a parabola."""
    both = best.good & (ivar > 0)
    if not both.any():
        return np.ones(flux.size)
    level = np.median(flux[both]) / np.median(best.flux[both])
    constant = np.full(flux.size, level if level > 0 else 1.0)
    if not (min(star.snr, best.snr) > BRIGHT):
        return constant
    t = np.linspace(-1.0, 1.0, flux.size)
    basis = np.stack([np.ones_like(t), t, t**2]) * best.flux
    ratio = constant
    for _ in range(3):
        noise = 1.0 / np.where(both, ivar, 1.0) + ratio**2 / np.where(both, best.ivar, 1.0)
        chi = (flux - ratio * best.flux) / np.sqrt(noise)
        used = both & (np.abs(chi) < 5.0 * max(1.0, _spread(chi[both])))
        weight = np.sqrt(1.0 / noise[used])
        coefficients = np.linalg.lstsq((basis[:, used] * weight).T, flux[used] * weight, rcond=None)[0]
        ratio = coefficients[0] + coefficients[1] * t + coefficients[2] * t**2
    return ratio if (ratio > 0).all() else constant


def _spread(values: np.ndarray) -> float:
    """Return the robust standard deviation about the median."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _outliers(flux: np.ndarray, ivar: np.ndarray, clip: float) -> tuple[np.ndarray, float]:
    """Return the pixels to be left out, shape (n_exposure, n_wave), and the scatter between exposures in sigma.

    With three exposures or more, a pixel is compared with the median of all; of two that disagree, the one further
    from the median of its neighbourhood goes.
    """
    from scipy.ndimage import median_filter
    from scipy.stats import chi2

    good, n_good = ivar > 0, (ivar > 0).sum(0)
    several = n_good > 1
    variance = np.where(good, 1.0 / np.where(good, ivar, 1.0), 0.0)
    total = np.where(several, ivar.sum(0), 1.0)
    squares = (ivar * (flux - (ivar * flux).sum(0) / total) ** 2).sum(0)
    most = several & (n_good == n_good.max())
    expected = chi2.median(max(int(n_good.max()) - 1, 1))
    scatter = float(np.sqrt(np.median(squares[most]) / expected)) if most.any() else float("nan")

    centre = np.zeros(flux.shape[1])
    centre[several] = np.nanmedian(np.where(good, flux, np.nan)[:, several], axis=0)
    limit = clip * max(1.0, np.nan_to_num(scatter))
    noise = np.sqrt(variance + variance.sum(0) / np.maximum(n_good, 1) ** 2 + (MODEL_ERROR * centre) ** 2)
    outlier = good & several & (np.abs(flux - centre) > limit * noise)
    both = n_good == 2
    apart = np.abs(np.where(good, flux - centre, 0.0)).sum(0)  # of two, the distance between them
    disagree = both & (apart > limit * np.sqrt(variance.sum(0) + (MODEL_ERROR * centre) ** 2))
    off = np.where(good, np.abs(flux - median_filter(centre, NEIGHBOURHOOD, mode="nearest")), -1.0)
    outlier[:, both] = ((off == off.max(0)) & disagree)[:, both]
    return outlier, scatter


def _lsf(exposures: Sequence[StarSpectrum], best: StarSpectrum, weight: np.ndarray) -> np.ndarray | None:
    """Return the weighted mean line width, where all exposures carry one."""
    widths = [
        np.interp(best.wave, star.wave, star.lsf_fwhm, left=np.nan, right=np.nan)
        for star in exposures
        if star.lsf_fwhm is not None
    ]
    if len(widths) < len(exposures) or not weight.any():
        return best.lsf_fwhm
    known = np.isfinite(widths) * weight[:, None]
    return np.asarray((np.nan_to_num(widths) * known).sum(0) / known.sum(0))  # the best one is known everywhere


def _meta(
    exposures: Sequence[StarSpectrum], best: StarSpectrum, star: StarSpectrum, weight: np.ndarray, n_clipped: int,
    scatter: float,
) -> dict[str, MetaValue]:  # fmt: skip
    """Return the best exposure's metadata with what the combination changes."""
    cubes = dict.fromkeys(str(e.meta["cube"]) for e in exposures if "cube" in e.meta)
    meta: dict[str, MetaValue] = {
        **best.meta, "n_exposures": len(exposures), "n_clipped": n_clipped, "exposure_scatter": scatter,
        "multistar": any(bool(e.meta.get("multistar", False)) for e in exposures), "snr": star.snr,
        "snr_der": star.snr_der,
    }  # fmt: skip
    if cubes:
        meta["cube"] = " + ".join(cubes)
    for key in ("contamination", "n_eff", "psf_fwhm", "edge_dist"):
        if all(key in e.meta for e in exposures) and weight.any():
            meta[key] = float(np.average([float(e.meta[key]) for e in exposures], weights=weight))
    return meta
