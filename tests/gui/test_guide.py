"""The guide in the window, and the methods paragraph with the numbers of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.guide import GuideDialog
from processing.catalogue.quality import Quality
from processing.catalogue.table import Catalogue
from processing.cli import main
from processing.errors import StellacubeError
from processing.paths import resource
from processing.report.methods import methods
from processing.session import Session
from processing.settings import ExtractionSettings, FitSettings, PampelMuseSettings, PreparationSettings


@pytest.fixture
def catalogue(field) -> Catalogue:
    """Return the catalogue of a run that says which network it used."""
    with Session.open(field.session, read_only=True) as session:
        found = session.catalogue()
    assert found is not None
    provenance = replace(found.provenance, model="a", model_version="1", created="2026-01-02T03:04:05")
    return Catalogue(found.table, provenance)


def test_the_guide_explains_every_quality_word_and_flag() -> None:
    text = resource("guide", "guide.md").read_text(encoding="utf-8")
    for word in (*get_args(Quality), "merged", "confused", "faint", "contaminant", "outside", "extracted", "saturated"):
        assert f"| {word} |" in text
    for column in ("X_err", "X_err_cal", "X_gradcorr", "X_flag", "X_info", "red_chi2", "corr_flux", "snr_der"):
        assert f"`{column}`" in text


def test_the_guide_is_searched_and_its_chapters_are_reached(window, qtbot: QtBot) -> None:
    window.actions_by_id["guide"].trigger()
    dialog = window.findChild(GuideDialog)
    qtbot.waitExposed(dialog)
    assert not dialog.isModal()
    chapters = [dialog.chapters.item(row).text() for row in range(dialog.chapters.count())]
    assert "Quality words" in chapters
    dialog.chapters.setCurrentRow(chapters.index("Quality words"))
    far = dialog.browser.verticalScrollBar().value()
    assert far > 0
    dialog.search.setText("gradient")
    marks = dialog.browser.extraSelections()
    assert len(marks) >= 3
    assert dialog.found.text() == f"{len(marks)} found"
    assert dialog.browser.verticalScrollBar().value() != far
    dialog.search.setText("no such words anywhere")
    assert dialog.found.text() == "0 found"
    dialog.search.clear()
    assert dialog.browser.extraSelections() == []


def test_the_paragraph_has_the_numbers_of_the_run(catalogue) -> None:
    text = methods(catalogue)
    table = catalogue.table
    good = np.asarray(table["quality"]).astype(str) == "good"
    assert f"Spectra of {len(table)} stars" in text
    assert f"the labels of {good.sum()} count as good" in text
    assert f"signal-to-noise ratio of {np.nanmedian(table['snr_der'][good]):.0f} per pixel" in text
    assert "field.fits" in text
    assert "Network a: Turbospectrum" in text
    assert "Wang, Z." in text
    assert "on 2026-01-02" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extraction": ExtractionSettings(method="aperture", aperture_radius=1.5)}, "apertures of 1.5 FWHM"),
        ({"pampelmuse": PampelMuseSettings(use=True)}, "with PampelMUSE"),
        ({"fit": FitSettings(held=(("teff", 4800.0),), abundance_prior=0.0)}, "Held were Teff at 4800."),
        (
            {"preparation": PreparationSettings(telluric="narrow", masks=((1.0, 2.0),))},
            "1 further wavelength",
        ),
    ],
)
def test_other_settings_make_another_paragraph(catalogue, change, said) -> None:
    provenance = catalogue.provenance
    other = replace(provenance, settings=replace(provenance.settings, **change))
    assert said in methods(Catalogue(catalogue.table, other))
    assert said not in methods(catalogue)


def test_an_extraction_alone_has_no_paragraph(catalogue) -> None:
    with pytest.raises(StellacubeError):
        methods(Catalogue(catalogue.table, replace(catalogue.provenance, model="")))


def test_the_paragraph_is_copied_in_the_window(finished, catalogue, qtbot: QtBot) -> None:
    finished.document.catalogue = catalogue
    finished.actions_by_id["methods"].setEnabled(True)
    finished.actions_by_id["methods"].trigger()
    qtbot.waitUntil(lambda: "count as good" in QGuiApplication.clipboard().text(), timeout=WAIT)
    settled(finished, qtbot)
    assert "Copied" in finished.notifications.history[-1].sentence


def test_the_command_prints_it_or_says_why_not(field, capsys) -> None:
    assert main(["methods", str(field.session)]) == 2
    assert "only extracted" in capsys.readouterr().err
