"""How often 68 % intervals hold the truth: noise put into model spectra and into bright stars' own spectra.

Run by hand from the repository's root, ``python -m tests.benchmarks.bench_coverage [--model a] [--stars 1500]``; the
second part needs ../shared/data.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from processing.labels.fit import LabelFit, fit_labels
from processing.labels.gradients import check_gradients
from processing.labels.injection import carried, coverage, drawn_labels, model_spectra, noisier
from processing.labels.model_file import LabelModel, load_model
from processing.labels.real_stars import Library, RealSettings, read_libraries
from processing.settings import Settings
from processing.spectrum import StarSpectrum

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "stars"
LIBRARY = RealSettings("miles.npz", "2.5")
SNRS = (30.0, 80.0, 200.0)
LIMIT = 0.15
"""Cramer-Rao bound in dex up to which labels are judged."""
MOST_OWN = 0.7
"""A star whose own noise is a larger part of an error than this tells nothing of what was added."""
LEAST = 60
"""Spectra below which a share says nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="a")
    parser.add_argument("--stars", type=int, default=1500)
    arguments = parser.parse_args()
    model, settings, rng = load_model(arguments.model), Settings(), np.random.default_rng(1)
    print(f"{'':30}" + "".join(f"{name.removesuffix('_fe'):>6}" for name in model.labels))
    # Spectra of the network itself are what it says they are: there it has no error of its own.
    exact = replace(model, scatter=np.zeros_like(model.scatter), error=None)
    truth = drawn_labels(exact, arguments.stars, settings.fit.abundance_prior, rng)
    spectra = model_spectra(exact, truth, rng.uniform(-200, 200, len(truth)))
    for understated in (1.0, 3.0):
        for snr in SNRS:
            fits = fitted(noisier(spectra, snr, rng, understated), exact, settings)
            report(f"model, errors / {understated:.0f}, S/N {snr:.0f}", fits, truth, np.zeros_like(truth))
    if DATA.is_dir():
        real_stars(read_libraries([LIBRARY], DATA, model)[0], arguments.stars, model, rng)


def real_stars(library: Library, most: int, model: LabelModel, rng: np.random.Generator) -> None:
    """Judge noise added to real spectra against the fits of the originals, whose own noise both have.

    At S/N 200 the library's own noise is as large as what would be added.
    """
    originals = fitted(list(library.spectra[:most]), model, library.settings)
    sound = [i for i, fit in enumerate(originals) if fit.converged and fit.in_scope and not fit.extrapolated]
    originals, bright = [originals[i] for i in sound], [library.spectra[i] for i in sound]
    found, own = np.array([fit.values for fit in originals]), np.array([fit.errors_scaled() for fit in originals])
    for snr in SNRS[:2]:
        fits = fitted(noisier(bright, snr, rng), model, library.settings)
        report(f"{library.name}, S/N {snr:.0f}", fits, found, own)


def fitted(spectra: list[StarSpectrum], model: LabelModel, settings: Settings) -> list[LabelFit]:
    return check_gradients(fit_labels(spectra, model, settings), model, settings)


def report(title: str, fits: list[LabelFit], truth: np.ndarray, own: np.ndarray) -> None:
    """Print the coverage of formal and of rescaled errors, those of the original spectra (`own`) taken off."""
    known = carried(fits, LIMIT) & np.array([fit.converged for fit in fits])[:, None]
    deviations = np.array([fit.values for fit in fits]) - truth
    print(f"{title}: {len(fits)} spectra")
    formal, scaled = (np.array([getattr(fit, word)() for fit in fits]) for word in ("errors", "errors_scaled"))
    known &= own < MOST_OWN * scaled
    result = coverage(fits[0].labels, deviations, np.sqrt(np.where(known, scaled**2 - own**2, 1.0)), known)
    rows = {
        "formal: held, %": [f"{100 * x:.0f}" for x in coverage(fits[0].labels, deviations, formal, known).held],
        "scaled: held, %": [f"{100 * x:.0f}" for x in result.held],
        "scaled: pull": [f"{x:.2f}" for x in result.pull],
        "scaled: bias": [f"{x:+.2f}" for x in result.bias],
        "spectra": [str(x) for x in result.n],
    }
    for name, texts in rows.items():
        cells = (text if n >= LEAST else "." for text, n in zip(texts, result.n, strict=True))
        print(f"  {name:28}" + "".join(f"{cell:>6}" for cell in cells))


if __name__ == "__main__":
    main()
