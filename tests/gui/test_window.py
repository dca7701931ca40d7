"""The window driven as a user drives it: drops, sliders, selection, run, cancel, errors, closing."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QThread, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

import gui.main_window
import gui.runs
from gui.actions import ACTIONS
from gui.dialogs import DetailsDialog, RunDialog, default_output
from gui.main_window import MainWindow
from gui.run_options import METHOD, NETWORK, PROFILE, TRAILS
from gui.settings import Preferences
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, stop_if
from processing.settings import Settings, write_settings

Left = Qt.MouseButton.LeftButton


def drop(window: MainWindow, *paths: Path) -> None:
    """Drag files over the window and let go."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    buttons, keys, copy = Left, Qt.KeyboardModifier.NoModifier, Qt.DropAction.CopyAction
    enter = QDragEnterEvent(QPoint(300, 300), copy, data, buttons, keys)
    QGuiApplication.sendEvent(window, enter)
    assert enter.isAccepted()
    assert window.drop_sign.isVisible()
    event = QDropEvent(QPointF(300, 300), copy, data, buttons, keys)
    QGuiApplication.sendEvent(window, event)
    assert event.isAccepted()
    assert not window.drop_sign.isVisible()


def said(window: MainWindow, level: str) -> list[str]:
    """Return the sentences of one level."""
    return [n.text for n in window.notifications.history if n.level == level]


# Dropping and opening


def test_a_dropped_cube_is_shown(window: MainWindow, field, qtbot: QtBot) -> None:
    drop(window, field.cube)
    qtbot.waitUntil(lambda: window.document.overview is not None, timeout=WAIT)
    panel = window.workspaces.image
    qtbot.waitUntil(lambda: panel._shown is not None and panel._shown.picture == "white", timeout=WAIT)
    np.testing.assert_array_equal(panel.view.image.image, window.document.overview.white)
    assert not panel.is_empty
    assert panel.view.overlay.north is not None
    assert window.actions_by_id["run"].isEnabled()
    assert not window.actions_by_id["export"].isEnabled()
    assert said(window, "error") == []


def test_a_dropped_list_is_shown_without_a_cube_and_placed_when_the_cube_comes(window, field, qtbot: QtBot) -> None:
    drop(window, field.stars)
    qtbot.waitUntil(lambda: window.document.rows is not None, timeout=WAIT)
    assert list(window.document.rows.star_id) == list(field.names)
    assert not np.isfinite(window.document.rows.x).any()
    drop(window, field.cube)
    qtbot.waitUntil(lambda: window.document.overview is not None, timeout=WAIT)
    assert np.isfinite(window.document.rows.x).all()
    assert len(window.workspaces.image.view._places) == len(field.names)


def test_cube_and_list_together(window, field, qtbot: QtBot) -> None:
    drop(window, field.stars, field.cube)
    qtbot.waitUntil(lambda: window.document.overview is not None, timeout=WAIT)
    assert window.workspaces.stars.model.rowCount() == len(field.names)
    assert window.preferences.recent[:2] == [field.stars, field.cube]


