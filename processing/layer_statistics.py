"""Robust statistics of layers: means and medians that skip masked voxels, and noise from differences."""

from __future__ import annotations

import math

import numpy as np


def to_variance(noise: np.ndarray, kind: str) -> np.ndarray:
    """Turn what the noise extension holds into variances."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if kind == "error":
            return np.where(noise > 0, noise.astype(np.float64) ** 2, np.nan)
        return 1.0 / noise.astype(np.float64) if kind == "ivar" else noise


def masked_mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Divide, NaN where nothing was counted, float32."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0, total / count, np.nan).astype(np.float32)


def masked_median(values: np.ndarray) -> np.ndarray:
    """Median along the last axis, ignoring NaN; NaN where nothing is left (np.nanmedian is ten times slower)."""
    values = np.sort(values, axis=-1)
    count = np.count_nonzero(np.isfinite(values), axis=-1)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[-1] - 1)
    pick = np.take_along_axis(values, np.stack([low, high], axis=-1), axis=-1)
    return np.where(count > 0, pick.mean(axis=-1), np.nan)


def difference_noise(flux: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return the noise of the layers ``start..stop`` of a block that reaches further on both sides where it can."""
    layers = np.arange(start, stop)
    if len(flux) >= 5:
        centre = np.clip(layers, 2, len(flux) - 3)
        difference = (2 * flux[centre] - flux[centre - 2] - flux[centre + 2]) / math.sqrt(6)
    else:
        difference = flux[layers]
    difference = difference.reshape(len(layers), -1)
    noise = 1.4826 * masked_median(np.abs(difference - masked_median(difference)[:, None]))
    own = np.isfinite(flux[layers]).any(axis=(1, 2))
    # next to a gap the differences are masked: the layer's own neighbours on the sky have to do
    fallback = np.diff(flux[layers], axis=2).reshape(len(layers), -1) / math.sqrt(2)
    spatial = 1.4826 * masked_median(np.abs(fallback)) if fallback.shape[1] else np.zeros(len(layers))
    noise = np.where(np.isfinite(noise), noise, np.nan_to_num(spatial))
    return np.where(own, noise, np.nan)
