"""Radial velocity before anything else is known: cross-correlation with a few model spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from processing.labels.representatives import representative_labels
from processing.preparation.air import SPEED_OF_LIGHT
from processing.preparation.prepare import Prepared

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

N_TEMPLATES = 32


def correlate(prepared: Prepared, model: LabelModel, max_velocity: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the velocity and the template that explain each spectrum best.

    For each template and each shift by whole pixels the drop in chi2 of the template's lines at their best strength
    is computed for all stars as matrix products; a parabola through the highest value and its neighbours gives the
    fraction of a pixel. Good to a few km/s, which the fit then improves.

    Parameters
    ----------
    prepared : Prepared
        Spectra as observed, brought to the model's grid at velocity 0.
    model : LabelModel
    max_velocity : float
        Range that is searched, +- km/s.

    Returns
    -------
    velocity : ndarray, shape (n,)
        km/s, positive when receding.
    labels : ndarray, shape (n, n_label)
        Labels of the best template.
    """
    labels = representative_labels(model, N_TEMPLATES)
    lines = model.network.flux(labels) - 1.0
    step = float(np.median(np.diff(np.log(model.wave))))
    reach = int(np.ceil(np.log1p(max_velocity / SPEED_OF_LIGHT) / step)) + 1
    shifts = np.arange(-reach, reach + 1)
    logarithm = np.log(model.wave)
    # lines seen at velocity step * shift; beyond the ends the template has no lines
    moved = np.stack(
        [[np.interp(logarithm - shift * step, logarithm, line, 0, 0) for shift in shifts] for line in lines]
    ).astype(np.float32)
    columns = moved.reshape(-1, model.wave.size).T
    product = (prepared.ivar * (prepared.flux - 1)) @ columns
    square = prepared.ivar @ np.square(columns)
    drop = np.where(product > 0, product.astype(float) ** 2 / np.maximum(square, 1e-20), 0)
    drop = drop.reshape(len(product), len(labels), shifts.size)
    inner = drop[:, :, 1:-1].reshape(len(product), -1)
    best_template, best = np.divmod(inner.argmax(axis=1), shifts.size - 2)
    rows = np.arange(len(product))
    left, middle, right = (drop[rows, best_template, best + k] for k in range(3))
    curvature = 2 * middle - left - right
    fraction = np.divide(0.5 * (right - left), curvature, out=np.zeros_like(curvature), where=curvature > 0)
    velocity = SPEED_OF_LIGHT * np.expm1((shifts[best + 1] + np.clip(fraction, -0.5, 0.5)) * step)
    return np.clip(velocity, -max_velocity, max_velocity), labels[best_template]
