"""Star lists as people have them: formats, column names, units, missing values, duplicates, and detection."""

from __future__ import annotations

import csv
import gzip
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import writeto
from astropy.io.votable.tree import VOTableFile
from astropy.table import MaskedColumn, Table
from astropy.wcs import WCS

from processing.cube import CubeOverview
from processing.errors import StellacubeError
from processing.reference import StarList, detect_sources, read_star_list
from processing.settings import SourceSettings

RA = np.array([6.02, 6.03, 6.04, 6.05])
DEC = np.array([-72.08, -72.07, -72.06, -72.05])
MAG = np.array([14.5, 15.5, 16.5, 17.5])


def read_text(tmp_path: Path, text: str, name: str = "stars.txt", **options: Any) -> StarList:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_star_list(path, **options)


def problem(path: Path) -> str:
    with pytest.raises(StellacubeError) as caught:
        read_star_list(path)
    assert caught.value.message.endswith(".")
    return str(caught.value)


def table() -> Table:
    return Table({"source_id": [4689637789052840064 + i for i in range(4)], "ra": RA, "dec": DEC, "Vmag": MAG})


def check(stars: StarList) -> None:
    np.testing.assert_allclose(stars.ra, RA, atol=1e-9)
    np.testing.assert_allclose(stars.dec, DEC, atol=1e-9)
    np.testing.assert_allclose(stars.mag, MAG, rtol=1e-6)
    assert stars.star_id.tolist() == [str(4689637789052840064 + i) for i in range(4)]
    assert stars.mag_name == "Vmag"
    assert stars.notes == ()


# --- formats


