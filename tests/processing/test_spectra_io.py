"""Spectra come back exactly as they were written, and every layout that users have is read right."""

from __future__ import annotations

import dataclasses
import gzip
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from stand_ins import spectrum
from test_session import same

from processing.errors import StellacubeError
from processing.provenance import InputFile, Provenance
from processing.session import Session
from processing.settings import Settings
from processing.spectra_io import file_name, read_file, read_spectra, write_spectrum, write_spectrum_table

ORIGIN = Provenance((InputFile("cube", "cube.fits", 5, "f00d"),), Settings(), created="2020-01-01T00:00:00")
WAVE = 4750.0 + 1.25 * np.arange(600)


def variants():
    base = spectrum("4711", 3)
    grid = np.exp(np.linspace(np.log(4750.0), np.log(5200.0), base.wave.size))
    long = {
        "note": "a sentence of more than eighty characters, which no card of a FITS header can hold by itself",
        "n": 3,
    }
    return {
        "plain": base,
        "vacuum": replace(base, frame="vacuum"),
        "nonlinear": replace(base, wave=grid),
        "own_lsf": replace(base, lsf_fwhm=np.linspace(2.8, 2.5, base.wave.size)),
        "unknowns": replace(base, ra=np.nan, dec=np.nan, mag=np.nan, x=np.nan, y=np.nan, barycentric=np.nan),
        "odd_name": replace(base, star_id="ω Cen / “A”, with a very long name indeed, longer than a card"),
        "meta": replace(base, meta={**base.meta, **long, "contamination": float("nan"), "status": "merged – Ω"}),
        "empty_meta": replace(base, meta={}, flux_unit=""),
    }


@pytest.mark.parametrize("name", variants())
def test_one_star_round_trip_is_exact(tmp_path, name):
    star = variants()[name]
    write_spectrum(star, tmp_path / "s.fits", ORIGIN)
    (back,) = read_file(tmp_path / "s.fits")
    assert np.abs(back.wave - star.wave).max() < 1e-8
    assert repr(dict(back.meta)) == repr(dict(star.meta)) or {**back.meta} == pytest.approx({**star.meta}, nan_ok=True)
    assert same(replace(back, wave=star.wave, meta=star.meta), star)


def test_table_round_trip_is_exact(tmp_path):
    stars = [replace(star, star_id=f"{star.star_id} {n}") for n, star in enumerate(variants().values())]
    write_spectrum_table(stars, tmp_path / "t.fits", ORIGIN)
    back = {star.star_id: star for star in read_file(tmp_path / "t.fits")}
    assert len(back) == len(stars)
    for star in stars:
        other = back[star.star_id]
        assert repr(dict(other.meta)) == repr(dict(star.meta))
        assert same(replace(other, meta=star.meta), star)


def test_the_cards_are_pampelmuses(tmp_path, shared):
    star = spectrum("17", 1)
    write_spectrum(star, tmp_path / "s.fits", ORIGIN)
    ours, theirs = fits.open(tmp_path / "s.fits"), fits.open(shared / "data/pampelmuse/star.fits")
    assert [hdu.name for hdu in ours[:2]] == [hdu.name for hdu in theirs[:2]] == ["PRIMARY", "SIGMA"]
    # Cards of the observatory, and those whose meaning is not known, are not ours to write.
    foreign = (
        *("OBSERVATION", "PAMPELMUSE", "SPECTRUM MAG", "SPECTRUM QLTFLAG", "OBJNAME", "WST", "DATE-GEN"),
        *("TELESCOP", "INSTRUME", "MJD-OBS", "JUL-DATE", "EXPTIME"),
    )
    missing = [card for card in theirs[0].header if card not in ours[0].header and not card.startswith(foreign)]
    assert missing == []
    assert ours[0].header["CTYPE1"] == "AWAV"
    assert ours[0].header["CREATOR"].startswith("Stellacube")
    assert ours[0].header["HIERARCH SPECTRUM SNRATIO"] == pytest.approx(star.snr_der)
    assert ours[0].header["STELLACUBE INPUT1 HASH"] == "f00d"
    assert not fits.open(tmp_path / "s.fits")[0].header.get("PAMPELMUSE VERSION")


