"""A session keeps everything that is finished, whatever happens to the process that writes it."""

from __future__ import annotations

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from stand_ins import GRID, WAVE, fit_of, sources, spectrum

from processing.errors import StellacubeError
from processing.provenance import InputFile, fingerprint
from processing.session import Session
from processing.settings import Settings, from_dict

INPUTS = (InputFile("cube", "cube.fits", 123, "abc", "/data/cube.fits"),)


def same(one: object, other: object) -> bool:
    """Compare two records field by field, NaN equal to NaN, types of arrays included."""
    for entry in dataclasses.fields(one):
        a, b = getattr(one, entry.name), getattr(other, entry.name)
        if isinstance(a, np.ndarray):
            if a.dtype.kind != b.dtype.kind or not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                return False
        elif a != b and not (a != a and b != b):
            return False
    return True


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.stellacube"


def test_everything_comes_back_as_it_went_in(path):
    settings = from_dict({"psf": {"profile": "gaussian"}, "preparation": {"masks": [[5000, 5010]], "mask_ao": True}})
    spectra = [spectrum(f"s{i}", i) for i in range(4)]
    spectra.append(dataclasses.replace(spectra[0], star_id="Ω 47", lsf_fwhm=np.full(WAVE.size, 2.5), mag=np.nan))
    fits = [fit_of(star) for star in spectra]
    with Session.create(path, INPUTS, settings) as session:
        session.put_extraction(sources(5), spectra, {"residual": np.full((3, 4), np.nan, np.float32)})
        session.put_fits(fits[:3], 0)
        session.put_fits(fits[3:], 3)
        session.log("info", "done")
    with Session.open(path, read_only=True) as session:
        assert session.inputs == INPUTS
        assert session.settings == settings
        assert all(same(a, b) for a, b in zip(spectra, session.spectra(), strict=True))
        assert all(same(a, b) for a, b in zip(fits, session.fits(), strict=True))
        assert same(session.fit("Ω 47"), fits[4])
        assert same(session.sources(), sources(5))
        assert session.star_ids("fits") == tuple(star.star_id for star in spectra)
        assert session.image("residual").dtype == np.float32
        assert session.image("white") is None
        assert [entry.text for entry in session.log_entries()] == ["done"]
        with pytest.raises(StellacubeError, match="no star s99"):
            session.spectrum("s99")


def test_a_shared_grid_is_stored_once(path):
    with Session.create(path, INPUTS, Settings()) as session:
        session.put_spectra([spectrum(f"s{i}", i) for i in range(20)])
        session.put_fits([fit_of(spectrum(f"s{i}", i)) for i in range(20)], 0)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM grids").fetchone() == (2,)
    with Session.open(path, read_only=True) as session:
        one, other = session.fit("s0"), session.fit("s1")
        assert one.wave is other.wave
        assert np.array_equal(one.wave, GRID)


def test_a_closed_session_is_one_file(path):
    with Session.create(path, INPUTS, Settings()) as session:
        session.put_spectra([spectrum("a")])
        assert path.with_name(path.name + "-wal").exists()
    with Session.open(path, read_only=True) as session:
        assert session.star_ids() == ("a",)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="permissions work differently on Windows")
def test_a_session_opens_where_nothing_may_be_written(path):
    with Session.create(path, INPUTS, Settings()) as session:
        session.put_spectra([spectrum("a")])
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        with Session.open(path, read_only=True) as session:
            assert session.star_ids() == ("a",)
    finally:
        path.parent.chmod(0o755)


def test_reading_goes_on_beside_writing(path):
    with Session.create(path, INPUTS, Settings()) as writer:
        writer.put_spectra([spectrum("a")])
        with Session.open(path, read_only=True) as reader:
            writer.put_spectra([spectrum("b")], first=1)
            assert reader.star_ids() == ("a", "b")


def test_two_writers_are_kept_apart(path):
    with Session.create(path, INPUTS, Settings()), pytest.raises(StellacubeError, match="in use by another run"):
        Session.open(path)
    Session.open(path).close()


