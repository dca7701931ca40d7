"""The simulator against what it promises: light, places, resolution, noise, header, and the sample's origin."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from models import tiny_model

from processing.errors import Cancelled, StellacubeError
from processing.labels.names import SYNTHETIC_ORDER
from processing.labels.split import held_back
from processing.sample import make_sample
from processing.simulate import (
    Library,
    SimulationSettings,
    Truth,
    draw_field,
    network_library,
    sample_library,
    simulate_field,
    write_cube,
    write_star_list,
)
from processing.simulation.library import VISUAL_ZERO_POINT, visual_magnitude
from processing.simulation.psf import Painter, psf_at
from processing.simulation.settings import LIGHT_SPEED
from processing.simulation.sky import SKY_LINES, muse_lsf

ROOT = Path(__file__).resolve().parents[2]
QUIET = SimulationSettings(noise=False, sky=False, border=0, bad_voxels=0.0, wave_min=5000.0, wave_max=6000.0)


@pytest.fixture(scope="module")
def library() -> Library:
    return sample_library()


def test_sample_is_what_its_readme_says(library: Library) -> None:
    assert len(library) == 40
    assert library.label_names == SYNTHETIC_ORDER
    teff, logg, fe_h = library.labels[:, :3].T
    assert teff.min() > 4000
    assert teff.max() < 6900
    assert fe_h.min() > -2
    assert fe_h.max() < 0.5
    assert np.ptp(logg) > 3.5
    np.testing.assert_allclose(library.wave / library.fwhm, 4000.0)


def test_sample_is_made_from_held_back_spectra_only(library: Library, shared: Path, tmp_path: Path) -> None:
    data = shared / "data" / "synthetic"
    files = [np.load(path) for path in sorted(data.glob("train_*.npz"))]
    index = np.concatenate([file["index"] for file in files])
    labels = np.concatenate([file["labels"] for file in files])
    kept = held_back(len(index))
    rows = [int(np.flatnonzero(index == int(name.split("-")[1]))[0]) for name in library.name]
    assert kept[rows].all()
    np.testing.assert_array_equal(labels[rows], library.labels)
    make_sample(data, tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as again:
        assert [f"synthetic-{i}" for i in again["index"]] == list(library.name)


def test_hot_stars_are_bluer_than_cool_ones(library: Library) -> None:
    blue, red = ((library.wave > low) & (library.wave < low + 300) for low in (4800, 8900))
    colour = library.flux[:, red].mean(axis=1) / library.flux[:, blue].mean(axis=1)
    assert np.corrcoef(library.labels[:, 0], colour)[0, 1] < -0.9


def test_a_line_gets_the_instruments_width_and_the_stars_velocity() -> None:
    wave = np.arange(6000.0, 7000.0, 0.1)
    narrow = 1.0 + np.exp(-0.5 * ((wave - 6500.0) / 0.5) ** 2)
    library = Library(("line",), (), np.zeros((1, 0)), wave, narrow[None], np.full(len(wave), 0.5 * 2.3548))
    pixels = np.arange(6400.0, 6600.0, 0.25)
    seen = library.observed(0, 100.0, pixels, np.full(len(pixels), 3.0)) - 1.0
    centre = np.sum(pixels * seen) / seen.sum()
    width = np.sqrt(np.sum((pixels - centre) ** 2 * seen) / seen.sum())
    assert centre == pytest.approx(6500.0 * (1 + 100.0 / LIGHT_SPEED), abs=2e-3)
    assert width * 2.3548 == pytest.approx(3.0, rel=2e-3)
    # Light is kept, and a library coarser than the instrument stays as it is.
    assert seen.sum() * 0.25 == pytest.approx(0.5 * np.sqrt(2 * np.pi) * (1 + 100.0 / LIGHT_SPEED), rel=2e-3)
    np.testing.assert_allclose(library.observed(0, 0.0, wave[200:300], np.full(100, 0.9)), narrow[200:300], atol=1e-6)


def test_magnitude_of_a_flat_spectrum() -> None:
    wave = np.arange(4750.0, 9350.0, 1.25)
    assert visual_magnitude(wave, np.full(len(wave), VISUAL_ZERO_POINT * 1e-6)) == pytest.approx(15.0)
    with pytest.raises(StellacubeError, match="visual band"):
        visual_magnitude(wave + 5000, np.ones(len(wave)))


def test_a_network_gives_spectra_with_a_black_bodys_colour() -> None:
    model = tiny_model(5000.0, 6000.0)
    labels = np.repeat(model.training_labels[:1].astype(float), 2, axis=0)
    labels[:, 0] = 4500.0, 6500.0
    library = network_library(model, labels)
    assert library.label_names == model.labels
    normalised = library.flux / model.network.flux(labels)
    ratio = normalised[1] / normalised[0]
    x = 1.438777e8 / library.wave  # Wien's law, good to a few per cent here, gives the ratio's slope
    expected = np.exp(-x * (1 / 6500.0 - 1 / 4500.0))
    assert (ratio[0] / ratio[-1]) / (expected[0] / expected[-1]) == pytest.approx(1.0, abs=0.02)
    truth = draw_field(library, replace(QUIET, n_stars=4))
    assert sorted(set(truth.source)) == ["tiny-0", "tiny-1"]
    np.testing.assert_array_equal(visual_magnitude(library.wave, library.flux).shape, (2,))


@pytest.mark.parametrize("halo", [0.0, 0.2])
def test_psf_has_unit_flux_and_its_fwhm(halo: float) -> None:
    psf = psf_at(7000.0, replace(QUIET, halo_fraction=halo))
    axis = np.arange(-150.0, 151.0)
    image = psf(axis, axis[:, None])
    # The wings beyond 150 spaxels hold (1 + r^2 / rd^2)^(1 - beta) of the light.
    assert image.sum() == pytest.approx(1.0, abs=2e-3 + 0.01 * halo)
    if halo == 0.0:
        angle = np.deg2rad(QUIET.position_angle)
        half = psf._profile(np.array(2.0 * np.cos(angle)), np.array(2.0 * np.sin(angle)))
        assert half / psf._profile(np.array(0.0), np.array(0.0)) == pytest.approx(0.5)


def test_pixels_are_integrated() -> None:
    psf = psf_at(7000.0, QUIET)
    nodes = (np.arange(50) + 0.5) / 50 - 0.5
    fine = psf._profile(0.3 + nodes, 0.2 + nodes[:, None]).mean()
    assert psf(np.array([0.3]), np.array([0.2]))[0] == pytest.approx(fine, rel=1e-3)


def test_wings_by_fourier_transform_agree_with_the_direct_sum() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-8, 68, (2, 30))
    direct = Painter(x, y, QUIET)
    split = Painter(x, y, QUIET)
    split.wings, split.radius = True, 14.0
    waves, flux = 5000.0 + 1.25 * np.arange(4), rng.uniform(10, 1000, (30, 4))
    expected = direct.paint(waves, flux, 5005.0)
    np.testing.assert_allclose(split.paint(waves, flux, 5005.0), expected, rtol=0, atol=5e-6 * flux.max())


def test_cube_holds_the_light_of_its_stars(library: Library, tmp_path: Path) -> None:
    settings = replace(QUIET, n_stars=3, nx=120, ny=120, outside=-50.0, mode="WFM-NOAO-N")
    truth = simulate_field(library, settings, tmp_path / "cube.fits")
    data = fits.getdata(tmp_path / "cube.fits", "DATA")
    np.testing.assert_allclose(data.sum(axis=(1, 2)), truth.flux.sum(axis=0), rtol=0.01)
    # A single star's centroid drifts as the refraction says.
    one = truth.take(np.array([0]))
    write_cube(one, settings, tmp_path / "one.fits")
    data = fits.getdata(tmp_path / "one.fits", "DATA").astype(float)
    for layer in (0, 400, 800):
        psf = psf_at(truth.wave[layer], settings)
        window = np.s_[layer, round(one.y[0]) - 6 : round(one.y[0]) + 7, round(one.x[0]) - 6 : round(one.x[0]) + 7]
        lines, columns = np.mgrid[window[1:]]
        light = data[window] ** 2
        assert np.sum(columns * light) / light.sum() == pytest.approx(one.x[0] + psf.dx, abs=0.01)
        assert np.sum(lines * light) / light.sum() == pytest.approx(one.y[0] + psf.dy, abs=0.01)


@pytest.mark.parametrize("resampling", [0.0, 0.2])
def test_stat_is_right_voxel_by_voxel_and_sums_are_noisier_by_the_stated_factor(
    library: Library, tmp_path: Path, resampling: float
) -> None:
    settings = replace(
        QUIET, noise=True, sky=True, sky_residual=0.0, n_stars=1, mag_bright=30.0, mag_faint=30.0, resampling=resampling
    )
    simulate_field(library, settings, tmp_path / "cube.fits")
    with fits.open(tmp_path / "cube.fits") as cube:
        data, stat = cube["DATA"].data, cube["STAT"].data
    assert np.std(data / np.sqrt(stat)) == pytest.approx(1.0, abs=0.01)
    sums = data[:, 10:50, 10:50].sum(axis=(1, 2)) / np.sqrt(stat[:, 10:50, 10:50].sum(axis=(1, 2)))
    assert np.std(sums) == pytest.approx(settings.noise_factor, rel=0.1)
    assert settings.noise_factor == pytest.approx(2.27 if resampling else 1.0, abs=0.01)
    neighbours = np.mean(data[:, :, 1:] * data[:, :, :-1]) / np.mean(data**2)
    assert neighbours == pytest.approx(2 * 0.2 * 0.6 / (0.36 + 0.08) if resampling else 0.0, abs=0.01)


def test_sky_lines_leave_residuals_along_slices(library: Library, tmp_path: Path) -> None:
    settings = replace(QUIET, sky=True, n_stars=1, mag_bright=30.0, mag_faint=30.0, wave_min=5550.0, wave_max=5600.0)
    simulate_field(library, settings, tmp_path / "cube.fits")
    scatter = fits.getdata(tmp_path / "cube.fits", "DATA").std(axis=(1, 2))
    wave = 5550.0 + 1.25 * np.arange(len(scatter))
    assert wave[np.argmax(scatter)] == pytest.approx(SKY_LINES[0][0], abs=3.0)
    assert scatter.max() > 5.0
    assert scatter[np.abs(wave - 5577.3) > 10].max() < 1e-3


def test_missing_data(library: Library, tmp_path: Path) -> None:
    settings = replace(QUIET, border=3, bad_voxels=1e-3, mode="WFM-AO-N", wave_max=6000.0, write_dq=True)
    truth = simulate_field(library, settings, tmp_path / "cube.fits")
    with fits.open(tmp_path / "cube.fits") as cube:
        bad = np.isnan(cube["DATA"].data)
        np.testing.assert_array_equal(bad, np.isnan(cube["STAT"].data))
        np.testing.assert_array_equal(bad, cube["DQ"].data != 0)
    assert bad[:, :3].all()
    assert bad[:, :, -3:].all()
    gap = (truth.wave > 5805.5) & (truth.wave < 5966)
    assert bad[gap].all()
    assert bad[~gap][:, 3:-3, 3:-3].mean() == pytest.approx(1e-3, rel=0.15)


def test_header_is_as_muse_writes_it_and_coordinates_agree(library: Library, tmp_path: Path) -> None:
    settings = replace(QUIET, rotation=30.0, wave_max=5100.0)
    truth = draw_field(library, replace(settings, wave_max=6000.0))
    truth = replace(truth, wave=truth.wave[:81], flux=truth.flux[:, :81])
    for name, change in (("right", {}), ("wrong", {"wcs_offset": (2.0, -1.0), "wcs_rotation": 0.5})):
        write_cube(truth, replace(settings, **change), tmp_path / f"{name}.fits")
    with fits.open(tmp_path / "right.fits") as cube:
        cube.verify("exception")
        primary, header = cube[0].header, cube["DATA"].header
        assert primary["INSTRUME"] == "MUSE"
        assert primary["ESO INS MODE"] == "WFM-NOAO-N"
        assert {"EXPTIME", "MJD-OBS", "RADECSYS"} <= set(primary)
        assert (header["CTYPE3"], header["BUNIT"]) == ("AWAV", "10**(-20)*erg/s/cm**2/Angstrom")
        x, y = WCS(header).celestial.all_world2pix(truth.ra, truth.dec, 0)
        np.testing.assert_allclose([x, y], [truth.x, truth.y], atol=1e-6)
        wave = WCS(header).spectral.all_pix2world(np.arange(81), 0)[0] * 1e10
        np.testing.assert_allclose(wave, truth.wave, rtol=1e-9)
    with fits.open(tmp_path / "wrong.fits") as cube:
        ra, dec = WCS(cube["DATA"].header).celestial.all_pix2world(29.5, 29.5, 0)
    ra0, dec0 = WCS(header).celestial.all_pix2world(29.5, 29.5, 0)
    assert (ra - ra0) * 3600 * np.cos(np.deg2rad(dec)) == pytest.approx(2.0, abs=1e-3)
    assert (dec - dec0) * 3600 == pytest.approx(-1.0, abs=1e-3)


def test_a_king_field_is_denser_in_its_middle(library: Library) -> None:
    narrow = replace(QUIET, n_stars=400, wave_min=5070.0, wave_max=5080.0)
    radius = {}
    for layout in ("uniform", "king"):
        truth = draw_field(library, replace(narrow, layout=layout))
        radius[layout] = np.median(np.hypot(truth.x - 29.5, truth.y - 29.5))
    assert radius["king"] < 0.8 * radius["uniform"]


def test_the_same_seed_gives_the_same_cube_and_truth_survives_a_file(library: Library, tmp_path: Path) -> None:
    settings = SimulationSettings(n_stars=5, nx=20, ny=20, wave_min=5000.0, wave_max=5200.0)
    truth = simulate_field(library, settings, tmp_path / "a.fits", tmp_path / "a.csv")
    simulate_field(library, settings, tmp_path / "b.fits")
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()
    simulate_field(library, replace(settings, seed=2), tmp_path / "c.fits")
    assert (tmp_path / "a.fits").read_bytes() != (tmp_path / "c.fits").read_bytes()
    truth.save(tmp_path / "truth.npz")
    again = Truth.load(tmp_path / "truth.npz")
    assert again.label_names == truth.label_names
    np.testing.assert_array_equal(again.flux, truth.flux)
    np.testing.assert_array_equal(again.star_id, truth.star_id)
    with pytest.raises(StellacubeError, match="truth"):
        Truth.load(tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "id,ra,dec,mag"
    assert float(lines[1].split(",")[1]) == pytest.approx(truth.ra[0], abs=1e-8)


def test_nothing_half_written_stays(library: Library, tmp_path: Path) -> None:
    settings = SimulationSettings(n_stars=1, nx=10, ny=10, wave_min=5000.0, wave_max=5400.0)
    with pytest.raises(Cancelled):
        simulate_field(library, settings, tmp_path / "cube.fits", cancelled=lambda: True)
    with pytest.raises(StellacubeError, match="cannot be written"):
        simulate_field(library, settings, tmp_path / "missing" / "cube.fits")
    with pytest.raises(StellacubeError, match="make no field"):
        draw_field(library, replace(settings, n_stars=0))
    assert list(tmp_path.iterdir()) == []


def test_the_instruments_resolution_is_the_published_one() -> None:
    # Bacon et al. (2017), figure 15: about 3.0 A in the blue, 2.5 A in the middle.
    assert muse_lsf(np.array(4800.0)) == pytest.approx(2.98, abs=0.02)
    assert muse_lsf(np.array(7800.0)) == pytest.approx(2.44, abs=0.02)


def test_star_list_has_one_line_per_star(library: Library, tmp_path: Path) -> None:
    truth = draw_field(library, QUIET)
    write_star_list(truth, tmp_path / "stars.csv")
    assert len((tmp_path / "stars.csv").read_text().splitlines()) == 1 + len(truth)


@pytest.mark.slow
def test_a_field_of_full_size_is_written_in_little_memory(tmp_path: Path) -> None:
    """Memory does not depend on the number of layers, so that a few hundred tell for all 3681."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from processing.simulate import SimulationSettings, sample_library, simulate_field\n"
        "field = SimulationSettings(n_stars=1000, nx=320, ny=320, wave_min=5000.0, wave_max=5250.0)\n"
        "simulate_field(sample_library(), field, sys.argv[1])\n"
        # Linux counts the memory of the process that started this one in ru_maxrss, but not in VmHWM.
        "status = Path('/proc/self/status')\n"
        "if status.exists():\n"
        "    peak = status.read_text().split('VmHWM:')[1].split()[0]\n"
        "else:\n"
        "    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "sys.stdout.write(str(peak))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "cube.fits")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 700_000
    assert (tmp_path / "cube.fits").stat().st_size == pytest.approx(2 * 201 * 320 * 320 * 4, rel=1e-3)
