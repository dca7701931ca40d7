"""Several stars: a lasso in a diagram, rows of the table, rings on the image, spectra one above the other."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QEvent, QItemSelectionModel, QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QMouseEvent
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot
from waiting import WAIT

from gui.main_window import MainWindow

Left, Shift = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture(autouse=True)
def _every_move_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pyqtgraph see moves that follow each other quicker than a hand's."""
    monkeypatch.setitem(pg.CONFIG_OPTIONS, "mouseRateLimit", -1)


def lasso(window: MainWindow, *corners: tuple[float, float]) -> None:
    """Draw a lasso in the diagram around places given in its coordinates."""
    view = window.workspaces.diagrams.view
    viewport = view.viewport()
    places = [view.mapFromScene(view.getViewBox().mapViewToScene(QPointF(*corner))) for corner in corners]
    QTest.mousePress(viewport, Left, Shift, places[0])
    for place in places[1:]:
        event = QMouseEvent(
            QEvent.Type.MouseMove, QPointF(place), QPointF(viewport.mapToGlobal(place)), Qt.MouseButton.NoButton,
            Left, Shift,
        )  # fmt: skip
        QGuiApplication.sendEvent(viewport, event)
    QTest.mouseRelease(viewport, Left, Qt.KeyboardModifier.NoModifier, places[-1])


def rows_selected(window: MainWindow) -> set[str]:
    """Return the stars whose rows are selected."""
    panel = window.workspaces.stars
    return {panel.model.star_at(index.row()) for index in panel.table.selectionModel().selectedRows()}


def test_a_lasso_chooses_stars_everywhere(finished, field, qtbot: QtBot) -> None:
    rows = finished.document.rows
    teff, logg = rows.column("teff").values, rows.column("logg").values
    before = finished.workspaces.diagrams.view.viewRange()
    low, high = teff[1] - 50, teff[3] + 50
    bottom, top = logg[1] - 0.15, logg[3] + 0.15
    lasso(finished, (low, bottom), (high, bottom), (high, top), (low, top), (low, bottom))
    chosen = field.names[1:4]
    assert finished.workspaces.diagrams.view.viewRange() == before
    assert finished.selection.chosen == chosen
    assert finished.selection.star == chosen[0]
    assert rows_selected(finished) == set(chosen)
    assert finished.workspaces.stars.count.toolTip().endswith("3 chosen")
    rings = finished.workspaces.image.view._chosen
    np.testing.assert_allclose(np.sort(rings.data["x"]), np.sort(rows.x[1:4]))
    finished.workspaces.diagrams.show_diagram("mg")
    assert len(finished.workspaces.diagrams.chosen.data) == 3


def test_an_empty_lasso_changes_nothing(finished, field) -> None:
    finished.selection.set_star(field.names[2])
    (left, _), (bottom, _) = finished.workspaces.diagrams.view.viewRange()
    lasso(finished, (left, bottom), (left, bottom + 0.01), (left + 1, bottom))
    assert finished.selection.chosen == ()
    assert finished.selection.star == field.names[2]


def test_rows_chosen_with_the_keyboard(finished, field) -> None:
    table = finished.workspaces.stars.table
    table.selectRow(0)
    assert finished.selection.star == field.names[0]
    flags = QItemSelectionModel.SelectionFlag
    table.selectionModel().select(table.model().index(2, 0), flags.Select | flags.Rows)
    assert set(finished.selection.chosen) == {field.names[0], field.names[2]}
    assert finished.selection.star == field.names[0]
    table.selectRow(3)
    assert finished.selection.chosen == ()
    assert finished.selection.star == field.names[3]
    assert rows_selected(finished) == {field.names[3]}


def test_another_star_and_escape_end_the_choice(finished, field) -> None:
    finished.selection.set_chosen(field.names[:3])
    finished.selection.set_star(field.names[1])
    assert finished.selection.chosen == field.names[:3]
    assert rows_selected(finished) == set(field.names[:3])
    finished.selection.set_star(field.names[4])
    assert finished.selection.chosen == ()
    assert rows_selected(finished) == {field.names[4]}
    finished.selection.set_chosen(field.names[:2])
    finished.actions_by_id["nothing"].trigger()
    assert finished.selection.chosen == ()
    assert rows_selected(finished) == set()


def test_the_spectra_of_several_stars_stand_one_above_the_other(finished, field, qtbot: QtBot) -> None:
    panel = finished.workspaces.spectrum
    finished.selection.set_chosen(field.names[1:4])
    qtbot.waitUntil(lambda: len(panel._stars) == 3 and panel._shown is not None, timeout=WAIT)
    button = panel.views.button("several")
    assert button.isVisible()
    qtbot.mouseClick(button, Left, pos=QPoint(5, 5))
    assert not panel.marker.isVisible()
    fit = finished.document.session.fit(field.names[2])
    wave, flux = panel.several.curves[1].getOriginalDataset()
    np.testing.assert_allclose(wave, fit.wave)  # at rest, though it moves at 20 km/s
    np.testing.assert_allclose(flux, fit.flux + 0.5, rtol=1e-6)
    assert panel.several.names[1].toPlainText().startswith(field.names[2])
    assert panel.flux.getViewBox().viewRange()[1][1] > 2.0
    finished.selection.set_star(field.names[4])
    qtbot.waitUntil(lambda: panel._shown.title == field.names[4], timeout=WAIT)
    assert panel.views.current == "fit"
    assert panel.marker.isVisible()
    assert panel.several.curves[1].getOriginalDataset()[0] is None
    assert not button.isVisible()


@pytest.mark.parametrize("chosen", [(), ("S1",)])
def test_one_star_is_not_several(finished, chosen: tuple[str, ...]) -> None:
    finished.selection.set_chosen(chosen)
    assert finished.selection.chosen == ()
