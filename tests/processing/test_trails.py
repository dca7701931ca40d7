"""Trails of satellites: found at any angle, never where there is none, and kept from the stars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from star_fields import make_field, moffat, star_list, write_cube

from processing.cube import MuseCube
from processing.extraction.extract import extract
from processing.extraction.sources import FieldImage
from processing.extraction.trails import HIDES, TOUCHES, find_trail
from processing.settings import PsfSettings, Settings, SourceSettings
from processing.simulation import defects

FWHM, SIZE = 3.95, 90
WAVE = np.linspace(4800.0, 9300.0, 10)


def make(n_star, seed=1, fwhm=(4.2, 3.7)):
    """Return band images as means of many layers, the variance of one, and the stars."""
    field = make_field(
        seed=seed, n_star=n_star, shape=(SIZE, SIZE), wave=WAVE, fwhm=fwhm, reach=25, integrate=False, noise=False,
        masked=0.0,
    )  # fmt: skip
    bands = np.where(field.ivar > 0, field.data, np.nan).astype(float)
    variance = bands.mean(0) + 25.0
    bands += np.sqrt(variance / 300.0) * np.random.default_rng(seed).standard_normal(bands.shape)
    return field, bands, variance


@pytest.fixture(scope="module")
def sparse():
    return make(50)


@pytest.fixture(scope="module")
def sharp():
    """Make a field that is 45 FWHM wide: wide trails need that."""
    return make(80, fwhm=(2.1, 1.9))


@pytest.fixture(scope="module")
def crowded():
    return make(350)


def line(angle, offset, sigma, width=4.0):
    yy, xx = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    return sigma * np.exp(-4 * np.log(2) * ((yy * np.cos(angle) - xx * np.sin(angle) - offset) / width) ** 2)


def out_of_focus(angle, offset, sigma, diameter, fwhm=2.0):
    """Return the image of a trail whose points are discs, smeared by the seeing."""
    fine = np.linspace(-60.0, 60.0, 1201)
    disc = np.sqrt(np.clip((diameter / 2) ** 2 - fine**2, 0.0, None))
    disc = np.convolve(disc, np.exp(-4 * np.log(2) * (fine / fwhm) ** 2), "same")
    yy, xx = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    return sigma * np.interp(yy * np.cos(angle) - xx * np.sin(angle) - offset, fine, disc / disc.max())


def find(made, bands, keep=slice(None), fwhm=FWHM, **how):
    field, _, variance = made
    image = FieldImage(bands.mean(0), variance)
    return find_trail(image, bands, field.x[keep], field.y[keep], field.mag[keep], fwhm, 2.5, **how)


def sigma_of(made):
    return float(np.sqrt(np.nanmedian(made[2])))


@pytest.mark.parametrize(
    ("angle", "offset", "height"), [(0.0, 12.3, 5.0), (0.4, -15.0, 10.0), (np.pi / 2, 8.0, 30.0), (2.5, 3.0, 5.0)]
)
def test_trails_are_found_at_any_angle(sparse, angle, offset, height):
    _, bands, _ = sparse
    trail = find(sparse, bands + line(angle, offset, height * sigma_of(sparse)))
    assert np.sin(trail.angle - angle) == pytest.approx(0.0, abs=0.01)
    x, y = 44.5 - offset * np.sin(angle), 44.5 + offset * np.cos(angle)
    assert abs(trail.across(x, y)) < 0.5
    assert trail.fwhm == pytest.approx(4.0, abs=0.4)
    assert trail.height == pytest.approx(height, rel=0.15)


@pytest.mark.parametrize(
    ("diameter", "angle", "offset", "height"),
    [(4.0, 0.1, 5.0, 30.0), (5.0, 0.4, -12.0, 5.0), (6.0, 1.2, 8.0, 10.0), (7.0, 2.5, 3.0, 5.0), (8.0, 1.9, 0.0, 30.0)],
)
def test_satellites_out_of_focus_are_found(sharp, diameter, angle, offset, height):
    added = out_of_focus(angle, offset, height * sigma_of(sharp), diameter)
    trail = find(sharp, sharp[1] + added, fwhm=2.0)
    assert np.sin(trail.angle - angle) == pytest.approx(0.0, abs=0.015)
    assert abs(trail.across(44.5 - offset * np.sin(angle), 44.5 + offset * np.cos(angle))) < 0.5
    assert trail.height == pytest.approx(height, rel=0.15)
    assert trail.mask((SIZE, SIZE))[added > 0.1 * added.max()].all()


def test_a_trail_across_a_crowded_field_is_found(crowded):
    trail = find(crowded, crowded[1] + line(0.6, 5.0, 20 * sigma_of(crowded)))
    assert trail.angle == pytest.approx(0.6, abs=0.02)


def test_stars_that_were_detected_on_a_trail_do_not_hide_it(sparse):
    field, bands, variance = sparse
    along = np.arange(-40.0, 41.0, 3.0)
    x, y = np.append(field.x, 44.5 + along * np.cos(0.5)), np.append(field.y, 44.5 + along * np.sin(0.5))
    mag = np.append(field.mag, np.full(along.size, 18.5))
    bands = bands + line(0.5, 0.0, 10 * sigma_of(sparse))
    trail = find_trail(FieldImage(bands.mean(0), variance), bands, x, y, mag, FWHM, 2.5, detected=True)
    assert trail.angle == pytest.approx(0.5, abs=0.01)


def no_trails(field, sigma):
    """Yield what only looks like a trail: a name, and what is added to each band, in sigma."""
    rng = np.random.default_rng(4)
    yy, xx = np.indices((SIZE, SIZE))
    u = (xx - 40) * np.cos(0.7) + (yy - 50) * np.sin(0.7)
    v = (yy - 50) * np.cos(0.7) - (xx - 40) * np.sin(0.7)
    grey, star = np.ones(WAVE.size), int(np.argmin(np.hypot(field.x - 45, field.y - 45)))
    yield "an edge-on galaxy", grey, 50 * np.exp(-np.abs(u) / 15) / np.cosh(v / 2.5) ** 2
    spiral = np.cos(2 * np.arctan2(v, u) - 6 * np.log(np.hypot(u, v) + 3))
    yield "a spiral", grey, 50 * np.exp(-np.hypot(u, v) / 20) * (1 + spiral)
    yield "a straight filament of line emission", 10.0 * (np.arange(WAVE.size) == 4), 10 * np.exp(-((v / 2.5) ** 2))
    yield "a curved filament", grey, 15 * np.exp(-(((v - 8 * np.sin(u / 15)) / 2.5) ** 2))
    knots = np.abs(np.interp(u, np.arange(-90, 90, 8), rng.normal(0, 1, 23)))
    yield "a knotty filament", grey, 15 * knots * np.exp(-((v / 2.5) ** 2))
    stack = np.arange(SIZE) * 4 // SIZE
    yield "the pattern of slices", grey, 20 * rng.normal(0, 1, (SIZE, 4))[:, stack]
    yield "the pattern of spectrographs", grey, 20 * np.repeat(rng.normal(0, 1, (8, 1)), 12, 0)[:SIZE] + 0 * xx
    for name, image in {
        "a bright pair of slices": (yy == 37) | (yy == 38), "a comb": yy % 12 < 2, "a bright edge": yy < 5,
        "a step": v > 0,
    }.items():  # fmt: skip
        yield name, grey, 20.0 * image
    column = np.abs(xx - round(field.x[star])) < 1
    yield "a bleeding column", grey, 60 * column * np.exp(-np.abs(yy - field.y[star]) / 20)
    yield "a column without charge", grey, -30.0 * column
    spikes = sum(np.exp(-((d / 2) ** 2)) for d in (u, v)) / (1 + np.hypot(u, v) / 5)
    yield "the spikes of a bright star", grey, 300 * spikes
    along = np.arange(-90.0, 90.0, 12.0)
    row = sum(moffat(xx - 45 - a * np.cos(0.3), yy - 45 - a * np.sin(0.3), 4.0, 2.5) for a in along)
    yield "a row of stars that the list lacks", grey, 20 * row / row.max()


def wide_no_trails():
    """Yield what only looks like the trail of a satellite out of focus, in sigma, and where there are data."""
    everywhere = np.ones((SIZE, SIZE), bool)
    yy, xx = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    for turn, middle, width in ((0.4, 0.0, 4.5), (1.9, 20.0, 7.0)):
        u, v = xx * np.cos(turn) + yy * np.sin(turn) - middle, yy * np.cos(turn) - xx * np.sin(turn)
        disc = 20 * np.exp(-np.abs(u) / 8 / width) / np.cosh(1.76 * v / width) ** 2
        yield "a superthin galaxy", disc, everywhere
        yield "an arc", 20 * np.exp(-4 * np.log(2) * ((v - u**2 / 800) / width) ** 2), everywhere
        wedge = 20 * np.exp(-4 * np.log(2) * (v / width / np.clip(1 + u / 90, 0.2, None)) ** 2)
        yield "a wedge", wedge, everywhere
    yield "a bright unit of the spectrograph", 20.0 * (np.abs(yy - 10) < 3), everywhere
    yield "a bright stack of slices", 20.0 * (np.abs(xx + 6) < 2), everywhere
    u, v = xx * np.cos(0.5) + yy * np.sin(0.5), yy * np.cos(0.5) - xx * np.sin(0.5)
    turned = np.maximum(np.abs(u), np.abs(v)) < 34
    yield "a bright unit in a field that is turned", 20.0 * (np.abs(v - 3) < 2.5), turned


def test_what_only_looks_like_a_trail_is_none(sparse):
    field, bands, _ = sparse
    sigma = sigma_of(sparse)
    for k, (name, colour, image) in enumerate(no_trails(field, sigma)):
        assert find(sparse, bands + sigma * colour[:, None, None] * image, detected=k % 2 == 1) is None, name


def test_what_only_looks_like_a_wide_trail_is_none(sharp):
    for name, image, there in wide_no_trails():
        bands = np.where(there, sharp[1] + sigma_of(sharp) * image, np.nan)
        assert find(sharp, bands, fwhm=2.0) is None, name


def test_only_the_side_of_a_turned_field_forbids_a_wide_trail(sharp):
    yy, xx = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    there = np.maximum(np.abs(xx * np.cos(0.5) + yy * np.sin(0.5)), np.abs(yy * np.cos(0.5) - xx * np.sin(0.5))) < 40
    found = [
        find(sharp, np.where(there, sharp[1] + out_of_focus(a, 3.0, 20 * sigma_of(sharp), 5.0), np.nan), fwhm=2.0)
        for a in (0.5, 0.8)
    ]
    assert found[0] is None
    assert found[1].angle == pytest.approx(0.8, abs=0.015)


@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_fields_without_a_trail_have_none_whatever_the_list_lacks(sparse, crowded, missing):
    for made in (sparse, crowded):
        keep = np.random.default_rng(2).random(made[0].x.size) >= missing
        assert find(made, made[1], keep) is None


@pytest.mark.slow
def test_a_hundred_and_fifty_random_fields_have_no_trail():
    for seed in range(150):
        fwhm = FWHM if seed % 2 else 2.5
        made = make(20 + 4 * seed, seed=100 + seed, fwhm=(1.06 * fwhm, 0.94 * fwhm))
        assert find(made, made[1], fwhm=fwhm) is None


def test_a_trail_costs_other_stars_nothing_and_is_told(tmp_path):
    rng = np.random.default_rng(5)
    x, y = (np.mgrid[0:5, 0:5].reshape(2, -1) * 16 + 12 + rng.uniform(-2, 2, (2, 25))).astype(float)
    mag = np.append(rng.uniform(16.0, 18.0, 15), rng.uniform(18.0, 19.0, 10))[rng.permutation(25)]
    field = make_field(
        positions=(x, y), magnitudes=mag, shape=(90, 90), wave=np.arange(6000.0, 6100.0, 5.0), drift=(0.2, -0.1),
        fwhm=(4.0, 3.9), beta=(2.5, 2.5), e=0.03, border=0, masked=0.0, reach=30, integrate=False,
    )  # fmt: skip
    path = write_cube(field, tmp_path / "cube.fits")
    defects.spoil_cube(path, [defects.satellite_trail(field.x[12] - 2.0, field.y[12], 30.0, 4.0, 10.0)])
    away = np.abs((y - y[12]) * np.cos(np.pi / 6) - (x - x[12] + 2.0) * np.sin(np.pi / 6))
    worst = {}
    for how in ("mask", "ignore"):
        settings = Settings(psf=PsfSettings(bins=4), sources=SourceSettings(trails=how), workers=2)
        with MuseCube.open(path) as cube:
            result = extract(cube, star_list(x=x, y=y, mag=mag), replace(settings))
        stars = {int(s.star_id[1:]): s for s in result.spectra}
        off = [i for i in stars if away[i] > 12]
        worst[how] = max(abs(np.median(stars[i].flux / field.flux[i]) - 1.0) for i in off if mag[i] < 18)
        pull = np.concatenate([(stars[i].flux - field.flux[i]) * np.sqrt(stars[i].ivar) for i in off])
        said = [note for note in result.notes if "trail of a satellite" in note]
        if how == "ignore":
            assert not said
            assert 12 in stars
            continue
        assert f"{np.sum(result.sources.reason == HIDES)} stars under it" in said[0]
        assert 12 not in stars
        assert result.sources.reason[12] == HIDES
        assert (result.sources.reason[away > 12] == "").all()
        assert np.std(pull) < 1.15
        assert all(stars[i].meta["trail"] == (result.sources.reason[i] == TOUCHES) for i in stars)
        assert any(star.meta["trail"] for star in stars.values())
        assert np.isnan(result.residual[round(y[12]), round(x[12])])
    assert worst["mask"] < 0.01 < worst["ignore"]
