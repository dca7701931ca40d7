"""The evidence behind a label can fail: networks that read the wrong lines, and spectra that do not carry a label."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from gradient_stars import linear_model
from hypothesis import given, settings
from hypothesis import strategies as st
from models import tiny_model

from processing.errors import Cancelled
from processing.labels.datasets import Grid, prepare_spectra, read_spectra
from processing.labels.fit import LabelFit, fit_labels
from processing.labels.gradients import check_gradients, cramer_rao, flags, gradient_spectra, informative
from processing.labels.model_file import LabelModel, load_model
from processing.labels.names import SYNTHETIC_ORDER
from processing.labels.scope import outside
from processing.labels.split import held_back
from processing.labels.student import Lesson, StudentSettings, draw_labels, train_student
from processing.labels.templates import Templates
from processing.labels.witness import Emulator, Witness, leave_one_out, reference_gradients
from processing.preparation.lsf import broadening_matrix, degrading_resampler, lsf_fwhm
from processing.settings import EvidenceSettings, PreparationSettings, Settings
from processing.simulation.library import sample_library
from processing.spectrum import StarSpectrum

LIMITS = EvidenceSettings()
BULGE = PreparationSettings(telluric="narrow", wave_min=5991.0)


def fits_at(model: LabelModel, labels: np.ndarray, snr: float = 100.0, **entries: object) -> list[LabelFit]:
    """Return fits that found these labels, with a random third of the pixels masked."""
    rng = np.random.default_rng(4)
    n_label, n_pix = len(model.labels), model.wave.size
    fits = []
    for row, flux in zip(labels, model.network.flux(labels), strict=True):
        values = {
            "values": row, "rv": 0.0, "covariance": np.eye(n_label + 1), "covariance_scaled": np.eye(n_label + 1),
            "error_scale": 1.0, "red_chi2": 1.0, "corr_flux": 1.0, "n_pix": n_pix, "n_masked": 0, "n_replaced": 0,
            "n_coarser": 0, "converged": True, "extrapolated": False, "in_scope": True, "wave": model.wave,
            "flux": flux, "best": flux, "mask_reason": np.zeros(n_pix, np.uint8),
            "ivar": np.where(rng.random(n_pix) < 0.67, snr**2 * rng.uniform(0.5, 2, n_pix), 0).astype(np.float32),
        }  # fmt: skip
        fits.append(LabelFit("star", model.labels, **(values | entries)))
    return fits


@cache
def shipped() -> LabelModel:
    return load_model("physical")


def sample(snr: float, chosen: np.ndarray, too_small: float = 1.0) -> list[StarSpectrum]:
    """Return noisy MUSE spectra of the sample, whose errors are `too_small` by that factor."""
    library = sample_library()
    wave = np.arange(4750.0, 9300.0, 1.25)
    fwhm = lsf_fwhm("muse-udf10", wave)
    resampler, _, _ = degrading_resampler(library.wave, library.fwhm, wave, fwhm)
    flux, _ = resampler.apply(library.flux[chosen], np.ones_like(library.flux[chosen]))
    flux /= np.median(flux, axis=1, keepdims=True)
    noise = np.random.default_rng(2).normal(size=flux.shape) / snr
    ivar = np.full(wave.size, (snr * too_small) ** 2, np.float32)
    return [StarSpectrum(str(i), wave, row.astype("f4"), ivar, lsf_fwhm=fwhm) for i, row in enumerate(flux + noise)]


def k_giants() -> np.ndarray:
    teff, logg, iron = sample_library().labels[:, :3].T
    return (teff < 5400) & (logg < 3.5) & (iron > -1.0)


def rates(snr: float, preparation: PreparationSettings, too_small: float = 1.0) -> dict[str, tuple[float, float]]:
    """Return the fraction of the sample's K giants with a flag, and with information, of each label."""
    choices = Settings(preparation=preparation)
    model = shipped()
    fits = check_gradients(fit_labels(sample(snr, k_giants(), too_small), model, choices), model, choices)
    good = np.mean([flags(fit, LIMITS) for fit in fits], axis=0)
    known = np.mean([informative(fit, LIMITS) for fit in fits], axis=0)
    return dict(zip(model.labels, zip(good, known, strict=True), strict=True))


# The gradient check


def test_correlations_are_those_of_the_definition():
    """Against numpy's Pearson correlation, star by star and label by label, over each star's own pixels."""
    model = tiny_model()
    stars = model.training_labels[5:9].astype(float)
    coarse = 1.5 * model.lsf_fwhm
    fits = check_gradients(fits_at(model, stars, lsf_fwhm=coarse), model, Settings())
    broad = broadening_matrix(model.wave, model.lsf_fwhm, coarse).toarray()
    network = np.einsum("pq,nql->nlp", broad, model.network.flux_and_jacobian(stars)[1])
    units = np.array([100.0, 0.2, 0.1])
    for fit, gradients in zip(fits, network, strict=True):
        distance = np.linalg.norm((model.templates.labels[:, :3] - fit.values[:3]) / units, axis=1)
        physical = model.templates.gradients()[distance.argmin()] @ broad.T
        assert fit.grad_distance == pytest.approx(distance.min())
        used = fit.ivar > 0
        expected = [np.corrcoef(a[used], b[used])[0, 1] for a, b in zip(gradients, physical, strict=True)]
        assert fit.gradcorr == pytest.approx(expected, abs=1e-4)
        a, b, w = gradients.astype(float), physical.astype(float), fit.ivar.astype(float)
        cosine = (w * a * b).sum(1) / np.sqrt((w * a * a).sum(1) * (w * b * b).sum(1))
        assert fit.gradcorr_info == pytest.approx(cosine, abs=1e-4)