def test_a_dropped_session_shows_the_finished_run(window, field, qtbot: QtBot) -> None:
    drop(window, field.session)
    qtbot.waitUntil(lambda: window.document.catalogue is not None, timeout=WAIT)
    settled(window, qtbot)
    assert window.document.cube is not None
    assert window.actions_by_id["residual"].isEnabled()
    assert window.actions_by_id["export"].isEnabled()
    assert window.windowTitle() == "Simulated field – Stellacube"
    names = [c.name for c in window.document.rows.columns if c.shown]
    assert {"stellar_id", "teff", "logg", "fe_h", "rv"} <= set(names)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.docx", b"hello", "no kind that can be opened"),
        ("image.fits", b"this is no FITS file", "FITS"),
        ("stars.csv", b"a,b\n1,2\n", ""),
    ],
)
def test_nonsense_gives_a_sentence(window, tmp_path, qtbot, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    drop(window, path)
    qtbot.waitUntil(lambda: bool(said(window, "error")), timeout=WAIT)
    settled(window, qtbot)
    (sentence,) = said(window, "error")
    assert words in sentence
    assert "unexpected" not in sentence
    assert "Traceback" not in sentence
    assert window.notice.isVisible()
    assert window.document.empty


def test_an_empty_folder_and_a_session_with_a_cube_give_sentences(window, field, tmp_path, qtbot: QtBot) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    drop(window, folder)
    qtbot.waitUntil(lambda: len(said(window, "error")) == 1, timeout=WAIT)
    settled(window, qtbot)
    drop(window, field.session, field.cube)
    qtbot.waitUntil(lambda: len(said(window, "error")) == 2, timeout=WAIT)
    assert "A session opens alone" in said(window, "error")[1]


def test_a_folder_of_spectra(window, field, tmp_path, qtbot: QtBot) -> None:
    from processing.session import Session
    from processing.spectra_io.write import write_spectrum

    with Session.open(field.session, read_only=True) as session:
        spectra = list(session.spectra())
    for spectrum in spectra:
        write_spectrum(spectrum, tmp_path / f"{spectrum.star_id}.fits")
    drop(window, tmp_path)
    qtbot.waitUntil(lambda: bool(window.document.loaded), timeout=WAIT)
    settled(window, qtbot)
    assert window.workspaces.stars.model.rowCount() == len(spectra)
    name = window.workspaces.stars.model.star_at(2)
    with qtbot.waitSignal(window.document.spectrum_ready, timeout=WAIT) as shown:
        window.selection.set_star(name)
    np.testing.assert_allclose(shown.args[0].observed.flux, spectra[2].flux, rtol=1e-6)
    assert window.actions_by_id["run"].isEnabled()


def test_text_dragged_over_the_window_is_not_welcome(window: MainWindow) -> None:
    data = QMimeData()
    data.setText("hello")
    enter = QDragEnterEvent(QPoint(9, 9), Qt.DropAction.CopyAction, data, Left, Qt.KeyboardModifier.NoModifier)
    enter.ignore()
    QGuiApplication.sendEvent(window, enter)
    assert not enter.isAccepted()


# Image and spectrum


def test_a_slider_storm_ends_on_the_last_slice(opened, qtbot: QtBot) -> None:
    panel, cube = opened.workspaces.image, opened.document.cube
    arrived = []
    opened.document.image_ready.connect(lambda image: arrived.append(image.index))
    n = cube.shape[0]
    for value in range(n):
        panel.slider.setValue(value)
    qtbot.waitUntil(lambda: panel._shown is not None and panel._shown.index == n - 1, timeout=WAIT)
    assert len(arrived) <= 3
    np.testing.assert_array_equal(panel.view.image.image, cube.layer(n - 1))
    assert panel.wave.value() == pytest.approx(cube.wave[-1])
    assert panel.layer.value() == n - 1
    assert panel.pictures.current == "slice"


def test_the_line_in_the_spectrum_chooses_the_slice_and_the_other_way_round(opened, qtbot: QtBot) -> None:
    panel, spectrum, cube = opened.workspaces.image, opened.workspaces.spectrum, opened.document.cube
    spectrum.marker.setPos(float(cube.wave[17]) + 0.3)
    spectrum.marker.sigDragged.emit(spectrum.marker)
    qtbot.waitUntil(lambda: panel._shown is not None and panel._shown.index == 17, timeout=WAIT)
    panel.layer.setValue(31)
    assert spectrum.marker.value() == pytest.approx(cube.wave[31])


def test_the_arrow_keys_go_through_the_slices(opened, qtbot: QtBot) -> None:
    panel = opened.workspaces.image
    start = panel.slider.value()
    panel.view.setFocus()
    for _ in range(3):
        qtbot.keyClick(panel.view, Qt.Key.Key_Right)
    qtbot.keyClick(panel.view, Qt.Key.Key_Left)
    assert panel.slider.value() == start + 2
    opened.actions_by_id["next"].trigger()
    assert panel.slider.value() == start + 3


def test_position_and_value_under_the_mouse(opened, qtbot: QtBot) -> None:
    panel, cube = opened.workspaces.image, opened.document.cube
    with qtbot.waitSignal(panel.cursor_text) as text:
        panel.view.hovered.emit((5.2, 6.9))
    assert "x 5.2  y 6.9" in text.args[0]
    ra = float(cube.pixel_to_world(5.2, 6.9)[0])
    assert text.args[0].startswith(f"{int(ra // 15):02d}:")
    assert "value" in text.args[0]
    assert opened.status.place.text() == text.args[0]
    panel.view.hovered.emit(None)
    assert opened.status.place.text() == ""


def test_hovering_previews_a_spaxel_and_a_click_pins_it(opened, qtbot: QtBot) -> None:
    spectrum, cube = opened.workspaces.spectrum, opened.document.cube
    view = opened.workspaces.image.view
    with qtbot.waitSignal(opened.document.spectrum_ready, timeout=WAIT) as shown:
        view.hovered.emit((3.0, 4.0))
    assert shown.args[0].preview
    with qtbot.waitSignal(opened.document.spectrum_ready, timeout=WAIT):
        view.clicked.emit(7.4, 8.4)
    assert opened.selection.spaxel == (7, 8)
    flux, _ = cube.spaxel(7, 8)
    np.testing.assert_array_equal(spectrum._shown.observed.flux, flux)
    view.hovered.emit((3.0, 4.0))
    assert spectrum._shown.title == "Spaxel x 7, y 8"
    opened.actions_by_id["nothing"].trigger()
    assert opened.selection.spaxel is None
    assert spectrum.is_empty
    with qtbot.waitSignal(opened.document.spectrum_ready, timeout=WAIT):
        view.hovered.emit((3.0, 4.0))
    assert not spectrum.is_empty
    view.hovered.emit(None)
    assert spectrum.is_empty


def test_stretch_limits_and_colours(opened, qtbot: QtBot) -> None:
    panel = opened.workspaces.image
    pixels = panel.view.image.image
    panel.look.choose("limits", "min – max")
    qtbot.waitUntil(lambda: panel.view.image.levels[1] == pytest.approx(np.nanmax(pixels)), timeout=WAIT)
    panel.look.choose("stretch", "log")
    panel.look.choose("colours", "viridis")
    assert panel.look.button.text() == "log, min – max"
    assert len({tuple(colour) for colour in panel.view.image.lut[:, :3]}) > 200
    panel.bar.limits_dragged.emit(1.0, 5.0)
    assert tuple(panel.view.image.levels) == (1.0, 5.0)
    assert Preferences().text("image/stretch") == "log"


# Selection


def test_selecting_in_the_table_marks_the_star_everywhere(opened, field, qtbot: QtBot) -> None:
    table = opened.workspaces.stars.table
    with qtbot.waitSignal(opened.document.spectrum_ready, timeout=WAIT):
        table.selectRow(2)
    assert opened.selection.star == field.names[2]
    ring = opened.workspaces.image.view._ring.getData()
    row = opened.document.rows.index[field.names[2]]
    assert (ring[0][0], ring[1][0]) == (opened.document.rows.x[row], opened.document.rows.y[row])
    assert field.names[2] in opened.workspaces.spectrum.subtitle.toolTip()


def test_clicking_a_star_on_the_image_selects_its_row(opened, field, qtbot: QtBot) -> None:
    view, rows = opened.workspaces.image.view, opened.document.rows
    table = opened.workspaces.stars.table
    inside = np.flatnonzero((rows.x > 0) & (rows.x < 23) & (rows.y > 0) & (rows.y < 19))
    row = int(inside[0])
    place = view.mapFromScene(view.box.mapViewToScene(QPointF(rows.x[row], rows.y[row])))
    qtbot.mouseMove(view.viewport(), place)
    qtbot.mouseClick(view.viewport(), Left, pos=place)
    assert opened.selection.star == rows.star_id[row]
    assert [index.row() for index in table.selectionModel().selectedRows()] == [row]


def test_filter_and_sort(finished, qtbot: QtBot) -> None:
    panel = finished.workspaces.stars
    everything = panel.model.rowCount()
    panel.filter.setText("teff < 5000 snr_der > 48.5")
    assert panel.model.rowCount() == 2
    panel.filter.setText("nonsense < 5")
    assert panel.filter.property("wrong") is True
    assert panel.model.rowCount() == 2
    panel.filter.clear()
    assert panel.model.rowCount() == everything
    column = 1 + [c.name for c in panel.model.rows.columns].index("teff")
    panel.table.sortByColumn(column, Qt.SortOrder.DescendingOrder)
    shown = [float(panel.model.index(row, column).data()) for row in range(everything)]
    assert shown == sorted(shown, reverse=True)


def test_sorting_keeps_the_selected_star(finished, qtbot: QtBot) -> None:
    panel = finished.workspaces.stars
    panel.table.selectRow(1)
    star = finished.selection.star
    column = 1 + [c.name for c in panel.model.rows.columns].index("teff")
    panel.table.sortByColumn(column, Qt.SortOrder.DescendingOrder)
    assert finished.selection.star == star
    (chosen,) = panel.table.selectionModel().selectedRows()
    assert panel.model.star_at(chosen.row()) == star


def test_quality_icons_say_why(finished) -> None:
    model = finished.workspaces.stars.model
    assert model.index(0, 0).data(Qt.ItemDataRole.ToolTipRole) == "Poor: reduced chi2 is 99."
    assert model.index(1, 0).data(Qt.ItemDataRole.ToolTipRole) == "Good."
    assert not model.index(0, 0).data(Qt.ItemDataRole.DecorationRole).isNull()
    assert model.index(0, 2).data(Qt.ItemDataRole.TextAlignmentRole) & Qt.AlignmentFlag.AlignRight


def test_the_kiel_diagram_selects_and_shows(finished, qtbot: QtBot) -> None:
    diagram = finished.workspaces.diagrams
    assert not diagram.is_empty
    finished.selection.set_star(str(finished.document.rows.star_id[3]))
    x, y = diagram.mark.getData()
    assert (x[0], y[0]) == pytest.approx((5100.0, 2.9))


def test_copying_rows_gives_plain_numbers(finished) -> None:
    finished.workspaces.stars.copy()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].startswith("stellar_id")
    assert "teff" in lines[0]
    assert "−" not in lines[1]


