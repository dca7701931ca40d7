"""Stars fitted by two networks, one for the metal-poor: their results mixed between two iron abundances (Eq. 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.labels.result import LabelFit
from processing.progress import CancelCheck, Progress, ignore, never, part
from processing.settings import Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

RICH, POOR = -0.6, -1.0
"""[Fe/H] of the first network above which it alone counts, and below which the second alone does."""


def fit_and_check(
    spectra: Sequence[StarSpectrum],
    model: LabelModel,
    settings: Settings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> list[LabelFit]:
    """Fit stars and compare the network's gradients with the physical ones; mix where a model has a companion.

    Parameters
    ----------
    spectra : sequence of StarSpectrum
    model : LabelModel
        With its companion for metal-poor stars, if it has one.
    settings : Settings

    Returns
    -------
    list of LabelFit
        One for each spectrum, in the same order.
    """
    from processing.labels.fit import fit_labels
    from processing.labels.gradients import check_gradients

    def one(stars: Sequence[StarSpectrum], network: LabelModel, share: Progress) -> list[LabelFit]:
        fits = fit_labels(stars, network, settings, progress=share, cancelled=cancelled)
        return check_gradients(fits, network, settings, cancelled=cancelled)

    if model.companion is None:
        return one(spectra, model, progress)
    fits = one(spectra, model, part(progress, 0.0, 0.5))
    iron = np.array([fit.values[model.labels.index("fe_h")] for fit in fits])
    weight = poor_weight(iron)
    chosen = np.flatnonzero(weight > 0)
    others = one([spectra[i] for i in chosen.tolist()], model.companion, part(progress, 0.5, 1.0))
    for i, other in zip(chosen.tolist(), others, strict=True):
        if np.isfinite(other.values).all():
            fits[i] = replace(mix(fits[i], other, float(weight[i])), poor_weight=float(weight[i]))
    return fits


def poor_weight(iron: np.ndarray) -> np.ndarray:
    """Weight of the metal-poor network at the first one's [Fe/H], shape (n,): Eq. 2; 0 where that is unknown."""
    return np.nan_to_num(np.clip((iron - RICH) / (POOR - RICH), 0.0, 1.0))


def mix(rich: LabelFit, poor: LabelFit, weight: float) -> LabelFit:
    """Return the weighted mean of two fits of one star, `weight` that of the metal-poor network's.

    Both read the same noise, and both networks err alike, so that their errors add linearly, not in quadrature. What
    cannot be averaged (pixels, masks, notes) is that of the network that weighs more.
    """
    shares = (1.0 - weight, weight)
    main = poor if weight >= 0.5 else rich
    if weight in (0.0, 1.0):
        return main
    pair = (rich, poor)
    best = shares[0] * rich.best + shares[1] * poor.best
    used = main.ivar > 0
    deviation = (main.flux - best)[used] * np.sqrt(main.ivar[used])

    def mixed(name: str, how: Callable[..., np.ndarray]) -> Any:
        values = [getattr(fit, name) for fit in pair]
        return None if any(value is None for value in values) else how(*values, *shares)

    return replace(
        main,
        values=mixed("values", _mean),
        rv=shares[0] * rich.rv + shares[1] * poor.rv,
        covariance=mixed("covariance", _together),
        covariance_scaled=mixed("covariance_scaled", _together),
        covariance_model=mixed("covariance_model", _together),
        red_chi2=float(np.mean(np.square(deviation))),
        corr_flux=float(np.corrcoef(main.flux[used], best[used])[0, 1]),
        converged=rich.converged and poor.converged,
        extrapolated=rich.extrapolated or poor.extrapolated,
        in_scope=rich.in_scope and poor.in_scope,
        best=np.asarray(best, np.float32),
        gradcorr=mixed("gradcorr", _mean),
        gradcorr_info=mixed("gradcorr_info", _mean),
        bound=mixed("bound", _mean),
    )


def _mean(one: np.ndarray, other: np.ndarray, w_one: float, w_other: float) -> np.ndarray:
    return np.asarray(w_one * one + w_other * other)


def _together(one: np.ndarray, other: np.ndarray, w_one: float, w_other: float) -> np.ndarray:
    """Covariance of the weighted mean of two estimates with the same noise: that of the weighted roots."""
    unit = np.sqrt(np.maximum(np.diag(one), np.diag(other)) + 1e-30)
    root = w_one * _root(one / unit / unit[:, None]) + w_other * _root(other / unit / unit[:, None])
    return np.asarray(root @ root.T * unit * unit[:, None])


def _root(matrix: np.ndarray) -> np.ndarray:
    """Symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
