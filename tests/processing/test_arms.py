"""A red arm that sits beside the blue one is found, measured, and said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mock_spectra import labels_of, observed
from test_catalogue import ORIGIN

from processing.catalogue.table import build_catalogue
from processing.labels.arms import arm_difference
from processing.labels.fit import fit_labels
from processing.labels.held import at_limit
from processing.labels.model_file import load_model
from processing.preparation.air import SPEED_OF_LIGHT
from processing.settings import FitSettings, Settings

GIANT = (4600.0, 2.3, -0.3, 1.5)


@pytest.fixture(scope="module")
def stars_and_fits():
    """Return 30 stars, the red part of every second of which recedes 40 km/s faster, and their fits."""
    shipped = load_model("physical")
    model = replace(shipped, scatter=np.zeros_like(shipped.scatter), error=None)
    truth = np.repeat(labels_of(model, GIANT), 30, axis=0)
    together, apart = (observed(model, truth, velocity, snr=60, seed=5) for velocity in (20.0, 60.0))
    stars = [
        replace(one, flux=np.where((one.wave > 5900) & bool(i % 2), other.flux, one.flux))
        for i, (one, other) in enumerate(zip(together, apart, strict=True))
    ]
    return stars, fit_labels(stars, model, Settings()), model


def test_the_difference_is_measured_within_its_error(stars_and_fits):
    differences, errors = np.array([arm_difference(fit) for fit in stars_and_fits[1]]).T
    pulls = (differences - np.tile([0.0, 40.0], 15)) / errors
    assert pulls[::2].std() == pytest.approx(1.0, abs=0.35)
    assert np.median(differences[1::2]) == pytest.approx(40.0, abs=2.0)
    assert errors.max() < 3.0


def test_the_catalogue_says_so(stars_and_fits):
    stars, fits, model = stars_and_fits
    table = build_catalogue(stars, fits, model, ORIGIN).table
    said = np.array(["km/s faster than the blue one" in reason for reason in table["quality_reason"]])
    np.testing.assert_array_equal(said, np.arange(30) % 2 == 1)
    assert set(table["quality"][1::2]) == {"check"}
    assert (table["teff_err_scaled"] == table["teff_err_cal"]).all()  # the network is the truth here
    assert (table["snr_red"] > 50).all()


def test_too_little_blue_light_is_no_disagreement(stars_and_fits):
    fit = stars_and_fits[1][1]
    red_only = replace(fit, ivar=np.where(fit.wave < 5800, 0, fit.ivar).astype(np.float32))
    assert np.isnan(arm_difference(red_only)).all()


def test_labels_at_the_limit_are_named():
    model = load_model("physical")
    labels = model.training_labels[0].astype(float)
    span = model.label_max - model.label_min
    labels[:2] = model.label_max[:2] + 0.1 * span[:2]
    assert at_limit(model, labels, FitSettings()) == model.labels[:2]
    assert at_limit(model, labels, FitSettings(held=((model.labels[0], labels[0]),))) == model.labels[1:2]


@pytest.mark.parametrize("choice", [True, 5890.0, "lamost"])
def test_a_velocity_for_each_arm_takes_the_difference_off(stars_and_fits, choice):
    """What one velocity smears comes back sharp, and the error of rv is that of the blue part."""
    stars, one_velocity, model = stars_and_fits
    stars = [replace(star, meta={"instrument": "LAMOST"}) for star in stars[:8]]
    fits = fit_labels(stars, model, Settings(fit=FitSettings(velocity_per_arm=choice)))
    differences, errors = np.array([arm_difference(fit) for fit in fits]).T
    assert np.abs((differences - np.tile([0.0, 40.0], 4)) / errors).max() < 3.5
    assert np.abs([fit.arms_velocity for fit in fits] - differences).max() < 3.0
    assert np.abs([(fit.rv - 20.0) / fit.rv_err for fit in fits]).max() < 3.5
    for fit, smeared in list(zip(fits, one_velocity, strict=False))[1::2]:
        assert fit.red_chi2 < smeared.red_chi2 - 0.02
        assert fit.rv_err > smeared.rv_err / smeared.error_scale
        seam = np.abs(fit.wave * (1 + fit.rv / SPEED_OF_LIGHT) - fit.arms_split) < 45
        assert seam.any()
        assert (fit.ivar[seam] == 0).all()
    table = build_catalogue(stars, fits, model, ORIGIN).table
    assert not any("faster than the blue" in reason for reason in table["quality_reason"])
    assert np.median(table["rv_arms"][1::2]) == pytest.approx(40.0, abs=3.0)


def test_each_arm_has_its_own_error_scale(stars_and_fits):
    """Where the red errors are three times too small, the red arm weighs and counts as if they were right."""
    stars, _, model = stars_and_fits
    rng = np.random.default_rng(4)
    settings = Settings(fit=FitSettings(velocity_per_arm=True))
    noisy = [
        replace(star, flux=(star.flux + (star.wave > 5900) * 8**0.5 * star.error * rng.normal(size=star.wave.size)))
        for star in stars[::2]
    ]
    honest = [replace(star, ivar=np.where(star.wave > 5900, star.ivar / 9, star.ivar)) for star in noisy]
    for fit, right in zip(fit_labels(noisy, model, settings), fit_labels(honest, model, settings), strict=True):
        errors = right.errors_scaled()[:3]
        assert fit.errors_scaled()[:3] == pytest.approx(errors, rel=0.15)
        assert (np.abs(fit.values - right.values)[:3] < 0.3 * errors).all()


def test_one_arm_stays_one(stars_and_fits):
    stars, one_velocity, model = stars_and_fits
    red_only = [replace(star, ivar=np.where(star.wave < 5800, 0, star.ivar)) for star in stars[:1]]
    settings = Settings(fit=FitSettings(velocity_per_arm=True))
    (fit,), (same,) = (fit_labels(red_only, model, choice) for choice in (settings, Settings()))
    assert np.isnan(fit.arms_velocity)
    np.testing.assert_allclose(fit.values, same.values)
    (elsewhere,) = fit_labels(stars[1:2], model, Settings(fit=FitSettings(velocity_per_arm="lamost")))
    np.testing.assert_allclose(elsewhere.values, one_velocity[1].values, rtol=1e-4, atol=1e-3)
