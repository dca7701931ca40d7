"""A simulated bulge field: whether the two sequences in ([Fe/H], [Mg/Fe]) come back after the paper's cuts.

Run by hand from the repository's root, ``python -m tests.benchmarks.bench_bulge [--stars 600] [--figure PNG]``; needs
../shared/data. Every star is a synthetic giant that no training saw. It is moved to its place in one of two sequences,
by at most `FARTHEST`, with the ratio of two predictions of a network at MUSE's resolution (not the one that is fitted),
so that what networks do not know of the giant stays in its spectrum. It gets a velocity, dust of A_V 4-6, noise of S/N
30-120 above 5991 A, what an imperfect subtraction leaves of the sky's lines, and errors 2-5 times too small. The last
line is the same for giants that were not moved.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.table import Table

from processing.catalogue.cuts import apply_cuts, find_cuts
from processing.catalogue.table import build_catalogue
from processing.labels.datasets import SpectraFile, read_spectra
from processing.labels.fit import fit_labels
from processing.labels.gradients import check_gradients
from processing.labels.model_file import LabelModel, load_model
from processing.labels.split import held_back
from processing.preparation.air import shifted
from processing.preparation.lsf import degrading_resampler
from processing.preparation.presets import find_preset, with_preset
from processing.provenance import Provenance
from processing.settings import FitSettings, PreparationSettings, Settings
from processing.simulation.settings import SimulationSettings
from processing.simulation.sky import muse_lsf, sky_spectrum
from processing.spectrum import StarSpectrum

SPECTRA = Path(__file__).resolve().parents[3] / "shared" / "data" / "synthetic" / "train_*.npz"
FIGURE = Path(__file__).resolve().parents[2] / "resources" / "figures" / "bulge.png"
CENTRES = np.array([[-0.43, 0.36], [0.18, 0.19]])
"""([Fe/H], [Mg/Fe]) of the two sequences (section 4.2 of the paper)."""
SPREAD, SLOPE = np.array([0.16, 0.04]), -0.15
"""Scatter along [Fe/H] and about the sequence, dex, and the sequences' slope."""
NAMES = ("[Fe/H]", "[Mg/Fe]")
FARTHEST = np.array([0.45, 0.35])
"""By how much a giant's [Fe/H] and [Mg/Fe] are changed at most, dex."""
WAVE = np.arange(4750.0, 9350.0, 1.25)
FINE = np.arange(4702.0, 9348.0, 0.25)
"""Angstrom in air, at rest."""
SKY = 0.7
"""Rms over the stars of what is left at a sky line of 1/20 of the strongest one's strength, in units of the noise."""


@dataclass(frozen=True)
class Field:
    """Simulated stars with their true (n, 2) [Fe/H] and [Mg/Fe], and which sequence they are of."""

    spectra: list[StarSpectrum]
    truth: np.ndarray
    sequence: np.ndarray


def giants(library: SpectraFile) -> np.ndarray:
    """Return the rows of the giants of the bulge's kind among the spectra that no training saw."""
    teff, logg, iron = (library.labels[name] for name in ("teff", "logg", "fe_h"))
    kind = (teff > 4300) & (teff < 5500) & (logg < 3.5) & (iron > -1.0)
    return np.flatnonzero(held_back(len(library)) & kind)


def simulate(library: SpectraFile, mover: LabelModel, n: int, rng: np.random.Generator, moved: bool) -> Field:
    """Make the field; without `moved` the giants keep their own labels."""
    rows = giants(library)
    labels = np.column_stack([library.labels[name][rows] for name in mover.labels])
    resampler, fwhm, _ = degrading_resampler(library.wave, library.wave / 1e4, FINE, muse_lsf(FINE))
    at_rest = (resampler.matrix @ library.flux[rows].T.astype(float)).T
    place = [mover.labels.index(name) for name in ("fe_h", "mg_fe")]
    sequence = rng.integers(2, size=n)
    wanted = CENTRES[sequence] + rng.normal(size=(n, 2)) * SPREAD
    wanted[:, 1] += SLOPE * (wanted[:, 0] - CENTRES[sequence, 0])
    near = (np.abs(labels[:, place] - wanted[:, None]) < FARTHEST).all(axis=2)
    wanted, sequence, near = (values[near.any(axis=1)] for values in (wanted, sequence, near))
    chosen = np.array([rng.choice(np.flatnonzero(row)) for row in near])
    target = labels[chosen].copy()
    if moved:
        target[:, place] = wanted
    ratio = mover.network.flux(target) / mover.network.flux(labels[chosen])
    spectra = [
        observed(str(i), at_rest[k] * np.interp(FINE, mover.wave, change), fwhm, rng)
        for i, (k, change) in enumerate(zip(chosen, ratio, strict=True))
    ]
    return Field(spectra, target[:, place], sequence)


def observed(name: str, flux: np.ndarray, fwhm: np.ndarray, rng: np.random.Generator) -> StarSpectrum:
    """Return a spectrum on `FINE`, at MUSE's resolution, as it is seen through dust and air, its errors too small."""
    from scipy.interpolate import CubicSpline

    rest = shifted(WAVE, "air", rng.uniform(-200, 200), "air")
    seen = CubicSpline(FINE, flux)(np.clip(rest, FINE[0], FINE[-1]))
    seen *= 10 ** (-0.4 * rng.uniform(4, 6) * (5500.0 / WAVE) ** 1.4)
    red = WAVE > 5991.0
    noise = np.median(seen[red]) / rng.uniform(30, 120)
    settings = SimulationSettings()
    _, lines, slopes = sky_spectrum(WAVE, settings)
    left = SKY * noise * 20 * (rng.normal() * lines + rng.normal() * slopes) / lines.max()
    error = noise / rng.uniform(2, 5)
    data = seen + left + noise * rng.normal(size=WAVE.size)
    return StarSpectrum(
        name,
        WAVE,
        data.astype(np.float32),
        np.full(WAVE.size, error**-2, np.float32),
        lsf_fwhm=np.interp(rest, FINE, fwhm),
        barycentric=0.0,
    )


