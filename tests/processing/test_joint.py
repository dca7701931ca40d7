"""The joint fit of several spectra: against truth, against single fits, and with spectra that have no say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mock_spectra import labels_of, observed

from processing.labels.fit import fit_labels
from processing.labels.joint import JointFit, fit_joint
from processing.labels.model_file import LabelModel, load_model
from processing.settings import FitSettings, Settings
from processing.spectrum import StarSpectrum

GIANT = (4600.0, 2.3, -0.3, 1.5)
N = 40


@pytest.fixture(scope="module")
def model() -> LabelModel:
    """Return the shipped model without an error of its own: the spectra here come from its network."""
    shipped = load_model("")
    return replace(shipped, scatter=np.zeros_like(shipped.scatter), error=None)


@pytest.fixture(scope="module")
def stars(model: LabelModel) -> list[list[StarSpectrum]]:
    """Return three exposures of stars alike: one with errors three times too small, one without its red half."""
    truth = np.repeat(labels_of(model, GIANT), N, axis=0)
    first = observed(model, truth, 35.0, snr=60, seed=1)
    second = [replace(s, ivar=9 * s.ivar) for s in observed(model, truth, -120.0, snr=40, seed=2)]
    third = [
        replace(s, ivar=np.where(s.wave < 7000, s.ivar, 0).astype("f4"))
        for s in observed(model, truth, 81.0, snr=50, seed=3)
    ]
    return [list(exposures) for exposures in zip(first, second, third, strict=True)]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(fit=FitSettings(abundance_prior=0.0))


@pytest.fixture(scope="module")
def joint(stars: list[list[StarSpectrum]], model: LabelModel, settings: Settings) -> list[JointFit]:
    fits = fit_joint(stars, model, settings)
    assert all(fit is not None and fit.converged for fit in fits)
    return [fit for fit in fits if fit is not None]


def test_labels_scatter_by_their_errors_and_less_than_alone(joint, stars, model, settings) -> None:
    truth = labels_of(model, GIANT)[0]
    alone = fit_labels([star[0] for star in stars], model, settings)
    tight = [model.labels.index(name) for name in ("teff", "logg", "fe_h", "mg_fe", "ca_fe", "ti_fe", "ni_fe")]
    found = np.array([fit.values for fit in joint])[:, tight] - truth[tight]
    pull = found / np.array([fit.errors_scaled() for fit in joint])[:, tight]
    assert np.abs(pull.mean(axis=0)).max() < 4 / np.sqrt(N)
    assert np.sqrt(np.mean(pull**2)) == pytest.approx(1.0, abs=0.12)
    assert (found.std(axis=0) < 0.9 * np.std([fit.values for fit in alone], axis=0)[tight]).all()


def test_every_spectrum_has_its_own_velocity_and_error_scale(joint) -> None:
    velocity = np.array([[fit.rv for fit in star.fits] for star in joint])
    np.testing.assert_allclose(velocity.mean(axis=0), (35.0, -120.0, 81.0), atol=0.5)
    scale = np.median([[fit.error_scale for fit in star.fits] for star in joint], axis=0)
    np.testing.assert_allclose(scale, (1.0, 3.0, 1.0), rtol=0.1)


def test_one_spectrum_alone_gives_its_own_fit(stars, model) -> None:
    settings = Settings()
    together = fit_joint([[star[0]] for star in stars[:5]], model, settings)
    alone = fit_labels([star[0] for star in stars[:5]], model, settings)
    # A first round far from the minimum may take noise for an outlier; the joint fit starts at the minimum.
    same = [(fit, one) for fit, one in zip(together, alone, strict=True) if fit.fits[0].n_pix == one.n_pix]
    assert len(same) >= 4
    for fit, one in same:
        assert (np.abs(fit.values - one.values) < 0.02 * one.errors_scaled()).all()
        np.testing.assert_allclose(fit.errors(), one.errors(), rtol=0.02)
        np.testing.assert_allclose(fit.errors_scaled(), one.errors_scaled(), rtol=0.02)


def test_spectra_that_are_none_have_no_say(stars, model) -> None:
    good = stars[0]
    empty = replace(good[0], ivar=np.zeros_like(good[0].ivar))
    noise = np.random.default_rng(5).normal(1000, 20, good[0].wave.size).astype("f4")
    emission = replace(good[0], flux=noise + 3000 * (np.abs(good[0].wave - 6563) < 8))
    with_junk, without, nothing = fit_joint([[*good, empty, emission], good, [empty]], model, Settings())
    assert nothing is None
    assert len(with_junk.fits) == 3
    assert (np.abs(with_junk.values - without.values) < 1e-3 * without.errors_scaled()).all()


def test_the_networks_own_error_does_not_average_out(stars, model) -> None:
    shipped = load_model("")
    assert shipped.error is not None
    (joint,) = fit_joint([stars[0][:2]], shipped, Settings())
    i = shipped.labels.index("teff")
    assert joint.errors_scaled()[i] > 0.9 * min(fit.errors_model()[i] for fit in joint.fits)
    assert np.sqrt(joint.covariance_scaled[i, i]) < min(np.sqrt(fit.covariance_scaled[i, i]) for fit in joint.fits)
