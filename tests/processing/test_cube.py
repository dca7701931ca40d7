"""Cubes as they come: masks, wavelength axes, sky coordinates, units, velocity frames, statistics, and bad files."""

from __future__ import annotations

import gzip
import math
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from processing.cube import MuseCube
from processing.errors import Cancelled, StellacubeError

SHAPE = (200, 12, 14)
SCALE = 0.2 / 3600


def make_header(**changes: Any) -> fits.Header:
    """Return the header of a MUSE cube; a change to None takes the card out."""
    cards: dict[str, Any] = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg",
        "CRVAL1": 6.0, "CRVAL2": -72.1, "CRPIX1": 6.0, "CRPIX2": 5.0,
        "CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE,
        "CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4750.0, "CRPIX3": 1.0, "CD3_3": 1.25,
        "BUNIT": "10**(-20)*erg/s/cm**2/Angstrom",
    }  # fmt: skip
    header = fits.Header()
    for key, value in (cards | changes).items():
        if value is not None:
            header[key] = value
    return header


def make_primary(**changes: Any) -> fits.Header:
    cards = {"INSTRUME": "MUSE", "OBJECT": "NGC 104", "EXPTIME": 900.0, "RA": 6.0, "DEC": -72.1, "MJD-OBS": 57000.2}
    header = fits.Header()
    header["HIERARCH ESO INS MODE"] = "WFM-NOAO-N"
    header["HIERARCH ESO PRO REC1 PARAM1 NAME"] = "rvcorr"
    header["HIERARCH ESO PRO REC1 PARAM1 VALUE"] = "bary"
    for key, value in (cards | changes).items():
        if value is None:
            header.remove(key, ignore_missing=True)
        else:
            header[key] = value
    return header


