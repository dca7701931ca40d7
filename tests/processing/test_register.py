"""Laying star lists over cubes: offsets, rotations, proper motions, few stars, and lists that belong elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from star_fields import RA, make_field, moffat, sky_positions, star_list, write_cube

from processing.cube import MuseCube
from processing.errors import StellacubeError
from processing.extraction.peaks import find_peaks, high_pass, measure_fwhm
from processing.extraction.register import Registration, register
from processing.settings import RegistrationSettings

WAVE = np.arange(5000.0, 9000.0, 400.0)
STILL = {"wave": WAVE, "drift": (0.0, 0.0)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cubes")


@pytest.fixture(scope="module")
def field():
    return make_field(seed=1, n_star=150, shape=(130, 140), reach=25, **STILL)


@pytest.fixture(scope="module")
def cube(field, folder):
    with MuseCube.open(write_cube(field, folder / "field.fits")) as opened:
        yield opened


@pytest.fixture(scope="module")
def white(cube):
    return cube.overview().white


def opened(made, path):
    with MuseCube.open(write_cube(made, path)) as cube:
        return cube, cube.overview().white


def test_right_positions_stay_exactly_as_they_are(field, cube, white):
    ra, dec = sky_positions(field.x, field.y, white.shape)
    stars = star_list(ra=ra, dec=dec, mag=field.mag)
    found = register(cube, stars, white, RegistrationSettings())
    x, y = cube.world_to_pixel(ra, dec)
    np.testing.assert_array_equal(found.x, x)
    np.testing.assert_array_equal(found.y, y)
    assert found.method == "none"
    assert found.n_matched > 20
    assert found.rms < 0.8


@pytest.mark.parametrize(("shift", "rotation"), [((5, -8), 0.0), ((35, 30), 0.0), ((0, 0), 1.7), ((-20, 15), -2.0)])
def test_offset_and_rotation_are_found(field, cube, white, shift, rotation):
    stars = star_list(
        **dict(zip(("ra", "dec"), sky_positions(field.x, field.y, white.shape, shift, rotation), strict=True)),
        mag=field.mag,
    )
    found = register(cube, stars, white, RegistrationSettings())
    assert np.hypot(found.x - field.x, found.y - field.y).max() < 0.3
    assert found.rotation == pytest.approx(-rotation, abs=0.15)
    assert found.notes


class Image:
    """A white-light image with the part of a cube's interface that the registration reads."""

    wcs, pixel_scale, epoch = None, 0.2, 2019.4

    def __init__(self, seed, n_star, size):
        rng = np.random.default_rng(seed)
        self.x, self.y = rng.uniform(2.0, size - 3.0, (2, n_star))
        self.mag = rng.uniform(16.3, 17.5, n_star)
        light = 3e4 * 10 ** (-0.4 * (self.mag - 16.0)) * rng.normal(1.0, 0.1, n_star)  # no list's band is the cube's
        yy, xx = np.indices((size, size))
        image = 100.0 + sum(f * moffat(xx - x, yy - y, 4.0, 2.5) for x, y, f in zip(self.x, self.y, light, strict=True))
        self.white = np.pad((image + rng.normal(0.0, 1.0, image.shape))[2:-2, 2:-2], 2, constant_values=np.nan)

    def stars(self, shift=(0.0, 0.0), rotation=0.0):
        c, s, half = np.cos(np.radians(rotation)), np.sin(np.radians(rotation)), (self.white.shape[0] - 1) / 2
        u, v = self.x - half, self.y - half
        return star_list(x=c * u - s * v + half + shift[0], y=s * u + c * v + half + shift[1], mag=self.mag)


SMALL = [(40, 60), (100, 60), (10, 26), (10, 60), (5, 60), (5, 26)]
"""Stars and side of small fields, from one star per two resolution elements to five stars in all."""


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("n_star", "size"), SMALL)
def test_small_fields_crowded_or_nearly_empty(seed, n_star, size):
    """Stars of nearly the same brightness, most of them blended: the list is neither refused nor moved."""
    image = Image(seed, n_star, size)
    as_given = register(image, image.stars(), image.white, RegistrationSettings())
    np.testing.assert_allclose(as_given.x, image.x, atol=1e-9)
    assert as_given.method == "none"
    moved = register(image, image.stars((8.0, -5.0), 1.5), image.white, RegistrationSettings())
    assert np.hypot(moved.x - image.x, moved.y - image.y).max() < 0.35
    foreign = Image(seed + 100, n_star, size)
    with pytest.raises(StellacubeError, match="does not match the image"):
        register(image, foreign.stars(), image.white, RegistrationSettings())


