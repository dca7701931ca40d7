"""The demo: a small simulated field through the whole program, and what came back against what went in."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from processing.files import prepare_folder
from processing.pipeline import RunInputs, RunResult, run
from processing.progress import CancelCheck, Progress, ignore, never, part
from processing.session import Session
from processing.settings import FitSettings, Settings
from processing.simulate import SimulationSettings, Truth, sample_library, simulate_field
from processing.simulation.compare import Comparison, compare

__all__ = ["BOUNDS", "FIELD", "MODEL", "Comparison", "DemoReport", "compare", "demo"]

FIELD = SimulationSettings(exptime=1800.0)
"""60 x 60 spaxels, 40 stars of V = 16.3-19.2 in half an hour: a signal-to-noise of 30-250 per pixel."""

MODEL = "physical"
"""The field's stars are synthetic, so the physical part of the network alone fits them: what the default model learned
from real stars, how far the synthesis is off, is not in their spectra and would come out as wrong labels."""

BOUNDS: dict[str, tuple[float, float]] = {
    "rv": (1.0, 3.0),
    "teff": (40.0, 100.0),
    "logg": (0.1, 0.25),
    "fe_h": (0.05, 0.12),
    "mg_fe": (0.1, 0.15),
    "flux_isolated": (0.003, 0.005),
    "flux_blended": (0.005, 0.02),
}
"""Largest bias and dispersion with which the demo counts as passed."""


@dataclass(frozen=True)
class DemoReport:
    """What the demo did.

    Parameters
    ----------
    folder : Path
        Where everything lies: ``demo.fits``, ``demo_stars.csv``, ``demo_truth.npz`` and the run's results.
    truth : Truth
    result : RunResult
    comparison : Comparison
    failures : tuple of str
        What is not good enough, a sentence each; empty when all is well.
    seconds : dict of str to float
        Wall time of ``simulation``, ``run`` and ``total``.
    """

    folder: Path
    truth: Truth
    result: RunResult
    comparison: Comparison
    failures: tuple[str, ...]
    seconds: dict[str, float]

    @property
    def cube(self) -> Path:
        """The simulated cube."""
        return self.folder / "demo.fits"

    @property
    def catalogue(self) -> Path:
        """The catalogue as CSV."""
        return self.folder / "demo_catalogue.csv"


def demo(
    out: Path | None = None,
    settings: Settings | None = None,
    field: SimulationSettings = FIELD,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> DemoReport:
    """Simulate a field, run the program on it and compare.

    Parameters
    ----------
    out : Path, optional
        Folder for all files; default: a new temporary one.
    settings : Settings, optional
        Of the run; default: the program's own with the model `MODEL`.
    field : SimulationSettings
        What to simulate. The spectra are the sample's, which the shipped networks never saw.
    progress, cancelled : callable

    Returns
    -------
    DemoReport
    """
    start = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="stellacube-demo-")) if out is None else out
    prepare_folder(folder)
    cube, stars = folder / "demo.fits", folder / "demo_stars.csv"
    share = part(progress, 0.0, 0.15)
    share(0.0, "Simulating a field of stars")
    truth = simulate_field(sample_library(), field, cube, stars, progress=share, cancelled=cancelled)
    truth.save(folder / "demo_truth.npz")
    simulated = time.perf_counter()
    inputs = RunInputs(cube, stars, out=folder)
    share = part(progress, 0.15, 1.0)
    settings = settings or Settings(fit=FitSettings(model=MODEL))
    result = run(inputs, settings, overwrite=True, progress=share, cancelled=cancelled)
    with Session.open(result.session, read_only=True) as session:
        spectra = list(session.spectra())
    comparison = compare(truth, result.catalogue, spectra)
    end = time.perf_counter()
    seconds = {"simulation": simulated - start, "run": end - simulated, "total": end - start}
    return DemoReport(folder, truth, result, comparison, tuple(comparison.failures(BOUNDS)), seconds)
