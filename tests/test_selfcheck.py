"""The self-check finds what is missing, and says what is there."""

from __future__ import annotations

import sys
import types

import pytest

from processing import selfcheck
from processing.errors import StellacubeError
from processing.selfcheck import (
    Finding,
    carry_out,
    check_files,
    check_models,
    check_packages,
    check_training,
    engine_checks,
)


def broken() -> str:
    raise StellacubeError("The moon is missing.", "Wait for the night.")


def test_one_failure_does_not_hide_the_next():
    findings = list(carry_out({"a": broken, "b": lambda: "there", "c": lambda: {}["x"]}))
    assert findings[0] == Finding("a", False, "The moon is missing. Wait for the night.")
    assert findings[1] == Finding("b", True, "there")
    assert not findings[2].passed
    assert "KeyError" in findings[2].text


def test_this_checkout_is_complete():
    assert "files in" in check_files()
    assert "astropy" in check_packages()
    assert "labels" in check_models()


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(selfcheck, "resource", lambda *parts: tmp_path.joinpath(*parts))
    with pytest.raises(StellacubeError, match=r"sample/sample\.npz"):
        check_files()


def test_a_missing_package_is_named(monkeypatch):
    found = selfcheck.version_of
    monkeypatch.setattr(selfcheck, "version_of", lambda name: "" if name == "photutils" else found(name))
    with pytest.raises(StellacubeError, match="Missing: photutils"):
        check_packages()


def test_no_models_is_a_failure(monkeypatch):
    monkeypatch.setattr("processing.labels.model_file.list_models", dict)
    with pytest.raises(StellacubeError, match="No label models"):
        check_models()


def test_torch_is_optional(monkeypatch):
    assert "trains" in check_training()
    monkeypatch.setattr(selfcheck, "version_of", lambda name: "")
    assert "left out" in check_training()


@pytest.mark.parametrize(("off", "passed"), [(100.0, True), (500.0, False)])
def test_the_demo_is_judged_for_gross_errors(off, passed, tmp_path, monkeypatch):
    class Comparison:
        n_found = n_true = 40

        def failures(self, bounds):
            return [] if off < bounds["teff"][0] else [f"Teff is off by {off:.0f} K."]

    report = types.SimpleNamespace(comparison=Comparison(), seconds={"total": 30.0})
    monkeypatch.setattr("processing.demo.demo", lambda folder, **_: report)
    (finding,) = carry_out({"demo": engine_checks(tmp_path)["demo"]})
    assert finding.passed is passed
    assert ("40 of 40 stars" if passed else "500 K") in finding.text


def run_command(monkeypatch, checks: dict) -> int:
    """Run the command with checks of our own."""
    from processing.cli import main

    monkeypatch.setattr(selfcheck, "engine_checks", lambda folder, **_: checks)
    stand_in = types.ModuleType("gui.selfcheck")
    stand_in.check_window = lambda session: "drawn"
    monkeypatch.setitem(sys.modules, "gui.selfcheck", stand_in)
    return main(["--self-check"])


def test_the_command_ends_with_0_or_tells_what_is_wrong(monkeypatch, capsys):
    assert run_command(monkeypatch, {"files": lambda: "all"}) == 0
    assert "All is in order" in capsys.readouterr().out
    assert run_command(monkeypatch, {"files": broken}) == 1
    text = capsys.readouterr().out
    assert "The moon is missing" in text
    assert "Not in order: files." in text
    assert "ok" in text


def test_training_without_torch_is_a_sentence(monkeypatch, capsys, tmp_path):
    from processing.cli import main

    config = tmp_path / "a.toml"
    config.write_text("")
    monkeypatch.setattr(selfcheck, "version_of", lambda name: "")
    assert main(["train", str(config)]) == 2
    assert "Training needs PyTorch" in capsys.readouterr().err