def test_nothing_is_written_when_read_only(path):
    Session.create(path, INPUTS, Settings()).close()
    with Session.open(path, read_only=True) as session, pytest.raises(StellacubeError, match="readonly"):
        session.log("info", "x")


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from processing.session import Session
from processing.settings import Settings
from stand_ins import spectrum
session = Session.create(Path(sys.argv[1]), (), Settings())
session.put_spectra([spectrum("a")])
session.save("solve/0000-0032", {{"x": __import__("numpy").arange(3.0)}})
with session._transaction() as db:
    db.execute("DELETE FROM spectra")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_process_loses_only_what_was_not_finished(path):
    root = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
    code = KILLED.format(path=root)
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    with Session.open(path) as session:
        assert session.star_ids() == ("a",)
        assert np.array_equal(session.load("solve/0000-0032")["x"], np.arange(3.0))


def test_a_stage_goes_on_with_the_same_key_and_starts_anew_with_another(path):
    with Session.create(path, INPUTS, Settings()) as session:
        assert not session.begin("extraction", "k1", ("blocks", "spectra")).done
        session.save("solve/0", {"x": np.zeros(2)})
        session.put_spectra([spectrum("a")])
        session.finish("extraction", 2.0, ("a note",))
        again = session.begin("extraction", "k1", ("blocks", "spectra"))
        assert again.done
        assert again.notes == ("a note",)
        assert session.star_ids() == ("a",)
        assert not session.begin("extraction", "k2", ("blocks", "spectra")).done
        assert session.star_ids() == ()
        assert session.load("solve/0") is None


@pytest.mark.parametrize("content", [b"", b"not a session at all" * 100, b"SQLite format 3\0" + b"\0" * 4000])
def test_a_file_that_is_no_session_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    for read_only in (True, False):
        with pytest.raises(StellacubeError, match="is not a Stellacube session"):
            Session.open(path, read_only=read_only)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE inputs (x)")
    before = path.read_bytes()
    with pytest.raises(StellacubeError, match="is not a Stellacube session"):
        Session.open(path)
    assert path.read_bytes() == before


def test_a_newer_session_is_refused(path):
    Session.create(path, INPUTS, Settings()).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StellacubeError, match="newer version"):
        Session.open(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + bytes(40), bytes(16), b"\x02" + bytes(7) + b"[]"])
def test_a_damaged_record_is_a_sentence(path, data):
    with Session.create(path, INPUTS, Settings()) as session:
        session.put_extraction(sources(1), [spectrum("s0", 0)], {})
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE spectra SET data = ?", (data,))
    with Session.open(path, read_only=True) as session, pytest.raises(StellacubeError, match="cannot be read"):
        session.spectrum("s0")


def test_a_full_disk_is_a_sentence_and_keeps_what_was_finished(path):
    with Session.create(path, INPUTS, Settings()) as session:
        session.put_spectra([spectrum("a")])
        session._db.execute("PRAGMA max_page_count = 1")  # SQLite answers as for a full disk
        with pytest.raises(StellacubeError, match="disk is full"):
            session.put_spectra([spectrum(f"b{i}", i) for i in range(50)], first=1)
    with Session.open(path) as session:
        assert session.star_ids() == ("a",)


def test_a_database_locked_by_another_program_is_a_sentence(path, monkeypatch):
    Session.create(path, INPUTS, Settings()).close()
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with Session.open(path) as session:
        session._db.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(StellacubeError, match="in use by another program"):
            session.log("info", "x")
        other.rollback()
        other.close()


def test_a_folder_that_does_not_exist_is_a_sentence(tmp_path):
    with pytest.raises(StellacubeError, match="cannot be"):
        Session.create(tmp_path / "none" / "p.stellacube", INPUTS, Settings())


def test_a_fingerprint_tells_files_apart_without_reading_all(tmp_path):
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    base = fingerprint(path)
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    assert fingerprint(copy) == base
    for place in (0, 200_000, (64 << 20) - 1):  # header, and the file's end
        data = bytearray(path.read_bytes())
        data[place] = 1
        copy.write_bytes(data)
        assert fingerprint(copy) != base
    copy.write_bytes(path.read_bytes() + b"\0")
    assert fingerprint(copy) != base