def test_the_wcs_is_what_astropy_reads(tmp_path):
    from astropy.wcs import WCS

    star = spectrum("17", 1)
    write_spectrum(star, tmp_path / "s.fits")
    world = WCS(fits.getheader(tmp_path / "s.fits")).all_pix2world(np.arange(star.wave.size), 0)[0]
    assert world * 1e10 == pytest.approx(star.wave, abs=1e-6)


def test_file_names_are_pampelmuses():
    assert file_name("ngc104", "10554") == "ngc104_id000010554.fits"
    assert file_name("a", "HST 12/3") == "a_idHST_12_3.fits"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "none" / "s.fits"
    with pytest.raises(StellacubeError, match="cannot be written"):
        write_spectrum(spectrum("1"), path)
    assert list(tmp_path.iterdir()) == []


def test_pampelmuse(shared):
    (star,) = read_file(shared / "data/pampelmuse/star.fits")
    assert star.star_id == "star_1"
    assert star.frame == "air"
    assert star.wave[0] == pytest.approx(4600.2216796875)
    assert star.wave[-1] == pytest.approx(4600.2216796875 + 3799 * 1.25)
    assert (star.ra, star.dec, star.mag) == (156.062775, -57.74301759999999, 17.256)
    assert star.x == pytest.approx(294.6067195704634)
    assert star.snr_der == pytest.approx(33.91213244108661, rel=1e-5)  # the file's own SNRATIO
    assert star.meta["psf_fwhm"] == pytest.approx(3.365771064697172)
    assert star.meta["instrument"] == "MUSE"


def test_pampelmuse_in_metres(tmp_path, shared):
    with fits.open(shared / "data/pampelmuse/star.fits") as hdus:
        for hdu in hdus:
            hdu.header["CRVAL1"] *= 1e-10
            hdu.header["CDELT1"] *= 1e-10
            del hdu.header["CUNIT1"], hdu.header["WSTART"], hdu.header["WSTEP"]
        hdus.writeto(tmp_path / "m.fits")
    (star,) = read_file(tmp_path / "m.fits")
    assert star.wave[0] == pytest.approx(4600.2216796875)
    assert star.wave[-1] == pytest.approx(4600.2216796875 + 3799 * 1.25)


@pytest.mark.parametrize(
    ("name", "star_id", "last", "r", "velocity"),
    [
        ("dr1_spec-55862-B6212_sp06-003.fits", "J063715.90+271356.5", 10 ** (3.5682 + 0.3903), 13.56, -26.3976499518),
        ("dr3_spec-55859-F5902_sp05-234.fits.gz", "105234", 9099.135, 15.59, 25.02522),
        ("dr10_3703110.fits", "3703110", 9099.135, 14.08, -29.28083),
    ],
)
def test_lamost(shared, name, star_id, last, r, velocity):
    (star,) = read_file(shared / "data/lamost_files" / name)
    assert star.star_id == star_id
    assert star.frame == "vacuum"
    assert star.wave[0] == pytest.approx(10**3.5682, abs=2e-3)
    assert star.wave[-1] == pytest.approx(last, abs=1e-2)
    assert (star.mag, star.barycentric) == (r, velocity)
    assert not star.good[star.flux == 0].any()
    # LAMOST's own S/N of these files lies between 20 and 100; the strongest lines lie where vacuum puts them.
    assert 20 < star.snr < 110
    near = np.abs(star.wave * (1 - star.meta["redshift"]) - 6564.6) < 6
    assert star.flux[near].min() < 0.97 * np.median(star.flux[np.abs(star.wave - 6564.6) < 60])


