"""Saturated stars: found by their flat or hollow cores, modelled by their wings, kept from their neighbours."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from star_fields import make_field, star_list, write_cube

from processing.cube import CubeOverview, MuseCube
from processing.extraction.defects import Unspoilt, find_saturated
from processing.extraction.extract import extract
from processing.settings import PsfSettings, Settings, SourceSettings

WAVE = np.arange(4750.0, 9350.0, 46.0)
SETTINGS = Settings(psf=PsfSettings(bins=6), workers=2)


def overview(field):
    start = np.linspace(0, field.wave.size, 11).astype(int)
    good = field.ivar > 0
    with np.errstate(invalid="ignore"):
        bands = np.stack([(field.data * good)[a:b].sum(0) / good[a:b].sum(0) for a, b in pairwise(start)])
    return CubeOverview(bands.mean(0), field.data.mean((1, 2)), bands, start)


def found(field):
    return find_saturated(overview(field), field.wave, field.x, field.y, field.mag, 3.95)


def brightest(field):
    ny, nx = field.shape[1:]
    inside = (field.x > 6) & (field.x < nx - 7) & (field.y > 6) & (field.y < ny - 7)
    return int(np.argmin(np.where(inside, field.mag, 99.0)))


def saturate(field, i, kind):
    """Spoil a star's core as a detector does: cut off at half its peak, or empty with negative neighbours."""
    yy, xx = np.indices(field.shape[1:])
    r = np.hypot(xx - field.x[i], yy - field.y[i])
    data = field.data.copy()
    top = data[:, r < 2.5].max(1)[:, None, None]
    if kind == "flat":
        data = np.where(r < 4, np.minimum(data, 0.5 * top), data)
    else:
        data[:, r < 1.5] = 0.0
        data[:, (r >= 1.5) & (r < 3.0) & (np.abs(xx - field.x[i]) < 1)] = -500.0
    return replace(field, data=data.astype(np.float32))


@pytest.mark.parametrize("kind", ["flat", "hollow"])
@pytest.mark.parametrize(("n_star", "size"), [(40, 60), (300, 130)])
def test_the_saturated_star_is_found_and_no_other(n_star, size, kind):
    field = make_field(seed=3, n_star=n_star, shape=(size, size), wave=WAVE[::4], reach=20, integrate=False)
    assert found(field) is None
    i = brightest(field)
    saturation = found(saturate(field, i, kind))
    assert np.flatnonzero(saturation.star).tolist() == [i]
    assert "saturated: flat or hollow" in saturation.reason[i]
    assert saturation.mask[:, round(field.y[i]), round(field.x[i])].all()


@pytest.mark.parametrize("seed", range(6))
def test_sound_fields_have_no_saturated_stars(seed):
    for n_star, size in ((40, 60), (400, 150), (1, 40)):
        field = make_field(
            seed=seed, n_star=n_star, shape=(size, size), wave=WAVE[::10], reach=15, integrate=False, mags=(15.0, 19.0)
        )
        assert found(field) is None


@pytest.mark.parametrize("kind", ["flat", "hollow"])
def test_neighbours_of_a_saturated_star_keep_their_flux(tmp_path, kind):
    x, y = np.array([30.0, 39.5, 25.0, 12.0, 48.0, 14.0, 46.0]), np.array([30.0, 32.0, 21.0, 12.0, 46.0, 47.0, 12.0])
    mag = np.array([14.0, 17.0, 17.5, 16.5, 16.5, 16.5, 16.5])
    field = make_field(positions=(x, y), magnitudes=mag, wave=WAVE, drift=(0, 0))
    error = {}
    for how in ("mask", "ignore"):
        settings = replace(SETTINGS, sources=SourceSettings(saturated=how))
        with MuseCube.open(write_cube(saturate(field, 0, kind), tmp_path / f"{how}.fits")) as cube:
            result = extract(cube, star_list(x=x, y=y, mag=mag), settings)
        ratio = {s.star_id: np.median(s.flux / field.flux[int(s.star_id[1:])]) for s in result.spectra}
        error[how] = max(abs(ratio[star] - 1.0) for star in ("S1", "S2"))
        assert (result.sources.status[0] == "saturated") == (how == "mask")
        assert ("S0" in ratio) == (how == "ignore")
    assert error["mask"] < 0.02
    assert error["mask"] < 0.5 * error["ignore"]


def test_spoilt_voxels_have_no_weight():
    field = make_field(seed=3, wave=WAVE[::4], reach=15, integrate=False)
    i = brightest(field)
    saturation = found(saturate(field, i, "hollow"))
    layers = Unspoilt(field, saturation.mask, saturation.band_start)
    block = layers.block(3, 9)
    y, x = round(field.y[i]), round(field.x[i])
    assert not block.ivar[:, y, x].any()
    np.testing.assert_array_equal(block.ivar[:, 5, 5], field.ivar[3:9, 5, 5])
