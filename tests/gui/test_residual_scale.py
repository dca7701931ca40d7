"""The reader of the residuals is told what their unit is worth."""

from __future__ import annotations

import math

import pytest

from gui.main_window import MainWindow


def test_the_factor_that_the_fit_found_is_drawn_and_said(finished: MainWindow, field, qtbot) -> None:
    panel = finished.workspaces.spectrum
    finished.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: panel.shown is not None and panel.shown.fit is not None)
    scale = panel.plots.scale
    assert panel.shown.fit.error_scale == 2.0
    assert [line.value() for line in scale.lines] == [-2.0, 2.0]
    assert "2.0 times too small" in panel.residual.toolTip()


def test_the_sentence_gives_way_where_room_is_scarce(finished: MainWindow, field, qtbot) -> None:
    panel = finished.workspaces.spectrum
    finished.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: panel.shown is not None and panel.shown.fit is not None)
    box, scale = panel.residual.getViewBox(), panel.plots.scale
    for size, words in (((900, 200), "dashed"), ((150, 200), "Errors 2.0 times too small"), ((900, 40), "")):
        box.resize(*size)
        assert scale.text.isVisible() == bool(words)
        assert words in scale.text.toPlainText()


@pytest.mark.parametrize(
    ("factor", "words", "drawn"),
    [(0.5, "2.0 times too large", True), (1.03, "the pipeline's error", False), (math.nan, "", False)],
)
def test_other_factors(finished: MainWindow, factor: float, words: str, drawn: bool) -> None:
    scale = finished.workspaces.spectrum.plots.scale
    scale.show(factor)
    assert words in finished.workspaces.spectrum.residual.toolTip()
    assert bool(words) == bool(finished.workspaces.spectrum.residual.toolTip())
    assert [line.isVisible() for line in scale.lines] == [drawn, drawn]