def test_a_network_that_is_the_physical_model_passes(shared):
    model = linear_model(shared, "rc")
    slopes = model.network.flux_and_jacobian(model.training_labels)[1].transpose(0, 2, 1)
    model = replace(model, templates=Templates.of(("rc",), model.training_labels, slopes))
    (fit,) = check_gradients(fits_at(model, model.training_labels + np.eye(19)[1] * 0.4), model, Settings())
    assert fit.gradcorr == pytest.approx(1.0, abs=1e-3)
    assert fit.grad_distance == pytest.approx(2.0)
    assert flags(fit, LIMITS).all()


def test_a_network_taught_with_one_label_shuffled_is_found_out():
    """Two small networks learn the same spectra; one of them gets the wrong stars' [Mg/Fe]."""
    teacher = shipped()
    rng = np.random.default_rng(3)
    labels = draw_labels(teacher.training_labels.astype(float), teacher.labels, 10_000, rng)
    network = teacher.network.compressed(labels, 30)
    lesson = Lesson(labels, network.bottleneck(labels).astype(float), network.basis, network.offset)
    column = teacher.labels.index("mg_fe")
    wrong = labels.copy()
    wrong[:, column] = rng.permutation(wrong[:, column])
    study = StudentSettings(hidden=(64, 64), steps=500, batch=256, rate=1e-2)
    stars = teacher.training_labels[teacher.training_labels[:, 2] > -1.5][::8].astype(float)
    found = {}
    for name, seen in {"honest": labels, "shuffled": wrong}.items():
        taught = train_student(replace(lesson, labels=seen), teacher.label_min, teacher.label_max, study, 1)
        model = replace(teacher, network=taught)
        fits = check_gradients(fits_at(model, stars), model, Settings())
        found[name] = np.mean([flags(fit, LIMITS) for fit in fits], axis=0)
    assert found["honest"][column] > 0.9
    assert found["shuffled"][column] == 0
    strong = [teacher.labels.index(name) for name in ("teff", "fe_h", "ca_fe")]
    assert (found["shuffled"][strong] > 0.9).all()


def test_shipped_templates_cover_the_stars():
    """4000-7000 K, [Fe/H] -2.5 to 0.5: no training star farther than D = 3 from a template (Eq. 4), or nearly none."""
    model = shipped()
    stars = model.training_labels
    stars = stars[(stars[:, 0] > 4000) & (stars[:, 0] < 7000)]
    _, distance = model.templates.nearest(stars, model.labels)
    assert np.mean(distance < 3) > 0.98
    assert set(model.templates.names) > {"sun", "arct", "rc", "mpg"}


def test_what_cannot_be_checked_is_not_called_good():
    model = tiny_model()
    stars = model.training_labels[:2].astype(float)
    stars[1] = np.nan
    fits = check_gradients(fits_at(model, stars), model, Settings())
    assert np.isnan(fits[1].gradcorr).all()
    assert not flags(fits[1], LIMITS).any()
    assert not informative(fits[1], LIMITS).any()
    bare = replace(model, templates=Templates.none(19, model.wave.size))
    (fit,) = check_gradients(fits_at(bare, stars[:1]), bare, Settings())
    assert np.isnan(fit.gradcorr).all()
    assert np.isnan(fit.grad_distance)
    assert np.isfinite(fit.bound).all()
    assert not flags(fits_at(model, stars[:1])[0], LIMITS).any()
    with pytest.raises(Cancelled):
        check_gradients(fits, model, Settings(), cancelled=lambda: True)


# The information bound


def test_bound_is_that_of_the_inverted_information():
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(2, 5, 400)) * np.array([1e-5, 1, 1, 3, 0.1])[:, None]
    ivar = rng.uniform(0, 1e4, (2, 400))
    bound = cramer_rao(gradients, ivar, np.array([1.0, 3.0]))
    for found, slopes, weight, noise in zip(bound, gradients, ivar, (1, 3), strict=True):
        expected = noise * np.sqrt(np.diag(np.linalg.inv((slopes * weight) @ slopes.T)))
        assert found == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_losing_pixels_never_lowers_a_bound(seed, fraction):
    rng = np.random.default_rng(seed)
    gradients, ivar = rng.normal(size=(1, 6, 200)), rng.uniform(0.1, 10, (1, 200))
    fewer = np.where(rng.random(200) < fraction, ivar, 0)
    one = np.ones(1)
    assert (cramer_rao(gradients, fewer, one) >= cramer_rao(gradients, ivar, one) * (1 - 1e-9)).all()