def labelled(field: Field, model: LabelModel) -> Table:
    """Return the catalogue of the field, fitted as the paper fits the bulge: without priors."""
    preparation = with_preset(PreparationSettings(), find_preset("bulge"))
    settings = replace(Settings(), preparation=preparation, fit=FitSettings(abundance_prior=0.0))
    fits = check_gradients(fit_labels(field.spectra, model, settings), model, settings)
    return build_catalogue(field.spectra, fits, model, Provenance((), settings)).table


def two_centres(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres (2, 2) of two Gaussians fitted to points (n, 2), and each point's share of the first (n,)."""
    centres = np.percentile(points, (25, 75), axis=0)
    centres[:, 1] = centres[::-1, 1]
    spread, share = np.stack([np.cov(points.T)] * 2), np.array([0.5, 0.5])
    for _ in range(200):
        apart = points[:, None] - centres
        distance = np.einsum("nki,kij,nkj->nk", apart, np.linalg.inv(spread), apart)
        density = share * np.exp(-0.5 * distance) / np.sqrt(np.linalg.det(spread))
        weight = density / density.sum(axis=1, keepdims=True)
        share = weight.mean(axis=0)
        centres = (weight.T @ points) / weight.sum(axis=0)[:, None]
        apart = points[:, None] - centres
        spread = np.einsum("nk,nki,nkj->kij", weight, apart, apart) / weight.sum(axis=0)[:, None, None]
        spread += 1e-4 * np.eye(2)
    return centres, weight[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=600)
    parser.add_argument("--model", default="physical")
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    library, model, rng = read_spectra(SPECTRA), load_model(arguments.model), np.random.default_rng(1)
    mover = load_model("muse")
    field = simulate(library, mover, arguments.stars, rng, moved=True)
    table = labelled(field, model)
    selection = apply_cuts(table, find_cuts("bulge-abundances").cuts)
    print(f"{len(table)} stars from {len(giants(library))} giants that no training saw")
    print(f"{'cut':28}{'fail it':>9}{'removed':>9}{'left':>6}")
    for step in selection.steps:
        print(f"{step.text:28}{step.alone:9}{step.removed:9}{step.left:6}")
    kept, found = selection.kept, np.column_stack([table["fe_h"], table["mg_fe"]])
    ours, theirs = two_centres(found[kept])[0], two_centres(field.truth[kept])[0]
    print(f"\n{'centre of':22}{'[Fe/H]: true':>14}{'found':>8}{'off':>8}{'[Mg/Fe]: true':>16}{'found':>8}{'off':>8}")
    for name, true, ours_of_it in zip(("the alpha-rich", "the alpha-poor"), theirs, ours, strict=True):
        cells = (f"{t:{w}.3f}{o:8.3f}{o - t:+8.3f}" for t, o, w in zip(true, ours_of_it, (14, 16), strict=True))
        print(f"{name:22}" + "".join(cells))
    describe("found - true, all", found - field.truth)
    describe(".. after the cuts", (found - field.truth)[kept])
    plain = simulate(library, mover, arguments.stars, rng, moved=False)
    table_plain = labelled(plain, model)
    passing = apply_cuts(table_plain, find_cuts("bulge-abundances").cuts).kept
    found_plain = np.column_stack([table_plain["fe_h"], table_plain["mg_fe"]])
    describe("giants not moved", (found_plain - plain.truth)[passing])
    if arguments.figure:
        draw(field.truth, found, kept, theirs, ours, arguments.figure)


def describe(title: str, difference: np.ndarray) -> None:
    low, middle, high = np.percentile(difference, (15.87, 50, 84.13), axis=0)
    texts = (f"{name} {m:+.3f} +- {(b - a) / 2:.3f}" for name, a, m, b in zip(NAMES, low, middle, high, strict=True))
    print(f"{title:22}{len(difference):4} stars: {', '.join(texts)}")


def draw(
    truth: np.ndarray, found: np.ndarray, kept: np.ndarray, theirs: np.ndarray, ours: np.ndarray, path: Path
) -> None:
    """Draw true and found stars side by side, with the centres."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.3), layout="constrained", dpi=160)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, points, title in zip(panels, (truth, found), ("True", "Found"), strict=True):
        axes.plot(*points[~kept].T, ".", ms=3, color="#c3c9d1", label="removed by the cuts", zorder=1)
        axes.plot(*points[kept].T, ".", ms=3.5, color="#1a66c2", alpha=0.6, mew=0, label="left", zorder=2)
        axes.plot(*theirs.T, "+", ms=13, mew=1.8, color="#1a1f26", label="true centres", zorder=4)
        if title == "Found":
            axes.plot(*ours.T, "o", ms=9, mfc="none", mew=1.8, color="#d98200", label="found centres", zorder=5)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("[Fe/H]", fontsize=9)
        axes.tick_params(direction="in", labelsize=8)
    panels[0].set_ylabel("[Mg/Fe]", fontsize=9)
    panels[1].legend(fontsize=7, frameon=False, loc="lower left")
    middle = np.median(truth, axis=0)
    panels[0].set_xlim(middle[0] - 1.0, middle[0] + 1.0)
    panels[0].set_ylim(middle[1] - 0.55, middle[1] + 0.55)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    main()
