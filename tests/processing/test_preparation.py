"""Preparation against formulas, Monte Carlo and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from processing.errors import StellacubeError
from processing.preparation import masks
from processing.preparation.air import SPEED_OF_LIGHT, shifted, to_air, to_vacuum
from processing.preparation.clean import clean_sky_lines
from processing.preparation.continuum import ContinuumOperator
from processing.preparation.lsf import broadening_matrix, degrading_resampler, eq1_sigma, lsf_fwhm
from processing.preparation.resample import Resampler, edges_of, log_grid, rebinning_matrix, smoothing_matrix
from processing.settings import PreparationSettings

WAVE = np.arange(4750.0, 9300.0, 1.25)
GRID = log_grid(4760.0, 8740.0)


def gaussian(wave: np.ndarray, centre: float, fwhm: float) -> np.ndarray:
    return np.exp(-0.5 * ((wave - centre) / (fwhm / 2.35482)) ** 2)


def measured_fwhm(wave: np.ndarray, flux: np.ndarray) -> float:
    """Return the FWHM from the second moment."""
    weight = flux * np.gradient(wave)
    centre = (weight * wave).sum() / weight.sum()
    return 2.35482 * float(np.sqrt((weight * (wave - centre) ** 2).sum() / weight.sum()))


def test_muse_is_coarser_than_lamost_below_5153():
    wave = np.arange(4750.0, 9300.0, 0.5)
    sigma, coarser = eq1_sigma(lsf_fwhm("lamost", wave), lsf_fwhm("muse-udf10", wave))
    assert wave[coarser].max() == pytest.approx(5153, abs=1)
    assert (sigma[coarser] == 0).all()
    at_7000 = np.searchsorted(wave, 7000.0)
    by_hand = np.sqrt((7000 / 1800) ** 2 - (5.866e-8 * 7000**2 - 9.187e-4 * 7000 + 6.040) ** 2) / 2.35482
    assert sigma[at_7000] == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("centre", [5300.0, 5600.0, 7000.0, 8500.0])
def test_a_line_reaches_the_resolution_asked_for(centre):
    fwhm_in = lsf_fwhm("muse-udf10", WAVE)
    line = gaussian(WAVE, centre + 0.4, float(np.interp(centre, WAVE, fwhm_in)))
    resampler, reached, coarser = degrading_resampler(WAVE, fwhm_in, GRID, GRID / 1800)
    out, _ = resampler.apply(line, np.ones_like(line))
    assert measured_fwhm(GRID, out) == pytest.approx(centre / 1800, rel=0.004)
    near = np.abs(GRID - centre) < 20
    np.testing.assert_allclose(reached[near], GRID[near] / 1800, rtol=1e-3)
    assert not coarser[near].any()


def test_where_the_input_is_coarser_the_model_follows_it():
    centre, fwhm_in = 4900.0, lsf_fwhm("muse-udf10", WAVE)
    line = gaussian(WAVE, centre, float(np.interp(centre, WAVE, fwhm_in)))
    resampler, reached, coarser = degrading_resampler(WAVE, fwhm_in, GRID, GRID / 1800)
    prepared, _ = resampler.apply(line, np.ones_like(line))
    assert coarser[np.abs(GRID - centre) < 20].all()
    sharp = gaussian(GRID, centre, centre / 1800)
    model = broadening_matrix(GRID, GRID / 1800, reached) @ sharp
    expected = prepared / prepared.sum() * model.sum()
    np.testing.assert_allclose(model, expected, atol=0.01)
    assert np.abs(sharp - expected).max() > 0.05


def test_published_mode_leaves_coarser_pixels_alone():
    fwhm_in = lsf_fwhm("muse-udf10", WAVE)
    resampler, _, coarser = degrading_resampler(WAVE, fwhm_in, GRID, GRID / 1800, mode="published")
    plain = rebinning_matrix(WAVE, GRID)
    rows = np.flatnonzero(coarser & (GRID < 5140))
    assert abs(resampler.matrix[rows] - plain[rows]).max() < 1e-12


def test_rebinning_conserves_flux_and_places_lines():
    rng = np.random.default_rng(3)
    flux = np.convolve(rng.normal(size=WAVE.size), np.exp(-0.5 * (np.arange(-6, 7) / 1.1) ** 2), "same") + 20
    out = rebinning_matrix(WAVE, GRID) @ flux
    total = (out * np.diff(edges_of(GRID))).sum()
    borders = np.concatenate([[0], np.cumsum(flux * 1.25)])
    inside = np.interp(edges_of(GRID)[[0, -1]], edges_of(WAVE), borders)
    assert total == pytest.approx(np.diff(inside)[0], rel=1e-5)
    line = gaussian(WAVE, 6001.3, 2.6)
    back = rebinning_matrix(WAVE, GRID) @ line
    assert (back * GRID).sum() / back.sum() == pytest.approx(6001.3, abs=0.01)


def test_smoothing_has_the_variance_asked_for_however_narrow():
    for variance in (0.05, 0.3, 0.6, 4.0):
        row = smoothing_matrix(np.full(101, variance))[[50]].toarray()[0]
        offset = np.arange(101) - 50
        assert row.sum() == pytest.approx(1.0, abs=1e-4)
        assert (row * offset**2).sum() == pytest.approx(variance, rel=2e-3)


@pytest.fixture(scope="module")
def muse_resampler() -> Resampler:
    return degrading_resampler(WAVE, lsf_fwhm("muse-udf10", WAVE), GRID, GRID / 1800)[0]


def test_variance_and_covariance_agree_with_monte_carlo(muse_resampler):
    rng = np.random.default_rng(5)
    error = rng.uniform(0.5, 2.0, WAVE.size)
    good = rng.random(WAVE.size) > 0.003
    ivar = np.where(good, error**-2, 0)
    noise = rng.normal(size=(3000, WAVE.size)) * error
    noise[:, ~good] = 1e6
    out, out_ivar = muse_resampler.apply(noise, np.broadcast_to(ivar, noise.shape))
    used = out_ivar[0] > 0
    assert used.mean() > 0.9
    ratio = out[:, used].var(axis=0) * out_ivar[0, used]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.01)
    assert np.abs(ratio - 1).max() < 0.15  # 2.6 % is the scatter of one variance from 3000 draws
    vectors = rng.normal(size=(GRID.size, 3)) * used[:, None]
    vectors = np.cumsum(vectors, axis=0) * used[:, None] / 30  # smooth ones, that feel correlations
    back = muse_resampler.adjoint(vectors, good)
    predicted = (back**2 * error[:, None] ** 2).sum(axis=0)
    measured = (out @ vectors).var(axis=0)
    np.testing.assert_allclose(measured, predicted, rtol=0.1)


def test_a_pixel_is_masked_with_a_tenth_of_its_kernel(muse_resampler):
    flux, ivar = np.ones(WAVE.size), np.ones(WAVE.size)
    bad = np.searchsorted(WAVE, 7000.0)
    flux[bad], ivar[bad] = np.nan, 0
    out, out_ivar = muse_resampler.apply(flux, ivar)
    lost = muse_resampler.lost(ivar == 0)
    inner = (GRID > 4800) & (GRID < 8700)
    np.testing.assert_array_equal(out_ivar[inner] == 0, lost[inner] > 0.1)
    assert 1 <= (out_ivar[inner] == 0).sum() <= 6
    np.testing.assert_allclose(out[out_ivar > 0], 1.0, atol=1e-9)


def test_pixels_outside_the_input_are_masked():
    resampler = Resampler(rebinning_matrix(np.arange(5000.0, 6000.0, 1.25), GRID))
    flux = np.ones(800)
    _, ivar = resampler.apply(flux, flux)
    assert not ivar[(GRID < 4999) | (GRID > 6000)].any()
    assert ivar[(GRID > 5003) & (GRID < 5995)].all()


def test_continuum_is_the_sum_of_its_definition():
    rng = np.random.default_rng(7)
    flux = rng.uniform(0.5, 1.5, (2, GRID.size))
    weight = (rng.random((2, GRID.size)) > 0.3).astype(float)
    weight[:, 500:700] = 0
    kernel = np.exp(-(((GRID[:, None] - GRID) / 50.0) ** 2))
    expected = (flux * weight) @ kernel / (weight @ kernel)
    result = ContinuumOperator(flatten=-1).continuum(GRID, flux, weight)
    reached = weight @ kernel > 1e-2
    np.testing.assert_allclose(result[reached], expected[reached], rtol=3e-5)


def test_continuum_does_not_depend_on_the_batch_or_on_the_slope():
    rng = np.random.default_rng(8)
    lines = 1 - 0.3 * rng.random((5, GRID.size)) ** 6
    operator = ContinuumOperator()
    ivar = np.ones_like(lines)
    together = operator.normalise(GRID, lines, ivar)[0]
    alone = operator.normalise(GRID, lines[3], ivar[3])[0]
    np.testing.assert_allclose(alone, together[3], atol=2e-6)
    reddened = operator.normalise(GRID, lines * (GRID / 6000) ** 4, ivar)[0]
    np.testing.assert_allclose(reddened, together, atol=1e-3)
    plain = ContinuumOperator(flatten=-1)
    drawn = plain.normalise(GRID, lines * (GRID / 6000) ** 4, ivar)[0] - plain.normalise(GRID, lines, ivar)[0]
    assert np.abs(drawn[:, [0, -1]]).max() > 0.01


def test_masked_pixels_take_no_part_in_the_continuum():
    rng = np.random.default_rng(9)
    flux = rng.uniform(0.8, 1.2, GRID.size)
    ivar = np.ones(GRID.size)
    ivar[1000:1050] = 0
    spoiled = flux.copy()
    spoiled[1000:1050] = 1e5
    operator = ContinuumOperator()
    for before, after in zip(
        operator.normalise(GRID, flux, ivar), operator.normalise(GRID, spoiled, ivar), strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_air_and_vacuum():
    assert to_air(np.array([6564.614])) == pytest.approx(6562.801, abs=2e-3)  # H-alpha, NIST
    assert to_vacuum(np.array([5000.0])) == pytest.approx(5001.395, abs=2e-3)
    wave = np.linspace(4700, 9400, 50)
    np.testing.assert_allclose(to_air(to_vacuum(wave)), wave, rtol=1e-12)
    offset = (to_vacuum(wave) / wave - 1) * SPEED_OF_LIGHT
    assert offset.mean() == pytest.approx(83, abs=0.5)


def test_shift_acts_on_vacuum_wavelengths():
    wave = np.array([5000.0])
    moved = shifted(wave, "vacuum", 300.0, "vacuum")
    assert moved[0] == pytest.approx(5000 / (1 + 300 / SPEED_OF_LIGHT), rel=1e-12)


def test_telluric_bands_follow_the_barycentric_correction():
    good = np.ones(WAVE.size, bool)
    settings = PreparationSettings()
    still = masks.observed_mask(WAVE, good, np.nan, settings, dichroic=False)
    moved = masks.observed_mask(WAVE, good, 30.0, settings, dichroic=False)
    first = [WAVE[(mask & masks.TELLURIC) > 0].min() for mask in (still, moved)]
    assert first[0] == pytest.approx(6270, abs=1.25)
    assert first[1] - first[0] == pytest.approx(6270 * 30 / SPEED_OF_LIGHT, abs=1.25)


def test_masks_name_their_reasons():
    good = np.ones(WAVE.size, bool)
    good[(WAVE > 5805) & (WAVE < 5966)] = False
    settings = PreparationSettings(masks=((6500.0, 6510.0),), telluric="narrow")
    reason = masks.observed_mask(WAVE, good, 0.0, settings, dichroic=True)
    counts = masks.reasons_of(reason)
    assert {"no data", "telluric band", "user's mask"} <= set(counts)
    assert reason[np.searchsorted(WAVE, 5900)] == masks.NO_DATA | masks.AO | masks.DICHROIC
    assert reason[np.searchsorted(WAVE, 6505)] == masks.USER
    whole = masks.observed_mask(WAVE, np.ones_like(good), 0.0, settings, dichroic=False)
    assert not (whole & (masks.AO | masks.DICHROIC)).any()


def test_sky_residuals_are_replaced_and_the_calcium_triplet_is_not_touched():
    rng = np.random.default_rng(4)
    fwhm = lsf_fwhm("muse-udf10", WAVE)
    star = 100.0 * (1 - sum(0.6 * gaussian(WAVE, centre, 4.0) for centre in (8498.0, 8542.1, 8662.1, 6562.8, 5889.9)))
    residual = sum(60.0 * gaussian(WAVE, centre, 2.6) for centre in (5577.34, 6300.30, 7913.71, 8430.17))
    flux = star + residual + rng.normal(size=WAVE.size)
    ivar = np.ones(WAVE.size)
    cleaned, raised, replaced = clean_sky_lines(WAVE, flux, ivar, fwhm, 0.0)
    assert 8 <= replaced.sum() <= 24
    at_triplet = (WAVE > 8480) & (WAVE < 8700)
    assert not replaced[at_triplet].any()
    peak = residual > 30
    assert replaced[peak].all()
    assert np.abs(cleaned - star)[peak].max() < 6
    assert (raised[peak] ** -0.5 > 0.8 * residual[peak]).all()
    np.testing.assert_array_equal(cleaned[~replaced], flux[~replaced])
    untouched = clean_sky_lines(WAVE, star + rng.normal(size=WAVE.size), ivar, fwhm, 0.0)[2]
    assert not untouched.any()


def test_lsf_names(tmp_path):
    wave = np.array([5000.0, 7000.0])
    np.testing.assert_allclose(lsf_fwhm("3.2", wave), 3.2)
    np.testing.assert_allclose(lsf_fwhm("R=2000", wave), wave / 2000)
    table = tmp_path / "lsf.txt"
    table.write_text("# wave fwhm\n4000 2.0\n8000 4.0\n")
    np.testing.assert_allclose(lsf_fwhm(str(table), wave), [2.5, 3.5])


@pytest.mark.parametrize("name", ["nothing.txt", "R=-3", "0"])
def test_an_unknown_lsf_is_a_sentence(name):
    with pytest.raises(StellacubeError, match="line spread function"):
        lsf_fwhm(name, WAVE)


def test_a_table_that_is_none_is_a_sentence(tmp_path):
    table = tmp_path / "lsf.txt"
    table.write_text("a b\nc d\n")
    with pytest.raises(StellacubeError, match="cannot be read"):
        lsf_fwhm(str(table), WAVE)
