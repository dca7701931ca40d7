"""Speed of the label fit against The Payne's public recipe: run by hand, ``python -m tests.benchmarks.bench_fit``.

The recipe is scipy's curve_fit star by star with finite differences. Both fit the same prepared spectra with the same
network on one BLAS thread; the whole way from observed spectra (cleaning, degrading, velocity, errors) is timed too.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from scipy.optimize import curve_fit
from threadpoolctl import threadpool_limits

from processing.labels.fit import fit_labels
from processing.labels.marquardt import Problem, minimise
from processing.labels.model_file import LabelModel, load_model
from processing.labels.normal import Emulator, NormalEquations
from processing.labels.priors import AbundancePrior
from processing.labels.representatives import representative_labels
from processing.preparation.prepare import Operators, observe, prepare
from processing.settings import FitSettings, PreparationSettings, Settings
from tests.processing.mock_spectra import observed

N_STARS, N_CURVE_FIT, SNR = 512, 4, 80.0


def truth_of(model: LabelModel, number: int) -> np.ndarray:
    """Return labels spread over the model's range, repeated to the number asked for."""
    labels = representative_labels(model, 128)
    middle = (model.label_min + model.label_max) / 2
    return np.tile(middle + 0.85 * (labels - middle), (-(-number // len(labels)), 1))[:number]


def by_curve_fit(model: LabelModel, flux: np.ndarray, ivar: np.ndarray, tolerance: float) -> np.ndarray:
    """Fit one star as The Payne does: scaled labels and velocity, bounds, finite differences."""
    network = Emulator(model.network, model.wave).exact
    basis, offset = network.basis.astype(float), network.offset.astype(float)
    low, span = model.label_min, model.label_max - model.label_min
    used = ivar > 0
    logarithm = np.log(model.wave)

    def spectrum(_: np.ndarray, *values: float) -> np.ndarray:
        z = ((np.array(values[:-1]) + 0.5) * span + low - network.label_center) / network.label_scale
        for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
            z = weight @ z + bias
            z /= 1 + np.exp(-z)
        clean = basis @ (network.weights[-1] @ z + network.biases[-1]) + offset
        return np.interp(logarithm - values[-1] * 10 / 299792.458, logarithm, clean)[used]

    start = np.zeros(len(low) + 1)
    bounds = np.append(np.full(len(low), -0.6), -5.0), np.append(np.full(len(low), 0.6), 5.0)
    found, _ = curve_fit(
        spectrum, model.wave[used], flux[used], start, ivar[used] ** -0.5, bounds=bounds, ftol=tolerance, xtol=tolerance
    )
    return found


def batched(model: LabelModel, flux: np.ndarray, ivar: np.ndarray) -> float:
    """Return the share of converged fits of prepared spectra, from the middle of the range as above."""
    emulator = Emulator(model.network, model.wave)
    start = np.repeat(((model.label_min + model.label_max) / 2)[None], len(flux), axis=0)
    equations = NormalEquations.build(emulator, flux, ivar, np.ones_like(flux), start)
    span = 0.1 * (model.label_max - model.label_min)
    prior = AbundancePrior(model.labels, 0.0)
    problem = Problem(emulator, equations, prior, model.label_min - span, model.label_max + span)
    solution = minimise(problem, np.column_stack([start, np.zeros(len(start))]), 60)
    return float(solution.converged.mean())


def main() -> None:
    """Print the table."""
    shipped = load_model("")
    model = replace(shipped, scatter=np.zeros_like(shipped.scatter))
    truth = truth_of(model, N_STARS)
    spectra = observed(model, truth, np.linspace(-200, 200, N_STARS), SNR)
    settings = PreparationSettings()
    stars = [observe(spectrum, model, settings) for spectrum in spectra]
    prepared = prepare(stars, np.linspace(-200, 200, N_STARS), model, Operators(model, settings))
    print(f"{len(model.labels)} labels and velocity, {model.wave.size} pixels, S/N {SNR:.0f}: CPU s per 1000 spectra")
    start = time.process_time()
    converged = batched(model, prepared.flux, prepared.ivar)
    side_by_side = (time.process_time() - start) / N_STARS
    print(f"  batched, factored network            {1000 * side_by_side:8.1f}   {converged:.1%} converged")
    for tolerance in (5e-4, 1e-8):  # The Payne's, and scipy's default
        start = time.process_time()
        for i in range(N_CURVE_FIT):
            by_curve_fit(model, prepared.flux[i * 7], prepared.ivar[i * 7], tolerance)
        one_by_one = (time.process_time() - start) / N_CURVE_FIT
        ratio = one_by_one / side_by_side
        print(f"  curve_fit to a tolerance of {tolerance:.0e}    {1000 * one_by_one:8.1f}   {ratio:.0f} times as long")
    for workers in (1, 2):
        start, cpu = time.perf_counter(), time.process_time()
        fits = fit_labels(spectra, model, Settings(fit=FitSettings(batch=256), workers=workers))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        good = np.mean([fit.converged for fit in fits])
        print(
            f"  observed spectra to labels and errors, {workers} workers: {1000 * wall / N_STARS:.1f} s wall, "
            f"{1000 * cpu / N_STARS:.1f} s CPU per 1000; {good:.1%} converged"
        )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
