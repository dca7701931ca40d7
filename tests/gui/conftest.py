"""What the window's tests share: settings of their own, a small simulated cube, a finished run, and an open window."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QSettings, QThread
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

import gui.settings
from gui.main_window import MainWindow
from gui.notifications import Notifications
from gui.settings import Preferences
from gui.theme import ThemeManager

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit


@pytest.fixture(autouse=True, scope="session")
def _garbage_in_the_gui_thread() -> Iterator[None]:
    """Collect between tests only: see gui.garbage."""
    gc.disable()
    yield
    gc.enable()


@dataclass(frozen=True)
class Field:
    """A simulated field on disk."""

    cube: Path
    stars: Path
    names: tuple[str, ...]
    session: Path


@pytest.fixture(autouse=True)
def _fresh_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's settings and from those of other tests."""
    path = str(tmp_path / "settings.ini")
    monkeypatch.setattr(gui.settings, "store", lambda: QSettings(path, QSettings.Format.IniFormat))


@pytest.fixture(scope="session")
def field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Return a cube of 24 x 20 spaxels with six stars, its list, and a session as a finished run leaves it."""
    from processing.simulate import SimulationSettings, sample_library, simulate_field

    folder = tmp_path_factory.mktemp("field")
    settings = SimulationSettings(n_stars=6, nx=24, ny=20, wave_max=5000.0, border=0)
    cube, stars = folder / "field.fits", folder / "field_stars.csv"
    truth = simulate_field(sample_library(), settings, cube, stars)
    session = folder / "out" / "field.stellacube"
    session.parent.mkdir()
    _write_session(session, cube, stars)
    return Field(cube, stars, tuple(str(name) for name in truth.star_id), session)


def _write_session(path: Path, cube_path: Path, list_path: Path) -> None:
    """Write a session whose labels are made up: the window shows them, it does not judge them."""
    from dataclasses import replace

    from processing.catalogue.columns import all_columns
    from processing.catalogue.table import Catalogue, make_table
    from processing.cube import MuseCube
    from processing.provenance import Provenance, input_file
    from processing.reference import read_star_list
    from processing.session import Session
    from processing.settings import Settings

    files = (input_file("cube", cube_path), input_file("stars", list_path))
    stars = read_star_list(list_path)
    labels = ("teff", "logg", "fe_h", "mg_fe")
    with MuseCube.open(cube_path) as cube:
        x, y = cube.world_to_pixel(stars.ra, stars.dec)
        white = cube.overview().white
        spectra = [
            replace(cube.aperture(float(a), float(b), 2.0), star_id=str(name))
            for name, a, b in zip(stars.star_id[:-1], x, y, strict=False)
        ]
    rows = [
        {
            "stellar_id": star.star_id, "x": star.x, "y": star.y, "snr_der": 50.0 - n, "rv": 10.0 * n,
            "mag": 18 + n / 5, "teff": 4500.0 + 200 * n, "teff_err": 40.0,
            "logg": 2.0 + 0.3 * n, "fe_h": -1.0 + 0.1 * n,
            "mg_fe": 0.2, "red_chi2": 1.0 + n, "status": "extracted", "quality": "good" if n else "poor",
            "quality_reason": "" if n else "reduced chi2 is 99",
        }
        for n, star in enumerate(spectra)
    ]  # fmt: skip
    table = make_table(all_columns("", labels), rows)
    fits = _made_up_fits([star.star_id for star in spectra])
    catalogue = Catalogue(table, Provenance(files, Settings()))
    with Session.create(path, files, Settings()) as session:
        session.put_spectra(spectra)
        session.put_fits(fits, 0)
        session.put_image("residual", (white - np.nanmedian(white)).astype(np.float32))
        session.put_catalogue(catalogue)


def _made_up_fits(names: list[str]) -> list[LabelFit]:
    """Return fits that found giants in noiseless spectra of the default model, with their evidence."""
    from processing.labels.fit import LabelFit
    from processing.labels.gradients import check_gradients
    from processing.labels.model_file import load_model
    from processing.settings import Settings

    model = load_model("")
    n_label, n_pix = len(model.labels), model.wave.size
    values = {"teff": 4800.0, "logg": 2.5, "fe_h": -0.5, "vmic": 1.5}
    labels = np.array([values.get(name, 0.0) for name in model.labels])
    flux = model.network.flux(labels[None])[0].astype(np.float32)
    fits = [
        LabelFit(
            star_id=name, labels=model.labels, values=labels, rv=10.0 * n, covariance=np.eye(n_label + 1) * 1e-4,
            covariance_scaled=np.eye(n_label + 1) * 4e-4, error_scale=2.0, red_chi2=1.0, corr_flux=1.0, n_pix=n_pix,
            n_masked=0, n_replaced=0, n_coarser=0, converged=True, extrapolated=False, in_scope=True, wave=model.wave,
            flux=flux, ivar=np.full(n_pix, 1e4, np.float32), best=flux, mask_reason=np.zeros(n_pix, np.uint8),
            frame=model.frame,
        )
        for n, name in enumerate(names)
    ]  # fmt: skip
    return check_gradients(fits, model, Settings())


@pytest.fixture(scope="session")
def themes(qapp: QApplication) -> ThemeManager:
    """Dress the application once: it takes longer than to open a window."""
    return ThemeManager(qapp, "light")


@pytest.fixture
def window(qapp: QApplication, themes: ThemeManager, qtbot: QtBot) -> Iterator[MainWindow]:
    """Open the window; afterwards close it and make sure that no thread is left."""
    opened = MainWindow(themes, Preferences(), Notifications())
    opened.resize(1366, 768)
    opened.show()
    qtbot.waitExposed(opened)
    yield opened
    opened.close()
    assert not [thread for thread in opened.findChildren(QThread) if thread.isRunning()]
    opened.deleteLater()
    qapp.sendPostedEvents(opened, QEvent.Type.DeferredDelete)
    del opened
    gc.collect()


@pytest.fixture
def opened(window: MainWindow, field: Field, qtbot: QtBot) -> MainWindow:
    """Open the window on cube and list, and wait until white light is there."""
    window.open_paths([field.cube, field.stars])
    panel = window.workspaces.image
    qtbot.waitUntil(lambda: panel._shown is not None and panel._shown.picture == "white", timeout=WAIT)
    settled(window, qtbot)
    return window


@pytest.fixture
def finished(window: MainWindow, field: Field, qtbot: QtBot) -> MainWindow:
    """Open the window on the session of a finished run."""
    window.open_paths([field.session])
    qtbot.waitUntil(lambda: window.document.catalogue is not None, timeout=WAIT)
    settled(window, qtbot)
    return window
