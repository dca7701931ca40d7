"""Are the labels real? The network's gradients against physical ones, and what each spectrum can tell at best.

Two criteria, kept apart. The **gradient check** (section 3.3 of the paper) has no noise in it: where the network's
gradient spectrum is unlike the physical one, a label is read from something else than its lines. The **bound**
(Cramer-Rao) says whether this spectrum, with its noise and gaps, carries the label at all.

One convention for both: d/d[X/Fe] at fixed [Fe/H], d/d[Fe/H] at fixed [X/Fe].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from processing.labels.errors import inverse_root
from processing.labels.normal import Emulator
from processing.preparation.lsf import broadening_matrix
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.settings import EvidenceSettings, Settings

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit
    from processing.labels.model_file import LabelModel

_BLOCK = 32
"""Stars side by side: their gradients take 6 MB."""


def check_gradients(
    fits: Sequence[LabelFit],
    model: LabelModel,
    settings: Settings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> list[LabelFit]:
    """Complete fits with their evidence: gradient correlations, distance to the template, Cramer-Rao bounds.

    The network's gradient at a star's labels and that of the nearest template (Eq. 4) are brought to the resolution
    at which the star was fitted, and compared over its own fitted pixels.

    Parameters
    ----------
    fits : sequence of LabelFit
    model : LabelModel
        What they were fitted with.
    settings : Settings
        `workers` is used; thresholds come in when flags are asked for (`flags`, `informative`).

    Returns
    -------
    list of LabelFit
        The fits with `gradcorr`, `gradcorr_info`, `bound` (n_label,) and `grad_distance`; NaN where a star has no
        labels, and the first two and the last where the model has no templates.
    """
    from threadpoolctl import threadpool_limits

    unknown = np.full(len(model.labels), np.nan)
    checked = [replace(fit, gradcorr=unknown, gradcorr_info=unknown, bound=unknown) for fit in fits]
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index, fit in enumerate(fits):
        if np.isfinite(fit.values).all():
            groups[_resolution(fit, model).tobytes()].append(index)
    done, total = 0, sum(map(len, groups.values()))
    with threadpool_limits(1), ThreadPoolExecutor(max(1, settings.workers or 2)) as pool:
        for members in groups.values():
            comparison = _Comparison(model, _resolution(fits[members[0]], model))
            blocks = [members[i : i + _BLOCK] for i in range(0, len(members), _BLOCK)]
            work = partial(comparison.checked, cancelled=cancelled)
            stars = ([fits[i] for i in block] for block in blocks)
            for block, found in zip(blocks, pool.map(work, stars), strict=True):
                for index, fit in zip(block, found, strict=True):
                    checked[index] = fit
                done += len(block)
                progress(done / total, f"Checked the gradients of {done} of {total} stars")
    return checked


@dataclass(frozen=True)
class GradientSpectra:
    """Which pixels make a star's labels: d(pseudo-normalised flux)/d(label) at its labels and resolution.

    Parameters
    ----------
    network : ndarray, shape (n_label, n_pix)
        Per unit of the label (K, dex, km/s).
    physical : ndarray, shape (n_label, n_pix), or None
        The same of the nearest template; None where the model has none.
    template : str
        Its name.
    """

    network: np.ndarray
    physical: np.ndarray | None
    template: str


def gradient_spectra(fit: LabelFit, model: LabelModel) -> GradientSpectra:
    """Return the gradients that `check_gradients` compares, of one star with labels.

    Of a mixture those of the network that weighs more.
    """
    if model.companion is not None and fit.poor_weight >= 0.5:
        model = model.companion
    comparison = _Comparison(model, _resolution(fit, model))
    network = comparison.emulator.network.gradients(fit.values[None])[0]
    if not model.templates.names:
        return GradientSpectra(network, None, "")
    nearest = int(comparison.templates.nearest(fit.values[None], model.labels)[0][0])
    return GradientSpectra(network, comparison.templates.gradients([nearest])[0], model.templates.names[nearest])


def flags(fit: LabelFit, settings: EvidenceSettings) -> np.ndarray:
    """Return 1 for each label whose gradient is the physical one, else 0 (section 3.3); shape (n_label,)."""
    if fit.gradcorr is None:
        return np.zeros(len(fit.labels), int)
    return (np.nan_to_num(fit.gradcorr, nan=-1.0) > settings.min_gradcorr).astype(int)


def informative(fit: LabelFit, settings: EvidenceSettings) -> np.ndarray:
    """Return 1 for each label that the spectrum can determine at all, else 0; shape (n_label,)."""
    if fit.bound is None:
        return np.zeros(len(fit.labels), int)
    return (np.nan_to_num(fit.bound, nan=np.inf) <= settings.limits(fit.labels)).astype(int)


def _resolution(fit: LabelFit, model: LabelModel) -> np.ndarray:
    return model.lsf_fwhm if fit.lsf_fwhm is None else fit.lsf_fwhm


class _Comparison:
    """Network and templates at the resolution of some stars."""

    def __init__(self, model: LabelModel, reached: np.ndarray) -> None:
        self.labels, self.templates = model.labels, model.templates
        self.emulator = Emulator.at_resolution(model.network, model.wave, model.lsf_fwhm, reached)
        matrix = broadening_matrix(model.wave, model.lsf_fwhm, reached)
        if matrix is not None:
            self.templates = replace(self.templates, basis=(matrix @ self.templates.basis.T).T.astype(np.float32))

    def checked(self, stars: Sequence[LabelFit], cancelled: CancelCheck) -> list[LabelFit]:
        """Return some stars' fits with their evidence."""
        stop_if(cancelled)
        labels = np.array([star.values for star in stars])
        ivar = np.array([star.ivar for star in stars], np.float32)
        network = physical = self.emulator.network.gradients(labels)
        plain = weighted = np.full(labels.shape, np.nan)
        distance = np.full(len(stars), np.nan)
        if self.templates.names:
            nearest, distance = self.templates.nearest(labels, self.labels)
            chosen, back = np.unique(nearest, return_inverse=True)
            physical = self.templates.gradients(chosen)[back]
            plain, weighted = _correlations(network, physical, ivar)
        velocity = self.emulator.velocity_derivative(np.array([star.best for star in stars]))
        noise = np.array([_noise_factor(star) for star in stars])
        bound = cramer_rao(np.concatenate([physical, velocity[:, None]], axis=1), ivar, noise)[:, :-1]
        evidence = zip(stars, plain, weighted, bound, distance, strict=True)
        return [
            replace(star, gradcorr=one, gradcorr_info=two, bound=three, grad_distance=float(far))
            for star, one, two, three, far in evidence
        ]