def test_all_lamost_files_are_read(shared):
    spectra, notes = read_spectra([shared / "data/lamost_files"])
    assert len(spectra) == len({star.star_id for star in spectra}) == 7
    assert notes == ()


def sdss(path):
    loglam = 3.58 + 1e-4 * np.arange(3000)
    columns = {
        "flux": 20.0 + 0 * loglam,
        "loglam": loglam,
        "ivar": np.where(loglam < 3.6, 0.0, 4.0),
        "wdisp": 1.1 + 0 * loglam,
    }
    header = fits.Header({"PLATEID": 266, "MJD": 51602, "FIBERID": 7, "PLUG_RA": 146.7, "PLUG_DEC": -1.04})
    table = fits.BinTableHDU(Table({k: v.astype("f4") for k, v in columns.items()}), name="COADD")
    fits.HDUList([fits.PrimaryHDU(header=header), table]).writeto(path)


def test_sdss(tmp_path):
    sdss(tmp_path / "spec.fits")
    (star,) = read_file(tmp_path / "spec.fits")
    assert (star.star_id, star.frame, star.ra) == ("266-51602-7", "vacuum", 146.7)
    assert star.wave[1000] == pytest.approx(10**3.68, rel=1e-6)
    assert star.snr == pytest.approx(40.0)
    # 1.1 pixels of 1e-4 dex: R = 1 / (2.3548 * 1.1e-4 * ln 10) = 1677
    assert star.wave / star.lsf_fwhm == pytest.approx(1676.6, rel=1e-3)
    assert not star.good[star.wave < 10**3.6 - 1].any()


def flux(wave=WAVE):
    return 100.0 + np.random.default_rng(1).normal(0, 2.0, wave.size)


SCALES = [("Angstrom", 1.0), ("nm", 0.1), ("um", 1e-4), ("m", 1e-10)]


@pytest.mark.parametrize(("unit", "factor"), SCALES + [(None, factor) for _, factor in SCALES])
def test_units_of_wavelength(tmp_path, unit, factor):
    table = Table({"wavelength": WAVE * factor, "flux": flux(), "error": np.full(WAVE.size, 2.0)})
    table["wavelength"].unit = unit
    table.write(tmp_path / "s.ecsv")
    (star,) = read_file(tmp_path / "s.ecsv")
    assert star.wave == pytest.approx(WAVE)
    assert star.ivar == pytest.approx(0.25)


def text_tables():
    f = flux()
    rows = list(zip(WAVE, f, np.full(WAVE.size, 2.0), strict=True))
    join = lambda between, rows=rows: "\n".join(between.join(f"{v:.6f}" for v in row) for row in rows) + "\n"  # noqa: E731
    return {
        "csv": "wave,flux,error\n" + join(","),
        "commented": "# wave flux sigma\n" + join(" "),
        "bare": join("   "),
        "comments_without_names": "# a star\n# seen in 2019\n" + join(" "),
        "tabs": "lambda\tFLUX\terr\n" + join("\t"),
        "semicolons": "wave;flux;flux_err\n" + join(";"),
        "ivar": "wavelength flux ivar\n" + join(" ", [(w, g, 0.25) for w, g, _ in rows]),
        "loglam": "loglam flux sigma\n" + "\n".join(f"{np.log10(w):.12f} {g:.6f} {e}" for w, g, e in rows),
        "shuffled": "flux,wave,error\n" + join(",", [(g, w, e) for w, g, e in rows][::-1]),
    }


@pytest.mark.parametrize("name", text_tables())
def test_text_tables(tmp_path, name):
    path = tmp_path / "HD 123.dat"
    path.write_text(text_tables()[name])
    (star,) = read_file(path)
    assert star.star_id == "HD 123"
    assert star.wave == pytest.approx(WAVE, abs=1e-5)
    assert star.flux == pytest.approx(flux(), abs=1e-4)
    assert star.error == pytest.approx(2.0)
    assert star.frame == "air"
    assert star.meta["frame"] == "air was taken"


