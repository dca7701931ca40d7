"""Aperture photometry of all stars: right where they are few, wrong where they are blended, and saying so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from star_fields import make_field, star_list, write_cube

from processing.cube import MuseCube
from processing.extraction.aperture import ApertureField, sum_apertures
from processing.extraction.extract import extract
from processing.extraction.psf import constant_psf
from processing.settings import ExtractionSettings, PsfSettings, Settings

WAVE = np.arange(6000.0, 6500.0, 5.0)
SETTINGS = Settings(extraction=ExtractionSettings(method="aperture"), psf=PsfSettings(bins=4), workers=2)
STEADY = {"wave": WAVE, "drift": (0.2, -0.1), "fwhm": (4.0, 3.95), "beta": (2.5, 2.5), "e": 0.03}


def sparse(**choices):
    rng = np.random.default_rng(2)
    x, y = (np.mgrid[0:3, 0:3].reshape(2, -1) * 28 + 18 + rng.uniform(-3, 3, (2, 9))).astype(float)
    return make_field(positions=(x, y), magnitudes=rng.uniform(15.0, 17.5, 9), shape=(92, 92), **STEADY, **choices)


def extracted(field, path, settings=SETTINGS):
    with MuseCube.open(write_cube(field, path)) as cube:
        return extract(cube, star_list(x=field.x, y=field.y, mag=field.mag), settings)


@pytest.fixture(scope="module")
def field():
    return sparse()


@pytest.fixture(scope="module")
def result(field, tmp_path_factory):
    return extracted(field, tmp_path_factory.mktemp("aperture") / "cube.fits")


def truth(field, result):
    return np.array([field.flux[int(s.star_id[1:])] for s in result.spectra])


def test_lonely_stars_come_out_right(field, result):
    flux, true = np.array([s.flux for s in result.spectra]), truth(field, result)
    assert len(result.spectra) == 9
    ratio = np.median(flux / true, axis=1)
    np.testing.assert_allclose(ratio, 1.0, atol=0.01)
    pulls = (flux - true) * np.sqrt([s.ivar for s in result.spectra])
    assert 0.85 < np.std(pulls - np.median(pulls, axis=1)[:, None]) < 1.15


def test_it_agrees_with_psf_fitting_at_a_lower_signal_to_noise(field, result, tmp_path):
    fitted = extracted(field, tmp_path / "cube.fits", replace(SETTINGS, extraction=ExtractionSettings()))
    assert [s.star_id for s in fitted.spectra] == [s.star_id for s in result.spectra]
    for a, b in zip(result.spectra, fitted.spectra, strict=True):
        assert np.median(a.flux / b.flux) == pytest.approx(1.0, abs=0.015)
        assert 0.7 < a.snr / b.snr < 1.02
        assert set(a.meta) == set(b.meta)
    assert any("With fewer than 200 stars" in note for note in fitted.notes)
    assert not any("PSF fitting is better" in note for note in result.notes)


def test_masked_pixels_are_made_up_for_and_holes_masked(field):
    ivar = field.ivar.copy()
    x, y = round(field.x[0]), round(field.y[0])
    ivar[:, y, x + 2] = 0.0  # part of the aperture
    x, y = round(field.x[1]), round(field.y[1])
    ivar[30:50, y - 3 : y + 4, x - 3 : x + 4] = 0.0  # all of it
    spoilt = replace(field, ivar=ivar)
    psf = constant_psf("moffat", 3.98, 2.5, WAVE, 0.0, 0.0)
    stars = ApertureField(field.x, field.y, psf, field.shape[1:], ExtractionSettings())
    solution = sum_apertures(spoilt, stars)
    whole = sum_apertures(field, stars)
    assert np.median(solution.flux[0] / whole.flux[0]) == pytest.approx(1.0, abs=0.02)
    assert not solution.ivar[1, 30:50].any()
    assert np.isnan(solution.flux[1, 30:50]).all()
    assert (solution.ivar[1, 50:] > 0).all()


def test_blends_are_wrong_and_say_so(tmp_path):
    x, y = np.array([30.0, 33.5, 60.0, 60.0, 20.0]), np.array([30.0, 30.0, 25.0, 62.0, 65.0])
    mag = np.array([16.0, 17.0, 16.0, 16.5, 16.5])
    blend = make_field(positions=(x, y), magnitudes=mag, shape=(92, 92), **STEADY)
    found = {s.star_id: s for s in extracted(blend, tmp_path / "blend.fits").spectra}
    excess = np.median(found["S1"].flux / blend.flux[1]) - 1.0
    contamination = found["S1"].meta["contamination"]
    assert excess > 0.5
    assert contamination == pytest.approx(excess / (1.0 + excess), abs=0.1)
    assert found["S2"].meta["contamination"] < 0.02
    assert found["S1"].meta["n_eff"] > 1.5


def test_many_stars_call_for_psf_fitting(tmp_path):
    crowd = make_field(
        seed=4, n_star=215, shape=(110, 110), mags=(15.0, 17.0), reach=20, **(STEADY | {"wave": WAVE[::20]})
    )
    found = extracted(crowd, tmp_path / "crowd.fits", replace(SETTINGS, psf=PsfSettings(bins=2, residual=False)))
    assert any("from about 200 a field on, PSF fitting is better" in note for note in found.notes)