# Running


def test_the_run_dialog_proposes_a_folder_beside_the_cube(opened, field, qtbot: QtBot) -> None:
    dialog = RunDialog(opened.document, opened)
    assert dialog.output == field.cube.parent / "field_stellacube" == default_output(opened.document)
    dialog.folder.setText(" ")
    assert not dialog.start.isEnabled()
    dialog.folder.setText("/somewhere/else")
    dialog.replace.setChecked(True)
    with qtbot.waitSignal(dialog.chosen) as chosen:
        dialog.start.click()
    assert chosen.args == [Path("/somewhere/else"), True, with_model("a")]


def with_model(name: str, **sections: object) -> Settings:
    return replace(Settings(), fit=replace(Settings().fit, model=name), **sections)


def test_the_run_dialog_unfolds_choices(opened, tmp_path, monkeypatch) -> None:
    dialog = RunDialog(opened.document, opened)
    dialog.show()
    assert not dialog.choices.isVisible()
    dialog.fold.click()
    choices = dialog.choices
    assert choices.isVisible()
    assert choices.box(METHOD).findData("pampelmuse") == -1  # not installed here
    methods, networks = choices.box(METHOD), choices.box(NETWORK)
    choose = {networks: "g", methods: "aperture", choices.masks: "bulge", choices.cuts: "bulge"}
    for box, name in choose.items():
        box.setCurrentIndex(box.findData(name))
    settings = choices.settings
    assert settings.fit.model == "g"
    assert settings.extraction.method == "aperture"
    assert not choices.box(PROFILE).isEnabled()
    assert settings.preparation.wave_min == 5991
    assert settings.catalogue.cuts
    file = tmp_path / "mine.toml"
    write_settings(with_model("physical", seed=7), file)
    choices.read(file)
    assert networks.currentData() == "physical"
    assert choices.settings.seed == 7
    file.write_text("[[[", encoding="utf-8")
    with pytest.raises(StellacubeError, match="TOML"):
        choices.read(file)


