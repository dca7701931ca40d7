"""Distribution of residuals and two spectra compared, against what was put in; the line lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.labels.fit import LabelFit
from processing.labels.residuals import compare, deviations, distribution
from processing.lines import TELLURIC, read_lines
from processing.preparation.air import to_vacuum
from processing.preparation.clean import sky_lines


def fit_of(noise: np.ndarray, error: float) -> LabelFit:
    """Return a fit whose flux lies off its model by some noise."""
    wave = np.linspace(5000.0, 6000.0, noise.size)
    best = (1.0 - 0.3 * np.exp(-0.5 * ((wave - 5500.0) / 40.0) ** 2)).astype(np.float32)
    nothing = np.zeros((2, 2))
    return LabelFit(
        star_id="a", labels=("teff",), values=np.zeros(1), rv=0.0, covariance=nothing, covariance_scaled=nothing,
        error_scale=1.0, red_chi2=1.0, corr_flux=1.0, n_pix=noise.size, n_masked=0, n_replaced=0, n_coarser=0,
        converged=True, extrapolated=False, in_scope=True, wave=wave, flux=(best + noise).astype(np.float32),
        ivar=np.full(noise.size, error**-2, np.float32), best=best, mask_reason=np.zeros(noise.size, np.uint16),
    )  # fmt: skip


def test_the_gaussian_has_the_width_of_the_residuals_whatever_the_outliers():
    rng = np.random.default_rng(4)
    noise = rng.normal(0.005, 0.03, 4000)
    noise[::100] = 1.0
    fit = fit_of(noise, 0.01)
    fit.ivar[5] = 0
    found = distribution(fit)
    assert found is not None
    assert np.isnan(deviations(fit)[5])
    assert found.number == 3999
    assert found.beyond == 40
    assert found.width == pytest.approx(3.0, rel=0.06)
    assert found.middle == pytest.approx(0.5, abs=0.15)
    middles = (found.edges[1:] + found.edges[:-1]) / 2
    assert found.gaussian(middles).sum() == pytest.approx(found.number, rel=1e-3)
    chi2 = ((found.counts - found.gaussian(middles)) ** 2 / np.maximum(found.gaussian(middles), 5)).sum()
    assert chi2 < 2 * middles.size


def test_too_few_residuals_have_no_distribution():
    assert distribution(fit_of(np.ones(20), 0.1)) is None
    assert distribution(fit_of(np.zeros(500), 0.1)) is None


def test_two_spectra_differ_by_what_was_put_between_them():
    rng = np.random.default_rng(5)
    one, two = fit_of(rng.normal(0, 0.01, 3000), 0.01), fit_of(rng.normal(0.02, 0.02, 3000), 0.02)
    two = replace(two, star_id="b")
    two.ivar[100:110] = 0
    result = compare(one, two)
    assert np.isnan(result.difference[100:110]).all()
    assert np.isfinite(result.difference).sum() == 2990
    assert result.median == pytest.approx(-0.02, abs=0.002)
    assert result.scatter == pytest.approx(np.hypot(0.01, 0.02), rel=0.06)
    assert result.chi2 == pytest.approx(1 + 0.02**2 / (0.01**2 + 0.02**2), rel=0.08)


def test_another_grid_and_frame_are_the_same_spectrum():
    one = replace(fit_of(np.zeros(3000), 0.01), star_id="b")
    two = replace(one, star_id="a", wave=to_vacuum(one.wave), frame="vacuum")
    assert np.nanmax(np.abs(compare(one, two).difference)) < 1e-6
    half = replace(one, wave=one.wave[::2], flux=one.flux[::2], best=one.best[::2], ivar=one.ivar[::2])
    assert np.nanmax(np.abs(compare(one, half).difference)) < 1e-4
    apart = replace(one, wave=one.wave + 5000.0)
    assert np.isnan(compare(one, apart).chi2)


def test_two_fits_of_one_star_are_compared_by_their_models():
    one = fit_of(np.random.default_rng(6).normal(0, 0.01, 3000), 0.01)
    two = replace(one, best=one.best + np.float32(0.02), flux=one.flux + 1)
    result = compare(one, replace(two, ivar=np.zeros(3000)))  # masked in the second fit, but known all the same
    np.testing.assert_allclose(result.difference, -0.02, atol=1e-6)
    assert result.chi2 == pytest.approx(4.0, rel=1e-4)


def test_line_lists_are_ordered_and_the_strong_ones_known():
    lines = read_lines("stellar")
    waves = [line.wave for line in lines]
    assert waves == sorted(waves)
    assert {line.name for line in lines if line.strong} == {"Hβ", "Mg b", "Na D", "Hα", "Ca II"}
    np.testing.assert_array_equal([line.wave for line in read_lines("sky")], sky_lines())
    assert all(low < high for _, low, high in TELLURIC)
