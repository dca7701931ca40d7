"""The fold of the run dialog: what it offers, in the settings' own words, and the file of all other settings."""

from __future__ import annotations

import ast
import typing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox
from pytestqt.qtbot import QtBot

import processing.settings
from gui.dialogs import RunDialog
from gui.run_choices import RunChoices
from gui.run_options import DETECTION, METHOD, NETWORK, OPTIONS, PASSBAND, SATURATED, TRAILS, show_value
from processing.errors import StellacubeError
from processing.settings import Settings, read_settings, write_settings


def own_words() -> dict[str, str]:
    """Return what the settings' module says of every setting, by section and name."""
    classes = {
        node.name: node
        for node in ast.parse(Path(processing.settings.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    said = {}
    for section, kind in typing.get_type_hints(Settings).items():
        body = classes[kind.__name__].body if kind.__name__ in classes else []
        for one, after in pairwise(body):
            if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(one.target, ast.Name):
                said[f"{section}.{one.target.id}"] = " ".join(ast.literal_eval(after.value).split())
    return said


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.path)
def test_an_option_says_what_the_settings_say_and_offers_what_they_take(option) -> None:
    assert option.hint == own_words()[option.path]
    section, name = option.path.split(".")
    kind = typing.get_type_hints(typing.get_type_hints(Settings)[section])[name]
    if typing.get_origin(kind) is typing.Literal:
        assert set(option.choices) == set(typing.get_args(kind))
    assert option.tick == (kind is bool)
    assert (option.number is not None) == (kind is float)


@pytest.mark.parametrize("cube", [True, False])
def test_an_untouched_form_gives_the_defaults(qtbot: QtBot, cube: bool) -> None:
    choices = RunChoices(cube=cube)
    qtbot.addWidget(choices)
    assert choices.settings == NETWORK.put(Settings(), "a")
    assert (METHOD.path in choices.widgets) == cube


def test_every_widget_reaches_its_setting(qtbot: QtBot) -> None:
    for stars in (True, False):
        choices = RunChoices(cube=True, stars=stars)
        qtbot.addWidget(choices)
        assert (PASSBAND.path in choices.widgets) == stars != (DETECTION.path in choices.widgets)
        for option in reversed(choices.options):  # apertures switch others off
            widget, before = choices.widgets[option.path], option.of(choices.settings)
            if isinstance(widget, QComboBox):
                widget.setCurrentIndex(widget.currentIndex() + 1)
            elif isinstance(widget, QDoubleSpinBox):
                widget.stepUp()
            else:
                widget.click()
            after = option.of(choices.settings)
            assert after != before, option.path
            assert option.put(choices.settings, before) != choices.settings


def test_settings_are_saved_and_opened_with_what_the_form_does_not_show(qtbot: QtBot, tmp_path: Path) -> None:
    choices, again = RunChoices(cube=True), RunChoices(cube=True)
    qtbot.addWidget(choices)
    qtbot.addWidget(again)
    mine = replace(TRAILS.put(SATURATED.put(Settings(), "ignore"), "ignore"), seed=5)
    write_settings(mine, tmp_path / "mine.toml")
    choices.read(tmp_path / "mine.toml")
    show_value(choices.widgets[PASSBAND.path], "SDSS r")
    choices.write(tmp_path / "again.toml")
    wanted = NETWORK.put(PASSBAND.put(mine, "SDSS r"), "a")
    assert read_settings(tmp_path / "again.toml") == wanted == choices.settings
    again.read(tmp_path / "again.toml")
    assert again.settings == wanted
    with pytest.raises(StellacubeError, match="cannot be written"):
        choices.write(tmp_path / "nowhere" / "x.toml")


def test_a_file_that_cannot_be_used_is_told_in_the_dialog(opened, tmp_path: Path, monkeypatch) -> None:
    from PySide6.QtWidgets import QFileDialog

    dialog = RunDialog(opened.document, opened)
    (tmp_path / "bad.toml").write_text("[sources]\ntrial = 1\n", encoding="utf-8")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "bad.toml"), ""))
    dialog.choices.open_file()
    assert "sources.trails" in dialog.note.text()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "good"), ""))
    dialog.choices.save_file()
    assert read_settings(tmp_path / "good.toml") == dialog.choices.settings
    dialog.close()


def test_the_unfolded_dialog_fits_a_laptop_without_scrolling(opened, monkeypatch) -> None:
    dialog = RunDialog(opened.document, opened)
    dialog.show()
    dialog.fold.setChecked(True)
    wanted = dialog.choices.sizeHint()
    margins = dialog.layout().contentsMargins()
    room = dialog.height() - dialog.folded.height()  # what is not the form
    assert wanted.width() + margins.left() + margins.right() <= 900
    assert room + wanted.height() <= 720
    dialog.close()


def test_a_number_of_a_file_finer_than_its_box_is_kept(qtbot: QtBot, tmp_path) -> None:
    choices = RunChoices(cube=True)
    qtbot.addWidget(choices)
    (tmp_path / "fine.toml").write_text("[sources]\nsnr_min = 2.26\n[fit]\nabundance_prior = 0.125\n")
    choices.read(tmp_path / "fine.toml")
    assert (choices.settings.sources.snr_min, choices.settings.fit.abundance_prior) == (2.26, 0.125)
    choices.widgets["sources.snr_min"].setValue(3.0)
    assert choices.settings.sources.snr_min == 3.0