def test_the_width_of_blended_stars_comes_from_the_list():
    image = Image(4, 100, 60)
    assert register(image, image.stars(), image.white, RegistrationSettings()).fwhm == pytest.approx(4.0, rel=0.05)


def test_scale_error_is_found(field, cube, white):
    centre = (np.array(white.shape[::-1]) - 1) / 2
    stars = star_list(
        x=centre[0] + 1.005 * (field.x - centre[0]), y=centre[1] + 1.005 * (field.y - centre[1]), mag=field.mag
    )
    found = register(cube, stars, white, RegistrationSettings())
    assert np.hypot(found.x - field.x, found.y - field.y).max() < 0.4


def test_no_magnitudes_are_needed(field, cube, white):
    ra, dec = sky_positions(field.x, field.y, white.shape, (7, 3), 0.5)
    found = register(cube, star_list(ra=ra, dec=dec), white, RegistrationSettings())
    assert np.hypot(found.x - field.x, found.y - field.y).max() < 0.4


def test_proper_motions_bring_the_list_to_the_date_of_the_cube(field, cube, white):
    ra, dec = sky_positions(field.x, field.y, white.shape)
    motion = np.where(np.arange(ra.size) % 2, 50.0, 0.0)  # mas/yr; half of the stars move, which no offset can mend
    years = cube.epoch - 1980.0
    then = ra - motion * years / 3.6e6 / np.cos(np.radians(dec))
    stars = star_list(
        ra=then, dec=dec, mag=field.mag, pm_ra=motion, pm_dec=np.zeros_like(motion), epoch=np.full(ra.size, 1980.0)
    )
    found = register(cube, stars, white, RegistrationSettings())
    assert np.hypot(found.x - field.x, found.y - field.y).max() < 0.02


def test_what_the_settings_forbid_is_not_corrected(field, cube, white):
    ra, dec = sky_positions(field.x, field.y, white.shape, (5, -8), 1.0)
    stars = star_list(ra=ra, dec=dec, mag=field.mag)
    assert register(cube, stars, white, RegistrationSettings(fit="none")).method == "none"
    only = register(cube, stars, white, RegistrationSettings(fit="offset"))
    assert only.rotation == 0.0
    assert only.offset == pytest.approx((-5, 8), abs=0.7)


def test_a_list_of_another_field_is_refused(field, cube, white):
    rng = np.random.default_rng(9)
    ra, dec = sky_positions(rng.uniform(0, 140, 150), rng.uniform(0, 130, 150), white.shape)
    with pytest.raises(StellacubeError, match="does not match the image") as caught:
        register(cube, star_list(ra=ra, dec=dec, mag=field.mag), white, RegistrationSettings())
    assert "max_offset" in caught.value.hint


@pytest.mark.parametrize(("dec", "says"), [(-47.38, "1736 spaxels outside"), (-17.48, "30.0 deg"), (89.0, "136.5 deg")])
def test_a_list_far_away_says_how_far_and_names_the_nearest_star(cube, white, dec, says):
    stars = star_list(ra=np.array([RA + 180.0, RA]) % 360, dec=np.array([89.9 if dec > 0 else 60.0, dec]))
    with pytest.raises(StellacubeError, match="lies in the field of view: the nearest, S1") as caught:
        register(cube, stars, white, RegistrationSettings())
    assert says in str(caught.value)


def test_pixel_lists_far_outside_are_refused(cube, white):
    with pytest.raises(StellacubeError, match="1861 spaxels outside"):
        register(cube, star_list(x=[2000.0], y=[10.0]), white, RegistrationSettings())


def test_one_star_stays_where_the_coordinates_say(folder):
    made = make_field(positions=([30.2], [25.7]), magnitudes=[17.0], **STILL)
    cube, white = opened(made, folder / "one.fits")
    ra, dec = sky_positions(made.x, made.y, white.shape)
    found = register(cube, star_list(ra=ra, dec=dec, mag=made.mag), white, RegistrationSettings())
    np.testing.assert_allclose([found.x[0], found.y[0]], [30.2, 25.7], atol=1e-6)
    assert "too few" in found.notes[0]


