"""Stars are moved to where their light is where the list is wrong, and left alone where it is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from star_fields import SCALE, make_field, sky_positions, star_list, write_cube

from processing.checkpoint import MemoryCheckpoint
from processing.cube import MuseCube
from processing.extraction.bins import BinImage, merge_bins
from processing.extraction.extract import extract
from processing.extraction.positions import ELSEWHERE, FOLLOWED, Places, _common
from processing.session import Session
from processing.settings import PsfSettings, Settings, SourceSettings

AUTO = Settings(sources=SourceSettings(merge_radius=0.2), psf=PsfSettings(bins=6), workers=2)
AS_LISTED = replace(AUTO, sources=replace(AUTO.sources, position_error=0.0))
WAVE = np.arange(4750.0, 9350.0, 150.0)
N_SINGLE, N_PAIR, N_FAINT = 16, 6, 3
FWHM, ERROR, STRAY = 4.0, 0.03 / 3600.0 / SCALE, 15
"""In spaxels: of the stars, and of the list (30 mas); the star that is somewhere else."""


@pytest.fixture(scope="module")
def made():
    """Return a field of single stars, then faint ones, then pairs: all brighter ones, all fainter ones."""
    rng = np.random.default_rng(12)
    n_cell = N_SINGLE + N_FAINT + N_PAIR
    x, y = np.mgrid[0:5, 0:5].reshape(2, -1) * 15.0 + 9.0 + rng.uniform(-1, 1, (2, n_cell))
    angle = rng.uniform(0, 2 * np.pi, N_PAIR)
    x, y = (
        np.append(x, x[-N_PAIR:] + 0.7 * FWHM * np.cos(angle)),
        np.append(y, y[-N_PAIR:] + 0.7 * FWHM * np.sin(angle)),
    )
    mag = np.concatenate([np.linspace(16.0, 17.5, N_SINGLE), np.full(N_FAINT, 21.0), np.full(N_PAIR, 16.5)])
    mag = np.append(mag, np.full(N_PAIR, 18.0))
    mag[STRAY] = 19.0
    return make_field(seed=5, positions=(x, y), magnitudes=mag, shape=(78, 78), wave=WAVE)


@pytest.fixture(scope="module")
def path(made, tmp_path_factory):
    return write_cube(made, tmp_path_factory.mktemp("positions") / "cube.fits")


@pytest.fixture(scope="module")
def wrong(made):
    """Return the list's errors, spaxels; one star is matched wrongly."""
    error = ERROR * np.random.default_rng(8).standard_normal((2, made.x.size))
    error[:, STRAY] = 0.4 * FWHM, 0.0
    return error


def run(made, path, settings, wrong=(0.0, 0.0), **more):
    ra, dec = sky_positions(made.x + wrong[0], made.y + wrong[1], made.shape[1:])
    with MuseCube.open(path) as cube:
        return extract(cube, star_list(ra=ra, dec=dec, mag=made.mag), settings, **more)


@pytest.fixture(scope="module")
def moved(made, path, wrong):
    store = MemoryCheckpoint()
    return run(made, path, AUTO, wrong, checkpoint=store), store


@pytest.fixture(scope="module")
def as_listed(made, path, wrong):
    return run(made, path, AS_LISTED, wrong)


def flux_errors(made, found, stars):
    """Return each star's summed flux over its true one, less one."""
    by_name = {s.star_id: s.flux for s in found.spectra}
    return np.array([np.nansum(by_name[f"S{i}"]) / made.flux[i].sum() - 1.0 for i in stars])


def test_a_right_list_is_left_alone(made, path):
    found, other = run(made, path, AUTO), run(made, path, AS_LISTED)
    assert not found.sources.dx.any()
    assert not found.sources.dy.any()
    assert not any("scatter by" in note and "mas" in note for note in found.notes)
    for a, b in zip(found.spectra, other.spectra, strict=True):
        np.testing.assert_array_equal(a.flux, b.flux)
        np.testing.assert_array_equal(a.ivar, b.ivar)


def test_blends_of_a_wrong_list_get_their_fluxes_back(made, moved, as_listed):
    fainter = np.arange(made.x.size - N_PAIR, made.x.size)
    before, after = (np.median(np.abs(flux_errors(made, found, fainter))) for found in (as_listed, moved[0]))
    assert before > 0.08
    assert after < 0.25 * before
    single = np.setdiff1d(np.arange(N_SINGLE), STRAY)
    assert np.abs(flux_errors(made, moved[0], single)).max() < 0.02
    assert np.abs(np.median(flux_errors(made, moved[0], single))) < 0.005  # 0.003 with a right list


def test_stars_are_found_where_they_are(made, moved, wrong):
    table, places = moved[0].sources, Places.from_arrays(moved[1].blocks["psf"])
    assert 0.5 * ERROR < places.scatter < 1.5 * ERROR  # of few stars
    left = wrong + np.stack([table.dx, table.dy])
    single = np.setdiff1d(np.arange(N_SINGLE), STRAY)
    terms = np.column_stack([np.ones(made.x.size), made.x, made.y])  # the PSF's own
    left -= (terms @ np.linalg.lstsq(terms[single], left[:, single].T, rcond=None)[0]).T
    pull = left[:, single] / places.error[single] / np.sqrt(1 - 3 / single.size)
    assert 0.7 < np.std(pull) < 1.4
    pairs = np.arange(N_SINGLE + N_FAINT, made.x.size)
    assert np.std(left[:, pairs]) < 0.4 * np.std(wrong[:, pairs])
    np.testing.assert_allclose(table.x - table.dx, moved[0].registration.x)
    np.testing.assert_allclose(table.y - table.dy, moved[0].registration.y)
    assert any("scatter by" in note and " mas" in note for note in moved[0].notes)