def test_pampelmuse_is_offered_where_it_is_installed(opened, tmp_path, monkeypatch) -> None:
    program = tmp_path / "PampelMuse"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin")
    choices = RunDialog(opened.document, opened).choices
    methods = choices.box(METHOD)
    methods.setCurrentIndex(methods.findData("pampelmuse"))
    assert choices.settings.pampelmuse.use
    assert choices.settings.extraction.method == "psf"
    assert not choices.box(TRAILS).isEnabled()


def test_a_run_is_shown_when_it_is_done(opened, field, monkeypatch, tmp_path, qtbot: QtBot) -> None:
    from processing.pipeline import RunResult
    from processing.session import Session

    given = []

    def stage(cube, stars, spectra, out, replace, settings, *, progress: Progress, cancelled: CancelCheck) -> RunResult:
        given.append((cube, stars, spectra, out, replace))
        progress(0.5, "Solving")
        with Session.open(field.session, read_only=True) as session:
            return RunResult(field.session, session.catalogue(), (), ("The list was shifted.",), {"extraction": 75.0})

    monkeypatch.setattr(gui.runs, "run_stage", stage)
    opened.start_run(tmp_path)
    assert not opened.actions_by_id["run"].isEnabled()
    qtbot.waitUntil(lambda: opened.document.catalogue is not None, timeout=WAIT)
    settled(opened, qtbot)
    assert given == [(field.cube, field.stars, (), tmp_path, False)]
    assert opened.document.overview is not None
    assert "The list was shifted." in said(opened, "info")
    assert "5 stars done in 1 min 15 s." in said(opened, "info")
    assert opened.actions_by_id["run"].isEnabled()


