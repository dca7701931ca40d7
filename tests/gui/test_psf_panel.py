"""The PSF of a run in its panel: parameters with their polynomials, the stars' profile and residual."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.main_window import MainWindow
from processing.extraction.psf import PsfModel, constant_psf
from processing.extraction.psf_profiles import PARAMETERS
from processing.session import Session


def measured(profile: str) -> PsfModel:
    """Return a PSF with bins, the last of which was clipped."""
    wave = np.linspace(4750.0, 5000.0, 6)
    model = constant_psf(profile, 3.0, 2.5, wave, 12.0, 10.0)
    values = np.tile(model.coefficients[:, 0], (6, 1))
    values[-1, 0] = 9.0
    used = np.arange(6) < 5
    return replace(
        model, bin_wave=wave, bin_values=values, bin_errors=np.full((6, len(PARAMETERS)), 0.01), bin_used=used,
        bin_chi=np.ones(6), n_stars=4,
    )  # fmt: skip


@pytest.fixture
def with_psf(window: MainWindow, field, tmp_path, qtbot: QtBot, request) -> MainWindow:
    """Open the window on a session that has a PSF."""
    if request.param == "maoppy":
        pytest.importorskip("maoppy")
    path = tmp_path / "field.stellacube"
    shutil.copy(field.session, path)
    with Session.open(path) as session:
        quiet = {"contamination": 0.0, "edge_dist": 30.0}
        session.put_spectra([replace(star, meta={**star.meta, **quiet}) for star in session.spectra()])
        session.save("psf", measured(request.param).to_arrays())
    window.open_paths([path])
    window.workspaces.docks["psf"].show()
    qtbot.waitUntil(lambda: window.workspaces.psf.found is not None, timeout=WAIT)
    settled(window, qtbot)
    return window


@pytest.mark.parametrize("with_psf", ["moffat"], indirect=True)
def test_bins_clipped_bins_and_polynomial(with_psf) -> None:
    panel = with_psf.workspaces.psf
    assert not panel.is_empty
    assert panel.first.points.getData()[1].tolist() == [3.0] * 5
    assert panel.first.clipped.getData()[1].tolist() == [9.0]
    assert panel.first.curve.getData()[1] == pytest.approx(3.0)
    assert panel.first.plot.getAxis("left").labelText == "FWHM / spaxel"
    assert panel.first.plot.viewRange()[1][1] < 4.0  # a clipped bin does not set the scale
    assert "4 stars; 3.00 spaxels" in panel.subtitle.toolTip()
    assert panel.choice.button("second").isHidden()
    panel.choice.button("position").click()
    assert panel.other.plot.getAxis("left").labelText == "Δy / spaxel"
    panel.choice.button("stars").click()
    assert panel.picture.image.shape == panel.found.residual.T.shape
    assert panel.seen.getData()[0].size == panel.found.radius.size > 5


@pytest.mark.parametrize("with_psf", ["moffat_gaussian"], indirect=True)
def test_a_second_component_has_its_page(with_psf) -> None:
    panel = with_psf.workspaces.psf
    assert not panel.choice.button("second").isHidden()
    panel.choice.button("second").click()
    assert panel.first.points.getData()[1][0] == pytest.approx(0.7)


@pytest.mark.parametrize("with_psf", ["maoppy"], indirect=True)
def test_the_profile_of_adaptive_optics_has_its_own_parameters(with_psf) -> None:
    panel = with_psf.workspaces.psf
    assert panel.first.plot.getAxis("left").labelText == "Variance / rad²"
    assert panel.other.points.getData()[1][0] == pytest.approx(0.13)  # Fried's parameter
    assert "MAOPPY" in panel.subtitle.toolTip()
    panel.choice.button("second").click()
    assert panel.first.plot.getAxis("left").labelText == "α / m⁻¹"
    assert panel.first.points.getData()[1][0] == pytest.approx(0.1)


def test_without_an_extraction_it_says_so(finished) -> None:
    assert finished.workspaces.psf.is_empty
    assert finished.workspaces.docks["psf"].isHidden()
