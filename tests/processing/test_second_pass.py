"""Stars that the list lacks: found on the residual image, extracted, and no longer in the others' way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from star_fields import make_field, sky_positions, star_list, write_cube

from processing.checkpoint import MemoryCheckpoint
from processing.cube import MuseCube
from processing.extraction.extract import extract
from processing.pipeline import RunInputs, extract_only
from processing.settings import ExtractionSettings, PsfSettings, Settings

ONCE = Settings(psf=PsfSettings(bins=6), workers=2)
TWICE = replace(ONCE, extraction=ExtractionSettings(second_pass=True))
MISSING = (3, 11, 20)


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(8)
    x, y = np.mgrid[0:6, 0:4].reshape(2, -1) * np.array([[10.0], [14.0]]) + 8 + rng.uniform(-2, 2, (2, 24))
    mag = rng.uniform(16.5, 19.0, 24)
    x[4], y[4] = x[3] + 5.0, y[3] + 1.0  # a listed star beside a missing one
    mag[list(MISSING)] = 17.5, 18.0, 18.5
    return make_field(positions=(x, y), magnitudes=mag, shape=(62, 66), wave=np.arange(4750.0, 9350.0, 60.0))


@pytest.fixture(scope="module")
def path(made, tmp_path_factory):
    return write_cube(made, tmp_path_factory.mktemp("second") / "cube.fits")


def run(made, path, settings, missing=MISSING, **more):
    ra, dec = sky_positions(made.x, made.y, made.shape[1:])
    stars = star_list(ra=ra, dec=dec, mag=made.mag).take(~np.isin(np.arange(made.x.size), missing))
    with MuseCube.open(path) as cube:
        return extract(cube, stars, settings, **more)


def test_missed_stars_are_found_and_extracted(made, path):
    store = MemoryCheckpoint()
    found = run(made, path, TWICE, checkpoint=store)
    new = [s for s in found.spectra if s.star_id.startswith("new-")]
    assert len(new) == len(MISSING)
    for star in new:
        distance = np.hypot(made.x - star.x, made.y - star.y)
        i = int(np.argmin(distance))
        assert i in MISSING
        assert np.median(star.flux / made.flux[i]) == pytest.approx(1.0, abs=0.03)
        place = found.psf.positions(np.array([star.x]), np.array([star.y]), 7050.0)
        middle = made.x[i] + 0.25, made.y[i] - 0.15  # stars drift by twice that
        assert np.hypot(place[0][0] - middle[0], place[1][0] - middle[1]) < 0.1
        ra, dec = sky_positions(made.x[i], made.y[i], made.shape[1:])
        assert np.hypot((star.ra - ra) * np.cos(np.radians(dec)), star.dec - dec) * 3600 < 0.06
    rows = np.char.startswith(found.sources.star_id, "new-") & found.sources.extracted
    assert (np.char.find(found.sources.reason[rows], "not in the list") >= 0).all()
    assert any("3 stars were found" in note for note in found.notes)

    error = {}
    for name, result in (("once", run(made, path, ONCE)), ("twice", found)):
        listed = [s for s in result.spectra if s.star_id.startswith("S")]
        error[name] = max(abs(np.median(s.flux / made.flux[int(s.star_id[1:])]) - 1.0) for s in listed)
    assert error["twice"] < 0.025
    assert error["twice"] < 0.2 * error["once"]

    again = run(made, path, TWICE, checkpoint=store)
    for a, b in zip(found.spectra, again.spectra, strict=True):
        np.testing.assert_array_equal(a.flux, b.flux)


def test_a_complete_list_gains_no_stars(made, path):
    found = run(made, path, TWICE, missing=())
    assert len(found.spectra) == 24
    assert not np.char.startswith(found.sources.star_id, "new-").any()


def test_correlations_of_neighbours_are_written_on_request(made, path, tmp_path):
    ra, dec = sky_positions(made.x, made.y, made.shape[1:])
    rows = [f"{i},{a:.8f},{d:.8f},{m:.3f}" for i, (a, d, m) in enumerate(zip(ra, dec, made.mag, strict=True))]
    stars = tmp_path / "stars.csv"
    stars.write_text("\n".join(["id,ra,dec,V", *rows]))
    settings = replace(ONCE, extraction=ExtractionSettings(covariance=True))
    extract_only(RunInputs(cube=path, stars=stars, out=tmp_path / "out"), settings)
    (table,) = (tmp_path / "out").glob("*covariance.csv")
    pairs = [line.split(",") for line in table.read_text().splitlines() if not line.startswith("#")]
    assert pairs[0] == ["first", "second", "correlation"]
    strongest = min(pairs[1:], key=lambda pair: float(pair[2]))
    apart = np.hypot(np.subtract.outer(made.x, made.x), np.subtract.outer(made.y, made.y)) + 99.0 * np.eye(made.x.size)
    assert sorted(map(int, strongest[:2])) == sorted(np.unravel_index(np.argmin(apart), apart.shape))
    assert float(strongest[2]) < -0.1
