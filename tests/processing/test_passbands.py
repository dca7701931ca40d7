"""Passbands told from column names, the cube's image in them, and magnitudes compared with it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from star_fields import make_field

from processing.cube import CubeOverview
from processing.errors import StellacubeError
from processing.extraction.passbands import Passband, band_image, choose_passband, passbands, read_passband, recognise
from processing.extraction.sources import FieldImage, zero_point

NAMES = {
    "V": "Johnson-Cousins V", "vmag": "Johnson-Cousins V", "V_mag": "Johnson-Cousins V", "I": "Johnson-Cousins I",
    "COUSINS_I": "Johnson-Cousins I", "phot_g_mean_mag": "Gaia G", "Gmag": "Gaia G", "BPmag": "Gaia BP",
    "phot_rp_mean_mag": "Gaia RP", "gmag": "SDSS g", "psfMag_r": "SDSS r", "z": "SDSS z", "J": "2MASS J",
    "k_m": "2MASS Ks", "Kmag": "2MASS Ks", "Ksmag3": "VISTA Ks", "ks_vvv": "VISTA Ks", "jAperMag3": "VISTA J",
    "F606W": "ACS/WFC F606W", "f814w": "ACS/WFC F814W", "mag_F814W": "ACS/WFC F814W", "F814": "ACS/WFC F814W",
    "wfc3_f814w": "WFC3/UVIS F814W", "F438W": "WFC3/UVIS F438W", "v_psf": "SkyMapper v", "smss_i": "SkyMapper i",
    "LAMOST_r": "LAMOST r", "gMeanPSFMag": "Pan-STARRS g", "ps1_i": "Pan-STARRS i",
}  # fmt: skip


@pytest.mark.parametrize(("column", "band"), NAMES.items())
def test_bands_are_told_from_column_names(column, band):
    found = recognise(column)
    assert found is not None
    assert found.name == band


@pytest.mark.parametrize("column", ["mag", "MAG_AUTO", "magnitude", "F275W", "mag_1", "flux", ""])
def test_a_name_that_says_nothing_gives_white_light(column):
    assert choose_passband("", column) is None


def test_centres_and_widths_are_the_published_ones():
    for name, centre, width in (("Johnson-Cousins V", 5510, 880), ("2MASS Ks", 21590, 2620), ("SDSS r", 6261, 1382)):
        band = passbands()[name]
        inside = band.wave[band.transmission >= 0.5]
        assert inside[[0, -1]].mean() == pytest.approx(centre, abs=1)
        assert np.ptp(inside) == pytest.approx(width, rel=0.02)
    assert all(band.source for band in passbands().values())


def test_the_settings_have_the_last_word(tmp_path):
    assert choose_passband("sdss r", "V").name == "SDSS r"
    assert choose_passband("F814W", "V").name == "ACS/WFC F814W"
    assert choose_passband("white", "V") is None
    curve = tmp_path / "mine.dat"
    curve.write_text("# wave T\n6000 0\n6100 1.0\n6500 1.0\n6600 0\n")
    mine = choose_passband(str(curve), "V")
    assert mine.name == "mine"
    assert mine.photons(np.array([6300.0])) == pytest.approx(6300.0)
    with pytest.raises(StellacubeError, match="not known") as caught:
        choose_passband("wobble", "V")
    assert "SDSS r" in caught.value.hint
    curve.write_text("no numbers\n")
    with pytest.raises(StellacubeError, match="holds no passband"):
        read_passband(curve)


def overview(wave, cube):
    start = np.linspace(0, wave.size, 47).astype(int)
    bands = np.stack([cube[a:b].mean(0) for a, b in pairwise(start)]).astype(np.float32)
    return CubeOverview(cube.mean(0).astype(np.float32), cube.mean((1, 2)).astype(np.float32), bands, start)


WAVE = np.arange(4750.0, 9350.1, 10.0)


def test_the_band_image_is_the_photon_weighted_mean():
    slope = (WAVE - 7000.0)[:, None, None] / 1000.0 * np.ones((1, 3, 4)) + 5.0
    band = passbands()["SDSS r"]
    image = band_image(WAVE, overview(WAVE, slope), band)
    truth = np.average(slope[:, 0, 0], weights=band.photons(WAVE))
    np.testing.assert_allclose(image.image, truth, rtol=2e-3)
    assert 5560 < image.wave_min < 5620 < 6900 < image.wave_max < 7000
    assert image.note == ""


def test_outside_the_cube_the_nearest_end_stands_in():
    slope = np.arange(WAVE.size, dtype=float)[:, None, None] * np.ones((1, 2, 2))
    red, blue = (band_image(WAVE, overview(WAVE, slope), passbands()[b]) for b in ("2MASS H", "Johnson-Cousins U"))
    assert red.image[0, 0] > 0.85 * WAVE.size
    assert blue.image[0, 0] < 0.15 * WAVE.size
    assert "2MASS H lies outside the cube: its end at 8350-9350 A stands in" in red.note
    partly = band_image(WAVE, overview(WAVE, slope), passbands()["ACS/WFC F850LP"])
    assert "of ACS/WFC F850LP lies in the cube" in partly.note


def test_a_gap_takes_part_of_a_band_away_but_not_the_image():
    cube = np.ones((WAVE.size, 2, 2))
    cube[(WAVE > 5800) & (WAVE < 5970)] = np.nan
    wide = band_image(WAVE, overview(WAVE, cube), passbands()["Johnson-Cousins V"])
    np.testing.assert_allclose(wide.image, 1.0)
    narrow = Passband("in the gap", np.array([5820.0, 5950.0]), np.ones(2), "test")
    lost = band_image(WAVE, overview(WAVE, cube), narrow)
    assert lost.name == "white light"
    assert "no data in in the gap" in lost.note


def test_magnitudes_agree_better_with_the_image_in_their_own_band():
    field = make_field(seed=5, n_star=40, shape=(90, 90), wave=np.arange(4750.0, 9350.1, 50.0), mags=(15.0, 18.0))
    band = passbands()["ACS/WFC F814W"]
    mag = -2.5 * np.log10(np.average(field.flux, weights=band.photons(field.wave), axis=1))
    cube = np.where(field.ivar > 0, field.data, np.nan)
    with np.errstate(invalid="ignore"):
        seen = overview(field.wave, cube)
    variance = np.full(seen.white.shape, 150.0)
    zero = {}
    for which in (band, None):
        image = band_image(field.wave, seen, which)
        zero[image.name] = zero_point(field.x, field.y, mag, FieldImage(image.image, variance), 3.95, 2.5)
    own, white = zero["ACS/WFC F814W"], zero["white light"]
    assert own.mag == pytest.approx(0.0, abs=0.1)  # the true wings are not those of the round Moffat
    assert own.scatter < 0.5 * white.scatter
    assert own.n > 20
