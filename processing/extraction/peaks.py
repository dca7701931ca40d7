"""Peaks and star widths on an image, and its cross-correlation with a star list's mock image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.progress import CancelCheck, stop_if

MIN_FWHM, MAX_FWHM = 1.5, 8.0
CUT = 12
"""Half the side of the cut-outs that the width is measured on, spaxels."""
MAX_PEAKS = 150
N_CANDIDATES = 8
"""Places that are tried after the cross-correlation."""


@dataclass(frozen=True)
class Peaks:
    """Local maxima of an image, the highest first: positions in spaxels and heights in sigma."""

    x: np.ndarray
    y: np.ndarray
    height: np.ndarray


def high_pass(white: np.ndarray) -> np.ndarray:
    """Return the image without its smooth background, in units of its robust scatter; 0 where there are no data."""
    from scipy.ndimage import median_filter

    good = np.isfinite(white)
    level = float(np.median(white[good])) if good.any() else 0.0
    image = np.where(good, white, level)
    box = max(9, min(41, min(white.shape) // 2) | 1)
    coarse = median_filter(image[::2, ::2], size=box // 2 | 1)
    smooth = np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1)[: white.shape[0], : white.shape[1]]
    contrast = np.where(good, image - smooth, 0.0)
    values = contrast[good]
    low = values[values <= np.median(values)] - np.median(values) if values.size else np.zeros(1)
    noise = 1.4826 * float(np.median(np.abs(low)))
    return contrast / noise if noise > 0 else contrast


def measure_fwhm(contrast: np.ndarray, white: np.ndarray) -> float:
    """Return the stars' FWHM in spaxels from the area above half maximum of the brightest peaks.

    Blends and galaxies look wider than stars: the lower quartile counts.
    """
    from scipy.ndimage import label, zoom

    peaks = find_peaks(contrast, 3.5)
    widths = []
    half = CUT
    padded = np.pad(contrast, half)
    for x, y in zip(np.rint(peaks.x[:40]).astype(int), np.rint(peaks.y[:40]).astype(int), strict=True):
        cut = padded[y : y + 2 * half + 1, x : x + 2 * half + 1]
        near = white[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        if near.size < 25 or not np.isfinite(near).all():
            continue
        fine = zoom(cut, 3, order=3)
        centre = fine.shape[0] // 2
        top = fine[centre - 4 : centre + 5, centre - 4 : centre + 5].max()
        regions, _ = label(fine > 0.5 * top)
        own = regions[centre, centre]
        if own:
            widths.append(2.0 * np.sqrt((regions == own).sum() / np.pi) / 3.0)
    if not widths:
        return 3.5
    return float(np.clip(np.percentile(widths, 25), MIN_FWHM, MAX_FWHM))


def find_peaks(contrast: np.ndarray, fwhm: float, threshold: float = 5.0) -> Peaks:
    """Return the local maxima of the smoothed image with centres interpolated by parabolas, the highest first."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    smooth = gaussian_filter(contrast, 0.3 * fwhm)
    values = smooth[contrast != 0]
    if values.size == 0:
        return Peaks(np.zeros(0), np.zeros(0), np.zeros(0))
    low = values[values <= np.median(values)] - np.median(values)
    noise = max(1.4826 * float(np.median(np.abs(low))), 1e-12)
    size = max(3, int(fwhm) | 1)
    top = (smooth == maximum_filter(smooth, size=size)) & (smooth > threshold * noise)
    top[:1], top[-1:], top[:, :1], top[:, -1:] = False, False, False, False
    y, x = np.nonzero(top)

    def vertex(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> np.ndarray:
        bend = before - 2.0 * at + after
        return np.clip(0.5 * (before - after) / np.where(bend < 0, bend, -np.inf), -0.5, 0.5)

    dx = vertex(smooth[y, x - 1], smooth[y, x], smooth[y, x + 1])
    dy = vertex(smooth[y - 1, x], smooth[y, x], smooth[y + 1, x])
    order = np.argsort(-smooth[y, x], kind="stable")[:MAX_PEAKS]
    return Peaks((x + dx)[order], (y + dy)[order], smooth[y, x][order] / noise)


def match_peaks(x: np.ndarray, y: np.ndarray, peaks: Peaks, radius: float) -> tuple[int, float]:
    """Return how many of the stars, the brightest first, have a peak of their own within `radius`, and their rms."""
    from scipy.spatial import cKDTree

    if peaks.x.size == 0 or x.size == 0:
        return 0, float("nan")
    tree = cKDTree(np.stack([peaks.x, peaks.y], axis=1))
    distance, index = tree.query(np.stack([x, y], axis=1), distance_upper_bound=radius)
    found = np.flatnonzero(np.isfinite(distance))
    found = found[np.unique(index[found], return_index=True)[1]]
    return found.size, float(np.sqrt(np.mean(distance[found] ** 2))) if found.size else float("nan")


def cross_correlate(
    image: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    fwhm: float,
    reach: float,
    max_rotation: float,
    cancelled: CancelCheck,
) -> list[np.ndarray]:
    """Return the most promising corrections (2, 3), the best first, from mock images at a range of rotations.

    Both images are compressed so that many stars decide, not the brightest one: `image` (ny, nx) by arcsinh, the mock
    image by the square root of the stars' relative fluxes. Positions count from the image's centre.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2
    from scipy.ndimage import fourier_gaussian, maximum_filter

    ny, nx = image.shape
    pad = int(np.ceil(reach))
    size = (next_fast_len(ny + 2 * pad, real=True), next_fast_len(nx + 2 * pad, real=True))
    weight = np.where(np.isfinite(x), np.sqrt(np.clip(flux / np.percentile(flux, 10), 1.0, 900.0)), 0.0)
    transform = fourier_gaussian(rfft2(image, s=size), 0.3 * fwhm, size[1])
    half = 0.5 * float(np.hypot(nx, ny))
    step = np.degrees(0.25 * fwhm / half)
    angles = step * np.arange(-int(max_rotation / step), int(max_rotation / step) + 1)
    found = []
    oy, ox = (np.fft.fftfreq(n, 1.0 / n).astype(int) for n in size)
    window = (np.abs(oy)[:, None] <= reach) & (np.abs(ox)[None, :] <= reach)
    for angle in angles:
        stop_if(cancelled)
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        rx, ry = c * x - s * y + (nx - 1) / 2.0, s * x + c * y + (ny - 1) / 2.0
        on = (rx > -pad) & (rx < nx + pad - 1) & (ry > -pad) & (ry < ny + pad - 1)
        mock = np.zeros(size)
        np.add.at(mock, (np.rint(ry[on]).astype(int) % size[0], np.rint(rx[on]).astype(int) % size[1]), weight[on])
        mock_transform = fourier_gaussian(rfft2(mock), 0.42 * fwhm, size[1])
        mock_transform[0, 0] = 0.0
        correlation = np.where(window, irfft2(transform * np.conj(mock_transform), s=size), -np.inf)
        tops = np.flatnonzero((correlation == maximum_filter(correlation, int(fwhm) | 1, mode="wrap")) & window)
        for top in tops[np.argsort(-correlation.flat[tops])[:N_CANDIDATES]]:
            row, column = np.unravel_index(top, size)
            found.append((correlation[row, column], np.array([[c - 1.0, -s, ox[column]], [s, c - 1.0, oy[row]]])))
    found.sort(key=lambda f: -f[0])
    return [matrix for _, matrix in found[:N_CANDIDATES]]
