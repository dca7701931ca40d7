"""From where a batch of fits ended to what is said of each star: labels, their errors, quality, notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from processing.labels.arms import WIDTH
from processing.labels.errors import Design, robust_scale
from processing.labels.result import LOOKS_COMPUTED, LabelFit
from processing.labels.scope import describe, outside
from processing.preparation.air import in_frame
from processing.progress import stop_if

if TYPE_CHECKING:
    from processing.labels.fit import Batch

AT_ONCE = 16
"""Stars whose errors are worked out side by side."""
EXCESS = 0.5
"""What real stars taught applies to each star by 1 +- this: 1 +- 0.1 in library stars, 0 +- 0.1 in computed spectra."""
COMPUTED = -0.85
"""Below this excess a spectrum is as computed ones are. One library star in 200 comes to -0.5, a hot star to -0.9."""


def gather(batch: Batch, labels: np.ndarray, shift: np.ndarray, converged: np.ndarray) -> list[LabelFit]:
    """Gather the fits that ended at these labels and residual velocities."""
    batch.best = batch.shifted_best(shift)
    deviation = (batch.prepared.flux - batch.best) * np.sqrt(batch.prepared.ivar)
    good = batch.prepared.ivar > 0
    scale, parts = robust_scale(deviation, good), batch.scales(deviation, good)
    results = []
    for start in range(0, len(labels), AT_ONCE):
        stop_if(batch.cancelled)
        rows = np.arange(start, min(start + AT_ONCE, len(labels)))
        design = _design(batch, rows, labels[rows])
        formal = design.formal()
        for k, i in enumerate(rows.tolist()):
            covariances = formal[k], *_covariances(batch, i, design, k, labels[i], parts[i])
            results.append(
                _result(batch, i, labels[i], float(shift[i]), float(scale[i]), covariances, bool(converged[i]))
            )
    return results


def _design(batch: Batch, rows: np.ndarray, labels: np.ndarray) -> Design:
    """Linearise the fits of some stars at their labels (n, n_label)."""
    n = labels.shape[1]
    # The last two: the red arm's own velocity, the correction's excess.
    jacobian = np.empty((len(rows), n + 3, batch.model.wave.size))
    jacobian[:, :n] = batch.emulator.network.gradients(labels) * batch.ratio[rows, None]
    jacobian[:, n] = batch.emulator.velocity_derivative(batch.best[rows])
    jacobian[:, n + 1] = jacobian[:, n] * np.array([batch.red(i) for i in rows.tolist()])
    jacobian[:, n + 2] = batch.learned[rows]
    known = np.diag(np.concatenate([1e-6 / np.square(batch.ranges), [1e-12, WIDTH**-2, EXCESS**-2]]))
    precision = np.repeat(known[None], len(rows), axis=0)
    precision[:, :n, :n] += batch.prior.take(rows).terms(labels)[2]
    return Design(jacobian, batch.weight[rows].astype(float), batch.prepared.ivar[rows].astype(float), precision, n + 1)


def _covariances(
    batch: Batch, i: int, design: Design, k: int, labels: np.ndarray, parts: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Covariances of a star, the design's k-th, with error scales `parts`: from noise, and from the model."""
    star, prepared, arms = batch.stars[i], batch.prepared, batch.arms[i]
    resampler = batch.operators.get(star, float(prepared.velocity[i]), arms)
    good = star.ivar > 0
    variance = np.divide(1.0, star.ivar, out=np.zeros_like(star.ivar), where=good)
    noise = np.where(star.wave < arms.split, *(_noise_scale(batch, i, float(parts[end])) for end in (0, -1)))
    scaled = design.propagated(k, resampler, good, variance * noise**2, prepared.continuum[i])
    if batch.error is None:
        return scaled, None
    gain = design.gain[k] * batch.ratio[i]
    return scaled, batch.error.covariance(gain, design.response[k], labels, batch.model.labels)


def _result(
    batch: Batch,
    i: int,
    labels: np.ndarray,
    shift: float,
    scale: float,
    covariances: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    converged: bool,
) -> LabelFit:
    """Gather one star's fit."""
    star, prepared, model = batch.stars[i], batch.prepared, batch.model
    fitted = prepared.ivar[i] > 0
    flux, best, ivar = prepared.flux[i], batch.best[i], prepared.ivar[i].astype(float)
    deviation = (flux - best) * np.sqrt(ivar)
    error = np.divide(scale, np.sqrt(ivar), out=np.zeros_like(ivar), where=fitted)
    in_scope, sentences = describe(model, labels, flux, best, error, fitted)
    if batch.excess[i] < COMPUTED and in_scope:
        sentences.append(LOOKS_COMPUTED)
    if not converged:
        sentences.append("The fit did not converge.")
    formal, scaled, own = covariances
    errors = np.sqrt(np.diag(scaled if own is None else scaled + own)[:-1])
    arms, separate = batch.arms[i], np.isfinite(batch.arms[i].split)
    return LabelFit(
        star_id=star.star_id,
        labels=model.labels,
        values=labels,
        rv=float(prepared.velocity[i] + shift),
        covariance=formal,
        covariance_scaled=scaled,
        error_scale=scale,
        red_chi2=float(np.mean(np.square(deviation[fitted]))),
        corr_flux=float(np.corrcoef(flux[fitted], best[fitted])[0, 1]),
        n_pix=int(fitted.sum()),
        n_masked=int((~fitted).sum()),
        n_replaced=star.n_replaced,
        n_coarser=int(prepared.n_coarser[i]),
        converged=converged,
        extrapolated=bool(outside(model, labels, errors, batch.settings.evidence)),
        in_scope=in_scope,
        wave=model.wave,
        flux=np.where(prepared.weight[i] > 0, flux, np.nan).astype(np.float32),
        ivar=prepared.ivar[i],
        best=best.astype(np.float32),
        mask_reason=prepared.reason[i],
        note=" ".join(sentences),
        lsf_fwhm=batch.reached,
        frame=model.frame,
        covariance_model=own,
        prior=batch.prior.describe(i),
        arms_velocity=arms.velocity if separate else np.nan,
        arms_split=float(in_frame(np.array([arms.split]), "vacuum", "air")[0]) if separate else np.nan,
    )


def _noise_scale(batch: Batch, i: int, scale: float) -> float:
    """Return a star's error scale without the model's own scatter, which counts as the model's error."""
    used = batch.prepared.ivar[i] > 0
    own = np.median(np.square(batch.model.scatter[used]) * batch.prepared.ivar[i, used])
    return float(np.sqrt(max(scale**2 - own, min(scale**2, 1.0))))
