"""Training of label models from a one-page TOML file: spectra in, model file out, resumable at every stage.

    synthetic spectra --prepare--> teacher (Gaussian processes) --ask--> lesson --teach--> student network
    or many spectra with labels --> lesson --teach, held to physical gradients--> student network
    real spectra --compare with it--> correction --add--> network --judge on stars it never saw--> model file

A folder ``work`` beside the model file keeps what is finished: the teacher, the lesson, and the student every few
seconds. A killed training goes on from there, and trainings that share their physical part share it. It may be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from processing.errors import StellacubeError
from processing.labels.correction import CorrectionSettings, corrected_model
from processing.labels.datasets import Grid, PreparedSet, prepare_sets
from processing.labels.gradient_term import GradientSettings, PhysicalGradients
from processing.labels.model_error import ModelError, Unseen
from processing.labels.model_file import LabelModel, find_model, load_model, save_model
from processing.labels.names import CORE, SYNTHETIC_ORDER
from processing.labels.network import Network
from processing.labels.real_stars import RealSettings, read_libraries, validate
from processing.labels.role import RoleSettings, for_role
from processing.labels.split import held_back, real_held_out, star_key
from processing.labels.student import (
    Lesson,
    StudentSettings,
    draw_labels,
    lesson_from_spectra,
    make_lesson,
    train_student,
)
from processing.labels.teacher import Features, Teacher, train_teacher
from processing.labels.templates import Templates
from processing.labels.witness import with_templates
from processing.preparation.continuum import ContinuumOperator
from processing.preparation.masks import DICHROIC_BAND, inside
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if
from processing.settings import from_dict


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
    most: int = 2500
    """Of more spectra than this the network learns by itself: a teacher's time grows with the cube of their number."""


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
    masks_dichroic: bool = False
    """The training spectra say nothing at 5720-6060 A, as LAMOST's where its two arms meet."""
    grid: GridSettings = field(default_factory=GridSettings)
    continuum: ContinuumSettings = field(default_factory=ContinuumSettings)
    synthetic: DataSettings = field(default_factory=DataSettings)
    templates: DataSettings = field(default_factory=DataSettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    student: StudentSettings = field(default_factory=StudentSettings)
    gradient: GradientSettings = field(default_factory=GradientSettings)
    model: RoleSettings = field(default_factory=RoleSettings)
    real: tuple[RealSettings, ...] = ()
    correction: CorrectionSettings = field(default_factory=CorrectionSettings)


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
    sources = values.pop("real", [])
    settings = from_dict(values, TrainingSettings)
    settings = replace(settings, real=tuple(from_dict(one, RealSettings, "real.") for one in sources))
    if not settings.name or not settings.synthetic.path:
        raise StellacubeError(f"The training file {path} must give a name and the path of the synthetic spectra.")
    if not set(CORE) <= set(settings.labels):
        raise StellacubeError("Teff, log g and [Fe/H] must be among the labels that are trained.")
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
    grid = Grid.make(
        settings.grid.wave_min,
        settings.grid.wave_max,
        settings.grid.step,
        settings.grid.lsf,
        ContinuumOperator(**asdict(settings.continuum)),
    )
    physical, validation = _train_physical(settings, folder, target, grid, part(progress, 0.0, 0.8), cancelled)
    physical = for_role(physical, settings.model)
    model = physical
    if settings.real:
        libraries = read_libraries(settings.real, folder, physical)
        training = [library.take(~library.held_out) for library in libraries]
        model = corrected_model(
            physical,
            training,
            settings.correction,
            settings.seed,
            progress=part(progress, 0.8, 0.95),
            cancelled=cancelled,
        )
        for library in libraries:
            stop_if(cancelled)
            judges = library.take(library.held_out)
            table = validate(judges, model, cancelled=cancelled)
            if table:
                validation[f"{library.name}, held out (fit - library)"] = table
    counts = ", ".join(f"{lib.labelled.sum()} of {lib.name}" for lib in training) if settings.real else ""
    summary = f"{len(physical.training_labels)} synthetic spectra" + (f"; real stars: {counts}" if counts else "")
    model = replace(model, card={**model.card, "training": summary, "validation": validation})
    if settings.templates.path:
        model = with_templates(model, folder / settings.synthetic.path, folder / settings.templates.path)
    save_model(model, target)
    progress(1.0, f"wrote {target.name}")
    return model


def _train_physical(
    settings: TrainingSettings, folder: Path, target: Path, grid: Grid, progress: Progress, cancelled: CancelCheck
) -> tuple[LabelModel, dict[str, Any]]:
    """Train on the synthetic spectra alone; also returns how the network does on those that it never saw."""
    work = _work_folder(target, settings, folder)
    progress(0.0, "preparing the spectra")
    source = settings.synthetic
    spectra = prepare_sets(folder / source.path, grid, source.lsf, settings.labels, {})
    spectra = spectra.take(np.isfinite(spectra.labels).all(axis=1))
    held = real_held_out(spectra.stars) if all(spectra.stars) else held_back(len(spectra))
    training, judges = spectra.take(~held), spectra.take(held)
    gradients = _gradients(settings, folder, grid, training)
    lesson_file = work / "lesson.npz"
    if not lesson_file.is_file():
        _write(lesson_file, vars(_lesson(work, training, settings, gradients, part(progress, 0.02, 0.65), cancelled)))
    low, high = training.labels.min(0), training.labels.max(0)
    if gradients is not None:
        low, high = gradients.label_min, gradients.label_max
    network = train_student(
        Lesson(**_read(lesson_file)), low, high, settings.student, settings.seed, gradients=gradients,
        checkpoint=work / "student.npz", progress=part(progress, 0.65, 1.0), cancelled=cancelled,
    )  # fmt: skip
    residual = np.where(judges.ivar > 0, network.flux(judges.labels) - judges.flux, np.nan)
    unseen = _unseen(work, training, judges, network, settings, cancelled)
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
        scatter=_scatter(residual),
        training_labels=training.labels.astype(np.float32),
        templates=gradients.templates if gradients else Templates.none(len(settings.labels), len(grid.wave)),
        masks_balmer_cores=settings.masks_balmer_cores,
        masks_dichroic=settings.masks_dichroic,
        error=ModelError(unseen),
        card={
            "description": settings.description,
            "licence": settings.licence,
            "citation": list(settings.citation),
            **_gradient_card(settings, gradients),
        },
    )
    figures = {
        "n": len(residual),
        "rms of the flux": round(float(np.nanstd(residual)), 5),
        "median of the spectra's rms": round(float(np.median(np.nanstd(residual, axis=1))), 5),
    }
    return model, {"synthetic, held back, before the correction": figures}


