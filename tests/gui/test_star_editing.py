"""Stars added, moved and deleted on the image with real mouse events, undone, saved, and given to the next run."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QMouseEvent
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

import gui.runs
from gui.main_window import MainWindow
from processing.reference import read_star_list

Left = Qt.MouseButton.LeftButton


def place(window: MainWindow, x: float, y: float):
    """Return where a spaxel is on the image's viewport."""
    view = window.workspaces.image.view
    return view.mapFromScene(view.box.mapViewToScene(QPointF(x, y)))


def drag(window: MainWindow, start: tuple[float, float], stop: tuple[float, float]) -> None:
    """Drag with the left button from one spaxel to another."""
    viewport = window.workspaces.image.view.viewport()
    QTest.mousePress(viewport, Left, Qt.KeyboardModifier.NoModifier, place(window, *start))
    for share in (0.3, 0.6, 1.0):
        where = QPointF(place(window, *(a + share * (b - a) for a, b in zip(start, stop, strict=True))))
        event = QMouseEvent(
            QEvent.Type.MouseMove, where, QPointF(viewport.mapToGlobal(where.toPoint())), Qt.MouseButton.NoButton,
            Left, Qt.KeyboardModifier.NoModifier,
        )  # fmt: skip
        QGuiApplication.sendEvent(viewport, event)
    QTest.mouseRelease(viewport, Left, Qt.KeyboardModifier.NoModifier, place(window, *stop))


@pytest.fixture
def editing(opened) -> MainWindow:
    """Return the window with stars being edited."""
    opened.actions_by_id["edit_stars"].trigger()
    return opened


def lone(window: MainWindow) -> int:
    """Return the row of a star inside the field with no other ring near it."""
    rows = window.document.rows
    distance = np.hypot(rows.x[:, None] - rows.x, rows.y[:, None] - rows.y) + 1e9 * np.eye(len(rows))
    inside = (rows.x > 2) & (rows.x < 21) & (rows.y > 2) & (rows.y < 17)
    return int(np.argmax(np.where(inside, distance.min(axis=1), -1)))


def test_a_click_adds_a_star_and_undo_takes_it_away(editing, field, qtbot: QtBot) -> None:
    document = editing.document
    before = document.rows
    qtbot.mouseClick(editing.workspaces.image.view.viewport(), Left, pos=place(editing, 1.0, 17.0))
    assert document.rows.star_id.tolist() == [*field.names, "new1"]
    assert editing.selection.star == "new1"
    assert document.rows.status[-1] == "added"
    assert editing.workspaces.stars.model.rowCount() == len(field.names) + 1
    assert np.hypot(document.rows.x[-1] - 1.0, document.rows.y[-1] - 17.0) <= 2.0
    editing.actions_by_id["undo"].trigger()
    assert document.rows is before
    assert document.edited is None
    assert editing.selection.star == ""
    editing.actions_by_id["redo"].trigger()
    assert document.rows.star_id[-1] == "new1"


def test_a_drag_moves_a_star_and_nothing_else(editing, qtbot: QtBot) -> None:
    rows, row = editing.document.rows, lone(editing)
    box = editing.workspaces.image.view.box
    view = box.viewRange()
    drag(editing, (rows.x[row], rows.y[row]), (4.0, 5.0))
    after = editing.document.rows
    assert box.viewRange() == view
    assert (after.x[row], after.y[row]) == pytest.approx((4.0, 5.0), abs=0.1)
    assert after.status[row] == "moved"
    assert "Moved by hand" in after.reason[row]
    others = np.arange(len(rows)) != row
    np.testing.assert_array_equal(after.x[others], rows.x[others])
    ring = editing.workspaces.image.view._ring.getData()
    assert (ring[0][0], ring[1][0]) == (after.x[row], after.y[row])
    editing.actions_by_id["undo"].trigger()
    np.testing.assert_array_equal(editing.document.rows.x, rows.x)


def test_without_editing_a_drag_moves_the_view(opened) -> None:
    row, box = lone(opened), opened.workspaces.image.view.box
    rows, view = opened.document.rows, box.viewRange()
    drag(opened, (rows.x[row], rows.y[row]), (4.0, 5.0))
    assert opened.document.rows is rows
    assert box.viewRange() != view


def test_the_current_star_is_deleted_only_while_editing(opened, field) -> None:
    opened.selection.set_star(field.names[2])
    assert not opened.actions_by_id["delete_star"].isEnabled()
    opened.actions_by_id["edit_stars"].trigger()
    opened.actions_by_id["delete_star"].trigger()
    assert opened.document.rows.status[2] == "deleted"
    assert field.names[2] not in opened.document.edited.kept.star_id
    opened.actions_by_id["delete_star"].trigger()
    opened.actions_by_id["undo"].trigger()
    assert opened.document.rows.status[2] == "listed"


def test_the_changed_list_is_saved_and_given_to_the_next_run(editing, field, monkeypatch, tmp_path, qtbot) -> None:
    window, given = editing, []

    def stage(cube, stars, spectra, out, replace, settings, *, progress, cancelled):
        from processing.errors import Cancelled

        given.append(stars)
        raise Cancelled

    monkeypatch.setattr(gui.runs, "run_stage", stage)
    window.workspaces.image.editor.add(3.0, 3.0)
    window.selection.set_star(field.names[0])
    window.workspaces.image.editor.delete()
    window.commands.export_stars(tmp_path / "edited.csv")
    qtbot.waitUntil((tmp_path / "edited.csv").is_file, timeout=WAIT)
    settled(window, qtbot)
    names = read_star_list(tmp_path / "edited.csv").star_id.tolist()
    assert names == [*field.names[1:], "new1"]
    window.start_run(tmp_path)
    settled(window, qtbot)
    assert given[0].kept.star_id.tolist() == names


def test_stars_of_a_finished_run_are_edited_from_its_list(finished, field) -> None:
    finished.actions_by_id["edit_stars"].trigger()
    finished.workspaces.image.editor.add(3.0, 3.0)
    rows, edited = finished.document.rows, finished.document.edited
    assert rows.star_id[-1] == "new1"
    assert edited.kept.star_id.tolist() == [*field.names, "new1"]
    np.testing.assert_array_equal(edited.kept.ra[:-1], read_star_list(field.stars).ra)
    assert rows.column("teff").values[:5].tolist() == [4500.0 + 200 * n for n in range(5)]
    assert np.isnan(rows.column("teff").values[-1])


def test_stars_are_drawn_where_there_is_no_list(window, field, qtbot: QtBot) -> None:
    window.open_paths([field.cube])
    qtbot.waitUntil(lambda: window.document.overview is not None, timeout=WAIT)
    settled(window, qtbot)
    window.actions_by_id["edit_stars"].trigger()
    for x in (4.0, 15.0):
        window.workspaces.image.editor.add(x, 9.0)
    assert window.document.rows.star_id.tolist() == ["new1", "new2"]
    assert window.workspaces.stars.model.rowCount() == 2
    window.actions_by_id["undo"].trigger()
    window.actions_by_id["undo"].trigger()
    assert window.document.rows is None
