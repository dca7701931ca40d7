"""The command line: every command explains itself, every mistake is a sentence with exit code 2."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import main as entry
from processing.cli import app, main
from processing.simulation.settings import SimulationSettings

ROOT = Path(__file__).resolve().parents[1]


def names(typer_app):
    commands = [c.name or c.callback.__name__ for c in typer_app.registered_commands]
    return [*commands, *(group.name for group in typer_app.registered_groups)]


def test_main_knows_every_command():
    assert sorted(names(app)) == sorted(entry.COMMANDS)


@pytest.mark.parametrize("command", entry.COMMANDS)
def test_help_teaches_with_an_example(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage" in text
    assert f"main.py {command}" in text or f"{command} --" in text


def test_help_of_all(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in entry.COMMANDS)
    assert main(["--version"]) == 0


def test_main_imports_nothing_heavy():
    tree = ast.parse((ROOT / "main.py").read_text())
    modules = {name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names}
    modules |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "faulthandler", "multiprocessing", "sys", "pathlib"}


def test_help_needs_neither_torch_nor_qt_nor_astropy():
    code = (
        "import sys, main; sys.argv = ['main.py', '--help']; main.main(); print(sorted(sys.modules), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"torch", "astropy", "scipy", "photutils", "PySide6", "pyqtgraph", "numpy"}
    assert heavy.isdisjoint(ast.literal_eval(result.stderr))


@pytest.mark.parametrize(
    ("arguments", "window"),
    [
        ([], True),
        (["{cube}"], True),
        (["{cube}", "{cube}"], True),
        (["run"], False),
        (["--help"], False),
        (["none.fits"], False),
    ],
)
def test_paths_open_the_window(arguments, window, tmp_path, monkeypatch):
    """Even where a folder is called like a command."""
    cube = tmp_path / "cube.fits"
    cube.write_bytes(b"")
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    given = [str(cube) if word == "{cube}" else word for word in arguments]
    monkeypatch.setattr(sys, "argv", ["main.py", *given])
    opened = []
    monkeypatch.setitem(
        sys.modules, "gui.app", type("App", (), {"main": staticmethod(lambda paths: opened.append(paths) or 0)})
    )
    monkeypatch.setattr("processing.cli.main", lambda arguments: 7)
    assert entry.main() == (0 if window else 7)
    assert opened == ([[Path(word) for word in given]] if window else [])


def test_a_file_that_is_missing_is_said_to_be(capsys):
    assert main(["none.fits"]) == 2
    assert "There is no file none.fits" in capsys.readouterr().err


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Make a small cube with its star list."""
    folder = tmp_path_factory.mktemp("field")
    arguments = ["simulate", "--out", str(folder), "--name", "f", "--n-stars", "12", "--size", "36", "--seed", "3"]
    assert main(arguments) == 0
    return folder


def test_simulate_writes_a_field(field):
    assert {path.name for path in field.iterdir()} == {"f.fits", "f_stars.csv", "f_truth.npz"}
    with fits.open(field / "f.fits") as hdus:
        assert hdus["DATA"].shape[1:] == (36, 36)
    from processing.simulate import Truth

    assert len(Truth.load(field / "f_truth.npz")) == 12


def test_simulate_offers_what_the_settings_know():
    assert SimulationSettings().mode == "WFM-NOAO-N"
    assert main(["simulate", "--mode", "WFM-XYZ"]) == 2


def test_info(field, capsys):
    assert main(["info", str(field / "f.fits")]) == 0
    text = capsys.readouterr().out
    for words in (
        "36 x 36 spaxels, 3681 layers",
        "4750.00-9350.00 A in air",
        'spaxel, 7" x 7"',
        "given (STAT)",
        "12 km/s",
    ):
        assert words in text


def bad_inputs(tmp_path):
    """Return arguments of `run` for everything that can be wrong with what a user gives."""
    cube, stars = tmp_path / "cube.fits", tmp_path / "stars.csv"
    stars.write_text("id,ra,dec,V\n1,6.02,-72.08,17\n")
    kind = tmp_path.name
    if kind == "text":
        cube.write_text("no FITS file")
    elif kind == "image":
        fits.PrimaryHDU(np.ones((5, 5))).writeto(cube)
    elif kind == "nan":
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.full((9, 9, 9), np.nan), name="DATA")]).writeto(cube)
    elif kind == "columns":
        stars.write_text("a,b\n1,2\n")
    arguments = [str(cube), "--stars", str(stars), "--out", str(tmp_path / "out")]
    if kind == "model":
        cube.write_text("x")
        arguments += ["--model", str(stars)]
    elif kind == "settings":
        (tmp_path / "s.toml").write_text("[psf]\nprofil = 'moffat'\n")
        arguments += ["--config", str(tmp_path / "s.toml")]
    return arguments


@pytest.mark.parametrize("kind", ["missing", "text", "image", "nan", "model", "settings"])
def test_bad_input_is_a_sentence(kind, tmp_path, capsys):
    folder = tmp_path / kind
    folder.mkdir()
    arguments = bad_inputs(folder)
    assert main(["run", *arguments]) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert len(text.strip().splitlines()[-1]) > 30
    assert not list(folder.glob("out/*catalogue*"))


def test_models_are_described(capsys):
    assert main(["model", "list"]) == 0
    assert "\na " in capsys.readouterr().out
    assert main(["model", "show", "a"]) == 0
    text = capsys.readouterr().out
    assert "[Mg/Fe]" in text
    assert "licence" in text


def test_a_fault_of_the_program_leaves_a_log(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("processing.cube_info.describe_cube", lambda path: 1 / 0)
    assert main(["info", "x"]) == 1
    text = capsys.readouterr().err
    assert "Traceback" not in text
    (log,) = tmp_path.glob("stellacube-*.log")
    assert str(log) in text
    assert "ZeroDivisionError" in log.read_text()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_ctrl_c_leaves_a_session_that_goes_on(field, tmp_path):
    arguments = ["run", str(field / "f.fits"), "--stars", str(field / "f_stars.csv"), "--out", str(tmp_path / "out")]
    command = [sys.executable, str(ROOT / "main.py"), *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "will be extracted" in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "the same command goes on from there" in rest
    assert "Traceback" not in rest
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["f.stellacube"]
    assert main(command[2:]) == 0
    assert (tmp_path / "out" / "f_catalogue.csv").exists()