@pytest.mark.parametrize(
    ("name", "fmt"),
    [
        ("s.csv", "ascii.csv"), ("s.txt", "ascii.basic"), ("s.tsv", "ascii.tab"), ("s.dat", "ascii.commented_header"),
        ("s.ecsv", "ascii.ecsv"), ("s.fits", "fits"), ("s.vot", "votable"), ("s.txt", "ascii.fixed_width_two_line"),
        ("s.ipac", "ascii.ipac"), ("s.dat", "ascii.mrt"), ("s.dat", "ascii.fixed_width"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_formats(tmp_path: Path, name: str, fmt: str, packed: bool) -> None:
    path = tmp_path / name
    table().write(path, format=fmt)
    if packed:
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    check(read_star_list(path))


def test_the_format_is_told_by_the_content_not_by_the_name(tmp_path: Path) -> None:
    table().write(tmp_path / "s.fits", format="fits")
    (tmp_path / "s.fits").rename(tmp_path / "s.csv")
    check(read_star_list(tmp_path / "s.csv"))


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    stars = read_text(tmp_path, "\ufeffID;RA;DEC;Vmag\nä 1;6,02;-72,08;14,5\nb;6,03;-72,07;15,5\n")
    np.testing.assert_allclose(stars.ra, RA[:2])
    np.testing.assert_allclose(stars.mag, MAG[:2])
    assert stars.star_id.tolist() == ["ä 1", "b"]


def test_quoted_fields_and_windows_lines(tmp_path: Path) -> None:
    stars = read_text(tmp_path, 'name,ra,dec,V\r\n"Star, the first",6.02,-72.08,14.5\r\n"second",6.03,-72.07,15.5\r\n')
    assert stars.star_id.tolist() == ["Star, the first", "second"]
    np.testing.assert_allclose(stars.mag, MAG[:2])


def test_vizier_text_with_units_and_rule(tmp_path: Path) -> None:
    text = (
        "#RESOURCE=yCat\n#Column RAJ2000\n\n_RAJ2000\t_DEJ2000\tGmag\tSource\n"
        "deg\tdeg\tmag\t\n-----------\t-----------\t-------\t------\n"
        "006.02000\t-72.08000\t14.5000\t101\n006.03000\t-72.07000\t\t102\n"
    )
    stars = read_text(tmp_path, text)
    np.testing.assert_allclose(stars.ra, RA[:2])
    np.testing.assert_allclose(stars.mag, [14.5, np.nan])
    assert stars.star_id.tolist() == ["101", "102"]


def test_sextractor_catalogue_counts_from_one(tmp_path: Path) -> None:
    text = (
        "#   1 NUMBER    Running object number\n#   2 X_IMAGE   Object position along x [pixel]\n"
        "#   3 Y_IMAGE   Object position along y [pixel]\n#   4 MAG_AUTO  Kron-like magnitude [mag]\n"
        "#   5 MAGERR_AUTO  RMS error [mag]\n 1 10.5 20.5 18.1 0.01\n 2 30.0 40.0 99.0 99.0\n"
    )
    stars = read_text(tmp_path, text, "s.cat")
    np.testing.assert_allclose(stars.x, [9.5, 29.0])
    np.testing.assert_allclose(stars.y, [19.5, 39.0])
    np.testing.assert_allclose(stars.mag, [18.1, np.nan])
    assert any("count from 1" in note for note in stars.notes)


def test_pixels_count_from_zero_unless_the_list_says_otherwise(tmp_path: Path) -> None:
    body = "id,x,y,mag\n1,10.5,20.5,18\n2,30,40,19\n"
    np.testing.assert_allclose(read_text(tmp_path, body).x, [10.5, 30])
    np.testing.assert_allclose(read_text(tmp_path, "# FITS pixel convention\n" + body).x, [9.5, 29])
    np.testing.assert_allclose(read_text(tmp_path, "# positions are 1-based\n" + body).y, [19.5, 39])


def test_hugs_catalogue_has_no_header_but_is_known(tmp_path: Path) -> None:
    photometry = "".join(f" {mag:9.4f} 0.01 0.99 0.01 2 2" for mag in (-99.9999, 18.4, 18.7, 17.9, 17.4))
    line = f"  6808.89 1920.52 {photometry} 97.1 5.959281 -72.115085 R0000001 1\n"
    stars = read_text(tmp_path, line + line.replace("5.959281", "5.969281").replace("R0000001", "R0000002"))
    np.testing.assert_allclose(stars.ra, [5.959281, 5.969281])
    assert stars.mag_name == "F606W"
    np.testing.assert_allclose(stars.mag, 17.9)
    assert np.isnan(stars.x).all()  # those are the pixels of another image
    assert stars.star_id.tolist() == ["R0000001", "R0000002"]


def test_votable_with_several_tables_takes_the_first_with_positions(tmp_path: Path) -> None:
    votable = VOTableFile.from_table(Table({"flux": [1.0, 2.0]}))
    votable.resources.append(VOTableFile.from_table(table()).resources[0])
    writeto(votable, str(tmp_path / "s.xml"))
    stars = read_star_list(tmp_path / "s.xml")
    np.testing.assert_allclose(stars.ra, RA)
    assert any("2 tables" in note for note in stars.notes)


# --- columns


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("ra", "dec"), ("RA", "DEC"), ("RA_ICRS", "DE_ICRS"), ("RAJ2000", "DEJ2000"), ("_RAJ2000", "_DEJ2000"),
        ("ALPHA_J2000", "DELTA_J2000"), ("ra_deg", "dec_deg"), ("RAdeg", "DEdeg"), ("Ra", "De"),
        ("RA (deg)", "Dec (deg)"),
        ("right_ascension", "declination"), ("alpha", "delta"), ("ra_j2000", "dec_j2000"), ("RA_ep2000", "DE_ep2000"),
    ],
)  # fmt: skip
def test_names_of_sky_columns(tmp_path: Path, ra: str, dec: str) -> None:
    stars = read_text(tmp_path, f"n,{ra},{dec},e_{ra}\n1,6.02,-72.08,0.1\n2,6.03,-72.07,0.1\n", "s.csv")
    np.testing.assert_allclose(stars.ra, RA[:2])
    np.testing.assert_allclose(stars.dec, DEC[:2])


@pytest.mark.parametrize(
    ("x", "y"), [("x", "y"), ("X", "Y"), ("xcentroid", "ycentroid"), ("x_fit", "y_fit"), ("xpix", "ypix")]
)
def test_names_of_pixel_columns(tmp_path: Path, x: str, y: str) -> None:
    stars = read_text(tmp_path, f"{x} {y}\n1.5 2.5\n-3 4\n")
    np.testing.assert_allclose(stars.x, [1.5, -3])
    assert stars.star_id.tolist() == ["1", "2"]
    assert any("No magnitude" in note for note in stars.notes)


def test_columns_by_ucd_and_unit(tmp_path: Path) -> None:
    source = Table({"col1": np.radians(RA) * u.rad, "col2": np.radians(DEC) * u.rad, "col3": MAG * u.mag})
    source["col1"].meta["ucd"], source["col2"].meta["ucd"] = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
    votable = VOTableFile.from_table(source)
    for column, ucd in zip(
        votable.get_first_table().fields, ("pos.eq.ra;meta.main", "pos.eq.dec;meta.main"), strict=False
    ):
        column.ucd = ucd
    votable.to_xml(str(tmp_path / "s.xml"))
    stars = read_star_list(tmp_path / "s.xml")
    np.testing.assert_allclose(stars.ra, RA)
    np.testing.assert_allclose(stars.dec, DEC)
    assert stars.mag_name == "col3"


@pytest.mark.parametrize("style", ["hms", "colon", "space", "signed"])
def test_sexagesimal_against_astropy(tmp_path: Path, style: str) -> None:
    ra, dec = np.array([6.0234567, 359.99, 0.001]), np.array([-72.0812345, -0.0051, 0.3])
    sky = SkyCoord(ra * u.deg, dec * u.deg)
    options: dict[str, Any] = {"precision": 5}
    options |= {"hms": {"style": "hmsdms"}, "signed": {"style": "hmsdms", "sep": ":", "alwayssign": True}}.get(
        style, {"style": "hmsdms", "sep": " " if style == "space" else ":"}
    )
    lines = []
    for text in sky.to_string(**options):
        parts = text.split()
        lines.append(f"{' '.join(parts[: len(parts) // 2])},{' '.join(parts[len(parts) // 2 :])}")
    stars = read_text(tmp_path, "ra,dec\n" + "\n".join(lines), "s.csv")
    np.testing.assert_allclose(stars.ra, ra, atol=1e-7)
    np.testing.assert_allclose(stars.dec, dec, atol=1e-7)


def test_sexagesimal_in_six_columns_and_numeric_hours(tmp_path: Path) -> None:
    stars = read_text(tmp_path, "RAh RAm RAs DE- DEd DEm DEs\n0 24 4.8 - 0 4 48\n0 24 7.2 + 72 4 12\n")
    np.testing.assert_allclose(stars.ra, [6.02, 6.03])
    np.testing.assert_allclose(stars.dec, [-0.08, 72.07])
    Table({"ra": RA / 15 * u.hourangle, "dec": DEC * u.deg}).write(tmp_path / "h.ecsv")
    np.testing.assert_allclose(read_star_list(tmp_path / "h.ecsv").ra, RA)


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ("phot_bp_mean_mag phot_g_mean_mag phot_rp_mean_mag bp_rp", "phot_g_mean_mag"),
        ("Gmag Vmag e_Vmag", "Vmag"), ("Vmag_err V_err mag_V", "mag_V"), ("Imag F814W F606W", "F606W"),
        ("Imag F814W", "F814W"), ("Kmag Imag", "Imag"), ("B-V MAG_AUTO MAGERR_AUTO", "MAG_AUTO"),
        ("Jmag e_Jmag", "Jmag"),
        ("ag_gspphot ebpminrp_gspphot phot_rp_mean_mag", "phot_rp_mean_mag"), ("V", "V"), ("g_mag i_mag", "g_mag"),
        ("m_F606W m_F814W", "m_F606W"), ("mag_err mag", "mag"),
    ],
)  # fmt: skip
def test_choice_of_the_magnitude(tmp_path: Path, columns: str, chosen: str) -> None:
    names = columns.split()
    row = " ".join(f"{15 + i}.5" for i in range(len(names)))
    stars = read_text(tmp_path, f"ra dec {columns}\n6.02 -72.08 {row}\n")
    assert stars.mag_name == chosen
    assert stars.mag[0] == 15.5 + names.index(chosen)


