"""Fit and solve a small narrow field with MAOPPY's profile and with others; report bias, scatter and time.

The stars are painted by MAOPPY itself, called directly on pixels of 1/7 spaxel, or are the simulator's core and halo,
two Moffats. A name that ends in ``-`` is a profile without the residual image.
"""

# ruff: noqa: E402 -- the path and the threads are set before the imports
from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "processing")]

import numpy as np
import star_fields

from processing.extraction.automatic import NARROW
from processing.extraction.layer_model import StarField
from processing.extraction.psf_fit import core_radius, fit_psf
from processing.extraction.solve import solve_cube
from processing.simulation.modes import mode_settings
from processing.simulation.psf import psf_at

FINE, SIZE = 7, 230
TRUE = {"r0": 0.14, "bck": 0.004, "amp": 6.0, "alpha": 0.15, "ratio": 1.04, "theta": 0.6, "beta": 1.7}
"""MAOPPY's parameters at 5000 A."""
DRIFT = (0.5, -0.3)
N_BOUND = 6
"""Layers in which the photon bound is computed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", choices=PAINTERS, default="maoppy", help="what paints the stars")
    parser.add_argument("--profiles", nargs="*", default=["maoppy", "moffat_gaussian", "double_moffat"])
    parser.add_argument("--size", type=int, default=120, help="spaxels along an edge")
    parser.add_argument("--stars", type=int, default=40)
    parser.add_argument("--step", type=float, default=25.0, help="of the layers, Angstrom")
    parser.add_argument("--bins", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    psf, wave = PAINTERS[args.truth], np.arange(4750.0, 9350.0, args.step)
    star_fields.moffat = lambda dx, dy, wave, *_: psf(dx, dy, wave)
    made = star_fields.make_field(
        5, args.stars, (args.size, args.size), wave, fwhm=(wave[0], wave[-1]), drift=DRIFT, mags=(13.0, 17.0),
        sky=20.0, reach=min(100, args.size), integrate=False,
    )  # fmt: skip
    print(f"{made.shape[0]} layers of {args.size} x {args.size}, {args.stars} stars painted by {args.truth}")
    flux = made.flux.mean(1)
    for name in args.profiles:
        settings = replace(NARROW.psf, profile=name.rstrip("-"), residual=not name.endswith("-"), bins=args.bins)
        start = time.perf_counter()
        model = fit_psf(
            made, made.x, made.y, flux / 35.0, 3.0, settings, flux=flux, solve=NARROW.solve, workers=args.workers
        )
        seconds = (time.perf_counter() - start) / args.bins
        print(f"{name:16s} {judge(made, model, settings, psf)}; {seconds:.1f} s per bin with {args.workers} workers")


def painted(dx, dy, wave):
    """Return what MAOPPY says of pixels at offsets (dx, dy)."""
    from scipy.ndimage import map_coordinates

    at = [o * FINE + SIZE * FINE // 2 for o in (dy, dx)]
    return map_coordinates(image_of(float(wave)), at, order=3, prefilter=False, mode="nearest")


@lru_cache(maxsize=30)
def image_of(wave):
    """Return spline coefficients of MAOPPY's image, summed over spaxels."""
    from maoppy.instrument import Instrument
    from maoppy.psfmodel import Psfao
    from scipy.ndimage import spline_filter, uniform_filter

    system = Instrument(D=8.0, occ=0.14, res=np.deg2rad(0.025 / 3600) / FINE, Nact=34)
    model = Psfao((SIZE * FINE, SIZE * FINE), system=system, samp=system.samp(wave * 1e-10))
    image = model(Psfao.param_scaling(list(TRUE.values()), wave / 5000.0))
    return spline_filter(uniform_filter(image, FINE) * FINE**2, 3)


def simulated(dx, dy, wave):
    """Return the simulator's core and halo."""
    return psf_at(float(wave), mode_settings("NFM-AO-N"))(dx, dy)


PAINTERS = {"maoppy": painted, "simulator": simulated}


def judge(made, model, settings, psf):
    """Solve, and return bias, scatter over the photon bound and pull of the brightest third in words."""
    radius = core_radius(settings, float(model.fwhm(made.wave).max()), made.shape[1:])
    solution = solve_cube(made, StarField(made.x, made.y, model, made.shape[1:], radius, NARROW.solve))
    bright = np.argsort(made.mag)[: max(6, made.x.size // 3)]
    error, ivar, truth = solution.flux[bright] / made.flux[bright] - 1.0, solution.ivar[bright], made.flux[bright]
    weight, error = ivar * truth**2, np.nan_to_num(error)
    bias = (weight * error).sum(1) / weight.sum(1)
    colours = [
        (weight * error)[:, part].sum() / weight[:, part].sum() for part in np.array_split(np.arange(made.wave.size), 4)
    ]
    yy, xx = np.indices(made.shape[1:])
    layers, t = np.arange(2, made.wave.size, max(1, made.wave.size // N_BOUND)), np.linspace(-1, 1, made.wave.size)
    over = []
    for k, i in enumerate(bright):
        good = ivar[k] > 0
        scatter = np.std(error[k, good] - np.polynomial.Chebyshev.fit(t[good], error[k, good], 6)(t[good]))
        shares = (
            psf(xx - made.x[i] - DRIFT[0] * made.truth["t"][n], yy - made.y[i] - DRIFT[1] * made.truth["t"][n],
                made.wave[n]) for n in layers
        )  # fmt: skip
        bound = [
            (share**2 * made.ivar[n]).sum() * made.flux[i, n] ** 2 for n, share in zip(layers, shares, strict=True)
        ]
        over.append(scatter / np.sqrt(np.mean(1.0 / np.array(bound))))
    pull = np.std(error * np.sqrt(weight), axis=1)
    return (
        f"bias {100 * np.median(bias):+.2f} % ({' '.join(f'{100 * c:+.2f}' for c in colours)} from blue to red), "
        f"scatter {np.median(over):.2f} of the photon bound, pull {np.median(pull):.2f}, "
        f"chi {np.median(model.bin_chi):.2f}"
    )


if __name__ == "__main__":
    main()
