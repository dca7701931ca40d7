"""The point spread function: elliptical Moffat and Gaussian whose parameters are polynomials in wavelength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from processing.checkpoint import Block

Profile = Literal["moffat", "gaussian"]

PARAMETERS = ("fwhm", "beta", "e1", "e2", "dx", "dy", "xx", "xy", "yx", "yy")
"""What is fitted in every wavelength bin. The last six place the stars: a star at (x, y) in the registered list
appears at x + dx + xx (x - x0) + xy (y - y0) and y + dy + yx (x - x0) + yy (y - y0)."""

N_SHAPE = 4
"""The first four parameters are the profile's shape."""


@dataclass(frozen=True)
class PsfModel:
    """The PSF of one cube at every wavelength.

    Parameters
    ----------
    profile : {"moffat", "gaussian"}
        The Gaussian ignores ``beta``.
    wave_min, wave_max : float
        Wavelengths in Angstrom that the polynomials' variable maps to -1 and 1.
    x0, y0 : float
        Pivot of the affine position terms, spaxels.
    coefficients : ndarray, shape (n_parameter, degree + 1)
        Chebyshev coefficients of each of `PARAMETERS`. ``fwhm`` is sqrt(major x minor axis) in spaxels;
        (e1, e2) = e (cos 2 theta, sin 2 theta) with e = 1 - b/a and theta from +x to +y.
    bin_wave : ndarray, shape (n_bin,)
        Wavelengths in Angstrom of the bins that were fitted.
    bin_values, bin_errors : ndarray, shape (n_bin, n_parameter)
        Their parameters and 1-sigma errors; an error of 0 means held fixed.
    bin_used : ndarray of bool, shape (n_bin,)
        False where the bin was clipped from the polynomials.
    bin_chi : ndarray, shape (n_bin,)
        Root of the reduced chi2 of each bin's image.
    n_stars : int
        Stars whose surroundings the fit used.
    """

    profile: Profile
    wave_min: float
    wave_max: float
    x0: float
    y0: float
    coefficients: np.ndarray
    bin_wave: np.ndarray
    bin_values: np.ndarray
    bin_errors: np.ndarray
    bin_used: np.ndarray
    bin_chi: np.ndarray
    n_stars: int

    def parameters(self, wave: float | np.ndarray) -> np.ndarray:
        """Return the parameters at `wave` (Angstrom): shape ``wave.shape + (n_parameter,)``."""
        t = (2.0 * np.asarray(wave) - self.wave_min - self.wave_max) / max(self.wave_max - self.wave_min, 1e-9)
        basis = np.polynomial.chebyshev.chebvander(np.clip(t, -1.0, 1.0), self.coefficients.shape[1] - 1)
        return (basis @ self.coefficients.T).reshape(*np.shape(wave), len(PARAMETERS))

    def fwhm(self, wave: float | np.ndarray) -> np.ndarray:
        """Return the full width at half maximum at `wave` in spaxels."""
        return self.parameters(wave)[..., 0]

    def positions(self, x: np.ndarray, y: np.ndarray, wave: float) -> tuple[np.ndarray, np.ndarray]:
        """Return where stars registered at (x, y) appear at `wave`, 0-based spaxels."""
        shift = shifts(self.parameters(wave), x - self.x0, y - self.y0)
        return x + shift[0], y + shift[1]

    def stamp(self, x: float, y: float, wave: float, shape: tuple[int, int]) -> np.ndarray:
        """Return the unit-flux image (ny, nx) of a star registered at (x, y)."""
        cx, cy = self.positions(np.asarray(x), np.asarray(y), wave)
        yy, xx = np.indices(shape)
        return evaluate(self.profile, self.parameters(wave), xx - cx, yy - cy)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the model as named arrays, as a checkpoint or a file keeps it."""
        fixed = np.array([self.wave_min, self.wave_max, self.x0, self.y0, self.n_stars])
        names = ("coefficients", "bin_wave", "bin_values", "bin_errors", "bin_used", "bin_chi")
        return {"profile": np.array(self.profile), "fixed": fixed} | {name: getattr(self, name) for name in names}

    @staticmethod
    def from_arrays(block: Block) -> PsfModel:
        """Rebuild a model from `to_arrays`."""
        profile: Profile = "gaussian" if str(block["profile"]) == "gaussian" else "moffat"
        wave_min, wave_max, x0, y0, n_stars = block["fixed"].tolist()
        names = ("coefficients", "bin_wave", "bin_values", "bin_errors", "bin_used", "bin_chi")
        arrays = {name: block[name] for name in names}
        return PsfModel(profile, wave_min, wave_max, x0, y0, n_stars=int(n_stars), **arrays)


def constant_psf(profile: Profile, fwhm: float, beta: float, wave: np.ndarray, x0: float, y0: float) -> PsfModel:
    """Return a round PSF that does not change with wavelength: the fallback where no star can be measured."""
    coefficients = np.zeros((len(PARAMETERS), 1))
    coefficients[:2, 0] = fwhm, beta
    empty = np.zeros((0, len(PARAMETERS)))
    none = np.zeros(0)
    wave_min, wave_max = float(wave[0]), float(wave[-1])
    return PsfModel(
        profile, wave_min, wave_max, x0, y0, coefficients, none, empty, empty, none.astype(bool), none, n_stars=0
    )


def shifts(parameters: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the affine terms move stars at (x, y), both counted from the pivot."""
    dx, dy, xx, xy, yx, yy = parameters[N_SHAPE:]
    return dx + xx * x + xy * y, dy + yx * x + yy * y


