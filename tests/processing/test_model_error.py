"""The model's own error: recovered where it is known, and never counted as noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from processing.labels.fit import fit_labels
from processing.labels.model_error import ModelError, Unseen
from processing.labels.model_file import LabelModel, load_model, save_model
from processing.labels.names import CORE
from processing.labels.teacher import _noisy, train_teacher
from processing.settings import Settings
from tests.processing.mock_spectra import labels_of, observed
from tests.processing.models import tiny_model

STARS = np.array([[5000.0, 3.0, -0.3]] * 400)


def linear_problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return derivatives (n_pix, 4), their pseudo-inverse, and 400 shifts of the labels with known covariance."""
    rng = np.random.default_rng(3)
    slopes = rng.normal(size=(80, 4)) * [1e-3, 0.2, 0.3, 1e-3]
    shifts = rng.multivariate_normal([0, 0, 0], np.diag([60.0, 0.2, 0.1]) ** 2, 400)
    return slopes, np.linalg.pinv(slopes), shifts


def test_a_known_error_is_found_beyond_that_of_the_labels_given():
    slopes, gain, shifts = linear_problem()
    residual = shifts @ slopes[:, :3].T
    exact = ModelError(Unseen.of(STARS, residual, np.zeros((400, 3))))
    found = exact.covariance(gain, np.eye(4), STARS[0], CORE)
    # 48 stars are used, the widest of them clipped: a tenth or so of scatter.
    assert np.allclose(np.sqrt(np.diag(found))[:3], [60, 0.2, 0.1], rtol=0.3)
    assert found[3, 3] < 1e-6 * found[0, 0]
    given = np.tile([60.0, 0.2, 0.06], (400, 1))
    nothing = Unseen.of(STARS, np.zeros_like(residual), np.zeros((400, 3)))
    beyond = ModelError(nothing, Unseen.of(STARS, residual, given)).covariance(gain, np.eye(4), STARS[0], CORE)
    assert np.sqrt(beyond[2, 2]) == np.clip(np.sqrt(beyond[2, 2]), 0.05, 0.11)
    assert beyond[0, 0] < 0.5 * 60**2
    assert np.linalg.eigvalsh(beyond / np.outer([60, 0.2, 0.1, 1], [60, 0.2, 0.1, 1])).min() > -1e-9


def test_stars_far_away_have_no_say():
    slopes, gain, shifts = linear_problem()
    shifts[200:] *= 100
    stars = STARS.copy()
    stars[200:, 0] = 6800
    error = ModelError(Unseen.of(stars, shifts @ slopes[:, :3].T, np.zeros((400, 3))))
    near, far = (np.sqrt(error.covariance(gain, np.eye(4), at, CORE)[0, 0]) for at in (stars[0], stars[-1]))
    assert near < 90
    assert far > 3000


def test_leaving_out_in_closed_form_is_leaving_out():
    rng = np.random.default_rng(4)
    names = ("teff", "logg", "fe_h", "mg_fe")
    labels = rng.uniform([4200, 1, -1.5, -0.3], [6500, 4.8, 0.4, 0.6], (40, 4))
    flux = np.tanh((labels - labels.mean(0)) / labels.std(0) @ rng.normal(size=(4, 30)))
    teacher = train_teacher(labels, names, flux, n_component=4, steps=3)
    left_out = teacher.left_out(flux)
    import torch

    parameters = {name: torch.tensor(values[1]) for name, values in teacher.parameters.items()}
    covariance = _noisy(parameters, torch.tensor(teacher.inputs), teacher.features).numpy()
    target = (flux - teacher.mean) @ teacher.components[1]
    others = np.arange(40) != 7
    weights = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, 7])
    assert np.isclose(left_out[7] @ teacher.components[1], target[7] - weights @ target[others], rtol=1e-4)


def with_error(model: LabelModel, labels: np.ndarray, size: float) -> LabelModel:
    """Return the model with residuals that are its slope with Teff at some labels times some K."""
    stars = np.asarray(model.training_labels, float)
    slope = model.network.flux_and_jacobian(labels[None])[1][0, :, 0]
    shift = np.random.default_rng(2).normal(size=len(stars)) * size
    core = stars[:, [model.labels.index(name) for name in CORE]]
    return replace(model, error=ModelError(Unseen.of(core, shift[:, None] * slope, np.zeros(stars.shape))))


def test_it_adds_to_the_errors_of_a_fit_in_quadrature_and_not_to_the_formal_ones():
    model = replace(load_model("physical"), error=None)
    spectra = observed(model, labels_of(model, (5000, 3, -0.3, 1.5)), snr=400)
    settings = replace(Settings(), fit=replace(Settings().fit, abundance_prior=0.0))
    plain = fit_labels(spectra, model, settings)[0]
    fit = fit_labels(spectra, with_error(model, plain.values, 80.0), settings)[0]
    assert fit.converged
    assert np.allclose(plain.values, fit.values, atol=plain.errors_scaled())
    assert np.allclose(plain.errors(), fit.errors(), rtol=0.05)
    assert np.isnan(plain.errors_model()).all()
    assert np.isclose(fit.errors_model()[0], 80, rtol=0.2)
    assert np.allclose(fit.errors_scaled(), np.hypot(np.sqrt(np.diag(fit.covariance_scaled)[:-1]), fit.errors_model()))


def test_a_model_file_keeps_it(tmp_path: Path):
    model = with_error(tiny_model(), labels_of(tiny_model(), (5000, 3, -0.3, 1.5))[0], 80.0)
    save_model(model, tmp_path / "model.npz")
    read = load_model(tmp_path / "model.npz")
    assert read.error is not None
    assert model.error is not None
    one, two = (error.synthetic.coefficients @ error.synthetic.basis for error in (read.error, model.error))
    assert np.allclose(one, two, atol=2e-3 * np.abs(two).max())
    assert read.error.real is None
