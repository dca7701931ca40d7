"""PSFs of two components, the empirical residual on top, and the blocked factor, against truth and plain algebra."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import star_fields
from star_fields import make_field, moffat

from processing.errors import StellacubeError
from processing.extraction.automatic import WIDE
from processing.extraction.banded import BandedFactor
from processing.extraction.layer_model import StarField
from processing.extraction.psf import PsfModel, PsfShape
from processing.extraction.psf_fit import fit_psf
from processing.extraction.psf_profiles import PARAMETERS, SECOND_BETA, derivatives, evaluate, first_guess, half_width
from processing.extraction.psf_residual import basis, most_probable, radial_knots
from processing.extraction.solve import solve_cube
from processing.settings import Settings, from_dict
from processing.simulation.psf import psf_at
from processing.simulation.psf_truth import alien_psf
from processing.simulation.settings import SimulationSettings

STILL = {"fwhm": (4.0, 3.8), "beta": (2.8, 2.9), "e": 0.05, "drift": (0.02, -0.01)}
WAVE = np.arange(4750.0, 9350.0, 100.0)


def two(profile, ratio=2.2, fraction=0.25):
    parameters = first_guess(profile, 4.0, 3.0)
    parameters[[2, 3, -2, -1]] = 0.05, -0.03, ratio, fraction
    return parameters


@pytest.mark.parametrize("profile", ["double_moffat", "moffat_gaussian"])
def test_two_components_share_the_light_out(profile):
    dy, dx = np.mgrid[-150:151, -150:151].astype(float)
    image = evaluate(profile, two(profile), dx, dy)
    assert image.sum() == pytest.approx(1.0, abs=0.003)
    e, theta = np.hypot(0.05, 0.03), 0.5 * np.arctan2(-0.03, 0.05)
    first = moffat(dx, dy, 4.0, 3.0, e, theta)
    if profile == "double_moffat":
        second = moffat(dx, dy, 8.8, SECOND_BETA, e, theta)
    else:
        q, sigma2 = 1.0 - e, (8.8 / 2.3548) ** 2
        u, v = dx * np.cos(theta) + dy * np.sin(theta), dy * np.cos(theta) - dx * np.sin(theta)
        second = np.exp(-0.5 * (q * u**2 + v**2 / q) / sigma2) / (2 * np.pi * sigma2)
    far = np.hypot(dx, dy) > 3  # at the centre, the pixel's integral matters
    np.testing.assert_allclose(image[far], (0.75 * first + 0.25 * second)[far], rtol=0.03)


@pytest.mark.parametrize("profile", ["double_moffat", "moffat_gaussian"])
def test_derivatives_of_two_components_are_differences(profile):
    rng = np.random.default_rng(1)
    dx, dy = rng.uniform(-8, 8, (2, 50))
    theta = two(profile)
    theta[0] = 8.0  # so wide that the integral over a pixel, which they leave out, matters little
    _, by = derivatives(profile, theta, dx, dy)
    for k, name in enumerate(("fwhm", "beta", "e1", "e2", None, None, "ratio", "fraction")):
        step = np.zeros(len(PARAMETERS))
        if name is not None:
            step[PARAMETERS.index(name)] = 1e-4
            expected = (evaluate(profile, theta + step, dx, dy) - evaluate(profile, theta - step, dx, dy)) / 2e-4
        else:
            shift = np.array([1e-4 * (k == 4), 1e-4 * (k == 5)])
            plus, minus = ((dx - s * shift[0], dy - s * shift[1]) for s in (1, -1))
            expected = (evaluate(profile, theta, *plus) - evaluate(profile, theta, *minus)) / 2e-4
        np.testing.assert_allclose(by[k], expected, atol=0.02 * np.abs(expected).max(), err_msg=str(name))


def test_half_width_is_where_the_sum_has_half_its_height():
    theta = two("double_moffat")
    theta[2:4] = 0.0
    width = half_width("double_moffat", theta)
    r = np.array([0.0, 0.5 * width])
    value = 0.75 * moffat(r, 0 * r, 4.0, 3.0) + 0.25 * moffat(r, 0 * r, 8.8, SECOND_BETA)
    assert value[1] == pytest.approx(0.5 * value[0], rel=1e-9)
    assert width > 4.0
    assert half_width("moffat", theta) == 4.0


@cache
def field_with(kind):
    """Return a field whose PSF is not a Moffat, and its share within 15 spaxels as a function of t."""
    shape = {"seed": 3, "n_star": 35, "shape": (80, 80), "reach": 50, "wave": WAVE, "mags": (13.5, 18.5)}

    def profile(dx, dy, fwhm, beta, e, theta):
        return moffat(dx, dy, fwhm, beta, e, theta) if kind is None else alien_psf(kind, dx, dy, fwhm, beta)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(star_fields, "moffat", profile)
        made = make_field(**shape, **STILL)
    return made, lambda t: _within(lambda dx, dy: profile(dx, dy, 4.0 - 0.2 * t, 2.8 + 0.1 * t, 0.05, 0.5))


def _within(psf, radius=15):
    dy, dx = np.mgrid[-16:16.01:0.5, -16:16.01:0.5]
    return psf(dx, dy)[np.hypot(dx, dy) <= radius].sum() / 4.0


def errors_within(made, share, psf):
    """Return the relative errors of the bright stars' flux within 3 arcsec: all, and in four parts of the spectrum."""
    solution = solve_cube(made, StarField(made.x, made.y, psf, made.shape[1:], 16.0, WIDE.solve))
    scale = np.array([_within(psf.at(w)) / share(t) for w, t in zip(made.wave, made.truth["t"], strict=True)])
    bright = np.argsort(made.mag)[:12]
    weight = solution.ivar[bright] * made.flux[bright] ** 2
    error = np.nan_to_num(weight * (solution.flux[bright] * scale / made.flux[bright] - 1.0))
    parts = np.array_split(np.arange(made.wave.size), 4)
    return error.sum() / weight.sum(), np.array([error[:, p].sum() / weight[:, p].sum() for p in parts])


