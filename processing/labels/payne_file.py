"""Import of weights in The Payne's layout (github.com/tingyuansen/The_Payne), with what they lack from a TOML page.

The ``.npz`` holds w_array_0..2, b_array_0..2, x_min, x_max: labels scaled to -0.5..0.5, two hidden layers with leaky
rectifiers, and a linear last layer of one row per pixel. Label names, wavelengths, resolution and pseudo-continuum are
not in it; no fit is right without them.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from processing.errors import StellacubeError
from processing.labels.model_file import LabelModel, read_entries, save_model
from processing.labels.network import Network
from processing.labels.templates import Templates
from processing.labels.training import ContinuumSettings
from processing.preparation.continuum import ContinuumOperator
from processing.preparation.lsf import lsf_fwhm
from processing.preparation.resample import log_grid
from processing.settings import from_dict
from processing.spectrum import Frame


@dataclass(frozen=True)
class PayneSettings:
    """What weights in The Payne's layout lack."""

    name: str = ""
    version: str = "1"
    role: str = "imported"
    labels: tuple[str, ...] = ()
    """Machine names, in the order of the weights."""
    wave_file: str = ""
    """Text file with one wavelength in Angstrom per line, relative to this page; or the three numbers below."""
    wave_min: float = 0.0
    wave_max: float = 0.0
    step: float = 1e-4
    """Pixel width in dex."""
    frame: Frame = "air"
    lsf: str = ""
    """As in `processing.preparation.lsf`: ``R=1800``, ``3.2``, a name or a table."""
    scatter: float = 0.005
    """Error of the model in normalised flux."""
    masks_dichroic: bool = False
    masks_balmer_cores: bool = False
    description: str = ""
    training: str = ""
    validation: str = ""
    licence: str = ""
    citation: tuple[str, ...] = ()
    continuum: ContinuumSettings = field(default_factory=ContinuumSettings)


def import_payne(weights: str | Path, page: str | Path, out: str | Path) -> LabelModel:
    """Turn weights in The Payne's layout into a model file.

    Parameters
    ----------
    weights : str or Path
        The ``.npz`` of The Payne.
    page : str or Path
        TOML file with the entries of `PayneSettings`.
    out : str or Path
        The model file to write.

    Raises
    ------
    StellacubeError
        If either file cannot be read, or they do not fit together.
    """
    entries = read_entries(Path(weights))
    missing = [f"{kind}_array_{i}" for kind in "wb" for i in range(3)] + ["x_min", "x_max"]
    missing = [name for name in missing if name not in entries]
    if missing:
        raise StellacubeError(f"{weights} is not in The Payne's layout: it lacks {', '.join(missing)}.")
    settings = _read_page(page)
    wave = _wavelengths(settings, Path(page).resolve().parent)
    low, high = entries["x_min"].astype(float), entries["x_max"].astype(float)
    units = entries["w_array_2"].shape[1]
    network = Network(
        label_center=(low + high) / 2,
        label_scale=high - low,
        weights=(*(entries[f"w_array_{i}"].astype(np.float32) for i in range(2)), np.eye(units, dtype=np.float32)),
        biases=(*(entries[f"b_array_{i}"].astype(np.float32) for i in range(2)), np.zeros(units, np.float32)),
        basis=entries["w_array_2"].astype(np.float32),
        offset=entries["b_array_2"].astype(np.float32),
        activation="leaky_relu",
    )
    if len(wave) != network.n_pix or len(settings.labels) != network.n_label:
        raise StellacubeError(
            f"The weights have {network.n_label} labels and {network.n_pix} pixels, the page names "
            f"{len(settings.labels)} labels and {len(wave)} wavelengths."
        )
    card = {name: getattr(settings, name) for name in ("description", "training", "validation", "licence")}
    model = LabelModel(
        name=settings.name,
        version=settings.version,
        role=settings.role,
        labels=settings.labels,
        label_min=low,
        label_max=high,
        wave=wave,
        frame=settings.frame,
        lsf_fwhm=lsf_fwhm(settings.lsf, wave),
        continuum=ContinuumOperator(**asdict(settings.continuum)),
        mask=np.ones(len(wave), bool),
        network=network,
        scatter=np.full(len(wave), settings.scatter, np.float32),
        # The training set is not known: its range stands for it.
        training_labels=np.random.default_rng(0).uniform(low, high, (512, len(low))).astype(np.float32),
        templates=Templates.none(len(low), len(wave)),
        masks_dichroic=settings.masks_dichroic,
        masks_balmer_cores=settings.masks_balmer_cores,
        card={**card, "citation": list(settings.citation)},
    )
    save_model(model, out)
    return model


def _read_page(page: str | Path) -> PayneSettings:
    try:
        settings = from_dict(tomllib.loads(Path(page).read_text(encoding="utf-8")), PayneSettings)
    except OSError as error:
        raise StellacubeError(f"The page {page} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StellacubeError(f"The page {page} is not valid TOML: {error}.") from error
    needed = ("name", "labels", "lsf", "description", "training", "validation", "licence", "citation")
    absent = [name for name in needed if not getattr(settings, name)]
    if absent:
        raise StellacubeError(f"The page {page} does not give {', '.join(absent)}.", "A model file must say all of it.")
    return settings


def _wavelengths(settings: PayneSettings, folder: Path) -> np.ndarray:
    if not settings.wave_file:
        if not 0 < settings.wave_min < settings.wave_max:
            raise StellacubeError("The page gives neither wave_file nor wave_min and wave_max.")
        return log_grid(settings.wave_min, settings.wave_max, settings.step)
    try:
        return np.loadtxt(folder / settings.wave_file, ndmin=1)
    except (OSError, ValueError) as error:
        raise StellacubeError(f"The wavelengths {settings.wave_file} cannot be read: {error}.") from error