@pytest.mark.parametrize(("column", "frame"), [("wave_vac", "vacuum"), ("wave_air", "air")])
def test_a_columns_name_says_the_frame(tmp_path, column, frame):
    Table({column: WAVE, "flux": flux(), "error": np.full(WAVE.size, 2.0)}).write(tmp_path / "s.csv")
    (star,) = read_file(tmp_path / "s.csv")
    assert star.frame == frame
    assert "frame" not in star.meta


def test_missing_errors_are_estimated_and_said_so(tmp_path):
    Table({"wave": WAVE, "flux": flux()}).write(tmp_path / "s.csv")
    spectra, notes = read_spectra([tmp_path / "s.csv"])
    assert spectra[0].error == pytest.approx(2.0, rel=0.15)
    assert any("have no errors" in note for note in notes)
    assert any("air was taken" in note for note in notes)


def image(path, data=None, extensions=(), **cards):
    header = fits.Header({"CRVAL1": 4750.0, "CDELT1": 1.25, "CRPIX1": 1.0, **cards})
    hdus = [fits.PrimaryHDU(flux() if data is None else data, header)]
    hdus += [fits.ImageHDU(values, name=name) for name, values in extensions]
    fits.HDUList(hdus).writeto(path)


@pytest.mark.parametrize(
    ("cards", "wave", "frame"),
    [
        ({"CTYPE1": "AWAV", "CUNIT1": "Angstrom"}, WAVE, "air"),
        ({"CTYPE1": "WAVE", "CUNIT1": "nm", "CRVAL1": 475.0, "CDELT1": 0.125}, WAVE, "vacuum"),
        ({"CRPIX1": 11.0}, WAVE - 12.5, "air"),
        (
            {"CTYPE1": "LINEAR", "DC-FLAG": 1, "CRVAL1": 3.7, "CDELT1": 1e-4, "VACUUM": True},
            10 ** (3.7 + 1e-4 * np.arange(600)),
            "vacuum",
        ),
        ({"CTYPE1": "AWAV-LOG", "CUNIT1": "Angstrom"}, 4750 * np.exp(1.25 * np.arange(600) / 4750), "air"),
        ({"CRVAL1": 6000.0, "CDELT1": -1.25}, 6000 - 1.25 * np.arange(600)[::-1], "air"),
    ],
)
def test_axes_of_fits_images(tmp_path, cards, wave, frame):
    image(tmp_path / "s.fits", extensions=[("SIGMA", np.full(600, 2.0))], **cards)
    (star,) = read_file(tmp_path / "s.fits")
    assert star.wave == pytest.approx(wave)
    assert star.frame == frame


@pytest.mark.parametrize(
    ("name", "value"), [("SIGMA", 2.0), ("UNCERT", 2.0), ("ERR", 2.0), ("STAT", 4.0), ("VARIANCE", 4.0), ("IVAR", 0.25)]
)
def test_errors_and_masks_of_fits_images(tmp_path, name, value):
    mask = np.zeros(600, np.uint8)
    mask[7] = 1
    errors = np.full(600, value)
    errors[9] = np.nan
    image(tmp_path / "s.fits", extensions=[(name, errors), ("MASK", mask)], CTYPE1="AWAV")
    (star,) = read_file(tmp_path / "s.fits")
    assert list(np.flatnonzero(~star.good)) == [7, 9]
    assert star.ivar[star.good] == pytest.approx(0.25)