def test_copper_and_sodium_are_not_claimed_where_there_is_no_information():
    """Na and Cu have their strong lines below 5991 A, Cu weak ones; K giants as in the bulge keep Mg and Fe."""
    bulge, faint = rates(40.0, BULGE), rates(30.0, PreparationSettings())
    assert bulge["cu_fe"][1] == bulge["na_fe"][1] == faint["cu_fe"][1] == 0
    assert min(bulge["mg_fe"][1], bulge["fe_h"][1], faint["mg_fe"][1], faint["fe_h"][1]) == 1
    assert faint["na_fe"][1] == 1
    assert bulge["mg_fe"][0] == bulge["fe_h"][0] == 1
    # The flag has no noise in it: the network does read copper from copper's lines.
    assert faint["cu_fe"][0] > 0.9


def test_errors_that_are_too_small_make_no_information():
    honest, boast = rates(30.0, BULGE), rates(30.0, BULGE, too_small=4.0)
    for name, (_, known) in honest.items():
        assert boast[name][1] == pytest.approx(known, abs=0.2), name


# Extrapolation


@pytest.mark.parametrize(
    ("moved", "errors", "named"),
    [
        ({}, {}, ()),
        ({"teff": 7150.0}, {}, ("teff",)),
        ({"teff": 7150.0}, {"teff": 300.0}, ()),
        ({"fe_h": -1.7}, {}, ("fe_h",)),
        ({"fe_h": -1.55}, {"fe_h": 0.1}, ()),
        ({"cu_fe": 0.599}, {}, ("cu_fe",)),
        ({"cu_fe": 0.599}, {"cu_fe": 0.25}, ()),
        ({"cu_fe": 0.55}, {}, ()),
        ({"teff": 6500.0, "logg": 1.0}, {}, ("teff", "logg", "fe_h")),
    ],
)
def test_only_what_a_spectrum_determines_counts_as_extrapolated(moved, errors, named):
    model = shipped()
    star = {"teff": 4800.0, "logg": 2.5, "fe_h": -0.2, "vmic": 1.5}
    labels = np.array([(star | moved).get(name, 0.0) for name in model.labels])
    sigma = np.array([errors.get(name, 20.0 if name == "teff" else 0.03) for name in model.labels])
    assert outside(model, labels, sigma, LIMITS) == named


@pytest.mark.slow
def test_templates_agree_with_true_gradients_of_stars_left_out(shared):
    """Each reference star's gradients from the other seven and the emulator, against those by synthesis."""
    model = shipped()
    grid = Grid(model.wave, model.lsf_fwhm, model.continuum)
    spectra = prepare_spectra(read_spectra(shared / "data/synthetic/train_*.npz"), grid, "R=10000", SYNTHETIC_ORDER, {})
    spectra = spectra.take(~held_back(len(spectra)))
    stars = reference_gradients(shared / "data/gradients/*.npz", grid, SYNTHETIC_ORDER)
    witness = Witness.of(Emulator.fit(spectra.labels, SYNTHETIC_ORDER, spectra.flux), stars)
    agreement = dict(zip(SYNTHETIC_ORDER, leave_one_out(witness).mean(axis=0), strict=True))
    assert min(agreement[name] for name in ("teff", "logg", "fe_h", "mg_fe", "ca_fe", "na_fe")) > 0.95
    assert min(agreement.values()) > 0.7
    assert np.mean(list(agreement.values())) > 0.91
    shown = model.card["gradient templates"]["correlation with the true gradient, each reference star left out"]
    assert shown == pytest.approx(agreement, abs=2e-3)


def test_the_gradients_that_are_shown_are_those_that_are_compared() -> None:
    model = shipped()
    fit = fits_at(model, model.templates.labels[[7]], lsf_fwhm=np.full(model.wave.size, 3.0))[0]
    (checked,) = check_gradients([fit], model, Settings())
    shown = gradient_spectra(fit, model)
    assert shown.physical is not None
    assert shown.template == model.templates.names[7]
    used = fit.ivar > 0
    for n, agreement in enumerate(checked.gradcorr):
        assert np.corrcoef(shown.network[n][used], shown.physical[n][used])[0, 1] == pytest.approx(agreement, abs=1e-4)


def test_a_model_without_templates_shows_its_own_gradients() -> None:
    model = shipped()
    bare = replace(model, templates=Templates.none(len(model.labels), model.wave.size))
    fit = fits_at(bare, model.templates.labels[[7]])[0]
    shown = gradient_spectra(fit, bare)
    assert shown.physical is None
    _, jacobian = bare.network.flux_and_jacobian(fit.values[None])
    np.testing.assert_allclose(shown.network.T, jacobian[0], rtol=1e-4, atol=1e-7)
