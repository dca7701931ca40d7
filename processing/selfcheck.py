"""The self-check: whether all parts of this installation are there, and a small cube becomes a catalogue."""

from __future__ import annotations

import importlib
import importlib.metadata
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processing.errors import StellacubeError
from processing.paths import resource
from processing.progress import CancelCheck, Progress, ignore, never

OPTIONAL = ("torch",)
"""Distributions without which all works but the training of models."""

COMPILED = (
    "astropy.coordinates",
    "astropy.io.fits",
    "astropy.io.votable",
    "astropy.wcs",
    "photutils.aperture",
    "photutils.detection",
    "scipy.linalg",
    "scipy.ndimage",
    "scipy.optimize",
)
"""Modules on compiled parts that a bundle can have lost."""

GROSS = 5.0
"""How many times the demo's bounds count as broken: what is sought is a damaged installation, not a poor network."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    name : str
    passed : bool
    text : str
        What is there, or what is wrong.
    """

    name: str
    passed: bool
    text: str


Check = Callable[[], str]
"""Returns what it found in a sentence; raises where something is missing or wrong."""


def carry_out(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Carry out checks one after the other; one that fails does not keep the others from being made.

    Parameters
    ----------
    checks : mapping of str to callable

    Yields
    ------
    Finding
    """
    for name, check in checks.items():
        try:
            yield Finding(name, True, check())
        except StellacubeError as error:
            yield Finding(name, False, str(error))
        except (ImportError, OSError, ValueError, RuntimeError, LookupError, AttributeError) as error:
            yield Finding(name, False, f"{type(error).__name__}: {error}")


def engine_checks(folder: Path, *, progress: Progress = ignore, cancelled: CancelCheck = never) -> dict[str, Check]:
    """Return the checks of everything but the window.

    Parameters
    ----------
    folder : Path
        Takes the files of the demo; `demo.stellacube` is then the session for a window to show.
    """
    return {
        "files": check_files,
        "packages": check_packages,
        "models": check_models,
        "training": check_training,
        "demo": lambda: check_demo(folder, progress=progress, cancelled=cancelled),
    }


def check_files() -> str:
    """Look for the program's own files."""
    needed = ("icons/stellacube.svg", "fonts/Inter-Regular.otf", "lines/sky_lines.csv", "sample/sample.npz")
    missing = [name for name in needed if not resource(*name.split("/")).is_file()]
    if missing:
        raise StellacubeError(f"Missing: {', '.join(missing)}.", "Install Stellacube anew.")
    return f"{sum(path.is_file() for path in resource().rglob('*'))} files in {resource()}"


def components() -> list[dict[str, str]]:
    """Return what Stellacube is built from: `name`, `licence`, `source` and, of Python packages, `distribution`."""
    text = resource("licences", "components.toml").read_text(encoding="utf-8")
    return list(tomllib.loads(text)["component"])


def version_of(distribution: str) -> str:
    """Return the version of an installed package, or nothing."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def check_packages() -> str:
    """Look for the packages, and import the large ones' compiled parts."""
    for module in COMPILED:
        importlib.import_module(module)
    names = [entry["distribution"] for entry in components() if "distribution" in entry]
    required = [name for name in names if name.lower() not in (*OPTIONAL, "colorama")]  # colorama: on Windows alone
    missing = [name for name in required if not version_of(name)]
    if missing:
        raise StellacubeError(f"Missing: {', '.join(missing)}.", "Install Stellacube anew.")
    return f"{len(required)} packages, numpy {version_of('numpy')}, astropy {version_of('astropy')}"


def check_models() -> str:
    """Load every model that ships and let it predict a spectrum."""
    from processing.labels.model_file import list_models, load_model

    loaded = [load_model(path) for path in list_models().values()]
    if not loaded:
        raise StellacubeError("No label models are installed.", "Install Stellacube anew.")
    for model in loaded:
        centre = np.median(model.training_labels, axis=0)[None]
        if not np.all(np.isfinite(model.network.flux(centre))):
            raise StellacubeError(f"Model {model.name} predicts no spectrum.", "Install Stellacube anew.")
    return ", ".join(f"{model.name} (version {model.version}, {len(model.labels)} labels)" for model in loaded)


def check_training() -> str:
    """Train a teacher on a handful of made-up spectra: the one thing that needs PyTorch."""
    if not version_of("torch"):
        return "left out: PyTorch is not installed; all but the training of models works without"
    from processing.labels.teacher import train_teacher

    rng = np.random.default_rng(1)
    names = ("teff", "logg", "fe_h", "mg_fe")
    labels = np.column_stack([rng.uniform(4000, 6500, 30), rng.uniform(1, 4.5, 30), rng.normal(0, 0.3, (30, 2))])
    flux = (1 - 0.1 * (labels[:, :1] / 5000 + labels[:, 3:]) * np.linspace(0, 1, 40)).astype(np.float32)
    teacher = train_teacher(labels, names, flux, n_component=2, steps=5)
    error = float(np.abs(teacher.flux(teacher.coefficients(labels)) - flux).max())
    if not error < 0.01:
        raise StellacubeError(f"A training missed its own spectra by {error:.3f}.")
    return f"PyTorch {version_of('torch')} trains"


def check_demo(folder: Path, *, progress: Progress = ignore, cancelled: CancelCheck = never) -> str:
    """Take a small simulated cube to a catalogue, and compare with the truth."""
    from processing.demo import BOUNDS, demo

    report = demo(folder, progress=progress, cancelled=cancelled)
    wide = {name: (GROSS * bias, GROSS * dispersion) for name, (bias, dispersion) in BOUNDS.items()}
    failures = report.comparison.failures(wide)
    if failures:
        raise StellacubeError(" ".join(failures))
    n_found, n_true = report.comparison.n_found, report.comparison.n_true
    return f"{n_found} of {n_true} stars in the catalogue after {report.seconds['total']:.0f} s"
