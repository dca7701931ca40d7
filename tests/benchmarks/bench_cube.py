"""Time and memory of a 3 GB cube: run by hand, ``python -m tests.benchmarks.bench_cube [FOLDER] [--sparse]``.

Without ``--sparse`` the cube holds noise, so that the disk is really read; with it, all but a few layers are holes.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

from processing.cube import MuseCube

SHAPE = (3681, 320, 320)


def make_cube(path: Path, *, sparse: bool) -> None:
    header = fits.Header()
    cards = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4750.0, "CRPIX3": 1.0, "CD3_3": 1.25}
    cards |= {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 6.0, "CRVAL2": -72.0, "CRPIX1": 160, "CRPIX2": 160}
    cards |= {"CD1_1": -0.2 / 3600, "CD2_2": 0.2 / 3600}
    header.update(cards)
    fits.PrimaryHDU().writeto(path)
    layer = np.random.default_rng(1).normal(10, 2, SHAPE[1:]).astype(">f4")
    with open(path, "ab") as file:
        for name, values in (("DATA", layer), ("STAT", np.full_like(layer, 4))):
            image = fits.ImageHDU(np.zeros((1, 1, 1), "f4"), header, name=name).header
            image["NAXIS1"], image["NAXIS2"], image["NAXIS3"] = SHAPE[::-1]
            file.write(image.tostring().encode())
            start, size = file.tell(), values.nbytes * SHAPE[0]
            for index in range(SHAPE[0]):
                if not sparse or index % 460 == 0:
                    file.truncate(start + index * values.nbytes)
                    file.seek(0, 2)
                    file.write(np.roll(values, index).tobytes())
            file.truncate(start + size + -size % 2880)
            file.seek(0, 2)


def rss() -> float:
    """Return the largest memory so far in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 30 if sys.platform == "darwin" else 1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--sparse", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "cube.fits"
        make_cube(path, sparse=arguments.sparse)
        print(f"cube: {path.stat().st_size / 1e9:.2f} GB; start: {rss():.2f} GB")
        begin = time.perf_counter()
        cube = MuseCube.open(path)

        def lap(what: str) -> None:
            nonlocal begin
            print(f"{what:30s} {1000 * (time.perf_counter() - begin):9.1f} ms   peak {rss():.2f} GB")
            begin = time.perf_counter()

        lap("open")
        cube.layer(1840)
        lap("first layer")
        cube.spaxel(100, 100)
        lap("first spaxel")
        cube.overview()
        lap("overview")
        for index in range(100, 200):
            cube.layer(index)
        lap("100 layers")
        for index in range(20):
            cube.spaxel(100 + index, 50)
        lap("20 spaxels")
        cube.aperture(160, 160, 5, (8, 12))
        lap("aperture")
        cube.close()


if __name__ == "__main__":
    main()
