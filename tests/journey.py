"""A user's whole way through the real program with real keys and mouse: ``python tests/journey.py [FOLDER]``.

Run by hand; needs Xvfb, xdotool and ImageMagick. The program runs as a process of its own on a screen of its own: a
simulated cube and its list are dropped on it; run, look at a star, filter, export, leave with Ctrl+Q. A picture of
each step goes to FOLDER (default: ``journey`` in the temporary folder). Ends with 0 only if the export is complete,
the process ended with 0, and nothing was written to its error output; then Ctrl+C is tried at several moments.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
log = logging.getLogger("journey")
PATIENCE = 900.0
"""Seconds after which a step counts as failed."""


@contextlib.contextmanager
def screen(width: int, height: int) -> Iterator[str]:
    """Start an X server and return the name of its display."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            yield f":{pipe.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


class Program:
    """The program at work on a display, and the hands of its user."""

    def __init__(self, display: str, folder: Path, theme: str, scale: float, arguments: tuple[str, ...] = ()) -> None:
        self.folder, self._count = folder, 0
        home = folder / "home"
        settings = home / "Stellacube" / "Stellacube.conf"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(f"[General]\nappearance={theme}\n", encoding="utf-8")
        self.environment = {
            **os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "QT_SCALE_FACTOR": str(scale),
            "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_STATE_HOME": str(home),
        }  # fmt: skip
        self.errors = folder / "errors.txt"
        with self.errors.open("w", encoding="utf-8") as stream:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "main.py"), *arguments],
                env=self.environment, stdout=stream, stderr=stream, cwd=folder,
            )  # fmt: skip

    # Hands

    def do(self, *words: str) -> str:
        """Let xdotool do something and return what it says."""
        done = subprocess.run(["xdotool", *words], env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def window(self, name: str) -> str:
        """Wait for a window with a title that matches, give it the keyboard, and return it."""
        self.wait(lambda: bool(self.do("search", "--onlyvisible", "--name", name)), f"the window {name}")
        found = self.do("search", "--onlyvisible", "--name", name).split()[-1]
        self.do("windowfocus", "--sync", found)
        return found

    def keys(self, *names: str) -> None:
        """Press keys."""
        self.do("key", "--clearmodifiers", *names)

    def type(self, text: str) -> None:
        """Type a text."""
        self.do("type", "--delay", "2", text)

    def click(self, x: float, y: float) -> None:
        """Click at a place given in fractions of the screen."""
        width, height = map(int, self.do("getdisplaygeometry").split())
        self.do("mousemove", "--sync", str(round(x * width)), str(round(y * height)), "click", "1")

    def drag(self, *places: tuple[float, float]) -> None:
        """Drag from place to place with Shift held, in a few steps as a hand does."""
        width, height = map(int, self.do("getdisplaygeometry").split())
        words = ["keydown", "shift", "mousemove", str(round(places[0][0] * width)), str(round(places[0][1] * height))]
        words += ["mousedown", "1"]
        for (x0, y0), (x1, y1) in pairwise(places):
            for share in (0.25, 0.5, 0.75, 1.0):
                x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
                words += ["sleep", "0.03", "mousemove", str(round(x * width)), str(round(y * height))]
        self.do(*words, "sleep", "0.03", "mouseup", "1", "keyup", "shift")

    def drop(self, title: str, *paths: Path) -> None:
        """Drag files out of another program's window onto the middle of the screen; wait for the title they give."""
        command = [sys.executable, str(ROOT / "tests" / "drag_source.py"), *map(str, paths)]
        source = subprocess.Popen(command, env=self.environment)
        self.wait(lambda: bool(self.do("search", "--onlyvisible", "--name", "^Files to drag$")), "the files to drag")
        width, height = map(int, self.do("getdisplaygeometry").split())
        words = ["mousemove", "--sync", "20", "20", "mousedown", "1"]
        for share in (0.1, 0.2, 0.3, 0.4, 0.5):
            words += ["sleep", "0.1", "mousemove", str(round(share * width)), str(round(share * height))]
        self.do(*words, "sleep", "0.3")
        self.picture("drag")
        self.do("mouseup", "1")
        self.window(title)
        source.terminate()
        source.wait()

    # Eyes

    def wait(self, there: Callable[[], bool], what: str) -> None:
        """Wait until something is so; the question itself takes a few milliseconds of another process."""
        end = time.monotonic() + PATIENCE
        while not there():
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{what}: waited in vain.\n{self.errors.read_text(encoding='utf-8')}")

    def picture(self, name: str) -> Path:
        """Take a picture once the screen has stood still for a second."""
        self._count += 1
        path = self.folder / f"{self._count}_{name}.png"
        first_seen: dict[bytes, float] = {}
        last = b""

        def still() -> bool:  # nothing new for a second: a blinking cursor shows nothing new
            nonlocal last
            command = ["import", "-silent", "-window", "root", "ppm:-"]
            last = subprocess.run(command, env=self.environment, capture_output=True, check=True).stdout
            now = time.monotonic()
            first_seen.setdefault(last, now)
            return now - max(first_seen.values()) > 1.0

        self.wait(still, f"a picture of {name}")
        subprocess.run(["convert", "ppm:-", str(path)], input=last, check=True)
        log.info("%s", path)
        return path

    def end(self) -> None:
        """Check that the process ends by itself, well and without a word."""
        try:
            code = self.process.wait(60)
        finally:
            self.process.kill()
        said = self.errors.read_text(encoding="utf-8")
        assert code == 0, f"ended with {code}\n{said}"
        assert not said, said


def simulate(folder: Path) -> tuple[Path, Path]:
    """Return the demo's cube and list."""
    from processing.demo import FIELD
    from processing.simulate import sample_library, simulate_field

    cube, stars = folder / "demo.fits", folder / "demo_stars.csv"
    simulate_field(sample_library(), FIELD, cube, stars)
    return cube, stars


def journey(display: str, folder: Path, cube: Path, stars: Path, theme: str, scale: float) -> None:
    """Go the whole way."""
    results, export = folder / "demo_stellacube", folder / "giants.csv"
    program = Program(display, folder, theme, scale)
    main = program.window("^Stellacube$")
    program.do("windowmove", main, "0", "0", "windowsize", main, "100%", "100%")
    program.picture("start")
    program.drop("field|demo", cube, stars)
    program.picture("opened")
    program.keys("ctrl+r")
    program.window("^Run$")
    program.picture("ask")
    program.keys("Return")
    main = program.window("Stellacube$")
    program.wait(lambda: any(results.glob("*_catalogue.csv")), "the catalogue of the run")
    program.picture("done")
    program.click(0.2, 0.84)  # a row of the table
    program.picture("star")
    program.keys("ctrl+Down", "ctrl+Down")
    program.click(0.18, 0.42)  # the field
    program.do("mousemove_relative", "--", "25", "-30")
    program.picture("spaxel")
    program.window("Stellacube$")
    program.drag((0.6, 0.25), (0.63, 0.25), (0.66, 0.25))
    program.picture("band")
    program.keys("a")
    program.picture("aperture")
    program.keys("Escape")
    program.keys("ctrl+f")
    program.type("teff < 5500 and logg < 3.5")
    program.keys("ctrl+Down")
    program.picture("filter")
    program.keys("ctrl+2")
    program.picture("explore")
    program.click(0.7, 0.88)  # a label: its gradient appears
    program.picture("label")
    program.drag((0.1, 0.27), (0.36, 0.27), (0.36, 0.48), (0.1, 0.48))
    program.picture("lasso")
    program.keys("ctrl+3")
    program.picture("plan")
    program.keys("ctrl+1")
    program.picture("back")
    geometry = dict(line.split("=") for line in program.do("getwindowgeometry", "--shell", main).splitlines())
    assert f"{geometry['WIDTH']}x{geometry['HEIGHT']}" == program.do("getdisplaygeometry").replace(" ", "x"), geometry
    program.keys("ctrl+e")
    program.window("^Export")
    program.keys("ctrl+a")
    program.type(str(export))
    program.keys("Return")
    program.wait(export.exists, "the export")
    program.window("Stellacube$")
    program.picture("exported")
    program.keys("ctrl+q")
    program.end()
    with export.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    assert len(rows) > 5, f"{len(rows)} rows were exported"
    assert float(rows[0]["teff"]) > 3000


def interrupt(display: str, folder: Path, cube: Path, stars: Path) -> None:
    """Press Ctrl+C in the terminal: when the window is there, and while a cube is being opened."""
    for arguments, title in (((), "^Stellacube$"), ((str(cube), str(stars)), "Stellacube$")):
        program = Program(display, folder, "light", 1.0, arguments)
        program.window(title)
        program.process.send_signal(signal.SIGINT)
        program.end()


def main() -> int:
    """Go the way in one theme at one scale."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(tempfile.gettempdir()) / "journey")
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--size", default="1366x768")
    given = parser.parse_args()
    folder = given.folder / f"{given.theme}_{given.scale:g}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cube, stars = simulate(folder)
    width, height = map(int, given.size.split("x"))
    with screen(width, height) as display:
        journey(display, folder, cube, stars, given.theme, given.scale)
        interrupt(display, folder, cube, stars)
    log.info("The whole way was gone.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