def make_data(seed: int = 1, noise: float = 2.0) -> np.ndarray:
    """Return a star on a sky with noise, shape SHAPE, float32."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: SHAPE[1], : SHAPE[2]]
    star = 300 * np.exp(-((xx - 7) ** 2 + (yy - 6) ** 2) / 5)
    return (10 + star + rng.normal(0, noise, SHAPE)).astype(np.float32)


def write_cube(
    path: Path,
    data: np.ndarray | None = None,
    stat: np.ndarray | float | None = 4.0,
    dq: np.ndarray | None = None,
    primary: fits.Header | None = None,
    stat_name: str = "STAT",
    **changes: Any,
) -> Path:
    data = make_data() if data is None else data
    header = make_header(**changes)
    hdus = [fits.PrimaryHDU(header=make_primary() if primary is None else primary)]
    hdus.append(fits.ImageHDU(data, header, name="DATA"))
    if stat is not None:
        stat = np.full(data.shape, stat, np.float32) if np.isscalar(stat) else stat
        hdus.append(fits.ImageHDU(stat, header, name=stat_name))
    if dq is not None:
        hdus.append(fits.ImageHDU(dq, header, name="DQ"))
    fits.HDUList(hdus).writeto(path)
    return path


def problem(path: Path) -> str:
    with pytest.raises(StellacubeError) as caught:
        MuseCube.open(path)
    assert caught.value.message.endswith(".")
    return str(caught.value)


# --- what is read


def test_reads_flux_and_variance_in_native_order(tmp_path: Path) -> None:
    data, rng = make_data(), np.random.default_rng(2)
    stat = rng.uniform(1, 9, SHAPE).astype(np.float32)
    with MuseCube.open(write_cube(tmp_path / "c.fits", data, stat)) as cube:
        assert cube.shape == SHAPE
        assert cube.notes == ()
        assert (cube.instrument, cube.mode, cube.object_name) == ("MUSE", "WFM-NOAO-N", "NGC 104")
        assert cube.exptime == 900.0
        block = cube.block(10, 50)
        assert block.flux.dtype.isnative
        assert block.flux.dtype == np.float32
        np.testing.assert_array_equal(block.flux, data[10:50])
        np.testing.assert_allclose(block.ivar, 1 / stat[10:50], rtol=1e-6)
        np.testing.assert_array_equal(cube.layer(33), data[33])
        np.testing.assert_allclose(cube.variance(33), stat[33], rtol=1e-6)
        flux, ivar = cube.spaxel(7, 6)
        np.testing.assert_array_equal(flux, data[:, 6, 7])
        np.testing.assert_allclose(ivar, 1 / stat[:, 6, 7], rtol=1e-6)


def test_masks_nan_bad_variance_and_data_quality(tmp_path: Path) -> None:
    data, stat = make_data(), np.full(SHAPE, 4.0, np.float32)
    dq = np.zeros(SHAPE, np.uint8)
    data[:, 0] = np.nan
    data[5, 4, 4] = np.inf
    stat[6, 4, 4], stat[7, 4, 4], stat[8, 4, 4] = 0.0, -1.0, np.nan
    dq[9, 4, 4] = 1
    with MuseCube.open(write_cube(tmp_path / "c.fits", data, stat, dq)) as cube:
        flux, ivar = cube.spaxel(4, 4)
        assert np.flatnonzero(ivar == 0).tolist() == [5, 6, 7, 8, 9]
        assert np.flatnonzero(np.isnan(flux)).tolist() == [5, 6, 7, 8, 9]
        block = cube.block(0, 20)
        assert np.isfinite(block.flux).all()
        assert np.isfinite(block.ivar).all()
        assert (block.ivar[:, 0] == 0).all()
        assert (block.ivar[5:10, 4, 4] == 0).all()
        overview = cube.overview()
        assert np.isnan(overview.white[0]).all()
        assert np.isfinite(overview.white[1:]).all()


def test_gap_of_zeros_is_masked_in_images_and_spectra(tmp_path: Path) -> None:
    data = make_data()
    data[50:60] = 0
    with MuseCube.open(write_cube(tmp_path / "c.fits", data)) as cube:
        assert (cube.block(48, 62).ivar.max(axis=(1, 2)) == 0).tolist() == [False] * 2 + [True] * 10 + [False] * 2
        assert np.flatnonzero(cube.spaxel(7, 6)[1] == 0).tolist() == list(range(50, 60))
        assert np.isnan(cube.overview().mean_spectrum[50:60]).all()


def test_data_quality_that_flags_everything_is_not_believed(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits", dq=np.ones(SHAPE, np.int32))
    with MuseCube.open(path) as cube:
        assert any("quality" in note for note in cube.notes)
        assert (cube.spaxel(3, 3)[1] > 0).all()


@pytest.mark.parametrize(("name", "kind"), [("ERR", "error"), ("IVAR", "ivar"), ("VARIANCE", "variance")])
def test_noise_in_other_forms(tmp_path: Path, name: str, kind: str) -> None:
    stored = {"error": 2.0, "ivar": 0.25, "variance": 4.0}[kind]
    with MuseCube.open(write_cube(tmp_path / "c.fits", stat=stored, stat_name=name)) as cube:
        np.testing.assert_allclose(cube.variance(3), 4.0, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["i2", "i4", "f8"])
def test_other_number_types_with_bscale_and_blank(tmp_path: Path, dtype: str) -> None:
    data = np.round(make_data())
    path = write_cube(tmp_path / "c.fits", data.astype(dtype) if dtype == "f8" else ((data - 100) / 0.5).astype(dtype))
    if dtype != "f8":
        with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
            hdus["DATA"].data[3, 3, 3] = -32768
            hdus["DATA"].header.update(BSCALE=0.5, BZERO=100.0, BLANK=-32768)
        data[3, 3, 3] = np.nan
    with MuseCube.open(path) as cube:
        np.testing.assert_array_equal(cube.layer(3), data[3])
        assert cube.layer(3).dtype == np.float32


def test_cgs_fluxes_are_scaled_so_that_inverse_variances_fit(tmp_path: Path) -> None:
    data = make_data() * np.float32(1e-20)
    stat = np.full(SHAPE, 4e-40)
    path = write_cube(tmp_path / "c.fits", data, stat, BUNIT="erg/s/cm**2/Angstrom")
    with MuseCube.open(path) as cube:
        np.testing.assert_allclose(cube.layer(3), make_data()[3], rtol=1e-5)
        np.testing.assert_allclose(cube.block(3, 4).ivar, 0.25, rtol=1e-5)
        assert cube.flux_unit == "10**(-20)*erg/s/cm**2/Angstrom"
        assert any("1e20" in note for note in cube.notes)


def test_cube_in_the_primary_extension_without_a_name(tmp_path: Path) -> None:
    fits.PrimaryHDU(make_data(), make_header()).writeto(tmp_path / "c.fits")
    with MuseCube.open(tmp_path / "c.fits") as cube:
        assert cube.shape == SHAPE
        assert cube.wcs is not None
        assert not cube.has_variance


def test_first_cube_that_is_no_variance_is_taken(tmp_path: Path) -> None:
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.ones(SHAPE, "f4"), make_header(), name="STAT")]
    hdus += [fits.ImageHDU(make_data(), make_header(), name="FLUX")]
    fits.HDUList(hdus).writeto(tmp_path / "c.fits")
    with MuseCube.open(tmp_path / "c.fits") as cube:
        np.testing.assert_array_equal(cube.layer(0), make_data()[0])
        assert cube.has_variance


def test_reopens_from_a_pickle(tmp_path: Path) -> None:
    with (
        MuseCube.open(write_cube(tmp_path / "c.fits")) as cube,
        pickle.loads(pickle.dumps(cube)) as copy,
    ):
        np.testing.assert_array_equal(copy.layer(3), cube.layer(3))


def test_lsf_extension(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits")
    fits.append(path, np.linspace(3, 2.5, SHAPE[0]), fits.Header({"EXTNAME": "LSF"}))
    with MuseCube.open(path) as cube:
        assert cube.lsf_fwhm is not None
        np.testing.assert_allclose(cube.lsf_fwhm[[0, -1]], [3, 2.5])


# --- wavelengths


def test_wavelengths_by_the_standard(tmp_path: Path) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits", CRPIX3=101.0, CRVAL3=5000.0)) as cube:
        header = make_header(CRPIX3=101.0, CRVAL3=5000.0)
        expected = WCS(header).sub([3]).wcs_pix2world(np.arange(SHAPE[0]), 0)[0] * 1e10
        np.testing.assert_allclose(cube.wave, expected, rtol=1e-12)
        assert cube.frame == "air"
        assert cube.wave.dtype == np.float64


@pytest.mark.parametrize(
    ("unit", "factor", "noted"),
    [
        ("Angstrom", 1, False), ("angstroms", 1, False), ("A", 1, False), ("AA", 1, False), ("0.1 nm", 1, False),
        ("nm", 10, False), ("um", 1e4, False), ("micron", 1e4, False), ("m", 1e10, False), ("METER", 1e10, False),
        (None, 1, True), (None, 10, True), (None, 1e10, True), ("lambda", 1, True), ("m", 1, True),
    ],
)  # fmt: skip
def test_wavelength_units(tmp_path: Path, unit: str | None, factor: float, noted: bool) -> None:
    path = write_cube(tmp_path / "c.fits", CUNIT3=unit, CRVAL3=4750 / factor, CD3_3=1.25 / factor)
    with MuseCube.open(path) as cube:
        np.testing.assert_allclose(cube.wave[[0, 100]], [4750, 4875], rtol=1e-9)
        assert bool(cube.notes) == noted


def test_step_from_cdelt_and_pc(tmp_path: Path) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits", CD3_3=None, CDELT3=2.5, PC3_3=0.5)) as cube:
        assert cube.wave[1] - cube.wave[0] == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("ctype", "frame", "noted"),
    [("AWAV", "air", False), ("WAVE", "vacuum", False), ("LINEAR", "air", True), (None, "air", True)],
)
def test_air_and_vacuum(tmp_path: Path, ctype: str | None, frame: str, noted: bool) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits", CTYPE3=ctype)) as cube:
        assert cube.frame == frame
        assert bool(cube.notes) == noted


@pytest.mark.parametrize(("ctype", "frame"), [("AWAV-LOG", "air"), ("WAVE-LOG", "vacuum")])
def test_logarithmic_axis_as_wcslib_does_it(tmp_path: Path, ctype: str, frame: str) -> None:
    path = write_cube(tmp_path / "c.fits", CTYPE3=ctype)
    expected = WCS(make_header(CTYPE3=ctype)).sub([3]).wcs_pix2world(np.arange(SHAPE[0]), 0)[0] * 1e10
    with MuseCube.open(path) as cube:
        np.testing.assert_allclose(cube.wave, expected, rtol=1e-10)
        assert cube.frame == frame


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"CRVAL3": None}, "no wavelength axis"),
        ({"CD3_3": None}, "no wavelength axis"),
        ({"CD3_3": 0.0}, "no wavelength axis"),
        ({"CD3_3": -1.25}, "decrease"),
        ({"CTYPE3": "FREQ"}, "FREQ"),
        ({"CUNIT3": None, "CRVAL3": 3.6, "CD3_3": 1e-4}, "not understood"),
    ],
)
def test_unusable_wavelength_axes(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert said in problem(write_cube(tmp_path / "c.fits", **changes))


# --- sky


@pytest.mark.parametrize("kind", ["cd", "pc", "crota"])
def test_rotated_sky_axes(tmp_path: Path, kind: str) -> None:
    """A field rotated by 30 degrees, in the three ways to write it, against the tangent projection by hand."""
    angle = np.radians(30)
    matrix = np.array([[-math.cos(angle), math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * SCALE
    cards: dict[str, Any] = {f"CD{i + 1}_{j + 1}": matrix[i, j] for i in range(2) for j in range(2)}
    if kind != "cd":
        cards = dict.fromkeys(cards) | {"CDELT1": -SCALE, "CDELT2": SCALE}
        if kind == "pc":
            cards |= {f"PC{i + 1}_{j + 1}": matrix[i, j] / (-SCALE, SCALE)[i] for i in range(2) for j in range(2)}
        else:
            cards |= {"CROTA2": -30.0}
    with MuseCube.open(write_cube(tmp_path / "c.fits", **cards)) as cube:
        assert cube.pixel_scale == pytest.approx(0.2, rel=1e-6)
        xi, eta = matrix @ np.array([9.0 - 5.0, 2.0 - 4.0])  # 0-based x = 9, y = 2; CRPIX is 1-based
        ra, dec = cube.pixel_to_world(9.0, 2.0)
        assert (ra - 6.0) * math.cos(math.radians(dec)) == pytest.approx(xi, abs=1e-7)
        assert dec + 72.1 == pytest.approx(eta, abs=1e-7)
        assert cube.world_to_pixel(ra, dec) == (pytest.approx(9.0), pytest.approx(2.0))


def test_reference_pixel_outside_the_image(tmp_path: Path) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits", CRPIX1=-400.0, CRPIX2=900.0)) as cube:
        ra, dec = cube.pixel_to_world(np.array([0.0, 13.0]), np.array([0.0, 11.0]))
        x, y = cube.world_to_pixel(ra, dec)
        np.testing.assert_allclose(x, [0, 13], atol=1e-6)
        np.testing.assert_allclose(y, [0, 11], atol=1e-6)
        assert math.hypot((ra[0] - 6) * math.cos(math.radians(72.1)), dec[0] + 72.1) == pytest.approx(
            math.hypot(401, 899) * SCALE, rel=1e-3
        )


def test_swapped_axes_still_give_ra_first(tmp_path: Path) -> None:
    path = write_cube(
        tmp_path / "c.fits", CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1=-72.1, CRVAL2=6.0, CD1_1=SCALE, CD2_2=-SCALE
    )
    with MuseCube.open(path) as cube:
        ra, dec = cube.pixel_to_world(5.0, 4.0)
        assert (ra, dec) == (pytest.approx(6.0), pytest.approx(-72.1))


@pytest.mark.parametrize(
    "changes",
    [
        {"CTYPE1": "PIXEL", "CTYPE2": "PIXEL"},
        {"CTYPE1": None, "CTYPE2": None},
        {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
        {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"},
        {"CD1_1": 0.0, "CD2_2": 0.0},
    ],
)
def test_without_sky_coordinates_it_works_and_says_so(tmp_path: Path, changes: dict[str, Any]) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits", **changes)) as cube:
        assert cube.wcs is None
        assert math.isnan(cube.pixel_scale)
        assert len(cube.notes) == 1
        assert np.isfinite(cube.aperture(7, 6, 2).flux).all()
        with pytest.raises(StellacubeError, match="no sky coordinates"):
            cube.world_to_pixel(6.0, -72.1)


# --- unit, velocity


@pytest.mark.parametrize(
    "text",
    [
        "10**(-20)*erg/s/cm**2/Angstrom", "10**-20 Angstrom-1 cm-2 erg s-1", "10^-20 erg/s/cm^2/A",
        "1e-20 erg/s/cm2/AA", "10**(-20) erg cm**(-2) s**(-1) Angstrom**(-1)", "1E-20 erg / (s cm2 Angstrom)",
    ],
)  # fmt: skip
def test_spellings_of_the_flux_unit(tmp_path: Path, text: str) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits", BUNIT=text)) as cube:
        assert cube.flux_unit == "10**(-20)*erg/s/cm**2/Angstrom"


@pytest.mark.parametrize("text", ["counts", "electron", "10**(-16)*erg/s/cm**2/Angstrom", "Jy/beam???"])
def test_other_units_stay_as_they_are(tmp_path: Path, text: str) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits", BUNIT=text)) as cube:
        assert cube.flux_unit == text


def test_barycentric_correction_against_a_circular_orbit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 1.1 km/s (the eccentricity and the Earth's rotation) of a circular orbit, all through a year, offline."""

    def no_network(*args: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    seen = []
    for i, mjd in enumerate(57000.2 + np.arange(0, 360, 45)):
        path = write_cube(tmp_path / f"c{i}.fits", primary=make_primary(**{"MJD-OBS": mjd, "RA": 90.0, "DEC": 0.0}))
        with MuseCube.open(path) as cube:
            sun = math.radians(280.46 + 0.9856474 * (mjd - 51544.5))  # mean longitude of the Sun
            # the Earth moves towards longitude sun - 90; a star at RA 6h, Dec 0 has longitude 90, latitude -23.4
            toward = 29.79 * math.cos(math.radians(23.44)) * math.cos(math.radians(90) - (sun - math.pi / 2))
            seen.append(cube.barycentric)
            assert cube.barycentric == pytest.approx(toward, abs=1.1)
    assert np.ptp(seen) > 45


def test_velocity_frame_from_the_header(tmp_path: Path) -> None:
    primary = make_primary()
    primary["HIERARCH ESO DRS MUSE PIXTABLE RVCORR"] = -12.345
    with MuseCube.open(write_cube(tmp_path / "applied.fits", primary=primary)) as cube:
        assert cube.barycentric == -12.345
    primary = make_primary()
    primary["HIERARCH ESO PRO REC1 PARAM1 VALUE"] = "none"
    with MuseCube.open(write_cube(tmp_path / "none.fits", primary=primary)) as cube:
        assert cube.barycentric == 0.0
    with MuseCube.open(write_cube(tmp_path / "no_date.fits", primary=make_primary(**{"MJD-OBS": None}))) as cube:
        assert math.isnan(cube.barycentric)
        assert math.isnan(cube.epoch)
    with MuseCube.open(write_cube(tmp_path / "bare.fits", primary=fits.Header())) as cube:
        assert math.isnan(cube.barycentric)
        assert any("velocity frame" in note for note in cube.notes)
    with MuseCube.open(write_cube(tmp_path / "epoch.fits")) as cube:
        assert cube.epoch == pytest.approx(2014.938, abs=0.002)


# --- statistics


def test_overview_against_numpy(tmp_path: Path) -> None:
    data = make_data().astype(np.float64)
    data[:, :, 0] = np.nan
    data[20:30, 4, 4] = np.nan
    with MuseCube.open(write_cube(tmp_path / "c.fits", data.astype(np.float32))) as cube:
        seen: list[float] = []
        overview = cube.overview(progress=lambda fraction, text: seen.append(fraction))
        expected = data.astype(np.float32).astype(np.float64)
        np.testing.assert_allclose(overview.white[:, 1:], np.nanmean(expected[:, :, 1:], axis=0), rtol=1e-6)
        np.testing.assert_allclose(overview.mean_spectrum, np.nanmean(expected, axis=(1, 2)), rtol=1e-6)
        start = overview.band_start
        assert (start[0], start[-1]) == (0, SHAPE[0])
        assert len(overview.bands) == len(start) - 1 == 4
        middle = np.nanmean(expected[start[1] : start[2], :, 1:], axis=0)
        np.testing.assert_allclose(overview.bands[1][:, 1:], middle, rtol=1e-6)
        np.testing.assert_allclose(
            cube.band_image(cube.wave[30], cube.wave[40])[:, 1:], np.nanmean(expected[30:40, :, 1:], axis=0), rtol=1e-6
        )
        assert seen[-1] == 1.0
        assert seen == sorted(seen)


def test_overview_can_be_cancelled(tmp_path: Path) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits")) as cube, pytest.raises(Cancelled):
        cube.overview(cancelled=lambda: True)


def test_without_variance_the_noise_is_found(tmp_path: Path) -> None:
    """Noise that changes with wavelength, under a star with lines, is recovered within 10 % per layer."""
    rng = np.random.default_rng(4)
    sigma = np.linspace(1, 3, SHAPE[0])
    big = (SHAPE[0], 60, 60)
    data = 50 + rng.normal(size=big) * sigma[:, None, None]
    data[:, 10:20, 10:20] += 500 * (1 - 0.5 * np.exp(-((np.arange(SHAPE[0]) - 80) ** 2) / 8))[:, None, None]
    data[100:110] = np.nan
    data[:, :, -5:] = 0
    with MuseCube.open(write_cube(tmp_path / "c.fits", data.astype(np.float32), stat=None)) as cube:
        assert not cube.has_variance
        assert any("no variances" in note for note in cube.notes)
        ivar = cube.block(0, SHAPE[0]).ivar
        assert (ivar[:, :, -5:] == 0).all()
        assert (ivar[100:110] == 0).all()
        live = np.r_[0:100, 110 : SHAPE[0]]
        np.testing.assert_allclose(1 / np.sqrt(ivar[live, 5, 5]), sigma[live], rtol=0.12)
        np.testing.assert_array_equal(ivar[60:70], cube.block(60, 70).ivar)
        np.testing.assert_array_equal(cube.spaxel(30, 30)[1], ivar[:, 30, 30])


def test_variance_of_zeros_counts_as_none(tmp_path: Path) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits", stat=0.0)) as cube:
        assert not cube.has_variance
        assert (cube.spaxel(3, 3)[1] > 0).all()
        assert any("not used" in note for note in cube.notes)


def test_aperture_of_a_disc(tmp_path: Path) -> None:
    """A flat field gives the circle's area, errors add in quadrature, and the annulus takes the sky away."""
    data = np.full(SHAPE, 5.0, np.float32)
    with MuseCube.open(write_cube(tmp_path / "c.fits", data, 4.0)) as cube:
        star = cube.aperture(7.0, 5.5, 2.5)
        np.testing.assert_allclose(star.flux, 5 * math.pi * 2.5**2, rtol=2e-3)
        assert np.all((star.error > 2 * math.sqrt(16)) & (star.error < 2 * math.sqrt(math.pi * 2.5**2)))
        assert (star.frame, star.flux_unit, star.x, star.y) == ("air", cube.flux_unit, 7.0, 5.5)
        assert (star.ra, star.dec) == (pytest.approx(cube.pixel_to_world(7.0, 5.5)[0]), pytest.approx(star.dec))
        np.testing.assert_allclose(cube.aperture(7.0, 5.5, 2.0, (3.0, 5.0)).flux, 0, atol=1e-3)
        assert np.isfinite(cube.aperture(0.0, 0.0, 1.0).flux).all()
        with pytest.raises(StellacubeError, match="outside"):
            cube.aperture(100, 100, 2)


def test_aperture_spectrum_is_that_of_the_star(tmp_path: Path) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits")) as cube:
        star = cube.aperture(7.0, 6.0, 5.0, (5.5, 7.5))
        assert np.median(star.flux) == pytest.approx(300 * math.pi * 5, rel=0.02)
        scatter = np.std(star.flux) / np.median(star.error)
        assert 0.8 < scatter < 1.25


def test_aperture_masks_what_is_mostly_missing(tmp_path: Path) -> None:
    data = np.full(SHAPE, 5.0, np.float32)
    data[3, 4:8, 5:10] = np.nan
    data[4, 6, 7] = np.nan
    with MuseCube.open(write_cube(tmp_path / "c.fits", data)) as cube:
        star = cube.aperture(7.0, 6.0, 2.0)
        assert np.flatnonzero(~star.good).tolist() == [3]
        assert star.flux[4] == pytest.approx(star.flux[5], rel=1e-5)
        assert star.error[4] > star.error[5]


# --- bad input


def test_bad_files_get_a_sentence(tmp_path: Path) -> None:
    assert "no file" in problem(tmp_path / "none.fits")
    assert "folder" in problem(tmp_path)
    (tmp_path / "empty.fits").touch()
    assert "empty" in problem(tmp_path / "empty.fits")
    (tmp_path / "text.fits").write_text("x y\n1 2\n")
    assert "not a FITS file" in problem(tmp_path / "text.fits")
    (tmp_path / "lie.fits").write_bytes(b"SIMPLE  =                    T" + b" " * 2000)
    assert "FITS" in problem(tmp_path / "lie.fits")
    fits.PrimaryHDU(np.zeros((5, 6), "f4")).writeto(tmp_path / "image.fits")
    assert "2-dimensional" in problem(tmp_path / "image.fits")
    fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])]).writeto(tmp_path / "table.fits")
    assert "no image" in problem(tmp_path / "table.fits")


