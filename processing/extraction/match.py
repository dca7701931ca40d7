"""Matching a list's bright stars to an image's peaks, and the correction of offset, rotation and scale they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.extraction.peaks import Peaks

MIN_FOR_ROTATION, MIN_FOR_AFFINE = 5, 25


@dataclass(frozen=True)
class Match:
    """A correction with the stars it matches to peaks."""

    matrix: np.ndarray
    n: int
    rms: float
    chance: float
    tried: int
    method: str
    error: float

    @property
    def score(self) -> float:
        """Matches beyond those expected by chance."""
        return self.n - self.chance

    @property
    def trusted(self) -> bool:
        """Whether there are far more matches than chance gives, and a fair part of the stars has one."""
        return self.score > 4.0 * np.sqrt(self.chance + 0.25) and self.n >= max(3, 0.25 * self.tried)


class Matcher:
    """Matches the brightest stars to the image's peaks and refines a correction on the pairs."""

    def __init__(
        self,
        points: np.ndarray,
        bright: np.ndarray,
        peaks: Peaks,
        centre: np.ndarray,
        fwhm: float,
        fit: str,
        shape: tuple[int, int],
    ) -> None:
        from scipy.spatial import cKDTree

        self.points, self.bright, self.fwhm, self.fit, self.shape = points[bright], bright, fwhm, fit, shape
        self.peaks = np.stack([peaks.x, peaks.y], axis=1) - centre
        self.tree = cKDTree(self.peaks) if len(self.peaks) else None
        self.half = np.array([shape[1], shape[0]]) / 2.0

    def pairs(self, matrix: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, int]:
        """Return matched stars and peaks (each peak once), and how many stars fall on the image."""
        moved = self.points + self.points @ matrix[:, :2].T + matrix[:, 2]
        inside = (np.abs(moved) <= self.half).all(1)
        if self.tree is None:
            return np.zeros(0, int), np.zeros(0, int), int(inside.sum())
        distance, index = self.tree.query(moved, distance_upper_bound=radius)
        stars = np.flatnonzero(np.isfinite(distance) & inside)
        stars = stars[np.argsort(distance[stars], kind="stable")]
        _, first = np.unique(index[stars], return_index=True)
        chosen = stars[first]
        return chosen, index[chosen], int(inside.sum())

    def refine(self, matrix: np.ndarray) -> Match:
        """Improve a correction step by step, with ever smaller matching radius."""
        method, error = "none", np.inf
        radius = 1.5 * self.fwhm
        for radius in self.fwhm * np.array([1.5, 1.0, 0.7, 0.5, 0.5]):
            stars, peaks, _ = self.pairs(matrix, radius)
            if stars.size == 0:
                break
            matrix, method, error = self._fit(self.points[stars], self.peaks[peaks])
        stars, peaks, tried = self.pairs(matrix, radius)
        off = self.peaks[peaks] - self.points[stars] - self.points[stars] @ matrix[:, :2].T - matrix[:, 2]
        rms = float(np.sqrt((off**2).sum(1).mean())) if stars.size else float("nan")
        return Match(matrix, int(stars.size), rms, tried * self.chance(radius), tried, method, error)

    def chance(self, radius: float) -> float:
        """Return the probability that a random place lies within `radius` of a peak."""
        density = len(self.peaks) / (self.shape[0] * self.shape[1])
        return float(1.0 - np.exp(-density * np.pi * radius**2))

    def _fit(self, stars: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, str, float]:
        """Fit offset, rotation or affine terms to pairs, clipping outliers; also the offset's standard error.

        Of what the settings allow, the Bayesian information criterion takes what the pairs ask for.
        """
        off = peaks - stars
        keep = np.ones(len(stars), bool)
        for _ in range(3):
            p, o = stars[keep], off[keep]
            models = [(2, "offset", np.column_stack([np.zeros((2, 2)), np.median(o, axis=0)]))]
            if self.fit in ("rotation", "affine") and len(p) >= MIN_FOR_ROTATION:
                models.append((3, "rotation", _rigid(p, p + o)))
            if self.fit == "affine" and len(p) >= MIN_FOR_AFFINE:
                affine = np.linalg.lstsq(np.column_stack([p, np.ones(len(p))]), o, rcond=None)[0].T
                models.append((6, "affine", affine))
            n = 2 * len(p)
            squares = [((o - p @ m[:, :2].T - m[:, 2]) ** 2).sum() + 1e-4 * n for *_, m in models]
            best = np.argmin([n * np.log(s / n) + k * np.log(n) for s, (k, *_) in zip(squares, models, strict=True)])
            _, method, matrix = models[int(best)]
            distance = np.hypot(*(off - stars @ matrix[:, :2].T - matrix[:, 2]).T)
            scatter = 1.2 * float(np.median(distance[keep]))
            keep = distance <= 2.5 * max(scatter, 0.05)
        return matrix, method, scatter / np.sqrt(max(keep.sum(), 1))


def _rigid(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correction (2, 3) of the rotation and offset that take points `a` to `b` (Kabsch)."""
    ca, cb = a.mean(0), b.mean(0)
    u, _, vt = np.linalg.svd((a - ca).T @ (b - cb))
    turn = vt.T @ np.diag([1.0, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    return np.column_stack([turn - np.eye(2), cb - turn @ ca])
