"""The extraction stage on real files: spectra, statuses, resume, and inputs that are odd or wrong."""

from __future__ import annotations

import numpy as np
import pytest
from star_fields import make_field, sky_positions, star_list, write_cube

from processing.checkpoint import MemoryCheckpoint
from processing.cube import MuseCube
from processing.errors import Cancelled, StellacubeError
from processing.extraction.extract import extract
from processing.extraction.sources import confusion_density, field_image, merged_groups, predict_fluxes, select_sources
from processing.settings import PsfSettings, RegistrationSettings, Settings, SolveSettings, SourceSettings

SETTINGS = Settings(psf=PsfSettings(bins=8), solve=SolveSettings(layers_per_batch=32), workers=2)
WAVE = np.arange(4750.0, 9350.0, 40.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cubes")


@pytest.fixture(scope="module")
def field():
    return make_field(seed=2, n_star=30, wave=WAVE, mags=(15.5, 20.0))


@pytest.fixture(scope="module")
def path(field, folder):
    return write_cube(field, folder / "field.fits")


@pytest.fixture(scope="module")
def stars(field):
    ra, dec = sky_positions(field.x, field.y, field.shape[1:])
    return star_list(ra=ra, dec=dec, mag=field.mag)


@pytest.fixture(scope="module")
def result(path, stars):
    with MuseCube.open(path) as cube:
        return extract(cube, stars, SETTINGS)


def number(spectrum):
    return int(spectrum.star_id[1:])


def test_spectra_agree_with_the_truth(field, result):
    pulls = []
    for spectrum in result.spectra:
        assert not spectrum.meta["multistar"]
        pull = (spectrum.flux - field.flux[number(spectrum)]) * np.sqrt(spectrum.ivar)
        pulls.append(pull)
        np.testing.assert_array_equal(spectrum.wave, WAVE)
    assert len(pulls) >= 28
    assert 0.95 < np.std(pulls) < 1.1
    bright = sorted(result.spectra, key=lambda s: s.mag)[:6]
    weight = np.array([s.ivar * field.flux[number(s)] ** 2 for s in bright])
    ratio = np.array([s.flux / field.flux[number(s)] - 1 for s in bright])
    error = weight.sum() ** -0.5
    assert abs((weight * ratio).sum() / weight.sum()) < 1e-3 + 2 * error


def test_spectra_carry_what_the_cube_and_the_list_know(result, stars, path):
    spectrum = result.spectra[0]
    i = number(spectrum)
    assert spectrum.frame == "air"
    assert spectrum.flux_unit == "10**(-20)*erg/s/cm**2/Angstrom"
    assert (spectrum.ra, spectrum.dec, spectrum.mag) == (stars.ra[i], stars.dec[i], stars.mag[i])
    assert spectrum.flux.dtype == spectrum.ivar.dtype == np.float32
    meta = spectrum.meta
    assert meta["cube"] == path.name
    assert meta["date_obs"].startswith("2019-06-01")
    assert meta["status"] == "extracted"
    assert meta["psf_fwhm"] == pytest.approx(3.95, abs=0.1)
    assert meta["snr"] == spectrum.snr
    assert all(0 <= s.meta["contamination"] <= 1 for s in result.spectra)
    assert all(s.meta["n_eff"] >= 1 for s in result.spectra)
    for s in result.spectra:
        edge = min(s.x, s.y, 59 - s.x, 59 - s.y) - 1
        assert s.meta["edge_dist"] == pytest.approx(edge, abs=1.1)


def test_residual_image_is_noise(field, result):
    inside = np.isfinite(result.residual)
    assert inside.sum() > 0.85 * inside.size
    noise = np.sqrt(1 / np.median(field.ivar[field.ivar > 0]) / WAVE.size)
    assert 0.8 < np.std(result.residual[inside]) / noise < 2.0
    assert np.median([s.meta["psf_residual"] for s in result.spectra[:10]]) < 0.05


def test_predicted_snr_is_about_right(result):
    bright = sorted(result.spectra, key=lambda s: s.mag)[:8]
    ratio = [s.meta["snr_predicted"] / s.snr for s in bright]
    assert 0.7 < np.median(ratio) < 1.5


class StoppingCheckpoint(MemoryCheckpoint):
    """Keeps blocks in memory and reports itself full after some of them."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def save(self, key, block):
        super().save(key, block)
        if len(self.blocks) == self.limit:
            raise Cancelled


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_resumed_run_gives_the_same_bits(path, stars, result, limit):
    checkpoint = StoppingCheckpoint(limit)
    with MuseCube.open(path) as cube:
        with pytest.raises(Cancelled):
            extract(cube, stars, SETTINGS, checkpoint=checkpoint)
        assert len(checkpoint.blocks) == limit
        again = extract(cube, stars, SETTINGS, checkpoint=checkpoint)
    assert "solve/0000-0032" in checkpoint.blocks
    for a, b in zip(result.spectra, again.spectra, strict=True):
        np.testing.assert_array_equal(a.flux, b.flux)
        np.testing.assert_array_equal(a.ivar, b.ivar)
        assert a.meta == b.meta
    np.testing.assert_array_equal(result.residual, again.residual)


def test_cancelling_is_heard(path, stars):
    with MuseCube.open(path) as cube, pytest.raises(Cancelled):
        extract(cube, stars, SETTINGS, cancelled=lambda: True)


def test_progress_rises_to_one(path, stars):
    fractions = []
    with MuseCube.open(path) as cube:
        extract(cube, stars, SETTINGS, progress=lambda fraction, text: fractions.append(fraction))
    assert fractions[-1] == pytest.approx(1.0)
    assert (np.diff(fractions) > -1e-9).all()


def test_every_star_has_a_status_and_a_reason(folder):
    x = np.array([12.0, 30.0, 30.6, 45.0, -4.0, -300.0, 20.0, 46.0])
    y = np.array([12.0, 30.0, 30.5, 14.0, 30.0, 30.0, 44.0, 46.0])
    mag = np.array([16.0, 17.0, 18.0, 17.0, 15.0, 16.0, 26.0, 16.5])
    made = make_field(positions=(x, y), magnitudes=mag, wave=WAVE[::4], drift=(0, 0))
    with MuseCube.open(write_cube(made, folder / "status.fits")) as cube:
        found = extract(cube, star_list(x=x, y=y, mag=mag), SETTINGS)
    table = found.sources
    assert table.status.tolist() == [
        "extracted", "extracted", "merged", "extracted", "contaminant", "outside", "faint", "extracted",
    ]  # fmt: skip
    assert "extracted with it" in table.reason[2]
    assert "S1" in table.reason[2]
    assert all(r for s, r in zip(table.status, table.reason, strict=True) if s != "extracted")
    assert table.multistar.tolist() == [False, True, False, False, False, False, False, False]
    merged = next(s for s in found.spectra if s.star_id == "S1")
    together = made.flux[1] + made.flux[2]
    assert np.median(merged.flux / together) == pytest.approx(1.0, abs=0.04)
    assert merged.meta["multistar"]


def test_one_star_works(folder):
    made = make_field(positions=([30.2], [25.7]), magnitudes=[17.0], wave=WAVE)
    ra, dec = sky_positions(made.x, made.y, (60, 60))
    with MuseCube.open(write_cube(made, folder / "one.fits")) as cube:
        found = extract(cube, star_list(ra=ra, dec=dec), SETTINGS)
    (spectrum,) = found.spectra
    pull = (spectrum.flux - made.flux[0]) * np.sqrt(spectrum.ivar)
    assert abs(np.mean(pull)) < 4 / np.sqrt(WAVE.size)
    assert 0.8 < np.std(pull) < 1.2
    assert spectrum.meta["psf_chi"] < 1.1


def test_a_galaxy_core_given_as_a_star_is_extracted_and_looks_wrong(folder):
    rng = np.random.default_rng(4)
    x, y = np.append(rng.uniform(5, 55, 12), 30.0), np.append(rng.uniform(5, 55, 12), 30.0)
    far = np.hypot(x - 30, y - 30) > 12
    far[-1] = True
    x, y = x[far], y[far]
    made = make_field(positions=(x, y), magnitudes=np.append(np.full(x.size - 1, 17.5), 30.0), wave=WAVE)
    yy, xx = np.indices((60, 60))
    made.data += np.where(made.ivar > 0, 2000.0 * np.exp(-(np.hypot(xx - 30, (yy - 30) * 1.3) ** 0.6)), 0)
    with MuseCube.open(write_cube(made, folder / "galaxy.fits")) as cube:
        found = extract(cube, star_list(x=x, y=y), SETTINGS)
    galaxy = next(s for s in found.spectra if s.star_id == f"S{x.size - 1}")
    others = [s for s in found.spectra if s is not galaxy]
    assert galaxy.meta["psf_chi"] > 2 * np.median([s.meta["psf_chi"] for s in others])
    assert galaxy.meta["psf_residual"] > 1.2 * np.median([s.meta["psf_residual"] for s in others])


def test_without_a_list_stars_are_detected(path, field):
    with MuseCube.open(path) as cube:
        found = extract(cube, None, SETTINGS)
    assert len(found.spectra) >= 5
    brightest = found.spectra[0]
    nearest = np.argmin(np.hypot(field.x - brightest.x, field.y - brightest.y))
    assert np.hypot(field.x - brightest.x, field.y - brightest.y)[nearest] < 0.5


def test_a_list_without_magnitudes_takes_fluxes_from_the_image(path, field):
    ra, dec = sky_positions(field.x, field.y, field.shape[1:])
    with MuseCube.open(path) as cube:
        found = extract(cube, star_list(ra=ra, dec=dec), SETTINGS)
    bright = np.argsort(field.mag)[:8]
    ratio = found.sources.flux_predicted[bright] / field.flux.mean(1)[bright]
    np.testing.assert_allclose(ratio, 1.0, atol=0.25)
    assert len(found.spectra) >= 24


def test_no_star_in_the_field_is_explained(path, field):
    stars = star_list(ra=[10.0, 11.0], dec=[41.0, 41.0], mag=[15.0, 16.0])
    with MuseCube.open(path) as cube, pytest.raises(StellacubeError, match="nearest, S") as caught:
        extract(cube, stars, SETTINGS)
    assert "degrees" in str(caught.value)


def test_only_faint_stars_are_explained(path):
    settings = Settings(registration=RegistrationSettings(fit="none"), sources=SourceSettings(snr_min=1e6))
    with MuseCube.open(path) as cube, pytest.raises(StellacubeError, match="None of the 3 stars") as caught:
        extract(cube, star_list(x=[20.0, 30.0, 40.0], y=[20.0, 30.0, 40.0], mag=[20.0, 20.0, 20.0]), settings)
    assert "3 faint" in caught.value.message


def test_masked_layers_have_no_flux(field, stars, folder):
    gap = (WAVE > 5800) & (WAVE < 6000)
    data, ivar = field.data.copy(), field.ivar.copy()
    data[gap], ivar[gap] = 0.0, 0.0
    made = type(field)(field.wave, data, ivar, field.x, field.y, field.mag, field.flux)
    with MuseCube.open(write_cube(made, folder / "gap.fits")) as cube:
        found = extract(cube, stars, SETTINGS)
    for spectrum in found.spectra:
        np.testing.assert_array_equal(spectrum.good, ~gap)
        assert np.isnan(spectrum.flux[gap]).all()


def test_zero_point_survives_variable_and_wrong_magnitudes(path, field):
    with MuseCube.open(path) as cube:
        image = field_image(cube, cube.overview().white)
    mag = field.mag.copy()
    mag[np.argsort(mag)[3]] -= 5.0
    flux, zero = predict_fluxes(field.x, field.y, mag, image, 3.95, 2.5)
    assert zero.n > 10
    assert zero.scatter < 0.3
    good = mag == field.mag
    assert np.median(flux[good] / field.flux.mean(1)[good]) == pytest.approx(1.0, abs=0.15)


def test_confusion_counts_brighter_stars_per_resolution_element():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 200, (2, 4000))
    density = confusion_density(x, y, np.arange(4000), 4.0, 4000)
    middle = (np.abs(x - 100) < 60) & (np.abs(y - 100) < 60)
    per_element = 4000 / 200**2 * np.pi * 4.0**2 / 4
    last = np.arange(4000) > 3800
    assert density[middle & last].mean() == pytest.approx(per_element, rel=0.06)
    assert density[0] == 0


def test_crowded_fields_leave_out_the_confused(path, field):
    rng = np.random.default_rng(3)
    x, y = rng.uniform(5, 55, (2, 300))
    mag = rng.uniform(16, 18, 300)
    with MuseCube.open(path) as cube:
        image = field_image(cube, cube.overview().white)
    table, _ = select_sources(star_list(x=x, y=y, mag=mag), x, y, image, 4.0, SourceSettings(), PsfSettings())
    confused = table.status == "confused"
    assert confused.any()
    assert mag[confused].min() > np.median(mag[table.extracted])


def test_merging_takes_the_fainter_into_the_brighter():
    x, y = np.array([0.0, 1.0, 1.9, 10.0]), np.zeros(4)
    groups = merged_groups(x, y, np.array([1, 0, 2, 3]), 1.2)
    assert [(i, sorted(g.tolist())) for i, g in groups] == [(1, [0, 2])]


def test_a_curved_background_is_followed_and_a_flat_one_left_alone(folder):
    rng = np.random.default_rng(6)
    x, y = (np.mgrid[0:4, 0:4].reshape(2, -1) * 14 + 9 + rng.uniform(-2, 2, (2, 16))).astype(float)
    made = make_field(positions=(x, y), magnitudes=np.full(16, 17.5), wave=WAVE, drift=(0, 0))
    yy, xx = np.indices((60, 60))
    halo = np.where(made.ivar > 0, 100.0 * np.exp(-((xx - 30) ** 2 + (yy - 30) ** 2) / 400.0), 0.0).astype(np.float32)
    error = {}
    for name, light in (("flat", 0.0), ("halo", halo)):
        bent = type(made)(made.wave, made.data + light, made.ivar, x, y, made.mag, made.flux)
        with MuseCube.open(write_cube(bent, folder / f"{name}.fits")) as cube:
            checkpoint = MemoryCheckpoint()
            found = extract(cube, star_list(x=x, y=y, mag=made.mag), SETTINGS, checkpoint=checkpoint)
        error[name] = np.abs([np.mean(s.flux / made.flux[number(s)] - 1) for s in found.spectra]).max()
        assert (checkpoint.blocks["psf"]["sky_patch"] == 50) == (name == "flat")
    assert error["flat"] < 0.01, error
    assert error["halo"] < 0.05, error
