"""Label models on disk: one ``.npz`` with the network and everything that a fit must share with its training.

A model without its wavelength grid, line spread function, pseudo-continuum or origin cannot be used rightly, so a
file that lacks any of them is refused with a sentence.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from processing.errors import StellacubeError
from processing.labels.model_error import ModelError, Unseen
from processing.labels.names import CORE, LABELS
from processing.labels.network import Activation, Network
from processing.labels.templates import Templates
from processing.paths import resource
from processing.preparation.continuum import ContinuumOperator
from processing.spectrum import Frame

FORMAT = 1
"""Version of the file's layout; a newer one is refused."""
CARD_ENTRIES = ("description", "training", "validation", "licence", "citation")
"""What the card of every model must say."""
CAN_FIT = 0.5
"""Share of pixels that must be usable; guards against a mask stored the wrong way round."""


@dataclass(frozen=True)
class LabelModel:
    """A trained network with all that the fit needs to treat observed spectra as the training's were treated.

    Parameters
    ----------
    name, version, role : str
        Role: ``A`` (giants and dwarfs), ``A-mp`` (metal-poor), ``G`` (dwarfs and subgiants), or the user's own word.
    labels : tuple of str
        Machine names (`processing.labels.names`), in the network's order.
    label_min, label_max : ndarray, shape (n_label,)
        Range of the training set.
    wave : ndarray, shape (n_pix,), float64
        Wavelength in Angstrom, in `frame`, increasing, at rest.
    frame : {"air", "vacuum"}
    lsf_fwhm : ndarray, shape (n_pix,)
        Full width at half maximum of the line spread function in Angstrom.
    continuum : ContinuumOperator
        The pseudo-continuum that training spectra were divided by.
    mask : ndarray of bool, shape (n_pix,)
        True where the model may be compared with data.
    network : Network
    scatter : ndarray, shape (n_pix,)
        The model's own 1-sigma error in normalised flux, to be added in quadrature to a spectrum's errors.
    training_labels : ndarray, shape (n, n_label)
        A sample of the training set, to tell extrapolation from interpolation.
    templates : Templates
    masks_dichroic : bool
        True when the training spectra lacked 5720-6060 A.
    masks_balmer_cores : bool
        True when the cores of H-alpha and H-beta should not be fitted.
    card : mapping
        Training set, validation figures, licence, citation (`CARD_ENTRIES`), as JSON can hold them.
    error : ModelError, optional
        How wrong the model itself makes the labels; None where nobody knows.
    correction : Network, optional
        The part of the network's spectra that real stars taught, in Teff, logg and [Fe/H] alone: by how much real
        spectra differ from physical ones. None where the network is of one piece.
    companion : LabelModel, optional
        Network for metal-poor stars whose results are mixed in (`processing.labels.mixture`).
    """

    name: str
    version: str
    role: str
    labels: tuple[str, ...]
    label_min: np.ndarray
    label_max: np.ndarray
    wave: np.ndarray
    frame: Frame
    lsf_fwhm: np.ndarray
    continuum: ContinuumOperator
    mask: np.ndarray
    network: Network
    scatter: np.ndarray
    training_labels: np.ndarray
    templates: Templates
    masks_dichroic: bool = False
    masks_balmer_cores: bool = False
    card: Mapping[str, Any] = field(default_factory=dict)
    error: ModelError | None = None
    correction: Network | None = None
    companion: LabelModel | None = None


def list_models() -> dict[str, Path]:
    """Return the shipped models, short name to path; the default (`DEFAULT_MODEL`) first."""
    paths = sorted(resource("models").glob("*.npz"), key=lambda path: (path.stem != DEFAULT_MODEL, path.stem))
    return {path.stem: path for path in paths}


DEFAULT_MODEL = "a"
"""Short name of the shipped model that a run takes when none is named."""


def find_model(name: str | Path) -> Path:
    """Return the path of a model file from its path or short name; an empty name is the default model's.

    Of two names joined by + (``a+a-mp``) it is the first one's.
    """
    text = str(name) or DEFAULT_MODEL
    path = Path(text).expanduser()
    shipped = list_models()
    if not path.is_file() and "+" in text:
        return find_model(text.split("+")[0] or "+")
    if path.is_file():
        return path
    if text.lower() in shipped:
        return shipped[text.lower()]
    known = f"Shipped models: {', '.join(shipped)}." if shipped else "No models are shipped with this installation."
    raise StellacubeError(f"There is no model file {text}.", f"Give the path of a model file. {known}")


def model_files(name: str | Path) -> list[Path]:
    """Return the paths of all files that `load_model` reads: two for ``a+a-mp``."""
    first, plus, second = str(name).partition("+")
    if plus and not Path(name).expanduser().is_file():
        return [find_model(first), find_model(second or "+")]
    return [find_model(name)]


