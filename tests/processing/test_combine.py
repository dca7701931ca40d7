"""Exposures combined: the mean and its errors are right, outliers go, velocities and flux scales are put right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.combine import combine_exposures, combine_spectra
from processing.cube_header import barycentric_correction
from processing.errors import StellacubeError
from processing.flux_scale import scale_to_list
from processing.preparation.air import observed
from processing.settings import ExposureSettings
from processing.spectra_io import write_spectrum
from processing.spectrum import StarSpectrum

WAVE = 4750.0 + 1.25 * np.arange(3000)
SETTINGS = ExposureSettings(combine=True)


def truth(wave, shift=0.0):
    """Return a spectrum with lines as wide as MUSE's, at wavelengths in the star's frame."""
    at = observed(wave, "air", -shift, "air")
    lines = sum(0.5 * np.exp(-0.5 * ((at - centre) / 1.2) ** 2) for centre in np.arange(4800.0, 8400.0, 23.0))
    return 1000.0 * (1.0 + 2e-5 * (at - 6500.0)) * (1.0 - lines)


def exposure(seed, snr=50.0, star="17", cube=None, scale=1.0, wave=WAVE, shift=0.0, outliers=(), **entries):
    rng = np.random.default_rng(seed)
    flux, error = truth(wave, shift), 1000.0 / snr
    flux = scale * (flux + error * rng.standard_normal(wave.size))
    ivar = np.full(wave.size, 1.0 / (scale * error) ** 2, np.float32)
    flux[list(outliers)] += 60.0 * scale * error
    meta = {"cube": cube or f"night{seed}.fits", "date_obs": "2019-06-01T02:00:00", "contamination": 0.1}
    values = {"ra": 201.7, "dec": -47.48, "mag": 17.0, "barycentric": 11.0} | entries
    return StarSpectrum(star, wave, flux.astype(np.float32), ivar, "air", "count", meta=meta, **values)


def test_the_mean_and_its_error_are_right():
    star = combine_exposures([exposure(1, 40), exposure(2, 80, scale=1.3), exposure(3, 60, scale=0.5)], 5.0)
    level = np.median(star.flux) / np.median(truth(WAVE))
    assert level == pytest.approx(1.3, rel=0.005)  # the scale of the best exposure
    pull = (star.flux / level - truth(WAVE)) * np.sqrt(star.ivar) * level
    assert np.std(pull) == pytest.approx(1.0, abs=0.04)
    assert np.median(star.ivar) * (1000.0 * level) ** 2 == pytest.approx(40**2 + 80**2 + 60**2, rel=0.02)
    assert star.meta["exposure_scatter"] == pytest.approx(1.0, abs=0.05)
    assert star.meta["n_exposures"] == 3
    assert star.meta["cube"] == "night1.fits + night2.fits + night3.fits"
    assert np.isnan(star.x)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_outliers_of_one_exposure_go_and_nothing_else_does(n):
    hit = {0: (100, 101, 900), 1: (100, 2000)}
    exposures = [exposure(10 + k, 60, outliers=hit.get(k, ())) for k in range(n)]
    star = combine_exposures(exposures, 5.0)
    pull = (star.flux - truth(WAVE)) * np.sqrt(star.ivar)
    assert np.abs(np.delete(pull, 100)).max() < 5.5
    if n > 3:  # where two of five are hit alike, the others are the majority
        assert abs(pull[100]) < 5.0
    assert 3 <= star.meta["n_clipped"] <= 7
    assert (star.ivar[[901, 905]] > star.ivar[900]).all()


def test_errors_that_are_too_small_are_seen_and_do_not_cost_pixels():
    exposures = [replace(e, ivar=e.ivar * 6.25) for e in (exposure(k, 40) for k in range(4))]
    star = combine_exposures(exposures, 5.0)
    assert star.meta["exposure_scatter"] == pytest.approx(2.5, rel=0.05)
    assert star.meta["n_clipped"] < 5


def test_masked_pixels_are_taken_from_the_others_and_stay_masked_where_all_are():
    one, two = exposure(1), exposure(2)
    for star, where in ((one, slice(50, 70)), (two, slice(60, 80))):
        star.ivar[where] = 0.0
        star.flux[where] = np.nan
    star = combine_exposures([one, two], 5.0)
    assert (star.ivar[60:70] == 0).all()
    assert np.isfinite(star.flux[star.good]).all()
    assert star.good.sum() == WAVE.size - 10
    assert star.ivar[55] == pytest.approx(two.ivar[55], rel=0.02)


def test_an_exposure_without_barycentric_correction_gets_it():
    where = {"RA": 201.7, "DEC": -47.48, "DATE-OBS": "2019-06-01T02:00:00"}
    velocity = barycentric_correction(where, where)
    assert abs(velocity) > 5.0  # else this shows nothing
    corrected, raw = exposure(1, 200), exposure(2, 100, shift=-velocity, barycentric=0.0)
    star = combine_exposures([corrected, raw], 5.0)
    inner = slice(20, -20)
    pull = ((star.flux - truth(WAVE)) * np.sqrt(star.ivar))[inner]
    assert np.std(pull) < 1.1
    assert star.barycentric == pytest.approx((11.0 * 4 + velocity) / 5, abs=0.2)
    alone = combine_exposures([raw, replace(raw, star_id="again")], 5.0)
    assert alone.wave == pytest.approx(observed(WAVE, "air", velocity, "air"))
    unknown = combine_exposures([replace(raw, barycentric=np.nan)] * 2, 5.0)
    assert (unknown.wave == WAVE).all()


def test_other_pixels_and_vacuum_wavelengths_are_brought_to_one_grid():
    shifted = exposure(2, 100, wave=WAVE + 0.61)
    vacuum = replace(exposure(3, 100), wave=observed(WAVE, "air", 0.0, "vacuum"), frame="vacuum")
    star = combine_exposures([exposure(1, 200), shifted, vacuum], 5.0)
    pull = ((star.flux - truth(WAVE)) * np.sqrt(star.ivar))[20:-20]
    assert np.std(pull) < 1.1
    assert star.frame == "air"


def test_stars_are_matched_by_position_and_others_stay():
    near = {"ra": 201.7 + 0.2 / 3600}
    spectra = [
        exposure(1, star="1", cube="a"), exposure(2, star="2", cube="a", ra=201.71),
        exposure(3, star="7", cube="b", **near), exposure(4, star="8", cube="b", ra=201.72),
    ]  # fmt: skip
    stars, notes = combine_spectra(spectra, SETTINGS)
    assert [star.star_id for star in stars] == ["1", "2", "8"]
    assert stars[0].meta["n_exposures"] == 2
    assert stars[1] is spectra[1]
    assert notes[0] == "2 exposures of 1 stars were combined; 2 more have one each."
    with pytest.raises(StellacubeError, match="more than once"):
        combine_spectra(spectra[:2], SETTINGS)


def test_stars_without_positions_are_matched_by_name(tmp_path):
    from processing.spectra_io import read_spectra

    nowhere = {"ra": np.nan, "dec": np.nan}
    for k in (1, 2):
        folder = tmp_path / f"night{k}"
        folder.mkdir()
        for star in ("5", "6"):
            write_spectrum(exposure(k, star=star, **nowhere), folder / f"{star}.fits")
    spectra, _ = read_spectra([tmp_path / "night1", tmp_path / "night2"], numbered=False)
    stars, _ = combine_spectra(spectra, SETTINGS)
    assert [(star.star_id, star.meta["n_exposures"]) for star in stars] == [("5", 2), ("6", 2)]


def test_scaling_to_the_list():
    spectra = [exposure(k, star=str(k), scale=10 ** (-0.4 * dm), mag=17.0 + m) for k, (dm, m) in
               enumerate([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (0.3, 0.0), (0.0, np.nan)])]  # fmt: skip
    scaled, notes = scale_to_list(spectra, "F606W")
    factor = [star.meta["flux_scale"] for star in scaled]
    assert factor == pytest.approx([1.0, 1.0, 1.0, 10**0.12, 1.0], rel=0.005)
    assert scaled[3].snr == pytest.approx(spectra[3].snr, rel=1e-4)
    assert "1 stars stay as they were" in notes[0]
    with pytest.raises(StellacubeError, match="band is not known"):
        scale_to_list(spectra, "mag")
    with pytest.raises(StellacubeError, match="No star"):
        scale_to_list([replace(star, mag=np.nan) for star in spectra], "F606W")
