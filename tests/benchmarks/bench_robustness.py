"""Extract cubes in which something is wrong, and those of other modes; print what becomes of the spectra.

Run this file; ``--help`` says more. The field is simulated with truth; each row spoils it in one way. Flux errors are
medians over wavelength of found / true - 1, then over the stars that the defect touches and over all others.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from processing.cube import MuseCube
from processing.extraction.extract import extract
from processing.reference import read_star_list
from processing.settings import PsfSettings, Settings
from processing.simulate import draw_field, sample_library, simulate_field, write_cube, write_star_list
from processing.simulation import defects
from processing.simulation.modes import mode_settings

NO_STARS = np.zeros(0, int)


def cases(truth, settings):
    """Return (name, defects, stars that they touch, settings of the extraction)."""
    middle = np.hypot(truth.x - settings.nx / 2, truth.y - settings.ny / 2)
    inside = np.flatnonzero(middle < 0.4 * settings.nx)
    bright = int(inside[np.argmin(truth.mag[inside])])
    lonely = [i for i in inside if np.sort(np.hypot(truth.x - truth.x[i], truth.y - truth.y[i]))[1] > 8]
    star = int(min(lonely or inside.tolist(), key=lambda i: truth.mag[i]))
    x, y = float(truth.x[star]), float(truth.y[star])
    row = round(y)
    peak = float(np.median(truth.flux[bright])) * 0.03
    across = np.abs((truth.y - y) * np.cos(0.5) - (truth.x - x) * np.sin(0.5))
    n_wave = truth.wave.size
    plain = Settings()
    gaussian = replace(plain, psf=PsfSettings(profile="gaussian", residual=False))
    on = {
        "row": np.flatnonzero(np.abs(truth.y - row) < 4), "trail": np.flatnonzero(across < 4),
        "star": np.array([star]), "bright": np.array([bright]), "all": np.arange(len(truth)),
    }  # fmt: skip
    trail = [defects.satellite_trail(x, y, np.degrees(0.5), 4.0, s) for s in (1.0, 10.0)]
    return [
        ("nothing", [], NO_STARS, plain),
        ("Gaussian fitted to Moffat stars", [], on["all"], gaussian),
        ("saturated star", [defects.saturated_star(truth.x[bright], truth.y[bright], peak)], on["bright"], plain),
        ("dead slice", [defects.dead_slice(row - 1, row + 2)], on["row"], plain),
        ("satellite trail, 1 sigma", [trail[0]], on["trail"], plain),
        ("satellite trail, 10 sigma", [trail[1]], on["trail"], plain),
        ("cosmic rays, 1 %, 30 sigma", [defects.cosmic_rays(0.01, 30.0)], on["all"], plain),
        ("block missing over a star", [defects.missing_block(x, y, 5, n_wave // 4, n_wave // 2)], on["star"], plain),
        ("variances ten times too small", [defects.wrong_variance(0.1)], on["all"], plain),
        ("variances ten times too large", [defects.wrong_variance(10.0)], on["all"], plain),
    ]


def run(name, cube, stars, truth, touched, settings):
    """Extract one cube and print a row."""
    with MuseCube.open(cube) as opened:
        result = extract(opened, read_star_list(stars), replace(settings, workers=2))
    place = {str(star): i for i, star in enumerate(truth.star_id)}
    index = np.array([place[s.star_id] for s in result.spectra])
    flux, ivar = (np.array([getattr(s, what) for s in result.spectra]) for what in ("flux", "ivar"))
    good = ivar > 0
    error = np.where(good, flux / truth.flux[index] - 1.0, np.nan)
    with np.errstate(invalid="ignore"):
        star_error = np.nanmedian(error, axis=1)
        pull = (flux - truth.flux[index]) * np.sqrt(ivar)
    hit = np.isin(index, touched)

    def column(which):
        if not which.any():
            return f"{'-':>7s} {'-':>7s} {'-':>6s} {'-':>5s}"
        values = star_error[which]
        low, middle, high = np.percentile(values, (15.87, 50, 84.13))
        wave_scatter = 1.4826 * np.nanmedian(np.abs(pull[which] - np.nanmedian(pull[which], axis=1)[:, None]))
        chi = np.median([s.meta["psf_chi"] for s, w in zip(result.spectra, which, strict=True) if w])
        return f"{100 * middle:+7.2f} {50 * (high - low):7.2f} {wave_scatter:6.2f} {chi:5.2f}"

    statuses, counts = np.unique(result.sources.status[touched], return_counts=True)
    words = ", ".join(f"{c} {s}" for s, c in zip(statuses, counts, strict=True))
    print(f"{name:32s} | {column(hit)} | {column(~hit)} | {good.mean():5.3f} | {words}")
    for note in result.notes:
        if not note.startswith(("Magnitude", "With fewer")) and "coincide" not in note and "extracted of" not in note:
            print(f"{'':34s}{note}")


HEADER = (
    f"{'':32s} | touched: bias %, scatter %, pull, chi | others: the same           | valid | touched stars' status"
)


def main():
    """Make the cubes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=100, help="side of the field, spaxels")
    parser.add_argument("--stars", type=int, default=60)
    parser.add_argument("--step", type=float, default=1.25, help="layer's width, Angstrom")
    parser.add_argument("--only", default="", help="part of the name of the rows to run")
    choices = parser.parse_args()
    shape = {
        "n_stars": choices.stars, "nx": choices.size, "ny": choices.size, "wave_step": choices.step, "resampling": 0.0,
    }  # fmt: skip
    base = mode_settings("WFM-NOAO-N", **shape)
    print(HEADER)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = draw_field(sample_library(), base)
        write_cube(truth, base, folder / "sound.fits")
        write_star_list(truth, folder / "stars.csv")
        for title, spoiling, touched, settings in cases(truth, base):
            if choices.only in title:
                shutil.copy(folder / "sound.fits", folder / "spoilt.fits")
                defects.spoil_cube(folder / "spoilt.fits", spoiling)
                run(title, folder / "spoilt.fits", folder / "stars.csv", truth, touched, settings)
        for mode in ("WFM-NOAO-E", "WFM-AO-N", "NFM-AO-N"):
            if choices.only in f"mode {mode}":
                field = mode_settings(mode, **shape)
                truth = simulate_field(sample_library(), field, folder / "mode.fits", folder / "mode.csv")
                run(f"mode {mode}", folder / "mode.fits", folder / "mode.csv", truth, NO_STARS, Settings())


if __name__ == "__main__":
    main()