def test_magnitude_on_request(tmp_path: Path) -> None:
    text = "ra,dec,V,Jmag\n6.02,-72.08,14.5,13\n"
    assert read_text(tmp_path, text, mag_column="jmag").mag[0] == 13
    with pytest.raises(StellacubeError, match="no column Q"):
        read_text(tmp_path, text, mag_column="Q")


def test_a_magnitude_without_values_is_passed_over(tmp_path: Path) -> None:
    stars = read_text(tmp_path, "ra dec V I\n6.02 -72.08 99.999 13\n6.03 -72.07 -99.99 14\n")
    assert stars.mag_name == "I"


@pytest.mark.parametrize(
    "blank", ["", "-99.99", "99", "99.999", "NaN", "nan", "-9999", "null", "--", "N/A", "INDEF", "99.9999"]
)
def test_missing_values(tmp_path: Path, blank: str) -> None:
    stars = read_text(tmp_path, f"id,ra,dec,V,pmra,pmdec\n7,6.02,-72.08,{blank},1,2\n8,6.03,-72.07,15.5,3,4\n", "s.csv")
    np.testing.assert_array_equal(np.isnan(stars.mag), [True, False])
    assert any("1 row without a magnitude" in note for note in stars.notes)
    assert stars.star_id.tolist() == ["7", "8"]


