"""The networks that ours are compared with, each as a label model that our own fit can use.

- `baseline`: Teff, log g, [Fe/H] from real stars alone, two layers of 100 units.
- `hybrid`: a network on the synthetic spectra and a correction in Teff, log g, [Fe/H] on real stars, both plain
  multi-layer perceptrons with L1 losses (256-256-64 and 64-32 units).
- `bossbrain`: the emulators of giants that the Python package of that name holds (Nidever; needs theborg and dill).

`regression` is no network: kernel ridge regression from spectra straight to Teff, log g, [Fe/H].

All are trained on the stars that our networks are trained on, and the networks are fitted by the same code. A model
that took long is kept in a folder for the next time.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from processing.labels.datasets import Grid, PreparedSet, prepare_spectra, read_spectra
from processing.labels.model_file import LabelModel, load_model, save_model
from processing.labels.names import CORE
from processing.labels.network import Network
from processing.labels.real_stars import RealSettings, known_labels, read_libraries
from processing.labels.split import held_back, star_key
from processing.labels.student import StudentSettings, _forward, _start, lesson_from_spectra, train_student
from processing.labels.templates import Templates
from processing.preparation.air import in_frame
from processing.preparation.lsf import degrading_resampler

HYBRID_SCATTER = 0.006
"""Error in normalised flux that the hybrid gives every pixel."""
BOSS_TEFF = ((3500.0, 4100.0), (4100.0, 4950.0), (4950.0, 6000.0))
"""K: where each of the three emulators is used, as the package itself does."""
BOSS_ALPHA = ("om", "mgm", "sim", "cam", "tim")


class MissingPackage(Exception):
    """A peer needs a package that is not installed."""


def grid_of(model: LabelModel) -> Grid:
    return Grid(model.wave, model.lsf_fwhm, model.continuum, model.frame)


def kept(folder: Path, name: str, make: Callable[[], LabelModel]) -> LabelModel:
    """Return a peer that an earlier run has trained, or train it."""
    file = folder / f"{name}.npz"
    if not file.is_file():
        save_model(make(), file)
    return load_model(file)


def training_stars(source: RealSettings, data: Path, model: LabelModel) -> PreparedSet:
    """Return the labelled stars of a library that train, on the model's grid."""
    library = read_libraries((source,), data, model)[0]
    library = library.take(library.labelled & ~library.held_out)
    file = read_spectra(data / source.path)
    chosen = np.isin([star_key(s) for s in file.stars], [star_key(s.star_id) for s in library.spectra])
    known = np.isfinite([file.labels[name] for name in CORE]).all(axis=0)
    return prepare_spectra(file, grid_of(model), source.lsf, CORE, {}).take(chosen & known)


def _steps(parameters: list[Any], loss: Callable[[Any], Any], n: int, batch: int, steps: int, rate: float) -> None:
    """Minimise a loss of random batches (integers below n), the rate falling as a cosine."""
    import torch

    from processing.labels.adam import Adam

    generator = torch.Generator().manual_seed(1)
    optimiser = Adam(parameters, decay=0.01)
    for step in range(steps):
        optimiser.rate = rate * min(10 * step / steps + 0.05, 0.5 + 0.5 * np.cos(np.pi * step / steps))
        index = torch.randint(n, (batch,), generator=generator)
        optimiser.step(torch.autograd.grad(loss(index), parameters))


def baseline(model: LabelModel, data: Path, source: RealSettings, steps: int = 4000) -> LabelModel:
    """Train the plain network on the training stars of one library alone."""
    import torch

    prepared = training_stars(source, data, model)
    core, used = prepared.labels, prepared.ivar > 0
    last = in_frame(read_spectra(data / source.path).wave, "air", model.frame)[-1]
    mask = (used.sum(0) > 0.8 * len(used)) & (model.wave < last - 60)
    mean = np.where(mask, prepared.flux.mean(0), 1.0).astype(np.float32)
    x = torch.tensor((core - core.mean(0)) / core.std(0), dtype=torch.float32)
    y, weight = torch.tensor(prepared.flux), torch.tensor((used & mask).astype(np.float32))
    generator = torch.Generator().manual_seed(1)
    parameters = _start((3, 100, 100, 64), generator)
    basis = torch.randn(len(mean), 64, generator=generator).mul(0.01).requires_grad_()
    middle = torch.tensor(mean)

    def loss(index: torch.Tensor) -> torch.Tensor:
        flux = _forward(parameters, x[index]) @ basis.T + middle
        return ((flux - y[index]).abs() * weight[index]).mean()

    _steps([*parameters, basis], loss, len(x), 128, steps, 3e-3)
    arrays = [p.detach().numpy() for p in parameters]
    spectra = np.where(mask[:, None], basis.detach().numpy(), 0)
    network = Network(core.mean(0), core.std(0), tuple(arrays[::2]), tuple(arrays[1::2]), spectra, mean)
    residual = np.where(used & mask, network.flux(core) - prepared.flux, 0)
    scatter = np.maximum(1.4826 * np.median(np.abs(residual), axis=0), 0.002)
    return _peer(model, "baseline", CORE, core, network, scatter, mask)


