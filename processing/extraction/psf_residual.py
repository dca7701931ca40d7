"""What stars have beside the fitted profile: an empirical image, smooth in wavelength, that the profile carries on top.

It is a sum of radial splines times cosines and sines of up to four times the position angle, so that it is fine in the
core and coarse in the wings. Its strength follows from the evidence: where the profile is right, it vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from processing.checkpoint import Block

if TYPE_CHECKING:
    from processing.extraction.psf import PsfShape

STEP = 0.25
"""Spacing of the image's grid, spaxels."""
ORDERS = 4
"""Highest number of lobes around the centre."""
DEGREE = 2
"""Of the polynomials in wavelength."""
RADII = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.3, 1.7, 2.2, 3.0])
"""Knots of the radial splines, FWHM."""
STRENGTHS = np.geomspace(1e-4, 0.3, 25)
"""Relative errors of the profile that are weighed against each other."""


@dataclass(frozen=True)
class ResidualImage:
    """The residual at one wavelength, on a grid.

    Parameters
    ----------
    image : ndarray, shape (n, n), float32
        Share of a star's light per spaxel, at offsets that are `STEP` apart; 0 along its edges.
    """

    image: np.ndarray

    @property
    def total(self) -> float:
        """Share of the light that it adds."""
        return float(self.image.sum(dtype=np.float64)) * STEP**2

    def added_to(self, profile: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Return the profile and the residual, together of unit flux, at offsets (dx, dy)."""
        n = self.image.shape[0]
        centre, highest = 0.5 * (n - 1), np.float32(n - 1.001)
        u = np.clip(np.asarray(dx, np.float32) * np.float32(1.0 / STEP) + np.float32(centre), np.float32(0.0), highest)
        v = np.clip(np.asarray(dy, np.float32) * np.float32(1.0 / STEP) + np.float32(centre), np.float32(0.0), highest)
        i, j = u.astype(np.int32), v.astype(np.int32)
        u, v, corner = u - i, v - j, j * n + i
        flat = self.image.ravel()
        low = flat[corner] * (1 - u) + flat[corner + 1] * u
        high = flat[corner + n] * (1 - u) + flat[corner + n + 1] * u
        return (profile + low * (1 - v) + high * v) / (1.0 + self.total)


@dataclass(frozen=True)
class ResidualPsf:
    """The residual at every wavelength.

    Parameters
    ----------
    knots : ndarray
        Of the radial splines, spaxels; the last is where the residual ends.
    coefficients : ndarray, shape (n_basis, degree + 1)
        Chebyshev coefficients of every component of `basis`.
    """

    knots: np.ndarray
    coefficients: np.ndarray

    def at(self, t: float) -> ResidualImage:
        """Return the residual at the polynomials' variable `t` (-1 to 1)."""
        values = np.polynomial.chebyshev.chebval(t, self.coefficients.T)
        grid = _grid(tuple(self.knots.tolist()))
        side = round(grid.shape[0] ** 0.5)
        return ResidualImage((grid @ values.astype(np.float32)).reshape(side, side))

    def share(self, psf: PsfShape) -> float:
        """Return the largest residual in units of the PSF's peak, in the middle of the wavelength range."""
        zero = np.zeros(1)
        return float(np.abs(self.at(0.0).image).max() / psf(zero, zero)[0])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the residual as named arrays."""
        return {"residual_knots": self.knots, "residual_coefficients": self.coefficients}

    @staticmethod
    def from_arrays(block: Block) -> ResidualPsf | None:
        """Rebuild the residual from `to_arrays`; None if there was none."""
        if "residual_knots" not in block:
            return None
        return ResidualPsf(block["residual_knots"], block["residual_coefficients"])


def radial_knots(fwhm: float, radius: float) -> np.ndarray:
    """Return the knots for stars of `fwhm` whose surroundings out to `radius` are looked at, spaxels."""
    inner = RADII[RADII * fwhm < 0.85 * radius] * fwhm
    return np.append(inner, radius)


def basis(knots: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return the residual's components at offsets (dx, dy), shape (n, n_basis), float32.

    Lobed components vanish at the centre; all vanish smoothly at the last knot.
    """
    from scipy.interpolate import BSpline

    r = np.hypot(dx, dy)
    whole = np.concatenate([np.full(3, knots[0]), knots, np.full(3, knots[-1])])
    radial = BSpline.design_matrix(np.minimum(r, knots[-1]).astype(float), whole, 3).toarray().astype(np.float32)
    outer = radial[:, 2:-2]
    flat = np.column_stack([radial[:, 0] + radial[:, 1], outer])  # without a slope at the centre
    turn = ((dx + 1j * dy) / np.maximum(r, 1e-6)).astype(np.complex64)
    columns, power = [flat], np.ones_like(turn)
    for _ in range(ORDERS):
        power = power * turn
        columns += [outer * power.real[:, None], outer * power.imag[:, None]]
    return np.concatenate(columns, axis=1)


@lru_cache(maxsize=4)
def _grid(knots: tuple[float, ...]) -> np.ndarray:
    """Return `basis` on the image's grid."""
    half = int(np.ceil(knots[-1] / STEP)) + 1
    offsets = STEP * np.arange(-half, half + 1)
    dx, dy = np.meshgrid(offsets, offsets)
    return basis(np.array(knots), dx.ravel(), dy.ravel())


def most_probable(normal: np.ndarray, right: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the coefficients of a linear model whose priors are N(0, (strength x scale)^2), at the best strength.

    The strength is that of the highest evidence (MacKay 1992), with none at all among the candidates.

    Parameters
    ----------
    normal, right : ndarray, shape (n, n) and (n,)
        J^T W J and J^T W r.
    scale : ndarray, shape (n,)
    """
    values, vectors = np.linalg.eigh(normal * np.outer(scale, scale))
    values, along = np.maximum(values, 0.0), vectors.T @ (scale * right)
    best, found = 0.0, np.zeros(right.size)
    for strength in STRENGTHS**2:
        width = strength / (1.0 + strength * values)
        evidence = 0.5 * float((width * along**2 - np.log1p(strength * values)).sum())
        if evidence > best:
            best, found = evidence, scale * (vectors @ (width * along))
    return found


def fit_residual(
    knots: np.ndarray, psf: PsfShape, t: np.ndarray, normals: np.ndarray, rights: np.ndarray
) -> ResidualPsf | None:
    """Return the residual that the bins ask for; None if they ask for none.

    Parameters
    ----------
    knots : ndarray
        Of the radial splines, spaxels.
    psf : PsfShape
        The profile in the middle of the wavelength range.
    t : ndarray, shape (n_bin,)
        The bins' polynomial variable.
    normals, rights : ndarray, shape (n_bin, n_basis, n_basis) and (n_bin, n_basis)
        J^T W J and J^T W r of each bin.
    """
    degree = min(DEGREE, t.size // 4)
    powers = np.polynomial.chebyshev.chebvander(t, degree)
    normal = np.einsum("kij,ka,kb->iajb", normals, powers, powers)
    right = np.einsum("ki,ka->ia", rights, powers)
    size = right.size
    scale = np.repeat(_prior_scale(knots, psf), degree + 1)
    found = most_probable(normal.reshape(size, size), right.ravel(), scale)
    return ResidualPsf(knots, found.reshape(right.shape)) if found.any() else None


def _prior_scale(knots: np.ndarray, psf: PsfShape) -> np.ndarray:
    """Return the expected size of every component: it falls outwards as the fourth root of the PSF."""
    whole = np.concatenate([np.full(3, knots[0]), knots, np.full(3, knots[-1])])
    centres = np.array([whole[k + 1 : k + 4].mean() for k in range(1, whole.size - 6)])
    zero = np.zeros(1)
    flat = psf(zero, zero) ** 0.75 * psf(centres, np.zeros_like(centres)) ** 0.25
    return np.concatenate([flat, *[flat[1:]] * (2 * ORDERS)])
