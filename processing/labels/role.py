"""The role of a model: which of the labels and stars it is for, whatever its network has learned beyond that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from processing.labels.model_file import LabelModel
from processing.labels.real_stars import VMIC_TREND


@dataclass(frozen=True)
class RoleSettings:
    """The part of the labels and stars that a model is for; the physical part is trained on all of them."""

    tied: tuple[str, ...] = ()
    """Labels that the model does not fit: vmic follows Teff and logg, an abundance is solar."""
    logg_min: float = -10.0
    fe_h_max: float = 10.0


def for_role(model: LabelModel, role: RoleSettings) -> LabelModel:
    """Restrict a model to the labels and the range of its role; the network stays the same function."""
    names = model.labels
    keep = [i for i, name in enumerate(names) if name not in role.tied]
    kept = tuple(names[i] for i in keep)
    matrix, constant = np.eye(len(names))[:, keep], np.zeros(len(names))
    if "vmic" in role.tied:
        row = names.index("vmic")
        constant[row], matrix[row, kept.index("teff")], matrix[row, kept.index("logg")] = VMIC_TREND
    cloud = model.training_labels
    logg, fe_h = names.index("logg"), names.index("fe_h")
    inside = (cloud[:, logg] >= role.logg_min) & (cloud[:, fe_h] <= role.fe_h_max)
    low, high = model.label_min.copy(), model.label_max.copy()
    low[logg], high[fe_h] = max(low[logg], role.logg_min), min(high[fe_h], role.fe_h_max)
    templates = model.templates
    return replace(
        model,
        labels=kept,
        label_min=low[keep],
        label_max=high[keep],
        training_labels=cloud[inside][:, keep],
        network=model.network.relabelled(keep, matrix, constant),
        error=model.error and model.error.for_labels(keep),
        templates=replace(
            templates,
            labels=templates.labels[:, keep],
            coefficients=(matrix.T @ templates.coefficients).astype(np.float32),
        ),
    )