def quadratic_form(e1: float, e2: float) -> np.ndarray:
    """Return (Mxx, Mxy, Myy) of the elliptical radius r2 = Mxx x2 + 2 Mxy x y + Myy y2; the determinant is 1.

    Written in (e1, e2), it is smooth at e = 0, where an angle would be undefined.
    """
    e = min(np.hypot(e1, e2), 0.9)
    stretch = (2.0 - e) / (2.0 * (1.0 - e))  # sinh(eta) / e, with b/a = exp(-eta)
    s1, s2 = stretch * e1, stretch * e2
    c = np.sqrt(1.0 + s1 * s1 + s2 * s2)
    return np.array([c - s1, -s2, c + s1])


def _scale(profile: Profile, fwhm: float, beta: float) -> float:
    """Return the squared scale radius: r_d^2 of the Moffat, 2 sigma^2 of the Gaussian."""
    if profile == "gaussian":
        return fwhm**2 / (4.0 * np.log(2.0))
    return fwhm**2 / (4.0 * (2.0 ** (1.0 / beta) - 1.0))


def evaluate(profile: Profile, parameters: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return the share of a star's light in pixels at offsets (dx, dy) from it.

    The integral over a pixel is taken to second order, P + Laplacian(P) / 24.
    """
    fwhm, beta, e1, e2 = parameters[:N_SHAPE].tolist()
    scale = _scale(profile, fwhm, beta)
    mxx, mxy, myy = (quadratic_form(e1, e2) / scale).tolist()
    gx, gy = mxx * dx + mxy * dy, mxy * dx + myy * dy  # half the gradient of q
    q = gx * dx + gy * dy
    if profile == "gaussian":
        value, by_q, by_qq = np.exp(-q) / (np.pi * scale), -1.0, 1.0
    else:
        root = 1.0 / (1.0 + q)
        value = (beta - 1.0) / (np.pi * scale) * np.exp(beta * np.log(root))
        by_q, by_qq = -beta * root, beta * (beta + 1.0) * root * root
    return value * (1.0 + (4.0 / 24.0) * by_qq * (gx * gx + gy * gy) + (2.0 / 24.0) * (mxx + myy) * by_q)


def derivatives(
    profile: Profile, parameters: np.ndarray, dx: np.ndarray, dy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the PSF and its derivatives by (fwhm, beta, e1, e2, star x, star y), shape (6,) + dx.shape.

    The derivatives are those of the profile at the pixels' centres: they guide the search, the value decides.
    """
    fwhm, beta, e1, e2 = parameters[:N_SHAPE].tolist()
    form, scale = quadratic_form(e1, e2), _scale(profile, fwhm, beta)
    q = (form[0] * dx * dx + 2.0 * form[1] * dx * dy + form[2] * dy * dy) / scale
    value = evaluate(profile, parameters, dx, dy)
    if profile == "gaussian":
        by_q, by_beta = -np.ones_like(q), np.zeros_like(q)
    else:
        by_q = -beta / (1.0 + q)
        root = 2.0 ** (1.0 / beta)
        scale_by_beta = np.log(2.0) * root / (beta**2 * (root - 1.0))  # d ln(scale) / d beta
        by_beta = 1.0 / (beta - 1.0) - np.log(1.0 + q) - scale_by_beta * (1.0 + by_q * q)
    step = 1e-5
    out = [-2.0 / fwhm * (1.0 + by_q * q), by_beta]
    for d1, d2 in ((step, 0.0), (0.0, step)):
        slope = (quadratic_form(e1 + d1, e2 + d2) - quadratic_form(e1 - d1, e2 - d2)) / (2.0 * step * scale)
        out.append(by_q * (slope[0] * dx * dx + 2.0 * slope[1] * dx * dy + slope[2] * dy * dy))
    out.append(by_q * (-2.0 / scale) * (form[0] * dx + form[1] * dy))
    out.append(by_q * (-2.0 / scale) * (form[1] * dx + form[2] * dy))
    return value, np.stack(out) * value
