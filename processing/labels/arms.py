"""Do the blue and the red part of a spectrum give the same velocity? Where they do not, one wavelength scale is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from processing.preparation.air import SPEED_OF_LIGHT, in_frame

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit

DIVISION = 5900.0
"""Angstrom in air: where surveys with two arms divide the light."""
FEWEST = 150
"""Fitted pixels that each part must have."""
_STEPS, _LONGEST, _CLOSE = 8, 60.0, 0.05
"""Gauss-Newton steps at most, the longest one, and the one that ends them, km/s."""


def arm_difference(fit: LabelFit) -> tuple[float, float]:
    """Return by how much the red part of a fitted star recedes faster than the blue one, and the error, in km/s.

    Each part's velocity is fitted with the labels held. Both are NaN where a part has too few pixels.
    """
    air = in_frame(fit.wave, fit.frame, "air")
    used = fit.ivar > 0
    parts = [used & (air < DIVISION), used & (air >= DIVISION)]
    if not np.isfinite(fit.values).all() or min(part.sum() for part in parts) < FEWEST:
        return np.nan, np.nan
    (blue, blue_error), (red, red_error) = (_velocity(fit, part) for part in parts)
    # The whole fit's velocity error knows how neighbouring pixels are correlated; these two do not.
    unaware = fit.error_scale * np.sqrt(fit.covariance[-1, -1])
    correlation = max(float(np.sqrt(fit.covariance_scaled[-1, -1])) / unaware, 1.0)
    return red - blue, correlation * float(np.hypot(blue_error, red_error))


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