def fitted(made, **settings):
    flux = made.flux.mean(1)
    return fit_psf(made, made.x, made.y, flux / 35.0, 4.2, replace(WIDE.psf, **({"bins": 8} | settings)), flux=flux)


def test_a_profile_that_is_right_has_no_residual():
    made, _ = field_with(None)
    assert fitted(made).residual is None


@pytest.mark.parametrize("kind", ["double", "airy"])
def test_the_residual_makes_up_for_a_foreign_psf(kind):
    made, share = field_with(kind)
    plain, parts = errors_within(made, share, fitted(made, residual=False))
    psf = fitted(made)
    better, better_parts = errors_within(made, share, psf)
    assert abs(better) < 0.003, (plain, better)
    assert abs(better) < abs(plain)
    assert np.ptp(better_parts) < 0.005, (parts, better_parts)
    dy, dx = np.mgrid[-60:61, -60:61].astype(np.float32)
    assert psf.at(7000.0)(dx, dy).sum() == pytest.approx(
        PsfShape("moffat", psf.parameters(7000.0))(dx, dy).sum(), abs=0.01
    )
    again = PsfModel.from_arrays({k: np.array(v) for k, v in psf.to_arrays().items()})
    np.testing.assert_array_equal(again.stamp(30, 30, 7000.0, (60, 60)), psf.stamp(30, 30, 7000.0, (60, 60)))


def test_a_double_moffat_is_recognised():
    made, share = field_with("double")
    moffat_alone = fitted(made, residual=False)
    double = fitted(made, residual=False, profile="double_moffat")
    assert np.median(double.bin_chi) < np.median(moffat_alone.bin_chi)
    assert (double.bin_values[:, -1] > 0.02).all()
    plain, _ = errors_within(made, share, moffat_alone)
    better, _ = errors_within(made, share, double)
    assert abs(better) < abs(plain)


def test_residual_components_end_smoothly_and_have_no_cusp():
    knots = radial_knots(4.0, 16.0)
    at = np.array([1e-6, 1e-3, 15.999, 16.0, 20.0])
    values = basis(knots, at, np.zeros_like(at))
    assert np.abs(values[2:]).max() < 1e-6
    assert np.abs(values[1] - values[0]).max() < 1e-5
    assert knots[-1] == 16.0


def test_no_evidence_gives_no_coefficients():
    rng = np.random.default_rng(2)
    design = rng.normal(size=(400, 12))
    noise = rng.normal(size=400)
    noise -= design @ np.linalg.lstsq(design, noise, rcond=None)[0] * 0.7
    assert not most_probable(design.T @ design, design.T @ noise, np.ones(12)).any()
    truth = rng.normal(0.0, 0.2, 12)
    found = most_probable(design.T @ design, design.T @ (noise + design @ truth), np.ones(12))
    assert np.abs(found - truth).max() < 0.15


@pytest.mark.parametrize(("n", "width"), [(1, 0), (70, 9), (300, 80), (257, 256)])
def test_the_blocked_factor_is_the_plain_inverse(n, width):
    rng = np.random.default_rng(n)
    factor = np.tril(np.triu(rng.normal(size=(n, n)), -width))
    matrix = factor @ factor.T + 3 * width * np.eye(n) + np.eye(n)
    matrix *= np.outer(*(2 * [np.diag(matrix) ** -0.5]))
    row, column = np.nonzero(np.tril(matrix))
    found = BandedFactor(row, column, matrix[row, column], n)
    right = rng.normal(size=(n, 3))
    np.testing.assert_allclose(found.solve(right), np.linalg.solve(matrix, right), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(found.inverse(row, column), np.linalg.inv(matrix)[row, column], rtol=1e-3, atol=1e-5)


def test_profiles_are_settings():
    assert Settings().psf.residual
    with pytest.raises(StellacubeError, match="profile"):
        from_dict({"psf": {"profile": "lorentz"}})


@pytest.mark.parametrize("kind", ["airy", "double"])
def test_the_simulator_paints_a_foreign_psf(kind):
    settings = SimulationSettings(foreign_psf=kind)
    dy, dx = np.mgrid[-100:101, -100:101].astype(float)
    image = psf_at(7000.0, settings)(dx, dy)
    assert image.sum() == pytest.approx(1.0, abs=0.02)  # wings reach further
    plain = psf_at(7000.0, SimulationSettings(ellipticity=0.0))(dx, dy)
    assert np.abs(image / plain - 1.0)[90:111, 90:111].max() > 0.05
