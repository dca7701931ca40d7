"""How quick the window is: ``python tests/benchmarks/bench_window.py [FOLDER] [--size 320]``.

Start to visible window (a process of its own, warm disk), the first image, a slice, a spaxel under the mouse, a band
image, a star to its plots, and the longest gap of the event loop while a run extracts and fits. FOLDER holds a finished
demo run, or gets one. With ``--size`` the cube's times are those of a cube of noise of that many spaxels squared.
"""

# ruff: noqa: E402 -- the platform is chosen before Qt is imported
from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from PySide6.QtCore import QEventLoop, QObject, QSettings, QTimer, Slot

import gui.settings
from gui.app import make_application
from gui.garbage import GarbageKeeper
from gui.main_window import MainWindow
from gui.notifications import Notifications
from gui.settings import Preferences
from gui.theme import ThemeManager

log = logging.getLogger("bench_window")
START = """
import sys, time
begin = float(sys.argv[1])
from PySide6.QtCore import QSettings, QTimer
import gui.settings
gui.settings.store = lambda: QSettings(sys.argv[2], QSettings.Format.IniFormat)
import gui.main_window as main
class Timed(main.MainWindow):
    shown = False
    def paintEvent(self, event):
        super().paintEvent(event)
        if not self.shown:
            self.shown = True
            print(time.time() - begin)
            QTimer.singleShot(0, self, self.close)
main.MainWindow = Timed
from gui.app import main
sys.exit(main())
"""
REPEATS = 40
PATIENCE = 600.0


