"""Masks drawn in the spectrum, taken back and done again, and a star fitted again with them."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.main_window import MainWindow
from gui.panels.mask_tool import joined
from gui.panels.refit_dialog import RefitDialog
from processing.errors import StellacubeError
from processing.labels.refit import Recipe, Refit, masked
from processing.session import Session


def draw(window: MainWindow, low: float, high: float) -> None:
    """Drag from one wavelength to another with Shift held: what the view says then."""
    box = window.workspaces.spectrum.plots.box
    box.band_dragged.emit(low, high)
    box.band_chosen.emit(low, high)


@pytest.fixture
def fitted(window, field, tmp_path, qtbot: QtBot) -> MainWindow:
    """Return the window on the fit of a star, in a session of the test's own."""
    path = tmp_path / "own.stellacube"
    shutil.copy(field.session, path)
    window.open_paths([path])
    qtbot.waitUntil(lambda: window.document.catalogue is not None, timeout=WAIT)
    settled(window, qtbot)
    panel = window.workspaces.spectrum
    window.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: panel._shown is not None and panel._shown.title == field.names[1], timeout=WAIT)
    return window


@pytest.fixture
def quick_refit(fitted, field, monkeypatch) -> list[tuple[str, Recipe]]:
    """Let refits take no time: every label is one higher. Returns what was asked for."""
    import processing.labels.refit as module

    before = fitted.document.session.fit(field.names[1])
    asked = []

    def fit(spectrum, recipe, settings, *, progress, cancelled):
        asked.append((spectrum.star_id, recipe))
        return Refit(replace(before, values=before.values + len(asked)), recipe, settings, "a", "1")

    monkeypatch.setattr(module, "refit", fit)
    return asked


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


def shown_title(window: MainWindow) -> str:
    shown = window.workspaces.spectrum.shown
    return shown.title if shown is not None else ""


def test_the_star_is_fitted_again_kept_beside_the_first_fit_and_taken_back(fitted, field, quick_refit, qtbot: QtBot):
    name, panel, session = field.names[1], fitted.workspaces.spectrum, fitted.document.session
    before = session.fit(name)
    assert panel.pair is None
    fitted.actions_by_id["mask"].trigger()
    draw(fitted, 5100.0, 5110.0)
    panel.masking.refit.click()
    qtbot.waitUntil(lambda: shown_title(fitted) == f"{name}, refit 1: 1 mask", timeout=WAIT)
    assert quick_refit == [(name, Recipe(((5100.0, 5110.0),)))]
    assert panel.masking.bands[0]._bands == [(5100.0, 5110.0)]
    assert fitted.workspaces.labels.table.item(1, 2).text() == f"{before.values[0] + 1:.0f}"
    np.testing.assert_array_equal(session.fit(name).values, before.values)
    panel.commands.refit(Recipe((), (("teff", 5000.0),), "physical"))
    qtbot.waitUntil(lambda: "Teff 5000 held" in shown_title(fitted), timeout=WAIT)
    settled(fitted, qtbot)
    assert [one.number for one in session.refits(name)] == [1, 2]
    assert panel.pair[0].title == name
    fitted.actions_by_id["undo"].trigger()
    assert shown_title(fitted) == name
    qtbot.waitUntil(lambda: [one.number for one in session.refits(name)] == [1], timeout=WAIT)
    fitted.actions_by_id["redo"].trigger()
    assert shown_title(fitted).startswith(f"{name}, refit 2: network physical")
    settled(fitted, qtbot)
    panel.refitter.show(0)
    assert shown_title(fitted) == name
    panel.refitter.show(2)
    panel.refitter.delete()
    settled(fitted, qtbot)
    assert [one.number for one in session.refits(name)] == [1]
    fitted.actions_by_id["undo"].trigger()
    settled(fitted, qtbot)
    assert [one.number for one in session.refits(name)] == [1, 2]