def test_masked_values_of_fits_and_votable(tmp_path: Path) -> None:
    source = table()
    source["Vmag"] = MaskedColumn(MAG, mask=[False, True, False, False])
    source["source_id"] = MaskedColumn(source["source_id"], mask=[False, False, True, False])
    for name, fmt in (("s.vot", "votable"), ("s.ecsv", "ascii.ecsv"), ("s.fits", "fits")):
        source.write(tmp_path / name, format=fmt)
        stars = read_star_list(tmp_path / name)
        np.testing.assert_array_equal(np.isnan(stars.mag), [False, True, False, False])
        assert stars.star_id[0] == "4689637789052840064"
        assert stars.star_id[2] == "row3"


def test_rows_without_a_position_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "id ra dec V\na 6.02 -72.08 14\nb -99.99 -99.99 15\nc nan -72.07 16\nd 6.03 -99.99 16\ne 6.04 -72.06 17\n"
    stars = read_text(tmp_path, text)
    assert stars.star_id.tolist() == ["a", "e"]
    assert any("3 rows without a position" in note for note in stars.notes)


def test_duplicates_keep_the_entry_with_a_magnitude(tmp_path: Path) -> None:
    text = (
        "id ra dec V\na 6.02 -72.08 99.99\nb 6.02 -72.080001 14\nc 6.02 -72.07999 15\n"
        "d 6.02 -72.08 14\ne 359.9999999 10 15\nf 0.0000001 10 15\n"
    )
    stars = read_text(tmp_path, text)
    assert stars.star_id.tolist() == ["b", "c", "e"]  # c is 0.036 arcsec away; f is e across the meridian
    assert any("3 rows at the position of another star" in note for note in stars.notes)


def test_ids_are_unique(tmp_path: Path) -> None:
    stars = read_text(tmp_path, "id x y\n1 1 1\n1 5 5\n1_2 9 9\n2 11 11\n3 13 13\n3 15 15\n3 17 17\n")
    assert stars.star_id.tolist() == ["1", "1_3", "1_2", "2", "3", "3_2", "3_3"]
    assert any("3 rows with the name of another star" in note for note in stars.notes)
    field = read_text(tmp_path, "star x y\nNGC104 1 1\nNGC104 2 2\nNGC104 3 3\n")
    assert field.star_id.tolist() == ["1", "2", "3"]
    assert any("does not tell the stars apart" in note for note in field.notes)


