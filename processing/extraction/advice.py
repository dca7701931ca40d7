"""What the spectra and the residuals say about the cube's variances and the PSF, in sentences for the user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from processing.spectrum import StarSpectrum

FEWEST = 5
"""Stars needed to judge."""
NOISY = 60.0
"""Up to this signal-to-noise (DER_SNR) a spectrum's scatter from pixel to pixel is noise rather than lines."""
LOW, HIGH = 0.6, 1.6
"""Scatter over formal error outside which the variances are wrong; resampling alone gives 0.6 to 1."""
MISFIT = 1.5
"""Residuals of the brighter stars, in units of the noise, above which the PSF is wrong."""


def residual_notes(spectra: Sequence[StarSpectrum]) -> list[str]:
    """Judge the errors by the scatter of the fainter spectra, and the PSF by the residuals of the brighter stars."""
    snr = np.array([s.snr for s in spectra])
    ratio = snr / np.array([s.snr_der for s in spectra])  # the noise that is seen over the formal error
    chi = np.array([float(s.meta["psf_chi"]) for s in spectra])
    noisy = np.isfinite(ratio) & (ratio > 0) & (snr / np.where(ratio > 0, ratio, 1.0) < NOISY)
    notes, noise = [], 1.0
    if noisy.sum() >= FEWEST:  # lines raise the one, a wrong PSF the other: variances raise or lower both
        both = np.array([np.median(ratio[noisy]), np.nanmedian(chi[noisy])])
        noise = float(both.min() if both.min() > 1.0 else min(both.max(), 1.0))
    if not LOW < noise < HIGH:
        small, factor = ("small", noise**2) if noise > 1.0 else ("large", noise**-2)
        notes.append(
            f"The cube's variances look too {small} by a factor of {factor:.1f}: spectra scatter by {noise:.2f} of "
            "their errors. Trust the errors that are scaled by the residuals (_err_cal)."
        )
    known = np.isfinite(chi) & np.isfinite(snr)
    if known.sum() >= FEWEST:
        bright = float(np.median(chi[known][snr[known] >= np.percentile(snr[known], 75)])) / noise
        if bright > MISFIT:
            notes.append(
                f"The PSF does not fit the brighter stars: residuals around them are {bright:.1f} times the noise. "
                "Try another psf.profile or a larger psf.radius; variable and saturated stars look so too."
            )
    return notes
