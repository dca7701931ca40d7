"""How good a label model is, in five tables: ``python -m tests.benchmarks.bench_networks MODEL DATA [--peers FOLDER]``.

MODEL is a model file or a shipped model's name, DATA the folder of the research data. The tables: gradients against the
physical ones of reference stars; response to one element moved by 0.3 dex, put on the model's own spectra and on the
physical ones; closure on synthetic spectra that no training saw; real stars held out; stars that two libraries share.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from processing.labels.datasets import Grid, SpectraFile, prepare_spectra, read_spectra
from processing.labels.fit import fit_labels
from processing.labels.model_file import LabelModel, load_model
from processing.labels.names import CORE, SYNTHETIC_ORDER, from_training_name
from processing.labels.real_stars import GIANT, Library, RealSettings, half_range, read_libraries, summarise
from processing.labels.split import held_back, star_key
from processing.preparation.lsf import degrading_resampler, lsf_fwhm
from processing.settings import FitSettings, PreparationSettings, Settings
from processing.spectrum import StarSpectrum
from tests.benchmarks.peers import MissingPackage, baseline, bossbrain, hybrid, kept, regression

LIBRARIES = (
    RealSettings("stars/miles.npz", "2.5"),
    RealSettings("stars/stelib.npz", "3.2"),
    RealSettings("stars/indous.npz", "3.25"),
)
LOOSE = 0.3
"""dex: an abundance with a larger error may wander when another is moved."""
CLEAN = PreparationSettings(clean_sky=False, mask_ao=False, telluric="none")


def as_muse(wave: np.ndarray, flux: np.ndarray, snr: float, rng: np.random.Generator | None) -> StarSpectrum:
    """Return a synthetic spectrum (R = 10000, air) as MUSE would see it, with noise when `rng` is given."""
    pixels = np.arange(4750.0, 8800.0, 1.25)
    resampler, reached, _ = degrading_resampler(wave, wave / 1e4, pixels, lsf_fwhm("muse-udf10", pixels))
    seen = resampler.matrix @ flux.astype(float)
    seen /= np.median(seen)
    error = seen / snr
    if rng is not None:
        seen = seen + rng.normal(size=seen.size) * error
    return StarSpectrum("", pixels, seen.astype(np.float32), (error**-2).astype(np.float32), lsf_fwhm=reached)


def gradients(model: LabelModel, data: Path) -> None:
    from processing.labels.witness import reference_gradients

    grid = Grid(model.wave, model.lsf_fwhm, model.continuum, model.frame)
    stars = reference_gradients(data / "gradients" / "*.npz", grid, model.labels)
    ours = model.network.flux_and_jacobian(stars.labels)[1].transpose(0, 2, 1)
    theirs = stars.gradients()
    print("\nCorrelation of the network's and the physical gradients")
    print(f"{'':6}" + "".join(f"{name[:6]:>7}" for name in model.labels))
    for name, one, two in zip(stars.names, ours, theirs, strict=True):
        print(f"{name:6}" + "".join(f"{np.corrcoef(a, b)[0, 1]:7.2f}" for a, b in zip(one, two, strict=True)))
    ratio = np.median(ours.std(2) / theirs.std(2), axis=0)
    print(f"{'ampl.':6}" + "".join(f"{value:7.2f}" for value in ratio))


def response(model: LabelModel, data: Path, settings: Settings) -> None:
    """Print what moving one element does to all labels, on the physical spectra and on those of stars as real ones are.

    The latter are the physical ones times the ratio of the network's and the physical spectrum of the unmoved star.
    """
    moved = read_npz(data / "perturbed.npz")
    files = {star: read_npz(data / "gradients" / f"{star}.npz") for star in sorted(set(moved["star"]))}
    bases = {star: file["flux"] for star, file in files.items()}
    print(
        "\nResponse to one element moved, per dex (Teff: per 1000 K), mean over the stars; the diagonal by star first"
    )
    print("on physical spectra")
    _response(model, moved, bases, settings)
    wave, grid = moved["wave_air"], Grid(model.wave, model.lsf_fwhm, model.continuum, model.frame)
    names = [from_training_name(str(name)) for name in moved["names"]] if "names" in moved else list(SYNTHETIC_ORDER)
    ratio = {}
    for star, file in files.items():
        flux = file["flux"][None]
        labels = np.array([[dict(zip(names, file["base"], strict=True))[name] for name in model.labels]])
        known = SpectraFile(("",), {}, {}, wave, "air", flux, np.ones_like(flux))
        physical = prepare_spectra(known, grid, "R=10000", model.labels, {}).flux[0]
        ratio[star] = np.interp(wave, model.wave, model.network.flux(labels)[0] / physical)
    print("on spectra as real stars have them")
    as_real = moved | {"flux": np.array([f * ratio[str(s)] for f, s in zip(moved["flux"], moved["star"], strict=True)])}
    _response(model, as_real, {star: flux * ratio[star] for star, flux in bases.items()}, settings)


def _response(
    model: LabelModel, moved: dict[str, np.ndarray], bases: dict[str, np.ndarray], settings: Settings
) -> None:
    wave = moved["wave_air"]
    starts = fit_labels([as_muse(wave, flux, 1000, None) for flux in bases.values()], model, settings)
    found = fit_labels([as_muse(wave, flux, 1000, None) for flux in moved["flux"]], model, settings)
    base = dict(zip(bases, (fit.values for fit in starts), strict=True))
    table = defaultdict(list)
    for star, element, delta, fit in zip(moved["star"], moved["element"], moved["delta"], found, strict=True):
        table[str(element).lower()].append((fit.values - base[str(star)]) / delta)
    units = np.where(np.array(model.labels) == "teff", 1000.0, 1.0)
    print(f"{'':28}" + "".join(f"{name[:6]:>7}" for name in model.labels))
    for element, rows in table.items():
        place = model.labels.index(f"{element}_fe")
        own = " ".join(f"{row[place]:.2f}" for row in rows)
        print(f"{element:3}{own:25}" + "".join(f"{value:7.2f}" for value in np.mean(rows, axis=0) / units))
    for star, fit in zip(bases, starts, strict=True):
        loose = [n for n, e in zip(model.labels, fit.errors_scaled(), strict=True) if n.endswith("_fe") and e > LOOSE]
        print(f"{star:6}not determined (error above {LOOSE} dex): {', '.join(loose) or 'none'}. {fit.note}")


def closure(model: LabelModel, data: Path, settings: Settings, snr: float) -> None:
    spectra = read_spectra(data / "synthetic" / "train_*.npz")
    truth = np.column_stack([spectra.labels[name] for name in model.labels])
    inside = held_back(len(spectra)) & ((truth >= model.label_min) & (truth <= model.label_max)).all(1)
    rng = np.random.default_rng(3)
    seen = [as_muse(spectra.wave, flux, snr, rng) for flux in spectra.flux[inside]]
    fits = fit_labels(seen, model, settings)
    difference = np.array([fit.values for fit in fits]) - truth[inside]
    error = np.array([fit.errors_scaled() for fit in fits])
    converged = np.mean([fit.converged for fit in fits])
    print(
        f"\nClosure: {len(fits)} synthetic spectra held back, S/N {snr:g} per 1.25 A, {converged:.0%} converged, ",
        end="",
    )
    print(f"velocity {half_range(np.array([fit.rv for fit in fits])):.2f} km/s")
    print(f"{'label':7}{'median':>9}{'half range':>12}{'error':>9}{'pull':>7}")
    for i, name in enumerate(model.labels):
        d, e = difference[:, i], error[:, i]
        print(f"{name:7}{np.median(d):9.3f}{half_range(d):12.3f}{np.median(e):9.3f}{half_range(d / e):7.2f}")


def real_stars(model: LabelModel, data: Path) -> None:
    libraries = [lib.take(lib.labelled) for lib in read_libraries(LIBRARIES, data, model)]
    fits = {lib.name: fit_labels(lib.spectra, model, lib.settings) for lib in libraries}
    print("\nReal stars never trained on: median and half 15.87-84.13 % range of fit - library")
    for lib in libraries:
        chosen = lib.held_out
        judged = [fit for fit, keep in zip(fits[lib.name], chosen, strict=True) if keep]
        for title, row in summarise(judged, lib.core[chosen], model).items():
            print(f"{lib.name:8}{title:8}", row)
    one, two = libraries[0], libraries[1]
    place = {star_key(s.star_id): i for i, s in enumerate(one.spectra)}
    pairs = [(place[k], i) for i, s in enumerate(two.spectra) if (k := star_key(s.star_id)) in place]
    apart = np.array([fits[two.name][j].values - fits[one.name][i].values for i, j in pairs])
    print(f"\nThe same {len(pairs)} stars in {two.name} and {one.name}: median and half range of the differences")
    print("  ".join(f"{n} {np.median(d):+.3g} {half_range(d):.3g}" for n, d in zip(model.labels, apart.T, strict=True)))


def against_peers(model: LabelModel, data: Path, folder: Path) -> None:
    """Fit the stars that no training saw with this model and with its peers, and compare star by star."""
    peers = {
        "baseline": lambda: baseline(model, data, LIBRARIES[0]),
        "hybrid": lambda: hybrid(model, data, LIBRARIES),
        "bossbrain": lambda: bossbrain(model),
    }
    libraries = [lib.take(lib.labelled & lib.held_out) for lib in read_libraries(LIBRARIES[:2], data, model)]
    ours = [differences(model, lib) for lib in libraries]
    for name, make in peers.items():
        try:
            peer = kept(folder, name, make)
        except MissingPackage as reason:
            print(f"\n{name}: left out. {reason}")
            continue
        print(f"\nHalf range of fit - library: this model, {name}, and their difference with its 95 % interval")
        for lib, mine in zip(libraries, ours, strict=True):
            theirs = differences(peer, lib)
            inside = ((lib.core >= peer.label_min[:3]) & (lib.core <= peer.label_max[:3])).all(1)
            inside &= np.isfinite(theirs).all(1)
            giant = lib.core[:, 1] < GIANT
            for title, group in (("all   ", giant | ~giant), ("giants", giant), ("dwarfs", ~giant)):
                if (group & inside).sum() > 4:
                    compare(f"{lib.name:7}{title}", mine[group & inside], theirs[group & inside])
    everyone = read_libraries(LIBRARIES[:1], data, model)[0]
    compare_regression(model, everyone.take(everyone.labelled))
    print("\nStars that fail, by more than 400 K, 1 dex in log g or 0.5 dex in [Fe/H]")
    for lib, mine in zip(libraries, ours, strict=True):
        for i in np.flatnonzero((np.abs(mine) > [400, 1.0, 0.5]).any(1)):
            core, off = lib.core[i], mine[i]
            print(
                f"  {lib.name:7}{lib.spectra[i].star_id:12} {core[0]:5.0f} K {core[1]:5.2f} {core[2]:+.2f}"
                f"   off by {off[0]:+5.0f} K {off[1]:+.2f} {off[2]:+.2f}"
            )


def compare_regression(model: LabelModel, library: Library) -> None:
    """Compare with labels read off the spectra by regression, without a model of them."""
    fits = fit_labels(library.spectra, model, library.settings)
    column = [model.labels.index(name) for name in CORE]
    mine = np.array([fit.values for fit in fits])[:, column] - library.core
    covered = np.mean([fit.ivar > 0 for fit in fits], axis=0) > 0.95
    flux = np.array([np.where(fit.ivar > 0, fit.flux, fit.best) for fit in fits])[:, covered]
    theirs = regression(flux, library.core, ~library.held_out) - library.core
    print("\nHalf range of fit - library: this model, regression, and their difference with its 95 % interval")
    giant = library.core[:, 1] < GIANT
    for title, group in (("giants", giant), ("dwarfs", ~giant)):
        judged = group & library.held_out
        compare(f"{library.name:7}{title}", mine[judged], theirs[judged])


def differences(model: LabelModel, library: Library) -> np.ndarray:
    """Return fitted minus library's Teff, log g, [Fe/H], shape (n, 3)."""
    fits = fit_labels(library.spectra, model, library.settings)
    column = [model.labels.index(name) for name in CORE]
    return np.array([fit.values for fit in fits])[:, column] - library.core