def hybrid(model: LabelModel, data: Path, sources: tuple[RealSettings, ...], steps: int = 4000) -> LabelModel:
    """Train the hybrid: the synthetic spectra that none of our judges is among, then the same real stars as ours."""
    import torch

    synthetic = prepare_spectra(
        read_spectra(data / "synthetic" / "train_*.npz"), grid_of(model), "R=10000", model.labels, {}
    )
    synthetic = synthetic.take(~held_back(len(synthetic)))
    centre, scale = synthetic.labels.mean(0), synthetic.labels.std(0)
    mean = synthetic.flux.mean(0)

    def network(inputs: np.ndarray, sizes: tuple[int, ...], flux: np.ndarray, used: np.ndarray, n: int) -> Any:
        generator = torch.Generator().manual_seed(1)
        x, y, weight = torch.tensor(inputs), torch.tensor(flux), torch.tensor(used.astype(np.float32))
        parameters = _start((inputs.shape[1], *sizes), generator)
        basis = torch.randn(flux.shape[1], sizes[-1], generator=generator).mul(0.01).requires_grad_()

        def loss(index: torch.Tensor) -> torch.Tensor:
            found = _forward(parameters, x[index]) @ basis.T
            return ((found - y[index]).abs() * weight[index]).sum() / weight[index].sum()

        _steps([*parameters, basis], loss, len(x), min(256, len(x)), n, 4e-3)
        arrays = [p.detach().numpy() for p in parameters]
        return tuple(arrays[::2]), tuple(arrays[1::2]), basis.detach().numpy()

    inputs = ((synthetic.labels - centre) / scale).astype(np.float32)
    weights, biases, basis = network(inputs, (256, 256, 64), synthetic.flux - mean, synthetic.ivar > 0, steps)
    physical = Network(centre, scale, weights, biases, basis, mean)
    parts = [training_stars(source, data, model) for source in sources]
    core, flux, ivar = (np.concatenate([getattr(p, name) for p in parts]) for name in ("labels", "flux", "ivar"))
    labels, _ = known_labels(core, np.ones_like(core), model.labels)
    column = [model.labels.index(name) for name in CORE]
    inputs = ((core - centre[column]) / scale[column]).astype(np.float32)
    weights, biases, basis = network(inputs, (64, 32, 32), flux - physical.flux(labels), ivar > 0, steps // 2)
    correction = Network(centre[column], scale[column], weights, biases, basis, np.zeros_like(mean))
    scatter = np.full(len(mean), HYBRID_SCATTER)
    return _peer(
        model, "hybrid", model.labels, synthetic.labels, physical.plus(correction, column), scatter, model.mask
    )


def bossbrain(model: LabelModel, draws: int = 3000) -> LabelModel:
    """Turn the package's emulators into a model of six labels, all alpha elements moving together.

    Our fit wants a pseudo-continuum that the emulators lack, so a network of ours learns spectra drawn from them.
    """
    labels, flux = (np.concatenate(parts) for parts in zip(*_bossbrain_spectra(model, draws), strict=True))
    names = ("teff", "logg", "fe_h", "c_fe", "n_fe", "mg_fe")
    lesson = lesson_from_spectra(labels, flux, np.ones(flux.shape, bool), 50)
    low, high = labels.min(0), labels.max(0)
    network = train_student(lesson, low, high, StudentSettings(hidden=(128, 128), units=50, steps=12_000), 1)
    left = np.std(network.flux(labels[::10]) - flux[::10])
    return _peer(
        model, "bossbrain", names, labels, network, np.full(flux.shape[1], 0.01), model.mask, f"learned to {left:.2%}"
    )


def regression(flux: np.ndarray, core: np.ndarray, trains: np.ndarray, n_basis: int = 20) -> np.ndarray:
    """Predict labels without a model of the spectra: how well the libraries' labels follow from the pixels at all.

    A Gaussian kernel and a linear one on principal components, their widths and the ridge chosen label by label by
    leaving one training star out.

    Parameters
    ----------
    flux : ndarray, shape (n, n_wave)
        Normalised, without gaps.
    core : ndarray, shape (n, 3)
    trains : ndarray of bool, shape (n,)

    Returns
    -------
    ndarray, shape (n, 3)
    """
    mean, scale = core[trains].mean(0), core[trains].std(0)
    known = (core[trains] - mean) / scale
    apart = flux - flux[trains].mean(0)
    x = apart @ np.linalg.svd(apart[trains], full_matrices=False)[2][:n_basis].T
    x /= x[trains].std(0)[0]
    squares, products = np.square(x[:, None] - x[None, trains]).sum(2), x @ x[trains].T
    best = np.full(3, np.inf)
    found = np.zeros_like(core)
    for width, slope, ridge in product((1.0, 2.0, 4.0, 8.0), (0.01, 0.1, 1.0, 10.0), (0.003, 0.01, 0.03, 0.1, 0.3)):
        kernel = np.exp(-squares / (2 * width**2)) + slope * products
        inverse = np.linalg.inv(kernel[trains] + ridge * np.eye(int(trains.sum())))
        weights = inverse @ known
        left_out = np.abs(weights / np.diag(inverse)[:, None]).mean(0)
        better = left_out < best
        best[better] = left_out[better]
        found[:, better] = (kernel @ weights * scale + mean)[:, better]
    return found


def _bossbrain_spectra(model: LabelModel, draws: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield labels and pseudo-normalised spectra drawn from each emulator, at its own band in log g."""
    found = importlib.util.find_spec("bossbrain")
    if found is None or not found.submodule_search_locations or importlib.util.find_spec("theborg") is None:
        raise MissingPackage("bossbrain and theborg are not installed (pip install bossbrain theborg dill dlnpyutils).")
    from theborg.emulator import Emulator  # type: ignore[import-not-found]

    folder = Path(next(iter(found.submodule_search_locations))) / "data"
    wave = 3500.0 + 0.5 * np.arange(14001)
    near = (wave > model.wave[0] - 60) & (wave < model.wave[-1] + 60)
    pixels = wave[near]
    resampler, _, _ = degrading_resampler(pixels, np.full(pixels.size, 0.5), model.wave, model.lsf_fwhm)
    rng = np.random.default_rng(1)
    for file, limits in zip(sorted(folder.glob("ann_22pars_*.pkl")), BOSS_TEFF, strict=True):
        emulator = Emulator.read(str(file))
        low, high = emulator.training_labels.min(0), emulator.training_labels.max(0)
        place = {name: i for i, name in enumerate(emulator.label_names)}
        rows = rng.uniform(low, high, (draws, len(low)))
        rows[:, place["teff"]] = rng.uniform(*limits, draws)
        alpha = rng.uniform(-0.2, 0.5, draws)
        for name, index in place.items():
            if name not in ("teff", "logg", "mh", "cm", "nm"):
                rows[:, index] = alpha if name in BOSS_ALPHA else 0.0
        rows = np.clip(rows, low, high)
        raw = np.array([emulator(list(row), border="extrapolate") for row in rows])[:, near]
        flux, ivar = resampler.apply(raw, np.ones_like(raw))
        flux, _, _ = model.continuum.normalise(model.wave, flux, ivar)
        yield rows[:, [place[n] for n in ("teff", "logg", "mh", "cm", "nm", "mgm")]], flux.astype(np.float32)


def _peer(
    model: LabelModel,
    name: str,
    labels: tuple[str, ...],
    cloud: np.ndarray,
    network: Network,
    scatter: np.ndarray,
    mask: np.ndarray,
    training: str = "the same stars",
) -> LabelModel:
    return replace(
        model,
        name=name,
        labels=labels,
        label_min=cloud.min(0),
        label_max=cloud.max(0),
        mask=mask,
        network=network,
        scatter=scatter,
        training_labels=cloud.astype(np.float32),
        templates=Templates.none(len(labels), len(model.wave)),
        error=None,
        card={**model.card, "training": training},
    )
