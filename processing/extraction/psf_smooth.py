"""From the PSF of wavelength bins to a PSF whose parameters are polynomials in wavelength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.extraction.automatic import profile_of
from processing.extraction.psf import PsfModel
from processing.settings import PsfSettings


@dataclass(frozen=True)
class BinFit:
    """The PSF of one bin: parameters, their information matrix (0 rows where fixed), root of the reduced chi2."""

    wave: float
    values: np.ndarray
    information: np.ndarray
    chi: float

    @property
    def errors(self) -> np.ndarray:
        """1-sigma errors; 0 where a parameter was held fixed."""
        free = np.diag(self.information) > 0
        errors = np.zeros(self.values.size)
        errors[free] = np.sqrt(np.diag(np.linalg.inv(self.information[np.ix_(free, free)])))
        return errors


def smooth(
    fits: list[BinFit],
    wave: np.ndarray,
    free: np.ndarray,
    pivot: tuple[float, float],
    n_stars: int,
    settings: PsfSettings,
) -> PsfModel:
    """Fit polynomials in wavelength to all parameters together, by their information matrices, clipping bins.

    The degree is the lowest that the bins' scatter asks for (Bayesian information criterion), at most the settings'.
    """
    wave_min, wave_max = float(wave[0]), float(wave[-1])
    values = np.stack([f.values for f in fits])
    errors = np.stack([f.errors for f in fits])
    bins = np.array([f.wave for f in fits])
    t = (2.0 * bins - wave_min - wave_max) / max(wave_max - wave_min, 1e-9)
    used = np.ones(len(fits), bool)
    for _ in range(4):
        index = np.flatnonzero(used)
        highest = min(settings.degree, index.size // 4)
        polynomials = [_joint_polynomial(t, values, fits, free, degree, index) for degree in range(highest + 1)]
        scatter = max(float(np.median(polynomials[-1][1][index])) / free.size, 1.0)  # that of the most flexible one
        choices = []
        for degree, (coefficients, distance) in enumerate(polynomials):
            price = (degree + 1) * free.size * np.log(index.size * free.size)
            choices.append((distance[index].sum() / scatter + price, coefficients, distance))
        _, coefficients, distance = min(choices, key=lambda c: c[0])
        keep = distance < 6.0 * max(float(np.median(distance[used])), float(free.size))
        if (keep == used).all():
            break
        used = keep
    return PsfModel(
        profile_of(settings), wave_min, wave_max, *pivot, coefficients,
        bins, values, errors, used, np.array([f.chi for f in fits]), n_stars,
    )  # fmt: skip


def _joint_polynomial(
    t: np.ndarray, values: np.ndarray, fits: list[BinFit], free: np.ndarray, degree: int, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Chebyshev coefficients (n_parameter, degree + 1) fitted to bins `index`, and all bins' chi2."""
    basis = np.polynomial.chebyshev.chebvander(t, degree)
    matrices = [f.information[np.ix_(free, free)] for f in fits]
    size = free.size * (degree + 1)
    normal, right = np.zeros((size, size)), np.zeros(size)
    for i in index:
        normal += np.kron(matrices[i], np.outer(basis[i], basis[i]))
        right += np.kron(matrices[i] @ values[i, free], basis[i])
    scale = 1.0 / np.sqrt(np.diag(normal))
    solution = scale * np.linalg.solve(normal * np.outer(scale, scale) + 1e-12 * np.eye(size), scale * right)
    coefficients = np.zeros((values.shape[1], degree + 1))
    coefficients[:, 0] = np.median(values, axis=0)
    coefficients[free] = solution.reshape(free.size, degree + 1)
    off = values[:, free] - basis @ coefficients[free].T
    return coefficients, np.array([o @ m @ o for o, m in zip(off, matrices, strict=True)])
