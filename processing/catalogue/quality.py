"""How far a row of the catalogue can be trusted, in a word and a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from processing.settings import CatalogueSettings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit

Quality = Literal["good", "check", "poor", "out of scope", "not fitted"]

MIN_SNR = 10.0
"""DER_SNR per pixel below which labels say little."""
MIN_EDGE = 2.0
"""Distance to the edge of the field, spaxels, below which part of the PSF is lost."""
MAX_CONTAMINATION = 0.3
"""Fraction of foreign light above which subtraction errors show in the labels."""


def judge(spectrum: StarSpectrum, fit: LabelFit | None, settings: CatalogueSettings) -> tuple[Quality, str]:
    """Return the quality of one star's labels and the reasons against them.

    Parameters
    ----------
    spectrum : StarSpectrum
    fit : LabelFit or None
        None: the star was not fitted.
    settings : CatalogueSettings

    Returns
    -------
    quality : {"good", "check", "poor", "out of scope", "not fitted"}
    reason : str
        Empty for "good".
    """
    if fit is None:
        return "not fitted", "no fit was made"
    if not np.isfinite(fit.values).all():
        return "not fitted", fit.note or "the fit found no labels"
    if not fit.in_scope:
        return "out of scope", fit.note or "the spectrum differs from all that the model knows"
    poor = _poor(spectrum, fit, settings)
    check = _check(spectrum, fit)
    if poor:
        return "poor", "; ".join(poor + check)
    return ("check", "; ".join(check)) if check else ("good", "")


def _poor(spectrum: StarSpectrum, fit: LabelFit, settings: CatalogueSettings) -> list[str]:
    reasons = []
    if not fit.converged:
        reasons.append("the fit did not converge")
    if fit.red_chi2 > settings.chi2_good:
        reasons.append(f"reduced chi2 is {fit.red_chi2:.0f}")
    if spectrum.snr_der < MIN_SNR:
        reasons.append(f"signal-to-noise is {spectrum.snr_der:.0f}")
    if fit.corr_flux < settings.corr_flux_good:
        reasons.append(f"flux and best fit correlate by {fit.corr_flux:.2f}")
    return reasons


def _check(spectrum: StarSpectrum, fit: LabelFit) -> list[str]:
    reasons = []
    meta = spectrum.meta
    if fit.extrapolated:
        reasons.append("labels lie outside the training set")
    if meta.get("multistar"):
        reasons.append("more than one star shares the spectrum")
    if float(meta.get("edge_dist", np.inf)) < MIN_EDGE:
        reasons.append("the star lies at the edge of the field")
    if float(meta.get("contamination", 0.0)) > MAX_CONTAMINATION:
        reasons.append(f"{float(meta['contamination']):.0%} of the light in its PSF is its neighbours'")
    if fit.note:
        reasons.append(fit.note)
    return reasons
