"""Do the blue and the red part of a spectrum give the same velocity? Where they do not, one wavelength scale is off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from processing.preparation.air import SPEED_OF_LIGHT, in_frame, shifted
from processing.preparation.masks import DICHROIC
from processing.preparation.prepare import ONE_ARM, VELOCITY_STEP, Arms, Observation
from processing.settings import FitSettings

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit

DIVISION = 5900.0
"""Angstrom in air: where surveys with two arms divide the light."""
SEAM = 50.0
"""Angstrom on either side of the division where the arms have little light and are stitched together."""
FEWEST = 150
"""Fitted pixels that each part must have."""
WIDTH = 20.0
"""km/s: arms are taken to differ by no more, 1 sigma, so that noise does not tear a faint star's spectrum apart."""
_STEPS, _LONGEST, _CLOSE = 8, 60.0, 0.05
"""Gauss-Newton steps at most, the longest one, and the one that ends them, km/s."""


def arms_of(star: Observation, settings: FitSettings) -> Arms:
    """Return where a star's red arm begins, if it may have a velocity of its own and both have pixels enough."""
    choice = settings.velocity_per_arm
    if choice == "lamost":
        choice = "lamost" in str(star.meta.get("instrument", "")).lower()
    if not choice:
        return ONE_ARM
    split = float(in_frame(np.array([DIVISION if choice is True else choice]), "air", "vacuum")[0])
    parts = [star.wave[star.ivar > 0] < split, star.wave[star.ivar > 0] >= split]
    return Arms(split) if min(part.sum() for part in parts) >= FEWEST else ONE_ARM


def without_seam(star: Observation, arms: Arms) -> Observation:
    """Leave out what lies within `SEAM` of the seam between two arms."""
    seam = np.abs(star.wave - arms.split) < SEAM
    if not seam.any():
        return star
    reason = star.reason | np.where(seam, DICHROIC, 0).astype(np.uint16)
    return replace(star, ivar=np.where(seam, 0.0, star.ivar), reason=reason)


def remeasured(arms: Arms, red: np.ndarray, residual: np.ndarray, slope: np.ndarray, weight: np.ndarray) -> Arms:
    """Return the arms with the velocity of the red one improved by a Gauss-Newton step, to `VELOCITY_STEP`.

    Parameters
    ----------
    arms : Arms
        As taken off so far.
    red : ndarray, shape (n_pix,), bool
        Pixels of the red arm.
    residual, slope, weight : ndarray, shape (n_pix,)
        Flux less the best fit, the derivative of that with respect to velocity, per km/s, and inverse variances.

    Returns
    -------
    Arms
        `ONE_ARM` where a part has too few pixels.
    """
    parts = [(weight > 0) & ~red, (weight > 0) & red]
    if min(part.sum() for part in parts) < FEWEST:
        return ONE_ARM
    push = [float((weight * slope)[part] @ residual[part]) for part in parts]
    information = [max(float(weight[part] @ np.square(slope[part])), 1e-30) for part in parts]
    variance = 1.0 / information[0] + 1.0 / information[1]
    found = arms.velocity + push[1] / information[1] - push[0] / information[0]
    found *= WIDTH**2 / (WIDTH**2 + variance)
    return arms._replace(velocity=VELOCITY_STEP * round(found / VELOCITY_STEP))


def arm_difference(fit: LabelFit) -> tuple[float, float]:
    """Return by how much the red part of a fitted star recedes faster than the blue one, and the error, in km/s.

    Each part's velocity is fitted with the labels held; what the fit took off already counts with it. Both are NaN
    where a part has too few pixels.
    """
    separate = np.isfinite(fit.arms_split)
    division = shifted(np.array([fit.arms_split]), "air", fit.rv, "air") if separate else DIVISION
    red = in_frame(fit.wave, fit.frame, "air") >= division
    used = fit.ivar > 0
    parts = [used & ~red, used & red]
    if not np.isfinite(fit.values).all() or min(part.sum() for part in parts) < FEWEST:
        return np.nan, np.nan
    (blue_shift, blue_error), (red_shift, red_error) = (_velocity(fit, part) for part in parts)
    # The whole fit's velocity error knows how neighbouring pixels are correlated; these two do not.
    unaware = fit.error_scale * np.sqrt(fit.covariance[-1, -1])
    correlation = max(float(np.sqrt(fit.covariance_scaled[-1, -1])) / unaware, 1.0)
    taken = fit.arms_velocity if separate else 0.0
    return taken + red_shift - blue_shift, correlation * float(np.hypot(blue_error, red_error))


def _velocity(fit: LabelFit, used: np.ndarray) -> tuple[float, float]:
    """Shift of some pixels against the best fit and its error from independent pixels, km/s."""
    logarithm = np.log(fit.wave)
    weight = fit.ivar[used].astype(float)
    velocity, information = 0.0, 1.0
    for _ in range(_STEPS):
        best = np.interp(logarithm - velocity / SPEED_OF_LIGHT, logarithm, fit.best)
        slope = -np.gradient(best, logarithm)[used] / SPEED_OF_LIGHT
        information = max(float(weight @ slope**2), 1e-30)
        step = float((weight * slope) @ (fit.flux[used] - best[used])) / information
        velocity += float(np.clip(step, -_LONGEST, _LONGEST))
        if abs(step) < _CLOSE:
            break
    return velocity, fit.error_scale / float(np.sqrt(information))
