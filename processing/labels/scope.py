"""Objects that are none of the stars a model knows: said in a sentence, never labelled with confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from processing.labels.names import LABELS
from processing.labels.outliers import broad, near_emission_line
from processing.labels.representatives import core_labels

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel
    from processing.settings import EvidenceSettings

_BLOCK = 20
"""Pixels over which residuals are averaged: wider than any line."""
_MISMATCH = 0.012
"""Rms of such averages, in normalised flux and beyond noise, that no star within the training range has (0.003)."""
_EMISSION = 10.0
_EMISSION_HEIGHT = 0.15
"""Emission stands out by this many robust sigma and this much normalised flux, in two pixels side by side."""

TRUSTED = {"teff": (3800.0, 7000.0), "fe_h": (-1.5, 0.5)}
"""K and dex: beyond, labels are extrapolated even where a few training stars lie (section 3 of the paper)."""
EDGE, FAR_EDGE = 0.05, 0.09
"""Parts of the training range by which Teff, log g and [Fe/H], and by which vmic and [X/Fe] may lie beyond it: what
models err by at the edges, and nearly all that the fit allows."""
NEIGHBOURHOOD = {"teff": 400.0, "logg": 0.7, "fe_h": 0.5}
"""A star without a training star in the ellipsoid of these semi-axes (K, dex) lies where there were none."""


def outside(model: LabelModel, labels: np.ndarray, errors: np.ndarray, settings: EvidenceSettings) -> tuple[str, ...]:
    """Name the labels by which a star lies outside what its model was trained on.

    A label counts when it is determined well enough to tell (what a spectrum hardly constrains says nothing about the
    star) and beyond the trusted range by more than its error, or beyond the training range by a part of that range
    (`EDGE`) as well.

    Parameters
    ----------
    model : LabelModel
    labels, errors : ndarray, shape (n_label,)
        Fitted labels and their rescaled errors.
    settings : EvidenceSettings
        The errors up to which labels count as determined.

    Returns
    -------
    tuple of str
        Machine names; Teff, log g and [Fe/H] together where each is within its range but no training star is near.
    """
    trusted = np.array([TRUSTED.get(name, (-np.inf, np.inf)) for name in model.labels])
    known = errors <= settings.limits(model.labels)
    edge = np.array([EDGE if name in NEIGHBOURHOOD else FAR_EDGE for name in model.labels])
    margin = np.maximum(errors, edge * (model.label_max - model.label_min))
    untrusted = np.maximum(labels - trusted[:, 1], trusted[:, 0] - labels) > errors
    untrained = np.maximum(labels - model.label_max, model.label_min - labels) > margin
    beyond = known & (untrusted | untrained)
    found = tuple(name for name, is_beyond in zip(model.labels, beyond, strict=True) if is_beyond)
    core = [i for i, name in enumerate(model.labels) if name in NEIGHBOURHOOD]
    axes = np.array([NEIGHBOURHOOD[model.labels[i]] for i in core])
    apart = np.square((model.training_labels[:, core] - labels[core]) / axes).sum(axis=1)
    if not found and known[core].all() and apart.min(initial=np.inf) > 1:
        return tuple(model.labels[i] for i in core)
    return found


def describe(
    model: LabelModel, labels: np.ndarray, flux: np.ndarray, best: np.ndarray, error: np.ndarray, fitted: np.ndarray
) -> tuple[bool, list[str]]:
    """Judge whether a star is one that the model can label.

    Parameters
    ----------
    model : LabelModel
    labels : ndarray, shape (n_label,)
    flux, best : ndarray, shape (n_pix,)
        Pseudo-normalised spectrum and best fit.
    error : ndarray, shape (n_pix,)
        Rescaled 1-sigma errors.
    fitted : ndarray, shape (n_pix,), bool

    Returns
    -------
    in_scope : bool
    sentences : list of str
    """
    sentences = _limits(model, labels)
    residual = np.where(fitted, flux - best, 0.0)
    mismatch = _structure(residual, error, fitted)
    if mismatch > _MISMATCH:
        sentences.append(f"The model misses broad features of {mismatch:.1%} of the flux: this may be no such star.")
    scaled = np.divide(residual, error, out=np.zeros_like(residual), where=fitted)
    peaks = fitted & (residual > _EMISSION_HEIGHT) & (scaled > _EMISSION)
    if peaks.any():
        peaks &= near_emission_line(model.wave, model.frame) | broad(scaled[None])[0]
        peaks[1:] &= peaks[:-1].copy()
        peaks[0] = False
    if peaks.any():
        at = model.wave[np.argmax(np.where(peaks, residual, -np.inf))]
        sentences.append(f"The spectrum has emission lines, the strongest at {at:.0f} A at rest.")
    return not sentences, sentences


def _limits(model: LabelModel, labels: np.ndarray) -> list[str]:
    """Name the core labels that lie beyond the training range by nearly all that the fit allows."""
    sentences = []
    span = model.label_max - model.label_min
    for i in core_labels(model.labels):
        info = LABELS[model.labels[i]]
        unit = f" {info.unit}" if info.unit not in ("", "dex") else ""
        for edge, beyond, word in (
            (model.label_min[i], model.label_min[i] - labels[i], "below"),
            (model.label_max[i], labels[i] - model.label_max[i], "above"),
        ):
            if beyond > EDGE * span[i]:
                sentences.append(
                    f"{info.symbol} is {word} {edge:.{info.decimals}f}{unit}, where the model's range ends."
                )
    return sentences


def _structure(residual: np.ndarray, error: np.ndarray, fitted: np.ndarray) -> float:
    """Rms of block-averaged residuals beyond what noise leaves in such averages."""
    n_block = residual.size // _BLOCK
    shape = (n_block, _BLOCK)
    count = fitted[: n_block * _BLOCK].reshape(shape).sum(axis=1)
    full = count > _BLOCK // 2
    if not full.any():
        return 0.0
    mean = residual[: n_block * _BLOCK].reshape(shape).sum(axis=1)[full] / count[full]
    variance = np.where(fitted, np.square(error), 0.0)[: n_block * _BLOCK].reshape(shape).sum(axis=1)[full]
    # Neighbours share noise after degrading: an average of 20 holds some 7 independent values.
    noise = 3.0 * variance / count[full] ** 2
    return float(np.sqrt(max(np.mean(np.square(mean) - noise), 0.0)))