def _unseen(
    work: Path,
    training: PreparedSet,
    judges: PreparedSet,
    network: Network,
    settings: TrainingSettings,
    cancelled: CancelCheck,
) -> Unseen:
    """Residuals of spectra that were not learned: each of the teacher's own left out, or else those held back."""
    spectra, left_out = judges, np.where(judges.ivar > 0, judges.flux - network.flux(judges.labels), 0)
    if (work / "teacher.npz").is_file():
        spectra, teacher = training, _teacher(work, training, settings, ignore, cancelled)
        by_teacher = teacher.flux(teacher.coefficients(training.labels, cancelled=cancelled))
        left_out = teacher.left_out(training.flux, cancelled=cancelled) + by_teacher - network.flux(training.labels)
    column = [settings.labels.index(name) for name in CORE]
    return Unseen.of(spectra.labels[:, column], left_out, np.zeros_like(spectra.labels))


def _scatter(residual: np.ndarray) -> np.ndarray:
    """Robust standard deviation of residuals (n, n_pix) per pixel; its median where a pixel has none."""
    known = np.isfinite(residual).any(axis=0)
    scatter = np.zeros(residual.shape[1], np.float32)
    scatter[known] = 1.4826 * np.nanmedian(np.abs(residual[:, known]), axis=0)
    return np.where(known, scatter, np.median(scatter[known]))


def _gradient_model(settings: TrainingSettings, folder: Path) -> Path | None:
    """Return the file of the model that gives the physical gradients, if there is to be one."""
    name = settings.gradient.model
    return find_model(folder / name if (folder / name).is_file() else name) if name else None


def _gradients(settings: TrainingSettings, folder: Path, grid: Grid, training: PreparedSet) -> PhysicalGradients | None:
    """Take the physical gradients at labels such as the training set's; None where no model gives any."""
    file = _gradient_model(settings, folder)
    if file is None:
        return None
    used, rng = training.ivar.max(axis=0) > 0, np.random.default_rng(settings.seed)
    if settings.masks_dichroic:  # no fit will look there
        used &= ~inside(grid.wave, DICHROIC_BAND)
    return PhysicalGradients.of(load_model(file), settings.gradient, settings.labels, grid, training.labels, used, rng)


def _gradient_card(settings: TrainingSettings, gradients: PhysicalGradients | None) -> dict[str, Any]:
    """Say what a network's derivatives were held to."""
    if gradients is None:
        return {}
    acting = ", ".join(settings.labels[i] for i in gradients.columns)
    text = f"{acting} held to those of {settings.gradient.model}, weight {settings.gradient.weight:g}"
    return {"gradient term": text} | (
        {"gradient templates": f"those of {settings.gradient.model}"} if gradients.templates.names else {}
    )


def _work_folder(target: Path, settings: TrainingSettings, folder: Path) -> Path:
    """Return the folder of what is finished, named by all that the physical part of a training depends on."""
    parts = (settings.labels, settings.seed, settings.grid, settings.continuum, settings.synthetic, settings.teacher)
    depends = repr((parts, settings.student)).encode()
    if file := _gradient_model(settings, folder):
        depends += repr(settings.gradient).encode() + file.read_bytes()
    key = hashlib.sha256(depends).hexdigest()[:12]
    work = target.parent / "work" / key
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StellacubeError(f"The folder {work} cannot be written: {error.strerror}.") from error
    return work


def _lesson(
    work: Path,
    training: PreparedSet,
    settings: TrainingSettings,
    gradients: PhysicalGradients | None,
    progress: Progress,
    cancelled: CancelCheck,
) -> Lesson:
    """Ask the teacher where spectra are scarce; let the spectra speak for themselves where they are many.

    With physical gradients no teacher is asked: it would contradict them where labels go together in all spectra.
    """
    if len(training) > settings.teacher.most or gradients is not None:
        # By star: the student looks at the first of them to see how it does on stars that it does not learn.
        training = training.take(np.argsort([star_key(star) for star in training.stars], kind="stable"))
        used, units = training.ivar > 0, settings.student.units
        return lesson_from_spectra(training.labels, training.flux, used, units, gradients)
    if not (training.ivar > 0).all():
        raise StellacubeError(
            "The teacher needs spectra without gaps.",
            f"With more than {settings.teacher.most} spectra gaps are allowed.",
        )
    teacher = _teacher(work, training, settings, part(progress, 0.0, 0.6), cancelled)
    rng = np.random.default_rng(settings.seed)
    labels = draw_labels(training.labels, settings.labels, settings.student.draws, rng)
    coefficients = teacher.coefficients(labels, progress=part(progress, 0.6, 1.0), cancelled=cancelled)
    return make_lesson(teacher.flux, coefficients, labels, settings.student.units, rng)


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
