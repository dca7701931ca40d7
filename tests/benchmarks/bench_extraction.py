"""Extract a simulated cube of full size; report time, memory and accuracy. Run this file; ``--help`` says more.

The field is uniform and crowded; the PSF is a pixel-integrated elliptical Moffat whose width, exponent and place change
with wavelength; noise is uncorrelated, so that errors can be judged. Everything from opening the cube is timed.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "processing")]

from star_fields import moffat, sky_positions, star_list, write_header  # noqa: E402

from processing.cube import MuseCube  # noqa: E402
from processing.extraction.extract import extract  # noqa: E402
from processing.settings import Settings  # noqa: E402

REACH = 50
BLOCK = 32
NODES = (-0.5 / 3**0.5, 0.5 / 3**0.5)


class Painter:
    """Paints stars of unit flux with PSFs that change with wavelength (t from 0 to 1)."""

    def __init__(self, x, y, size):
        self.x, self.y, self.size = x, y, size
        oy, ox = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
        px, py = np.rint(x).astype(int)[:, None, None] + ox, np.rint(y).astype(int)[:, None, None] + oy
        self.keep = (px >= 0) & (px < size) & (py >= 0) & (py < size)
        self.px, self.py = px, py
        self.star = np.broadcast_to(np.arange(x.size)[:, None, None], px.shape)[self.keep]
        self.pixel = (py * size + px)[self.keep]

    def matrix(self, t):
        from scipy.sparse import csr_matrix

        dx = (self.px - (self.x + 0.3 * t)[:, None, None])[self.keep].astype(np.float32)
        dy = (self.py - (self.y - 0.2 * t)[:, None, None])[self.keep].astype(np.float32)
        shape = (4.2 - 0.5 * t, 2.5 + 0.3 * t, 0.05, 0.6)
        value = sum(moffat(dx + a, dy + b, *shape) for a in NODES for b in NODES) / 4.0
        return csr_matrix((value.astype(np.float32), (self.pixel, self.star)), shape=(self.size**2, self.x.size))


def simulate(path, n_star, size, n_wave, seed=1):
    """Write the cube layer by layer in float32; return positions, magnitudes, fluxes (n_star, n_wave)."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-2, size + 1, (2, n_star))
    mag = 14.0 + np.log10(1 + rng.random(n_star) * (10 ** (0.3 * 8) - 1)) / 0.3
    wave = np.linspace(4750.0, 9350.0, n_wave)
    t = np.linspace(0.0, 1.0, n_wave)
    lines = 1.0 - 0.4 * rng.random(n_wave) ** 8
    slope = rng.uniform(-0.5, 0.5, n_star)
    flux = (3e5 * 10 ** (-0.4 * (mag - 14.0))[:, None] * (1 + slope[:, None] * (t - 0.5)) * lines).astype(np.float32)
    sky = 120.0 * (1.0 + 8.0 * rng.random(n_wave) ** 12)
    painter = Painter(x, y, size)
    offset, stat_offset = write_header(path, wave, size)
    data = np.memmap(path, ">f4", "r+", offset, (n_wave, size, size))
    stat = np.memmap(path, ">f4", "r+", stat_offset, (n_wave, size, size))
    last = painter.matrix(0.0)
    for a in range(0, n_wave, BLOCK):
        b = min(a + BLOCK, n_wave)
        first, last = last, painter.matrix(t[min(b, n_wave - 1)])
        part = (np.arange(b - a) / (b - a)).astype(np.float32)
        image = (first @ (flux[:, a:b] * (1 - part)) + last @ (flux[:, a:b] * part)).T.reshape(b - a, size, size)
        variance = image + sky[a:b, None, None] + 25.0
        noisy = image + sky[a:b, None, None] + np.sqrt(variance) * rng.standard_normal(image.shape, np.float32)
        noisy[:, [0, 1, 2, -3, -2, -1]] = noisy[:, :, [0, 1, 2, -3, -2, -1]] = np.nan
        noisy[rng.random(image.shape, np.float32) < 1e-4] = np.nan
        data[a:b], stat[a:b] = noisy, variance
    return x, y, mag, flux


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1000)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--layers", type=int, default=3681)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.fits"
        start = time.perf_counter()
        with ProcessPoolExecutor(1) as pool:  # a process of its own, so that the memory below is the extraction's
            x, y, mag, flux = pool.submit(simulate, path, args.stars, args.size, args.layers).result()
        print(f"simulated in {time.perf_counter() - start:.0f} s: {path.stat().st_size / 1e9:.2f} GB")
        ra, dec = sky_positions(x, y, (args.size, args.size))
        report(path, star_list(ra=ra, dec=dec, mag=mag), flux, args.workers)
        print(f"  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB of memory at most")


def report(path, stars, flux, workers) -> None:
    """Extract and print stage times and accuracy."""
    marks = []

    def progress(fraction, text):
        stage = text.split(":")[0].rstrip("0123456789 ")
        if not marks or marks[-1][0] != stage:
            marks.append((stage, time.perf_counter()))

    start = time.perf_counter()
    with MuseCube.open(path) as cube:
        result = extract(cube, stars, Settings(workers=workers), progress=progress)
    stop = time.perf_counter()
    for (stage, begin), (_, end) in zip(marks, [*marks[1:], ("", stop)], strict=True):
        print(f"  {end - begin:7.1f} s  {stage}")
    print(f"  {stop - start:7.1f} s  all; {' '.join(result.notes)}")
    index = {name: i for i, name in enumerate(stars.star_id)}
    rows = np.array([index[s.star_id] for s in result.spectra])
    measured = np.stack([s.flux for s in result.spectra])
    ivar = np.stack([s.ivar for s in result.spectra])
    alone = np.array([not s.meta["multistar"] for s in result.spectra])
    truth = flux[rows]
    pull = np.nanstd((measured - truth) * np.sqrt(ivar), axis=1)
    ratio = np.nanmean(measured / truth - 1.0, axis=1)
    for low, high in ((14, 16), (16, 18), (18, 20), (20, 22)):
        some = (stars.mag[rows] >= low) & (stars.mag[rows] < high) & alone
        if some.any():
            bias, spread = np.median(ratio[some]), 1.4826 * np.median(np.abs(ratio[some] - np.median(ratio[some])))
            print(
                f"  mag {low}-{high}: {some.sum():4d} stars, mean-spectrum bias {100 * bias:+.3f} %, "
                f"scatter {100 * spread:.2f} %, pull {np.median(pull[some]):.3f}"
            )


if __name__ == "__main__":
    main()
