"""ZAP as an extra: what it is told about the field; a stand-in takes the program's place."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from star_fields import moffat

from processing.errors import StellacubeError
from processing.preparation.zap import clean_with_zap, source_mask


def white(seed=1, stars=((20, 25), (41, 12)), flux=300.0):
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:60, :60]
    image = 10.0 + rng.normal(0.0, 0.05, (60, 60))
    for x, y in stars:
        image += flux * moffat(xx - x, yy - y, 4.0, 2.5, 0.0, 0.0)
    image[:, :3] = np.nan
    return image


def test_stars_and_what_is_no_sky_are_masked():
    mask = source_mask(white())
    assert mask[25, 20] == mask[12, 41] == 1
    assert mask[:, :3].all()
    far = np.hypot(*(np.mgrid[:60, :60] - np.array([25, 20])[:, None, None])) > 20
    far &= np.hypot(*(np.mgrid[:60, :60] - np.array([12, 41])[:, None, None])) > 20
    far[:, :3] = False
    assert mask[far].mean() < 0.05


def test_zap_gets_the_mask(tmp_path, monkeypatch):
    cube = tmp_path / "cube.fits"
    make_cube(cube)
    told = {}

    def process(path, *, outcubefits, mask, overwrite):
        told["mask"] = fits.getdata(mask)
        shutil.copy(path, outcubefits)

    monkeypatch.setitem(sys.modules, "zap", SimpleNamespace(process=process))
    share = clean_with_zap(cube, tmp_path / "clean.fits")
    assert told["mask"].shape == (40, 40)
    assert 0.1 < share < 1.0
    assert share == np.mean(told["mask"] == 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean.fits", "cube.fits"]


def test_without_zap_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zap", None)
    with pytest.raises(StellacubeError, match="not installed"):
        clean_with_zap(tmp_path / "cube.fits", tmp_path / "clean.fits")


def make_cube(path):
    rng = np.random.default_rng(3)
    yy, xx = np.mgrid[:40, :40]
    star = 500.0 * moffat(xx - 20, yy - 18, 4.0, 2.5, 0.0, 0.0)
    data = (rng.normal(5.0, 0.3, (12, 40, 40)) + star).astype(np.float32)
    header = fits.Header({"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 5000.0, "CRPIX3": 1.0, "CD3_3": 1.25})
    header["BUNIT"] = "10**(-20)*erg/s/cm**2/Angstrom"
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(data, header, "DATA"),
        fits.ImageHDU(np.full_like(data, 0.09), header, "STAT"),
    ]
    fits.HDUList(hdus).writeto(path)
