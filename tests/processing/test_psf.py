"""The PSF: its formula against an independent one, and its fit on crowded fields against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from star_fields import make_field, moffat

from processing.extraction import psf_fit
from processing.extraction.automatic import WIDE
from processing.extraction.psf import PsfModel, constant_psf
from processing.extraction.psf_fit import WIDEST, fit_psf
from processing.extraction.psf_profiles import PARAMETERS, derivatives, evaluate

TEN_BINS = replace(WIDE.psf, bins=10)


def shape_of(fwhm, beta, e=0.0, theta=0.0):
    parameters = np.zeros(len(PARAMETERS))
    parameters[:4] = fwhm, beta, e * np.cos(2 * theta), e * np.sin(2 * theta)
    return parameters


@pytest.mark.parametrize(("fwhm", "tolerance"), [(4.0, 1.5e-3), (3.0, 4e-3)])
def test_pixels_hold_the_integral_of_the_profile(fwhm, tolerance):
    dy, dx = np.mgrid[-20:21, -20:21] + np.array([0.3, -0.2])[:, None, None]
    steps = (np.arange(21) - 10) / 21
    fine = np.mean([moffat(dx + a, dy + b, fwhm, 2.8, 0.15, 0.6) for a in steps for b in steps], axis=0)
    ours = evaluate("moffat", shape_of(fwhm, 2.8, 0.15, 0.6), dx, dy)
    assert np.abs(ours - fine).max() < tolerance * fine.max()
    assert ours.sum() == pytest.approx(fine.sum(), rel=2e-4)


def test_gaussian_has_unit_flux_and_the_width_it_says():
    dy, dx = np.mgrid[-20:21, -20:21].astype(float)
    image = evaluate("gaussian", shape_of(4.0, 2.5, 0.2, 0.0), dx, dy)
    assert image.sum() == pytest.approx(1.0, rel=1e-4)
    sigma2 = (4.0 / 2.3548) ** 2
    np.testing.assert_allclose((image * dx**2).sum(), sigma2 / 0.8 + 1 / 12, rtol=1e-3)  # major axis along x
    np.testing.assert_allclose((image * dy**2).sum(), sigma2 * 0.8 + 1 / 12, rtol=1e-3)


@pytest.mark.parametrize("e", [0.0, 0.2])
def test_derivatives_agree_with_differences_of_the_formula(e):
    rng = np.random.default_rng(1)
    dx, dy = rng.uniform(-8, 8, (2, 100))
    theta, h = 0.7, 1e-4
    _, by = derivatives("moffat", shape_of(3.5, 2.6, e, theta), dx, dy)
    value = moffat(dx, dy, 3.5, 2.6, e, theta)

    def at(fwhm=0.0, beta=0.0, d1=0.0, d2=0.0, x=0.0, y=0.0):
        e1, e2 = e * np.cos(2 * theta) + d1, e * np.sin(2 * theta) + d2
        return moffat(dx - x, dy - y, 3.5 + fwhm, 2.6 + beta, np.hypot(e1, e2), 0.5 * np.arctan2(e2, e1))

    for k, name in enumerate(("fwhm", "beta", "d1", "d2", "x", "y")):
        expected = (at(**{name: h}) - at(**{name: -h})) / (2 * h)
        np.testing.assert_allclose(by[k], expected, atol=0.05 * np.abs(expected).max(), err_msg=name)  # pixel integral
    assert value.max() > 0


@pytest.fixture(scope="module")
def field():
    return make_field(seed=3, n_star=40)


@pytest.fixture(scope="module")
def fitted(field):
    snr = field.flux.mean(1) / 35.0
    return fit_psf(field, field.x, field.y, snr, 4.5, replace(WIDE.psf, bins=20))


def test_fit_recovers_every_parameter_within_its_errors(field, fitted):
    t = (fitted.bin_wave - field.wave[0]) / (field.wave[-1] - field.wave[0])
    truth = np.zeros((t.size, len(PARAMETERS)))
    truth[:, 0] = field.truth["fwhm"][0] + np.diff(field.truth["fwhm"]) * t
    truth[:, 1] = field.truth["beta"][0] + np.diff(field.truth["beta"]) * t
    truth[:, 2], truth[:, 3] = field.truth["e1"], field.truth["e2"]
    truth[:, 4], truth[:, 5] = field.truth["drift"][0] * t, field.truth["drift"][1] * t
    pulls = ((fitted.bin_values - truth) / np.where(fitted.bin_errors > 0, fitted.bin_errors, np.inf))[:, :10]
    assert 0.7 < np.std(pulls) < 1.4
    assert (np.abs(pulls.mean(0)) < 4.0 / np.sqrt(t.size)).all()
    smooth = fitted.parameters(fitted.bin_wave)
    assert np.abs(smooth - truth)[:, 0].max() < 0.01  # FWHM, spaxels
    assert np.abs(smooth - truth)[:, 1].max() < 0.02
    assert np.abs(smooth - truth)[:, 4:6].max() < 0.005
    assert (fitted.bin_errors[:, 10:] == 0).all()  # a second component it does not have
    assert 0.9 < np.median(fitted.bin_chi) < 1.05


def test_model_survives_its_arrays(fitted):
    again = PsfModel.from_arrays({k: np.array(v) for k, v in fitted.to_arrays().items()})
    np.testing.assert_array_equal(again.parameters(6000.0), fitted.parameters(6000.0))
    assert again.profile == fitted.profile
    assert again.n_stars == fitted.n_stars == 40


def test_an_ao_gap_is_skipped_and_bridged():
    made = make_field(seed=4, n_star=25, border=0)
    gap = (made.wave > 5700) & (made.wave < 6100)
    made.data[gap], made.ivar[gap] = 0.0, 0.0
    psf = fit_psf(made, made.x, made.y, made.flux.mean(1) / 35.0, 4.0, replace(WIDE.psf, bins=20))
    assert not ((psf.bin_wave > 5750) & (psf.bin_wave < 6050)).any()
    t = (5900.0 - 4750.0) / (9350.0 - 4750.0)
    assert psf.fwhm(5900.0) == pytest.approx(4.2 - 0.5 * t, abs=0.12)


def test_one_star_gives_shape_and_place_but_no_affine_terms():
    made = make_field(positions=([30.3], [28.8]), magnitudes=[16.0])
    psf = fit_psf(made, made.x, made.y, np.array([300.0]), 3.0, TEN_BINS)
    assert psf.fwhm(7050.0) == pytest.approx(3.95, abs=0.03)
    assert (psf.coefficients[6:10] == 0).all()
    x, y = psf.positions(made.x, made.y, 9350.0)
    np.testing.assert_allclose([x[0], y[0]], [30.8, 28.5], atol=0.01)


def test_stars_too_faint_for_a_fit_give_the_first_guess():
    made = make_field(positions=([30.3], [28.8]), magnitudes=[24.0])
    psf = fit_psf(made, made.x, made.y, np.array([1.0]), 3.7, TEN_BINS)
    assert psf.n_stars == 0
    assert psf.fwhm(7000.0) == 3.7


def test_an_unlisted_star_and_a_cosmic_ray_do_not_bend_the_fit():
    made = make_field(seed=6, n_star=30)
    made.data[:, 20, 20:24] += 3000.0
    listed = np.arange(30) != np.argsort(made.mag)[10]
    psf = fit_psf(made, made.x[listed], made.y[listed], made.flux.mean(1)[listed] / 35.0, 4.0, TEN_BINS)
    assert psf.fwhm(7050.0) == pytest.approx(3.95, abs=0.05)


def test_a_galaxy_cannot_make_the_psf_as_wide_as_itself():
    made = make_field(positions=([30.0], [30.0]), magnitudes=[13.5], fwhm=(18.0, 18.0), drift=(0, 0))
    psf = fit_psf(made, made.x, made.y, np.array([500.0]), 8.0, replace(WIDE.psf, bins=4))
    assert psf.fwhm(7000.0) <= WIDEST + 1e-5
    assert psf.bin_chi.min() > 2.0


def test_one_layer_is_enough():
    made = make_field(seed=8, n_star=10, wave=np.array([6000.0, 6012.5]))
    made.wave, made.data, made.ivar = made.wave[:1], made.data[:1], made.ivar[:1]
    psf = fit_psf(made, made.x, made.y, made.flux.mean(1) / 35.0, 4.0, WIDE.psf)
    assert psf.fwhm(6000.0) == pytest.approx(4.2, abs=0.3)


def test_gaussian_fit_leaves_beta_alone():
    made = make_field(seed=7, n_star=20)
    settings, solve = replace(WIDE.psf, bins=8, profile="gaussian"), replace(WIDE.solve, far_wings=False)
    psf = fit_psf(made, made.x, made.y, made.flux.mean(1) / 35.0, 4.0, settings, solve=solve)
    assert (psf.bin_values[:, 1] == settings.beta).all()
    assert 3.9 < psf.fwhm(7050.0) < 5.2
    assert np.median(psf.bin_chi) > 1.5  # a Gaussian is no Moffat, and the fit says so


def test_constant_psf_is_round():
    stamp = constant_psf("moffat", 4.0, 2.5, np.array([4750.0, 9350.0]), 0.0, 0.0).stamp(15, 15, 7000.0, (31, 31))
    np.testing.assert_allclose(stamp, stamp.T)


def test_stars_that_are_not_fitted_do_not_pass_for_sky(monkeypatch):
    """Their wings under the PSF stars are known from their predicted fluxes; the sky would make beta too large."""
    monkeypatch.setattr(psf_fit, "MAX_PSF_STARS", 6)
    still = {"fwhm": (4.0, 4.0), "beta": (2.5, 2.5), "drift": (0.0, 0.0), "wave": np.array([7000.0, 7001.0])}
    made = make_field(seed=3, n_star=90, shape=(140, 140), mags=(15.0, 18.0), noise=False, reach=70, **still)
    flux = made.flux.mean(1)
    left_to_the_sky, predicted = (
        fit_psf(made, made.x, made.y, flux / 35.0, 4.0, replace(WIDE.psf, bins=1), flux=known).bin_values[0, 1]
        for known in (None, flux * np.random.default_rng(1).normal(1.0, 0.1, flux.size))
    )
    assert left_to_the_sky > 2.55
    assert predicted == pytest.approx(2.5, abs=0.012)


def test_beta_is_held_where_the_sky_is_as_fine_as_the_wings():
    made = make_field(seed=7, n_star=20)
    fine = replace(WIDE.solve, sky_patch=10)
    psf = fit_psf(made, made.x, made.y, made.flux.mean(1) / 35.0, 4.0, replace(WIDE.psf, bins=8), solve=fine)
    assert (psf.bin_values[:, 1] == 2.5).all()
    assert not psf.bin_errors[:, 1].any()
    assert psf.fwhm(7050.0) == pytest.approx(3.95, abs=0.1)
