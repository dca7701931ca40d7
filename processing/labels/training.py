"""Training of label models from a one-page TOML file: spectra in, model file out, resumable at every stage.

    spectra --prepare--> teacher (Gaussian processes) --ask--> lesson --teach--> student network --judge--> model file

A folder beside the model file, ``NAME.work``, keeps what is finished: the teacher, the lesson, and the student every
few seconds. A killed training goes on from there; the folder is removed when the model file is written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from processing.errors import StellacubeError
from processing.labels.datasets import Grid, PreparedSet, SpectraFile, prepare_spectra, read_spectra
from processing.labels.model_file import LabelModel, Templates, save_model
from processing.labels.names import SYNTHETIC_ORDER, from_training_name
from processing.labels.split import held_back
from processing.labels.student import Lesson, StudentSettings, draw_labels, make_lesson, train_student
from processing.labels.teacher import Features, Teacher, train_teacher
from processing.preparation.continuum import ContinuumOperator
from processing.progress import CancelCheck, Progress, ignore, never, part
from processing.settings import from_dict

LABEL_STEPS = {"teff": 50.0, "fe_h": 0.05}
"""Steps of the gradient templates; 0.1 for all other labels."""


@dataclass(frozen=True)
class GridSettings:
    """Wavelengths and resolution of the model."""

    wave_min: float = 4750.0
    wave_max: float = 8750.0
    """Angstrom in air."""
    step: float = 1e-4
    """Pixel width in dex."""
    lsf: tuple[str, ...] = ("lamost", "muse-udf10")
    """Names as in `processing.preparation.lsf`; the coarsest of them holds at each wavelength."""


@dataclass(frozen=True)
class ContinuumSettings:
    """The pseudo-continuum."""

    kernel: Literal["gauss"] = "gauss"
    length: float = 50.0
    weights: Literal["flat", "ivar"] = "flat"
    flatten: int = 4


@dataclass(frozen=True)
class DataSettings:
    """One source of spectra."""

    path: str = ""
    """File or wildcard, relative to the configuration file."""
    lsf: str = ""
    """The spectra's own resolution."""


@dataclass(frozen=True)
class TeacherSettings:
    """The Gaussian processes."""

    components: int = 60
    steps: int = 15


