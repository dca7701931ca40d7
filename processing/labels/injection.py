"""Are the errors right? Noise put into spectra whose labels are known, and how often the intervals hold the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from processing.labels.priors import AbundancePrior
from processing.preparation.air import shifted
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit
    from processing.labels.model_file import LabelModel

MUSE_WAVE = np.arange(4750.0, 9300.0, 1.25)
"""Angstrom in air: MUSE's nominal mode."""
ONE_SIGMA = 0.6827
"""Part of a Gaussian within one standard deviation."""


@dataclass(frozen=True)
class Coverage:
    """How one kind of error compares with the errors really made, label by label.

    Parameters
    ----------
    labels : tuple of str
        Machine names.
    n : ndarray, shape (n_label,), int
        Spectra that carry the label.
    held : ndarray, shape (n_label,)
        Part of them whose 68 % interval holds the truth; NaN without spectra, as what follows.
    pull, bias : ndarray, shape (n_label,)
        Half of the 15.87-84.13 % range and median of (found - true) / error.
    """

    labels: tuple[str, ...]
    n: np.ndarray
    held: np.ndarray
    pull: np.ndarray
    bias: np.ndarray


def coverage(labels: Sequence[str], deviations: np.ndarray, errors: np.ndarray, known: np.ndarray) -> Coverage:
    """Count how often intervals hold the truth.

    Parameters
    ----------
    labels : sequence of str
    deviations, errors : ndarray, shape (n, n_label)
        Found minus true, and the 1-sigma errors claimed.
    known : ndarray, shape (n, n_label), bool
        Which labels of which spectra count, as those that the spectrum carries.
    """
    pulls = np.where(known, deviations / errors, np.nan)
    count = known.sum(axis=0)
    held, middle, width = (np.full(len(labels), np.nan) for _ in range(3))
    for i in np.flatnonzero(count):
        low, middle[i], high = np.nanpercentile(pulls[:, i], (15.87, 50.0, 84.13))
        held[i], width[i] = np.mean(np.abs(pulls[known[:, i], i]) < 1), (high - low) / 2
    return Coverage(tuple(labels), count, held, width, middle)


def carried(fits: Sequence[LabelFit], limit: float) -> np.ndarray:
    """Which labels have a Cramer-Rao bound below a limit in dex (Teff: 1000 K, vmic: 1 km/s); shape (n, n_label)."""
    bounds = np.array([np.full(len(fit.labels), np.nan) if fit.bound is None else fit.bound for fit in fits])
    unit = [1000.0 if name == "teff" else 1.0 for name in fits[0].labels]
    return np.nan_to_num(bounds / unit, nan=np.inf) < limit


def noisier(
    spectra: Sequence[StarSpectrum], snr: float, rng: np.random.Generator, understated: float = 1.0
) -> list[StarSpectrum]:
    """Return spectra with noise added until their signal-to-noise per pixel is a given one.

    Parameters
    ----------
    spectra : sequence of StarSpectrum
    snr : float
        Of the result. A spectrum that is no better than that stays as it is.
    rng : Generator
    understated : float
        How many times smaller than the noise the errors shall be, as a pipeline's are.
    """
    return [_noisier(spectrum, snr, rng, understated) for spectrum in spectra]


def _noisier(spectrum: StarSpectrum, snr: float, rng: np.random.Generator, understated: float) -> StarSpectrum:
    good = spectrum.good
    variance = np.divide(1.0, spectrum.ivar, out=np.zeros(good.size), where=good)
    level = float(np.median(spectrum.flux[good])) / snr
    added = np.where(good, np.sqrt(np.clip(level**2 - variance, 0.0, None)), 0.0)
    flux = spectrum.flux + added * rng.normal(size=good.size)
    total = np.divide(understated**2, variance + added**2, out=np.zeros(good.size), where=good)
    return replace(spectrum, flux=flux.astype(np.float32), ivar=total.astype(np.float32))


def drawn_labels(model: LabelModel, n: int, prior_width: float, rng: np.random.Generator) -> np.ndarray:
    """Draw label vectors (n, n_label): Teff, log g, [Fe/H] and vmic as trained, abundances from the fit's prior.

    Intervals that use a prior hold the truth as often as they say when the truth is drawn from it, not at every truth.
    What falls beyond the training range is drawn again.
    """
    labels = model.training_labels[rng.integers(len(model.training_labels), size=n)].astype(float)
    prior = AbundancePrior(model.labels, prior_width)
    usual = prior.expected(labels)
    for i in prior.abundances:
        wrong = np.ones(n, bool)
        while wrong.any():
            labels[wrong, i] = usual[wrong, i] + (prior_width or 0.3) * rng.normal(size=int(wrong.sum()))
            wrong = (labels[:, i] < model.label_min[i]) | (labels[:, i] > model.label_max[i])
    return labels


def unnormalised(model: LabelModel, labels: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """Return fluxes (n, n_pix) on the model's grid whose pseudo-normalisation is what the network predicts.

    The pseudo-continuum t of such a flux g t obeys S(g t) = t: repeated smoothing finds it. A slope in wavelength
    stands for colour or extinction.
    """
    flux = model.network.flux(labels)
    trend = np.ones_like(flux)
    for _ in range(30):
        trend = model.continuum.continuum(model.wave, flux * trend, np.ones_like(flux))
        trend /= trend.mean(axis=1, keepdims=True)
    return np.asarray(flux * trend * (model.wave / 6500.0) ** slope)


def model_spectra(
    model: LabelModel, labels: np.ndarray, velocity: np.ndarray | float = 0.0, slope: float = 0.0
) -> list[StarSpectrum]:
    """Return noiseless spectra of a network, sampled as MUSE samples them, with the model's own resolution.

    Parameters
    ----------
    model : LabelModel
    labels : ndarray, shape (n, n_label)
    velocity : ndarray, shape (n,), or float
        km/s.
    slope : float
        Of the continuum (`unnormalised`).
    """
    from scipy.interpolate import CubicSpline

    spectra = []
    fluxes = unnormalised(model, labels, slope)
    for i, (flux, speed) in enumerate(zip(fluxes, np.broadcast_to(velocity, len(fluxes)), strict=True)):
        rest = shifted(MUSE_WAVE, "air", float(speed), model.frame)
        covered = (rest >= model.wave[0]) & (rest <= model.wave[-1])
        seen = 1000.0 * CubicSpline(model.wave, flux)(np.clip(rest, model.wave[0], model.wave[-1]))
        spectra.append(
            StarSpectrum(
                f"model {i}", MUSE_WAVE, seen.astype(np.float32), np.where(covered, 1e6, 0.0).astype(np.float32),
                lsf_fwhm=np.interp(MUSE_WAVE, model.wave, model.lsf_fwhm),
            )
        )  # fmt: skip
    return spectra