def test_ids_keep_all_their_digits(tmp_path: Path) -> None:
    stars = read_text(tmp_path, "source_id,ra,dec\n4689637789052840065,6.02,-72.08\n4689637789052840066,6.03,-72.07\n")
    assert stars.star_id.tolist() == ["4689637789052840065", "4689637789052840066"]


def test_proper_motions_move_the_stars(tmp_path: Path) -> None:
    text = "ra,dec,pmra,pmdec,ref_epoch\n6.02,-72.08,360,-180,2016.0\n6.03,-72.07,,,2016.0\n6.04,-72.06,5,5,\n"
    stars = read_text(tmp_path, text, "s.csv")
    moved = stars.at_epoch(2026.0)
    sky = SkyCoord(6.02 * u.deg, -72.08 * u.deg, pm_ra_cosdec=360 * u.mas / u.yr, pm_dec=-180 * u.mas / u.yr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no distance
        truth = sky.apply_space_motion(dt=10 * u.yr)
    assert SkyCoord(moved.ra[0], moved.dec[0], unit="deg").separation(truth).arcsec < 0.001
    np.testing.assert_array_equal(moved.ra[1:], stars.ra[1:])
    np.testing.assert_array_equal(moved.epoch, [2026, 2026, np.nan])
    np.testing.assert_array_equal(stars.at_epoch(np.nan).ra, stars.ra)
    assert any("no epoch" in note for note in read_text(tmp_path, "ra,dec,pmra,pmdec\n6,-72,1,1\n").notes)


def test_take() -> None:
    values = np.arange(5.0)
    stars = StarList(values.astype(str), *[values] * 5, "V", *[values] * 3, "test")
    part = stars.take(values > 2)
    assert len(part) == 2
    np.testing.assert_array_equal(part.mag, [3, 4])
    assert (part.mag_name, part.source) == ("V", "test")


class Sky:
    """A cube as far as positions need one."""

    def __init__(self, wcs: WCS | None) -> None:
        self.wcs, self.epoch, self.path, self.pixel_scale = wcs, 2016.0, Path("cube.fits"), 0.2 if wcs else np.nan

    def world_to_pixel(self, ra: np.ndarray, dec: np.ndarray) -> Any:
        return self.wcs.wcs_world2pix(ra, dec, 0)

    def pixel_to_world(self, x: np.ndarray, y: np.ndarray) -> Any:
        return self.wcs.wcs_pix2world(x, y, 0)


def sky_wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [6.02, -72.08], [30.0, 30.0]
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
    return wcs


def test_positions_come_from_the_sky_where_they_can(tmp_path: Path) -> None:
    stars = read_text(tmp_path, "x y ra dec\n500 600 6.02 -72.08\n7 8 nan nan\n")
    x, y = stars.positions(Sky(sky_wcs()))  # type: ignore[arg-type]
    np.testing.assert_allclose([x, y], [[29, 7], [29, 8]], atol=1e-6)
    x, y = stars.positions(Sky(None))  # type: ignore[arg-type]
    np.testing.assert_allclose([x, y], [[500, 7], [600, 8]])
    with pytest.raises(StellacubeError, match="no sky coordinates"):
        read_text(tmp_path, "ra dec\n6 -72\n").positions(Sky(None))  # type: ignore[arg-type]


# --- bad input


def test_bad_lists_get_a_sentence(tmp_path: Path) -> None:
    def write(name: str, content: bytes | str) -> Path:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    assert "no file" in problem(tmp_path / "none.csv")
    assert "folder" in problem(tmp_path)
    assert "empty" in problem(write("a", ""))
    assert "no stars" in problem(write("b.csv", "ra,dec,V\n"))
    assert "no stars" in problem(write("b.txt", "# only a remark\n"))
    said = problem(write("c.csv", "colour,flux\n1.2,3.4\n"))
    assert "no columns for positions" in said
    assert "colour, flux" in said
    said = problem(write("d.txt", "6.02 -72.08 14.5\n6.03 -72.07 15.5\n"))
    assert "no line of column names" in said
    assert "id ra dec mag" in said
    assert "web page" in problem(write("e.csv", "<!DOCTYPE html><html>not found</html>"))
    assert "None of the 1 rows" in problem(write("f.csv", "ra,dec\nhere,there\n"))
    assert "not a table" in problem(write("g.xlsx", b"PK\x03\x04\x00\x00\x00"))
    assert "cannot be read" in problem(write("h.csv.gz", b"\x1f\x8b\x08damaged"))
    assert "damaged" in problem(write("i.xml", '<?xml version="1.0"?><VOTABLE version="1.3"><RESOURCE><TABLE>'))
    assert "fields" in problem(write("j.txt", "star name ra dec\n1 6.02 -72.08\n2 6.03 -72.08\n"))
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "k.fits")
    assert "without a table" in problem(tmp_path / "k.fits")
    Table({"ra": np.zeros(0), "dec": np.zeros(0)}).write(tmp_path / "l.fits")
    assert "no stars" in problem(tmp_path / "l.fits")


