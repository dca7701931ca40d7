"""Labels that keep a given value while the others are fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.labels.names import LABELS

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel
    from processing.settings import FitSettings

Held = Sequence[tuple[str, float]]
"""Machine names and the values that they keep."""
_HARDLY = 1e-9
"""Part of its range by which a held label may vary: its error is none that matters, and matrices stay invertible."""


def bounds(model: LabelModel, settings: FitSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest value of every label in a fit, shape (n_label,) each; equal where it is held.

    Raises
    ------
    StellacubeError
        If a label that is held is none of the model's, or its value lies where the model knows nothing.
    """
    span = settings.extrapolation * (model.label_max - model.label_min)
    low, high = model.label_min - span, model.label_max + span
    for name, value in settings.held:
        if name not in model.labels:
            raise StellacubeError(
                f"The model {model.name} has no label {name} that could be held.",
                f"It has {', '.join(model.labels)}.",
            )
        i = model.labels.index(name)
        if not low[i] <= value <= high[i]:
            info = LABELS[name]
            raise StellacubeError(
                f"{info.symbol} cannot be held at {value:g}: the model {model.name} knows "
                f"{low[i]:.{info.decimals}f} to {high[i]:.{info.decimals}f} {info.unit}.".replace(" dex.", "."),
                "Hold it at a value in that range, or take another model.",
            )
        low[i] = high[i] = value
    return low, high


def ranges(model: LabelModel, settings: FitSettings) -> np.ndarray:
    """Return how far every label may vary, shape (n_label,): hardly at all where it is held."""
    low, high = bounds(model, settings)
    return np.where(high > low, high - low, _HARDLY * (model.label_max - model.label_min))


def at_limit(model: LabelModel, labels: np.ndarray, settings: FitSettings) -> tuple[str, ...]:
    """Name the labels (n_label,) that a fit has driven to the limit of what it allows, and that were not held."""
    low, high = bounds(model, settings)
    close = 1e-4 * (model.label_max - model.label_min)
    stuck = (high > low) & ((labels < low + close) | (labels > high - close))
    return tuple(name for name, is_stuck in zip(model.labels, stuck, strict=True) if is_stuck)
