"""How the time of an extraction grows with stars and layers: run this file with ``--out growth.png``.

Uniform fields; everything from opening the cube to the spectra is timed. ``--layers`` and ``--size`` make it small.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from full_cube import simulated
from star_fields import sky_positions, star_list

from processing.cube import MuseCube
from processing.extraction.extract import extract
from processing.settings import Settings

STARS = (50, 200, 1000, 2000, 5000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=3681)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--stars", type=int, nargs="+", default=STARS)
    parser.add_argument("--out", type=Path, default=Path("growth.png"))
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the simulated cubes there, use those that are"
    )
    args = parser.parse_args()
    by_stars = [measure(n, args.layers, args.size, args.keep) for n in args.stars]
    layers = [args.layers // k for k in (16, 4, 2)]
    by_layers = [measure(1000, n, args.size, args.keep) for n in layers]
    if 1000 in args.stars:
        layers.append(args.layers)
        by_layers.append(by_stars[list(args.stars).index(1000)])
    draw(args.stars, by_stars, layers, by_layers, args.out)


def measure(n_star, n_wave, size, keep):
    """Return the seconds before, during and after the PSF fit, and print them."""
    marks = {}

    def progress(fraction, text):
        marks.setdefault("psf" if "PSF" in text else "solve" if "Solving" in text else "start", time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        path, mock = simulated(keep or folder, n_star, size, n_wave)
        ra, dec = sky_positions(mock.x, mock.y, (size, size))
        begin = time.perf_counter()
        with MuseCube.open(path) as cube:
            result = extract(cube, star_list(ra=ra, dec=dec, mag=mock.mag), Settings(workers=2), progress=progress)
        end = time.perf_counter()
    seconds = np.diff([begin, marks["psf"], marks["solve"], end])
    stages = ", ".join(f"{s:.1f}" for s in seconds)
    print(
        f"{n_star:5d} stars ({len(result.spectra):4d} extracted), {n_wave:4d} layers: {end - begin:6.1f} s ({stages})"
    )
    return seconds


def draw(stars, by_stars, layers, by_layers, path) -> None:
    """Draw the times of the stages against stars and layers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, at, seconds, name in (
        (left, stars, by_stars, f"stars in the list ({max(layers)} layers)"),
        (right, layers, by_layers, "layers (1000 stars)"),
    ):
        order = np.argsort(at)
        at, seconds = np.array(at)[order], np.array(seconds)[order]
        for k, (label, colour) in enumerate((("registration", "#999999"), ("PSF", "#e69f00"), ("solve", "#0072b2"))):
            axis.plot(at, seconds[:, k], "o-", color=colour, label=label, markersize=4, linewidth=1.2)
        axis.plot(at, seconds.sum(1), "o-", color="black", label="all", markersize=4, linewidth=1.8)
        axis.set(xscale="log", yscale="log", xlabel=name)
        axis.set_xticks(at, [f"{n:d}" for n in at])
        axis.set_yticks([3, 10, 30, 100, 300], ["3", "10", "30", "100", "300"])
        axis.minorticks_off()
        axis.grid(color="#e5e5e5", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("seconds on two cores")
    left.legend(frameon=False, loc="upper left", ncols=2)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