def test_ragged_lines_are_counted(tmp_path: Path) -> None:
    stars = read_text(tmp_path, "ra dec V\n6.02 -72.08 14\n6.03 -72.07\n6.04 -72.06 15\n")
    assert len(stars) == 2
    assert any("1 line" in note for note in stars.notes)
    assert len(read_text(tmp_path, "ra,dec,V\n6.02,-72.08,14\nEnd of the list\n6.04,-72.06,15\n")) == 2


def test_one_star(tmp_path: Path) -> None:
    assert len(read_text(tmp_path, "ra dec V\n6.02 -72.08 14\n")) == 1


# --- lists of the archives


@pytest.mark.parametrize(
    ("name", "count", "mag_name", "first_id", "first_ra"),
    [
        ("gaia_dr3_47tuc.csv", 14530, "phot_g_mean_mag", "1", 5.958480919445584),
        ("gaia_archive_result.csv", 2000, "phot_g_mean_mag", "4063221134446915328", 270.52587101621236),
        ("gaia_edr3_ngc6558.dat", 9963, "Gmag", "1", 272.6354082),
        ("gaia.ecsv", 5, "phot_g_mean_mag", "6636090334814214528", 280.00025345897464),
        ("hugs_47tuc_head.txt", 8, "F606W", "R0000001", 5.959281),
        ("ukidss_votable.xml", 9, "JAperMag3", "438758381345", 272.6155810375279),
        ("vizier_many_tables.xml", 3, "", "1", 101.2871),
        ("job_2.vot.gz", 3, "", "a", 1.0),
    ],
)  # fmt: skip
def test_archive_lists(shared: Path, name: str, count: int, mag_name: str, first_id: str, first_ra: float) -> None:
    stars = read_star_list(shared / "data" / "catalogues" / name)
    assert (len(stars), stars.mag_name, stars.star_id[0]) == (count, mag_name, first_id)
    assert stars.ra[0] == pytest.approx(first_ra, abs=1e-8)
    assert len(set(stars.star_id)) == len(stars)
    assert np.isfinite(stars.ra).all()
    assert (np.abs(stars.dec) <= 90).all()


def test_archive_list_value_by_value(shared: Path) -> None:
    path = shared / "data" / "catalogues" / "gaia_dr3_47tuc.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    stars = read_star_list(path)
    for name, values in (("ra", stars.ra), ("dec", stars.dec), ("pmra", stars.pm_ra), ("phot_g_mean_mag", stars.mag)):
        np.testing.assert_array_equal(values, [float(row[name] or "nan") for row in rows])


