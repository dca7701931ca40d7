"""A run that is killed or interrupted, and run again, gives what an uninterrupted one gives."""

from __future__ import annotations

import csv
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from processing.simulate import SimulationSettings, sample_library, simulate_field

MAIN = Path(__file__).resolve().parent.parent / "main.py"
FIELD = SimulationSettings(n_stars=8, nx=40, ny=40, mag_faint=18.0)
CONFIG = "[fit]\nbatch = 2\n[catalogue]\nformats = ['csv']\nwrite_spectra = false\n"
"""Small blocks, so that there are moments between them."""
TICK = 0.005
"""Seconds between two looks at the session while its run goes on."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Job:
    """A field and the command that runs the program on it."""

    folder: Path

    def start(self, out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(MAIN), "run", "field.fits", "--stars", "stars.csv", "--out", out]
        command += ["--config", "settings.toml"]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self, out: str) -> list[dict[str, str]]:
        """Run to the end and return the catalogue."""
        process = self.start(out)
        errors = process.communicate(timeout=300)[1]
        assert process.returncode == 0, errors.decode()
        with (self.folder / out / "field_catalogue.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(line for line in file if not line.startswith("#")))

    def rows(self, out: str, table: str) -> int:
        """Return how many rows a table of the run's session holds by now."""
        path = self.folder / out / "field.stellacube"
        try:
            db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)
        except sqlite3.OperationalError:  # no session yet
            return 0
        try:
            return int(db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
        except sqlite3.OperationalError:  # a killed run's journal is being taken over
            return 0
        finally:
            db.close()

    def stop(self, out: str, how: signal.Signals, when: Callable[[], bool]) -> int:
        """Start a run, send a signal at the first look that finds `when` true, and return the exit code."""
        process = self.start(out)
        while process.poll() is None:
            if when():
                process.send_signal(how)
                break
            try:
                process.wait(TICK)
            except subprocess.TimeoutExpired:
                continue
        process.communicate(timeout=60)
        return process.returncode


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("resume")
    simulate_field(sample_library(), FIELD, folder / "field.fits", folder / "stars.csv")
    (folder / "settings.toml").write_text(CONFIG)
    return Job(folder)


@pytest.fixture(scope="module")
def whole(job: Job) -> list[dict[str, str]]:
    """Return the catalogue of a run that nothing disturbed."""
    return job.finish("whole")


def assert_same(catalogue: list[dict[str, str]], expected: list[dict[str, str]]) -> None:
    """Labels, velocity and errors agree to 1e-3 of each error; the rest is equal."""
    assert len(catalogue) == len(expected) >= 6
    for row, other in zip(catalogue, expected, strict=True):
        for name, value in other.items():
            if f"{name}_err" in other:
                assert abs(float(row[name]) - float(value)) <= 1e-3 * float(other[f"{name}_err"]), name
            elif name.endswith(("_err", "_err_cal", "chi2")):
                np.testing.assert_allclose(float(row[name]), float(value), rtol=1e-3)
            else:
                assert row[name] == value, name


def test_killed_three_times_at_random_moments(job: Job, whole: list[dict[str, str]]) -> None:
    rng = np.random.default_rng(11)
    # Twice while the 116 blocks of layers are solved, once between fits; each attempt goes on from the one before.
    early, late = sorted(rng.integers(3, 70, 2))
    fitted = int(rng.integers(2, len(whole) - 1))
    for table, count in (("blocks", early), ("blocks", late), ("fits", fitted)):
        reached = job.stop("killed", signal.SIGKILL, lambda t=table, c=count: job.rows("killed", t) >= c)
        assert reached == -signal.SIGKILL
        assert not (job.folder / "killed" / "field_catalogue.csv").exists()
        assert job.rows("killed", table) >= count
    assert_same(job.finish("killed"), whole)


def test_interrupted_by_the_user(job: Job, whole: list[dict[str, str]]) -> None:
    assert job.stop("interrupted", signal.SIGINT, lambda: job.rows("interrupted", "blocks") >= 20) == 130
    assert job.rows("interrupted", "blocks") >= 20
    assert not (job.folder / "interrupted" / "field_catalogue.csv").exists()
    assert_same(job.finish("interrupted"), whole)
