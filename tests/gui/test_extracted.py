"""A session without labels: its stars are listed with what the extraction knows of them."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.opening import open_session


def without(field, tmp_path: Path, *tables: str) -> Path:
    """Copy the finished session and empty some of its tables."""
    path = Path(shutil.copy(field.session, tmp_path / "part.stellacube"))
    with sqlite3.connect(path) as db:
        for table in tables:
            db.execute(f"DELETE FROM {table}")
    db.close()
    return path


@pytest.fixture
def extracted(field, tmp_path: Path) -> Path:
    """Return a session as ``extract`` leaves it."""
    return without(field, tmp_path, "fits", "catalogue")


def test_the_stars_of_an_extraction_are_listed(window, field, extracted: Path, qtbot: QtBot) -> None:
    window.open_paths([extracted])
    qtbot.waitUntil(lambda: window.document.session is not None, timeout=WAIT)
    settled(window, qtbot)
    panel, rows = window.workspaces.stars, window.document.rows
    assert not panel.is_empty
    assert rows.star_id.tolist() == list(field.names[:-1])
    assert panel.shown_columns == ["stellar_id", "mag", "snr_der", "status", "quality_reason"]
    assert set(rows.status.tolist()) == {"aperture"}
    spectrum = window.document.session.spectrum(field.names[1])
    row = rows.index[field.names[1]]
    assert rows.column("snr_der").values[row] == pytest.approx(spectrum.snr_der)
    window.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: not window.workspaces.spectrum.is_empty, timeout=WAIT)


def test_a_run_stopped_while_fitting_shows_the_labels_it_has(field, tmp_path: Path) -> None:
    opened = open_session(without(field, tmp_path, "catalogue"))
    assert opened.rows is not None
    assert opened.rows.fitted
    assert opened.rows.column("teff").values.tolist() == [4800.0] * 5
    opened.session.close()
    opened.cube.close()


def test_a_run_stopped_before_any_spectrum_has_no_rows(field, tmp_path: Path) -> None:
    opened = open_session(without(field, tmp_path, "fits", "catalogue", "spectra"))
    assert opened.rows is None
    opened.session.close()
    opened.cube.close()
