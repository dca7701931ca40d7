"""Profiles of the point spread function: one or two elliptical Moffats or Gaussians around one centre, or MAOPPY's."""

from __future__ import annotations

from typing import Literal

import numpy as np

from processing.extraction import psf_maoppy

Profile = Literal["moffat", "gaussian", "double_moffat", "moffat_gaussian", "maoppy"]

PARAMETERS = ("fwhm", "beta", "e1", "e2", "dx", "dy", "xx", "xy", "yx", "yy", "ratio", "fraction")
"""What is fitted in every wavelength bin. `SHIFT` places the stars: a star at (x, y) in the registered list
appears at x + dx + xx (x - x0) + xy (y - y0) and y + dy + yx (x - x0) + yy (y - y0). The last two are the FWHM of a
second component in units of the first one's, and its share of the light. MAOPPY's profile has other parameters, see
`parameter_names`."""

SHAPE = slice(0, 4)
SHIFT = slice(4, 10)

COMPONENTS = {
    "moffat": ("moffat",),
    "gaussian": ("gaussian",),
    "double_moffat": ("moffat", "moffat"),
    "moffat_gaussian": ("moffat", "gaussian"),
    "maoppy": (),
}
SECOND_BETA = 2.5
"""Exponent of the second Moffat: it is the halo that seeing leaves."""
SECOND_START = {"double_moffat": (2.5, 0.1), "moffat_gaussian": (0.7, 0.2)}
"""First guess of ratio and fraction."""


def parameter_names(profile: Profile) -> tuple[str, ...]:
    """Return the names of a profile's parameters; from the third to the tenth they are the same for all."""
    return psf_maoppy.PARAMETERS if profile == "maoppy" else PARAMETERS


def first_guess(profile: Profile, fwhm: float, beta: float) -> np.ndarray:
    """Return the parameters of a round PSF that is where the list says."""
    if profile == "maoppy":
        return psf_maoppy.first_guess(fwhm)
    parameters = np.zeros(len(PARAMETERS))
    parameters[:2] = fwhm, beta
    parameters[-2:] = SECOND_START.get(profile, (1.0, 0.0))
    return parameters


def free_parameters(profile: Profile) -> np.ndarray:
    """Return a boolean array, True for the parameters that `profile` has and that are not known."""
    if profile == "maoppy":
        return np.array(psf_maoppy.PARAMETERS) != "wave"
    free = np.ones(len(PARAMETERS), bool)
    free[1] = "moffat" in COMPONENTS[profile][0]
    free[-2:] = len(COMPONENTS[profile]) > 1
    return free


def at_wave(profile: Profile, parameters: np.ndarray, wave: float | np.ndarray) -> np.ndarray:
    """Return the parameters (..., n_parameter) as they are at `wave` (Angstrom), where the profile asks for it."""
    return psf_maoppy.at_wave(parameters, wave) if profile == "maoppy" else parameters


def like_moffat(profile: Profile, parameters: np.ndarray) -> tuple[float, float]:
    """Return FWHM and beta of the first component, or of a Moffat that is as wide."""
    if profile == "maoppy":
        return float(psf_maoppy.half_width(parameters)), SECOND_BETA
    fwhm, beta = parameters[:2].tolist()
    return fwhm, beta


