"""The catalogue says the same in every format, and calls what cannot be trusted by its name."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from stand_ins import MODEL, fit_of, spectrum

from processing.catalogue.columns import all_columns, magnitude_column
from processing.catalogue.export import FORMATS, from_fits_bytes, read_catalogue, to_fits_bytes, write_catalogue
from processing.catalogue.table import build_catalogue
from processing.errors import StellacubeError
from processing.provenance import InputFile, Provenance
from processing.settings import CatalogueSettings, EvidenceSettings, Settings

ORIGIN = Provenance(
    (InputFile("cube", "cube.fits", 5, "f00d", "/data/cube.fits"),),
    Settings(seed=3),
    "a",
    "1.2",
    created="2020-01-01T00:00:00",
)
SURE = {"covariance_scaled": np.diag([50.0**2, 0.05**2, 1.0])}
FIRST = [
    "stellar_id",
    "ra",
    "dec",
    "mag_F606W",
    "x",
    "y",
    "snr_muse",
    "snr_red",
    "snr_der",
    "teff",
    "teff_err",
    "teff_err_cal",
]
EVIDENCE = {"teff_gradcorr": [0.9, np.nan], "teff_flag": [1, 0], "teff_info": [0, 0], "fe_h_info": [1, 0]}
LAST = ["quality", "quality_reason", "model", "model_version", "cube", "date"]


@pytest.fixture
def stars():
    return [spectrum(name, seed) for seed, name in enumerate(("7", "ω Cen, 2", "9", "11"))]


@pytest.fixture
def catalogue(stars):
    stars[2] = replace(stars[2], mag=np.nan, ra=np.nan)
    return build_catalogue(stars, [fit_of(star) for star in stars[:3]][::-1], MODEL, ORIGIN, "F606W")


def test_columns_stand_in_the_order_of_table_2(catalogue):
    names = catalogue.table.colnames
    assert names[: len(FIRST)] == FIRST
    assert names[-len(LAST) :] == LAST
    between = [
        "rv",
        "rv_err",
        "red_chi2",
        "corr_flux",
        "error_scale",
        "extrapolated",
        "n_pix",
        "n_masked",
        "n_replaced",
    ]
    assert names[names.index("rv") : names.index("n_replaced") + 1] == between
    assert all(column.description for column in catalogue.table.itercols())
    assert str(catalogue.table["teff"].unit) == "K"
    assert str(catalogue.table["rv"].unit) == "km / s"
    assert catalogue.magnitude == "mag_F606W"
    assert catalogue.labels == ("teff", "fe_h")


def test_every_fit_goes_to_its_own_star(catalogue, stars):
    table = catalogue.table
    for row, star in zip(table[:3], stars, strict=False):
        assert row["stellar_id"] == star.star_id
        assert row["teff"] == fit_of(star).values[0]
        assert row["rv"] == fit_of(star).rv
    assert table["teff_err"][0] == pytest.approx(100.0)
    assert table["teff_err_cal"][0] == pytest.approx(300.0)
    assert table["rv_err"][0] == pytest.approx(3.0)
    assert table["snr_muse"][0] == pytest.approx(stars[0].snr)


def test_every_label_has_its_evidence(stars):
    known = np.array([0.9, 0.4]), np.array([0.8, 0.7]), np.array([250.0, 0.1])
    fits = [fit_of(stars[0], **dict(zip(("gradcorr", "gradcorr_info", "bound"), known, strict=True)))]
    table = build_catalogue(stars[:2], [*fits, fit_of(stars[1])], MODEL, ORIGIN).table
    for name, values in EVIDENCE.items():
        assert np.array_equal(table[name], values, equal_nan=True), name
    assert list(table["fe_h_flag"]) == [0, 0]
    assert table["fe_h_gradcorr_info"][0] == 0.7
    strict = replace(ORIGIN, settings=Settings(evidence=EvidenceSettings(min_gradcorr=0.95, max_teff=300.0)))
    row = build_catalogue(stars[:1], fits, MODEL, strict).table[0]
    assert (row["teff_flag"], row["teff_info"]) == (0, 1)


def test_a_star_without_a_fit_has_no_labels(catalogue):
    row = catalogue.table[3]
    assert np.isnan(row["teff"])
    assert (row["quality"], row["n_pix"]) == ("not fitted", 0)


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_holds_the_same(catalogue, tmp_path, fmt):
    path = tmp_path / f"c{FORMATS[fmt]}"
    write_catalogue(catalogue, path, fmt)
    formats = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "fits": "fits", "votable": "votable"}
    table = Table.read(path, format=formats[fmt])
    assert table.colnames == catalogue.table.colnames
    for name in table.colnames:
        ours = catalogue.table[name]
        theirs = np.ma.asarray(table[name])
        if ours.dtype.kind == "f":
            theirs = theirs.astype(float).filled(np.nan)
            assert theirs == pytest.approx(np.asarray(ours), rel=1e-9, nan_ok=True), name
        else:
            theirs = theirs.astype(str) if ours.dtype.kind == "U" else theirs  # text without a word reads as numbers
            words = [str(value) for value in np.ma.filled(theirs, "" if ours.dtype.kind == "U" else 0)]
            same = [word.lower() for word in words] if ours.dtype.kind == "b" else words
            plain = [str(value) for value in ours]
            if fmt == "fits":  # FITS tables hold ASCII alone
                plain = [word.encode("unicode_escape").decode() for word in plain]
            assert same == ([word.lower() for word in plain] if ours.dtype.kind == "b" else plain), name
        bare = fmt in ("fits", "votable") and str(ours.unit) == "dex"  # no unit of theirs: said in words
        if fmt in ("ecsv", "votable"):
            assert " ".join(table[name].description.split()) == ours.description + (" (dex)" if bare else "")
        if fmt != "csv":
            assert str(table[name].unit) == ("None" if bare else str(ours.unit))


def test_the_csv_opens_in_a_spreadsheet(catalogue, tmp_path):
    write_catalogue(catalogue, tmp_path / "c.csv", "csv")
    data = (tmp_path / "c.csv").read_bytes()
    assert data.startswith(b"stellar_id,ra,dec,")
    rows = list(csv.DictReader(data.decode("utf-8").splitlines()))
    assert rows[1]["stellar_id"] == "ω Cen, 2"
    assert rows[2]["mag_F606W"] == rows[3]["teff"] == ""
    assert rows[0]["extrapolated"] == "false"
    assert b"nan" not in data.lower()


def test_the_fits_file_says_where_it_comes_from(catalogue, tmp_path):
    write_catalogue(catalogue, tmp_path / "c.fits", "fits")
    with fits.open(tmp_path / "c.fits") as hdus:
        hdus.verify("exception")
        header = hdus["CATALOGUE"].header
        assert header["TUNIT2"] == "deg"
        assert header["TCOMM9"] == catalogue.table["snr_der"].description
        assert header.comments["TTYPE2"] == "right ascension, ICRS"
        assert (header["MODEL"], header["MODELVER"]) == ("a", "1.2")
        record = dict(zip(hdus["PROVENANCE"].data["key"], hdus["PROVENANCE"].data["value"], strict=True))
    assert record["input1.fingerprint"] == "f00d"
    assert record["settings.seed"] == "3"
    assert record["settings.psf.profile"] == '"auto"'
    assert not any("/data" in value for value in record.values())


def test_what_the_session_keeps_comes_back(catalogue, tmp_path):
    back = from_fits_bytes(to_fits_bytes(catalogue))
    assert back.provenance == catalogue.provenance
    assert back.table.colnames == catalogue.table.colnames
    for name in back.table.colnames:
        ours, theirs = catalogue.table[name], back.table[name]
        assert (theirs.unit, theirs.description) == (ours.unit, ours.description)
        assert theirs.dtype.kind == ours.dtype.kind
        assert not hasattr(theirs, "mask") or not theirs.mask.any()
        assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")
    write_catalogue(catalogue, tmp_path / "c.fits", "fits")
    assert len(read_catalogue(tmp_path / "c.fits")) == 4
    (tmp_path / "no.fits").write_text("no catalogue")
    with pytest.raises(StellacubeError, match="not a catalogue"):
        read_catalogue(tmp_path / "no.fits")


def test_a_catalogue_without_stars_can_be_written(tmp_path):
    empty = build_catalogue([], [], MODEL, ORIGIN)
    for fmt, ending in FORMATS.items():
        write_catalogue(empty, tmp_path / f"e{ending}", fmt)
    assert len(from_fits_bytes(to_fits_bytes(empty))) == 0


def test_an_extraction_alone_has_no_label_columns(stars):
    table = build_catalogue(stars, [], None, ORIGIN).table
    assert "teff" not in table.colnames
    assert "rv" not in table.colnames
    assert set(table["quality"]) == {"not fitted"}


def test_mixed_up_stars_are_refused(stars):
    with pytest.raises(StellacubeError, match="same star identifier"):
        build_catalogue([stars[0], stars[0]], [], MODEL, ORIGIN)
    with pytest.raises(StellacubeError, match="no spectrum"):
        build_catalogue(stars[:1], [fit_of(stars[1])], MODEL, ORIGIN)


def test_an_unknown_format_and_a_missing_folder_are_sentences(catalogue, tmp_path):
    with pytest.raises(StellacubeError, match="no catalogue format 'xlsx'"):
        write_catalogue(catalogue, tmp_path / "c.xlsx", "xlsx")
    with pytest.raises(StellacubeError, match="cannot be written"):
        write_catalogue(catalogue, tmp_path / "none" / "c.csv", "csv")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("", "mag"),
        ("F606W", "mag_F606W"),
        ("phot_g_mean_mag", "phot_g_mean_mag"),
        ("Vmag", "Vmag"),
        ("V (mag)", "V__mag"),
        ("x", "mag_x"),
    ],
)
def test_the_magnitudes_column_takes_the_lists_name(name, column):
    assert magnitude_column(name).name == column
    names = [c.name.lower() for c in all_columns(name, ("teff",))]
    assert len(set(names)) == len(names)


def quality(fit, **meta):
    star = spectrum("1")
    star = replace(star, meta={**star.meta, **meta})
    limits = CatalogueSettings(chi2_good=20.0, corr_flux_good=0.85)
    origin = replace(ORIGIN, settings=Settings(catalogue=limits))
    (row,) = build_catalogue([star], [fit_of(star, **fit)], MODEL, origin).table
    return row["quality"], row["quality_reason"]


@pytest.mark.parametrize(
    ("fit", "meta", "word", "reason"),
    [
        ({}, {}, "good", ""),
        ({"red_chi2": 19.0}, {}, "good", ""),
        ({"red_chi2": 21.0}, {}, "poor", "chi2 is 21"),
        ({"corr_flux": 0.8}, {}, "poor", "correlate by 0.80, less than noise explains"),
        ({"corr_flux": 0.8, "ivar": np.full(300, 5e2, np.float32)}, {}, "check", "noise hides the lines"),
        ({"error_scale": 20.0}, {}, "poor", "signal-to-noise is 8"),
        ({"converged": False}, {}, "poor", "converge"),
        ({"extrapolated": True, "values": np.array([7050.0, 0.0])}, {}, "good", ""),
        ({"values": np.array([7400.0, -3.0]), **SURE}, {}, "check", "outside the training set: Teff, [Fe/H]"),
        ({"values": np.array([7400.0, -1.0])}, {}, "good", ""),  # an error of 300 K leaves that open
        ({"values": np.array([5000.0, -1.6]), **SURE}, {}, "check", "outside the training set: [Fe/H]"),
        ({"values": np.array([6300.0, -2.2])}, {}, "check", "a much hotter star"),
        ({}, {"multistar": True}, "check", "more than one star"),
        ({}, {"edge_dist": 1.0}, "check", "edge"),
        ({}, {"contamination": 0.8}, "check", "80%"),
        ({"in_scope": False, "note": "It looks like a hot star."}, {}, "out of scope", "hot star"),
        ({"in_scope": False, "red_chi2": 500.0}, {}, "out of scope", "differs"),
        ({"values": np.array([np.nan, np.nan]), "note": "Too few pixels."}, {}, "not fitted", "Too few"),
        ({"red_chi2": 50.0}, {"multistar": True}, "poor", "more than one star"),
    ],
)  # fmt: skip
def test_quality_has_a_reason(fit, meta, word, reason):
    found = quality(fit, **meta)
    assert found[0] == word
    assert reason in found[1]
    assert bool(found[1]) == (word != "good")
