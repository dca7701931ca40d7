"""Star lists changed by hand: what is added, moved and deleted, and that a saved list reads back the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from processing.cube import MuseCube
from processing.errors import StellacubeError
from processing.reference import read_star_list
from processing.simulate import SimulationSettings, sample_library, simulate_field
from processing.star_edits import EditedStars, centroid, estimate_magnitude, no_stars, write_star_list


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> tuple[MuseCube, Path]:
    """Return a cube of six stars in a wide field, with its list."""
    folder = tmp_path_factory.mktemp("edits")
    settings = SimulationSettings(n_stars=6, nx=80, ny=80, wave_max=4850.0, border=10, seed=4)
    simulate_field(sample_library(), settings, folder / "field.fits", folder / "stars.csv")
    return MuseCube.open(folder / "field.fits"), folder / "stars.csv"


def test_a_changed_list_reads_back_as_it_was_left(field, tmp_path) -> None:
    cube, path = field
    stars = read_star_list(path)
    x, y = stars.positions(cube)
    edited, name = EditedStars(stars).added(cube, 20.25, 31.5, 18.5)
    moved, gone = str(stars.star_id[1]), str(stars.star_id[2])
    edited = edited.moved(cube, moved, 11.0, 12.0).deleted(gone)
    for suffix in (".csv", ".ecsv"):
        back = read_star_list(write_star_list(edited, tmp_path / f"list{suffix}"))
        assert back.star_id.tolist() == [*(n for n in stars.star_id.tolist() if n != gone), name]
        bx, by = back.positions(cube)
        expected = np.delete(x, 2), np.delete(y, 2)
        expected[0][1], expected[1][1] = 11.0, 12.0
        np.testing.assert_allclose(bx, np.append(expected[0], 20.25), atol=1e-4)
        np.testing.assert_allclose(by, np.append(expected[1], 31.5), atol=1e-4)
        assert back.mag[-1] == 18.5
        np.testing.assert_array_equal(back.mag[:-1], np.delete(stars.mag, 2))


def test_a_star_that_was_added_vanishes_when_it_is_deleted(field) -> None:
    cube, path = field
    start = EditedStars(read_star_list(path))
    edited, name = start.added(cube, 5.0, 5.0, 18.0)
    assert edited.moved(cube, name, 6.0, 6.0).changes[name] == "added"
    after = edited.deleted(name)
    assert after.changes == {}
    assert after.stars.star_id.tolist() == start.stars.star_id.tolist()


def test_a_moved_star_has_no_proper_motion_left(field) -> None:
    from dataclasses import replace

    cube, path = field
    stars = read_star_list(path)
    n = len(stars)
    fast = replace(stars, pm_ra=np.full(n, 500.0), pm_dec=np.full(n, 500.0), epoch=np.full(n, 1990.0))
    edited = EditedStars(fast).moved(cube, str(stars.star_id[0]), 20.0, 21.0)
    x, y = edited.kept.positions(cube)
    assert (x[0], y[0]) == pytest.approx((20.0, 21.0), abs=1e-6)
    before, _ = stars.positions(cube)
    assert abs(x[1] - before[1]) > 10  # the others move on


def test_a_list_of_nothing_is_refused(field, tmp_path) -> None:
    with pytest.raises(StellacubeError, match="No star is left"):
        write_star_list(EditedStars(no_stars()), tmp_path / "none.csv")


def test_centre_and_magnitude_of_isolated_stars(field) -> None:
    cube, path = field
    stars, white = read_star_list(path), cube.overview().white
    x, y = stars.positions(cube)
    distance = np.hypot(x[:, None] - x, y[:, None] - y) + 1e9 * np.eye(len(x))
    seen = np.isfinite(white[np.round(y).astype(int), np.round(x).astype(int)])
    alone = np.flatnonzero((distance.min(axis=1) > 12) & seen)
    assert len(alone) == 5
    for n in alone:
        assert centroid(white, x[n] + 0.8, y[n] - 0.7) == pytest.approx((x[n], y[n]), abs=0.25)
        others = stars.take(np.arange(len(stars)) != n)
        assert estimate_magnitude(white, others, cube, x[n], y[n]) == pytest.approx(stars.mag[n], abs=0.35)
    assert centroid(np.full((20, 20), np.nan), 3.0, 4.0) == (3.0, 4.0)
    assert np.isnan(estimate_magnitude(white, no_stars(), cube, 20.0, 20.0))
