"""Small records that the tests of sessions, catalogues and the pipeline pass around."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from processing.extraction.sources import SourceTable
from processing.labels.fit import LabelFit
from processing.spectrum import StarSpectrum

LABELS = ("teff", "fe_h")
WAVE = 4750.0 + 1.25 * np.arange(400)
GRID = np.linspace(4760.0, 5200.0, 300)


def spectrum(star_id: str, seed: int = 0, **entries: object) -> StarSpectrum:
    """Return a noisy spectrum with a masked stretch and complete metadata."""
    rng = np.random.default_rng(seed)
    ivar = rng.uniform(0.01, 0.04, WAVE.size).astype(np.float32)
    ivar[50:60] = 0.0
    flux = rng.normal(1000.0, 10.0, WAVE.size).astype(np.float32)
    flux[55] = np.nan
    meta = {
        "cube": "cube.fits", "date_obs": "2020-01-02T03:04:05", "multistar": False, "in_field": True,
        "edge_dist": 12.5, "psf_fwhm": 3.21, "n_eff": 1.1, "contamination": 0.05, "status": "extracted",
    }  # fmt: skip
    values = {"ra": 6.0236 + seed, "dec": -72.0813, "x": 10.25, "y": 20.75, "mag": 17.5, "barycentric": 12.3}
    return StarSpectrum(star_id, WAVE, flux, ivar, "air", "1e-20 erg/s/cm2/A", meta=meta, **(values | entries))


def fit_of(star: StarSpectrum, **entries: object) -> LabelFit:
    """Return a fit whose labels follow from the spectrum, so that a wrong pairing shows."""
    total = float(np.nansum(star.flux))
    n_pix = GRID.size
    covariance = np.diag([100.0**2, 0.05**2, 1.0])
    values = {
        "labels": LABELS, "values": np.array([4000.0 + total % 1000.0, -total % 1.0]), "rv": total % 50.0,
        "covariance": covariance, "covariance_scaled": 9.0 * covariance, "error_scale": 3.0, "red_chi2": 9.0,
        "corr_flux": 0.97, "n_pix": n_pix, "n_masked": 7, "n_replaced": 2, "n_coarser": 0, "converged": True,
        "extrapolated": False, "in_scope": True, "wave": GRID, "flux": np.ones(n_pix, np.float32),
        "ivar": np.full(n_pix, 1e4, np.float32), "best": np.where(np.arange(n_pix) % 7, 1.0, 0.5).astype(np.float32),
        "mask_reason": np.zeros(n_pix, np.uint8), "note": "",
    }  # fmt: skip
    return LabelFit(star.star_id, **(values | entries))


def sources(n: int) -> SourceTable:
    """Return a list of which every third star is too faint."""
    index = np.arange(n)
    status = np.where(index % 3 == 2, "faint", "extracted")
    reason = np.where(status == "faint", "its predicted signal-to-noise is 1.2", "")
    number = index.astype(float)
    return SourceTable(
        star_id=np.array([f"s{i}" for i in index]), x=number, y=number, ra=number, dec=-number,
        mag=np.where(index == 1, np.nan, 17.0), status=status, reason=reason, flux_predicted=number,
        snr_predicted=number, multistar=index == 0, edge_dist=number,
    )  # fmt: skip


MODEL = SimpleNamespace(
    name="stand-in", version="1", labels=LABELS, label_min=np.array([3800.0, -2.5]), label_max=np.array([7000.0, 0.5]),
    training_labels=np.stack(np.meshgrid(np.linspace(3800, 7000, 17), np.linspace(-2.5, 0.5, 13)), -1).reshape(-1, 2),
    companion=None,
)  # fmt: skip
