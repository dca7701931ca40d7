"""The Cramer-Rao bound against published numbers, an independent formula, and what must always hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gradient_stars import WAVE, gradients, linear_model
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from processing.errors import StellacubeError
from processing.labels.model_file import list_models, load_model
from processing.labels.templates import Templates
from processing.planning.information import (
    PAPER_BULGE_COST,
    PAPER_BULGE_MEAN,
    RANGES,
    abundance_priors,
    cut_costs,
    information_law,
    model_law,
    repeat_factor,
)
from processing.planning.photons import snr_shape

STEADY = settings(deadline=None, derandomize=True)
"""A busy machine fails no test, and every run tries the same examples."""

EVERYWHERE = np.ones(WAVE.size, bool)

# labels.md section 8: Chem-I-Calc's LAMOST K giant at SNR 50 per pixel in g, 3700-9000 A, read off a figure to 5 %.
CHEM_I_CALC = {
    "teff": 10.7, "logg": 0.045, "fe_h": 0.014, "mg_fe": 0.025, "ca_fe": 0.022, "si_fe": 0.036, "ti_fe": 0.033,
    "cr_fe": 0.031, "ni_fe": 0.036, "c_fe": 0.048,
}  # fmt: skip
# labels.md section 4: a 4300 K giant at SNR 100 per A, R = 1800, all 19 labels free, from another program.
GIANT_4300 = {
    "teff": 10, "logg": 0.048, "fe_h": 0.014, "vmic": 0.022, "c_fe": 0.051, "n_fe": 0.067, "o_fe": 0.141,
    "na_fe": 0.022, "mg_fe": 0.014, "al_fe": 0.077, "si_fe": 0.033, "ca_fe": 0.014, "ti_fe": 0.018, "cr_fe": 0.020,
    "mn_fe": 0.046, "co_fe": 0.028, "ni_fe": 0.027, "cu_fe": 0.128, "ba_fe": 0.104,
}  # fmt: skip


def toy(n_pix=60, n_label=4, seed=0):
    """Random gradients, labels, wavelengths: quick to invert."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_pix, n_label)), ("teff", "logg", "fe_h", "mg_fe"), np.linspace(5000.0, 5100.0, n_pix)


def test_against_another_program(shared):
    names, _, _, gradient = gradients(shared, "arct")
    law = information_law(gradient, names, WAVE, EVERYWHERE, shape="flat", factor=1.0)
    sigma = dict(zip(names, law.sigma(100.0 * np.sqrt(1.25)), strict=True))
    ratios = np.array([sigma[name] / value for name, value in GIANT_4300.items()])
    assert np.median(ratios) == pytest.approx(1.0, abs=0.03)
    assert (np.abs(ratios - 1.0) < 0.1).all()


def test_against_chem_i_calc(shared):
    """Our range is 4760-8740 A, theirs 3700-9000 A, which is worth 1.17 (Fig. 8); our pixels are counted as 69 km/s."""
    names, _, _, gradient = gradients(shared, "rc")
    law = information_law(gradient, names, WAVE, EVERYWHERE, factor=1.0)
    per_pixel = np.sqrt(1.25 / np.gradient(WAVE)[0])  # from a LAMOST pixel in g to one of 1.25 A
    median_snr = 50.0 * per_pixel / snr_shape(np.array([4770.0]))[0]
    sigma = dict(zip(names, law.sigma(median_snr), strict=True))
    ratios = np.array([sigma[name] / value for name, value in CHEM_I_CALC.items()])
    assert 1 / 1.5 < np.median(ratios) < 1.5
    assert 0.9 < np.median(ratios) / 1.17 < 1.15
    order = spearmanr([sigma[name] for name in CHEM_I_CALC], list(CHEM_I_CALC.values()))
    assert order.statistic > 0.95


def test_shipped_network_against_chem_i_calc():
    if not list_models():
        pytest.skip("no model is shipped")
    law = model_law(load_model(""), factor=1.0)
    sigma = dict(zip(law.labels, law.sigma(50.0 * np.sqrt(1.25 / 1.1) / snr_shape(np.array([4770.0]))[0]), strict=True))
    ratios = np.array([sigma[name] / value for name, value in CHEM_I_CALC.items()])
    assert 1 / 1.5 < np.median(ratios) < 1.5
    order = spearmanr([sigma[name] for name in CHEM_I_CALC], list(CHEM_I_CALC.values()))
    assert order.statistic > 0.9


def test_labels_that_physics_does_not_support_are_named(shared):
    """A network that claims ten times the nitrogen signal of its own physical template is found out."""
    model = linear_model(shared, "rc")
    names, base, _, gradient = gradients(shared, "rc")
    templates = Templates.of(("rc",), base[None], gradient.T[None])
    honest = replace(model, templates=templates)
    assert "Physical" not in model_law(honest).note
    boast = gradient * np.where(np.array(names) == "n_fe", 10.0, 1.0)
    model = replace(honest, network=replace(model.network, basis=boast.astype(np.float32)))
    note = model_law(model).note
    assert "Physical gradients at 4800 K, 2.5, 0.0 carry much less of [N/Fe] than the network claims" in note


def test_cost_of_the_bulge_cut_is_that_of_figure_8(shared):
    names, _, _, gradient = gradients(shared, "rc")
    left = {"bulge": RANGES["bulge"].contains(WAVE)}
    costs = cut_costs(gradient, names, WAVE, EVERYWHERE, left)["bulge"]
    ours = dict(zip(names, costs, strict=True))
    assert costs.mean() == pytest.approx(PAPER_BULGE_MEAN, rel=0.1)
    for name, factor in PAPER_BULGE_COST.items():
        assert ours[name] == pytest.approx(factor, rel=0.25)
    assert sorted(PAPER_BULGE_COST, key=ours.get)[0] == "cr_fe"