@dataclass(frozen=True)
class TrainingSettings:
    """The whole of a training."""

    name: str = ""
    version: str = "1"
    role: str = "A"
    description: str = ""
    citation: tuple[str, ...] = ()
    licence: str = "BSD-3-Clause"
    labels: tuple[str, ...] = SYNTHETIC_ORDER
    seed: int = 1
    masks_balmer_cores: bool = True
    grid: GridSettings = field(default_factory=GridSettings)
    continuum: ContinuumSettings = field(default_factory=ContinuumSettings)
    synthetic: DataSettings = field(default_factory=DataSettings)
    templates: DataSettings = field(default_factory=DataSettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    student: StudentSettings = field(default_factory=StudentSettings)


def read_training(path: str | Path) -> TrainingSettings:
    """Read a training's configuration.

    Raises
    ------
    StellacubeError
        If the file cannot be read, or an entry is unknown or wrong; the message names it.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StellacubeError(f"The training file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StellacubeError(f"The training file {path} is not valid TOML: {error}.") from error
    settings = from_dict(values, TrainingSettings)
    if not settings.name or not settings.synthetic.path:
        raise StellacubeError(f"The training file {path} must give a name and the path of the synthetic spectra.")
    if not {"teff", "fe_h"} <= set(settings.labels):
        raise StellacubeError("Teff and [Fe/H] must be among the labels that are trained.")
    return settings


def train_from_config(
    path: str | Path,
    out: str | Path | None = None,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> LabelModel:
    """Train a model as a configuration says and write its file.

    Parameters
    ----------
    path : str or Path
        The TOML file; paths of data in it are relative to it.
    out : str or Path, optional
        The model file; by default ``NAME.npz`` beside the configuration.

    Returns
    -------
    LabelModel
    """
    settings = read_training(path)
    folder = Path(path).resolve().parent
    target = Path(out) if out is not None else folder / f"{settings.name}.npz"
    work = _work_folder(target, settings)
    grid = Grid.make(
        settings.grid.wave_min,
        settings.grid.wave_max,
        settings.grid.step,
        settings.grid.lsf,
        ContinuumOperator(**asdict(settings.continuum)),
    )
    progress(0.0, "preparing the spectra")
    spectra = _prepare(settings.synthetic, folder, grid, settings.labels)
    held = held_back(len(spectra))
    training, validation = spectra.take(~held), spectra.take(held)
    teacher = _teacher(work, training, settings, part(progress, 0.02, 0.4), cancelled)
    lesson_file = work / "lesson.npz"
    if not lesson_file.is_file():
        rng = np.random.default_rng(settings.seed)
        labels = draw_labels(training.labels, settings.labels, settings.student.draws, rng)
        coefficients = teacher.coefficients(labels, progress=part(progress, 0.4, 0.6), cancelled=cancelled)
        lesson = make_lesson(teacher.flux, coefficients, labels, settings.student.units, rng)
        _write(lesson_file, vars(lesson))
    lesson = Lesson(**_read(lesson_file))
    low, high = training.labels.min(0), training.labels.max(0)
    network = train_student(
        lesson, low, high, settings.student, settings.seed,
        checkpoint=work / "student.npz", progress=part(progress, 0.6, 0.98), cancelled=cancelled,
    )  # fmt: skip
    residual = network.flux(validation.labels) - validation.flux
    model = LabelModel(
        name=settings.name,
        version=settings.version,
        role=settings.role,
        labels=settings.labels,
        label_min=low,
        label_max=high,
        wave=grid.wave,
        frame=grid.frame,
        lsf_fwhm=grid.lsf_fwhm,
        continuum=grid.continuum,
        mask=np.ones(len(grid.wave), bool),
        network=network,
        scatter=1.4826 * np.median(np.abs(residual), axis=0),
        training_labels=training.labels.astype(np.float32),
        templates=read_templates(settings, folder, grid),
        masks_balmer_cores=settings.masks_balmer_cores,
        card=_card(settings, len(training), residual),
    )
    save_model(model, target)
    shutil.rmtree(work, ignore_errors=True)
    progress(1.0, f"wrote {target.name}")
    return model


def read_templates(settings: TrainingSettings, folder: Path, grid: Grid) -> Templates:
    """Prepare the gradient spectra of physical reference stars as spectra are prepared.

    Each file holds ``base`` (labels) with ``names``, ``flux`` and ``dflux`` (derivatives per unit of each label) on
    ``wave_air``. The gradient of the pseudo-normalised flux follows from the spectrum with and without a small step.
    """
    pattern = settings.templates.path
    files = sorted(folder.glob(pattern)) if pattern else []
    stars, labels, gradients = [], [], []
    for file in files:
        with np.load(file, allow_pickle=False) as data:
            names = [from_training_name(str(name)) for name in data["names"]]
            order = [names.index(name) for name in settings.labels]
            base, flux, slopes = data["base"][order], data["flux"].astype(float), data["dflux"][order].astype(float)
            wave = data["wave_air"]
        steps = np.array([LABEL_STEPS.get(name, 0.1) for name in settings.labels])
        moved = np.vstack([flux, flux + steps[:, None] * slopes])
        n = len(moved)
        source = SpectraFile(("",) * n, {}, {}, wave, "air", moved, np.ones(moved.shape, np.float32))
        prepared = prepare_spectra(source, grid, settings.templates.lsf, settings.labels, {}).flux.astype(float)
        stars.append(file.stem)
        labels.append(base)
        gradients.append((prepared[1:] - prepared[0]) / steps[:, None])
    shape = (len(stars), len(settings.labels))
    return Templates(
        tuple(stars),
        np.reshape(labels, shape),
        np.reshape(gradients, (*shape, len(grid.wave))).astype(np.float32),
    )


def _prepare(source: DataSettings, folder: Path, grid: Grid, labels: tuple[str, ...]) -> PreparedSet:
    return prepare_spectra(read_spectra(folder / source.path), grid, source.lsf, labels, {})


def _work_folder(target: Path, settings: TrainingSettings) -> Path:
    """Return the folder of what is finished; that of another configuration is emptied."""
    work = target.with_suffix(".work")
    key = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode()).hexdigest()
    try:
        if work.is_dir() and (work / "key").read_text(encoding="utf-8") != key:
            shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
        (work / "key").write_text(key, encoding="utf-8")
    except OSError as error:
        raise StellacubeError(f"The folder {work} cannot be written: {error.strerror}.") from error
    return work


def _teacher(
    work: Path, training: PreparedSet, settings: TrainingSettings, progress: Progress, cancelled: CancelCheck
) -> Teacher:
    """Train the teacher, or read the one that an earlier start has finished."""
    file = work / "teacher.npz"
    if not file.is_file():
        teacher = train_teacher(
            training.labels, settings.labels, training.flux, n_component=settings.teacher.components,
            steps=settings.teacher.steps, progress=progress, cancelled=cancelled,
        )  # fmt: skip
        plain = {name: value for name, value in vars(teacher).items() if isinstance(value, np.ndarray)}
        _write(file, plain | {f"parameter_{name}": value for name, value in teacher.parameters.items()})
    saved = _read(file)
    prefix = "parameter_"
    parameters = {name.removeprefix(prefix): saved.pop(name) for name in list(saved) if name.startswith(prefix)}
    return Teacher(features=Features.fit(training.labels, settings.labels), parameters=parameters, **saved)


def _write(file: Path, arrays: Mapping[str, Any]) -> None:
    unfinished = file.with_suffix(".part.npz")
    np.savez(unfinished, allow_pickle=False, **arrays)
    unfinished.replace(file)


def _read(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


def _card(settings: TrainingSettings, n_training: int, residual: np.ndarray) -> dict[str, Any]:
    """Describe a model: what it was trained on and how well it does on spectra that it never saw."""
    return {
        "description": settings.description,
        "training": f"{n_training} synthetic spectra",
        "validation": {
            "synthetic, held back": {
                "n": len(residual),
                "rms": round(float(residual.std()), 5),
                "median of the stars' rms": round(float(np.median(residual.std(axis=1))), 5),
            }
        },
        "licence": settings.licence,
        "citation": list(settings.citation),
    }
