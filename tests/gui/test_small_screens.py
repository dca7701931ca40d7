"""What must fit a laptop at 150 %, 911 x 512 points: panels share places, dialogs scroll."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot
from waiting import WAIT

from gui.dialogs import RunDialog
from gui.panels.refit_dialog import RefitDialog


@pytest.mark.parametrize("workspace", ["look", "explore"])
def test_more_panels_do_not_widen_the_window(finished, qtbot: QtBot, workspace: str) -> None:
    work = finished.workspaces
    work.show(workspace)
    finished.resize(911, 512)
    for name in ("psf", "queue", "log"):
        work.docks[name].toggleViewAction().trigger()
        qtbot.waitUntil(
            lambda dock=work.docks[name]: not dock.visibleRegion().isEmpty(), timeout=WAIT
        )  # it is in front
        assert (finished.width(), finished.height()) == (911, 512)
        assert finished.minimumSizeHint().width() <= 911
    work.docks["log"].toggleViewAction().trigger()
    assert work.docks["log"].isHidden()


def test_the_refit_dialog_fits(finished, field, qtbot: QtBot) -> None:
    panel = finished.workspaces.spectrum
    finished.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: panel.shown is not None and panel.shown.fit is not None, timeout=WAIT)
    panel.commands.ask_refit()
    dialog = panel.findChild(RefitDialog)
    assert len(dialog.boxes) == 19
    assert dialog.width() <= 900
    assert dialog.height() <= 470  # a frame and a title come on top
    dialog.reject()


def test_the_unfolded_run_dialog_scrolls_where_the_screen_is_low(finished) -> None:
    dialog = RunDialog(finished.document, finished)
    dialog.show()
    folded = dialog.height()
    dialog.fold.setChecked(True)
    assert dialog.choices.isVisible()
    assert dialog.minimumSizeHint().height() < 480
    dialog.fold.setChecked(False)
    assert dialog.height() == folded
    dialog.close()
