"""Sky coordinates corrected by a star list; lists that do not match, and the picture that shows it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from star_fields import make_field, sky_positions, star_list, write_cube
from typer.testing import CliRunner

from processing.cli import app
from processing.cube import MuseCube
from processing.errors import StellacubeError
from processing.extraction.overlay import UnmatchedListError
from processing.extraction.wcs import correct_wcs, write_corrected_cube, write_header
from processing.settings import RegistrationSettings

WAVE = np.arange(5000.0, 9000.0, 200.0)
SHIFT, TURN, STRETCH = (12.0, -20.0), 1.2, 1.004


@pytest.fixture(scope="module")
def field():
    return make_field(seed=1, n_star=120, shape=(110, 120), reach=20, wave=WAVE, drift=(0.0, 0.0), mags=(15.0, 19.0))


@pytest.fixture(scope="module")
def sky(field):
    """Where the stars are on a sky that the header has displaced, turned and stretched."""
    ny, nx = field.shape[1:]
    x = (nx - 1) / 2 + STRETCH * (field.x - (nx - 1) / 2)
    y = (ny - 1) / 2 + STRETCH * (field.y - (ny - 1) / 2)
    return sky_positions(x, y, (ny, nx), SHIFT, TURN)


@pytest.fixture(scope="module")
def path(field, tmp_path_factory):
    return write_cube(field, tmp_path_factory.mktemp("wcs") / "cube.fits")


@pytest.fixture(scope="module")
def corrected(path, field, sky):
    return correct_wcs(path, star_list(ra=sky[0], dec=sky[1], mag=field.mag), RegistrationSettings())


def test_the_corrected_coordinates_put_the_stars_where_they_are(field, sky, corrected):
    x, y = corrected.wcs.wcs_world2pix(*sky, 0)
    assert np.hypot(x - field.x, y - field.y).max() < 0.2
    found = corrected.registration
    assert found.rotation == pytest.approx(-TURN, abs=0.03)
    assert found.scale == pytest.approx(1.0 / STRETCH, abs=5e-4)
    assert found.n_matched > 40
    assert found.rms < 0.6
    facts = corrected.facts()
    assert facts["matched"] == f"{found.n_matched} stars"
    assert facts["rotation"].startswith("-1.")


@pytest.mark.parametrize("matrix", ["CD", "PC"])
def test_a_corrected_cube_is_the_same_but_for_its_coordinates(field, sky, corrected, path, tmp_path, matrix):
    if matrix == "PC":
        with fits.open(path) as hdus:
            for hdu in hdus[1:]:
                for i in (1, 2, 3):
                    hdu.header[f"CDELT{i}"] = hdu.header.pop(f"CD{i}_{i}")
            path = tmp_path / "pc.fits"
            hdus.writeto(path)
    out = tmp_path / "corrected.fits"
    write_corrected_cube(path, corrected, out)
    with MuseCube.open(path) as old, MuseCube.open(out) as new:
        x, y = new.world_to_pixel(*sky)
        assert np.hypot(x - field.x, y - field.y).max() < 0.2
        np.testing.assert_array_equal(new.wave, old.wave)
        np.testing.assert_array_equal(new.block(0, 20).flux, old.block(0, 20).flux)
        np.testing.assert_array_equal(new.block(0, 20).ivar, old.block(0, 20).ivar)
        assert new.pixel_scale == pytest.approx(0.2 * STRETCH, rel=5e-4)


def test_the_header_alone_holds_the_coordinates(sky, corrected, tmp_path):
    write_header(corrected, tmp_path / "header.fits")
    with fits.open(tmp_path / "header.fits") as hdus:
        again = WCS(hdus[0].header)
    np.testing.assert_allclose(again.wcs_world2pix(*sky, 0), corrected.wcs.wcs_world2pix(*sky, 0), atol=1e-3)


def test_a_list_that_does_not_match_is_drawn_beside_the_image(path, field, tmp_path):
    rng = np.random.default_rng(4)
    ra, dec = sky_positions(rng.uniform(0, 120, 120), rng.uniform(0, 110, 120), field.shape[1:])
    stars = star_list(ra=ra, dec=dec, mag=field.mag)
    picture = tmp_path / "both.png"
    with pytest.raises(StellacubeError, match="does not match the image") as caught:
        correct_wcs(path, stars, RegistrationSettings(), picture=picture)
    assert "both.png" in caught.value.hint
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UnmatchedListError) as bare:
        correct_wcs(path, stars, RegistrationSettings())
    assert bare.value.overlay.peak_x.size > 20


def test_what_has_no_sky_coordinates_cannot_be_corrected(path, field):
    with pytest.raises(StellacubeError, match="no sky coordinates"):
        correct_wcs(path, star_list(x=field.x, y=field.y, mag=field.mag), RegistrationSettings())


def test_the_command(path, field, sky, tmp_path):
    table = tmp_path / "list.csv"
    rows = zip(*sky, field.mag, strict=True)
    table.write_text("ra,dec,V\n" + "\n".join(f"{a:.8f},{b:.8f},{m:.3f}" for a, b, m in rows))
    out = tmp_path / "new" / "header.fits"
    said = CliRunner().invoke(app, ["wcs", str(path), "--stars", str(table), "--out", str(out)])
    assert said.exit_code == 0, said.output
    assert "rotation" in said.output
    assert out.is_file()
    assert out.with_suffix(".png").is_file()
