"""The core of a cluster as crowded as 47 Tuc's: how many stars give labels, and what crowding costs. Run this file.

A King field (core radius 21.6 arcsec) of stars whose numbers grow with magnitude is simulated and run as a user would.
Counted are stars with S/N above 10 and with useful labels (quality good or check). What crowding costs is seen against
twins: the true spectra with noise as strong as was found, correlated as resampling makes it, fitted the same way.
The stars' labels are those of the sample spectra, broader than any cluster's; the model is the one trained on such.
"""

# ruff: noqa: E402 -- the path is set before the program is imported
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
from scipy.ndimage import median_filter

from processing.catalogue.table import build_catalogue
from processing.demo import MODEL
from processing.labels.fit import fit_labels
from processing.labels.gradients import check_gradients
from processing.labels.model_file import find_model, load_model
from processing.pipeline import RunInputs, run
from processing.session import Session
from processing.settings import FitSettings, Settings
from processing.simulate import SimulationSettings, sample_library, simulate_field

LABELS = {"teff": ("Teff", "K", 0), "logg": ("log g", "", 2), "fe_h": ("[Fe/H]", "", 2), "mg_fe": ("[Mg/Fe]", "", 2)}
CROWDING = (0.0, 0.1, 0.25, 0.4, 0.55, 0.7, 1.0)
"""Bins of the contamination: the share of the light under a star's PSF that belongs to others."""
RESAMPLING = SimulationSettings().resampling
USEFUL = ("good", "check")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=700)
    parser.add_argument("--size", type=int, default=120, help="spaxels")
    parser.add_argument("--exptime", type=float, default=1200.0, help="seconds")
    parser.add_argument("--figure", type=Path, default=ROOT / "resources" / "figures" / "crowding.png")
    args = parser.parse_args()
    field = SimulationSettings(
        n_stars=args.stars, nx=args.size, ny=args.size, layout="king", core_radius=21.6, outside=4.0, mag_bright=13.5,
        mag_faint=20.5, mag_slope=0.25, velocity_dispersion=11.0, exptime=args.exptime, seed=6,
    )  # fmt: skip
    settings = Settings(fit=FitSettings(model=MODEL))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        cube, stars = Path(folder) / "core.fits", Path(folder) / "stars.csv"
        truth = simulate_field(sample_library(), field, cube, stars)
        begin = time.perf_counter()
        result = run(RunInputs(cube, stars, out=Path(folder)), settings)
        took = time.perf_counter() - begin
        with Session.open(result.session, read_only=True) as session:
            spectra = list(session.spectra())
    table = result.catalogue.table
    twins = fit_twins(truth, spectra, settings, result.catalogue.provenance)
    rows = np.array([int(name[1:]) - 1 for name in table["stellar_id"]])
    fwhm = float(np.median(table["psf_fwhm"]))
    count(truth, field, table, fwhm)
    errors = {
        name: tuple(np.asarray(t[name]) - truth.labels[rows, truth.label_names.index(name)] for t in (table, twins))
        for name in LABELS
    }
    judge(table, twins, errors)
    args.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(truth, table, rows, twins, errors, args.figure)
    print(f"{took:.0f} s for the run, {time.perf_counter() - start:.0f} s with all else; {args.figure}")


def fit_twins(truth, spectra, settings, provenance):
    """Return the catalogue of the true spectra with the noise of the extracted ones, in the same order."""
    rng = np.random.default_rng(7)
    kernel = np.array([RESAMPLING, 1.0 - 2.0 * RESAMPLING, RESAMPLING])
    twins = []
    for star in spectra:
        true = truth.flux[int(star.star_id[1:]) - 1]
        sigma = np.where(star.good, 1.0 / np.sqrt(np.where(star.good, star.ivar, 1.0)), np.nan)
        pull = np.where(star.good, (star.flux - true) / sigma, 0.0)
        pull -= median_filter(pull, 51)  # a wrong share of a neighbour's continuum is no noise
        found = 1.4826 * np.median(np.abs(pull[star.good]))
        noise = np.convolve(rng.standard_normal(true.size), kernel / np.sqrt((kernel**2).sum()), mode="same")
        twins.append(replace(star, flux=(true + found * sigma * noise).astype(np.float32)))
    model = load_model(find_model(settings.fit.model))
    fits = check_gradients(fit_labels(twins, model, settings), model, settings)
    return build_catalogue(twins, fits, model, provenance).table


