"""Spectra of known labels and velocities, made from a model's own network and sampled as MUSE samples them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from processing.labels.injection import MUSE_WAVE as WAVE
from processing.labels.injection import model_spectra
from processing.labels.injection import unnormalised as observable
from processing.labels.model_file import LabelModel
from processing.labels.priors import AbundancePrior
from processing.spectrum import StarSpectrum

__all__ = ["WAVE", "labels_of", "observable", "observed"]


def labels_of(model: LabelModel, *core: tuple[float, float, float, float]) -> np.ndarray:
    """Return label vectors with the given Teff, log g, [Fe/H], vmic and usual abundances."""
    labels = np.zeros((len(core), len(model.labels)))
    labels[:, :4] = core
    return AbundancePrior(model.labels, 0.3).expected(labels)


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
    error = 1000.0 / snr
    return [
        replace(
            star,
            star_id=f"star {i}",
            flux=(star.flux + error * rng.normal(size=WAVE.size)).astype(np.float32),
            ivar=np.where(star.ivar > 0, error**-2, 0.0).astype(np.float32),
            **entries,
        )
        for i, star in enumerate(model_spectra(model, labels, velocity, slope))
    ]
