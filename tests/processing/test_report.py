"""The one-page report, the tables of a spectrum, and the command that writes reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from mock_spectra import labels_of, observed

from processing.cli import main
from processing.errors import StellacubeError
from processing.labels.fit import LabelFit, fit_labels
from processing.labels.gradients import check_gradients
from processing.labels.model_file import load_model
from processing.labels.refit import Recipe, Refit
from processing.labels.residuals import compare
from processing.report.data import comparison_table, spectrum_table, write_data
from processing.report.figure import draw
from processing.report.star import CUT_OUT, read_star, write_report
from processing.report.text import number_text, pretty_unit
from processing.session import Session
from processing.settings import Settings
from processing.spectrum import StarSpectrum


@pytest.fixture(scope="module")
def star() -> tuple[StarSpectrum, LabelFit]:
    """Return a giant near the corner of a field, and its fit."""
    model = load_model("")
    spectrum = observed(model, labels_of(model, (4600.0, 2.3, -0.3, 1.5)), np.array([40.0]), snr=80)[0]
    fit = check_gradients(fit_labels([spectrum], model, Settings()), model, Settings())[0]
    return replace(spectrum, star_id="S 7", x=3.2, y=20.0), replace(fit, star_id="S 7")


@pytest.fixture(scope="module")
def path(star, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a session with that star, its white light, and a refit."""
    spectrum, fit = star
    white = np.zeros((40, 50), np.float32)
    white[20, 3] = 100.0
    path = tmp_path_factory.mktemp("report") / "a.stellacube"
    with Session.create(path, (), Settings()) as session:
        session.put_spectra([spectrum, replace(spectrum, star_id="lonely")])
        session.put_fits([fit], 0)
        session.put_image("white", white)
        held = Refit(
            replace(fit, rv=-99.9), Recipe(held=(("teff", 4650.0),)), Settings(), "a", "1", "2026-01-02T03:04:05"
        )
        session.put_refit(held)
    return path


def texts(report) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in draw(report).findobj(Text))


def test_the_page_says_what_the_fit_found(path, star):
    _, fit = star
    with Session.open(path, read_only=True) as session:
        report = read_star(session, "S 7")
    assert report.image.shape == (2 * CUT_OUT + 1, 2 * CUT_OUT + 1)
    assert report.image[CUT_OUT, CUT_OUT] == 100.0
    assert np.isnan(report.image[CUT_OUT, 0])
    assert report.centre == pytest.approx((CUT_OUT + 0.2, CUT_OUT))
    said = texts(report)
    for name, decimals in (("teff", 0), ("fe_h", 2), ("mg_fe", 2)):
        i = fit.labels.index(name)
        assert number_text(fit.values[i], decimals) in said
        assert number_text(fit.errors_scaled()[i], decimals) in said
    assert "S 7" in said
    assert "[Ba/Fe]" in said
    assert f"telluric band {dict(report.masked)['telluric band']}" in said
    assert "Stellacube" in report.provenance


def test_a_star_without_a_place_has_no_image_but_a_page(path, star):
    spectrum, _ = star
    with Session.open(path, read_only=True) as session:
        outside = read_star(session, "S 7", white=np.zeros((5, 5)))
        report = replace(read_star(session, "S 7"), image=None, spectrum=replace(spectrum, x=np.nan))
    assert outside.image is None
    assert "white light" not in texts(report)


def test_a_refit_has_a_page_that_says_so(path):
    with Session.open(path, read_only=True) as session:
        refit = session.refits("S 7")[0]
        report = read_star(session, "S 7", refit=refit)
    said = texts(report)
    assert "Refit: Teff 4650 held" in said
    assert "−99.9" in said
    assert "2026-01-02" in said


def test_what_cannot_be_reported_is_said(path, tmp_path):
    with Session.open(path, read_only=True) as session:
        with pytest.raises(StellacubeError, match="no fit of a star lonely"):
            read_star(session, "lonely")
        with pytest.raises(StellacubeError, match=r"not written as \.doc"):
            write_report(read_star(session, "S 7"), tmp_path / "a.doc")
        with pytest.raises(StellacubeError):
            write_report(read_star(session, "S 7"), tmp_path / "nowhere" / "a.pdf")


def test_the_command_writes_a_page_each_or_all_together(path, tmp_path, capsys):
    assert main(["report", str(path), "S 7", "--out", str(tmp_path / "one")]) == 0
    assert (tmp_path / "one" / "S_7_report.pdf").read_bytes().startswith(b"%PDF")
    both = tmp_path / "both.pdf"
    assert main(["report", str(path), "S 7", "S 7", "--out", str(both), "--refit", "1"]) == 0
    assert both.read_bytes().count(b"/Type /Page ") == 2
    assert main(["report", str(path), "S 7", "--refit", "5"]) == 2
    assert main(["report", str(path), "S 7", "S 7", "--out", str(tmp_path / "two.png")]) == 2
    assert "one star only" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits"])
def test_a_spectrum_is_saved_with_its_fit(star, tmp_path, suffix):
    spectrum, fit = star
    table = Table.read(write_data(spectrum_table(spectrum, fit, "S 7"), tmp_path / f"a{suffix}"))
    np.testing.assert_allclose(table["fit"], fit.best, rtol=1e-6)
    used = np.array([str(value) == "True" for value in table["used"]])
    np.testing.assert_array_equal(used, fit.ivar > 0)
    shift = np.asarray(table["wave"]) / np.asarray(table["wave_rest"]) - 1
    assert np.median(shift) * 299792.458 == pytest.approx(fit.rv, abs=0.05)


def test_spectra_without_a_fit_and_comparisons_are_saved(star, tmp_path):
    spectrum, fit = star
    table = Table.read(write_data(spectrum_table(spectrum, None, "S 7"), tmp_path / "raw"))
    assert table.colnames == ["wave", "flux", "error", "used"]
    both = comparison_table(compare(fit, replace(fit, star_id="b", flux=fit.flux + 0.1)), ("one", "two"), "air")
    assert np.nanmedian(both["difference"]) == pytest.approx(-0.1, abs=1e-6)
    with pytest.raises(StellacubeError):
        write_data(both, tmp_path / "a.xls")


def test_numbers_and_units_as_printed():
    assert number_text(-0.001, 2) == "0.00"
    assert number_text(-1.5, 1) == "−1.5"
    assert number_text(float("nan"), 2) == "–"
    assert pretty_unit("10**(-20)*erg/s/cm**2/Angstrom") == "10⁻²⁰ erg s⁻¹ cm⁻² Å⁻¹"
