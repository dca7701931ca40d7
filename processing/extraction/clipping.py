"""Voxels that a batch's solution must not believe: residues of cosmic rays and other outliers."""

from __future__ import annotations

import numpy as np

from processing.layer_statistics import masked_median

CLIP = 6.0
"""Residuals beyond this many sigma are left out, if they also exceed a share of the stars' model."""
MISFIT = 0.1
"""That share, once the PSF's own error is known from the other layers of the batch."""
UNKNOWN_MISFIT = 0.5
"""That share where too few layers tell."""
RAY = 10.0
"""A voxel this many sigma off the mean of its bin, and by more than the mean, is a ray: lines are never so strong."""
ENOUGH = 12
"""Layers from which the PSF's error is told."""
CALMEST = 0.25
"""Least scatter of a layer's residuals in its own sigma that is believed, where variances are too large."""
MANY = 0.02
"""Layers in which more than this share of the pixels stand out have another problem and stay."""
LARGEST = 0.3
"""Only outliers of at least this part of the layer's largest count at a time: one drags the fit away from others."""


def find_outliers(residual: np.ndarray, star_model: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return a boolean array (n_pixel, n), True for the outliers of a batch of layers.

    An imperfect PSF leaves the same share of a star's light in all layers of a batch, a cosmic ray is in one: what is
    common is taken away first, so that the cores of bright stars stay, and rays in them do not.

    Parameters
    ----------
    residual : ndarray, shape (n_pixel, n)
        Data minus model, in sigma of a typical pixel of each layer.
    star_model : ndarray, shape (n_pixel, n)
        The stars' part of the model.
    weight : ndarray, shape (n_pixel, n)
        1 / variance; 0 where masked.
    """
    root = np.sqrt(weight)
    chi = np.abs(residual) * root
    sample = chi[:: max(1, len(chi) // 4000)]
    spread = np.array([1.4826 * np.median(c[c > 0]) if (c > 0).any() else 1.0 for c in sample.T])
    limit = CLIP * np.maximum(spread, CALMEST)
    rows = np.flatnonzero((chi > limit).any(1))
    outlier = np.zeros(chi.shape, bool)
    if rows.size == 0:
        return outlier
    left, model, known = residual[rows], star_model[rows], weight[rows] > 0
    floor = UNKNOWN_MISFIT
    if residual.shape[1] >= ENOUGH:
        floor = MISFIT
        usual = masked_median(np.where(known, left, np.nan)) / np.maximum(masked_median(np.abs(model)), 1.0)
        left = left - np.nan_to_num(usual)[:, None] * model
    size = np.abs(left) * root[rows]
    hit = known & (size > limit) & (np.abs(left) > floor * np.abs(model))
    hit &= size > LARGEST * np.where(hit, size, 0.0).max(0)
    outlier[rows] = hit & (hit.sum(0) < MANY * len(chi))
    return outlier


def find_rays(flux: np.ndarray, ivar: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return a boolean array (n, ny, nx), True for single voxels far off what their wavelength bin lets expect.

    Parameters
    ----------
    flux, ivar : ndarray, shape (n, ny, nx)
    expected : ndarray, shape (n, ny, nx)
        The bin's mean image, brought to each layer's level.
    """
    off = np.abs(flux - expected)
    rays = (off * off * ivar > RAY**2) & (off > np.abs(expected))
    return np.asarray(rays & (rays.mean((1, 2)) < MANY)[:, None, None])


def layer_levels(flux: np.ndarray, ivar: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return by how much each layer's background is above that of the bin's mean image, shape (n,)."""
    some = (slice(None), slice(None, None, 3), slice(None, None, 3))
    off = np.where(ivar[some] > 0, flux[some] - mean[some[1:]], np.nan)
    return np.nan_to_num(masked_median(off.reshape(len(off), -1))).astype(flux.dtype)
