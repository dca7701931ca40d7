"""Masks drawn in the spectrum, taken back and done again, and a star fitted again with them."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.main_window import MainWindow
from processing.errors import StellacubeError
from processing.labels.refit import masked


def draw(window: MainWindow, low: float, high: float) -> None:
    """Drag from one wavelength to another with Shift held: what the view says then."""
    box = window.workspaces.spectrum.plots.box
    box.band_dragged.emit(low, high)
    box.band_chosen.emit(low, high)


@pytest.fixture
def fitted(finished, field, qtbot: QtBot) -> MainWindow:
    """Return the window on the fit of a star."""
    panel = finished.workspaces.spectrum
    finished.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: panel._shown is not None and panel._shown.title == field.names[1], timeout=WAIT)
    return finished


def test_masks_are_drawn_joined_and_taken_away_with_undo(fitted, field) -> None:
    panel, name, actions = fitted.workspaces.spectrum, field.names[1], fitted.actions_by_id
    assert not actions["undo"].isEnabled()
    draw(fitted, 5100.0, 5110.0)
    assert panel.masking.masks(name) == ()  # a drag draws masks only when asked for
    assert fitted.selection.band == (5100.0, 5110.0)
    fitted.selection.set_band(None)
    actions["mask"].trigger()
    draw(fitted, 5100.0, 5110.0)
    draw(fitted, 5000.0, 5020.0)
    draw(fitted, 5015.0, 5030.0)
    draw(fitted, 5500.0, 5500.4)
    both = ((5000.0, 5030.0), (5100.0, 5110.0))
    assert panel.masking.masks(name) == both
    assert fitted.selection.band is None
    panel.plots.box.shift_clicked.emit(5010.0)
    assert panel.masking.masks(name) == both[1:]
    actions["undo"].trigger()
    assert panel.masking.masks(name) == both
    actions["redo"].trigger()
    assert panel.masking.masks(name) == both[1:]
    for _ in range(4):
        actions["undo"].trigger()
    assert panel.masking.masks(name) == ()
    assert not actions["undo"].isEnabled()
    assert actions["redo"].isEnabled()


def test_each_star_has_its_own_masks(fitted, field, qtbot: QtBot) -> None:
    panel = fitted.workspaces.spectrum
    fitted.actions_by_id["mask"].trigger()
    draw(fitted, 5100.0, 5110.0)
    fitted.selection.set_star(field.names[2])
    qtbot.waitUntil(lambda: panel._shown.title == field.names[2], timeout=WAIT)
    assert panel.masking.bands[0]._bands == []
    fitted.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: panel._shown.title == field.names[1], timeout=WAIT)
    assert panel.masking.bands[0]._bands == [(5100.0, 5110.0)]


def test_the_star_is_fitted_again_with_its_masks(fitted, field, monkeypatch, qtbot: QtBot) -> None:
    import processing.labels.refit as module

    name, panel, session = field.names[1], fitted.workspaces.spectrum, fitted.document.session
    before = session.fit(name)
    asked = []

    def fit(spectrum, ranges, settings, *, progress, cancelled):
        from dataclasses import replace

        asked.append((spectrum.star_id, ranges))
        return replace(before, values=before.values + 1)

    monkeypatch.setattr(module, "refit", fit)
    fitted.actions_by_id["mask"].trigger()
    draw(fitted, 5100.0, 5110.0)
    panel.masking.refit.click()
    qtbot.waitUntil(lambda: "again" in panel._shown.title, timeout=WAIT)
    assert asked == [(name, ((5100.0, 5110.0),))]
    assert panel.masking.bands[0]._bands == [(5100.0, 5110.0)]
    assert fitted.workspaces.labels.table.item(1, 2).text() == f"{before.values[0] + 1:.0f}"
    np.testing.assert_array_equal(session.fit(name).values, before.values)


def test_a_refit_that_fails_says_why(fitted, monkeypatch, qtbot: QtBot) -> None:
    import processing.labels.refit as module

    def fit(spectrum, ranges, settings, *, progress, cancelled):
        raise StellacubeError("Nothing is left to fit.", "Take masks away.")

    monkeypatch.setattr(module, "refit", fit)
    fitted.actions_by_id["refit"].trigger()
    qtbot.waitUntil(lambda: any(n.level == "error" for n in fitted.notifications.history), timeout=WAIT)
    settled(fitted, qtbot)


def test_masked_pixels_lose_their_weight_and_nothing_else(fitted, field) -> None:
    spectrum = fitted.document.session.spectrum(field.names[1])
    result = masked(spectrum, [(4800.0, 4810.0)])
    inside = (spectrum.wave >= 4800) & (spectrum.wave <= 4810)
    assert inside.any()
    assert (result.ivar[inside] == 0).all()
    np.testing.assert_array_equal(result.ivar[~inside], spectrum.ivar[~inside])
    np.testing.assert_array_equal(result.flux, spectrum.flux)
