"""What the residuals say about the cube's variances and the PSF, in sentences for the user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from processing.spectrum import StarSpectrum

FEWEST = 6
"""Stars needed to tell a wrong variance from a wrong PSF."""
LOW, HIGH = 0.6, 1.6
"""Residuals of the calmer stars, in sigma, outside which the variances are wrong."""
MISFIT = 2.0
"""Residuals of the brighter stars over those of the calmer ones above which the PSF is wrong."""


def residual_notes(spectra: Sequence[StarSpectrum]) -> list[str]:
    """Judge the residuals around the stars.

    Wrong variances show at all stars alike, a wrong PSF at the bright ones.
    """
    chi = np.array([float(s.meta["psf_chi"]) for s in spectra])
    snr = np.array([s.snr for s in spectra])
    known = np.isfinite(chi) & np.isfinite(snr)
    if known.sum() < FEWEST:
        return []
    chi, snr = chi[known], snr[known]
    calm = float(np.percentile(chi, 20))
    bright = float(np.median(chi[snr >= np.percentile(snr, 75)]))
    notes = []
    if not LOW < calm < HIGH:
        small = "small" if calm > 1.0 else "large"
        notes.append(
            f"The cube's variances look too {small} by a factor of {max(calm, 1.0 / calm) ** 2:.1f}: residuals scatter "
            f"by {calm:.2f} of their errors. Trust the errors that are scaled by the residuals (_err_cal)."
        )
    if bright > MISFIT * calm:
        notes.append(
            f"The PSF does not fit the brighter stars: their residuals are {bright / calm:.1f} times those of the "
            "others. Try another psf.profile, or leave psf.residual on; saturated or variable stars look so too."
        )
    return notes
