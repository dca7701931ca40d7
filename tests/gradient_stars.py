"""Label models made of the physical gradient spectra, with operators of their own: what the planner is tested on."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from processing.labels.model_file import LabelModel
from processing.labels.names import from_training_name
from processing.labels.network import Network
from processing.labels.templates import Templates
from processing.preparation.continuum import ContinuumOperator

WAVE = 10 ** np.arange(np.log10(4760.0), np.log10(8740.0), 1e-4)
"""A in air, pixels of 69 km/s."""


@lru_cache(maxsize=4)
def gradients(folder: Path, star: str) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, their values, the pseudo-normalised spectrum (n_pix,) and its gradient (n_pix, n_label)."""
    data = np.load(folder / "data" / "gradients" / f"{star}.npz")
    names = tuple(from_training_name(str(name)) for name in data["names"])
    flux, slopes = (_degraded(data["wave_air"], data[key]) for key in ("flux", "dflux"))
    distance = (WAVE[:, None] - WAVE) / 50.0
    kernel = np.exp(-(distance**2))
    kernel /= kernel.sum(1, keepdims=True)
    continuum, slope = flux @ kernel.T, slopes @ kernel.T
    return names, data["base"], flux / continuum, (slopes / continuum - flux * slope / continuum**2).T


def _degraded(wave: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """Smooth from R = 10000 to R = 1800 on a fine logarithmic grid, then read off at `WAVE`."""
    step = 2e-5
    fine = np.arange(np.log(wave[0]), np.log(wave[-1]), step)
    width = np.sqrt(1800.0**-2 - 10000.0**-2) / np.sqrt(8 * np.log(2)) / step
    rows = [gaussian_filter1d(np.interp(fine, np.log(wave), row), width) for row in np.atleast_2d(spectra)]
    values = np.array([np.interp(np.log(WAVE), fine, row) for row in rows])
    return values if spectra.ndim > 1 else values[0]


def linear_model(folder: Path, star: str) -> LabelModel:
    """Return a model that is the star's own first-order expansion: its gradients are exact and known."""
    names, base, flux, gradient = gradients(folder, star)
    n_label, n_pix = len(names), WAVE.size
    network = Network(
        label_center=base, label_scale=np.ones(n_label), weights=(np.eye(n_label, dtype=np.float32),),
        biases=(np.zeros(n_label, np.float32),), basis=gradient.astype(np.float32), offset=flux.astype(np.float32),
    )  # fmt: skip
    reach = np.where(np.array(names) == "teff", 800.0, 2.0)
    return LabelModel(
        name=f"linear-{star}", version="1", role="A", labels=names, label_min=base - reach, label_max=base + reach,
        wave=WAVE, frame="air", lsf_fwhm=WAVE / 1800.0, continuum=ContinuumOperator(), mask=np.ones(n_pix, bool),
        network=network, scatter=np.zeros(n_pix), training_labels=base[None],
        templates=Templates.none(n_label, n_pix),
        card={"description": "A first-order expansion about one star, for tests."},
    )  # fmt: skip
