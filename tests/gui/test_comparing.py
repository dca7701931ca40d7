"""The panels that compare catalogues and show how labels repeat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from waiting import WAIT

from gui.main_window import MainWindow
from gui.panels.label_list import number, title_of
from processing.catalogue.export import write_catalogue


@pytest.fixture
def other(finished: MainWindow, tmp_path: Path) -> Path:
    """Write the open catalogue with other labels, as if from a second night."""
    catalogue = finished.document.catalogue
    assert catalogue is not None
    table = catalogue.table.copy()
    table["quality"][:] = "good"
    table["teff"] += 30.0 * np.array([1, -1, 1, 1, -2])[: len(table)]
    table["teff_err_cal"][:] = 30.0
    path = tmp_path / "night2.fits"
    write_catalogue(replace(catalogue, table=table), path, "fits")
    return path


def test_a_comparison_shows_bias_and_stars(finished: MainWindow, other: Path, qtbot: QtBot) -> None:
    panel = finished.workspaces.compare
    assert panel.is_empty
    finished.actions_by_id["compare"].trigger()
    assert panel.isVisible()
    panel.compare_with(other)
    qtbot.waitUntil(lambda: not panel.is_empty, timeout=WAIT)
    found = panel.shown.comparison
    assert len(found) == 5
    assert panel.table.item(0, 0).text() == "Teff (K)"
    assert panel.table.item(0, 2).text() == number(found["teff"].label.bias, 0, sign=True)
    assert panel.table.current == "teff"
    assert len(panel.points.getData()[0]) == found["teff"].label.n == 4  # one of the five is of poor quality
    panel.choice.button("teff").click()
    np.testing.assert_allclose(panel.points.getData()[0], found.against["teff"][np.isfinite(found.differences["teff"])])
    panel.table.selectRow(1)
    assert "log g" in panel.view.getPlotItem().getAxis("left").labelText
    star = str(found.star_id[panel._rows[2]])
    finished.selection.set_star(star)
    assert panel.mark.getData()[0].tolist() == [panel._x[2]]
    finished.close_field()
    assert panel.is_empty
    assert not panel.button.isEnabled()


def test_a_catalogue_without_common_stars_is_a_sentence(finished: MainWindow, tmp_path: Path, qtbot: QtBot) -> None:
    path = tmp_path / "elsewhere.csv"
    path.write_text("id,ra,dec,teff\nx,10,80,5000\n")
    with qtbot.waitSignal(finished.notifications.posted, timeout=WAIT) as said:
        finished.workspaces.compare.compare_with(path)
    assert "no star in common" in said.args[0].text
    assert finished.workspaces.compare.is_empty


def test_repeats_are_found_and_go_to_the_planner(finished: MainWindow, other: Path, qtbot: QtBot) -> None:
    panel = finished.workspaces.repeats
    finished.actions_by_id["repeats"].trigger()
    assert panel.isVisible()
    panel.look_at([other])
    qtbot.waitUntil(lambda: not panel.is_empty, timeout=WAIT)
    study = panel.shown.study
    assert study.repeats.n_star == 4
    assert panel.table.rowCount() == len(study.found)
    names = [entry.name for entry in study.found]
    panel.table.selectRow(names.index("teff"))
    assert panel.table.item(names.index("teff"), 2).text() == number(study["teff"].scatter, 0)
    assert np.sum(panel.shown.counts.get("teff", np.zeros(1))) in (0.0, 4.0)
    panel.factors_wanted.emit({"teff": 2.5})
    assert finished.workspaces.current == "plan"
    assert finished.workspaces._planner._factors == {"teff": 2.5}


def test_axes_keep_their_numbers_when_the_theme_changes(finished: MainWindow, other: Path, qtbot: QtBot) -> None:
    panel = finished.workspaces.compare
    panel.compare_with(other)
    qtbot.waitUntil(lambda: not panel.is_empty, timeout=WAIT)
    panel.view.setYRange(-0.4, 0.4)
    for theme in ("dark", "light"):
        finished.themes.set_appearance(theme)
        assert panel.view.getPlotItem().getAxis("left").autoSIPrefixScale == 1.0


def test_numbers_in_tables() -> None:
    assert number(-0.004, 2, sign=True) == "+0.00"
    assert number(-1.25, 1) == "−1.2"
    assert number(float("nan"), 2) == "–"
    assert title_of("rv") == "velocity (km/s)"
    assert title_of("mg_fe") == "[Mg/Fe]"
