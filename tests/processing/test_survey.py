"""Many fields: shared out among processes, a failure stops no other, and one catalogue in the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stand_ins import MODEL, fit_of, spectrum

import processing.survey
from processing.catalogue.collect import catalogue_files, collect
from processing.catalogue.export import read_catalogue, write_catalogue
from processing.catalogue.table import build_catalogue
from processing.cli import main
from processing.errors import Cancelled, StellacubeError
from processing.lock import Lock
from processing.pipeline import RunResult
from processing.project import OutputExists
from processing.provenance import Provenance
from processing.settings import FitSettings, Settings
from processing.survey import carry_out, outcomes_so_far, read_fields

ORIGIN = Provenance((), Settings(), "a", "1.2", created="2020-01-01T00:00:00")
SETTINGS = Settings()


def catalogue_of(name, n=2, magnitude="F606W"):
    stars = [replace(spectrum(f"{name}-{i}", i), meta={"cube": f"{name}.fits"}) for i in range(n)]
    return build_catalogue(stars, [fit_of(star) for star in stars], MODEL, ORIGIN, magnitude)


@pytest.fixture
def ran(monkeypatch):
    """Replace the run by one that only writes a catalogue; return the names of the fields that were run."""
    names = []

    def run(inputs, settings, *, overwrite, progress, cancelled):
        names.append(inputs.project)
        progress(0.5, "Solving")
        if not inputs.cube.exists():
            raise StellacubeError(f"There is no file {inputs.cube}.", "Check the path.")
        if inputs.cube.read_text() == "fault":
            raise ZeroDivisionError("by zero")
        inputs.out.mkdir(parents=True, exist_ok=True)
        catalogue = catalogue_of(inputs.project)
        write_catalogue(catalogue, inputs.output("catalogue.fits"), "fits")
        return RunResult(inputs.session, catalogue, (), (), {})

    monkeypatch.setattr(processing.survey, "run", run)
    return names


@pytest.fixture
def fields(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.fits").write_text("cube")
    (tmp_path / "list.csv").write_text("name,cube,stars\n,one.fits,own.csv\nsecond,two.fits,\nlost,three.fits,\n")
    return read_fields([tmp_path / "list.csv"], tmp_path / "all.csv")


def test_a_list_names_cubes_and_their_stars(fields, tmp_path):
    assert [field.name for field in fields] == ["one", "second", "lost"]
    assert [field.cube.name for field in fields] == ["one.fits", "two.fits", "three.fits"]
    assert [field.stars for field in fields] == [tmp_path / "own.csv", tmp_path / "all.csv", tmp_path / "all.csv"]
    assert [field.name for field in read_fields([tmp_path / "a.fits", tmp_path / "b.fits.fz"])] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\na.fits\n", "no column cube"),
        ("cube\na.fits\nx/a.fits\n", "called a"),
        ("cube,name\na.fits,x/y\n", "x/y"),
    ],
)
def test_bad_lists_are_refused(text, message, tmp_path):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(StellacubeError, match=message):
        read_fields([tmp_path / "list.csv"])


def test_what_is_done_is_not_done_again_and_a_failure_stops_nothing(fields, ran, tmp_path):
    out, told = tmp_path / "out", []
    first = carry_out(fields, out, SETTINGS, tell=told.append)
    assert told == list(first)
    assert [outcome.state for outcome in first] == ["done", "done", "failed"]
    assert first[0].text.startswith("2 stars: ")
    assert first[2].text == f"There is no file {tmp_path / 'three.fits'}. Check the path."
    assert outcomes_so_far(fields, out, SETTINGS) == carry_out(fields, out, SETTINGS) == first
    assert ran == ["one", "second", "lost"]
    carry_out(fields, out, SETTINGS, retry=True)
    (tmp_path / "one.fits").write_text("another cube")
    (tmp_path / "three.fits").write_text("there at last")
    assert [outcome.state for outcome in carry_out(fields, out, SETTINGS)] == ["done"] * 3
    assert ran[3:] == ["lost", "one", "lost"]
    other = Settings(fit=FitSettings(abundance_prior=0.1))
    assert [outcome.state for outcome in outcomes_so_far(fields, out, other)] == ["waiting"] * 3


def test_a_field_under_way_elsewhere_is_left_to_it(fields, ran, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    lock = Lock(out / "one")
    assert [outcome.state for outcome in carry_out(fields[:2], out, SETTINGS)] == ["elsewhere", "done"]
    assert [outcome.state for outcome in outcomes_so_far(fields[:2], out, SETTINGS)] == ["elsewhere", "done"]
    lock.release()
    assert outcomes_so_far(fields[:2], out, SETTINGS)[0].state == "waiting"
    assert [outcome.state for outcome in carry_out(fields[:2], out, SETTINGS)] == ["done", "done"]
    assert ran == ["second", "one"]


def test_a_fault_is_kept_with_its_traceback(fields, ran, tmp_path):
    (tmp_path / "one.fits").write_text("fault")
    first, second = carry_out(fields[:2], tmp_path / "out", SETTINGS)
    assert (first.state, second.state) == ("failed", "done")
    assert "ZeroDivisionError: by zero" in first.fault
    assert "fault of the program" in first.text


@pytest.mark.parametrize("end", [Cancelled(), OutputExists("The folder belongs to a run with another model.")])
def test_some_ends_are_the_users(end, fields, tmp_path, monkeypatch):
    def run(inputs, settings, **options):
        raise end

    monkeypatch.setattr(processing.survey, "run", run)
    with pytest.raises(type(end)):
        carry_out(fields, tmp_path / "out", SETTINGS)
    assert [outcome.state for outcome in outcomes_so_far(fields, tmp_path / "out", SETTINGS)] == ["waiting"] * 3


def test_the_command_says_how_it_ended(fields, ran, tmp_path, capsys):
    arguments = ["survey", str(tmp_path / "list.csv"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--status"]) == 0
    assert "3 fields: 3 to be done." in capsys.readouterr().out
    assert main(arguments) == 2
    assert "3 fields: 2 done, 1 failed." in capsys.readouterr().out
    (tmp_path / "three.fits").write_text("fault")
    assert main(arguments) == 1
    assert main(["collect", str(tmp_path / "out"), "--out", str(tmp_path / "all.fits")]) == 0
    assert "2 catalogues, 4 stars: " in capsys.readouterr().out
    assert list(read_catalogue(tmp_path / "all.fits").table["cube"]) == ["one.fits"] * 2 + ["second.fits"] * 2


def test_collected_rows_are_those_of_the_fields(tmp_path):
    paths = []
    for name, magnitude in (("one", "F606W"), ("two", "V")):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / f"{name}_catalogue.fits")
        write_catalogue(catalogue_of(name, magnitude=magnitude), paths[-1], "fits")
        write_catalogue(catalogue_of(name, magnitude=magnitude), paths[-1].with_suffix(".ecsv"), "ecsv")
    assert catalogue_files([tmp_path]) == tuple(paths)
    whole = collect(paths)
    parts = [read_catalogue(path) for path in paths]
    assert len(whole) == 4
    for row, part in ((0, parts[0]), (2, parts[1])):
        for name in part.table.colnames:
            assert np.array_equal(
                whole.table[name][row : row + 2], part.table[name], equal_nan=part.table[name].dtype.kind == "f"
            ), name
    assert np.isnan(whole.table["mag_V"][:2]).all()
    assert whole.table["teff"].unit == "K"
    assert whole.provenance.history[-1] == "collected from 2 catalogues"
    write_catalogue(replace(parts[1], provenance=replace(ORIGIN, model="g")), paths[1], "fits")
    with pytest.raises(StellacubeError, match="one model"):
        collect(paths)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StellacubeError, match="No catalogue"):
        catalogue_files([tmp_path / "empty"])
