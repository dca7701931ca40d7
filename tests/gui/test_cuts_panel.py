"""The panel of cuts: its numbers are the engine's, conditions can be edited, and stars that pass are marked."""

from __future__ import annotations

from pathlib import Path

from gui.main_window import MainWindow
from gui.panels.cuts import ADD
from processing.catalogue.cuts import apply_cuts, read_cuts
from processing.catalogue.export import read_catalogue


def cells(window: MainWindow, row: int) -> list[str]:
    table = window.workspaces.cuts.table
    return [table.item(row, column).text() for column in range(table.columnCount())]


def test_conditions_are_edited_and_counted(finished: MainWindow) -> None:
    panel, catalogue = finished.workspaces.cuts, finished.document.catalogue
    finished.actions_by_id["cuts"].trigger()
    assert panel.isVisible()
    assert cells(finished, 0) == [ADD, "", "", "", ""]
    panel.table.item(0, 0).setText("")  # looked at, and left
    assert panel.cuts == ()
    panel.table.item(0, 0).setText("teff > 4600")
    panel.table.item(1, 0).setText('quality == "good" and rv < 35')
    steps = apply_cuts(catalogue.table, panel.cuts).steps
    assert len(panel.cuts) == 2
    for row, step in enumerate(steps):
        assert cells(finished, row)[1:] == [str(n) for n in (step.removed, step.left, step.alone, step.missing)]
    assert f"{steps[-1].left} of {len(catalogue)} stars pass" in panel.said.text()
    panel.mark.click()
    assert cells(finished, 2) == [ADD, "", "", "", ""]
    kept = catalogue.table["stellar_id"][apply_cuts(catalogue.table, panel.cuts).kept]
    assert finished.selection.chosen == tuple(map(str, kept))
    panel.table.item(0, 0).setText("")
    assert len(panel.cuts) == 1


def test_a_mistake_is_said_and_can_be_mended(finished: MainWindow) -> None:
    panel = finished.workspaces.cuts
    panel.set_cuts(("tef > 4600",))
    assert "Did you mean teff?" in panel.said.text()
    assert not panel.mark.isEnabled()
    panel.table.item(0, 0).setText("teff > 4600")
    assert "stars pass" in panel.said.text()
    assert panel.mark.isEnabled()


def test_presets_and_files(finished: MainWindow, tmp_path: Path) -> None:
    panel = finished.workspaces.cuts
    panel.take("bulge")
    assert panel.cuts == ("snr_red > 80", "corr_flux > 0.85")
    assert cells(finished, 0)[3:] == ["5", "5"]  # made-up stars without that number
    panel.set_cuts(("teff > 4600",))
    panel.save_as(tmp_path / "mine.toml")
    panel.save_as(tmp_path / "chosen.fits")
    assert read_cuts(tmp_path / "mine.toml").cuts == panel.cuts
    back = read_catalogue(tmp_path / "chosen.fits")
    assert back.table["selected"].tolist() == (back.table["teff"] > 4600).tolist()
    assert "teff > 4600" in back.provenance.history[-1]
    finished.close_field()
    assert panel.is_empty
