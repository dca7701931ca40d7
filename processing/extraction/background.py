"""How finely the background has to be followed: one look at a band image between the stars."""

from __future__ import annotations

import numpy as np

from processing.extraction.linear import background_matrix
from processing.extraction.psf import PsfModel
from processing.extraction.sources import FieldImage, fit_image

SMALLEST = 2.2
"""Smallest sky patch, FWHM: smaller ones could not be told from stars."""
FLAT = 0.3
"""Structure in the background, in sigma of a layer's pixel, that does no harm."""
CLEAR = 1.5
"""The background is looked at further than this many FWHM from all stars."""


def sky_patch(x: np.ndarray, y: np.ndarray, image: FieldImage, psf: PsfModel, wave: float, largest: int) -> int:
    """Return the side of the sky patches in spaxels: `largest` where the background is flat, less around galaxies.

    Parameters
    ----------
    x, y : ndarray, shape (n_star,)
        Stars that are modelled, spaxels.
    image : FieldImage
        A band so narrow that one PSF describes it.
    psf : PsfModel
    wave : float
        Of the band, Angstrom.
    largest : int
        Side wanted for a flat background.
    """
    from scipy.ndimage import gaussian_filter

    fwhm = float(psf.fwhm(wave))
    valid = image.valid
    yy, xx = np.indices(valid.shape)
    between = valid.copy()
    for cx, cy in zip(x, y, strict=True):
        between &= (xx - cx) ** 2 + (yy - cy) ** 2 > (CLEAR * fwhm) ** 2
    if between.sum() < max(50, 0.1 * valid.sum()):
        return largest
    sigma = float(np.sqrt(np.median(image.variance[valid])))
    sides, structure = [largest], []
    while sides[-1] * 0.7 > SMALLEST * fwhm:
        sides.append(int(sides[-1] * 0.7))
    for side in sides:
        _, residual = fit_image(x, y, image, psf, wave, background_matrix(valid, "patches", side))
        smooth = gaussian_filter(np.where(between, residual, 0.0), 0.6 * fwhm)
        smooth /= np.maximum(gaussian_filter(between.astype(float), 0.6 * fwhm), 1e-3)
        structure.append(float(np.sqrt(np.mean(smooth[between] ** 2))) / sigma)
        if structure[-1] < FLAT:
            return side
    return next(s for s, value in zip(sides, structure, strict=True) if value < 1.1 * min(structure))
