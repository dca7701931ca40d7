"""Markov chains agree with the fit where errors are Gaussian, keep to the limits, and are drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mock_spectra import labels_of, observed

from processing.errors import StellacubeError
from processing.labels.model_file import load_model
from processing.labels.posterior import corner_figure, sample_posterior, write_posterior
from processing.settings import FitSettings, Settings

GIANT = (4600.0, 2.3, -0.3, 1.5)


@pytest.fixture(scope="module")
def model():
    shipped = load_model("physical")
    return replace(shipped, scatter=np.zeros_like(shipped.scatter), error=None)


@pytest.fixture(scope="module")
def posterior(model):
    (star,) = observed(model, labels_of(model, GIANT), 20.0, snr=150)
    return sample_posterior(star, model, Settings(), steps=1200)


def test_at_high_signal_chains_and_fit_agree(posterior):
    low, middle, high = posterior.percentiles()
    errors = np.sqrt(np.diag(posterior.fit.covariance_total))
    strong = [posterior.names.index(name) for name in ("teff", "logg", "fe_h", "mg_fe", "ca_fe", "ni_fe", "rv")]
    np.testing.assert_allclose(((high - low) / 2 / errors)[strong], 1.0, atol=0.15)
    best = np.append(posterior.fit.values, posterior.fit.rv)
    assert np.abs((middle - best) / errors)[strong].max() < 0.3
    assert abs(middle[-1] - 20.0) < 4 * errors[-1]
    assert (posterior.spread < 1.15).all()
    assert 0.1 < posterior.accepted < 0.5


def test_the_corner_plot_and_the_samples_are_written(posterior, tmp_path):
    from astropy.table import Table

    picture, table = write_posterior(posterior, ["teff", "fe_h", "rv"], tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    samples = Table.read(table)
    assert samples.colnames == [*posterior.fit.labels, "rv"]
    assert len(samples) == posterior.samples.shape[0] * posterior.samples.shape[1]
    with pytest.raises(StellacubeError, match="no label xx_fe"):
        corner_figure(posterior, ["xx_fe"])


def test_limits_and_held_labels_are_kept(model):
    """A giant far beyond the end of the range in [Cu/Fe], at a signal that hardly knows it."""
    labels = labels_of(model, GIANT)
    (star,) = observed(model, labels, 0.0, snr=15)
    settings = Settings(fit=FitSettings(held=(("vmic", 1.5),), abundance_prior=0.0))
    posterior = sample_posterior(star, model, settings, steps=150)
    span = 0.1 * (model.label_max - model.label_min)
    samples = posterior.samples[:, :, :-1]
    assert (samples >= model.label_min - span).all()
    assert (samples <= model.label_max + span).all()
    vmic = posterior.names.index("vmic")
    np.testing.assert_allclose(posterior.samples[:, :, vmic], 1.5, atol=1e-6)


def test_a_star_that_cannot_be_fitted_is_refused(model):
    (star,) = observed(model, labels_of(model, GIANT))
    with pytest.raises(StellacubeError, match="cannot be fitted"):
        sample_posterior(replace(star, ivar=0 * star.ivar), model, Settings())
