"""What lies under the panels, without a window: rows and filters, telling files apart, limits, numbers."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from gui.display import STRETCHES, colour_table, limits, scale_bar, sexagesimal, symmetric
from gui.opening import open_paths, sort_out
from gui.panels.colour_bar import short, ticks
from gui.panels.plot_items import bands_of, extent, runs, smoothed
from gui.running import export_path
from gui.star_rows import Column, StarRows, rows_from_list
from processing.errors import StellacubeError
from processing.extraction.sources import SourceTable
from processing.report.text import pretty_unit


def rows() -> StarRows:
    names = np.array(["NGC104-1", "NGC104-2", "Field 3"])
    status = np.array(["extracted", "merged", "extracted"])
    teff = np.array([4000.0, 5000.0, np.nan])
    columns = (Column("stellar_id", "Star", names), Column("teff", "Teff", teff, "K", decimals=0),
               Column("teff_err", "Teff error", np.array([50.0, 60.0, np.nan]), "K", decimals=0),
               Column("status", "Status", status))  # fmt: skip
    return StarRows(names, teff, teff, status, ("good",) * 3, ("",) * 3, columns)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", [1, 1, 1]),
        ("ngc104", [1, 1, 0]),
        ("teff < 4500", [1, 0, 0]),
        ("Teff>=4000 & teff<=5000", [1, 1, 0]),
        ("status = merged", [0, 1, 0]),
        ("status != merged ngc", [1, 0, 0]),
        ("merged", [0, 1, 0]),
        ("teff > 4500, field", [0, 0, 0]),
    ],
)
def test_filters(text: str, kept: list[int]) -> None:
    np.testing.assert_array_equal(rows().select(text), np.array(kept, bool))


@pytest.mark.parametrize("text", ["tef < 5000", "teff < warm"])
def test_a_filter_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(StellacubeError):
        rows().select(text)


def test_numbers_as_text() -> None:
    table = rows()
    assert table.describe("teff", 0) == "Teff 4000 ± 50 K"
    assert table.column("teff").text(2) == "–"
    assert Column("rv", "RV", np.array([-12.34]), decimals=1).text(0) == "−12.3"


def test_unfitted_stars_stand_at_their_place_in_the_list() -> None:
    from gui.star_rows import _with_unfitted

    fitted = rows()
    ids = np.array(["lost", "NGC104-1", "NGC104-2", "faint one", "Field 3"])
    number = np.arange(5.0)
    status = np.array(["outside", "extracted", "merged", "faint", "extracted"])
    reason = np.array(["not on the cube", "", "", "too faint", ""])
    given = {"star_id": ids, "status": status, "reason": reason}
    sources = SourceTable(**{entry.name: given.get(entry.name, number) for entry in fields(SourceTable)})
    together = _with_unfitted(fitted, sources, "mag")
    assert together.star_id.tolist() == ids.tolist()
    assert together.reason[0] == "not on the cube"
    assert together.status[3] == "faint"
    np.testing.assert_array_equal(together.column("teff").values, [np.nan, 4000, 5000, np.nan, np.nan])
    assert together.quality == ("none", "good", "good", "none", "good")


def test_a_list_is_placed_on_the_cube(field) -> None:
    opened = open_paths([field.cube, field.stars])
    with opened.cube as cube:
        placed = rows_from_list(opened.stars, cube)
        x, y = cube.world_to_pixel(opened.stars.ra, opened.stars.dec)
    np.testing.assert_allclose(placed.x, x)
    np.testing.assert_allclose(placed.y, y)
    assert set(placed.status) <= {"listed", "outside"}


def test_files_are_told_apart_by_content(field, tmp_path: Path) -> None:
    from astropy.io import fits
    from astropy.table import Table

    table, spectrum = tmp_path / "list.fits", tmp_path / "spectrum.fits"
    Table({"ra": [1.0], "dec": [2.0]}).write(table)
    fits.writeto(spectrum, np.ones(100))
    choice = sort_out([table, field.cube])
    assert (choice.cube, choice.stars) == (field.cube, table)
    assert sort_out([spectrum]).spectra == (spectrum,)
    assert sort_out([field.session]).session == field.session
    assert sort_out([field.cube, field.cube]).queue == ()
    with pytest.raises(StellacubeError, match="cannot be opened together"):
        sort_out([field.cube, spectrum])
    with pytest.raises(StellacubeError, match="not there any more"):
        sort_out([tmp_path / "gone.fits"])


def test_limits_ignore_what_is_not_finite() -> None:
    image = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    image[0] = np.nan
    image[1, :50] = np.inf
    finite = image[np.isfinite(image)]
    np.testing.assert_allclose(limits(image, "90 %"), np.percentile(finite, [5, 95]))
    np.testing.assert_allclose(limits(image, "min – max"), (finite.min(), finite.max()))
    assert limits(np.full((3, 3), np.nan), "99 %") == (0.0, 1.0)
    low, high = limits(np.full((3, 3), 7.0), "zscale")
    assert low <= 7.0 < high
    low, high = symmetric(image - 6000, "98 %")
    assert low == -high


def test_stretches_as_in_astropy() -> None:
    from astropy.visualization import AsinhStretch, LogStretch, SqrtStretch

    t = np.linspace(0, 1, 101)
    for name, stretch in (("asinh", AsinhStretch(0.1)), ("log", LogStretch(1000)), ("sqrt", SqrtStretch())):
        np.testing.assert_allclose(STRETCHES[name](t), stretch(t), atol=1e-12)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    table = colour_table(grey, "sqrt")
    assert float(table[len(table) // 4, 0]) == pytest.approx(127.5, abs=1)
    assert (np.diff(table[:, 0].astype(int)) >= 0).all()
    assert (colour_table(grey, "sqrt", invert=True) == table[::-1]).all()


@pytest.mark.parametrize(("ra", "dec"), [(6.0236, -72.0813), (0.0, 0.0), (359.99999, -0.00001), (83.82, 89.99999)])
def test_sexagesimal_as_in_astropy(ra: float, dec: float) -> None:
    place = SkyCoord(ra * u.deg, dec * u.deg)
    text = sexagesimal(ra, dec).replace("−", "-")
    back = SkyCoord(text, unit=(u.hourangle, u.deg))
    assert place.separation(back).arcsec < 0.11
    assert "60" not in text.replace(".60", "")


def test_scale_bar_is_round_and_fits() -> None:
    assert scale_bar(0.2, 100) == (20, "20″")
    assert scale_bar(2.0, 100) == (120, "2′")
    assert scale_bar(0.001, 100) == (0.1, "0.1″")


def test_small_helpers() -> None:
    assert ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10]
    assert ticks(3.0, 3.0) == []
    assert short(-1234.0) == "−1234"
    assert runs(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert bands_of(np.array([1.0, 2.0, 3.0]), np.array([False, True, False])) == [(1.5, 2.5)]
    spike = np.ones(50)
    spike[20] = 99.0
    assert extent(smoothed(spike)) == (1.0, 1.0)
    assert pretty_unit("10**(-20)*erg/s/cm**2/Angstrom") == "10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹"
    assert export_path("/a/b", "VOTable (*.xml *.vot)") == Path("/a/b.xml")
    assert export_path("/a/b.fits", "CSV table (*.csv)") == Path("/a/b.fits")