def test_votable_of_an_error_quotes_the_service(shared: Path) -> None:
    assert "Error in input RA value: as3f" in problem(shared / "data" / "catalogues" / "votable_error.xml")


# --- detection


def star_image(n_star: int, size: int = 120, seed: int = 3) -> tuple[CubeOverview, np.ndarray, np.ndarray, np.ndarray]:
    """Return an overview of Moffat stars on a sloping sky with a NaN border; x, y, flux."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:size, :size]
    x, y = rng.uniform(5, size - 5, (2, n_star))
    flux = 10 ** rng.uniform(2, 4, n_star)
    scale2 = (3.5 / 2) ** 2 / (2 ** (1 / 2.5) - 1)
    sky = 50 + 0.1 * xx
    stars = sum(
        f * 1.5 / (np.pi * scale2) * (1 + ((xx - a) ** 2 + (yy - b) ** 2) / scale2) ** -2.5
        for a, b, f in zip(x, y, flux, strict=True)
    )
    slope = np.linspace(0.7, 1.3, 32)[:, None, None]  # red stars
    bands = (sky + stars * slope + rng.normal(0, 32**0.5, (32, size, size))).astype(np.float32)
    bands[:, :, :3] = np.nan
    return CubeOverview(bands.mean(axis=0), np.zeros(32), bands, np.arange(33)), x, y, flux


def test_detection_finds_the_stars() -> None:
    overview, x, y, flux = star_image(60)
    seen: list[float] = []
    stars = detect_sources(Sky(sky_wcs()), overview, SourceSettings(), progress=lambda f, t: seen.append(f))  # type: ignore[arg-type]
    distance = np.hypot(stars.x[:, None] - x, stars.y[:, None] - y)
    apart = np.hypot(x[:, None] - x, y[:, None] - y) + 99 * np.eye(len(x))
    alone = (apart.min(axis=1) > 6) & (x > 6)
    assert alone.sum() > 25
    assert (distance.min(axis=0)[alone] < 1.0).all()
    assert (distance.min(axis=0)[alone & (flux > 500)] < 0.3).all()
    assert np.median(distance.min(axis=0)[alone]) < 0.1
    assert (distance.min(axis=1) < 1.5).all()  # nothing that is no star
    found = distance.argmin(axis=0)[alone]
    offset = stars.mag[found] + 2.5 * np.log10(flux[alone])
    assert np.percentile(offset, 84) - np.percentile(offset, 16) < 0.3
    assert (np.diff(stars.mag) >= 0).all()
    np.testing.assert_allclose(stars.ra, sky_wcs().wcs_pix2world(stars.x, stars.y, 0)[0])
    assert len(set(stars.star_id)) == len(stars)
    assert seen[-1] == 1.0


def test_detection_repeats_and_follows_the_threshold() -> None:
    overview, *_ = star_image(60)
    cube = Sky(None)
    first, again = (detect_sources(cube, overview, SourceSettings()) for _ in range(2))  # type: ignore[arg-type]
    np.testing.assert_array_equal(first.x, again.x)
    assert np.isnan(first.ra).all()
    high = detect_sources(cube, overview, SourceSettings(detection_sigma=300.0))  # type: ignore[arg-type]
    assert 0 < len(high) < len(first)


@pytest.mark.parametrize("level", [np.nan, 0.0, 7.0])
def test_detection_on_an_empty_field(level: float) -> None:
    noise = np.random.default_rng(5).normal(0, 1, (16, 40, 40)) if level == 7.0 else 0.0
    bands = np.full((16, 40, 40), level, np.float32) + np.float32(noise)
    overview = CubeOverview(bands.mean(axis=0), np.zeros(16), bands, np.arange(17))
    with pytest.raises(StellacubeError, match="No star rises"):
        detect_sources(SimpleNamespace(**vars(Sky(None))), overview, SourceSettings())  # type: ignore[arg-type]
