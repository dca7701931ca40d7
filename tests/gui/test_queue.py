"""Several cubes run one after another, and the stars of a run shown as they are finished."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QThread
from pytestqt.qtbot import QtBot
from test_window import drop
from waiting import WAIT, settled

import gui.runs
from gui.live import LiveStars
from gui.main_window import MainWindow
from gui.opening import list_of, sort_out
from processing.errors import StellacubeError
from processing.progress import stop_if
from processing.session import Session


@pytest.fixture
def cubes(field, tmp_path) -> tuple[Path, ...]:
    """Return three cubes and their lists, named alike."""
    paths = []
    for name in ("east", "middle", "west"):
        shutil.copy(field.cube, tmp_path / f"{name}.fits")
        shutil.copy(field.stars, tmp_path / f"{name}_stars.csv")
        paths += [tmp_path / f"{name}.fits", tmp_path / f"{name}_stars.csv"]
    return tuple(paths)


def states(window: MainWindow) -> list[str]:
    return [task.state for task in window.runs.tasks]


def result_of(path: Path):
    from processing.pipeline import RunResult

    with Session.open(path, read_only=True) as session:
        return RunResult(path, session.catalogue(), (), (), {"extraction": 3.0})


def test_lists_find_their_cubes(cubes) -> None:
    east, east_stars, middle, middle_stars, west, west_stars = cubes
    choice = sort_out([west, east_stars, middle_stars, east, west_stars, middle])
    assert choice.queue == ((west, west_stars), (east, east_stars), (middle, middle_stars))
    assert (choice.cube, choice.stars, choice.left) == (west, west_stars, ())
    assert [stars for _, stars in sort_out([east, west, east_stars]).queue] == [east_stars, east_stars]
    assert list_of(Path("x/far.fits"), [east_stars, west_stars]) is None
    assert list_of(Path("x/far.fits"), []) is None


def test_dropped_cubes_run_one_after_another(window, field, cubes, monkeypatch, qtbot: QtBot) -> None:
    order, running = [], []

    def stage(cube, stars, spectra, out, replace, settings, *, progress, cancelled):
        assert not running  # never two at a time
        running.append(cube)
        progress(0.4, "Solving")
        order.append((cube.name, stars.name, out))
        running.clear()
        if cube.name == "middle.fits":
            raise StellacubeError("The cube is broken.", "Download it again.")
        return result_of(field.session)

    monkeypatch.setattr(gui.runs, "run_stage", stage)
    drop(window, *cubes)
    qtbot.waitUntil(lambda: len(window.runs.tasks) == 3, timeout=WAIT)
    settled(window, qtbot)
    assert window.document.cube_path == cubes[0]
    panel = window.workspaces.queue
    assert panel.isVisible()
    assert states(window) == ["waiting"] * 3
    panel.run_all.click()
    qtbot.waitUntil(lambda: "waiting" not in states(window) and not window.runs.running, timeout=WAIT)
    settled(window, qtbot)
    assert states(window) == ["done", "failed", "done"]
    assert [name for name, *_ in order] == ["east.fits", "middle.fits", "west.fits"]
    assert order[0][1:] == ("east_stars.csv", cubes[0].parent / "east_stellacube")
    shown = [panel.model.index(row, 2).data() for row in range(3)]
    assert shown[0].startswith("Done   Quality: 4 good, 1 poor.")
    assert shown[1].startswith("Failed   The cube is broken.")
    panel.clear.click()
    assert panel.is_empty


def test_cancelling_stops_the_queue_and_keeps_what_waits(window, cubes, monkeypatch, qtbot: QtBot) -> None:
    begun = threading.Event()

    def stage(*inputs, progress, cancelled):
        waiting = threading.Event()
        begun.set()
        while True:
            stop_if(cancelled)
            progress(0.3, "Working")
            waiting.wait(0.005)

    monkeypatch.setattr(gui.runs, "run_stage", stage)
    window.queue_cubes(((cubes[0], None), (cubes[2], None)))
    window.queue_cubes(((cubes[0], cubes[1]),))
    assert [task.cube for task in window.runs.tasks] == [cubes[2], cubes[0]]  # the same results once
    window.runs.start_all()
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    assert states(window) == ["running", "waiting"]
    window.cancel()
    settled(window, qtbot)
    assert states(window) == ["cancelled", "waiting"]
    assert window.actions_by_id["cancel"].isEnabled() is False


def test_closing_during_a_queue_leaves_no_thread(window, cubes, monkeypatch, qtbot: QtBot) -> None:
    begun = threading.Event()

    def stage(*inputs, progress, cancelled):
        begun.set()
        while True:
            stop_if(cancelled)
            threading.Event().wait(0.005)

    monkeypatch.setattr(gui.runs, "run_stage", stage)
    window.queue_cubes(((cubes[0], None), (cubes[2], None)))
    window.runs.start_all()
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    window.close()
    assert not [thread for thread in window.findChildren(QThread) if thread.isRunning()]


# Stars of a run that is going on


def half_done(field, path: Path, n_fits: int) -> None:
    """Write a session as a run leaves it in the middle of its fits."""
    with Session.open(field.session, read_only=True) as whole:
        spectra, fits = list(whole.spectra()), list(whole.fits())
        if path.is_file():
            with Session.open(path) as session:
                session.put_fits(fits[:n_fits], 0)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with Session.create(path, whole.inputs, whole.settings) as session:
            session.put_spectra(spectra)
            session.put_fits(fits[:n_fits], 0)


def test_live_stars_are_what_the_session_holds(opened, field, tmp_path) -> None:
    path = tmp_path / "live.stellacube"
    live = LiveStars(path, opened.document.cube)
    assert live.read() is None
    half_done(field, path, 2)
    rows = live.read()
    assert np.isfinite(rows.column("teff").values).sum() == 2
    assert len(rows) == 5
    assert live.read() is None  # nothing is new
    half_done(field, path, 4)
    assert np.isfinite(live.read().column("teff").values).sum() == 4


def test_no_finished_star_is_lost_to_a_quick_second_look(qapp, monkeypatch, tmp_path, qtbot: QtBot) -> None:
    import gui.live

    monkeypatch.setattr(gui.live, "RHYTHM", 0.0)
    looks = threading.Semaphore(0)
    answers = iter(["rows of two stars"])  # afterwards nothing is new

    def read(self):
        looks.release()
        return next(answers, None)

    monkeypatch.setattr(LiveStars, "read", read)
    live, seen = gui.live.LiveRun(qapp), []
    live.rows_read.connect(seen.append)
    live.follow(tmp_path / "live.stellacube", None)
    live.look_again()
    assert looks.acquire(timeout=WAIT / 1000)
    live.look_again()  # before the window came to show the first answer
    looks.acquire(timeout=0.2)
    qtbot.waitUntil(lambda: bool(seen), timeout=2000)
    live.look_again()
    assert looks.acquire(timeout=WAIT / 1000)
    live.shut_down()
    assert seen == ["rows of two stars"]


def test_stars_appear_while_the_run_goes_on(opened, field, monkeypatch, tmp_path, qtbot: QtBot) -> None:
    import gui.live

    monkeypatch.setattr(gui.live, "RHYTHM", 0.0)
    path, go_on = tmp_path / "field.stellacube", threading.Event()

    def stage(cube, stars, spectra, out, replace, settings, *, progress, cancelled):
        half_done(field, path, 2)
        while not go_on.wait(0.05):
            stop_if(cancelled)
            progress(0.8, "Fitting")
        return result_of(field.session)

    monkeypatch.setattr(gui.runs, "run_stage", stage)
    opened.workspaces.stars.filter.setText("S1")
    opened.start_run(tmp_path)
    qtbot.waitUntil(lambda: opened.document.rows.fitted, timeout=WAIT)
    assert opened.runs.running
    assert np.isfinite(opened.document.rows.column("teff").values).sum() == 2
    assert len(opened.workspaces.diagrams.points.getData()[0]) == 2
    with qtbot.waitSignal(opened.document.spectrum_ready, timeout=WAIT) as shown:
        opened.selection.set_star(field.names[1])
    assert shown.args[0].fit is not None
    go_on.set()
    qtbot.waitUntil(lambda: opened.document.catalogue is not None, timeout=WAIT)
    settled(opened, qtbot)
    assert opened.document._live.path is None
    assert opened.workspaces.stars.filter.text() == "S1"
