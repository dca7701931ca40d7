"""Two networks, one for metal-poor stars: Eq. 2, with errors and flags mixed as the labels are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.errors import StellacubeError
from processing.labels.fit import fit_labels
from processing.labels.gradients import gradient_spectra
from processing.labels.mixture import fit_and_check, mix, poor_weight
from processing.labels.model_file import load_model
from processing.settings import Settings
from tests.processing.mock_spectra import labels_of, observed


def test_weights_are_those_of_equation_2():
    found = poor_weight(np.array([0.3, -0.6, -0.7, -0.8, -1.0, -1.7, np.nan]))
    assert np.allclose(found, [0, 0, 0.25, 0.5, 1, 1, 0])


@pytest.fixture(scope="module")
def fits():
    """Return stars of three iron abundances fitted by the pair and by each network."""
    pair = load_model("a+a-mp")
    truth = labels_of(pair, (5000, 2.5, 0.0, 1.5), (5000, 2.5, -0.8, 1.5), (5000, 2.5, -1.4, 1.5))
    spectra = observed(pair, truth, 30.0, snr=100)
    mixed = fit_and_check(spectra, pair, Settings())
    assert pair.companion is not None
    single = [fit_labels(spectra, model, Settings()) for model in (replace(pair, companion=None), pair.companion)]
    return mixed, *single


def test_each_network_counts_where_it_should(fits):
    mixed, rich, poor = fits
    assert np.array_equal(mixed[0].values, rich[0].values)
    assert np.array_equal(mixed[2].values, poor[2].values)
    assert np.array_equal(mixed[2].covariance, poor[2].covariance)
    weight = (rich[1].values[2] + 0.6) / -0.4
    assert 0 < weight < 1
    expected = (1 - weight) * rich[1].values + weight * poor[1].values
    assert np.allclose(mixed[1].values, expected, rtol=0, atol=1e-2 * mixed[1].errors())
    assert np.isclose(mixed[1].rv, (1 - weight) * rich[1].rv + weight * poor[1].rv, atol=1e-2)


def test_errors_of_a_mixture_lie_between_those_of_its_parts(fits):
    mixed, rich, poor = fits
    for name in ("errors", "errors_scaled", "errors_model"):
        one, both, other = (getattr(fit[1], name)() for fit in (rich, mixed, poor))
        assert (both < 1.01 * np.maximum(one, other)).all()
        assert (both > 0.9 * np.minimum(one, other)).all()


def test_gradients_are_those_of_the_network_that_weighs_more(fits):
    pair = load_model("a+a-mp")
    assert pair.companion is not None
    for fit, alone in zip(fits[0], (pair, None, pair.companion), strict=True):
        network = alone or (pair.companion if fit.poor_weight >= 0.5 else pair)
        expected = gradient_spectra(fit, replace(network, companion=None)).network
        np.testing.assert_array_equal(gradient_spectra(fit, pair).network, expected)
    assert [fit.poor_weight for fit in fits[0]][::2] == [0.0, 1.0]


def test_one_bad_fit_flags_the_mixture(fits):
    _, rich, poor = fits
    both = mix(rich[1], replace(poor[1], extrapolated=True, converged=False, in_scope=False), 0.3)
    assert both.extrapolated
    assert not both.converged
    assert not both.in_scope
    assert mix(rich[1], poor[1], 1.0) is poor[1]


def test_networks_that_do_not_match_are_refused():
    with pytest.raises(StellacubeError, match="cannot be mixed"):
        load_model("a+g")
    with pytest.raises(StellacubeError, match="There is no model file"):
        load_model("a+nothing")
