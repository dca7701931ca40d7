"""Spectra of known labels and velocities, made from a model's own network and sampled as MUSE samples them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from processing.labels.model_file import LabelModel
from processing.labels.priors import AbundancePrior
from processing.preparation.air import shifted
from processing.spectrum import StarSpectrum

WAVE = np.arange(4750.0, 9300.0, 1.25)


def labels_of(model: LabelModel, *core: tuple[float, float, float, float]) -> np.ndarray:
    """Return label vectors with the given Teff, log g, [Fe/H], vmic and usual abundances."""
    labels = np.zeros((len(core), len(model.labels)))
    labels[:, :4] = core
    return AbundancePrior(model.labels, 0.3).expected(labels)


def observable(model: LabelModel, labels: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """Return fluxes (n, n_pix) on the model's grid whose pseudo-normalisation is what the network predicts.

    The pseudo-continuum t of such a flux g t obeys S(g t) = t: repeated smoothing finds it. A slope in wavelength
    stands for colour or extinction.
    """
    flux = model.network.flux(labels)
    trend = np.ones_like(flux)
    for _ in range(30):
        trend = model.continuum.continuum(model.wave, flux * trend, np.ones_like(flux))
        trend /= trend.mean(axis=1, keepdims=True)
    return flux * trend * (model.wave / 6500.0) ** slope


def observed(
    model: LabelModel,
    labels: np.ndarray,
    velocity: np.ndarray | float = 0.0,
    snr: float = 100.0,
    seed: int = 1,
    slope: float = 0.0,
    **entries: Any,
) -> list[StarSpectrum]:
    """Return noisy spectra in air, with the model's own line spread function, so that nothing but noise is unknown."""
    rng = np.random.default_rng(seed)
    spectra = []
    fluxes = observable(model, labels, slope)
    for i, (flux, speed) in enumerate(zip(fluxes, np.broadcast_to(velocity, len(fluxes)), strict=True)):
        rest = shifted(WAVE, "air", float(speed), "air")
        covered = (rest >= model.wave[0]) & (rest <= model.wave[-1])
        clean = 1000.0 * CubicSpline(model.wave, flux)(np.clip(rest, model.wave[0], model.wave[-1]))
        error = np.full(WAVE.size, 1000.0 / snr)
        values = {"lsf_fwhm": np.interp(WAVE, model.wave, model.lsf_fwhm), **entries}
        spectra.append(
            StarSpectrum(
                f"star {i}",
                WAVE,
                (clean + error * rng.normal(size=WAVE.size)).astype(np.float32),
                np.where(covered, error**-2, 0).astype(np.float32),
                **values,
            )
        )
    return spectra