def save_model(model: LabelModel, path: str | Path) -> Path:
    """Write a model file that `load_model` reads back unchanged; returns its path.

    Raises
    ------
    StellacubeError
        If the model is not complete, or the file cannot be written.
    """
    _check(model, str(path))
    templates = model.templates
    scale = np.abs(templates.coefficients).max(axis=(0, 2), initial=1e-30, keepdims=True)
    entries: dict[str, Any] = {
        "stellacube_model": FORMAT,
        "labels": np.array(model.labels),
        "units": np.array([LABELS[name].unit for name in model.labels]),
        "continuum": json.dumps({f.name: getattr(model.continuum, f.name) for f in fields(model.continuum)}),
        "card": json.dumps(dict(model.card)),
        "template_names": np.array(templates.names),
        "template_labels": templates.labels,
        # Half precision: the coefficients of one label, per K or per dex, in units of its largest.
        "template_scale": scale.astype(np.float32),
        "template_coefficients": (templates.coefficients / scale).astype(np.float16),
        "template_basis": templates.basis.astype(np.float16),
        **_error_entries(model.error),
        **{name: getattr(model, name) for name in _PLAIN},
        **_network_entries(model.network),
        **(_network_entries(model.correction, "correction_") if model.correction is not None else {}),
    }
    target = Path(path).with_suffix(".npz")
    unfinished = target.with_suffix(".part.npz")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(unfinished, **entries)
        unfinished.replace(target)  # a killed run leaves no half-written model
    except OSError as error:
        raise StellacubeError(f"The model file {target} cannot be written: {error.strerror}.") from error
    return target


_PLAIN = (
    "name", "version", "role", "label_min", "label_max", "wave", "frame", "lsf_fwhm", "mask", "scatter",
    "training_labels", "masks_dichroic", "masks_balmer_cores",
)  # fmt: skip
_NETWORK = ("label_center", "label_scale", "basis", "offset", "activation")


def load_model(path: str | Path) -> LabelModel:
    """Read a model file, or a shipped model by its short name; ``a+a-mp`` reads a model with its companion.

    Raises
    ------
    StellacubeError
        If there is no such model, or the file is no model, damaged, incomplete or inconsistent.
    """
    first, plus, second = str(path).partition("+")
    if plus and not Path(path).expanduser().is_file():
        return _joined(load_model(first), load_model(second or "+"))
    file = find_model(path)
    entries = read_entries(file)
    _refuse_others(entries, file)
    try:
        model = _build(entries)
    except KeyError as error:
        raise StellacubeError(
            f"The model file {file} lacks the entry {error.args[0]!r}, without which it cannot be used.",
            "Train it again with this version of Stellacube, or ask its author for the complete file.",
        ) from error
    except (ValueError, TypeError) as error:
        raise StellacubeError(f"The model file {file} holds entries of the wrong kind: {error}.") from error
    _check(model, str(file))
    return model


def _joined(model: LabelModel, companion: LabelModel) -> LabelModel:
    """Return a model with its companion for metal-poor stars."""
    if model.labels != companion.labels or not np.array_equal(model.wave, companion.wave):
        raise StellacubeError(
            f"The models {model.name} and {companion.name} cannot be mixed: their labels or wavelengths differ.",
            "Two that can are a and a-mp.",
        )
    name, version = (f"{one}+{two}" for one, two in ((model.name, companion.name), (model.version, companion.version)))
    return replace(model, name=name, version=version, companion=companion)


