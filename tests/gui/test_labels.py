"""The labels of the current star with their evidence, and the plot of which pixels make a label."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from waiting import WAIT

from gui.main_window import MainWindow
from processing.preparation.air import observed, shifted, to_vacuum
from processing.report.evidence import label_rows
from processing.settings import EvidenceSettings


def select(window: MainWindow, star: str, qtbot: QtBot) -> None:
    """Select a star and wait for its fit."""
    panel = window.workspaces.spectrum
    window.selection.set_star(star)
    qtbot.waitUntil(lambda: panel._shown is not None and panel._shown.title == star, timeout=WAIT)


def test_every_label_of_the_star_is_listed_with_its_evidence(finished, field, qtbot: QtBot) -> None:
    panel = finished.workspaces.labels
    assert panel.is_empty
    select(finished, field.names[2], qtbot)
    fit = finished.document.session.fit(field.names[2])
    assert not panel.is_empty
    assert panel.table.rowCount() == len(fit.labels) + 1
    assert panel.table.item(0, 1).text() == "RV (km/s)"
    assert panel.table.item(0, 2).text() == "20.0"
    n = fit.labels.index("mg_fe") + 1
    assert panel.table.item(n, 3).text() == "0.02"
    assert panel.table.item(n, 5).text() == f"{fit.gradcorr[n - 1]:.2f}"
    assert "own lines" in panel.table.item(n, 0).toolTip()
    finished.selection.set_star("")
    assert panel.is_empty


def test_reasons_say_what_is_wrong(finished, field) -> None:
    from dataclasses import replace

    fit = finished.document.session.fit(field.names[0])
    count = len(fit.labels)
    bad = replace(fit, gradcorr=np.full(count, -0.1), bound=np.full(count, 1e6))
    mixed = replace(fit, gradcorr=np.full(count, 0.9), bound=np.full(count, 1e6))
    good = replace(fit, gradcorr=np.full(count, 0.9), bound=np.full(count, 1e-6))
    qualities = [label_rows(one, EvidenceSettings())[3].quality for one in (bad, mixed, good, replace(fit, bound=None))]
    assert qualities == ["bad", "warn", "good", "none"]
    reason = label_rows(bad, EvidenceSettings())[3].reason
    assert "something else" in reason
    assert "cannot determine" in reason
    assert "−" not in reason.replace("−0.10", "")


def test_a_label_shows_which_pixels_make_it(finished, field, qtbot: QtBot) -> None:
    spectrum, labels = finished.workspaces.spectrum, finished.workspaces.labels
    select(finished, field.names[2], qtbot)
    shown = spectrum.gradient.plot
    assert shown not in spectrum.plots.shown
    row = finished.document.session.fit(field.names[2]).labels.index("mg_fe") + 1
    labels.table.selectRow(row)
    assert finished.selection.label == "mg_fe"
    qtbot.waitUntil(lambda: shown in spectrum.plots.shown, timeout=WAIT)
    wave, gradient = spectrum.gradient.network.getOriginalDataset()
    strongest = wave[np.abs(gradient).argmax()]
    assert 5160 < strongest < 5200  # the magnesium triplet
    assert shown.getViewBox().viewRange()[0] == pytest.approx(spectrum.flux.getViewBox().viewRange()[0])
    select(finished, field.names[3], qtbot)
    assert labels.table.selectionModel().selectedRows()[0].row() == row
    finished.actions_by_id["nothing"].trigger()
    assert finished.selection.label == ""
    assert shown not in spectrum.plots.shown


def test_a_fit_in_vacuum_is_drawn_on_a_spectrum_in_air(finished, field, qtbot: QtBot) -> None:
    from dataclasses import replace

    panel = finished.workspaces.spectrum
    select(finished, field.names[2], qtbot)
    air, _ = panel.fit_curve.getOriginalDataset()
    fit = panel._shown.fit
    assert fit.frame == "air"
    panel._on_spectrum(replace(panel._shown, fit=replace(fit, wave=to_vacuum(fit.wave), frame="vacuum")))
    np.testing.assert_allclose(panel.fit_curve.getOriginalDataset()[0], air, atol=1e-3)


def test_observed_undoes_shifted() -> None:
    wave = np.linspace(4750, 9350, 20)
    back = shifted(observed(wave, "vacuum", 250.0, "air"), "air", 250.0, "vacuum")
    np.testing.assert_allclose(back, wave, atol=1e-4)


def test_no_workspace_widens_a_small_window(finished, field, qtbot: QtBot) -> None:
    finished.resize(900, 520)
    select(finished, field.names[1], qtbot)
    finished.selection.set_chosen(field.names[1:4])
    qtbot.waitUntil(finished.workspaces.spectrum.header.optional[0].isHidden, timeout=WAIT)
    for name in ("plan", "look", "explore"):
        finished.workspaces.show(name)
        assert (finished.width(), finished.height()) == (900, 520)


def test_nothing_is_opened_after_closing(window, field) -> None:
    window.close()
    window.open_paths([field.cube])
    assert not window.runner.jobs
