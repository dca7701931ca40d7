"""PampelMUSE: its files are read and written, and the program is driven, by way of a stand-in that checks its input.

The stand-in follows what is documented and what files in use look like; the real program was not there to compare with.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from stand_ins import spectrum
from star_fields import make_field, sky_positions, write_cube

from processing.errors import Cancelled, StellacubeError
from processing.extraction.pampelmuse import find_executable, run_routine
from processing.extraction.pampelmuse_files import read_prm
from processing.extraction.psf import PsfModel
from processing.pipeline import RunInputs, extract_only
from processing.session import Session
from processing.settings import PampelMuseSettings, Settings
from processing.spectra_io import pampelmuse_name, read_file, write_pampelmuse

ROUTINES = ["INITFIT", "CUBEFIT", "POLYFIT", "CUBEFIT", "GETSPECTRA"]
WAVE = np.arange(4750.0, 9350.1, 25.0)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Return a cube with one voxel of zero variance, its star list, and the field they were made from."""
    folder = tmp_path_factory.mktemp("field")
    made = make_field(n_star=14, seed=3, wave=WAVE, masked=0.0, mags=(15.0, 18.0))
    cube = write_cube(made, folder / "cube.fits")
    with fits.open(cube, mode="update") as hdus:
        hdus["STAT"].data[7, 30, 30] = 0.0
    ra, dec = sky_positions(made.x, made.y, made.data.shape[1:])
    rows = [f"{101 + i},{float(ra[i])!r},{float(dec[i])!r},{made.mag[i]:.4f}" for i in range(14)]
    (folder / "stars.csv").write_text("\n".join(["id,ra,dec,I", *rows, "999,10.0,10.0,16.0", "1000,,,17.0"]))
    return made, cube, folder / "stars.csv"


@pytest.fixture
def program(tmp_path, field):
    """Return the path of an executable stand-in that knows the truth of the field."""
    made = field[0]
    folder = tmp_path / "bin"
    folder.mkdir()
    source = folder / "stand_in.py"
    shutil.copy(Path(__file__).with_name("pampelmuse_stand_in.py"), source)
    t = made.truth["t"]
    line = {name: made.truth[name][0] + (made.truth[name][1] - made.truth[name][0]) * t for name in ("fwhm", "beta")}
    np.savez(
        folder / "truth.npz", **line, t=t, e=0.06, theta=0.5, drift=made.truth["drift"], flux=made.flux,
        number=101 + np.arange(14), skipped=np.array(["103", "999"]),
    )  # fmt: skip
    script = folder / "PampelMuse"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{source}" "$@"\n')
    script.chmod(0o755)
    return script


