"""The About box, the window's part of the self-check, and the sentences where no window can open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QFileOpenEvent, QGuiApplication

import processing
from gui import preflight
from gui.about import AboutDialog, citations, diagnostics
from gui.app import Application
from gui.selfcheck import check_window
from processing.errors import StellacubeError
from processing.selfcheck import components

ROOT = Path(__file__).resolve().parents[2]


def test_about_names_everything(qtbot):
    dialog = AboutDialog()
    qtbot.addWidget(dialog)
    text = dialog.browser.toPlainText()
    assert all(entry["name"] in text and entry["licence"] in text for entry in components())
    assert all(entry["text"] in text for entry in citations())
    assert "Lesser General Public License" in text
    assert "never uses the network" in text


def test_diagnostics_are_copied_without_the_users_files(qtbot):
    dialog = AboutDialog()
    qtbot.addWidget(dialog)
    dialog.copy()
    text = QGuiApplication.clipboard().text()
    assert text == diagnostics()
    for words in (processing.__version__, "numpy", "Qt 6", "offscreen", "stellacube.log"):
        assert words in text


def test_the_window_is_looked_at(qapp, field):
    assert "5 stars in its table" in check_window(field.session)


def test_a_window_without_results_fails_the_check(qapp, tmp_path, monkeypatch):
    monkeypatch.setattr("gui.selfcheck.PATIENCE", 200)
    with pytest.raises(StellacubeError, match="shows nothing"):
        check_window(tmp_path / "none.stellacube")


def test_macos_hands_files_over_by_an_event():
    got = []
    event = QFileOpenEvent(QUrl.fromLocalFile("/data/NGC 104.fits"))

    class Given:
        file_given = type("Signal", (), {"emit": staticmethod(got.append)})

    assert Application.event(Given(), event)
    assert got == ["/data/NGC 104.fits"]


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    """Start the program without a display."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "LD_", "PYTHON"))}
    command = [sys.executable, str(ROOT / "main.py")]
    return subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
@pytest.mark.parametrize(
    ("environment", "words"),
    [({}, "no display"), ({"QT_QPA_PLATFORM": "xcb"}, "no display"), ({"DISPLAY": ":97531"}, ":97531")],
)
def test_no_display_is_a_sentence(environment, words):
    result = start(**environment)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    ("error", "package"),
    [
        ("libxcb-cursor.so.0: cannot open shared object file: No such file or directory", "libxcb-cursor0"),
        ("libxkbcommon-x11.so.0: cannot open shared object file", "libxkbcommon-x11-0"),
        ("libGL.so.1: cannot open", "libgl1"),
        ("libdbus-1.so.3: cannot open", "libdbus-1-3"),
    ],
)
def test_a_missing_library_is_named_with_its_package(error, package, monkeypatch):
    def missing() -> bool:
        raise OSError(error)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(preflight, "_answers", missing)
    text = preflight.why_no_window()
    assert text.endswith(f"sudo apt install {package}")
    assert error.partition(".")[0] in text


def test_wayland_and_offscreen_are_left_to_qt(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert not preflight.why_no_window()
    monkeypatch.delenv("QT_QPA_PLATFORM")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert not preflight.why_no_window()
