"""The image of a band chosen in the spectrum, and the spectrum in a circle chosen on the image."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot
from waiting import WAIT

from gui.main_window import MainWindow
from gui.selection import Aperture

Left = Qt.MouseButton.LeftButton


def wait_for_spectrum(window: MainWindow, start: str, qtbot: QtBot) -> None:
    """Wait for a spectrum whose title starts so."""
    panel = window.workspaces.spectrum
    qtbot.waitUntil(lambda: panel._shown is not None and panel._shown.title.startswith(start), timeout=WAIT)


def test_a_region_dragged_in_the_spectrum_shows_its_image(opened, qtbot: QtBot) -> None:
    spectrum, image = opened.workspaces.spectrum, opened.workspaces.image
    opened.selection.set_spaxel((5, 5))
    wait_for_spectrum(opened, "Spaxel", qtbot)
    box = spectrum.flux.getViewBox()
    before = box.viewRange()[0]
    places = []
    for share in (0.3, 0.45, 0.6):
        point = box.mapToScene(box.width() * share, box.height() / 2)
        places.append(spectrum.plots.mapFromScene(point))
    viewport, shift = spectrum.plots.viewport(), Qt.KeyboardModifier.ShiftModifier
    QTest.mousePress(viewport, Left, shift, places[0])
    for place in places[1:]:
        move(viewport, place)
    QTest.mouseRelease(viewport, Left, Qt.KeyboardModifier.NoModifier, places[-1])
    low, high = opened.selection.band
    width = before[1] - before[0]
    assert high - low == pytest.approx(0.3 * width, rel=0.1)
    assert box.viewRange()[0] == before  # the view did not move
    qtbot.waitUntil(lambda: image._shown.picture == "band", timeout=WAIT)
    np.testing.assert_array_equal(image.view.image.image, opened.document.cube.band_image(low, high))
    assert image.pictures.button("slice").text() == "Band"
    image.slider.setValue(3)
    assert opened.selection.band is None
    assert not spectrum.band.isVisible()
    qtbot.waitUntil(lambda: image._shown.picture == "slice", timeout=WAIT)
    assert image.pictures.button("slice").text() == "Slice"


def move(viewport, place: QPoint) -> None:
    """Move the mouse with the button and Shift held: QTest knows neither."""
    from PySide6.QtCore import QEvent, QPointF
    from PySide6.QtGui import QGuiApplication, QMouseEvent

    where = QPointF(place)
    event = QMouseEvent(
        QEvent.Type.MouseMove, where, QPointF(viewport.mapToGlobal(place)), Qt.MouseButton.NoButton, Left,
        Qt.KeyboardModifier.ShiftModifier,
    )  # fmt: skip
    QGuiApplication.sendEvent(viewport, event)


def test_moving_the_edges_of_the_band_asks_anew(opened, qtbot: QtBot) -> None:
    image = opened.workspaces.image
    opened.selection.set_band((4800.0, 4850.0))
    assert opened.workspaces.spectrum.band.getRegion() == (4800.0, 4850.0)
    opened.workspaces.spectrum.band.setRegion((4820.0, 4900.0))
    assert opened.selection.band == (4820.0, 4900.0)
    expected = opened.document.cube.band_image(4820.0, 4900.0)
    qtbot.waitUntil(
        lambda: image._shown.picture == "band" and np.array_equal(image._shown.pixels, expected), timeout=WAIT
    )
    opened.actions_by_id["nothing"].trigger()
    assert opened.selection.band is None


def test_the_aperture_begins_on_the_current_star_and_follows_its_circle(opened, field, qtbot: QtBot) -> None:
    image, spectrum, rows = opened.workspaces.image, opened.workspaces.spectrum, opened.document.rows
    opened.selection.set_star(field.names[1])
    opened.actions_by_id["aperture"].trigger()
    aperture = opened.selection.aperture
    assert (aperture.x, aperture.y) == (rows.x[1], rows.y[1])
    assert opened.selection.star == ""
    assert image.view.circle.isVisible()
    wait_for_spectrum(opened, "Aperture", qtbot)
    image.view.circle.setPos(8.0, 7.0)
    image.view.circle.setSize(4.0)
    assert opened.selection.aperture == Aperture.around(10.0, 9.0, 2.0)
    wait_for_spectrum(opened, "Aperture x 10.0, y 9.0, radius 2.0", qtbot)
    expected = opened.document.cube.aperture(10.0, 9.0, 2.0, (4.0, 7.0))
    np.testing.assert_array_equal(spectrum._shown.observed.flux, expected.flux)
    image.sky.setChecked(False)
    wait_for_spectrum(opened, "Aperture x 10.0, y 9.0, radius 2.0, sky not subtracted", qtbot)
    opened.selection.set_star(field.names[2])
    assert opened.selection.aperture is None
    assert not image.aperture.button.isChecked()
    assert not image.view.circle.isVisible()


def test_a_circle_dragged_off_the_image_stays_at_its_edge(opened, qtbot: QtBot) -> None:
    opened.actions_by_id["aperture"].trigger()
    opened.workspaces.image.view.circle.setPos(-40.0, 5.0)
    assert opened.selection.aperture.x == 0.0
    wait_for_spectrum(opened, "Aperture x 0.0", qtbot)
    assert not [n for n in opened.notifications.history if n.level == "error"]
