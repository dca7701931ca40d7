"""What real stars taught applies to each star by its own amount: none of it to a computed spectrum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mock_spectra import labels_of, observed

from processing.catalogue.quality import judge
from processing.labels.fit import fit_labels
from processing.labels.model_file import LabelModel, load_model, save_model
from processing.labels.normal import Emulator, NormalEquations
from processing.settings import FitSettings, Settings

STARS = (4600.0, 2.3, -0.3, 1.5), (5700.0, 4.3, -0.1, 1.1), (4900.0, 3.3, -0.6, 1.3)


@pytest.fixture(scope="module")
def model() -> LabelModel:
    return load_model("a")


@pytest.fixture(scope="module")
def computed(model: LabelModel) -> LabelModel:
    """Return the model of computed spectra, as far as the file has it: its network less what real stars taught."""
    assert model.correction is not None
    away = replace(model.correction, basis=-model.correction.basis, offset=-model.correction.offset)
    return replace(model, network=model.network.plus(away, [0, 1, 2]), correction=None)


def test_the_correction_is_the_difference_from_the_physical_network(model: LabelModel):
    assert model.correction is not None
    labels = labels_of(model, *STARS)
    difference = model.network.flux(labels) - load_model("physical").network.flux(labels)
    found = model.correction.flux(labels[:, :3])
    assert found.std() > 0.008
    assert (found - difference).std() < 0.06 * found.std()


def test_round_trip(model: LabelModel, tmp_path: Path):
    again = load_model(save_model(model, tmp_path / "a.npz"))
    core = labels_of(model, *STARS)[:, :3]
    assert model.correction is not None
    assert again.correction is not None
    assert np.array_equal(again.correction.flux(core), model.correction.flux(core))


@pytest.mark.parametrize("share", [1.0, 0.9, 0.0])
def test_labels_come_back_whatever_the_share(model: LabelModel, computed: LabelModel, share: float):
    truth = labels_of(model, *STARS)
    pair = [observed(one, truth, 20.0, snr=1e5) for one in (model, computed)]
    spectra = [replace(a, flux=share * a.flux + (1 - share) * b.flux) for a, b in zip(*pair, strict=True)]
    settings = Settings(fit=FitSettings(abundance_prior=0.0))
    fits = fit_labels(spectra, model, settings)
    off = np.abs(np.array([fit.values for fit in fits]) - truth)
    assert (off[:, :3] < [40.0, 0.1, 0.05]).all()
    assert (off[:, [model.labels.index(f"{x}_fe") for x in ("c", "mg", "si", "ca", "ti", "cr", "ni")]] < 0.12).all()
    assert all(("looks computed" in fit.note) == (share == 0.0) for fit in fits)
    if share == 0.0:  # without that freedom the same spectra are read as other stars
        blind = fit_labels(spectra, replace(model, correction=None), settings)
        assert np.abs(np.array([fit.values for fit in blind]) - truth)[:, 4].max() > 0.3
        assert all(a.red_chi2 < 0.2 * b.red_chi2 for a, b in zip(fits, blind, strict=True))


def test_chi2_is_that_of_the_best_amount(model: LabelModel):
    """Against a minimisation over the amount by hand, at random places."""
    rng = np.random.default_rng(4)
    emulator, labels = Emulator(model.network, model.wave), labels_of(model, *STARS)
    n_pix = len(model.wave)
    extra = (rng.normal(size=(3, n_pix)) * 0.01).astype(np.float32)
    flux = model.network.flux(labels) + rng.normal(size=(3, n_pix)) * 0.02 + 0.8 * extra
    weight = rng.uniform(0, 4000, (3, n_pix)).astype(np.float32)
    ratio = np.ones_like(weight)
    plain = NormalEquations.build(emulator, flux, weight, ratio, labels)
    freed = NormalEquations.build(emulator, flux, weight, ratio, labels, extra)
    step = rng.normal(size=plain.linear.shape) * 0.01
    slope = emulator.velocity_derivative(model.network.flux(labels))
    for i in range(3):
        here = flux[i] - model.network.flux(labels)[i] - model.network.basis @ step[i, :-1] - slope[i] * step[i, -1]
        amount = np.linspace(-20, 20, 40001)
        w = weight[i].astype(float)
        chi2 = w @ here**2 - 2 * amount * (w @ (here * extra[i])) + amount**2 * (1 + w @ extra[i].astype(float) ** 2)

        def cost(e: NormalEquations, i: int = i) -> float:
            return float(e.constant[i] - 2 * e.linear[i] @ step[i] + step[i] @ e.matrix[i] @ step[i])

        assert cost(plain) == pytest.approx(w @ here**2, rel=1e-4)
        assert cost(freed) == pytest.approx(chi2.min(), rel=1e-4)
        assert cost(freed) < cost(plain) - 50.0


def test_looking_computed_is_a_remark_and_no_blame(model: LabelModel, computed: LabelModel):
    """Labels of computed spectra come out right, so their quality is that of all others."""
    spectra = observed(computed, labels_of(model, *STARS), 20.0, snr=200.0)
    for spectrum, fit in zip(spectra, fit_labels(spectra, model, Settings()), strict=True):
        assert "looks computed" in fit.note
        assert "computed" not in judge(spectrum, fit, model, Settings())[1]
