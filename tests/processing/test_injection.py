"""Coverage is counted rightly, noise is what was asked for, and errors hold the truth as often as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from models import tiny_model

from processing.labels.fit import fit_labels
from processing.labels.gradients import check_gradients
from processing.labels.injection import ONE_SIGMA, carried, coverage, drawn_labels, model_spectra, noisier
from processing.labels.model_file import load_model
from processing.labels.priors import AbundancePrior
from processing.settings import Settings


def test_coverage_of_known_deviations():
    rng = np.random.default_rng(1)
    errors = rng.uniform(1, 3, (20000, 3))
    deviations = errors * rng.normal(size=errors.shape) * [1.0, 2.0, 1.0] + errors * [0.0, 0.0, 0.5]
    known = np.ones(errors.shape, bool)
    known[:, 1] &= rng.random(len(errors)) < 0.5
    result = coverage(("teff", "logg", "fe_h"), deviations, errors, known)
    np.testing.assert_allclose(result.held, [ONE_SIGMA, 0.3829, 0.6247], atol=0.012)
    np.testing.assert_allclose(result.pull, [1.0, 2.0, 1.0], rtol=0.03)
    np.testing.assert_allclose(result.bias, [0.0, 0.0, 0.5], atol=0.04)
    assert result.n[1] == known[:, 1].sum() < len(errors)
    nothing = coverage(("teff",), deviations[:, :1], errors[:, :1], np.zeros((20000, 1), bool))
    assert nothing.n[0] == 0
    assert np.isnan(nothing.held[0])


def test_spectra_get_the_noise_that_was_asked_for():
    model, rng = tiny_model(4760.0, 8700.0), np.random.default_rng(2)
    clean = model_spectra(model, model.training_labels[:4], 50.0)
    once = noisier(clean, 200.0, rng)
    twice = noisier(once, 50.0, rng, understated=3.0)
    for star, one, two in zip(clean, once, twice, strict=True):
        good = star.good
        assert one.snr == pytest.approx(200.0, rel=0.01)
        assert two.snr == pytest.approx(150.0, rel=0.01)
        noise = (two.flux - star.flux)[good] / np.median(star.flux[good])
        assert noise.std() == pytest.approx(1 / 50, rel=0.06)
        np.testing.assert_array_equal(one.good, good)
        again = noisier([one], 300.0, rng)[0]
        np.testing.assert_array_equal(again.flux, one.flux)


def test_labels_are_drawn_from_the_prior_within_the_range():
    model, rng = tiny_model(), np.random.default_rng(3)
    labels = drawn_labels(model, 4000, 0.1, rng)
    assert (labels >= model.label_min).all()
    assert (labels <= model.label_max).all()
    apart = labels - AbundancePrior(model.labels, 0.1).expected(labels)
    column = model.labels.index("na_fe")
    assert apart[:, column].std() == pytest.approx(0.1, rel=0.05)
    assert apart[:, column].mean() == pytest.approx(0.0, abs=0.01)


def test_intervals_hold_the_truth():
    """All labels with a bound below 0.15 dex, priors and unknown error scale included; formal errors miss it."""
    shipped, rng = load_model(""), np.random.default_rng(1)
    model = replace(shipped, scatter=np.zeros_like(shipped.scatter), error=None)
    truth = drawn_labels(model, 120, Settings().fit.abundance_prior, rng)
    stars = noisier(model_spectra(model, truth, rng.uniform(-100, 100, len(truth))), 60.0, rng, 3.0)
    fits = check_gradients(fit_labels(stars, model, Settings()), model, Settings())
    known, deviations = carried(fits, 0.15), np.array([fit.values for fit in fits]) - truth
    formal, scaled = (
        coverage(model.labels, deviations, np.array(errors), known)
        for errors in ([fit.errors() for fit in fits], [fit.errors_scaled() for fit in fits])
    )
    mean = np.average(np.nan_to_num(scaled.held), weights=scaled.n)
    assert 0.64 < mean < 0.72
    assert np.average(np.nan_to_num(scaled.pull), weights=scaled.n) == pytest.approx(1.0, abs=0.08)
    assert np.average(np.nan_to_num(formal.held), weights=formal.n) < 0.35
