"""A few label vectors that stand for a model's whole range: templates for velocities and first guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from processing.labels.priors import AbundancePrior

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel
    from processing.labels.network import Network

N_GUESSES = 200
"""Model spectra among which each star's first guesses are sought."""
N_STARTS = 2
APART = 0.25
"""Two starting points differ by at least this fraction of the range in a core label: giant against dwarf."""
_GIANT_VMIC, _DWARF_VMIC = 1.6, 1.1
"""km/s, on either side of log g = 3.5."""


def representative_labels(model: LabelModel, number: int) -> np.ndarray:
    """Spread label vectors over the stars that a model was trained on, as evenly as they lie.

    Each new one is the training star farthest from those chosen (in Teff, log g and [Fe/H], in units of their
    ranges); its [X/Fe] and vmic are set to what is usual there.

    Parameters
    ----------
    model : LabelModel
    number : int

    Returns
    -------
    ndarray, shape (at most number, n_label)
    """
    core = core_labels(model.labels)
    stars = np.unique(np.asarray(model.training_labels, float), axis=0)
    inside = ((stars >= model.label_min) & (stars <= model.label_max)).all(axis=1)
    stars = stars[inside] if inside.any() else np.array([model.label_min, model.label_max]).mean(axis=0)[None]
    place = (stars[:, core] - model.label_min[core]) / (model.label_max - model.label_min)[core]
    chosen = [int(np.argmin(np.square(place - np.median(place, axis=0)).sum(axis=1)))]
    distance = np.full(len(stars), np.inf)
    while len(chosen) < min(number, len(stars)):
        distance = np.minimum(distance, np.square(place - place[chosen[-1]]).sum(axis=1))
        chosen.append(int(np.argmax(distance)))
    labels = AbundancePrior(model.labels, 0.0).expected(stars[chosen])
    if "vmic" in model.labels and "logg" in model.labels:
        giant = labels[:, model.labels.index("logg")] < 3.5
        labels[:, model.labels.index("vmic")] = np.where(giant, _GIANT_VMIC, _DWARF_VMIC)
    return np.clip(labels, model.label_min, model.label_max)


def core_labels(labels: tuple[str, ...]) -> np.ndarray:
    """Return the indices of the labels that shape the whole spectrum: all but [X/Fe] and vmic, or else all."""
    core = [i for i, name in enumerate(labels) if not name.endswith("_fe") and name != "vmic"]
    return np.array(core or range(len(labels)), int)


def first_guesses(
    network: Network, model: LabelModel, flux: np.ndarray, weight: np.ndarray, ratio: np.ndarray
) -> list[np.ndarray]:
    """Find the best of many model spectra for each star, and the best that are not near it.

    Parameters
    ----------
    network : Network
        The model's, at the resolution of the spectra.
    model : LabelModel
    flux, weight : ndarray, shape (n, n_pix)
        Pseudo-normalised flux, and the inverse variance that it is fitted with.
    ratio : ndarray, shape (n, n_pix)
        What model spectra are multiplied by.

    Returns
    -------
    list of ndarray, each shape (n, n_label)
    """
    labels = representative_labels(model, N_GUESSES)
    lines = network.flux(labels) - 1.0
    chi2 = (weight * ratio**2) @ np.square(lines).T
    chi2 -= 2 * (weight * ratio * (flux - ratio)) @ lines.T
    core = core_labels(model.labels)
    place = labels[:, core] / (model.label_max - model.label_min)[core]
    chosen = []
    for _ in range(N_STARTS):
        best = chi2.argmin(axis=1)
        chosen.append(labels[best])
        near = (np.abs(place[best][:, None] - place) < APART).all(axis=2)
        chi2 = np.where(near, np.inf, chi2)
    return chosen