def test_a_run_is_cancelled_by_the_button(opened, monkeypatch, tmp_path, qtbot: QtBot) -> None:
    begun = threading.Event()
    monkeypatch.setattr(gui.runs, "run_stage", endless(begun))
    opened.start_run(tmp_path)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    assert opened.progress.button.isVisible()
    qtbot.mouseClick(opened.progress.button, Left)
    qtbot.waitUntil(lambda: not opened.runner.jobs, timeout=WAIT)
    assert any(sentence.startswith("Cancelled.") for sentence in said(opened, "info"))
    assert not opened.progress.button.isVisible()
    assert opened.actions_by_id["run"].isEnabled()


def endless(begun: threading.Event):
    """Return a stage that works until it is cancelled."""

    def stage(*inputs: object, progress: Progress, cancelled: CancelCheck) -> None:
        waiting = threading.Event()
        begun.set()
        while True:
            stop_if(cancelled)
            progress(0.3, "Working")
            waiting.wait(0.005)

    return stage


def test_a_failed_run_says_why_with_details(opened, monkeypatch, tmp_path, qtbot: QtBot) -> None:
    def stage(*inputs: object, progress: Progress, cancelled: CancelCheck) -> None:
        raise StellacubeError("The output folder cannot be written.", "Choose another one.")

    monkeypatch.setattr(gui.runs, "run_stage", stage)
    opened.start_run(tmp_path)
    qtbot.waitUntil(lambda: bool(said(opened, "error")), timeout=WAIT)
    assert opened.notice.sentence.text() == "The output folder cannot be written."
    assert opened.notice.hint.text() == "Choose another one."
    qtbot.mouseClick(opened.notice.details, Left)
    (dialog,) = opened.findChildren(DetailsDialog)
    dialog.copy()
    assert "Traceback" in QGuiApplication.clipboard().text()
    dialog.close()


