"""What goes wrong in real cubes: spectra degrade gracefully, and status, errors or notes say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from star_fields import make_field, star_list, write_cube

from processing.cube import MuseCube
from processing.extraction.clipping import find_outliers
from processing.extraction.extract import extract
from processing.extraction.sources import FieldImage, select_sources
from processing.settings import PsfSettings, Settings, SourceSettings
from processing.simulation import defects

WAVE = np.arange(6000.0, 6400.0, 5.0)
SETTINGS = Settings(psf=PsfSettings(bins=4), workers=2)


@pytest.fixture(scope="module")
def field():
    rng = np.random.default_rng(5)
    x, y = (np.mgrid[0:4, 0:4].reshape(2, -1) * 16 + 12 + rng.uniform(-2, 2, (2, 16))).astype(float)
    mag = np.append(rng.uniform(16.0, 18.0, 10), rng.uniform(19.0, 20.0, 6))
    return make_field(
        positions=(x, y), magnitudes=mag, shape=(72, 72), wave=WAVE, drift=(0.2, -0.1), fwhm=(4.0, 3.9),
        beta=(2.5, 2.5), e=0.03, border=0, masked=0.0,
    )  # fmt: skip


@pytest.fixture
def spoilt(field, tmp_path):
    """Return a function that extracts the field with defects: the result, and each star's relative error and pull."""

    def run(*spoiling, settings=SETTINGS):
        path = write_cube(field, tmp_path / "cube.fits")
        defects.spoil_cube(path, spoiling)
        with MuseCube.open(path) as cube:
            result = extract(cube, star_list(x=field.x, y=field.y, mag=field.mag), settings)
        error, pull = np.full((2, field.x.size), np.nan)
        for spectrum in result.spectra:
            i, good = int(spectrum.star_id[1:]), spectrum.good
            difference = (spectrum.flux - field.flux[i])[good]
            error[i] = np.median(difference / field.flux[i][good])
            pull[i] = np.std(difference * np.sqrt(spectrum.ivar[good]))
        return result, error, pull

    return run


BRIGHT = slice(0, 10)


def test_a_sound_cube_is_no_cause_for_notes(spoilt):
    result, error, pull = spoilt()
    assert np.abs(error[BRIGHT]).max() < 0.01
    assert 0.9 < np.median(pull) < 1.1
    assert not any("variances" in note or "does not fit" in note for note in result.notes)


@pytest.mark.parametrize(("factor", "word"), [(0.1, "too small"), (10.0, "too large")])
def test_wrong_variances_change_no_flux_and_are_told(spoilt, factor, word):
    result, error, _ = spoilt(defects.wrong_variance(factor))
    assert np.abs(error[BRIGHT]).max() < 0.01
    (note,) = (note for note in result.notes if "variances" in note)
    assert word in note
    assert float(note.split("factor of ")[1].split(":")[0]) == pytest.approx(10.0, rel=0.4)


def test_a_wrong_profile_is_told(spoilt):
    result, error, _ = spoilt(settings=replace(SETTINGS, psf=PsfSettings(profile="gaussian", bins=4, residual=False)))
    assert np.median(error[BRIGHT]) < -0.05
    assert any("The PSF does not fit the brighter stars" in note for note in result.notes)


def test_a_dead_slice_costs_only_signal_to_noise(field, spoilt):
    row = round(field.y[5])
    result, error, pull = spoilt(defects.dead_slice(row - 1, row + 1))
    assert np.nanmax(np.abs(error[BRIGHT])) < 0.02
    assert np.nanmedian(pull) < 1.15
    reason = result.sources.reason[5]
    assert result.sources.status[5] == "extracted" or "without data" in reason


def test_a_hole_over_a_star_masks_its_layers_and_no_others(field, spoilt):
    result, error, _ = spoilt(defects.missing_block(field.x[2], field.y[2], 6.0, 20, 39))
    spectrum = next(s for s in result.spectra if s.star_id == "S2")
    assert not spectrum.good[20:40].any()
    assert spectrum.good[:20].all()
    assert spectrum.good[40:].all()
    assert np.abs(error[BRIGHT]).max() < 0.015


def test_cosmic_rays_are_clipped_within_bright_stars_too(field, spoilt):
    _, calm_error, calm_pull = spoilt()
    _, error, pull = spoilt(defects.cosmic_rays(0.002, 60.0))
    assert np.abs(error - calm_error)[BRIGHT].max() < 0.01
    assert np.median(pull[BRIGHT]) < 1.25 * np.median(calm_pull[BRIGHT])


def test_a_weak_trail_stays_a_local_matter(field, spoilt):
    _, error, _ = spoilt(defects.satellite_trail(field.x[6], field.y[6], 30.0, 4.0, 1.0))
    across = np.abs((field.y - field.y[6]) * np.cos(np.pi / 6) - (field.x - field.x[6]) * np.sin(np.pi / 6))
    off = (across > 8) & (np.arange(16) < 10)
    assert np.abs(error[off]).max() < 0.03


def test_a_common_misfit_is_no_outlier_but_a_ray_in_it_is():
    rng = np.random.default_rng(1)
    model = np.full((500, 32), 400.0) * rng.uniform(0.5, 1.5, 32)
    residual = rng.normal(0.0, 1.0, (500, 32))
    residual[:5] += 0.2 * model[:5]  # 80 sigma, in all layers
    residual[2, 7] += 100.0
    outlier = find_outliers(residual, np.where(np.arange(500)[:, None] < 5, model, 0.0), np.ones((500, 32)))
    assert np.argwhere(outlier).tolist() == [[2, 7]]


@pytest.mark.parametrize("layers", [4, 32])
def test_few_layers_leave_bright_cores_alone(layers):
    residual = np.random.default_rng(1).normal(0.0, 1.0, (500, layers))
    model = np.zeros((500, layers))
    model[0], residual[0, 1] = 400.0, 100.0
    residual[9, 2] = 30.0  # no star there
    outlier = find_outliers(residual, model, np.ones((500, layers)))
    assert outlier[9, 2]
    assert outlier[0, 1] == (layers == 32 and 100.0 > 0.3 * 100.0)


@pytest.mark.parametrize(("n_star", "said"), [(100, False), (600, True)])
def test_more_than_one_star_per_resolution_element_is_told(n_star, said):
    rng = np.random.default_rng(2)
    x, y = rng.uniform(2, 58, (2, n_star))
    image = FieldImage(rng.normal(500.0, 5.0, (60, 60)), np.full((60, 60), 1.0))
    stars = star_list(x=x, y=y, mag=rng.uniform(16.0, 16.5, n_star))
    _, notes = select_sources(stars, x, y, image, 4.0, SourceSettings(snr_min=-1e9, merge_radius=0.0), PsfSettings())
    assert any("detected stars per resolution element" in note for note in notes) == said
