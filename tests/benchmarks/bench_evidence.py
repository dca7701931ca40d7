"""How often labels are flagged and known on synthetic spectra that no training saw, and how long the check takes.

Run by hand from the repository's root, ``python -m tests.benchmarks.bench_evidence [MODEL]``; needs ../shared/data.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from processing.labels.datasets import read_spectra
from processing.labels.fit import fit_labels
from processing.labels.gradients import check_gradients, flags, informative
from processing.labels.model_file import load_model
from processing.labels.split import held_back
from processing.preparation.lsf import degrading_resampler, lsf_fwhm
from processing.settings import EvidenceSettings, PreparationSettings, Settings
from processing.spectrum import StarSpectrum

SPECTRA = Path(__file__).resolve().parents[3] / "shared" / "data" / "synthetic" / "train_*.npz"
RANGES = {"full": PreparationSettings(), "bulge": PreparationSettings(telluric="narrow", wave_min=5991.0)}


def main() -> None:
    model = load_model(sys.argv[1] if len(sys.argv) > 1 else "physical")
    library = read_spectra(SPECTRA)
    held = held_back(len(library))
    wave = np.arange(4750.0, 9300.0, 1.25)
    fwhm = lsf_fwhm("muse-udf10", wave)
    resampler, _, _ = degrading_resampler(library.wave, lsf_fwhm("R=10000", library.wave), wave, fwhm)
    flux, _ = resampler.apply(library.flux[held], library.ivar[held])
    flux /= np.median(flux, axis=1, keepdims=True)
    teff, logg, iron = (library.labels[name][held] for name in ("teff", "logg", "fe_h"))
    groups = {"all": np.ones(len(flux), bool), "K giants": (teff < 5400) & (logg < 3.5) & (iron > -1.0)}
    print(f"{'':28}" + "".join(f"{name.removesuffix('_fe'):>5}" for name in model.labels))
    for title, preparation in RANGES.items():
        settings = Settings(preparation=preparation)
        for snr in (30.0, 80.0, 200.0):
            noise = np.random.default_rng(1).normal(size=flux.shape) / snr
            ivar = np.full(wave.size, snr**2, np.float32)
            stars = [
                StarSpectrum(str(i), wave, f.astype("f4"), ivar, lsf_fwhm=fwhm) for i, f in enumerate(flux + noise)
            ]
            fits = check_gradients(fit_labels(stars, model, settings), model, settings)
            rates = {
                word: np.array([judge(fit, EvidenceSettings()) for fit in fits])
                for word, judge in {"flag": flags, "info": informative}.items()
            }
            for group, chosen in groups.items():
                for word, values in rates.items():
                    row = "".join(f"{100 * rate:5.0f}" for rate in values[chosen].mean(axis=0))
                    print(f"{title:6}SNR {snr:3.0f} {group:9}{word:5}{row}")
    near = np.mean([fit.grad_distance < 3 for fit in fits])
    many = (fits * (1 + 5000 // len(fits)))[:5000]
    start = time.perf_counter(), time.process_time()
    check_gradients(many, model, Settings())
    print(f"D < 3 for {near:.0%}; 5000 stars checked in {time.perf_counter() - start[0]:.1f} s,", end=" ")
    print(f"{time.process_time() - start[1]:.1f} s of processor time")


if __name__ == "__main__":
    main()
