"""Stars taken out of a cube leave the sky; neighbours are told as they are."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from astropy.io import fits
from star_fields import make_field, moffat, sky_positions, write_cube

from processing.cube import MuseCube
from processing.errors import StellacubeError
from processing.extraction.neighbours import find_neighbours
from processing.extraction.subtract import subtract_stars
from processing.pipeline import RunInputs, extract_only
from processing.settings import from_dict

SHAPE = (54, 60)
N_STARS = 14


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """Return a field without noise to speak of, its cube, and the result of its extraction; one star lies outside."""
    folder = tmp_path_factory.mktemp("field")
    rng = np.random.default_rng(8)
    x, y = rng.uniform(5, 55, N_STARS), rng.uniform(5, 49, N_STARS)
    x[-1], y[-1] = -4.0, 20.0
    made = make_field(
        8, shape=SHAPE, wave=np.arange(4750.0, 9350.1, 100.0), positions=(x, y), magnitudes=np.full(N_STARS, 16.0)
    )
    cube = write_cube(made, folder / "cube.fits")
    ra, dec = sky_positions(x, y, SHAPE)
    rows = [f"{i + 1},{float(ra[i])!r},{float(dec[i])!r},16.0" for i in range(N_STARS)]
    (folder / "stars.csv").write_text("\n".join(["id,ra,dec,mag", *rows]))
    settings = from_dict({"workers": 1, "psf": {"bins": 8}})
    result = extract_only(RunInputs(cube, folder / "stars.csv", out=folder / "out"), settings)
    return made, cube, result


def test_the_sky_stays(tmp_path, extracted):
    made, cube, result = extracted
    out = tmp_path / "residual.fits"
    assert subtract_stars(result.session, out) == N_STARS
    with MuseCube.open(out) as left, MuseCube.open(cube) as before:
        assert left.wave == pytest.approx(before.wave)
        assert left.pixel_to_world(3.0, 4.0) == pytest.approx(before.pixel_to_world(3.0, 4.0))
        assert left.flux_unit == before.flux_unit
        n_wave = left.wave.size
        block, old = left.block(0, n_wave), before.block(0, n_wave)
        good = old.ivar > 0
        assert (good == (block.ivar > 0)).all()
        assert block.ivar[good] == pytest.approx(old.ivar[good], rel=1e-5)
        chi = ((block.flux - made.truth["sky"][:, None, None]) * np.sqrt(block.ivar))[good]
        assert np.std(chi) == pytest.approx(1.0, abs=0.03)
        image = np.where(good, block.flux - made.truth["sky"][:, None, None], 0.0).sum(0)
        noise = np.sqrt(np.divide(1.0, block.ivar, out=np.zeros_like(block.ivar), where=good).sum(0))
        assert np.abs(image[noise > 0] / noise[noise > 0]).max() < 6.0


def test_a_star_that_is_kept_stays_as_it_was(tmp_path, extracted):
    made, _, result = extracted
    subtract_stars(result.session, tmp_path / "one.fits", keep=["3"])
    subtract_stars(result.session, tmp_path / "none.fits")
    one, none = (fits.getdata(tmp_path / f"{name}.fits", "DATA").astype(float) for name in ("one", "none"))
    star = np.nansum((one - none)[20])
    t = made.truth["t"][20]
    yy, xx = np.indices(SHAPE)
    inside = np.isfinite(one[20])
    shares = moffat(xx - made.x[2] - 0.5 * t, yy - made.y[2] + 0.3 * t, 4.2 - 0.5 * t, 2.4 + 0.3 * t)[inside].sum()
    assert star == pytest.approx(made.flux[2, 20] * shares, rel=0.02)


def test_what_cannot_be_subtracted_is_said(tmp_path, extracted):
    _, cube, result = extracted
    with pytest.raises(StellacubeError, match="no spectrum of 77"):
        subtract_stars(result.session, tmp_path / "x.fits", keep=["77"])
    before = cube.stat().st_size, cube.stat().st_mtime_ns
    with pytest.raises(StellacubeError, match="take the cube's place"):
        subtract_stars(result.session, cube)
    assert (cube.stat().st_size, cube.stat().st_mtime_ns) == before
    other = write_cube(make_field(1, n_star=3, shape=SHAPE, wave=np.arange(5000.0, 6000.0, 100.0)), tmp_path / "o.fits")
    with pytest.raises(StellacubeError, match="layers"):
        subtract_stars(result.session, tmp_path / "x.fits", cube_path=other)
    assert not (tmp_path / "x.fits").exists()


def test_the_source_list_tells_quality_and_neighbours(extracted):
    _, _, result = extracted
    path = next(path for path in result.files if path.name.endswith("sources.csv"))
    rows = {row["star_id"]: row for row in csv.DictReader(path.open())}
    assert float(rows["1"]["snr"]) > 50
    assert float(rows["1"]["snr_der"]) > 10
    assert 0 <= float(rows["1"]["contamination"]) < 1
    assert rows[str(N_STARS)]["snr"] in ("", "nan")  # outside the field: no spectrum
    x, y = (np.array([float(row[name]) for row in rows.values()]) for name in ("x", "y"))
    apart = np.hypot(x - x[0], y - y[0])
    closest = np.argsort(apart)[1]
    if rows["1"]["nearest"]:
        assert rows["1"]["nearest"] == str(closest + 1)
        assert float(rows["1"]["nearest_dist"]) == pytest.approx(apart[closest], rel=1e-6)


def test_blending_is_the_neighbours_light_over_the_stars_own():
    x, y = np.array([0.0, 3.0, 4.0, 100.0, np.nan]), np.array([0.0, 4.0, 0.0, 0.0, 0.0])
    flux = np.array([2.0, 10.0, 1.0, 5.0, 1.0])
    found = find_neighbours(x, y, flux, 4.0)
    assert found.nearest.tolist() == [2, 2, 0, -1, -1]
    assert found.distance[:3] == pytest.approx([4.0, np.hypot(1, 4), 4.0])
    assert found.ratio[:2] == pytest.approx([0.5, 0.1])
    peak = moffat(0.0, 0.0, 4.0, 2.5)
    expected = (10 * moffat(3.0, 4.0, 4.0, 2.5) + 1 * moffat(4.0, 0.0, 4.0, 2.5)) / (2 * peak)
    assert found.blending[0] == pytest.approx(expected)
    assert found.blending[3] == 0.0
    assert np.isnan(found.blending[4])
    assert find_neighbours(x[:1], y[:1], flux[:1], 4.0).nearest.tolist() == [-1]