def test_one_star_is_taken_to_the_only_bright_source(folder):
    made = make_field(positions=([30.2], [25.7]), magnitudes=[17.0], **STILL)
    cube, white = opened(made, folder / "one.fits")
    found = register(cube, star_list(x=[38.0], y=[20.0]), white, RegistrationSettings())
    np.testing.assert_allclose([found.x[0], found.y[0]], [30.2, 25.7], atol=0.15)


def test_one_star_on_empty_sky_is_refused(folder):
    made = make_field(positions=([30.2], [25.7]), magnitudes=[27.0], **STILL)
    cube, white = opened(made, folder / "empty.fits")
    with pytest.raises(StellacubeError, match="Nothing bright is found at the position of S0"):
        register(cube, star_list(x=[38.0], y=[20.0]), white, RegistrationSettings())


def test_registration_survives_its_arrays(field, cube, white):
    ra, dec = sky_positions(field.x, field.y, white.shape, (5, -8))
    found = register(cube, star_list(ra=ra, dec=dec, mag=field.mag), white, RegistrationSettings())
    again = Registration.from_arrays(found.to_arrays())
    np.testing.assert_array_equal(again.x, found.x)
    assert (again.offset, again.notes, again.method) == (found.offset, found.notes, found.method)


def test_fwhm_and_peaks(field, white):
    contrast = high_pass(white)
    assert measure_fwhm(contrast, white) == pytest.approx(3.95, rel=0.12)
    peaks = find_peaks(contrast, 4.0)
    brightest = np.argmin(field.mag)
    distance = np.hypot(peaks.x - field.x[brightest], peaks.y - field.y[brightest])
    assert distance.min() < 0.3
    assert peaks.height[0] == peaks.height.max()


@pytest.mark.parametrize(("seed", "listed", "nearest"), [(4, 1.0, 0.2), (5, 1.0, 0.2), (1, 0.67, 0.5), (2, 0.67, 0.5)])
def test_everything_wrong_at_once(field, cube, white, seed, listed, nearest):
    """Ten arcsec off, turned by two degrees, half a per cent too large, magnitudes wrong by 0.2 mag.

    Where a third of the stars is not listed, the scale is not significant in so small a field: an eighth of the FWHM at
    the corners is left to the PSF fit.
    """
    rng = np.random.default_rng(seed)
    kept = rng.random(field.x.size) < listed
    centre = (np.array(white.shape[::-1]) - 1) / 2
    x, y = (c + 1.005 * (v - c) for v, c in zip((field.x, field.y), centre, strict=True))
    angle = rng.uniform(0, 2 * np.pi)
    shift, turn = 49.0 * np.array([np.cos(angle), np.sin(angle)]), rng.choice([-2.0, 2.0])
    ra, dec = sky_positions(x, y, white.shape, shift, turn)
    mag = field.mag + rng.normal(0.0, 0.2, field.mag.size)
    found = register(cube, star_list(ra=ra[kept], dec=dec[kept], mag=mag[kept]), white, RegistrationSettings())
    assert np.hypot(found.x - field.x[kept], found.y - field.y[kept]).max() < nearest
    assert found.rotation == pytest.approx(-turn, abs=0.1)
    if listed == 1.0:
        assert found.scale == pytest.approx(1 / 1.005, abs=1e-3)
    assert found.n_matched > 20
    assert any("coincide with peaks" in note for note in found.notes)


def test_a_common_motion_without_an_epoch_is_an_offset(field, cube, white):
    """Thirty years of a cluster's 100 mas/yr that the list does not tell: 15 spaxels."""
    ra, dec = sky_positions(field.x, field.y, white.shape)
    stars = star_list(
        ra=ra, dec=dec - 3.0 / 3600, mag=field.mag, pm_ra=np.zeros_like(ra), pm_dec=np.full_like(ra, 100.0)
    )
    found = register(cube, stars, white, RegistrationSettings())
    assert np.hypot(found.x - field.x, found.y - field.y).max() < 0.1
    assert found.offset[1] == pytest.approx(15.0, abs=0.1)


def test_pixel_lists_in_another_frame_are_shifted(field, cube, white):
    found = register(cube, star_list(x=field.x + 21.0, y=field.y - 14.0, mag=field.mag), white, RegistrationSettings())
    assert np.hypot(found.x - field.x, found.y - field.y).max() < 0.1
    assert found.offset == pytest.approx((-21.0, 14.0), abs=0.1)