class Gaps(QObject):
    """Ticks every 5 ms and keeps how long each tick was late."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer(self, interval=5)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    @Slot()
    def _tick(self) -> None:
        now = time.perf_counter()
        self.late.append(now - self._last)
        self._last = now


class Bench:
    """Drives one window and measures."""

    def __init__(self, window: MainWindow) -> None:
        self.window = window
        self.rows: list[tuple[str, np.ndarray]] = []

    def until(self, there: Callable[[], bool]) -> None:
        """Run the event loop until something is so."""
        end = time.monotonic() + PATIENCE
        loop = QEventLoop()
        while not there() and time.monotonic() < end:
            loop.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 20)

    def settle(self) -> None:
        """Wait until no job is running."""
        self.until(lambda: not self.window.runner.jobs)

    def measure(self, name: str, act: Callable[[int], None], there: Callable[[int], bool], repeats: int) -> None:
        """Time from an action to its picture on the screen."""
        times = []
        for n in range(repeats):
            start = time.perf_counter()
            act(n)
            self.until(lambda n=n: there(n))  # type: ignore[misc]
            self.window.repaint()
            times.append(time.perf_counter() - start)
        self.rows.append((name, np.array(times)))

    def look(self, cube: Path) -> None:
        """Time what an observer does with a cube."""
        window, image, spectrum = self.window, self.window.workspaces.image, self.window.workspaces.spectrum

        def picture(name: str) -> Callable[[int], bool]:
            return lambda _: image._shown is not None and image._shown.picture == name

        self.measure("drop of the cube to first image", lambda _: window.open_paths([cube]), picture("slice"), 1)
        self.measure("... to full white light", lambda _: None, picture("white"), 1)
        self.settle()
        n_wave, ny, nx = window.document.cube.shape  # type: ignore[union-attr]
        rng = np.random.default_rng(0)
        layers = rng.choice(n_wave, REPEATS, replace=False)
        self.measure(
            "slice", lambda n: image.slider.setValue(int(layers[n])), lambda n: image._shown.index == layers[n], REPEATS
        )  # type: ignore[union-attr]
        places = [
            (int(x), int(y)) for x, y in zip(rng.integers(0, nx, REPEATS), rng.integers(0, ny, REPEATS), strict=True)
        ]
        self.measure(
            "spaxel under the mouse",
            lambda n: image._on_hover(places[n]),
            lambda n: self.title(f"Spaxel x {places[n][0]}, y {places[n][1]}"),
            REPEATS,
        )
        bands = [(5000.0 + 50 * n, 5125.0 + 50 * n) for n in range(10)]
        shown: list[object] = [None]

        def band(n: int) -> None:
            shown[0] = image._shown
            window.selection.set_band(bands[n])

        self.measure("band of 125 Å", band, lambda _: image._shown is not shown[0], len(bands))
        window.selection.clear()
        assert spectrum is not None

    def title(self, text: str) -> bool:
        """Tell whether a spectrum is shown."""
        shown = self.window.workspaces.spectrum._shown
        return shown is not None and shown.title == text

    def explore(self, session: Path) -> None:
        """Time what an observer does with results."""
        window = self.window
        window.open_paths([session])
        self.until(lambda: window.document.catalogue is not None)
        self.settle()
        fitted = sorted(window.document.session.star_ids("fits"))[:REPEATS]  # type: ignore[union-attr]
        self.measure(
            "star to spectrum, fit, labels",
            lambda n: window.selection.set_star(fitted[n]),
            lambda n: self.title(fitted[n]),
            len(fitted),
        )
        window.selection.set_label("mg_fe")
        plots = window.workspaces.spectrum.plots
        self.until(lambda: plots.gradient.plot in plots.shown)
        seen = window.workspaces.spectrum
        self.measure(
            "star to its gradients",
            lambda n: window.selection.set_star(fitted[n]),
            lambda n: seen._gradients is not None and seen._gradients[0] == fitted[n],
            len(fitted),
        )
        window.selection.clear()

    def run(self, cube: Path, stars: Path, out: Path) -> None:
        """Measure the gaps of the event loop during a run."""
        window = self.window
        window.open_paths([cube, stars])
        self.until(lambda: window.document.stars is not None)
        self.settle()
        gaps = Gaps()
        window.start_run(out, True)
        self.until(lambda: not window.runs.running)
        self.settle()
        self.rows.append(("event loop during a run", np.array(gaps.late)))
        gaps._timer.stop()

    def table(self) -> str:
        """Return all figures."""
        lines = [f"{'':34s}{'n':>6s}{'best':>10s}{'median':>10s}{'99 %':>10s}{'max':>10s}  ms"]
        for name, times in self.rows:
            figures = [1e3 * v for v in (times.min(), np.median(times), np.percentile(times, 99), times.max())]
            lines.append(f"{name:34s}{len(times):6d}" + "".join(f"{v:10.1f}" for v in figures))
        return "\n".join(lines)


def start_times(folder: Path, repeats: int = 7) -> np.ndarray:
    """Time from a new process to the first paint of the window; the first start warms the disk."""
    times = []
    for _ in range(repeats + 1):
        command = [sys.executable, "-c", START, str(time.time()), str(folder / "start.ini")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        times.append(float(done.stdout.split()[0]))
    return np.array(times[1:])


def noise_cube(path: Path, size: int) -> Path:
    """Write a cube of noise as large as a MUSE cube, with variances."""
    from astropy.io import fits

    n_wave, shape = 3681, (3681, size, size)
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = "MUSE"
    header = fits.Header()
    cards = {"CRPIX3": 1.0, "CRVAL3": 4750.0, "CD3_3": 1.25, "CTYPE3": "AWAV", "CUNIT3": "Angstrom",
             "BUNIT": "10**(-20)*erg/s/cm**2/Angstrom", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg",
             "CUNIT2": "deg", "CRVAL1": 6.02, "CRVAL2": -72.08, "CRPIX1": 1.0, "CRPIX2": 1.0, "CD1_1": -0.2 / 3600,
             "CD2_2": 0.2 / 3600}  # fmt: skip
    header.update(cards)
    primary.writeto(path, overwrite=True)
    layer = np.random.default_rng(0).normal(100, 10, shape[1:]).astype(">f4")
    for name in ("DATA", "STAT"):
        hdu = fits.ImageHDU(np.zeros((1, 1, 1), ">f4"), header, name=name)
        hdu.header.update(NAXIS1=size, NAXIS2=size, NAXIS3=n_wave)
        with path.open("ab") as stream:
            stream.write(hdu.header.tostring().encode())
            for _ in range(n_wave):
                stream.write(layer.tobytes())
            stream.write(b"\0" * (-layer.nbytes * n_wave % 2880))
    return path


def main() -> int:
    """Measure and print."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        home = given.folder or folder
        if not (home / "demo.stellacube").exists():
            from processing.demo import demo

            demo(home)
        gui.settings.store = lambda: QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)  # type: ignore[misc]
        application = make_application()
        keeper = GarbageKeeper(application)
        window = MainWindow(ThemeManager(application, "light"), Preferences(), Notifications())  # type: ignore[arg-type]
        window.resize(1366, 768)
        window.show()
        bench = Bench(window)
        bench.rows.append(("start to visible window", start_times(folder)))
        bench.look(noise_cube(folder / "noise.fits", given.size) if given.size else home / "demo.fits")
        window.close_field()
        bench.explore(home / "demo.stellacube")
        window.close_field()
        bench.run(home / "demo.fits", home / "demo_stars.csv", folder / "run")
        window.close()
        keeper.stop()
    log.info("%s", bench.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