def test_compressed_cubes_say_how_to_unpack(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits")
    (tmp_path / "c.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert "gunzip c.fits.gz" in problem(tmp_path / "c.fits.gz")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(make_data(), name="DATA")]).writeto(tmp_path / "c.fits.fz")
    assert "funpack c.fits.fz" in problem(tmp_path / "c.fits.fz")


@pytest.mark.parametrize("part", [0.05, 0.3, 0.7, 0.97])
def test_truncated_file(tmp_path: Path, part: float) -> None:
    path = write_cube(tmp_path / "c.fits")
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert "truncated" in problem(path) or "FITS" in problem(path)


def test_damaged_header_cards_are_left_out(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits")
    content = path.read_bytes()
    for old, new in ((b"CD2_2   = ", b"CD2_2   =?"), (b"EXPTIME =  ", b"EXPTIME = \x16"), (b"= 'NGC", b"=\xff'NGC")):
        assert old in content
        content = content.replace(old, new, 1)
    path.write_bytes(content)
    with MuseCube.open(path) as cube:
        assert any("damaged" in note for note in cube.notes)
        assert np.isfinite(cube.overview().white).all()


def test_missing_variance_that_the_header_promises_is_noted(tmp_path: Path) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits", stat=None, ERRDATA="STAT")) as cube:
        assert any("cut off" in note for note in cube.notes)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_cube_of_nothing(tmp_path: Path, value: float) -> None:
    assert "no data" in problem(write_cube(tmp_path / "c.fits", np.full(SHAPE, value, np.float32)))


def test_a_cube_with_few_good_layers_is_no_cube_of_nothing(tmp_path: Path) -> None:
    data = np.full(SHAPE, np.nan, np.float32)
    data[13] = 1.0
    with MuseCube.open(write_cube(tmp_path / "c.fits", data)) as cube:
        assert np.isfinite(cube.overview().white).all()


def test_layers_and_spaxels_that_do_not_exist(tmp_path: Path) -> None:
    with MuseCube.open(write_cube(tmp_path / "c.fits")) as cube:
        for x, y in ((-1, 0), (14, 0), (0, 12)):
            with pytest.raises(StellacubeError, match="no spaxel"):
                cube.spaxel(x, y)
        with pytest.raises(StellacubeError, match="layers"):
            cube.layer(200)