def shifts(parameters: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the affine terms move stars at (x, y), both counted from the pivot."""
    dx, dy, xx, xy, yx, yy = parameters[SHIFT]
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


def evaluate(profile: Profile, parameters: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return the share of a star's light in pixels at offsets (dx, dy) from it.

    The integral over a pixel is taken to second order, P + Laplacian(P) / 24.
    """
    if profile == "maoppy":
        return psf_maoppy.evaluate(parameters, dx, dy)
    fwhm, beta, ratio, fraction = parameters[[0, 1, -2, -1]].tolist()
    form = quadratic_form(*parameters[2:4])
    first, *second = COMPONENTS[profile]
    value = _component(first, fwhm, beta, form, dx, dy)
    if not second or fraction == 0.0:
        return value
    return (1.0 - fraction) * value + fraction * _component(second[0], ratio * fwhm, SECOND_BETA, form, dx, dy)


def derivatives(
    profile: Profile, parameters: np.ndarray, dx: np.ndarray, dy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the PSF and its derivatives by (fwhm, beta, e1, e2, star x, star y, ratio, fraction).

    They have the shape (8,) + dx.shape. They are those of the profile at the pixels' centres: they guide the search,
    the value decides. MAOPPY's are those by its own parameters, the position again in the place of the position terms.
    """
    if profile == "maoppy":
        return psf_maoppy.derivatives(parameters, dx, dy)
    fwhm, beta, ratio, fraction = parameters[[0, 1, -2, -1]].tolist()
    e1, e2 = parameters[2:4].tolist()
    first, *second = COMPONENTS[profile]
    value, by = _slopes(first, fwhm, beta, e1, e2, dx, dy)
    none = np.zeros((2, *np.shape(dx)))
    if not second:
        return value, np.concatenate([by, none])
    other, by_other = _slopes(second[0], ratio * fwhm, SECOND_BETA, e1, e2, dx, dy)
    out = (1.0 - fraction) * by
    out[0] += fraction * ratio * by_other[0]
    out[2:] += fraction * by_other[2:]
    none[0], none[1] = fraction * fwhm * by_other[0], other - value
    return (1.0 - fraction) * value + fraction * other, np.concatenate([out, none])


def half_width(profile: Profile, parameters: np.ndarray) -> np.ndarray:
    """Return the FWHM in spaxels for parameters (..., n_parameter): the first component's, or that of the sum."""
    if profile == "maoppy":
        return psf_maoppy.half_width(parameters)
    fwhm, beta, ratio, fraction = (parameters[..., k] for k in (0, 1, -2, -1))
    first, *second = COMPONENTS[profile]
    if not second:
        return fwhm

    def at(r: np.ndarray) -> np.ndarray:
        one = _radial(first, fwhm, beta, r**2)
        return (1.0 - fraction) * one + fraction * _radial(second[0], ratio * fwhm, np.asarray(SECOND_BETA), r**2)

    low, high = np.zeros_like(fwhm), 0.5 * fwhm * np.maximum(ratio, 1.0)
    half = 0.5 * at(low)
    for _ in range(40):
        middle = 0.5 * (low + high)
        inside = at(middle) > half
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low + high


def _scale(kind: str, fwhm: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return the squared scale radius: r_d^2 of the Moffat, 2 sigma^2 of the Gaussian."""
    if kind == "gaussian":
        return fwhm**2 / (4.0 * np.log(2.0))
    return fwhm**2 / (4.0 * (2.0 ** (1.0 / beta) - 1.0))


def _radial(kind: str, fwhm: np.ndarray, beta: np.ndarray, r2: np.ndarray) -> np.ndarray:
    """Return the round profile of unit flux at squared radius `r2`."""
    scale = _scale(kind, fwhm, beta)
    if kind == "gaussian":
        return np.exp(-r2 / scale) / (np.pi * scale)
    return (beta - 1.0) / (np.pi * scale) * (1.0 + r2 / scale) ** -beta


def _component(kind: str, fwhm: float, beta: float, form: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return one component of unit flux, integrated over pixels; in single precision where (dx, dy) are."""
    scale = float(_scale(kind, np.asarray(fwhm), np.asarray(beta)))
    mxx, mxy, myy = (form / scale).tolist()
    gx, gy = mxx * dx + mxy * dy, mxy * dx + myy * dy  # half the gradient of q
    q = gx * dx + gy * dy
    if kind == "gaussian":
        value, by_q, by_qq = np.exp(-q) / (np.pi * scale), -1.0, 1.0
    else:
        root = 1.0 / (1.0 + q)
        value = (beta - 1.0) / (np.pi * scale) * np.exp(beta * np.log(root))
        by_q, by_qq = -beta * root, beta * (beta + 1.0) * root * root
    return value * (1.0 + (4.0 / 24.0) * by_qq * (gx * gx + gy * gy) + (2.0 / 24.0) * (mxx + myy) * by_q)


def _slopes(
    kind: str, fwhm: float, beta: float, e1: float, e2: float, dx: np.ndarray, dy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return one component and its derivatives by (fwhm, beta, e1, e2, star x, star y)."""
    form = quadratic_form(e1, e2)
    scale = float(_scale(kind, np.asarray(fwhm), np.asarray(beta)))
    q = (form[0] * dx * dx + 2.0 * form[1] * dx * dy + form[2] * dy * dy) / scale
    value = _component(kind, fwhm, beta, form, dx, dy)
    if kind == "gaussian":
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
