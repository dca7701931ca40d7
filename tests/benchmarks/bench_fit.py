"""Speed of the label fit against The Payne's public recipe: run by hand, ``python -m tests.benchmarks.bench_fit``.

The recipe is scipy's curve_fit star by star with finite differences, from the middle of the range, on a plain network
of two hidden layers of 300 leaky rectifiers and one row per pixel. Ours is the batched fit, on its own network and on
that one, from where the program starts, the best of 200 model spectra, the search included; and from the middle. All
fit the same prepared spectra, so that the ratios are of one run and one machine. How far our fits end from the optimum
that least squares over the pixels finds to 1e-12 in double precision, the whole way from observed spectra (cleaning,
degrading, velocity, errors) and the memory are told too.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.optimize import curve_fit, least_squares
from threadpoolctl import threadpool_limits

from processing.labels.errors import inverse_root
from processing.labels.fit import fit_labels
from processing.labels.marquardt import VELOCITY_SCALE, Problem, Solution, minimise
from processing.labels.model_file import LabelModel, load_model
from processing.labels.network import Network
from processing.labels.normal import Emulator, NormalEquations
from processing.labels.priors import AbundancePrior
from processing.labels.representatives import first_guesses, representative_labels
from processing.labels.student import draw_labels
from processing.preparation.prepare import Operators, observe, prepare
from processing.settings import FitSettings, PreparationSettings, Settings
from processing.spectrum import StarSpectrum
from tests.processing.mock_spectra import observed

N_CURVE_FIT, N_OPTIMUM, SNR = 32, 24, 80.0
SHIFT = 10.0
"""km/s per unit of the recipe's last parameter."""


