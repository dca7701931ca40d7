"""The planner's panel: it answers as the functions and the command line do, at once, in both themes."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import typer
from gradient_stars import linear_model
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage
from typer.testing import CliRunner

from gui.panels.planner import PlannerPanel
from gui.panels.planner_table import ERROR, LIMIT, MEAN, NETWORK, SYMBOL, TARGET, TIME
from gui.theme import DARK, LIGHT, ThemeManager
from processing.planning import questions, report
from processing.planning.cli import plan as command
from processing.planning.formulas import TABLE_3, snr
from processing.planning.information import model_law
from processing.planning.questions import Exposure, Wishes


@pytest.fixture
def panel(qtbot):
    widget = PlannerPanel()
    widget.set_model(None)
    qtbot.addWidget(widget)
    return widget


def ask(panel, question):
    panel.questions.button(question).click()


def text(panel, label, column):
    row = panel.answer.labels.index(label)
    return panel.table.data(panel.table.index(row, column))


def by_command(path, *arguments):
    app = typer.Typer()
    app.command("plan")(command)
    app.command("other")(lambda: None)
    CliRunner().invoke(app, ["plan", *arguments, "--csv", str(path)], catch_exceptions=False)
    return rows_of(path)


def rows_of(path):
    return list(csv.DictReader(path.open(encoding="utf-8")))


def test_panel_command_and_functions_agree(panel, tmp_path):
    panel.mag.setValue(19.25)
    panel.count.setValue(5)
    panel.dit.setValue(700.0)
    panel.scale.setValue(0.85)
    panel.table.setData(panel.table.index(2, TARGET), "0.08")
    common = ("--scale", "0.85", "--dit", "700", "--target", ",".join([
        "teff", "logg", "fe_h=0.08", "mg_fe", "si_fe", "ca_fe", "ti_fe", "c_fe", "ni_fe", "cr_fe"]))  # fmt: skip
    wishes = Wishes(targets={"fe_h": 0.08}, scale=0.85)
    for question, arguments, mag, exposure in (
        ("precision", ("--mag", "19.25", "--time", "5x700s"), 19.25, Exposure(5, 700.0)),
        ("time", ("--mag", "19.25"), 19.25, None),
        ("magnitude", ("--time", "5x700s"), None, Exposure(5, 700.0)),
    ):
        panel.mag.setValue(19.25)
        ask(panel, "precision")
        panel.count.setValue(5)
        ask(panel, question)
        panel.export_csv(tmp_path / "panel.csv")
        expected = questions.plan(mag, exposure, wishes, dit=700.0)
        shown = rows_of(tmp_path / "panel.csv")
        assert shown == by_command(tmp_path / "command.csv", *common, *arguments)
        assert [float(row["sigma"]) for row in shown] == expected.sigma.tolist()
        assert [float(row["time_needed_s"]) for row in shown] == expected.times.tolist()
        assert panel.headline.text() == report.headline(expected)
        panel.copy_sentence()
        assert QGuiApplication.clipboard().text() == report.sentence(expected)
        for name, sigma, limit, time in zip(
            expected.labels, expected.sigma, expected.mag_limit, expected.times, strict=True
        ):
            assert text(panel, name, ERROR) == report.format_sigma(name, sigma, unit=False)
            assert text(panel, name, LIMIT) == report.format_mag(limit)
            assert text(panel, name, TIME) == report.format_time(time)


def test_the_quantity_asked_answers_itself(panel):
    ask(panel, "time")
    assert not panel.count.isEnabled()
    panel.mag.setValue(19.7)
    assert panel.count.value() == questions.plan(19.7).exposure.count
    ask(panel, "magnitude")
    assert not panel.mag.isEnabled()
    assert panel.count.isEnabled()
    panel.count.setValue(6)
    assert panel.mag.value() == pytest.approx(18.58)
    assert panel.slider.value() == 1858
    ask(panel, "precision")
    assert panel.mag.isEnabled()


def test_slider_and_total_time(panel, qtbot):
    panel.slider.setValue(1700)
    assert panel.mag.value() == 17.0
    assert panel.answer.mag == 17.0
    panel.total.setText("2.5h")
    panel.total.editingFinished.emit()
    assert (panel.count.value(), panel.dit.value()) == (15, 600.0)
    panel.total.setText("4x900s")
    panel.total.editingFinished.emit()
    assert panel.answer.exposure == Exposure(4, 900.0)
    panel.total.setText("for ever")
    panel.total.editingFinished.emit()
    assert "'for ever' is no exposure time" in panel.headline.text()
    assert panel.answer.exposure == Exposure(4, 900.0)


def test_ticks_and_targets(panel):
    ask(panel, "time")
    model = panel.table
    assert panel.answer.worst == "ca_fe"
    row = panel.answer.labels.index("ca_fe")
    model.setData(model.index(row, SYMBOL), Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)
    assert panel.answer.worst == "logg"
    assert not model.setData(model.index(row, TARGET), "zero")
    assert not model.setData(model.index(row, TARGET), "-0.1")
    row = panel.answer.labels.index("mg_fe")
    assert model.setData(model.index(row, TARGET), "0,02 dex")
    assert panel.answer.worst == "mg_fe"
    assert text(panel, "mg_fe", TARGET) == "0.02 dex"
    for row in range(model.rowCount()):
        model.setData(model.index(row, SYMBOL), Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)
    assert "No label counts" in panel.headline.text()


def test_extrapolation_is_greyed_and_called_so(panel):
    panel.mag.setValue(18.5)
    assert panel.notes.text() == ""
    index = panel.table.index(0, ERROR)
    assert panel.table.data(index, Qt.ItemDataRole.ForegroundRole) is None
    panel.mag.setValue(12.0)
    assert "Extrapolated" in panel.notes.text()
    assert panel.table.data(index, Qt.ItemDataRole.ForegroundRole).name() == LIGHT.muted
    assert "Extrapolated" in panel.table.data(index, Qt.ItemDataRole.ToolTipRole)


def test_kelvin_is_explained(panel):
    tip = panel.table.data(panel.table.index(0, SYMBOL), Qt.ItemDataRole.ToolTipRole)
    assert "100 K" in tip
    row = panel.answer.labels.index("ca_fe")
    assert "less certain" in panel.table.data(panel.table.index(row, SYMBOL), Qt.ItemDataRole.ToolTipRole)


def test_a_floor_no_exposure_overcomes(panel):
    ask(panel, "time")
    panel.floor.setValue(0.2)
    assert "No exposure reaches" in panel.headline.text()
    panel.floor.setValue(0.0)
    assert panel.headline.text().startswith("55.3 min")


def test_every_plot_draws_and_reads(panel, qtbot):
    panel.resize(1300, 600)
    panel.show()
    for name, plot in panel.plots.items():
        panel.show_plot(name)
        assert plot.scene_shown.plan is panel.answer
        view = plot.plots[0].getViewBox()
        with qtbot.waitSignal(plot.read) as read:
            plot._on_moved(view.mapViewToScene(view.viewRect().center()))
        if name in ("snr", "magnitude", "time"):
            assert "[Fe/H]" in read.args[0]
    panel.show_plot("magnitude")
    assert panel.plots["magnitude"].read_out(18.5).startswith("V 18.50   SNR 82.6   Teff 57 K   log g 0.141")
    assert panel.plots["snr"].read_out(np.log10(100.0)).startswith("SNR 100   Teff 48 K   log g 0.117")
    assert "[Ca/Fe] 55.3 min" in panel.plots["time"].read_out(18.5)


def test_a_dropped_list(panel, qtbot, tmp_path):
    path = tmp_path / "cluster.csv"
    path.write_text("Vmag\n" + "\n".join(f"{v:.3f}" for v in np.linspace(16, 20, 41)) + "\n99.99\n", encoding="utf-8")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    panel.dropEvent(event)
    assert panel.stack.currentWidget() is panel.plots["stars"]
    assert "26 of 41 stars (Vmag of cluster.csv taken as V) reach the targets" in panel.notes.text()
    assert "1 without a magnitude left out" in panel.notes.text()
    assert not panel.view.isColumnHidden(MEAN)
    panel.share.setValue(100)
    needed = panel.answer.snr_needed[panel.answer.labels.index("ca_fe")]
    assert f"100 % need {report.format_time(3600 * (needed / float(snr(20.0, 3600.0))) ** 2)}" in panel.notes.text()
    assert "26 of 41" in panel.plots["stars"].read_out(np.log10(3600.0))
    path.write_text("name\nx\n", encoding="utf-8")
    panel.open_star_list(path)
    assert "has no magnitudes" in panel.headline.text()
    panel.set_stars(np.array([]))
    assert "None of the 0 stars" in panel.headline.text()


def test_measured_stars_check_the_formula(panel):
    mag = np.array([15.0, 17.0, 19.0, np.nan])
    measured = 0.8 * snr(np.nan_to_num(mag, nan=18.0), 1800.0)
    panel.set_measured(measured, mag, time=1800.0, errors={"fe_h": TABLE_3.sigma(measured)[:, 2]})
    assert "4 measured stars have 0.80 times the formula's SNR" in panel.notes.text()
    x, y = panel.plots["magnitude"].stars.getData()
    assert x.tolist() == [15.0, 17.0, 19.0]
    assert y == pytest.approx(np.log10(measured[:3]))
    panel.show_plot("snr")
    assert len(panel.plots["snr"].stars.getData()[0]) == 4


def test_stars_of_the_open_catalogue_are_overlaid(finished):
    finished.workspaces.show("plan")
    panel = finished.workspaces.docks["planner"].findChild(PlannerPanel)
    assert panel is not None
    assert panel._measured.mag.tolist() == pytest.approx([18.0 + 0.2 * n for n in range(len(panel._measured.mag))])
    finished.document.close()
    assert panel._measured is None


def test_catalogue_snr_is_that_of_rescaled_errors(panel):
    from astropy.table import Table

    columns = {"snr_muse": [200.0, 90.0], "error_scale": [4.0, np.nan], "mag": [17.0, 18.0]}
    table = Table({"stellar_id": ["a", "b"], "ra": [0, 0], "dec": [0, 0], **columns, "fe_h_err_cal": [0.1, 0.2]})

    class Small:
        magnitude, labels = "mag", ("fe_h",)

    catalogue = Small()
    catalogue.table = table
    panel.set_catalogue(catalogue, 1800.0)
    assert panel._measured.snr.tolist() == [50.0, 90.0]
    assert "mag taken as V" in panel.notes.text()


def test_network_beside_the_formula(panel, shared, tmp_path):
    model = linear_model(shared, "rc")
    panel.set_model(model)
    assert not panel.view.isColumnHidden(NETWORK)
    bound = dict(zip(model.labels, model_law(model).sigma(panel.answer.snr), strict=True))
    for name in TABLE_3.labels:
        assert text(panel, name, NETWORK) == report.format_sigma(name, bound[name], unit=False)
    panel.sources.button("network").click()
    assert panel.answer.labels == model.labels
    assert panel.answer.sigma == pytest.approx([bound[name] for name in model.labels])
    assert "Cramér–Rao" in panel.source
    assert "no model reaches" in panel.notes.text().lower()
    panel.ranges.setCurrentIndex(panel.ranges.findData("bulge"))
    assert panel.answer.sigma[model.labels.index("c_fe")] > 2.5 * bound["c_fe"]
    panel.set_factors({"c_fe": 3.0})
    assert panel.law.factor[model.labels.index("c_fe")] == 3.0
    panel.ranges.setCurrentIndex(panel.ranges.findData("bluemuse"))
    assert "No network reaches BlueMUSE yet" in panel.notes.text()
    assert panel.answer.labels == TABLE_3.labels
    panel.ranges.setCurrentIndex(0)
    panel.show_plot("cuts")
    costs = panel.cuts.costs.costs
    assert all((factor >= 1 - 1e-9).all() for factor in costs.values())
    assert "C" in panel.cuts.axis.tickStrings([float(model.labels.index("c_fe"))], 1.0, 1.0)
    panel.teff.setValue(8500.0)
    assert "lies outside the model" in panel.notes.text()


def test_exports(panel, tmp_path, qtbot):
    panel.resize(1300, 600)
    panel.show()
    panel.export_png(tmp_path / "plot.png")
    picture = QImage(str(tmp_path / "plot.png"))
    assert picture.width() == 2 * panel.current_plot.width()
    colours = {picture.pixelColor(x, y).name() for x in range(0, picture.width(), 7) for y in range(0, 900, 7)}
    assert len(colours) > 10
    panel._attempt(panel.export_csv, str(tmp_path / "none" / "plan.csv"))
    assert "cannot be written" in panel.headline.text()


def test_follows_light_and_dark(panel, qapp):
    panel.show()
    themes = ThemeManager(qapp, "light")
    for name, theme in (("dark", DARK), ("light", LIGHT), ("dark", DARK), ("light", LIGHT)):
        themes.set_appearance(name)
        assert panel.current_plot.backgroundBrush().color().name() == theme.panel
        assert panel.table.data(panel.table.index(0, SYMBOL), Qt.ItemDataRole.DecorationRole) is not None


def test_fits_a_small_screen(panel):
    panel.resize(1300, 700)
    panel.show()
    panel.layout().activate()
    hint = panel.minimumSizeHint()
    assert hint.width() <= 800
    assert hint.height() <= 600
    below = panel.stack.mapTo(panel, QPoint(0, 0))
    assert below.x() > panel.view.mapTo(panel, QPoint(panel.view.width(), 0)).x()


def test_half_a_small_screen_has_the_plots_below_the_table(panel):
    panel.resize(880, 1000)
    panel.show()
    panel.layout().activate()
    assert panel.minimumSizeHint().width() <= 800
    below = panel.stack.mapTo(panel, QPoint(0, 0))
    assert below.y() > panel.view.mapTo(panel, QPoint(0, panel.view.height())).y()
    assert panel.stack.height() >= 250


def test_every_input_says_what_it_is(panel):
    for widget in (panel.mag, panel.slider, panel.count, panel.dit, panel.total, panel.scale, panel.floor, panel.view,
                   panel.teff, panel.logg, panel.feh, panel.ranges, panel.factor, panel.share):  # fmt: skip
        assert widget.accessibleName()
    assert panel.childAt(QPoint(20, 20)) is not None