def test_an_eso_product_of_one_row(tmp_path):
    values = {"WAVE": ("nm", WAVE / 10), "FLUX": ("adu", flux()), "ERR": ("adu", np.full(WAVE.size, 2.0))}
    columns = [fits.Column(name, f"{WAVE.size}D", unit=unit, array=[v]) for name, (unit, v) in values.items()]
    header = fits.Header({"INSTRUME": "XSHOOTER", "RA": 10.0, "DEC": -20.0})
    fits.HDUList([fits.PrimaryHDU(header=header), fits.BinTableHDU.from_columns(columns)]).writeto(tmp_path / "e.fits")
    (star,) = read_file(tmp_path / "e.fits")
    assert star.wave == pytest.approx(WAVE)
    assert star.snr == pytest.approx(50, rel=0.02)
    assert (star.ra, star.meta["instrument"]) == (10.0, "XSHOOTER")


def test_a_session_is_a_source_of_spectra(tmp_path):
    with Session.create(tmp_path / "p.stellacube", (), Settings()) as session:
        session.put_spectra([spectrum("a"), spectrum("b", 1)])
    assert [star.star_id for star in read_file(tmp_path / "p.stellacube")] == ["a", "b"]


def test_equal_names_get_numbers(tmp_path):
    for name in ("x", "y", "z"):
        write_spectrum(spectrum("17"), tmp_path / f"{name}.fits")
    spectra, _ = read_spectra([tmp_path])
    assert [star.star_id for star in spectra] == ["17", "17_2", "17_3"]


def broken(path, kind):
    if kind == "cube":
        fits.PrimaryHDU(np.zeros((4, 5, 6))).writeto(path)
    elif kind == "truncated":
        image(path, CTYPE1="AWAV")
        path.write_bytes(path.read_bytes()[:4000])
    elif kind == "no_axis":
        fits.PrimaryHDU(flux()).writeto(path)
    elif kind == "text":
        path.write_text("Dear all,\n\nplease find attached\n")
    elif kind == "names":
        Table({"id": [1, 2], "ra": [1.0, 2.0]}).write(path, format="ascii.csv")
    elif kind == "binary":
        path.write_bytes(bytes(range(256)) * 20)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "short":
        Table({"wave": WAVE[:20], "flux": flux(WAVE[:20])}).write(path, format="ascii.csv")
    elif kind == "all_nan":
        image(path, np.full(600, np.nan), CTYPE1="AWAV")
    elif kind == "words":
        Table({"wave": WAVE, "flux": ["bright"] * WAVE.size}).write(path, format="ascii.csv")
    elif kind == "gzip":
        path.write_bytes(gzip.compress(b"x" * 100)[:30])
    elif kind == "unit":
        table = Table({"wave": WAVE, "flux": flux()}, units={"wave": "s"})
        table.write(path, format="ascii.ecsv")


@pytest.mark.parametrize(
    "kind",
    [
        "cube",
        "truncated",
        "no_axis",
        "text",
        "names",
        "binary",
        "empty",
        "short",
        "all_nan",
        "words",
        "gzip",
        "unit",
        "missing",
    ],
)
def test_what_is_no_spectrum_is_refused_with_a_sentence(tmp_path, kind):
    path = tmp_path / "bad.fits"
    broken(path, kind)
    with pytest.raises(StellacubeError) as caught:
        read_spectra([path])
    assert len(str(caught.value)) > 25
    assert "\n" not in str(caught.value)


def test_other_files_in_a_folder_are_counted(tmp_path):
    write_spectrum(spectrum("1"), tmp_path / "a.fits")
    (tmp_path / "notes.txt").write_text("nothing to see\n")
    spectra, notes = read_spectra([tmp_path])
    assert len(spectra) == 1
    assert notes[0].startswith("1 files in the folder hold no spectrum")


def test_no_field_of_the_record_is_forgotten():
    """A new field of StarSpectrum must be written too."""
    known = {"star_id", "wave", "flux", "ivar", "frame", "flux_unit", "lsf_fwhm", "ra", "dec", "x", "y", "mag",
             "barycentric", "meta"}  # fmt: skip
    assert {entry.name for entry in dataclasses.fields(spectrum("1"))} == known