def test_bound_is_the_inverse_of_the_fisher_matrix():
    gradient, names, wave = toy()
    law = information_law(gradient, names, wave, np.ones(60, bool), shape="flat", priors={"logg": 0.2}, factor=2.0)
    for snr in (0.1, 3.0, 200.0):
        weight = (snr / 2.0) ** 2 * np.gradient(wave) / 1.25
        fisher = (gradient * weight[:, None]).T @ gradient + np.diag([0, 0.2**-2, 0, 0])
        assert law.sigma(snr) == pytest.approx(np.sqrt(np.diag(np.linalg.inv(fisher))), rel=1e-9)


@STEADY
@given(
    first=st.lists(st.booleans(), min_size=60, max_size=60),
    second=st.lists(st.booleans(), min_size=60, max_size=60),
    width=st.sampled_from([0.0, 0.1]),
)
def test_fewer_pixels_never_help(first, second, width):
    gradient, names, wave = toy()
    more = np.array(first) | np.array(second)
    less = np.array(first)
    if less.sum() <= 6:
        return
    priors = dict.fromkeys(names, width) if width else None
    wide, narrow = (information_law(gradient, names, wave, use, priors=priors) for use in (more, less))
    assert (narrow.sigma(50.0) >= wide.sigma(50.0) * (1 - 1e-9)).all()


def test_fewer_pixels_never_help_a_real_spectrum(shared):
    model = linear_model(shared, "rc")
    whole = model_law(model, wave_range="nominal").sigma(80.0)
    for name in ("ao", "dichroic", "bulge"):
        assert (model_law(model, wave_range=name).sigma(80.0) >= whole * (1 - 1e-9)).all()


@STEADY
@given(snr=st.floats(0.5, 2000.0), width=st.sampled_from([0.0, 0.3]), floor=st.floats(0.0, 0.02))
def test_round_trip(snr, width, floor):
    gradient, names, wave = toy()
    priors = {"mg_fe": width} if width else None
    law = information_law(gradient, names, wave, np.ones(60, bool), priors=priors)
    wanted = law.sigma(snr, floor)
    assert np.diag(law.sigma(law.snr(wanted, floor), floor)) == pytest.approx(wanted, rel=1e-9)
    assert law.snr(wanted, floor) == pytest.approx(snr, rel=1e-3)  # a prior alone leaves the SNR nearly free


def test_priors_help_and_may_suffice():
    gradient, names, wave = toy()
    use = np.ones(60, bool)
    free = information_law(gradient, names, wave, use)
    held = information_law(gradient, names, wave, use, priors={"mg_fe": 0.05})
    assert (held.sigma(5.0) <= free.sigma(5.0)).all()
    needed = dict(zip(names, held.snr(0.08), strict=True))
    assert needed["mg_fe"] == 0.0
    assert needed["logg"] > 0
    assert np.isinf(held.snr(0.08, 0.09)).all()


def test_what_no_model_reaches_is_named(shared):
    model = linear_model(shared, "rc")
    with pytest.raises(StellacubeError, match="No network reaches BlueMUSE yet"):
        model_law(model, wave_range="bluemuse")
    assert model_law(model, wave_range="extended").note == (
        "No model reaches MUSE extended below 4760 Å and above 8740 Å: that light is left out."
    )
    assert "below" not in model_law(model, wave_range="nominal").note


def test_nonsense_is_refused(shared):
    model = linear_model(shared, "rc")
    with pytest.raises(StellacubeError, match="Teff = 9000 lies outside"):
        model_law(model, teff=9000.0)
    with pytest.raises(StellacubeError, match="no wavelength range called 'blue'"):
        model_law(model, wave_range="blue")
    with pytest.raises(StellacubeError, match="too few"):
        information_law(*toy(), np.arange(60) < 4)
    with pytest.raises(StellacubeError, match="prior on logg cannot be -1"):
        information_law(*toy(), np.ones(60, bool), priors={"logg": -1.0})
    with pytest.raises(StellacubeError, match="no SNR curve"):
        snr_shape(WAVE, "blue")  # type: ignore[arg-type]


def test_snr_curve():
    nominal = np.arange(4750.0, 9350.0, 10.0)
    assert np.median(snr_shape(nominal)) == pytest.approx(1.0)
    assert (snr_shape(nominal, "flat") == 1.0).all()
    blue, peak = snr_shape(np.array([4800.0, 7500.0]))
    assert blue < 0.65 < 1.0 < peak
    hot = snr_shape(np.array([4800.0]), teff=7000.0)[0]
    assert hot > blue


def test_priors_by_name():
    assert abundance_priors(("teff", "fe_h", "mg_fe"), 0.3) == {"mg_fe": 0.3}
    assert abundance_priors(("mg_fe",), 0.0) == {}


def test_repeats_recover_the_inflation():
    rng = np.random.default_rng(3)
    truth, error = rng.normal(size=(4000, 2)), np.array([0.1, 30.0])
    first, second = (truth + 2.0 * error * rng.normal(size=truth.shape) for _ in range(2))
    errors = np.broadcast_to(error, truth.shape)
    assert repeat_factor(first, second, errors, errors) == pytest.approx(2.0, rel=0.05)
    with pytest.raises(StellacubeError, match="three pairs"):
        repeat_factor(first[:2], second[:2], errors[:2], errors[:2])
