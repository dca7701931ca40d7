"""The further views of the spectrum panel, its line marks, and what it saves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from PySide6.QtCore import QPointF
from PySide6.QtGui import QImage
from PySide6.QtSvg import QSvgRenderer
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.main_window import MainWindow
from gui.panels.spectrum import SpectrumPanel
from processing.labels.residuals import deviations
from processing.lines import read_lines


@pytest.fixture
def fitted(finished, field, qtbot: QtBot) -> MainWindow:
    """Return the window on the fit of a star."""
    finished.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: finished.workspaces.spectrum.shown is not None, timeout=WAIT)
    return finished


@pytest.fixture
def panel(fitted) -> SpectrumPanel:
    return fitted.workspaces.spectrum


def saved(window: MainWindow, path: Path, qtbot: QtBot) -> Path:
    qtbot.waitUntil(
        lambda: any(note.sentence == f"Saved {path}." for note in window.notifications.history), timeout=WAIT
    )
    settled(window, qtbot)
    return path


def test_the_menu_changes_the_view_and_the_choices_change_it_back(panel) -> None:
    menu = panel.more.menu()
    menu.aboutToShow.emit()
    actions = {action.text(): action for action in menu.actions()}
    assert not actions["Two compared"].isEnabled()
    actions["Four stages"].trigger()
    assert panel.canvas is panel.further.stages
    assert panel.views.current == ""
    assert panel.more.isChecked()
    panel.views.button("observed").click()
    assert panel.canvas is panel.plots
    assert not panel.more.isChecked()


def test_a_label_is_chosen_in_the_menu_and_its_pixels_are_shown(fitted, panel, qtbot: QtBot) -> None:
    menu = panel.more.menu()
    menu.aboutToShow.emit()
    labels = next(action for action in menu.actions() if action.text() == "Pixels of a label").menu()
    next(action for action in labels.actions() if action.text() == "[Mg/Fe]").trigger()
    assert fitted.selection.label == "mg_fe"
    qtbot.waitUntil(lambda: panel.gradient.plot in panel.plots.shown, timeout=WAIT)


def test_the_four_stages_share_their_wavelengths(panel) -> None:
    fit, spectrum = panel.shown.fit, panel.shown.observed
    panel.flux.setXRange(5000.0, 5200.0, padding=0)
    panel.show_view("stages")
    view = panel.further.stages
    raw, normalised, best, residual = (curve.getOriginalDataset() for curve in view.curves)
    np.testing.assert_array_equal(raw[0], spectrum.wave)
    for (_, y), expected in zip((normalised, best, residual), (fit.flux, fit.best, deviations(fit)), strict=True):
        np.testing.assert_allclose(y, expected, equal_nan=True)
    assert normalised[0][0] == pytest.approx(fit.wave[0] * (1 + fit.rv / 299792.458), abs=0.02)
    for plot in view.plots:
        assert plot.viewRange()[0] == pytest.approx([5000.0, 5200.0], abs=1.0)


def test_the_scatter_says_its_width_or_that_there_is_none(panel) -> None:
    panel.show_view("scatter")
    view = panel.further.scatter
    assert "Too few" in view.text.toPlainText()  # the made-up fits are without noise
    from processing.labels.residuals import Distribution

    view.show_distribution(Distribution(np.linspace(-8, 8, 17), np.full(16, 5), 0.5, 2.0, 90, 10))
    assert "width 2.00 about +0.50" in view.text.toPlainText()
    assert "10 beyond" in view.text.toPlainText()


def test_two_chosen_stars_are_compared(fitted, panel, field, qtbot: QtBot) -> None:
    fitted.selection.set_chosen(field.names[1:3])
    qtbot.waitUntil(lambda: panel.pair_possible, timeout=WAIT)
    panel.show_view("pair")
    view = panel.further.pair
    assert [name in view.legend.toPlainText() for name in field.names[1:3]] == [True, True]
    assert view.residual.getOriginalDataset()[1] == pytest.approx(0.0, abs=1e-6)  # made from the same model
    assert "χ² per pixel 0.00" in view.numbers.toPlainText()
    fitted.selection.set_chosen(())
    assert panel.view == "fit"


def shown_lines(panel, kind: str) -> dict[float, float]:
    """Return where lines are shown, by their wavelengths at rest."""
    marks = panel.plots.lines.marks[kind]
    return {marks.lines[n].wave: float(marks.places[n]) for n, _ in marks.in_sight()}


def test_lines_lie_where_their_velocities_put_them(panel) -> None:
    lines, fit = panel.plots.lines, panel.shown.fit
    panel.plots.limit(4500.0, 9500.0)  # the cube of these tests ends at 5000 Angstrom
    panel.flux.setXRange(5000.0, 5400.0, padding=0)
    stellar = shown_lines(panel, "stellar")
    assert stellar[5183.60] == pytest.approx(5183.60 * (1 + fit.rv / 299792.458), abs=0.01)
    assert 5269.54 in stellar  # a weak line, where there is room
    panel.flux.setXRange(4750.0, 9000.0, padding=0)
    assert 5269.54 not in shown_lines(panel, "stellar")
    panel.more._on_velocity(299.792458)
    assert shown_lines(panel, "stellar")[5183.60] == pytest.approx(5183.60 * 1.001, abs=0.01)
    assert shown_lines(panel, "sky") == {}
    panel.show_lines("sky", True)
    panel.flux.setXRange(5500.0, 5650.0, padding=0)
    assert list(shown_lines(panel, "sky").values()) == pytest.approx([5577.34], abs=0.3)
    panel.show_lines("telluric", True)
    panel.flux.setXRange(7500.0, 7800.0, padding=0)
    assert [name.toPlainText() for name in lines._names if name.isVisible()] == ["O₂ A"]
    assert shown_lines(panel, "stellar")
    panel.show_lines("stellar", False)
    assert not panel.lines_button.isChecked()
    assert shown_lines(panel, "stellar") == {}


def test_lines_are_drawn_where_they_are(panel) -> None:
    panel.plots.limit(4500.0, 9500.0)
    panel.flux.setXRange(5150.0, 5200.0, padding=0)
    box, places = panel.flux.getViewBox(), shown_lines(panel, "stellar").values()
    with_lines = panel.plots.grab().toImage()
    panel.show_lines("stellar", False)
    without = panel.plots.grab().toImage()
    corner = panel.plots.mapFromScene(box.mapToScene(box.boundingRect().topLeft()))
    edge = panel.plots.mapFromScene(box.mapToScene(box.boundingRect().bottomRight()))
    changed = {
        x
        for x in range(corner.x(), edge.x())
        if any(with_lines.pixel(x, y) != without.pixel(x, y) for y in range(corner.y() + 40, edge.y()))
    }
    wanted = {round(panel.plots.mapFromScene(box.mapViewToScene(QPointF(wave, 0.0))).x()) for wave in places}
    assert len(wanted) > 2
    assert all(any(abs(x - place) <= 1 for place in wanted) for x in changed)
    assert all(any(abs(x - place) <= 1 for x in changed) for place in wanted)


def test_names_of_lines_do_not_overlap(panel) -> None:
    panel.plots.limit(4500.0, 9500.0)
    panel.flux.setXRange(6100.0, 6500.0, padding=0)
    scale = 400.0 / panel.flux.getViewBox().width()
    marks = panel.plots.lines.marks["stellar"]
    places = [
        (marks.places[n], marks.places[n] + marks.name_width(n) * scale) for n, named in marks.in_sight() if named
    ]
    assert len(places) > 3
    assert all(one[1] <= other[0] for one, other in pairwise(places))
    assert len(read_lines("stellar")) > 60


def test_pictures_and_data_are_saved(fitted, panel, tmp_path, qtbot: QtBot) -> None:
    panel.commands.save_picture(tmp_path / "a.png")
    image = QImage(str(tmp_path / "a.png"))
    assert image.width() == 2 * panel.plots.width()
    panel.show_view("stages")
    panel.commands.save_picture(tmp_path / "a.svg")
    assert QSvgRenderer(str(tmp_path / "a.svg")).isValid()
    panel.commands.save_data(tmp_path / "a.ecsv")
    table = Table.read(saved(fitted, tmp_path / "a.ecsv", qtbot))
    np.testing.assert_allclose(table["fit"], panel.shown.fit.best)
    panel.commands.save_picture(tmp_path / "nowhere" / "a.png")
    assert "could not be written" in fitted.notifications.history[-1].sentence


def test_the_report_is_written_from_the_window(fitted, panel, tmp_path, qtbot: QtBot) -> None:
    panel.commands.save_report(tmp_path / "a.pdf")
    assert saved(fitted, tmp_path / "a.pdf", qtbot).read_bytes().startswith(b"%PDF")
