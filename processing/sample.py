"""Make the sample spectra that ship from the synthetic set: ``python -m processing.sample DATA OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from processing.errors import StellacubeError
from processing.labels.split import held_back
from processing.simulation.library import FWHM_TO_SIGMA

N_SPECTRA = 40
RESOLUTION = 4000.0
"""Just finer than MUSE at its red end (FWHM 2.57 A at 9300 A)."""
PIXELS_PER_FWHM = 3.0
NATIVE_RESOLUTION = 10000.0


def make_sample(data: str | Path, out: str | Path) -> None:
    """Choose and store the sample.

    Only spectra that `processing.labels.split.held_back` keeps from every training are taken, of F, G and K stars
    with 4000 < Teff < 6900 K, 0.5 < log g and -2 < [Fe/H] < 0.5, spread as widely as they are.

    Parameters
    ----------
    data : path
        Folder with the synthetic training set, ``train_*.npz``.
    out : path
        The file to write.
    """
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import gaussian_filter1d

    labels, norm, continuum, index, wave, knots = _read(Path(data))
    kept = held_back(len(labels)) & (labels[:, 0] > 4000) & (labels[:, 0] < 6900)
    kept &= (labels[:, 1] > 0.5) & (labels[:, 2] > -2) & (labels[:, 2] < 0.5)
    rows = np.sort(np.flatnonzero(kept)[_spread(labels[kept][:, :3] / (1000.0, 1.0, 0.6), N_SPECTRA)])

    # The finest step of the input in log wavelength is 0.2 A at 9350 A; smooth there, then take every n-th pixel.
    step = 1.0 / (PIXELS_PER_FWHM * RESOLUTION)
    fine_step = step / 4
    fine = np.exp(np.arange(np.log(wave[0]), np.log(wave[-1]), fine_step))
    sigma = FWHM_TO_SIGMA * np.sqrt(RESOLUTION**-2 - NATIVE_RESOLUTION**-2) / fine_step
    smooth = np.empty((len(rows), len(fine[::4])), np.uint16)
    for i, row in enumerate(rows):
        level = np.interp(fine, knots, continuum[row])
        flux = CubicSpline(wave, norm[row] * (1.25 / 65535))(fine) * level
        smooth[i] = np.round((gaussian_filter1d(flux, sigma, mode="nearest") / level)[::4] * (65535 / 1.25))
    np.savez_compressed(
        out,
        labels=labels[rows],
        index=index[rows],
        norm=smooth,
        continuum=continuum[rows],
        wave_continuum=knots,
        log_wave_start=np.log(wave[0]),
        log_wave_step=step,
        resolution=RESOLUTION,
    )


def _read(data: Path) -> tuple[np.ndarray, ...]:
    """Join the files of the synthetic set in the order of their names."""
    files = [np.load(path) for path in sorted(data.glob("train_*.npz"))]
    if not files:
        raise StellacubeError(f"There is no synthetic training set (train_*.npz) in {data}.")
    joined = (np.concatenate([file[name] for file in files]) for name in ("labels", "norm", "continuum", "index"))
    return (*joined, files[0]["wave_air"], files[0]["wave_cont"])


def _spread(points: np.ndarray, n: int) -> np.ndarray:
    """Return `n` rows, each the farthest from those before it, from the most central on."""
    chosen = [int(np.argmin(np.linalg.norm(points - np.median(points, axis=0), axis=1)))]
    nearest = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < n:
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)


if __name__ == "__main__":
    make_sample(*sys.argv[1:3])