def test_faint_stars_keep_their_places(moved):
    places = Places.from_arrays(moved[1].blocks["psf"])
    faint = np.arange(N_SINGLE, N_SINGLE + N_FAINT)
    shift = np.hypot(places.dx, places.dy)
    assert (places.error[faint] > 0.5 * ERROR).all()
    assert (shift[faint] < 3.0 * ERROR**2 / np.hypot(ERROR, places.error[faint])).all()


def test_a_lonely_star_is_followed_to_its_light_and_that_is_told(made, moved):
    table = moved[0].sources
    assert table.dx[STRAY] == pytest.approx(-0.4 * FWHM, abs=ERROR)
    assert table.reason[STRAY] == FOLLOWED
    assert (table.reason == FOLLOWED).sum() == 1
    assert any(f"S{STRAY}" in note and "followed" in note for note in moved[0].notes)


@pytest.mark.parametrize(("shift", "reason"), [(0.2, FOLLOWED), (0.4, FOLLOWED), (0.7, ELSEWHERE)])
def test_one_star_of_a_right_list_that_is_elsewhere_is_told_apart(made, path, shift, reason):
    error = np.zeros((2, made.x.size))
    error[1, 8] = shift * FWHM
    found = run(made, path, AUTO, error)
    assert [star for star, why in enumerate(found.sources.reason) if why] == [8]
    assert found.sources.reason[8] == reason
    assert not found.sources.dy[np.arange(made.x.size) != 8].any()
    if reason == FOLLOWED:
        assert found.sources.dy[8] == pytest.approx(-shift * FWHM, abs=0.02)
        assert np.abs(flux_errors(made, found, np.arange(N_SINGLE))).max() < 0.02
    else:
        assert found.sources.dy[8] == 0.0


def test_the_psf_is_as_wide_as_the_stars(made, moved):
    middle = float(moved[0].psf.fwhm(0.5 * (WAVE[0] + WAVE[-1])))
    assert middle == pytest.approx(np.mean(made.truth["fwhm"]), rel=0.002)


def test_a_resumed_run_has_the_same_places(made, path, wrong, moved):
    store = MemoryCheckpoint()
    for key in ("registration", "psf"):
        store.save(key, moved[1].blocks[key])
    again = run(made, path, AUTO, wrong, checkpoint=store)
    np.testing.assert_array_equal(again.sources.x, moved[0].sources.x)
    for a, b in zip(again.spectra, moved[0].spectra, strict=True):
        np.testing.assert_array_equal(a.flux, b.flux)
        assert (a.x, a.y) == (b.x, b.y)


def test_sessions_keep_the_offsets_and_may_lack_them(moved, tmp_path):
    table = moved[0].sources
    with Session.create(tmp_path / "run.stellacube", [], AUTO) as session:
        session.put_sources(table)
        np.testing.assert_array_equal(session.sources().dx, table.dx)
    given = {name: getattr(table, name) for name in table.__dataclass_fields__ if name not in ("dx", "dy")}
    assert not type(table)(**given).dx.any()


@pytest.mark.parametrize("scatter", [0.0, 0.05])
def test_the_scatter_of_the_list_is_told_from_noise(scatter):
    rng = np.random.default_rng(7)
    measured = []
    for _ in range(20):
        place, error = rng.uniform(-1, 1, (2, 60)), rng.uniform(0.005, 0.05, (2, 60))
        terms = np.column_stack([np.ones(60), place.T])
        offset = np.array([[0.3, 0.1, -0.05], [-0.2, 0.0, 0.1]]) @ terms.T
        offset += np.hypot(error, scatter) * rng.standard_normal((2, 60))
        offset[:, :4] += 2.0
        common, width = _common(offset, error, terms, None)
        measured.append(width)
    assert np.median(measured) == pytest.approx(scatter, rel=0.2)
    assert np.count_nonzero(measured) == (20 if scatter else 0)
    np.testing.assert_allclose(common[:, 0], [0.3, -0.2], atol=0.05)


def test_few_stars_tell_nothing():
    offset = np.full((2, 5), 0.4)
    common, width = _common(offset, np.full((2, 5), 0.01), np.ones((5, 1)), None)
    assert width == 0.0
    assert not common.any()


def test_merged_bins_are_weighted_means():
    rng = np.random.default_rng(2)
    images = [BinImage(rng.normal(k, 1, (4, 5)), np.full((4, 5), 1.0 + k), 5000.0 + k) for k in range(4)]
    images[1].ivar[0, 0] = 0.0
    first, second = merge_bins(images, 2)
    weight = np.array([3.0, 4.0]) / 7.0
    np.testing.assert_allclose(second.flux, weight[0] * images[2].flux + weight[1] * images[3].flux)
    np.testing.assert_allclose(second.ivar, 7.0)
    assert second.wave == pytest.approx(5000.0 + weight @ [2.0, 3.0])
    assert first.ivar[0, 0] == 0.0
    assert len(merge_bins(images, 8)) == 4
