"""Extract a simulated cube of full size; report time, memory and accuracy. Run this file; ``--help`` says more.

Everything from opening the cube to writing the spectra is timed. The field is uniform or a cluster's; the PSF is a
pixel-integrated elliptical Moffat, or one that no profile of the program is; its width, exponent and place change with
wavelength; noise is uncorrelated, so that errors can be judged. ``--peers N`` measures N layers with photutils as well.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from full_cube import simulated
from star_fields import sky_positions, star_list

from processing.cube import MuseCube
from processing.extraction.extract import extract
from processing.settings import PsfSettings, Settings
from processing.spectra_io.write import write_spectrum_table

WITHIN = 15
"""Fluxes of a foreign PSF are compared within 3 arcsec, spaxels: what lies further out is sky to any extraction."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1000)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--layers", type=int, default=3681)
    parser.add_argument("--layout", choices=("uniform", "king"), default="uniform")
    parser.add_argument("--truth", choices=("moffat", "airy", "double"), default="moffat", help="the simulated PSF")
    parser.add_argument("--profile", default="moffat", help="the fitted profile")
    parser.add_argument("--no-residual", action="store_true", help="the profile alone")
    parser.add_argument("--peers", type=int, default=0, metavar="N", help="measure N layers with photutils as well")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the simulated cube there, use one that is")
    parser.add_argument("--simulate", action="store_true", help="simulate and keep the cube, no more")
    args = parser.parse_args()
    settings = Settings(psf=PsfSettings(profile=args.profile, residual=not args.no_residual), workers=args.workers)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path, mock = simulated(args.keep or folder, args.stars, args.size, args.layers, args.layout, args.truth)
        size = path.stat().st_size / 1e9
        print(
            f"{args.stars} stars, {args.layout}, {args.truth} PSF: {size:.2f} GB in {time.perf_counter() - start:.0f} s"
        )
        if args.simulate:
            return
        ra, dec = sky_positions(mock.x, mock.y, (args.size, args.size))
        result = timed(path, star_list(ra=ra, dec=dec, mag=mock.mag), settings)
        accuracy(path, result, mock)
        if args.peers:
            from photutils_peers import compare

            compare(path, result, mock, args.peers)


def timed(path, stars, settings):
    """Extract, write, and print the time of each stage and the memory."""
    marks = []

    def progress(fraction, text):
        stage = text.split(":")[0].rstrip("0123456789 ")
        if not marks or marks[-1][0] != stage:
            marks.append((stage, time.perf_counter()))

    start, cpu = time.perf_counter(), time.process_time()
    with MuseCube.open(path) as cube:
        result = extract(cube, stars, settings, progress=progress)
    marks.append(("Writing the spectra", time.perf_counter()))
    write_spectrum_table(result.spectra, path.with_name(f"{path.stem}-spectra.fits"))
    stop = time.perf_counter()
    for (stage, begin), (_, end) in zip(marks, [*marks[1:], ("", stop)], strict=True):
        print(f"  {end - begin:7.1f} s  {stage}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"  {stop - start:7.1f} s  all, {time.process_time() - cpu:.0f} s of CPU, {memory:.2f} GB of memory at most")
    print(f"  {' '.join(result.notes)}")
    return result


def accuracy(path, result, mock) -> None:
    """Print biases, scatter against the photon bound, and pulls."""
    rows = np.array([int(s.star_id[1:]) for s in result.spectra])
    measured, ivar = (np.stack([getattr(s, name) for s in result.spectra]) for name in ("flux", "ivar"))
    meta = {name: np.array([s.meta[name] for s in result.spectra]) for name in ("multistar", "contamination")}
    truth, wave = mock.flux[rows], result.spectra[0].wave
    if mock.psf != "moffat":
        layers = np.linspace(0, wave.size - 1, 25).astype(int)
        share = [ours_within(result.psf, wave[i]) / mock.within(WITHIN, mock.t[i]) for i in layers]
        scale = np.interp(wave, wave[layers], share)
        measured, ivar = measured * scale, ivar / scale**2
        print(f"  flux within {WITHIN / 5:.0f} arcsec, as the PSF has it:")
    pull = np.nanstd((measured - truth) * np.sqrt(ivar), axis=1)
    weight = np.where(ivar > 0, truth**2 * ivar, 0.0)
    ratio = np.nansum(weight * (measured / truth - 1.0), axis=1) / weight.sum(1)
    single, mag = ~meta["multistar"], mock.mag[rows]
    for low, high in ((14, 16), (16, 18), (18, 20), (20, 22)):
        some = (mag >= low) & (mag < high) & single
        if some.any():
            bias, spread = np.median(ratio[some]), 1.4826 * np.median(np.abs(ratio[some] - np.median(ratio[some])))
            print(
                f"  mag {low}-{high}: {some.sum():4d} stars, mean-spectrum bias {100 * bias:+.3f} %, "
                f"scatter {100 * spread:.2f} %, pull {np.median(pull[some]):.3f}"
            )
    bright = np.flatnonzero(single & (mag < 18) & (meta["contamination"] < 0.1))
    if bright.size == 0:
        return
    sums = [
        np.nansum((weight * (measured / truth - 1.0))[bright][:, part]) / weight[bright][:, part].sum()
        for part in parts(wave.size)
    ]
    print(
        f"  {bright.size} bright, unblended stars: bias by wavelength "
        + " ".join(f"{100 * s:+.3f}" for s in sums)
        + " %"
    )
    bound, formal = [], []
    with MuseCube.open(path) as cube:
        for i in np.linspace(0, wave.size - 1, 8).astype(int)[1:-1]:
            weights = cube.block(int(i), int(i) + 1).ivar[0]
            bound.append(mock.bound(1.0 / np.where(weights > 0, weights, np.nan), i)[rows[bright]])
            formal.append(1.0 / np.sqrt(np.where(ivar[bright, i] > 0, ivar[bright, i], np.nan)))
    above = np.nanmedian(np.array(formal) / np.array(bound))
    print(f"  .. scatter {np.median(pull[bright]) * above:.3f} of the photon bound, pull {np.median(pull[bright]):.3f}")


def parts(n):
    """Return six parts of the wavelength range."""
    edges = np.linspace(0, n, 7).astype(int)
    return [slice(a, b) for a, b in pairwise(edges)]


def ours_within(psf, wave):
    """Return the share of a star's light within `WITHIN` spaxels for the fitted PSF."""
    dy, dx = np.mgrid[-WITHIN - 1 : WITHIN + 1.01 : 0.25, -WITHIN - 1 : WITHIN + 1.01 : 0.25]
    return float(psf.at(wave)(dx, dy)[np.hypot(dx, dy) <= WITHIN].sum()) / 16.0


if __name__ == "__main__":
    main()