def compare(title: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Print both half ranges and the interval of their difference, from the same stars drawn 1000 times."""
    rng = np.random.default_rng(5)
    rows = rng.integers(len(ours), size=(1000, len(ours)))
    line = f"{title} {len(ours):4d}"
    for i, name in enumerate(CORE):
        a, b = ours[:, i], theirs[:, i]
        low, high = np.percentile([half_range(a[r]) - half_range(b[r]) for r in rows], [2.5, 97.5])
        line += f"   {name} {half_range(a):.3g} {half_range(b):.3g} ({low:+.2g}..{high:+.2g})"
    print(line)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--snr", type=float, default=100.0)
    parser.add_argument("--prior", type=float, default=0.3, help="width of the prior on [X/Fe], dex; 0: none")
    parser.add_argument("--peers", type=Path, help="only: compare with other networks, trained once and kept there")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    if arguments.peers:
        against_peers(model, arguments.data, arguments.peers)
        return
    settings = replace(Settings(), preparation=CLEAN, fit=FitSettings(abundance_prior=arguments.prior))
    gradients(model, arguments.data)
    response(model, arguments.data, settings)
    closure(model, arguments.data, replace(settings, fit=FitSettings(abundance_prior=0.0)), arguments.snr)
    real_stars(model, arguments.data)


if __name__ == "__main__":
    main()
