"""The label fit against truth, against scipy, and on what is no star."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mock_spectra import WAVE, labels_of, observable, observed

from processing.errors import Cancelled
from processing.labels.errors import robust_scale
from processing.labels.fit import Batch, LabelFit, fit_labels
from processing.labels.marquardt import Problem, minimise
from processing.labels.model_file import LabelModel, load_model
from processing.labels.normal import Emulator, NormalEquations
from processing.labels.priors import AbundancePrior
from processing.labels.velocity import correlate
from processing.preparation.air import to_vacuum
from processing.preparation.gaps import continuum_ratio
from processing.preparation.masks import NO_DATA, OUTLIER, TELLURIC
from processing.preparation.prepare import Operators, observe, prepare
from processing.preparation.resample import smoothing_matrix
from processing.settings import FitSettings, PreparationSettings, Settings
from processing.spectrum import StarSpectrum

GIANT, DWARF, POOR = (4600.0, 2.3, -0.3, 1.5), (5700.0, 4.3, -0.1, 1.1), (5200.0, 2.6, -1.5, 1.6)
CORE = ("teff", "logg", "fe_h")


@pytest.fixture(scope="module")
def model() -> LabelModel:
    """Return the shipped model without an error of its own: the spectra here come from its network."""
    shipped = load_model("")
    return replace(shipped, scatter=np.zeros_like(shipped.scatter), error=None)


def column(fits: list[LabelFit], name: str) -> np.ndarray:
    return np.array([fit.values[fit.labels.index(name)] for fit in fits])


def same(one: LabelFit, other: LabelFit, within: float = 1e-3) -> None:
    """Assert that two fits agree within a fraction of each error."""
    assert (np.abs(one.values - other.values) < within * one.errors_scaled()).all()
    assert abs(one.rv - other.rv) < within * one.rv_err


def test_velocities_and_labels_come_back(model):
    rng = np.random.default_rng(2)
    truth = labels_of(model, *[GIANT, DWARF, POOR] * 8)
    velocity = rng.uniform(-300, 300, len(truth))
    fits = fit_labels(observed(model, truth, velocity, snr=200, slope=-2.0), model, Settings())
    rv = np.array([fit.rv for fit in fits])
    assert np.abs(rv - velocity).max() < 1.0
    assert all(fit.converged and fit.in_scope for fit in fits)
    for i, name in enumerate(model.labels[:3]):
        error = np.array([fit.errors_scaled()[i] for fit in fits])
        assert np.abs(column(fits, name) - truth[:, i]).max() < 5 * error.max()


@pytest.mark.parametrize("normalised", [False, True])
def test_cross_correlation_alone_is_good_to_a_fraction_of_a_pixel(model, normalised):
    velocity = np.linspace(-590, 590, 12)
    spectra = observed(model, labels_of(model, *[GIANT, DWARF, POOR] * 4), velocity, snr=60, slope=-3.0)
    if normalised:
        spectra = [
            replace(s, flux=s.flux / np.polyval(np.polyfit(WAVE, s.flux, 5), WAVE).astype("f4")) for s in spectra
        ]
    operators = Operators(model, PreparationSettings())
    stars = [observe(spectrum, model, PreparationSettings()) for spectrum in spectra]
    found, _ = correlate(prepare(stars, np.zeros(12), model, operators), model, 600.0)
    assert np.abs(found - velocity).max() < 15.0


def test_pulls_of_noise_realisations(model):
    """Errors mean what they say: labels and velocity of 300 realisations scatter by their errors."""
    truth = np.repeat(labels_of(model, GIANT), 300, axis=0)
    settings = Settings(fit=FitSettings(abundance_prior=0.0))
    fits = fit_labels(observed(model, truth, 37.3, snr=150), model, settings)
    errors = np.array([fit.errors_scaled() for fit in fits])
    tight = [model.labels.index(name) for name in (*CORE, "vmic", "mg_fe", "ca_fe", "ti_fe", "ni_fe", "na_fe", "si_fe")]
    values = np.array([fit.values for fit in fits])
    pulls = ((values - truth) / errors)[:, tight]
    width = (np.percentile(pulls, 84.13, axis=0) - np.percentile(pulls, 15.87, axis=0)) / 2
    assert np.sqrt(np.mean(width**2)) == pytest.approx(1.0, abs=0.1)
    assert ((width > 0.8) & (width < 1.2)).all()
    rv_pull = np.array([(fit.rv - 37.3) / fit.rv_err for fit in fits])
    assert rv_pull.std() == pytest.approx(1.0, abs=0.1)
    assert abs(np.median(pulls, axis=0)).max() < 0.5
    assert np.median([fit.red_chi2 for fit in fits]) == pytest.approx(1.0, abs=0.06)
    assert np.mean([fit.converged for fit in fits]) >= 0.99


def test_the_minimum_is_scipys(model):
    from scipy.optimize import least_squares

    truth = labels_of(model, GIANT, DWARF, POOR)
    stars = [observe(s, model, PreparationSettings()) for s in observed(model, truth, 0.0, snr=80)]
    prepared = prepare(stars, np.zeros(3), model, Operators(model, PreparationSettings()))
    emulator = Emulator(model.network, model.wave)
    ratio = continuum_ratio(prepared, model.network.flux(truth), model)
    prior = AbundancePrior(model.labels, 0.3)
    start = truth + 0.05 * (model.label_max - model.label_min)
    equations = NormalEquations.build(emulator, prepared.flux, prepared.ivar, ratio, truth)
    span = 5 * (model.label_max - model.label_min)
    low, high = model.label_min - span, model.label_max + span
    solution = minimise(Problem(emulator, equations, prior, low, high), np.column_stack([start, [5.0] * 3]), 60)
    assert solution.converged.all()
    scale = np.append(model.label_max - model.label_min, 10.0)
    index = prior.abundances
    for i in range(3):
        direction = ratio[i] * emulator.velocity_derivative(model.network.flux(truth[i : i + 1]))[0]

        def deviations(x: np.ndarray, i: int = i, direction: np.ndarray = direction) -> np.ndarray:
            labels = (x * scale)[None, :-1]
            z = emulator.exact.bottleneck(labels)[0]
            flux = ratio[i] * (model.network.basis.astype(float) @ z + model.network.offset) + x[-1] * 10.0 * direction
            from_prior = (labels - prior.expected(labels))[0, index] / prior.width
            return np.concatenate([(prepared.flux[i] - flux) * np.sqrt(prepared.ivar[i]), from_prior])

        # finite differences, wide enough for labels that the network takes in float32
        exactly = {"jac": "3-point", "diff_step": 1e-3, "xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12}
        best = least_squares(deviations, solution.values[i] / scale + 0.003, **exactly)
        error = np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac))) * scale
        assert (np.abs(best.x * scale - solution.values[i]) < 0.01 * error).all()
        assert solution.cost[i] == pytest.approx(2 * best.cost, rel=1e-4)


def test_a_star_does_not_depend_on_its_neighbours(model):
    truth = labels_of(model, GIANT, DWARF, POOR, (4200.0, 1.0, 0.1, 1.7), (6500.0, 4.1, -0.5, 1.5))
    spectra = observed(model, truth, [10.0, -120.0, 250.0, 0.0, 33.0], snr=50)
    settings = Settings(workers=1)
    together = fit_labels(spectra, model, settings)
    shuffled = fit_labels([spectra[i] for i in (3, 0, 4, 2, 1)], model, replace(settings, workers=2))
    alone = [fit_labels([spectrum], model, settings)[0] for spectrum in spectra]
    for fit in together:
        same(fit, next(other for other in shuffled if other.star_id == fit.star_id))
        same(fit, next(other for other in alone if other.star_id == fit.star_id))


def test_what_is_masked_is_ignored(model):
    (spectrum,) = observed(model, labels_of(model, DWARF), 20.0, snr=80)
    masked = (np.abs(WAVE - 5300) < 30) | (np.abs(WAVE - 8542) < 15)
    ivar = np.where(masked, 0, spectrum.ivar)
    spoiled = np.where(masked, 1e7, spectrum.flux)
    holes = np.where(masked, np.nan, spectrum.flux)
    in_tellurics = np.where(np.abs(WAVE - 7650) < 60, -5e5, spectrum.flux)
    plain, first, second = (replace(spectrum, flux=f.astype("f4"), ivar=ivar) for f in (spectrum.flux, spoiled, holes))
    fits = fit_labels([plain, first, second, replace(plain, flux=in_tellurics)], model, Settings())
    for other in fits[1:]:
        same(fits[0], other)
    assert fits[0].n_pix + fits[0].n_masked == model.wave.size
    at_hole = np.abs(model.wave - 5300) < 25
    assert (fits[0].mask_reason[at_hole] & NO_DATA).all()
    assert np.isnan(fits[0].flux[at_hole]).all()
    assert (fits[0].mask_reason[np.abs(model.wave - 7650) < 50] & TELLURIC).all()


def test_gaps_and_missing_ends_leave_the_labels_alone(model):
    """The pseudo-continuum beside gaps is off by per cents; the model is treated alike."""
    truth = labels_of(model, GIANT, DWARF, (4100.0, 1.2, 0.2, 1.7))
    whole = observed(model, truth, 0.0, snr=1e4, slope=-3.0)
    wide = (WAVE < 5150) | (WAVE > 8000) | ((WAVE > 5803) & (WAVE < 5966))
    narrow = (np.abs(WAVE - 6295) < 25) | (np.abs(WAVE - 6900) < 40)
    settings = PreparationSettings(telluric="none")
    operators = Operators(model, settings)
    best = model.network.flux(truth)
    for cut, gain in ((narrow, 0.4), (wide, 0.85)):  # what lies in a wide gap cannot be known
        stars = [observe(replace(s, ivar=np.where(cut, 0, s.ivar)), model, settings) for s in whole]
        prepared = prepare(stars, np.zeros(3), model, operators)
        ratio = continuum_ratio(prepared, best, model)
        changed = (prepared.ivar > 0) & (np.abs(ratio - 1) > 0.003)
        treated, untreated = (prepared.flux - ratio * best)[changed], (prepared.flux - best)[changed]
        assert changed.any(axis=1).all()
        assert np.sqrt(np.mean(treated**2)) < gain * np.sqrt(np.mean(untreated**2))


def test_a_coarser_input_is_counted_and_followed_or_left_as_published(model):
    (spectrum,) = observed(model, labels_of(model, DWARF), 0.0, snr=3000)
    own = np.interp(WAVE, model.wave, model.lsf_fwhm)
    blurred = replace(spectrum, lsf_fwhm=np.maximum(own, 3.6))
    smooth = smoothing_matrix((np.maximum(3.6**2 - own**2, 0) / 2.35482**2) / 1.25**2)
    blurred = replace(blurred, flux=(smooth @ spectrum.flux).astype("f4"))
    published = Settings(preparation=PreparationSettings(degrade="published"))
    plain, followed, left = (
        fit_labels([star], model, settings)[0]
        for star, settings in ((spectrum, Settings()), (blurred, Settings()), (blurred, published))
    )
    assert plain.n_coarser == 0
    coarser = (model.wave < 6480) & (followed.ivar > 0)
    assert followed.n_coarser == left.n_coarser == pytest.approx(coarser.sum(), rel=0.02)
    truth = labels_of(model, DWARF)[0]
    assert followed.red_chi2 < 0.2 * left.red_chi2
    for name, within in (("teff", 30.0), ("logg", 0.05), ("fe_h", 0.03)):
        assert abs(column([followed], name)[0] - truth[model.labels.index(name)]) < within


def test_vacuum_wavelengths_give_the_same_star(model):
    (spectrum,) = observed(model, labels_of(model, DWARF), -50.0, snr=80)
    vacuum = replace(spectrum, wave=to_vacuum(spectrum.wave), frame="vacuum")
    one, other = fit_labels([spectrum, vacuum], model, Settings())
    same(one, other, 0.05)
    mistaken = fit_labels([replace(vacuum, frame="air")], model, Settings())[0]
    assert mistaken.rv - one.rv == pytest.approx(83, abs=2)


def test_errors_that_are_too_small_are_found_out(model):
    truth = labels_of(model, *[GIANT] * 40)
    spectra = observed(model, truth, 0.0, snr=60)
    right = fit_labels(spectra, model, Settings())
    small = fit_labels([replace(s, ivar=s.ivar * 9) for s in spectra], model, Settings())
    assert np.median([fit.error_scale for fit in small]) == pytest.approx(3.0, abs=0.1)
    assert np.median([fit.red_chi2 for fit in small]) == pytest.approx(9.0, rel=0.08)
    mg = model.labels.index("mg_fe")
    scaled = [np.median([fit.errors_scaled()[mg] for fit in fits]) for fits in (right, small)]
    assert scaled[1] == pytest.approx(scaled[0], rel=0.1)
    formal = [np.median([fit.errors()[mg] for fit in fits]) for fits in (right, small)]
    assert formal[1] == pytest.approx(formal[0] / 3, rel=0.1)


def test_robust_scale_ignores_outliers_and_masked_pixels():
    rng = np.random.default_rng(1)
    values = 2.5 * rng.normal(size=(3, 2600))
    values[1, ::40] = 100.0
    good = rng.random(values.shape) > 0.2
    values[~good] = np.nan
    np.testing.assert_allclose(robust_scale(np.nan_to_num(values, nan=1e9), good), 2.5, rtol=0.08)


def broken(spectrum: StarSpectrum) -> dict[str, StarSpectrum]:
    zero = np.zeros_like(spectrum.flux)
    few = np.where(np.abs(WAVE - 6000) < 30, spectrum.ivar, 0)
    return {
        "nan": replace(spectrum, flux=zero + np.nan),
        "masked": replace(spectrum, ivar=zero),
        "zero": replace(spectrum, flux=zero),
        "few": replace(spectrum, ivar=few),
        "infinite": replace(spectrum, flux=zero + np.inf, ivar=zero + np.inf),
    }


def test_spectra_that_cannot_be_fitted_get_a_sentence_and_harm_no_other(model):
    (star,) = observed(model, labels_of(model, DWARF), 0.0, snr=80)
    bad = broken(star)
    with np.errstate(invalid="ignore"):
        fits = fit_labels([*bad.values(), star], model, Settings())
    for name, fit in zip(bad, fits, strict=False):
        assert np.isnan(fit.values).all(), name
        assert fit.note.endswith("."), name
        assert not fit.in_scope
    assert "pixels can be fitted" in fits[3].note
    same(fits[-1], fit_labels([star], model, Settings())[0])


def test_no_spectra_no_fits(model):
    assert fit_labels([], model, Settings()) == []


def test_objects_that_are_no_such_stars_are_called_out(model):
    star, *_ = observed(model, labels_of(model, DWARF, DWARF), 0.0, snr=80)
    rng = np.random.default_rng(6)
    noise = 10 * rng.normal(size=WAVE.size)
    hydrogen = sum(0.7 * np.exp(-np.abs(WAVE - c) / 12) for c in (4861.3, 6562.8))
    emission = sum(5 * np.exp(-0.5 * ((WAVE - c) / 1.5) ** 2) for c in (4861.3, 4958.9, 5006.8, 6562.8))
    bands = sum(0.6 * ((c - 150 < WAVE) & (c > WAVE)) * (WAVE - c + 150) / 150 for c in (5165.0, 5636.0, 6191.0))
    odd = {
        "hot": 1000 * (1 - hydrogen) * (WAVE / 6000) ** -3,
        "emission": star.flux + 1000 * emission,
        "carbon": 1000 * (1 - bands),
    }
    fits = fit_labels(
        [replace(star, star_id=name, flux=(flux + noise).astype("f4")) for name, flux in odd.items()], model, Settings()
    )
    for fit in fits:
        assert not fit.in_scope, fit.star_id
        assert fit.note, fit.star_id
    assert "emission" in fits[1].note


def test_cosmic_rays_are_left_out(model):
    star = observed(model, labels_of(model, DWARF), 40.0, snr=100)[0]
    hit = star.flux.copy()
    places = np.searchsorted(WAVE, (5210.0, 6105.0, 6640.0, 8600.0))
    hit[places] += np.float32(900)
    hit[places + 1] += np.float32(700)
    hit[places[1] - 20] = 0
    clean, fit = fit_labels([star, replace(star, star_id="hit", flux=hit)], model, Settings())
    assert fit.in_scope
    assert fit.note == ""
    assert np.all(np.abs(fit.values - clean.values) < clean.errors_scaled())
    assert abs(fit.rv - clean.rv) < 0.5 * clean.rv_err
    for wave in WAVE[places]:
        near = np.abs(fit.wave - wave * (1 - 40.0 / 299792.458)) < 1.0
        assert (fit.mask_reason[near] & OUTLIER).all()
    assert not (clean.mask_reason & OUTLIER).any()


def test_extrapolation_is_said(model):
    inside, beyond = labels_of(model, DWARF, DWARF)
    beyond[0] = model.label_max[0] + 0.06 * (model.label_max[0] - model.label_min[0])
    fits = fit_labels(observed(model, np.array([inside, beyond]), 0.0, snr=150), model, Settings())
    assert not fits[0].extrapolated
    assert fits[1].extrapolated
    assert fits[1].values[0] <= model.label_max[0] + 0.1001 * (model.label_max[0] - model.label_min[0])


def test_the_users_wish_to_stop_is_heard(model):
    with pytest.raises(Cancelled):
        fit_labels(observed(model, labels_of(model, DWARF)), model, Settings(), cancelled=lambda: True)


def test_observable_spectra_are_what_the_network_predicts(model):
    """The mock spectra of this file's truth: normalising them returns the network's output."""
    truth = labels_of(model, GIANT, DWARF)
    flux = observable(model, truth, slope=-3.0)
    normal, _, _ = model.continuum.normalise(model.wave, flux, np.ones_like(flux))
    assert np.abs(normal - model.network.flux(truth)).max() < 0.004


def test_what_the_sky_left_is_found_with_either_sign(model):
    """Residuals of airglow lines, too weak for cosmic rays; deep narrow lines of the star itself stay."""
    wave = np.asarray(WAVE)
    (clean,) = observed(model, labels_of(model, GIANT), 0.0, snr=100)
    lines = [7750.64, 7794.11, 7821.50, 7993.33, 8025.81]
    shape = sum((-1) ** i * np.exp(-0.5 * ((wave - line) / 1.1) ** 2) for i, line in enumerate(lines))
    spoilt = replace(clean, flux=(clean.flux * (1 + 0.07 * shape)).astype(np.float32), barycentric=0.0)
    with_list, without_list = (
        fit_labels([spoilt], model, Settings(preparation=PreparationSettings(clean_sky=use)))[0]
        for use in (True, False)
    )
    for line in lines:
        near = np.abs(with_list.wave - line) < 1.5
        assert (with_list.mask_reason[near] & OUTLIER).any()
    assert not (without_list.mask_reason & OUTLIER).any()
    (untouched,) = fit_labels([replace(clean, barycentric=0.0)], model, Settings())
    assert (untouched.mask_reason & OUTLIER > 0).mean() < 0.004


def test_only_what_changed_is_prepared_anew(model, monkeypatch):
    """A star whose velocity and pixels are as they were keeps its spectrum; the others get what `prepare` gives."""
    settings = Settings()
    truth = labels_of(model, GIANT, DWARF, POOR)
    stars = [observe(star, model, settings.preparation) for star in observed(model, truth, [50.0, 60.0, 70.0])]
    batch = Batch(stars, model, settings, Operators(model, settings.preparation), lambda: False)
    batch.bring_to_rest(np.array([50.0, 60.0, 70.0]), truth)
    first = batch.prepared.take(np.arange(3))
    asked = []
    monkeypatch.setattr("processing.labels.fit.prepare", lambda *args: (asked.append(len(args[0])), prepare(*args))[1])
    batch.stars[2] = replace(stars[2], ivar=np.where(np.arange(WAVE.size) % 400 == 0, 0.0, stars[2].ivar))
    velocity = np.array([50.3, 66.0, 70.0])
    batch.bring_to_rest(velocity, truth)
    assert asked == [2]
    anew = prepare(batch.stars, velocity, model, Operators(model, settings.preparation))
    for name in ("flux", "ivar", "continuum", "reason", "velocity"):
        np.testing.assert_array_equal(getattr(batch.prepared, name), getattr(anew, name))
    assert (first.flux[0] == batch.prepared.flux[0]).all()
    assert (first.ivar[2] > 0).sum() > (batch.prepared.ivar[2] > 0).sum()
    batch.bring_to_rest(velocity, truth)
    assert asked == [2]
    assert len(batch.operators.complete) == 3