def test_refits_are_there_when_the_star_is_looked_at_again(fitted, field, quick_refit, qtbot: QtBot) -> None:
    panel = fitted.workspaces.spectrum
    fitted.actions_by_id["refit"].trigger()
    qtbot.waitUntil(lambda: "refit 1" in shown_title(fitted), timeout=WAIT)
    fitted.selection.set_star(field.names[2])
    qtbot.waitUntil(lambda: shown_title(fitted) == field.names[2], timeout=WAIT)
    assert panel.refitter.refits == ()
    fitted.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: shown_title(fitted) == field.names[1], timeout=WAIT)
    assert [one.number for one in panel.refitter.refits] == [1]
    menu = panel.more.menu()
    menu.aboutToShow.emit()
    texts = [action.text() for action in menu.actions()]
    assert texts[:3] == ["Four stages", "Scatter of residuals", "Two compared"]


def test_a_refit_that_cannot_be_kept_is_shown_and_said(fitted, field, quick_refit, qtbot: QtBot) -> None:
    with Session.open(fitted.document.session.path):  # another run writes the session
        fitted.actions_by_id["refit"].trigger()
        qtbot.waitUntil(lambda: "refit" in shown_title(fitted), timeout=WAIT)
    assert any("could not be kept" in note.sentence for note in fitted.notifications.history)
    assert fitted.document.session.refits(field.names[1]) == []
    assert not fitted.workspaces.spectrum.undo.canUndo()


def test_the_dialog_asks_what_is_held(fitted, field, quick_refit, qtbot: QtBot) -> None:
    fitted.actions_by_id["mask"].trigger()
    draw(fitted, 5100.0, 5110.0)
    fitted.workspaces.spectrum.commands.ask_refit()
    dialog = fitted.findChild(RefitDialog)
    box, spin = dialog.boxes["logg"]
    assert spin.value() == pytest.approx(2.5)
    assert not spin.isEnabled()
    box.click()
    spin.setValue(2.25)
    dialog.network.setCurrentIndex(dialog.network.findData("physical"))
    assert dialog.recipe == Recipe(((5100.0, 5110.0),), (("logg", 2.25),), "physical")
    dialog._on_start()
    qtbot.waitUntil(lambda: len(quick_refit) == 1, timeout=WAIT)
    assert quick_refit[0][1].held == (("logg", 2.25),)
    settled(fitted, qtbot)


def test_masks_are_saved_as_a_preset_and_used_for_another_star(fitted, field, tmp_path, monkeypatch, qtbot: QtBot):
    monkeypatch.setattr("gui.panels.mask_tool.config_folder", lambda: tmp_path / "config")
    panel, masking = fitted.workspaces.spectrum, fitted.workspaces.spectrum.masking
    assert "bulge" in masking.presets
    fitted.actions_by_id["mask"].trigger()
    draw(fitted, 5100.0, 5110.0)
    draw(fitted, 6000.0, 6001.5)
    panel.commands.save_preset("my/masks")
    assert (tmp_path / "config" / "masks" / "my_masks.toml").is_file()
    fitted.selection.set_star(field.names[2])
    qtbot.waitUntil(lambda: shown_title(fitted) == field.names[2], timeout=WAIT)
    panel.commands.add_preset("my_masks")
    assert masking.masks(field.names[2]) == ((5100.0, 5110.0), (6000.0, 6001.5))
    fitted.actions_by_id["undo"].trigger()
    assert masking.masks(field.names[2]) == ()
    panel.commands.add_preset("nowhere")
    assert "nowhere" in fitted.notifications.history[-1].sentence
    broken = tmp_path / "broken.toml"
    broken.write_text("regions = [[2, 1]]")
    with pytest.raises(StellacubeError):
        masking.import_preset(broken)
    good = tmp_path / "other.toml"
    good.write_text('name = "other"\nframe = "rest"\nregions = [[5889.0, 5891.0]]')
    masking.import_preset(good)
    assert "other" in masking.presets


def test_masks_that_touch_are_joined() -> None:
    assert joined(((3.0, 4.0), (1.0, 2.0), (2.0, 2.5))) == ((1.0, 2.5), (3.0, 4.0))
    assert joined(()) == ()


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