def _correlations(network: np.ndarray, physical: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Agreement of gradients (n, n_label, n_pix) over the pixels where ivar (n, n_pix) is positive.

    Returns
    -------
    pearson : ndarray, shape (n, n_label)
        Pearson correlation, each pixel alike (the paper's).
    weighted : ndarray, shape (n, n_label)
        Cross information over the root of the two informations, sum(N P / sigma^2) / sqrt(sum(N^2 / sigma^2)
        sum(P^2 / sigma^2)): each pixel counts by what it tells about the label in this spectrum.
    """
    weights = np.stack([(ivar > 0).astype(np.float32), ivar / ivar.max(axis=1, keepdims=True)], axis=2)
    count = weights[:, :, 0].sum(axis=1, dtype=float)[:, None]
    cross, one, two = ((product @ weights).astype(float) for product in (network * physical, network**2, physical**2))
    mean_one, mean_two = ((values @ weights[:, :, :1])[:, :, 0] / count for values in (network, physical))
    covariance = cross[:, :, 0] - count * mean_one * mean_two
    variance = (one[:, :, 0] - count * mean_one**2) * (two[:, :, 0] - count * mean_two**2)
    return _over_root(covariance, variance), _over_root(cross[:, :, 1], one[:, :, 1] * two[:, :, 1])


def _over_root(cross: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Cross / sqrt(product); 0 where one of the gradients vanishes."""
    return np.divide(cross, np.sqrt(np.maximum(product, 0)), out=np.zeros_like(cross), where=product > 0)


def _noise_factor(fit: LabelFit) -> float:
    """By how much real noise exceeds the raw errors taken as independent.

    `error_scale`, times what the correlation of neighbouring pixels adds to the velocity's error: that is carried
    exactly through degrading and resampling, and unlike an abundance's no prior holds it.
    """
    correlation = fit.rv_err / (fit.error_scale * np.sqrt(fit.covariance[-1, -1]))
    return float(fit.error_scale * max(correlation, 1.0))


def cramer_rao(gradients: np.ndarray, ivar: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the lowest errors that any unbiased fit of all parameters at once can reach, without priors.

    Parameters
    ----------
    gradients : ndarray, shape (n, n_par, n_pix)
    ivar : ndarray, shape (n, n_pix)
    noise : ndarray, shape (n,)
        Factor by which the errors are too small.

    Returns
    -------
    ndarray, shape (n, n_par)
    """
    fisher = ((gradients * ivar[:, None]) @ gradients.transpose(0, 2, 1)).astype(float)
    return noise[:, None] * np.sqrt(np.square(inverse_root(fisher)).sum(axis=2))
