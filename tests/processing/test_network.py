"""The network's derivatives against differences, its factored form, and an independent forward pass in torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from models import LABEL_MAX, LABEL_MIN, tiny_network


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(3).uniform(LABEL_MIN, LABEL_MAX, (5, 19))


@pytest.mark.parametrize("activation", ["silu", "leaky_relu"])
def test_flux_and_jacobian_against_torch(labels: np.ndarray, activation: str):
    torch = pytest.importorskip("torch")
    network = replace(tiny_network(), activation=activation)
    function = torch.nn.functional.silu if activation == "silu" else torch.nn.functional.leaky_relu

    def flux(x):
        x = (x - torch.tensor(network.label_center)) / torch.tensor(network.label_scale)
        for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
            x = function(x @ torch.tensor(weight.T).double() + torch.tensor(bias))
        x = x @ torch.tensor(network.weights[-1].T).double() + torch.tensor(network.biases[-1])
        return x @ torch.tensor(network.basis.T).double() + torch.tensor(network.offset)

    got, jacobian = network.flux_and_jacobian(labels)
    assert np.abs(got - flux(torch.tensor(labels)).numpy()).max() < 2e-6
    for i in range(len(labels)):
        expected = torch.autograd.functional.jacobian(flux, torch.tensor(labels[i])).numpy()
        assert (np.abs(jacobian[i] - expected).max(0) < 1e-4 * np.abs(expected).max(0)).all()


def test_jacobian_against_differences(labels: np.ndarray):
    network = tiny_network()
    flux, jacobian = network.flux_and_jacobian(labels)
    assert np.array_equal(flux, network.flux(labels))
    assert jacobian.shape == (5, network.n_pix, 19)
    np.testing.assert_allclose(network.gradients(labels), jacobian.transpose(0, 2, 1), rtol=1e-4, atol=1e-9)
    for i in range(19):
        step = np.zeros(19)
        step[i] = 0.002 * network.label_scale[i]
        difference = (network.flux(labels + step).astype(float) - network.flux(labels - step)) / (2 * step[i])
        tolerance = 2e-3 * np.abs(jacobian[:, :, i]).max() + 3e-7 / step[i]
        assert np.abs(jacobian[:, :, i] - difference).max() < tolerance


def test_factored_form_is_exact_under_convolution(labels: np.ndarray):
    network = tiny_network()
    kernel = np.exp(-0.5 * (np.subtract.outer(np.arange(300), np.arange(300)) / 2.0) ** 2)
    kernel /= kernel.sum(1, keepdims=True)
    broadened = network.with_basis(kernel @ network.basis, kernel @ network.offset)
    assert np.abs(broadened.flux(labels) - network.flux(labels) @ kernel.T).max() < 2e-6
    assert np.array_equal(broadened.hidden(labels)[1], network.hidden(labels)[1])


def test_one_spectrum_and_a_batch_agree(labels: np.ndarray):
    network = tiny_network()
    assert np.abs(network.flux(labels[2])[0] - network.flux(labels)[2]).max() < 1e-6


def test_far_outside_the_range_stays_finite():
    network = tiny_network()
    flux, jacobian = network.flux_and_jacobian(np.tile(1e5 * network.label_scale, (2, 1)) * [[1], [-1]])
    assert np.isfinite(flux).all()
    assert np.isfinite(jacobian).all()


def test_sum_of_two_networks(labels: np.ndarray):
    first, second = tiny_network(), tiny_network(n_label=3, n_hidden=12, n_unit=5, seed=9)
    columns = [0, 1, 3]
    second = replace(second, label_center=second.label_center + 0.2, label_scale=second.label_scale * 1.5)
    joined = first.plus(second, columns)
    expected = first.flux(labels) + second.flux(labels[:, columns])
    assert np.abs(joined.flux(labels) - expected).max() < 5e-6
    slopes = first.flux_and_jacobian(labels)[1]
    slopes[:, :, columns] += second.flux_and_jacobian(labels[:, columns])[1]
    assert np.abs((joined.flux_and_jacobian(labels)[1] - slopes) * first.label_scale).max() < 5e-5


def test_compression_loses_nothing_until_units_are_cut(labels: np.ndarray):
    first, second = tiny_network(), tiny_network(n_hidden=12, n_unit=5, seed=9)
    joined = first.plus(second, list(range(19)))
    sample = np.random.default_rng(4).uniform(LABEL_MIN, LABEL_MAX, (2000, 19))
    same = joined.compressed(sample, 13)
    assert np.abs(same.flux(labels) - joined.flux(labels)).max() < 2e-5
    errors = [np.std(joined.compressed(sample, k).flux(sample) - joined.flux(sample)) for k in (12, 9, 6)]
    assert 1e-4 < errors[0] < errors[1] < errors[2]
    assert np.allclose(same.basis.T @ same.basis, np.eye(13), atol=1e-5)


def test_labels_tied_to_others(labels: np.ndarray):
    network = tiny_network()
    keep = [i for i in range(19) if i not in (3, 5)]
    matrix, constant = np.eye(19)[:, keep], np.zeros(19)
    matrix[3, [0, 1]], constant[3] = [2e-4, -0.2], 1.0  # vmic from Teff and logg; label 5 fixed at 0.3
    constant[5] = 0.3
    full = labels.copy()
    full[:, 3], full[:, 5] = 1.0 + 2e-4 * labels[:, 0] - 0.2 * labels[:, 1], 0.3
    fewer = network.relabelled(keep, matrix, constant)
    assert np.abs(fewer.flux(labels[:, keep]) - network.flux(full)).max() < 5e-6
    slopes = network.flux_and_jacobian(full)[1] @ matrix
    assert np.abs((fewer.flux_and_jacobian(labels[:, keep])[1] - slopes) * fewer.label_scale).max() < 5e-5
