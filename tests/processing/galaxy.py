"""Stars whose abundances follow [Fe/H] as the Galaxy's do, and how a fit answers when one element alone moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from processing.labels.fit import fit_labels
from processing.labels.injection import drawn_labels, model_spectra
from processing.labels.model_file import LabelModel
from processing.labels.priors import AbundancePrior
from processing.settings import PreparationSettings, Settings

TREND = {
    "c_fe": -0.15, "n_fe": 0.15, "na_fe": 0.1, "al_fe": -0.15, "cr_fe": 0.05, "mn_fe": 0.25, "co_fe": -0.1,
    "ni_fe": 0.05, "cu_fe": 0.2, "ba_fe": -0.1,
}  # fmt: skip
"""[X/Fe] per [Fe/H] of what is no alpha element, with round values."""
STEP = 0.3
"""dex."""
SETTINGS = Settings(preparation=PreparationSettings(clean_sky=False, mask_ao=False, telluric="none"))


def galactic_labels(model: LabelModel, n: int, rng: np.random.Generator, scatter: float = 0.02) -> np.ndarray:
    """Draw labels of -1.3 < [Fe/H] < 0.4 whose abundances lie on the Galaxy's sequence within `scatter` dex."""
    iron = model.labels.index("fe_h")
    labels = drawn_labels(model, 6 * n, 0.3, rng)
    labels = labels[(labels[:, iron] > -1.3) & (labels[:, iron] < 0.4)][:n]
    assert len(labels) == n
    return on_sequence(model, labels) + scatter * rng.normal(size=labels.shape) * _abundances(model)


def on_sequence(model: LabelModel, labels: np.ndarray) -> np.ndarray:
    """Return labels (n, n_label) with all abundances as usual at their [Fe/H]."""
    usual = AbundancePrior(model.labels, 0.3).expected(labels)
    for name in set(TREND) & set(model.labels):
        usual[:, model.labels.index(name)] = TREND[name] * labels[:, model.labels.index("fe_h")]
    return usual


def responses(source: LabelModel, model: LabelModel, labels: np.ndarray, elements: Sequence[str]) -> np.ndarray:
    """Move one element after the other in noiseless spectra of `source` and fit them with another model.

    Parameters
    ----------
    labels : ndarray, shape (n, n_label)
        Of the unmoved stars.
    elements : sequence of str
        Machine names, m of them.

    Returns
    -------
    ndarray, shape (m, n, n_label)
        Change of every label found, per dex put in.
    """
    moved = np.repeat(labels[None], 1 + len(elements), axis=0)
    for i, name in enumerate(elements, 1):
        moved[i, :, source.labels.index(name)] += STEP
    fits = fit_labels(model_spectra(source, moved.reshape(-1, labels.shape[1])), model, SETTINGS)
    found = np.array([fit.values for fit in fits]).reshape(moved.shape)
    return (found[1:] - found[0]) / STEP


def _abundances(model: LabelModel) -> np.ndarray:
    return np.array([name.endswith("_fe") for name in model.labels])