def read_entries(file: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an ``.npz`` file; pickled objects are never unpacked."""
    try:
        if not zipfile.is_zipfile(file):
            raise StellacubeError(
                f"{file} is not a model file, or it is truncated.",
                "A model file is an .npz archive written by Stellacube.",
            )
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise StellacubeError(f"The model file {file} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
        raise StellacubeError(
            f"The model file {file} is damaged: {error}.", "Copy it again from its source."
        ) from error


def _refuse_others(entries: Mapping[str, np.ndarray], file: Path) -> None:
    """Say what a file is that is an archive of arrays but no model of ours."""
    if "stellacube_model" in entries:
        if int(entries["stellacube_model"]) > FORMAT:
            raise StellacubeError(
                f"{file} was written by a newer version of Stellacube.", "Update Stellacube to use it."
            )
        return
    if {"w_array_0", "b_array_0", "x_min", "x_max"} <= set(entries):
        raise StellacubeError(
            f"{file} holds weights in the layout of The Payne, without the label names, wavelengths, resolution and "
            "pseudo-continuum that belong to them.",
            "Import it with `python main.py model import WEIGHTS PAGE OUT`; the page gives what it lacks.",
        )
    raise StellacubeError(
        f"{file} is not a model file: its arrays are {', '.join(sorted(entries)[:6]) or 'none'}.",
        "A model file is written by `python main.py train`.",
    )


def _build(entries: Mapping[str, np.ndarray]) -> LabelModel:
    values: dict[str, Any] = {name: entries[name] for name in _PLAIN}
    for name in ("name", "version", "role", "frame"):
        values[name] = str(values[name])
    for name in ("masks_dichroic", "masks_balmer_cores"):
        values[name] = bool(values[name])
    return LabelModel(
        labels=tuple(str(name) for name in entries["labels"]),
        continuum=ContinuumOperator(**json.loads(str(entries["continuum"]))),
        network=_network(entries),
        templates=_templates(entries),
        error=_error(entries),
        correction=_network(entries, "correction_") if "correction_n_layer" in entries else None,
        card=json.loads(str(entries["card"])),
        **values,
    )


def _network_entries(network: Network, prefix: str = "") -> dict[str, Any]:
    """Arrays of a file that hold a network."""
    entries: dict[str, Any] = {"n_layer": len(network.weights)} | {name: getattr(network, name) for name in _NETWORK}
    for i, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        entries |= {f"weight_{i}": weight, f"bias_{i}": bias}
    return {prefix + name: value for name, value in entries.items()}


def _network(entries: Mapping[str, np.ndarray], prefix: str = "") -> Network:
    n_layer = int(entries[f"{prefix}n_layer"])
    parts: dict[str, Any] = {name: entries[prefix + name] for name in _NETWORK}
    parts["activation"] = str(parts["activation"])
    weights, biases = (tuple(entries[f"{prefix}{kind}_{i}"] for i in range(n_layer)) for kind in ("weight", "bias"))
    return Network(weights=weights, biases=biases, **parts)


def _error_entries(error: ModelError | None) -> dict[str, np.ndarray]:
    """Arrays of a file that hold a model's own error; half precision is plenty."""
    parts = {"synthetic": error.synthetic, "real": error.real} if error is not None else {}
    return {
        f"error_{title}_{name}": value.astype(np.float16 if name in ("coefficients", "basis") else np.float32)
        for title, part in parts.items()
        if part is not None
        for name, value in vars(part).items()
    }


def _error(entries: Mapping[str, np.ndarray]) -> ModelError | None:
    kinds = {f.name: np.float32 if f.name == "basis" else float for f in fields(Unseen)}
    parts = [
        Unseen(**{name: entries[f"error_{title}_{name}"].astype(kind) for name, kind in kinds.items()})
        for title in ("synthetic", "real")
        if f"error_{title}_core" in entries
    ]
    return ModelError(*parts) if parts else None


def _templates(entries: Mapping[str, np.ndarray]) -> Templates:
    names, labels = tuple(str(name) for name in entries["template_names"]), entries["template_labels"]
    coefficients = entries["template_coefficients"].astype(np.float32) * entries["template_scale"]
    return Templates(names, labels, coefficients, entries["template_basis"].astype(np.float32))


def _check(model: LabelModel, where: str) -> None:
    """Refuse a model whose parts do not fit together, with a sentence that names the first fault."""
    n_label, n_pix, network = len(model.labels), len(model.wave), model.network
    n_star = len(model.templates.names)
    shapes = {
        "label_min": (n_label,), "label_max": (n_label,), "lsf_fwhm": (n_pix,), "mask": (n_pix,), "scatter": (n_pix,),
        "training_labels": (len(model.training_labels), n_label),
    }  # fmt: skip
    faults = [f"{name} has the wrong shape" for name, shape in shapes.items() if getattr(model, name).shape != shape]
    faults += [f"the label {name!r} is not known" for name in model.labels if name not in LABELS]
    faults += [f"its card does not give the {name}" for name in CARD_ENTRIES if not model.card.get(name)]
    n_basis = len(model.templates.basis)
    if (
        model.templates.labels.shape != (n_star, n_label)
        or model.templates.coefficients.shape != (n_star, n_label, n_basis)
        or model.templates.basis.shape != (n_basis, n_pix)
    ):
        faults.append("the gradient templates have the wrong shape")
    if model.frame not in get_args(Frame) or network.activation not in get_args(Activation):
        faults.append("its wavelength frame or its activation is not known")
    if network.basis.shape != (n_pix, len(network.biases[-1])) or network.offset.shape != (n_pix,):
        faults.append("the network's last layer does not fit the wavelength grid")
    sizes = [n_label, *(len(bias) for bias in network.biases)]
    if any(w.shape != (o, i) for w, i, o in zip(network.weights, sizes[:-1], sizes[1:], strict=True)):
        faults.append("the network's layers do not fit together")
    arrays = (model.wave, model.lsf_fwhm, model.scatter, network.basis, network.offset, *network.weights)
    if not all(np.isfinite(array).all() for array in arrays):
        faults.append("it holds values that are not numbers")
    elif not (np.diff(model.wave) > 0).all() or not (model.lsf_fwhm > 0).all():
        faults.append("its wavelengths must increase and its resolution be positive")
    for part in (model.error.synthetic, model.error.real) if model.error is not None else ():
        if part is not None and (part.basis.shape[1] != n_pix or part.label_error.shape[1] != n_label):
            faults.append("the residuals that tell its own error have the wrong shape")
    small = model.correction
    if small is not None and (small.n_label != len(CORE) or small.n_pix != n_pix or not set(CORE) <= set(model.labels)):
        faults.append("the correction has the wrong shape")
    if model.mask.mean() < CAN_FIT:
        faults.append("most of its pixels are masked")
    if faults:
        raise StellacubeError(f"The model {where} cannot be used: {faults[0]}.")
