"""Pairs of stars: what comes back of the fainter one, by PSF fitting and in an aperture. Run this file.

Pairs of 0.3 to 2 FWHM and magnitude differences of 0 to 3 lie in a grid, 36 spaxels apart, with single stars of every
magnitude among them. The simulator's PSF, noise (correlated by resampling) and sky lines are its own. The same few
spectra are used throughout, 250 km/s apart, so that one star's lines cannot pass for the other's. Measured are the flux
of the fainter star over its true one, and the correlation of its lines (the spectrum over its running median) with the
true ones; the single stars show what noise allows. Fluxes are fitted at the list's positions and at each star's own;
the noise is the median formal error. Prints a table and draws a figure.
"""

# ruff: noqa: E402 -- the path is set before the program is imported
from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
from scipy.ndimage import median_filter

from processing.cube import MuseCube
from processing.extraction.extract import extract
from processing.reference import read_star_list
from processing.settings import from_dict
from processing.simulate import SimulationSettings, draw_field, sample_library, write_cube, write_star_list
from processing.simulation.field import field_wcs, spectra

SEPARATIONS = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, np.inf)
"""FWHM; infinite: a single star."""
DIFFERENCES = (0.0, 1.0, 2.0, 3.0)
BRIGHT = 16.5
CELL = 36
WAYS = {"PSF fit": 1, "Aperture": 2}
"""What is drawn, and where it is in the table."""
VELOCITIES = (-150.0, 100.0)
"""Of the brighter and the fainter star, km/s."""
COLOURS = ("#1a66c2", "#00705a", "#c94f00", "#8c3fa8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=480, help="from 5000 A on")
    parser.add_argument("--repeats", type=int, default=2, help="pairs of each kind")
    parser.add_argument("--position-error", type=float, default=0.0, help="of the star list, arcsec per axis")
    parser.add_argument("--figure", type=Path, default=ROOT / "resources" / "figures" / "blends.png")
    args = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        truth, kinds, found = measure(Path(folder), args.layers, args.repeats, args.position_error)
    table = summary(truth, kinds, found)
    write(table)
    args.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(table, args.figure)
    print(f"{len(kinds)} pairs and single stars, {time.perf_counter() - start:.0f} s; {args.figure}")


def measure(folder, layers, repeats, position_error):
    """Simulate and extract; return the truth, (row of the fainter star, separation, difference), and both spectra."""
    kinds = [(s, d) for s in SEPARATIONS for d in DIFFERENCES for _ in range(repeats)]
    side = int(np.ceil(np.sqrt(len(kinds))))
    field = SimulationSettings(
        n_stars=2 * len(kinds), nx=side * CELL, ny=side * CELL, wave_min=5000.0, wave_max=5000.0 + 1.25 * (layers - 1),
        exptime=1800.0, refraction=(0.12, -0.08), seed=4,
    )  # fmt: skip
    fwhm = field.fwhm / field.pixel_scale * np.sqrt(1.0 - field.ellipticity) * (7000.0 / 5300.0) ** 0.2
    library = sample_library()
    drawn = draw_field(library, field)
    types = choose_types(library, drawn.wave, 2 * repeats).reshape(repeats, 2)
    rng = np.random.default_rng(5)
    x, y, mag, sort, which, rows = [], [], [], [], [], []
    for k, (separation, difference) in enumerate(kinds):
        cx, cy = (np.array([k % side, k // side]) + 0.5) * CELL + rng.uniform(-1, 1, 2)
        angle = rng.uniform(0, 2 * np.pi)
        single = np.isinf(separation)
        for n in (1,) if single else (0, 1):
            reach = 0.0 if single else (n - 0.5) * separation * fwhm
            x.append(cx + reach * np.cos(angle))
            y.append(cy + reach * np.sin(angle))
            mag.append(BRIGHT + n * difference)
            sort.append(types[k % repeats, n])
            which.append(n)
        rows.append(len(x) - 1)
    n = len(x)
    x, y, mag = np.array(x), np.array(y), np.array(mag)
    velocity = np.array(VELOCITIES)[which]
    flux = spectra(library, np.array(sort), velocity, mag, drawn.wave)
    ra, dec = field_wcs(field, true=True).all_pix2world(x, y, 0)
    truth = dataclasses.replace(drawn.take(np.arange(n)), x=x, y=y, mag=mag, flux=flux, ra=ra, dec=dec)
    write_cube(truth, field, folder / "cube.fits")
    wrong = position_error / 3600.0 * rng.standard_normal((2, n))
    listed = dataclasses.replace(truth, ra=ra + wrong[0] / np.cos(np.radians(dec)), dec=dec + wrong[1])
    write_star_list(listed, folder / "stars.csv")
    settings = [
        from_dict({
            "sources": {"merge_radius": 0.2, "confusion_density": 9.0, "position_error": error}, "psf": {"bins": 12}
        })
        for error in (0.0, "auto")
    ]  # fmt: skip
    with MuseCube.open(folder / "cube.fits") as cube:
        results = [extract(cube, read_star_list(folder / "stars.csv"), choice) for choice in settings]
        as_listed, moved = ({star.star_id: star for star in result.spectra} for result in results)
        radius, ring = 0.75 * fwhm, (2.8 * fwhm, 3.9 * fwhm)
        plain = {str(truth.star_id[i]): cube.aperture(x[i], y[i], radius, ring) for i in rows}
    singles = [i for i, (separation, _) in zip(rows, kinds, strict=True) if np.isinf(separation)]
    lost = np.median([ratio(truth, i, plain[str(truth.star_id[i])]) for i in singles])
    whole = {name: dataclasses.replace(s, flux=s.flux / lost, ivar=s.ivar * lost**2) for name, s in plain.items()}
    report(results, truth, field.pixel_scale)
    return truth, [(i, *kind) for i, kind in zip(rows, kinds, strict=True)], (as_listed, moved, whole)


def report(results, truth, scale) -> None:
    """Print the width of the PSF, and how far the bright stars are from their places, at both kinds of positions."""
    bright = truth.mag == BRIGHT
    for result in results:
        table, middle = result.sources, 0.5 * (truth.wave[0] + truth.wave[-1])
        away = np.stack([table.x - truth.x, table.y - truth.y])[:, bright]
        away = 1.4826 * np.median(np.abs(away - np.median(away, axis=1, keepdims=True)))
        print(f"FWHM {float(result.psf.fwhm(middle)):.4f} spaxels, bright stars within {1000 * away * scale:.1f} mas.")
    print(*[note for note in results[1].notes if "positions scatter" in note])


def choose_types(library, wave, n):
    """Return rows of the library that have lines to be recognised by, the first ones of those above the median."""
    inside = (library.wave > wave[0]) & (library.wave < wave[-1])
    lines = library.flux[:, inside] / median_filter(library.flux[:, inside], (1, 1001))
    strength = lines.std(axis=1)
    return np.flatnonzero(strength > np.median(strength))[:n]


def ratio(truth, i, star) -> float:
    """Return the flux over the true one, weighted by the true one."""
    good = star.good
    return float((star.flux[good] * truth.flux[i, good]).sum() / (truth.flux[i, good] ** 2).sum())


def noise(truth, i, star) -> float:
    """Return the formal error of `ratio`."""
    good = star.good
    return float(np.sqrt((truth.flux[i, good] ** 2 / star.ivar[good]).sum()) / (truth.flux[i, good] ** 2).sum())


def correlation(truth, i, star) -> float:
    """Return the correlation of the lines with the true ones."""
    good = star.good
    own, true = (
        f / median_filter(f, 101, mode="nearest") - 1.0
        for f in (np.where(good, star.flux, np.nanmedian(star.flux)), truth.flux[i])
    )
    use = good & (np.abs(own) < 5.0)
    return float(np.corrcoef(own[use], true[use])[0, 1])


def summary(truth, kinds, found):
    """Return {difference: {separation: [(flux error, correlation, noise) for each way]}}, medians."""
    table = {}
    for difference in DIFFERENCES:
        table[difference] = {}
        for separation in SEPARATIONS:
            rows = [i for i, s, d in kinds if s == separation and d == difference]
            values = []
            for spectra_by_name in found:
                stars = [(i, spectra_by_name.get(str(truth.star_id[i]))) for i in rows]
                got = [
                    (abs(ratio(truth, i, s) - 1), correlation(truth, i, s), noise(truth, i, s))
                    for i, s in stars
                    if s is not None
                ]
                values.append(np.median(got, axis=0) if got else np.full(3, np.nan))
            table[difference][separation] = values
    return table


def write(table) -> None:
    print("fainter star            at the list's positions        at each star's own             aperture")
    print("dmag   apart/FWHM   |flux error|   lines   |flux error|   lines    noise   |flux error|   lines")
    for difference, by_separation in table.items():
        for separation, (listed, moved, aperture) in by_separation.items():
            apart = "single" if np.isinf(separation) else f"{separation:.1f}"
            numbers = [f"{100 * flux:10.2f} %  {lines:6.3f}" for flux, lines, _ in (listed, moved, aperture)]
            numbers[1] += f"   {100 * moved[2]:4.2f} %"
            print(f"{difference:4.0f}   {apart:>10s}   {'   '.join(numbers)}")


def draw(table, path) -> None:
    """Draw flux error and correlation against separation, for both ways."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 5.6), dpi=110, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    apart = np.array(SEPARATIONS[:-1])
    for difference, colour in zip(DIFFERENCES, COLOURS, strict=True):
        values = np.array([table[difference][s] for s in SEPARATIONS])  # (separation, way, quantity)
        for way, which in enumerate(WAYS.values()):
            for quantity in (0, 1):
                ax = axes[quantity, way]
                ax.plot(
                    apart, values[:-1, which, quantity], "o-", ms=4, lw=1.2, color=colour, label=f"{difference:.0f} mag"
                )
                ax.axhline(values[-1, which, quantity], color=colour, lw=0.8, ls=":")
    for way, title in enumerate(WAYS):
        axes[0, way].set_title(title, fontsize=11)
        axes[0, way].set_yscale("log")
        axes[1, way].set_xlabel("Separation / FWHM")
    axes[0, 0].set_ylabel("Flux error of the fainter star")
    axes[1, 0].set_ylabel("Correlation with its true lines")
    axes[1, 0].set_ylim(None, 1.02)
    axes[0, 0].yaxis.set_major_formatter(lambda v, _: f"{100 * v:g} %")
    axes[1, 1].legend(title="Fainter by", frameon=False, fontsize=9, loc="lower right")
    for ax in axes.flat:
        ax.grid(alpha=0.25, lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
