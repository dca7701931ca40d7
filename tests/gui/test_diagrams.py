"""The diagrams: any column against any other, coloured, with density and training set; histograms; saved."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QPolygonF
from pytestqt.qtbot import QtBot
from waiting import WAIT

from gui.diagram_data import Axes, bins, density, scaled
from gui.panels.plot_items import point_at
from processing.labels.model_file import find_model, load_model


def entries(menu) -> dict[str, object]:
    return {action.text(): action for action in menu.actions() if action.text()}


def test_error_against_magnitude(finished) -> None:
    panel = finished.workspaces.diagrams
    panel.show_diagram("mg")
    panel.menu.choose("fe_h", "teff")
    panel.menu.fill()
    entries(panel.menu.menu)["Error against magnitude"].trigger()
    assert panel.axes == Axes("mag", "teff_err")
    assert panel.choice.current == ""
    x, y = panel.points.getData()
    assert x == pytest.approx(18 + np.arange(5) / 5)
    assert y == pytest.approx(np.full(5, 40.0))
    panel.show_diagram("kiel")
    assert panel.choice.current == "kiel"
    assert panel.view.getViewBox().xInverted()


def test_any_column_is_an_axis_and_a_colour(finished) -> None:
    panel, rows = finished.workspaces.diagrams, finished.document.rows
    panel.menu.fill()
    branch = entries(panel.menu.menu)["Vertical axis"].menu()
    entries(branch)["χ²"].trigger()
    assert panel.axes.y == "red_chi2"
    assert panel.points.getData()[1] == pytest.approx(rows.column("red_chi2").values[:5])
    panel.menu.fill()
    entries(entries(panel.menu.menu)["Colour"].menu())["S/N"].trigger()
    assert panel.menu.colour == "snr_der"
    brushes = [point.brush().color().name() for point in panel.points.points()]
    assert len(set(brushes)) == 5
    assert panel.legend.isVisible()
    assert "S/N" in panel.legend.accessibleName()
    panel.menu.set_colour("")
    assert not panel.legend.isVisible()


def test_a_histogram_counts_stars_and_chooses_a_range(finished, field) -> None:
    panel = finished.workspaces.diagrams
    panel.menu.choose("teff", "")
    assert panel.bars.isVisible()
    assert not panel.points.isVisible()
    assert int(np.sum(panel.bars.opts["y1"])) == 5
    panel._on_lasso(QPolygonF([QPointF(4600, 0), QPointF(5200, 0), QPointF(5200, 3)]))
    assert finished.selection.chosen == field.names[1:4]
    panel.show_diagram("kiel")
    assert not panel.bars.isVisible()
    assert len(panel.chosen.getData()[0]) == 3


def test_the_training_set_lies_behind(finished, qtbot: QtBot) -> None:
    panel = finished.workspaces.diagrams
    model = load_model(find_model(finished.document.session.settings.fit.model))
    qtbot.waitUntil(lambda: len(panel.training.getData()[0]) > 0, timeout=WAIT)
    teff = model.training_labels[:, model.labels.index("teff")]
    np.testing.assert_allclose(panel.training.getData()[0], teff)
    panel.show_diagram("rv")
    assert len(panel.training.getData()[0]) == 0  # the network knows no velocities
    panel.show_diagram("kiel")
    panel.menu._toggle("training", False)
    assert len(panel.training.getData()[0]) == 0


def test_the_points_are_saved(finished, tmp_path) -> None:
    panel = finished.workspaces.diagrams
    panel.save(tmp_path / "points.csv")
    lines = (tmp_path / "points.csv").read_text().splitlines()
    assert lines[0] == "stellar_id,teff,logg"
    assert len(lines) == 6
    assert lines[2].endswith(",4700.0,2.3")
    panel.save(tmp_path / "kiel.png")
    assert (tmp_path / "kiel.png").stat().st_size > 2000


def test_density_is_highest_where_most_points_are() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-1.5, 0.1, 300), rng.normal(0, 0.1, 60)])
    y = np.concatenate([rng.normal(0.3, 0.05, 300), rng.normal(0, 0.05, 60)])
    image, (left, bottom, width, height) = density(x, y)
    row, column = np.unravel_index(image.argmax(), image.shape)
    assert left + (column + 0.5) / image.shape[1] * width == pytest.approx(-1.5, abs=0.1)
    assert bottom + (row + 0.5) / image.shape[0] * height == pytest.approx(0.3, abs=0.05)
    assert image.max() == pytest.approx(1.0)
    second = image[:, int((0 - left) / width * image.shape[1])].max()
    assert 0.1 < second < 0.4  # a fifth of the points as densely packed
    assert density(x[:5], y[:5]) is None


def test_bins_and_scales() -> None:
    values = np.random.default_rng(1).normal(0, 1, 1000)
    counts, _ = bins(values)
    assert 15 <= len(counts) <= 60
    assert counts.sum() == pytest.approx(980, abs=3)
    assert bins(np.ones(7))[0].sum() == 7
    share, low, high = scaled(np.array([0.0, 1.0, 2.0, np.nan]))
    assert np.isnan(share[3])
    assert (share[0], share[2]) == (0.0, 1.0)
    assert 0 < low < high < 2


def test_a_click_on_a_point_takes_its_star_and_one_beside_it_does_not(finished, field, qtbot: QtBot) -> None:
    finished.workspaces.show("explore")
    panel = finished.workspaces.diagrams
    panel.menu.choose("mag", "teff")
    box, (x, y) = panel.view.getViewBox(), panel.points.getData()
    finished.selection.set_star(field.names[0])
    apart = QPointF((x[2] + x[3]) / 2, (y[2] + y[3]) / 2)
    assert point_at(box, box.mapViewToScene(apart), x, y) is None
    assert point_at(box, box.mapViewToScene(apart), x[:0], y[:0]) is None
    place = panel.view.mapFromScene(box.mapViewToScene(QPointF(x[3], y[3])))
    qtbot.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: finished.selection.star == field.names[3], timeout=WAIT)
