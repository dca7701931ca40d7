"""Make the pictures of the README from a demo run, in both themes: ``python tests/screenshots.py [FOLDER]``.

Run by hand. The field is simulated and run in FOLDER (a temporary folder when none is given); a folder that holds a run
already is only shown. The pictures go to ``resources/screenshots``.
"""

# ruff: noqa: E402 -- the platform is chosen before Qt is imported
from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from PySide6.QtCore import QEventLoop, QSettings, QTimer

import gui.settings
from gui.app import make_application
from gui.garbage import GarbageKeeper
from gui.main_window import MainWindow
from gui.notifications import Notifications
from gui.settings import Preferences
from gui.theme import ThemeManager

log = logging.getLogger("screenshots")
OUT = ROOT / "resources" / "screenshots"
SIZE = (1366, 768)
TIMEOUT = 1800.0


def make_run(folder: Path) -> Path:
    """Simulate a small globular cluster, run the program on it, and return the session."""
    from processing.demo import MODEL
    from processing.pipeline import RunInputs, run
    from processing.settings import FitSettings, Settings
    from processing.simulate import SimulationSettings, sample_library, simulate_field

    session = folder / "results" / "demo.stellacube"
    if not session.exists():
        field = SimulationSettings(
            n_stars=150, nx=130, ny=110, layout="king", core_radius=6.0, mag_bright=15.8, mag_faint=20.0,
            exptime=1800.0, seed=3,
        )  # fmt: skip
        cube, stars = folder / "demo.fits", folder / "demo_stars.csv"
        simulate_field(sample_library(), field, cube, stars)
        run(RunInputs(cube=cube, stars=stars, out=folder / "results"), Settings(fit=FitSettings(model=MODEL)))
    return session


class Photographer:
    """Drives one window and takes its picture."""

    def __init__(self, theme: str, session: Path) -> None:
        self.theme = theme
        self.themes = ThemeManager(make_application(), theme)  # type: ignore[arg-type]
        self.window = MainWindow(self.themes, Preferences(), Notifications())
        self.window.resize(*SIZE)
        self.window.show()
        self.window.open_paths([session])

    def pause(self, milliseconds: int) -> None:
        """Let the window work."""
        loop = QEventLoop()
        QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()

    def settle(self) -> None:
        """Wait until nothing is going on."""
        end = time.monotonic() + TIMEOUT
        self.pause(200)
        while self.window.runner.jobs and time.monotonic() < end:
            self.pause(50)
        self.pause(500)

    def take(self, name: str) -> None:
        """Take a picture."""
        self.settle()
        path = OUT / f"{name}_{self.theme}.png"
        self.window.grab().save(str(path))
        log.info("%s", path)

    def tour(self) -> None:
        """Take all pictures."""
        window, document = self.window, self.window.document
        self.settle()
        assert document.rows is not None
        good = [n for n, quality in enumerate(document.rows.quality) if quality == "good"]
        teff, snr = document.rows.column("teff"), document.rows.column("snr_der")
        assert teff is not None
        assert snr is not None
        best = max((n for n in good if teff.values[n] < 5300), key=lambda n: snr.values[n])
        window.selection.set_star(str(document.rows.star_id[best]))
        self.take("look")
        window.workspaces.spectrum.flux.setXRange(5000, 5400)
        window.selection.set_label("mg_fe")
        window.workspaces.show("explore")
        window.workspaces.diagrams.show_diagram("mg")
        self.take("explore")
        window.workspaces.show("plan")
        self.take("plan")
        window.close()


def main() -> int:
    """Take the pictures in both themes."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        session = make_run(folder)
        application = make_application()
        keeper = GarbageKeeper(application)
        for theme in ("light", "dark"):
            settings = str(Path(scratch) / f"{theme}.ini")
            gui.settings.store = lambda path=settings: QSettings(path, QSettings.Format.IniFormat)  # type: ignore[misc]
            Photographer(theme, session).tour()
        keeper.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
