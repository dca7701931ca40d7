"""Filtering by sliders: the sliders and the typed filter say the same, and what else is typed stays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from gui.panels.range_slider import RADIUS, RangeSlider
from gui.range_filter import Scale, read_range, write_range
from gui.star_rows import Column

TEFF = Column("teff", "Teff", np.array([4000.0, 6000.0, np.nan]), "K", decimals=0)


def test_ranges_are_read_and_written_beside_other_terms() -> None:
    assert read_range("merged Teff>=4500 teff < 5000 logg < 3", TEFF) == (4500, 5000)
    assert read_range("teff = 5000", TEFF) == (-math.inf, math.inf)
    text = write_range("merged teff >= 4500 logg < 3", TEFF, "4700", "5100")
    assert text == "merged logg < 3 teff >= 4700 teff <= 5100"
    assert write_range(text, TEFF, "", "") == "merged logg < 3"


def test_scales() -> None:
    linear = Scale.of(TEFF)
    assert linear is not None
    assert (linear.value(0.25), linear.place(5500), linear.text(4500.4)) == (4500, 0.75, "4500")
    wide = Scale.of(Column("snr", "S/N", np.array([1.0, 10.0, 100.0])))
    assert wide is not None
    assert wide.value(0.5) == pytest.approx(10)
    assert wide.place(10) == pytest.approx(0.5)
    narrow = Scale.of(Column("fe_h", "[Fe/H]", np.array([-1.12, -1.02])))
    assert narrow is not None
    assert len({narrow.text(narrow.value(n / 100)) for n in range(101)}) == 101, "each step writes another number"
    assert Scale.of(Column("x", "x", np.array([2.0, 2.0, np.nan]))) is None
    assert Scale.of(Column("id", "Star", np.array(["a", "b"]))) is None


def test_slider_by_keyboard_and_mouse(qtbot: QtBot) -> None:
    slider = RangeSlider("Range of Teff")
    qtbot.addWidget(slider)
    slider.resize(200 + 2 * RADIUS + 2, 20)
    slider.show()
    slider.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.keyClick(slider, Qt.Key.Key_PageUp)
    qtbot.keyClick(slider, Qt.Key.Key_Tab)
    qtbot.keyClick(slider, Qt.Key.Key_Left)
    assert slider.places == pytest.approx((0.1, 0.99))
    qtbot.keyClick(slider, Qt.Key.Key_Home)
    assert slider.places == pytest.approx((0.1, 0.1)), "the handles do not pass each other"
    slider.set_places(0.0, 1.0)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=QPoint(RADIUS + 1 + 160, 10))
    assert slider.places == pytest.approx((0.0, 0.8))


def test_sliders_and_typed_filter_are_one(finished, qtbot: QtBot) -> None:
    panel = finished.workspaces.stars
    everything = panel.model.rowCount()
    panel.filter.setText("extracted")
    kept = panel.model.rowCount()
    panel.ranges_button.click()
    row = panel.ranges.rows["teff"]
    row.slider.setFocus(Qt.FocusReason.TabFocusReason)
    for _ in range(5):
        qtbot.keyClick(row.slider, Qt.Key.Key_PageUp)
    teff = finished.document.rows.column("teff").values
    middle = (np.nanmin(teff) + np.nanmax(teff)) / 2
    assert panel.filter.text() == f"extracted teff >= {row.scale.text(middle)}"
    assert panel.model.rowCount() == np.count_nonzero(teff >= middle) < kept
    panel.filter.setText("teff <= 4700 mag > 18.5")
    assert row.slider.places == pytest.approx((0.0, row.scale.place(4700)))
    assert "4700" in row.slider.accessibleDescription()
    panel.ranges.clear.click()
    assert panel.filter.text() == ""
    assert panel.model.rowCount() == everything
    index = panel.ranges.add.findData("rv")
    panel.ranges.add.setCurrentIndex(index)
    panel.ranges.add.activated.emit(index)
    assert "rv" in panel.ranges.rows