def count(truth, field, table, fwhm) -> None:
    """Print how many stars came out."""
    inside = (np.abs(truth.x - field.nx / 2) < field.nx / 2) & (np.abs(truth.y - field.ny / 2) < field.ny / 2)
    elements = field.nx * field.ny / (np.pi * fwhm**2 / 4.0)
    good = np.isin(table["quality"], USEFUL)
    bright = np.asarray(table["snr_der"]) > 10
    print(
        f"{inside.sum()} of {len(truth)} stars in the field, {inside.sum() / elements:.2f} per resolution element "
        f"(FWHM {fwhm:.2f} spaxels); {len(table)} extracted ({len(table) / elements:.2f}), "
        f"{bright.sum()} with S/N > 10, {(bright & good).sum()} of them with useful labels"
    )


def judge(table, twins, errors) -> None:
    """Print errors against crowding, with those of the twins."""
    contamination = np.asarray(table["contamination"])
    use = usable(table, twins)
    print("contamination  stars  S/N   median and half of the 16-84 % range of (found - true); {the twins' range}")
    for low, high in pairwise(CROWDING):
        some = use & (contamination >= low) & (contamination < high)
        if some.sum() < 5:
            continue
        words = []
        for name, (symbol, unit, digits) in LABELS.items():
            (median, spread), (_, alone) = (centre(e[some]) for e in errors[name])
            words.append(f"{symbol} {median:+.{digits}f} ± {spread:.{digits}f} {{{alone:.{digits}f}}} {unit}".rstrip())
        snr = np.median(np.asarray(table["snr_der"])[some])
        print(f"  {low:.2f}-{high:.2f}    {some.sum():5d}  {snr:4.0f}  {',  '.join(words)}")


def usable(table, twins):
    """Return the stars that are compared: S/N above 10 and useful labels, in the cube and as a twin."""
    good = np.isin(table["quality"], USEFUL) & np.isin(twins["quality"], USEFUL)
    return good & (np.asarray(table["snr_der"]) > 10) & ~np.asarray(table["multistar"], bool)


def centre(values) -> tuple[float, float]:
    low, middle, high = np.nanpercentile(values, (15.87, 50.0, 84.13))
    return float(middle), float((high - low) / 2)


def draw(truth, table, rows, twins, errors, path) -> None:
    """Draw the numbers of stars by magnitude, and errors against crowding."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.6), dpi=110, layout="constrained")
    numbers, *others = figure.subplots(1, 3)
    bins = np.arange(13.5, 20.6, 0.5)
    bright = np.asarray(table["snr_der"]) > 10
    good = bright & np.isin(table["quality"], USEFUL)
    for mag, word, colour in (
        (truth.mag, "in the list", "#c9ced6"),
        (truth.mag[rows[bright]], "S/N > 10", "#6cb2f5"),
        (truth.mag[rows[good]], "useful labels", "#1a66c2"),
    ):
        numbers.hist(mag, bins, color=colour, label=f"{word}: {len(mag)}")
    numbers.set_xlabel("V / mag")
    numbers.set_ylabel("Stars")
    numbers.legend(frameon=False, fontsize=9, loc="upper left")
    contamination, use = np.asarray(table["contamination"]), usable(table, twins)
    for ax, name in zip(others, ("teff", "fe_h"), strict=True):
        symbol, unit, _ = LABELS[name]
        for values, word, colour in zip(errors[name], ("in the cluster", "alone"), ("#c94f00", "#3a4350"), strict=True):
            middles, spreads = [], []
            for low, high in pairwise(CROWDING):
                some = use & (contamination >= low) & (contamination < high)
                if some.sum() >= 5:
                    middles.append(np.median(contamination[some]))
                    spreads.append(centre(values[some])[1])
            ax.plot(middles, spreads, "o-" if word != "alone" else "s--", ms=4, lw=1.2, color=colour, label=word)
        ax.set_ylim(0, None)
        ax.set_xlabel("Light of other stars under the PSF")
        ax.set_ylabel(f"Error of {symbol}{f' / {unit}' if unit else ' / dex'}")
    others[0].legend(title="Same noise,", frameon=False, fontsize=9)
    for ax in (numbers, *others):
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, lw=0.6)
        ax.set_axisbelow(True)
    figure.savefig(path)


if __name__ == "__main__":
    main()
