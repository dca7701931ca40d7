"""What a diagram shows, as pure functions: its axes, the density of its points, colours by value, histogram bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gui.star_rows import Column, StarRows

DENSITY_BINS = 60
_KERNEL = np.exp(-0.5 * (np.arange(-6, 7) / 2.0) ** 2)
"""A Gaussian of two bins, for the density."""
_KERNEL /= _KERNEL.sum()


@dataclass(frozen=True)
class Axes:
    """Columns of both axes, and whether they run backwards; without y a histogram of x."""

    x: str
    y: str = ""
    back_x: bool = False
    back_y: bool = False


DIAGRAMS = {
    "kiel": Axes("teff", "logg", True, True),
    "mg": Axes("fe_h", "mg_fe"),
    "rv": Axes("fe_h", "rv"),
}


def magnitude_of(rows: StarRows) -> str:
    """Return the name of the magnitude, the first number after the name; "" without one."""
    return rows.columns[1].name if len(rows.columns) > 1 and rows.columns[1].numeric else ""


def error_of(rows: StarRows, label: str) -> str:
    """Return the name of a label's error, the rescaled one where it is known; "" without any."""
    columns = (rows.column(f"{label}_err_cal"), rows.column(f"{label}_err"))
    return next((c.name for c in columns if c is not None and np.isfinite(c.values).any()), "")


def chosen_axes(rows: StarRows, x: str, y: str) -> Axes:
    """Return axes that the user chose, running as the field draws them."""
    faint_up = y == magnitude_of(rows)
    return Axes(x, y, x == "teff", y == "logg" or faint_up)


def plain_columns(rows: StarRows) -> tuple[list[Column], list[Column]]:
    """Return the columns of numbers worth an axis: those of the stars, and those of errors."""
    shown, errors = [], []
    for column in rows.columns:
        if column.values.dtype.kind != "f" or not np.isfinite(column.values).any():
            continue
        if column.name.endswith(("_err", "_err_cal")):
            errors.append(column)
        elif not column.name.endswith(("_gradcorr", "_info", "_flag")):
            shown.append(column)
    return shown, errors


def density(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float, float]] | None:
    """Return how dense points lie, 0..1, shape (DENSITY_BINS, DENSITY_BINS) by (y, x), and the box (x, y, w, h) of it.

    A histogram smoothed with a Gaussian of two bins; None of fewer than ten points.
    """
    if len(x) < 10:
        return None
    box = []
    for values in (x, y):
        low, high = np.percentile(values, [1, 99])
        spare = 0.15 * (high - low) or 1.0
        box.append((float(low - spare), float(high + spare)))
    counts, _, _ = np.histogram2d(y, x, bins=DENSITY_BINS, range=[box[1], box[0]])
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, _KERNEL, mode="same")
    (left, right), (bottom, top) = box
    return counts / max(float(counts.max()), 1e-12), (left, bottom, right - left, top - bottom)


def bins(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and edges of a histogram: 5 to 60 of Freedman & Diaconis' bins; 1 % on each side is left out."""
    low, high = np.percentile(values, [1, 99]) if len(values) > 50 else (values.min(), values.max())
    inside = values[(values >= low) & (values <= high)]
    spread = float(np.subtract(*np.percentile(inside, [75, 25])))
    width = 2 * spread / max(len(inside), 1) ** (1 / 3)
    count = int(np.clip((high - low) / width if width > 0 else 5, 5, 60))
    counts, edges = np.histogram(inside, count)
    return counts, edges


def scaled(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return values scaled to 0..1 between their 2nd and 98th percentile, NaN where unknown, and these two limits."""
    known = values[np.isfinite(values)]
    if not known.size:
        return np.full(len(values), np.nan), 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, [2, 98]))
    if high <= low:
        high = low + 1.0
    return np.clip((values - low) / (high - low), 0.0, 1.0), low, high
