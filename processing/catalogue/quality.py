"""How far a row of the catalogue can be trusted, in a word and a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from processing.labels.arms import arm_difference
from processing.labels.names import LABELS
from processing.labels.result import LOOKS_COMPUTED
from processing.labels.scope import outside
from processing.settings import CatalogueSettings, Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit
    from processing.labels.model_file import LabelModel

Quality = Literal["good", "check", "poor", "out of scope", "not fitted"]

HOT, POOR_IN_METALS = 6000.0, -2.0
"""Hotter (K) and poorer in metals (dex) than this little but hydrogen shows, and a much hotter star looks the same."""
MIN_SNR = 10.0
"""Signal-to-noise per pixel, on rescaled errors, below which labels say little."""
MAX_ARMS, ARMS_SIGMA = 10.0, 4.0
"""km/s and errors by which the velocities below and above 5900 A may differ."""
MIN_EDGE = 2.0
"""Distance to the edge of the field, spaxels, below which part of the PSF is lost."""
MAX_CONTAMINATION = 0.75
"""Fraction of foreign light above which a small error of the neighbours is a large one of the star."""


def judge(
    spectrum: StarSpectrum, fit: LabelFit | None, model: LabelModel | None, settings: Settings
) -> tuple[Quality, str]:
    """Return the quality of one star's labels and the reasons against them.

    Parameters
    ----------
    spectrum : StarSpectrum
    fit : LabelFit or None
        None: the star was not fitted.
    model : LabelModel or None
        What it was fitted with.
    settings : Settings
        `catalogue` and `evidence` are used.

    Returns
    -------
    quality : {"good", "check", "poor", "out of scope", "not fitted"}
    reason : str
        Empty for "good".
    """
    if fit is None or model is None:
        return "not fitted", "no fit was made"
    if not np.isfinite(fit.values).all():
        return "not fitted", fit.note or "the fit found no labels"
    if not fit.in_scope:
        return "out of scope", fit.note or "the spectrum differs from all that the model knows"
    poor, check = _poor(spectrum, fit, settings.catalogue), _check(spectrum, fit, model, settings)
    reason = "; ".join(poor + check)
    if poor:
        return "poor", reason
    return ("check", reason) if check else ("good", "")


def _poor(spectrum: StarSpectrum, fit: LabelFit, settings: CatalogueSettings) -> list[str]:
    reasons = []
    snr = spectrum.snr / fit.error_scale
    if not fit.converged:
        reasons.append("the fit did not converge")
    if fit.red_chi2 > settings.chi2_good:
        reasons.append(f"reduced chi2 is {fit.red_chi2:.0f}")
    if snr < MIN_SNR:
        reasons.append(f"signal-to-noise is {snr:.0f} on rescaled errors")
    if fit.corr_flux < settings.corr_flux_good * _best_correlation(spectrum, fit):
        reasons.append(f"flux and best fit correlate by {fit.corr_flux:.2f}, less than noise explains")
    return reasons


def _best_correlation(spectrum: StarSpectrum, fit: LabelFit) -> float:
    """Correlation with the flux that the best fit would have if it were the truth: noise alone lowers it.

    The noise is the pipeline's, scaled as the residuals say or as the scatter of neighbouring pixels says, whichever
    is less: misfits raise the one, lines the other.
    """
    fitted = fit.ivar > 0
    scale = min(fit.error_scale, spectrum.snr / spectrum.snr_der)
    signal = float(np.var(fit.best[fitted]))
    noise = scale**2 * float(np.mean(1.0 / fit.ivar[fitted]))
    return float(np.sqrt(signal / (signal + noise)))


def _check(spectrum: StarSpectrum, fit: LabelFit, model: LabelModel, settings: Settings) -> list[str]:
    reasons = []
    meta = spectrum.meta
    beyond = outside(model, fit.values, fit.errors_scaled(), settings.evidence)
    if beyond:
        reasons.append(f"outside the training set: {', '.join(LABELS[name].symbol for name in beyond)}")
    labels = dict(zip(fit.labels, fit.values, strict=True))
    if labels.get("teff", 0.0) > HOT and labels.get("fe_h", 0.0) < POOR_IN_METALS:
        reasons.append("a much hotter star would look the same")
    good = settings.catalogue.corr_flux_good
    if good * _best_correlation(spectrum, fit) <= fit.corr_flux < good:
        reasons.append(f"noise hides the lines: flux and best fit correlate by {fit.corr_flux:.2f}")
    apart, error = arm_difference(fit)
    if np.isnan(fit.arms_split) and abs(apart) > max(MAX_ARMS, ARMS_SIGMA * error):
        reasons.append(f"the red part recedes {apart:+.0f} km/s faster than the blue one")
    if meta.get("multistar"):
        reasons.append("more than one star shares the spectrum")
    if float(meta.get("edge_dist", np.inf)) < MIN_EDGE:
        reasons.append("the star lies at the edge of the field")
    if meta.get("trail"):
        reasons.append("the trail of a satellite hides a part of the star")
    if float(meta.get("contamination", 0.0)) > MAX_CONTAMINATION:
        reasons.append(f"{float(meta['contamination']):.0%} of the light in its PSF is its neighbours'")
    note = fit.note.replace(LOOKS_COMPUTED, "").strip()
    if note and fit.converged:
        reasons.append(note)
    return reasons