def test_closing_during_a_run_cancels_and_waits(opened, monkeypatch, tmp_path, qtbot: QtBot) -> None:
    begun = threading.Event()
    monkeypatch.setattr(gui.runs, "run_stage", endless(begun))
    opened.start_run(tmp_path)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    opened.close()
    assert not opened.isVisible()
    assert not [thread for thread in opened.findChildren(QThread) if thread.isRunning()]
    assert opened.document.cube is None


def test_closing_while_a_file_is_being_opened(window, field, qtbot: QtBot) -> None:
    window.open_paths([field.cube])
    window.close()
    assert not [thread for thread in window.findChildren(QThread) if thread.isRunning()]


@pytest.mark.parametrize(("suffix", "start"), [(".csv", b"stellar_id"), (".fits", b"SIMPLE"), (".xml", b"<?xml")])
def test_export(finished, tmp_path, qtbot: QtBot, suffix: str, start: bytes) -> None:
    path = tmp_path / f"catalogue{suffix}"
    finished.commands.export(path)
    qtbot.waitUntil(lambda: f"Saved {path}." in said(finished, "info"), timeout=WAIT)
    head = path.read_bytes()[:4000]
    assert start in head


# The rest


def test_every_action_is_connected_and_explained(window) -> None:
    assert set(window.actions_by_id) == {spec.id for spec in ACTIONS}
    assert all(spec.tip for spec in ACTIONS)
    keys = [spec.shortcut for spec in ACTIONS if spec.shortcut]
    assert len(keys) == len(set(keys))


def test_workspaces_and_one_panel_alone(opened) -> None:
    docks = opened.workspaces.docks

    def shown() -> set[str]:
        return {name for name, dock in docks.items() if dock.isVisible()}

    assert shown() == {"image", "spectrum", "stars", "diagrams"}
    opened.workspaces.spectrum.header.button.click()
    assert shown() == {"spectrum"}
    opened.workspaces.spectrum.header.button.click()
    assert shown() == {"image", "spectrum", "stars", "diagrams"}
    opened.actions_by_id["explore"].trigger()
    assert shown() == {"diagrams", "spectrum", "stars", "labels"}
    opened.actions_by_id["look"].trigger()
    assert shown() == {"image", "spectrum", "stars", "diagrams"}


def test_closing_the_field_empties_every_panel(finished) -> None:
    finished.selection.set_star(str(finished.document.rows.star_id[0]))
    finished.actions_by_id["close_field"].trigger()
    assert finished.document.empty
    panels = finished.workspaces
    assert all(panel.is_empty for panel in (panels.image, panels.spectrum, panels.stars, panels.diagrams))
    assert finished.selection.star == ""


def test_both_themes_reach_every_panel(opened) -> None:
    opened.set_appearance("dark")
    assert opened.themes.theme.name == "dark"
    assert opened.workspaces.spectrum.plots.backgroundBrush().color().lightness() < 60
    assert Preferences().appearance == "dark"
    opened.set_appearance("light")
    assert opened.workspaces.spectrum.plots.backgroundBrush().color().lightness() > 240


def test_the_window_starts_without_heavy_imports() -> None:
    code = (
        "import sys, os; os.environ['QT_QPA_PLATFORM']='offscreen'\n"
        "import gui.main_window, gui.app\n"
        "heavy = {'torch','scipy','astropy','photutils'} & {name.partition('.')[0] for name in sys.modules}\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    root = Path(gui.main_window.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