def truth_of(model: LabelModel, number: int) -> np.ndarray:
    """Return labels spread over the model's range, repeated to the number asked for."""
    labels = representative_labels(model, 128)
    middle = (model.label_min + model.label_max) / 2
    return np.tile(middle + 0.85 * (labels - middle), (-(-number // len(labels)), 1))[:number]


def spectra_of(model: LabelModel, number: int, block: int = 256) -> list[StarSpectrum]:
    """Return spectra of `truth_of` at -200 to 200 km/s, made a block at a time, since memory is measured."""
    truth, velocity = truth_of(model, number), np.linspace(-200, 200, number)
    blocks = (slice(start, start + block) for start in range(0, number, block))
    return [star for rows in blocks for star in observed(model, truth[rows], velocity[rows], SNR, seed=rows.start)]


def memory() -> float:
    """Return the most memory so far in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def plain_network(model: LabelModel, steps: int = 3000) -> Network:
    """Teach two layers of 300 leaky rectifiers what our network knows: the peer's kind of network."""
    import torch

    from processing.labels.adam import Adam
    from processing.labels.student import _start

    rng = np.random.default_rng(1)
    ours = model.network
    labels = draw_labels(model.training_labels.astype(float), model.labels, 20_000, rng)
    x = torch.tensor((labels - model.label_min) / (model.label_max - model.label_min) - 0.5, dtype=torch.float32)
    z = ours.bottleneck(labels)
    scale = float(np.sqrt((z**2).mean()))
    y = torch.tensor(z / scale)
    generator = torch.Generator().manual_seed(1)
    parameters = _start((x.shape[1], 300, 300, y.shape[1]), generator)
    optimiser = Adam(parameters)
    for step in range(steps):
        optimiser.rate = 2e-3 * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        chosen = torch.randint(len(x), (512,), generator=generator)
        value = x[chosen]
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            value = torch.nn.functional.leaky_relu(torch.addmm(bias, value, weight.T), 0.01)
        loss = (torch.addmm(parameters[-1], value, parameters[-2].T) - y[chosen]).square().mean()
        optimiser.step(torch.autograd.grad(loss, parameters))
    arrays = [p.detach().numpy() for p in parameters]
    span = model.label_max - model.label_min
    basis = ours.basis @ (arrays[-2] * scale)  # one row of 300 weights per pixel: nothing is factored
    offset = ours.offset + ours.basis @ (arrays[-1] * scale)
    unity = np.eye(300, dtype=np.float32)
    return Network(
        (model.label_min + model.label_max) / 2, span, (arrays[0], arrays[2], unity),
        (arrays[1], arrays[3], np.zeros(300, np.float32)), basis.astype("f4"), offset.astype("f4"), "leaky_relu",
    )  # fmt: skip


def by_curve_fit(
    model: LabelModel, network: Network, flux: np.ndarray, ivar: np.ndarray, tolerance: float
) -> np.ndarray:
    """Fit one star as The Payne does: scaled labels and velocity, bounds, finite differences."""
    exact = Emulator(network, model.wave).exact
    basis, offset = network.basis.astype(float), network.offset.astype(float)
    hidden = list(zip(exact.weights[:-1], exact.biases[:-1], strict=True))
    # The identity before the last layer of a plain network costs the peer nothing.
    plain = network.activation == "leaky_relu"
    low, span = model.label_min, model.label_max - model.label_min
    used, logarithm = ivar > 0, np.log(model.wave)

    def spectrum(_: np.ndarray, *values: float) -> np.ndarray:
        z = ((np.array(values[:-1]) + 0.5) * span + low - network.label_center) / network.label_scale
        for weight, bias in hidden:
            z = weight @ z + bias
            z = z * (z > 0) + 0.01 * z * (z < 0) if plain else z / (1 + np.exp(-z))
        z = z if plain else exact.weights[-1] @ z + exact.biases[-1]
        return np.interp(logarithm - values[-1] * SHIFT / 299792.458, logarithm, basis @ z + offset)[used]

    start = np.zeros(len(low) + 1)
    bounds = np.append(np.full(len(low), -0.6), -5.0), np.append(np.full(len(low), 0.6), 5.0)
    found, _ = curve_fit(
        spectrum, model.wave[used], flux[used], start, ivar[used] ** -0.5, bounds=bounds, ftol=tolerance, xtol=tolerance
    )
    return found


def problem_of(
    model: LabelModel, network: Network, flux: np.ndarray, ivar: np.ndarray, *, middle: bool = False
) -> tuple[Problem, np.ndarray]:
    """Set up the batched fit of prepared spectra and its start: the first guess, or the middle of the range."""
    emulator = Emulator(network, model.wave)
    flat = np.ones_like(flux)
    start = np.repeat(((model.label_min + model.label_max) / 2)[None], len(flux), axis=0)
    if not middle:
        start = first_guesses(network, model, flux, ivar, flat)[0]
    equations = NormalEquations.build(emulator, flux, ivar, flat, start)
    span = 0.1 * (model.label_max - model.label_min)
    prior = AbundancePrior(model.labels, 0.0)
    problem = Problem(emulator, equations, prior, model.label_min - span, model.label_max + span)
    return problem, np.column_stack([start, np.zeros(len(start))])


def batched(
    model: LabelModel,
    network: Network,
    flux: np.ndarray,
    ivar: np.ndarray,
    workers: int,
    *,
    middle: bool = False,
    size: int = 256,
) -> Solution:
    """Fit prepared spectra in batches, on as many threads as there are workers."""

    def work(rows: slice) -> Solution:
        return minimise(*problem_of(model, network, flux[rows], ivar[rows], middle=middle), 60)

    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(work, [slice(i, i + size) for i in range(0, len(flux), size)]))
    return Solution(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("values", "cost", "converged")))


def near_optimum(model: LabelModel, flux: np.ndarray, ivar: np.ndarray, found: Solution) -> float:
    """Return the share of fits that lie within 0.1 sigma, in every label, of the optimum found to 1e-12."""
    emulator = Emulator(model.network, model.wave)
    basis, offset = model.network.basis.astype(float), model.network.offset.astype(float)
    scale = np.append(1.2 * (model.label_max - model.label_min), VELOCITY_SCALE)
    start = first_guesses(model.network, model, flux, ivar, np.ones_like(flux))[0]
    shifts = emulator.velocity_derivative(model.network.flux(start)).astype(float)
    near = []
    for star, shift, weight, values in zip(flux, shifts, np.sqrt(ivar.astype(float)), found.values, strict=True):

        def residual(
            scaled: np.ndarray, star: np.ndarray = star, shift: np.ndarray = shift, weight: np.ndarray = weight
        ) -> np.ndarray:
            z = emulator.exact.bottleneck((scaled * scale)[None, :-1])[0]
            return weight * (star - basis @ z - offset - scaled[-1] * scale[-1] * shift)

        best = least_squares(residual, values / scale, method="lm", xtol=1e-12, ftol=1e-12, gtol=1e-12)
        root = inverse_root(best.jac.T @ best.jac)
        error = np.sqrt(np.square(root).sum(axis=1))
        near.append(bool((np.abs(best.x - values / scale) < 0.1 * error).all()))
    return float(np.mean(near))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=512)
    parser.add_argument("--model", default="")
    arguments = parser.parse_args()
    shipped = load_model(arguments.model)
    model = replace(shipped, scatter=np.zeros_like(shipped.scatter))
    n = arguments.stars
    settings = PreparationSettings()
    print(f"{n} stars, {len(model.labels)} labels and velocity, {model.wave.size} pixels, S/N {SNR:.0f}")
    for workers in (1, 2):
        spectra = spectra_of(model, n)
        before = memory()
        start, cpu = time.perf_counter(), time.process_time()
        fits = fit_labels(spectra, model, Settings(fit=FitSettings(batch=256), workers=workers))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(
            f"  observed spectra to labels and errors, {workers} workers: {1000 * wall / n:.1f} s wall, "
            f"{1000 * cpu / n:.1f} s CPU per 1000; {np.mean([fit.converged for fit in fits]):.1%} converged; "
            f"most memory {memory():.2f} GB, {before:.2f} before"
        )
    plain = plain_network(model)
    peer = replace(model, network=plain)
    prepared = {}
    for title, one in (("ours", model), ("plain", peer)):
        stars = [observe(spectrum, one, settings) for spectrum in spectra_of(one, n)]
        prepared[title] = prepare(stars, np.linspace(-200, 200, n), one, Operators(one, settings))
    walls: dict[tuple[str, int], float] = {}
    cpus: dict[tuple[str, int], float] = {}
    cases = (
        ("ours", model.network, 1, True),
        ("ours", model.network, 1, False),
        ("ours", model.network, 2, False),
        ("plain", plain, 2, False),
    )
    for title, network, workers, middle in cases:
        data = prepared[title]
        start, cpu = time.perf_counter(), time.process_time()
        found = batched(model, network, data.flux, data.ivar, workers, middle=middle)
        walls[title, workers] = (time.perf_counter() - start) / n
        cpus[title, workers] = cpu = (time.process_time() - cpu) / n
        print(
            f"  batched, {title:5} network, {workers} threads, from the {'middle' if middle else 'first guess'}: "
            f"{1000 * walls[title, workers]:5.2f} s wall, {1000 * cpu:5.2f} s CPU per 1000; "
            f"{found.converged.mean():.1%} converged"
        )
        if workers == 1 and not middle:
            chosen = slice(0, n, max(1, n // N_OPTIMUM))
            taken = Solution(found.values[chosen], found.cost[chosen], found.converged[chosen])
            share = near_optimum(model, data.flux[chosen], data.ivar[chosen], taken)
            print(f"    {share:.0%} of {len(taken.cost)} lie within 0.1 sigma of the optimum to 1e-12, in every label")
    for title, network in (("plain", plain), ("ours", model.network)):
        for tolerance in (5e-4, 1e-8):  # The Payne's, and scipy's default
            start, cpu = time.perf_counter(), time.process_time()
            for i in range(N_CURVE_FIT):
                row = i * 7 % n
                by_curve_fit(model, network, prepared[title].flux[row], prepared[title].ivar[row], tolerance)
            wall = (time.perf_counter() - start) / N_CURVE_FIT
            cpu = (time.process_time() - cpu) / N_CURVE_FIT
            print(
                f"  curve_fit, {title:5} network, to {tolerance:.0e}: {1000 * cpu:6.1f} s CPU per 1000; over ours: "
                f"{cpu / cpus['ours', 1]:.0f} in CPU, {wall / walls['ours', 2]:.0f} in wall, ours on two threads"
            )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
