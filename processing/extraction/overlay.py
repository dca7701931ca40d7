"""A picture of a star list over a cube's image, beside what is detected in the image, for a human to judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processing.errors import StellacubeError
from processing.files import replacing

MAX_STARS = 250
"""The brightest stars of the list that are drawn."""
GIVEN, FITTED, DETECTED = "#E69F00", "#0072B2", "#D55E00"  # Okabe & Ito's, which the colour-blind tell apart


@dataclass(frozen=True)
class Overlay:
    """An image, a star list over it, and the peaks of the image; positions in 0-based spaxels.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        NaN where there are no data.
    x, y : ndarray, shape (n,)
        The list's own positions.
    fitted_x, fitted_y : ndarray, shape (n,)
        Where the registration puts them.
    mag : ndarray, shape (n,)
    peak_x, peak_y : ndarray, shape (n_peak,)
    source : str
        The list's name.
    """

    image: np.ndarray
    x: np.ndarray
    y: np.ndarray
    fitted_x: np.ndarray
    fitted_y: np.ndarray
    mag: np.ndarray
    peak_x: np.ndarray
    peak_y: np.ndarray
    source: str

    def write(self, path: Path) -> None:
        """Write the picture as PNG: on the left the list, on the right what is detected."""
        from matplotlib.figure import Figure

        ny, nx = self.image.shape
        figure = Figure(figsize=(11.0, 11.0 * 0.47 * ny / nx + 1.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        finite = self.image[np.isfinite(self.image)]
        middle = float(np.median(finite)) if finite.size else 0.0
        spread = 1.4826 * float(np.median(np.abs(finite - middle))) if finite.size else 1.0
        compressed = np.arcsinh((self.image - middle) / max(3.0 * spread, 1e-30))
        for axes in (left, right):
            axes.imshow(compressed, origin="lower", cmap="gray_r", interpolation="nearest")
            axes.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), xlabel="x (spaxels)")
        left.set_ylabel("y (spaxels)")
        brightest = np.argsort(self.mag, kind="stable")[:MAX_STARS]
        moved = np.hypot(self.fitted_x - self.x, self.fitted_y - self.y)[brightest]
        places = [(self.x, self.y, GIVEN, "as the list has them")]
        if np.nanmax(moved, initial=0.0) > 0.0:
            places.append((self.fitted_x, self.fitted_y, FITTED, "where they fit best"))
        size = self._sizes(brightest)
        for x, y, colour, label in places:
            left.scatter(
                x[brightest], y[brightest], size, facecolors="none", edgecolors=colour, linewidths=1.3, label=label
            )
        right.scatter(self.peak_x, self.peak_y, 45, marker="+", color=DETECTED, linewidths=1.3, label="peaks")
        left.set_title(f"Stars of {self.source}")
        right.set_title("Detected in the image")
        for axes in (left, right):
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=9, frameon=False)
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=110, format="png")

    def _sizes(self, stars: np.ndarray) -> np.ndarray:
        """Return areas of circles, the brighter the larger."""
        mag = self.mag[stars]
        if not np.isfinite(mag).any():
            return np.full(stars.size, 60.0)
        fainter = np.nan_to_num(mag - np.nanmin(mag), nan=5.0)
        return np.asarray(25.0 + 200.0 * 10.0 ** (-0.3 * fainter))


class UnmatchedListError(StellacubeError):
    """A star list that cannot be laid over the image with any trust, with a picture of both."""

    def __init__(self, message: str, hint: str, overlay: Overlay) -> None:
        super().__init__(message, hint)
        self.overlay = overlay

    def drawn(self, path: Path) -> StellacubeError:
        """Write the picture and return an error that points to it."""
        self.overlay.write(path)
        return StellacubeError(self.message, f"{self.hint} {path.name} shows the list and the image side by side.")
