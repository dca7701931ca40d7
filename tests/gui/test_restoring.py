"""Closed and opened again, or after a crash: what was open is shown exactly as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.diagram_data import Axes
from gui.main_window import MainWindow
from gui.notifications import Notifications
from gui.restoring import Autosave, capture
from gui.settings import Preferences


def again(window: MainWindow, themes, qtbot: QtBot, paths: list[Path]) -> MainWindow:
    """Close a window, start another one, and open the same again."""
    window.close()
    second = MainWindow(themes, Preferences(), Notifications())
    second.resize(1366, 768)
    second.show()
    qtbot.waitExposed(second)
    with qtbot.waitSignal(second.restorer.restored, timeout=WAIT):
        second.open_paths(paths)
    settled(second, qtbot)
    return second


@pytest.fixture
def put_away(qapp: QApplication):
    """Return what ends a second window."""

    def end(window: MainWindow) -> None:
        window.close()
        window.deleteLater()
        qapp.sendPostedEvents(window, QEvent.Type.DeferredDelete)

    return end


def test_a_session_is_shown_again_as_it_was(finished, field, themes, qtbot: QtBot, put_away) -> None:
    work, selection = finished.workspaces, finished.selection
    work.show("explore")
    work.diagrams.show_axes(Axes("fe_h", "red_chi2"))
    work.diagrams.menu.set_colour("snr_der")
    work.stars.filter.setText("teff < 5200")
    work.stars.show_columns(["stellar_id", "teff", "snr_der", "logg"])
    work.stars.sort_by(2, True)
    selection.set_wavelength(float(finished.document.cube.wave[50]))
    qtbot.waitUntil(lambda: work.image.shown is not None and work.image.shown.index == 50, timeout=WAIT)
    work.image.bar.limits_dragged.emit(-3.0, 44.0)
    work.image.comparison.set_picture("residual")
    selection.set_star(field.names[2])
    qtbot.waitUntil(lambda: work.spectrum._shown is not None, timeout=WAIT)
    selection.set_label("mg_fe")
    work.image.view.box.setRange(xRange=(4, 12), yRange=(5, 13), padding=0)
    work.spectrum.flux.getViewBox().setXRange(5100, 5300, padding=0)
    before = capture(finished)
    second = again(finished, themes, qtbot, [field.session])
    image = second.workspaces.image
    qtbot.waitUntil(lambda: image.shown is not None and image.shown.index == 50, timeout=WAIT)
    after = capture(second)
    for name in ("field", "spectrum"):
        np.testing.assert_allclose(after.pop(name), before.pop(name), rtol=0.1)
    assert after == before
    assert tuple(image.view.image.levels) == (-3.0, 44.0)
    assert not image.comparison.view.isHidden()
    assert second.workspaces.stars.model.rowCount() == 4
    put_away(second)


def test_stars_changed_by_hand_come_back(opened, field, themes, qtbot: QtBot, put_away) -> None:
    opened.actions_by_id["edit_stars"].trigger()
    opened.workspaces.image.editor.add(3.0, 3.0)
    opened.selection.set_star(field.names[1])
    opened.workspaces.image.editor.delete()
    kept = opened.document.edited.kept
    second = again(opened, themes, qtbot, [field.cube, field.stars])
    found = second.document.edited.kept
    assert found.star_id.tolist() == kept.star_id.tolist()
    np.testing.assert_array_equal(found.ra, kept.ra)
    assert second.document.rows.status[1] == "deleted"
    put_away(second)


def test_only_what_has_changed_is_saved_again(finished) -> None:
    finished.workspaces.show("explore")
    assert finished.restorer.remember()
    assert not finished.restorer.remember()
    finished.workspaces.show("look")
    assert finished.restorer.remember()
    assert finished.restorer.last["workspace"] == "look"


def test_another_file_is_not_shown_like_this_one(finished, field, qtbot: QtBot) -> None:
    finished.workspaces.show("explore")
    finished.restorer.remember()
    finished.workspaces.show("look")
    finished.open_paths([field.cube])
    settled(finished, qtbot)
    assert finished.workspaces.current == "look"


def test_a_view_of_another_version_does_no_harm(finished, field, qtbot: QtBot) -> None:
    import json

    path = str(field.session)
    finished.preferences.set_text("last/views", json.dumps({path: {"paths": [path], "star": "?"}}))
    finished.open_paths([field.session])
    settled(finished, qtbot)
    assert finished.document.catalogue is not None
    finished.preferences.set_text("last/views", "{broken")
    finished.open_paths([field.session])
    settled(finished, qtbot)
    assert not [n for n in finished.notifications.history if n.level == "error"]


def test_a_crash_is_noticed_and_what_was_open_comes_back(finished, field, tmp_path: Path, qtbot: QtBot) -> None:
    def autosave() -> Autosave:
        return Autosave(finished.restorer, finished.preferences, finished, tmp_path / "windows")

    first = autosave()
    assert not first.crashed
    finished.selection.set_star(field.names[3])
    first.save()
    first.end()
    assert not list((tmp_path / "windows").iterdir())
    code = "import sys; from PySide6.QtCore import QLockFile; lock = QLockFile(sys.argv[1])"
    code += "; print(lock.tryLock(0), flush=True); input()"
    lock = tmp_path / "windows" / "other.lock"
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        second = autosave()
        assert not second.crashed, "another window is open"
        second.end()
        other.kill()
    assert lock.exists()
    third = autosave()
    assert third.crashed
    third.end()
    finished.document.close()
    finished.selection.clear()
    finished.actions_by_id["restore"].trigger()
    qtbot.waitUntil(lambda: finished.selection.star == field.names[3], timeout=WAIT)
    settled(finished, qtbot)
    assert not autosave().crashed


def test_a_killed_window_offers_what_was_open(field, tmp_path) -> None:
    """A window that is killed leaves a note behind; the next one says so and opens the field again."""
    code = """
import os, sys
from pathlib import Path
from PySide6.QtCore import QSettings, QTimer
import gui.settings
gui.settings.store = lambda: QSettings(sys.argv[1], QSettings.Format.IniFormat)
import gui.main_window, gui.app, gui.restoring
gui.restoring.INTERVAL = 30
class Watched(gui.main_window.MainWindow):
    asked = False
    def __init__(self, *given):
        super().__init__(*given)
        self.timer = QTimer(self, interval=20)
        self.timer.timeout.connect(self.look)
        self.timer.start()
    def look(self):
        if self.restorer.last and sys.argv[2] == "die":
            os._exit(9)
        said = [n.sentence for n in self.notifications.history if n.level == "warning"]
        if said and not self.asked:
            self.asked = True
            print(said[0], flush=True)
            self.restorer.restore_last()
        elif said and self.document.catalogue is not None:
            print(self.document.session.path, flush=True)
            self.close()
gui.main_window.MainWindow = Watched
sys.exit(gui.app.main(sys.argv[3:]))
"""
    root = Path(__file__).resolve().parent.parent.parent
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(tmp_path / "s.ini")]

    def run(*given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *given], cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=100
        )

    assert run("die", str(field.session)).returncode == 9
    second = run("live")
    assert second.returncode == 0, second.stderr
    assert second.stdout.splitlines() == ["Stellacube ended unexpectedly last time.", str(field.session)]
