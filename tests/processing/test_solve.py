"""The simultaneous solve against dense linear algebra, optimal photometry and the truth of synthetic fields."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from star_fields import Field, make_field

from processing.errors import Cancelled
from processing.extraction.automatic import WIDE
from processing.extraction.covariance import neighbour_correlations
from processing.extraction.layer_model import StarField, Unresolved
from processing.extraction.linear import background_matrix, narrowest_order
from processing.extraction.psf import PsfModel, constant_psf
from processing.extraction.solve import solve_batch, solve_cube

WAVE = np.arange(6000.0, 6000.0 + 64 * 12.5, 12.5)


SLOW = {"fwhm": (4.02, 3.98), "beta": (2.5, 2.52), "drift": (0.02, -0.01)}
"""Change of the PSF over `WAVE` about as fast as in a MUSE cube."""


def true_psf(made: Field) -> PsfModel:
    """Return the PSF the field was made with."""
    truth, psf = made.truth, constant_psf("moffat", 1.0, 2.0, made.wave, 0.0, 0.0)
    coefficients = np.zeros((psf.coefficients.shape[0], 2))
    rows = {0: truth["fwhm"], 1: truth["beta"], 4: (0.0, truth["drift"][0]), 5: (0.0, truth["drift"][1])}
    for row, (first, last) in rows.items():
        coefficients[row] = (first + last) / 2, (last - first) / 2
    coefficients[2, 0], coefficients[3, 0] = truth["e1"], truth["e2"]
    return replace(psf, coefficients=coefficients)


def stars_of(made: Field, **settings) -> StarField:
    return StarField(made.x, made.y, true_psf(made), made.shape[1:], 15.0, replace(WIDE.solve, **settings))


@pytest.fixture(scope="module")
def field() -> Field:
    return make_field(seed=1, n_star=40, wave=WAVE, **SLOW)


def test_fluxes_and_errors_are_those_of_dense_least_squares(field):
    block = solve_batch(
        stars_of(field, far_wings=False, sky="patches", sky_patch=30), field.data[:9], field.ivar[:9], WAVE[:9]
    )
    psf, used = true_psf(field), (field.ivar[:9] > 0).any(0)
    sky = background_matrix(used, "patches", 30).toarray()
    for i in (0, 4, 8):
        good = field.ivar[i][used] > 0
        columns = []
        yy, xx = np.indices(field.shape[1:])
        centre = psf.positions(field.x, field.y, WAVE[4])  # stamps are laid out around the middle of the batch
        for k in range(field.x.size):
            near = (xx - np.rint(centre[0][k])) ** 2 + (yy - np.rint(centre[1][k])) ** 2 <= 15.0**2
            columns.append((psf.stamp(field.x[k], field.y[k], WAVE[i], field.shape[1:]) * near)[used][good])
        design = np.stack([*columns, *sky[:, good]], axis=1)
        weight = field.ivar[i][used][good].astype(float)
        normal = design.T @ (weight[:, None] * design)
        expected = np.linalg.solve(normal, design.T @ (weight * field.data[i][used][good]))
        sigma = np.sqrt(np.diag(np.linalg.inv(normal)))
        n = field.x.size
        assert np.abs((block["flux"][:, i] - expected[:n]) / sigma[:n]).max() < 0.02
        np.testing.assert_allclose(block["sky"][:, i], expected[n:], atol=0.05 * sigma[n:].max())
        np.testing.assert_allclose(block["ivar"][:, i], sigma[:n] ** -2, rtol=0.03)


def test_one_star_without_sky_is_optimal_photometry():
    made = make_field(
        positions=([30.2], [29.6]), magnitudes=[18.0], wave=WAVE[:4], sky=0.0, **{**SLOW, "drift": (0.0, 0.0)}
    )
    block = solve_batch(stars_of(made, far_wings=False, sky="none"), made.data, made.ivar, made.wave)
    psf = true_psf(made)
    yy, xx = np.indices(made.shape[1:])
    near = (xx - 30) ** 2 + (yy - 30) ** 2 <= 15.0**2
    for i in range(4):
        p = psf.stamp(30.2, 29.6, made.wave[i], made.shape[1:]) * near
        weight = made.ivar[i].astype(float)
        assert block["ivar"][0, i] == pytest.approx((weight * p * p).sum(), rel=0.01)
        expected = (weight * p * made.data[i]).sum() / (weight * p * p).sum()
        assert block["flux"][0, i] == pytest.approx(expected, rel=1e-4)


def test_bright_stars_are_unbiased_and_pulls_are_one(field):
    solution = solve_cube(field, stars_of(field), workers=2)
    pull = (solution.flux - field.flux) * np.sqrt(solution.ivar)
    assert 0.97 < np.nanstd(pull) < 1.03
    assert abs(np.nanmean(pull)) < 0.05
    weight = solution.ivar * field.flux**2
    bright = np.argsort(field.mag)[:10]
    bias = np.nansum(weight[bright] * (solution.flux / field.flux - 1)[bright]) / weight[bright].sum()
    assert abs(bias) < 1e-3
    np.testing.assert_allclose(np.nanstd(pull, axis=1), 1.0, atol=0.4)
    assert (solution.chi < 1.05).all()
    assert np.abs(np.nanmean(solution.residual)) < 0.1


def test_contamination_and_n_eff_tell_a_blend_from_a_lonely_star():
    made = make_field(positions=([15.0, 42.0, 45.0], [15.0, 45.0, 45.0]), magnitudes=[17.0, 17.0, 17.0], wave=WAVE[:32])
    solution = solve_cube(made, stars_of(made))
    assert solution.contamination[0] < 0.01
    assert solution.n_eff[0] == pytest.approx(1.0, abs=0.02)
    assert (solution.contamination[1:] > 0.2).all()
    assert (solution.n_eff[1:] > 1.5).all()


@pytest.mark.parametrize("difference", [0.0, 2.0])
def test_a_blend_at_one_fwhm_is_unbiased(difference):
    made = make_field(
        positions=([28.0, 32.0], [30.0, 30.0]), magnitudes=[17.0, 17.0 + difference], wave=WAVE, **SLOW, e=0.0
    )
    solution = solve_cube(made, stars_of(made))
    pull = (solution.flux - made.flux) * np.sqrt(solution.ivar)
    assert (np.abs(np.nanmean(pull, axis=1)) < 4 / np.sqrt(WAVE.size)).all()
    np.testing.assert_allclose(np.nanstd(pull, axis=1), 1.0, atol=0.3)


def test_batches_do_not_change_the_result(field):
    small = solve_cube(field, stars_of(field, layers_per_batch=8, sky="constant"))
    large = solve_cube(field, stars_of(field, layers_per_batch=64, sky="constant"))
    assert np.nanmax(np.abs(small.flux - large.flux) * np.sqrt(large.ivar)) < 0.1


def test_far_wings_keep_sky_and_faint_stars_right():
    rng = np.random.default_rng(2)
    x, y = rng.uniform(3, 77, (2, 150))
    mags = np.where(np.arange(150) < 6, 14.0, 19.5)
    made = make_field(positions=(x, y), magnitudes=mags, shape=(80, 80), wave=WAVE[:8], noise=False, reach=75, **SLOW)
    errors = {}
    for wings in (False, True):
        block = solve_batch(stars_of(made, far_wings=wings), made.data, made.ivar, made.wave)
        errors[wings] = np.abs(block["flux"] / made.flux - 1)[6:].mean()
        sky = np.abs(block["sky"] / made.truth["sky"][:8] - 1).max()
    assert errors[True] < 0.2 * errors[False]
    assert sky < 0.01


def test_unresolved_stars_no_longer_bias_the_others():
    rng = np.random.default_rng(5)
    x, y = rng.uniform(3, 57, (2, 130))
    mags = np.where(np.arange(130) < 10, 19.0, 22.5)
    made = make_field(positions=(x, y), magnitudes=mags, wave=WAVE[:4], noise=False, **SLOW)
    bright = StarField(x[:10], y[:10], true_psf(made), made.shape[1:], 15.0, WIDE.solve)
    faint = Unresolved(x[10:], y[10:], made.flux[10:].mean(1) * rng.lognormal(0.0, 0.3, 120))
    error = []
    for stars in (bright, replace(bright, unresolved=faint)):
        block = solve_batch(stars, made.data, made.ivar, made.wave)
        error.append(np.sqrt(np.mean((block["flux"] / made.flux[:10] - 1) ** 2)))
    assert error[1] < 0.5 * error[0]


def test_masked_layers_and_stars_have_no_flux_and_hurt_nobody(field):
    ivar, data = field.ivar[:16].copy(), field.data[:16].copy()
    ivar[3] = 0.0
    star = int(np.argsort(field.mag)[3])
    yy, xx = np.indices(field.shape[1:])
    ivar[7][np.hypot(xx - field.x[star], yy - field.y[star]) < 12] = 0.0
    data[ivar == 0] = 0.0
    block = solve_batch(stars_of(field), data, ivar, WAVE[:16])
    assert (block["ivar"][:, 3] == 0).all()
    assert np.isnan(block["flux"][:, 3]).all()
    assert block["ivar"][star, 7] == 0
    good = block["ivar"] > 0
    assert good[star].sum() == 14
    pull = ((block["flux"] - field.flux[:, :16]) * np.sqrt(block["ivar"]))[good]
    assert np.std(pull) < 1.15
    assert np.abs(pull).max() < 6


def test_an_empty_batch_gives_nothing(field):
    nothing = np.zeros_like(field.data[:4])
    block = solve_batch(stars_of(field), nothing, nothing, WAVE[:4])
    assert (block["ivar"] == 0).all()


def test_cosmic_rays_are_left_out(field):
    data = field.data[:16].copy()
    star = int(np.argsort(field.mag)[12])
    x, y = int(field.x[star]) + 3, int(field.y[star])
    clean = solve_batch(stars_of(field), data, field.ivar[:16], WAVE[:16])
    data[5, y, x : x + 2] += 5000.0
    hit = solve_batch(stars_of(field), data, field.ivar[:16], WAVE[:16])
    shift = np.abs(hit["flux"] - clean["flux"])[star, 5] * np.sqrt(clean["ivar"][star, 5])
    assert shift < 2.0


def test_cancelling_stops_the_work(field):
    with pytest.raises(Cancelled):
        solve_cube(field, stars_of(field), cancelled=lambda: True)


def test_ordering_keeps_the_band_narrow():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 300, 400), rng.uniform(0, 60, 400)
    order = narrowest_order(x, y, 20.0)
    assert sorted(order) == list(range(400))
    close = (
        np.abs(np.subtract.outer(x[order], x[order])) ** 2 + np.abs(np.subtract.outer(y[order], y[order])) ** 2 < 400
    )
    i, j = np.nonzero(close)
    assert np.abs(i - j).max() < 80


def test_the_sky_is_a_continuous_surface():
    used = np.ones((100, 160), bool)
    used[:, :20] = False
    used[30:60, 60:90] = False
    sky = background_matrix(used, "patches", 50).toarray()
    np.testing.assert_allclose(sky.sum(0), 1.0, atol=1e-6)
    yy, xx = np.nonzero(used)
    plane = 3.0 + 0.02 * xx - 0.05 * yy
    coefficients = np.linalg.lstsq(sky.T, plane, rcond=None)[0]
    np.testing.assert_allclose(sky.T @ coefficients, plane, atol=1e-5)
    assert background_matrix(used, "none", 50).shape[0] == 0
    assert background_matrix(used, "constant", 50).shape[0] == 1


def test_a_sky_that_differs_from_slice_to_slice_is_followed():
    made = make_field(seed=11, n_star=16, wave=WAVE[:8], noise=False, border=0, **SLOW)
    rng = np.random.default_rng(1)
    level = np.repeat(np.repeat(rng.normal(0.0, 20.0, (5, 4)), 12, axis=0), 15, axis=1).astype(np.float32)
    made.data += np.where(made.ivar > 0, level, 0)
    errors = []
    for sky in ("patches", "slices"):
        block = solve_batch(stars_of(made, sky=sky, sky_slices=12), made.data, made.ivar, made.wave)
        errors.append(np.abs((block["flux"] - made.flux[:, :8]) * np.sqrt(block["ivar"])).mean())
    assert block["sky"].shape == (20, 8)
    assert errors[1] < 0.1 * errors[0]


def test_correlations_of_neighbours_are_those_of_repeated_noise():
    made = make_field(positions=([20.0, 24.0, 45.0], [30.0, 30.5, 30.0]), magnitudes=[17.0, 18.0, 17.0], wave=WAVE[:3])
    stars = stars_of(made, sky="constant")
    found = neighbour_correlations(made, stars)
    ((formal,),) = (found.value[(found.first + found.second) == 1],)
    assert not (found.value[(found.first + found.second) != 1] < -0.05).any()
    rng = np.random.default_rng(3)
    sigma = np.where(made.ivar[:1] > 0, 1.0 / np.sqrt(np.where(made.ivar[:1] > 0, made.ivar[:1], 1.0)), 0.0)
    data = sigma * rng.standard_normal((200, *made.shape[1:]), np.float32)
    weight = np.repeat(made.ivar[:1], 200, axis=0)
    block = solve_batch(stars, data, weight, np.full(200, WAVE[0]) + 1e-4 * np.arange(200))
    assert formal == pytest.approx(np.corrcoef(block["flux"][0], block["flux"][1])[0, 1], abs=0.12)
    assert formal < -0.2