def settings_for(program):
    return Settings(pampelmuse=PampelMuseSettings(use=True, executable=str(program), passband="COUSINS_I"))


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
class TestEngine:
    def test_the_whole_way(self, tmp_path, field, program):
        made, cube, stars = field
        settings = settings_for(program)
        texts = []
        result = extract_only(
            RunInputs(cube, stars, out=tmp_path / "out"), settings, progress=lambda _, text: texts.append(text)
        )
        assert (program.parent / "calls.txt").read_text().split() == ROUTINES
        assert any("CUBEFIT" in text for text in texts)
        with Session.open(result.session, read_only=True) as session:
            spectra, sources = list(session.spectra()), session.sources()
            psf = PsfModel.from_arrays(session.load("psf"))
            assert session.image("white") is not None
            assert session.image("residual") is None
        assert [star.star_id for star in spectra] == [str(101 + i) for i in range(14) if i != 2]
        for star in spectra:
            truth = made.flux[int(star.star_id) - 101]
            assert star.flux == pytest.approx(truth, rel=1e-6)
            assert star.error == pytest.approx(0.01 * truth, rel=1e-5)
            assert star.wave == pytest.approx(WAVE, abs=1e-5)
            assert star.meta["pampelmuse"] == "stand-in"
            assert star.meta["cube"] == "cube.fits"
        status = dict(zip(sources.star_id, sources.status, strict=True))
        reason = dict(zip(sources.star_id, sources.reason, strict=True))
        assert status["101"] == "extracted"
        assert status["999"] == "outside"
        assert reason["103"] == "PampelMUSE gave it status 3 and no spectrum"
        # The PSF is the stand-in's, in our own terms; its drift is counted from the middle of the cube.
        t = made.truth["t"]
        found = psf.parameters(WAVE)
        assert found[:, 0] == pytest.approx(4.2 - 0.5 * t, abs=1e-6)
        assert found[:, 1] == pytest.approx(2.4 + 0.3 * t, abs=1e-6)
        assert found[:, 2] == pytest.approx(made.truth["e1"], abs=1e-6)
        assert found[:, 3] == pytest.approx(made.truth["e2"], abs=1e-6)
        assert np.ptp(found[:, 4]) == pytest.approx(0.5, abs=1e-6)
        assert np.ptp(found[:, 5]) == pytest.approx(0.3, abs=1e-6)
        assert abs(found[WAVE.size // 2, 4]) < 0.01
        assert psf.n_stars == 5
        # The copy it was given has no voxel that it would fail on; the user's cube is as it was.
        assert np.isnan(fits.getdata(tmp_path / "out/cube_pampelmuse/cube.fits", "DATA")[7, 30, 30])
        assert np.isfinite(fits.getdata(cube, "DATA")[7, 30, 30])

    def test_a_failing_routine_is_quoted_and_a_second_run_goes_on(self, tmp_path, field, program):
        _, cube, stars = field
        inputs, flag = RunInputs(cube, stars, out=tmp_path / "out"), program.parent / "fail_POLYFIT"
        flag.touch()
        with pytest.raises(StellacubeError, match="POLYFIT ended with code 3: RuntimeError: the fit did not converge"):
            extract_only(inputs, settings_for(program))
        flag.unlink()
        extract_only(inputs, settings_for(program))
        assert (program.parent / "calls.txt").read_text().split() == [*ROUTINES[:3], *ROUTINES[2:]]

    def test_cancelling_ends_the_program(self, tmp_path, field, program):
        _, cube, stars = field
        (program.parent / "hang_CUBEFIT").touch()
        running = threading.Event()

        def progress(_, text):
            if "CUBEFIT: " in text:
                running.set()

        with pytest.raises(Cancelled):
            extract_only(
                RunInputs(cube, stars, out=tmp_path / "out"), settings_for(program), progress=progress,
                cancelled=running.is_set,
            )  # fmt: skip

    def test_a_missing_program_is_named_with_the_way_to_get_it(self, tmp_path, field):
        _, cube, stars = field
        with pytest.raises(StellacubeError, match=r"no program no-such-program.*pip install"):
            extract_only(RunInputs(cube, stars, out=tmp_path / "out"), settings_for("no-such-program"))
        with pytest.raises(StellacubeError, match="there is none"):
            extract_only(RunInputs(cube, None, out=tmp_path / "b"), settings_for(sys.executable))

    def test_what_a_dying_program_started_ends_too(self, tmp_path):
        script = tmp_path / "PampelMuse"
        script.write_text('#!/bin/sh\nsleep 600 &\necho $!\ntouch "$1"\nwait\n')
        script.chmod(0o755)
        config = tmp_path / "config.json"
        with pytest.raises(Cancelled):
            run_routine(script, config, "CUBEFIT", lambda *_: None, config.exists)
        child = int((tmp_path / "CUBEFIT.log").read_text())
        assert not works(child)


def works(process):
    """Tell whether a process is there and no zombie, which only waits to be counted."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] not in "ZX"
    except OSError:
        return False


def test_a_program_on_the_path_is_found(tmp_path, monkeypatch):
    script = tmp_path / "PampelMuse"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    if os.name == "posix":
        assert find_executable() == script.resolve()


def test_parameters_are_found_in_either_table(tmp_path):
    values = {"A": 1.0, "B": 0.01, "C": -0.01, "D": 1.0, "x0": 5.0, "y0": 6.0}
    for number, (first, second) in enumerate((("POSPARS", "POSITIONS"), ("POSITIONS", "POSPARS"))):
        columns = [fits.Column("name", "4A", array=list(values)), fits.Column("v", "9D", array=np.tile(
            np.array(list(values.values()))[:, None], 9))]  # fmt: skip
        psf = [fits.Column("name", "4A", array=["fwhm"]), fits.Column("polyfit", "9D", array=np.full((1, 9), 3.0))]
        sources = [fits.Column("id", "J", array=[4]), fits.Column("STATUS", "J", array=[3])]
        axis = fits.ImageHDU(np.zeros((9, 1, 2)), name="SPECTRA")
        axis.header["CRVAL3"], axis.header["CDELT3"] = 4.75e-7, 1.25e-10
        other = fits.BinTableHDU.from_columns([fits.Column("z", "D", array=[0.0])], name=second)
        tables = [fits.BinTableHDU.from_columns(c, name=n) for c, n in ((sources, "SOURCES"), (columns, first))]
        tables.append(fits.BinTableHDU.from_columns(psf, name="PSFPARS"))
        path = tmp_path / f"{number}.prm.fits"
        fits.HDUList([fits.PrimaryHDU(), *tables, axis, other]).writeto(path)
        prm = read_prm(path)
        assert prm.star_id.tolist() == [4]
        assert prm.wave == pytest.approx(4750.0 + 1.25 * np.arange(9))
        assert {name: vector[0] for name, vector in prm.transformation.items()} == values
        model = prm.model(3, 0.0, 0.0)
        assert (model.profile, model.n_stars) == ("gaussian", 1)
        assert np.abs(model.parameters(4755.0)[4:]).max() < 1e-12  # nothing changes with wavelength
        with pytest.raises(StellacubeError, match="parameters, not its spectra"):
            read_file(path)
    fits.PrimaryHDU(np.zeros(4)).writeto(tmp_path / "plain.fits")
    with pytest.raises(StellacubeError, match="no parameter file"):
        read_prm(tmp_path / "plain.fits")


def test_spectra_for_readers_of_pampelmuses_files(tmp_path, shared):
    star = spectrum("10554", 2)
    star = replace(star, meta={**star.meta, "date_obs": "2014-07-26T13:58:56"})
    name = pampelmuse_name(star, 1)
    assert name == "specid000010554jd2456865p0826f000.fits"
    write_pampelmuse(star, tmp_path / name)
    with fits.open(tmp_path / name) as ours, fits.open(shared / "data/pampelmuse/star.fits") as theirs:
        assert [hdu.name for hdu in ours] == ["PRIMARY", "SIGMA", "GOODPIXELS"]
        missing = {card for card in theirs[0].header if card not in ours[0].header}
        # Cards of the observatory, and of measurements that are PampelMUSE's own.
        foreign = ("OBSERVATION", "SPECTRUM MAG", "TELESCOP", "INSTRUME", "EXPTIME", "DATE-GEN")
        assert [card for card in missing if not card.startswith(foreign)] == []
        assert ours[0].header["STAR ID"] == 10554
        assert ours[0].header["MJD-OBS"] == pytest.approx(ours[0].header["JUL-DATE"] - 2400000.5)
        assert ours[1].header["CRVAL1"] == star.wave[0]
        flux, sigma, good = (hdu.data for hdu in ours)
        assert np.isfinite(flux).all()
        assert (good == star.good).all()
        assert (1.0 / sigma**2)[~star.good].max() == 0.0
    (back,) = read_file(tmp_path / name)
    assert back.star_id == "10554"
    assert (back.good == star.good).all()
    assert back.flux[back.good] == pytest.approx(star.flux[star.good])
    assert back.ivar == pytest.approx(star.ivar, rel=1e-5)
    assert back.meta["qltflag"] == 0
    assert pampelmuse_name(replace(star, star_id="A 7", meta={}), 12) == "specid000000012jd0p0000f000.fits"
