"""The comparison with the truth: its statistics, and that it can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from processing.catalogue.agreement import Recovery
from processing.catalogue.table import Catalogue
from processing.errors import StellacubeError
from processing.provenance import Provenance
from processing.settings import Settings
from processing.simulate import SimulationSettings, Truth, draw_field, sample_library
from processing.simulation.compare import blended, compare
from processing.spectrum import StarSpectrum

BOUNDS = {"teff": (30.0, 120.0), "rv": (2.0, 5.0), "flux_isolated": (0.01, 0.01), "flux_blended": (0.01, 0.01)}


@pytest.fixture(scope="module")
def truth() -> Truth:
    return draw_field(sample_library(), SimulationSettings())


def catalogue_of(truth: Truth, rng: np.random.Generator) -> Catalogue:
    n = len(truth)
    table = Table(
        {
            "stellar_id": truth.star_id.astype("U20"),
            "teff": truth.labels[:, 0] + rng.normal(10.0, 80.0, n),
            "rv": truth.velocity + rng.normal(0.0, 3.0, n),
            "snr_der": np.full(n, 50.0),
            "psf_fwhm": np.full(n, 4.0),
            "quality": np.full(n, "good", "U12"),
        }
    )
    return Catalogue(table, Provenance((), Settings()))


def spectra_of(truth: Truth, factor: float) -> list[StarSpectrum]:
    ivar = np.ones(len(truth.wave), np.float32)
    ivar[::50] = 0
    flux = np.where(ivar > 0, truth.flux * factor, np.nan).astype(np.float32)
    return [StarSpectrum(str(star), truth.wave, f, ivar) for star, f in zip(truth.star_id, flux, strict=True)]


def test_recovery_is_median_and_half_the_central_range() -> None:
    values = np.append(np.random.default_rng(1).normal(3.0, 2.0, 100_000), np.nan)
    row = Recovery.of("teff", "Teff", "K", values)
    assert row.n == 100_000
    assert row.bias == pytest.approx(3.0, abs=0.03)
    assert row.dispersion == pytest.approx(2.0, rel=0.02)


def test_a_good_catalogue_passes_whatever_its_order(truth: Truth) -> None:
    catalogue = catalogue_of(truth, np.random.default_rng(2))
    order = np.random.default_rng(3).permutation(len(truth))
    comparison = compare(truth, replace(catalogue, table=catalogue.table[order]), spectra_of(truth, 1.005))
    assert comparison.n_used == len(truth)
    assert comparison["teff"].n == len(truth)
    assert comparison["flux_blended"].bias == pytest.approx(0.005, abs=1e-4)
    assert comparison.failures(BOUNDS) == []


def test_shuffled_stars_fail(truth: Truth) -> None:
    catalogue = catalogue_of(truth, np.random.default_rng(2))
    table = catalogue.table.copy()
    table["stellar_id"] = np.roll(table["stellar_id"], 1)
    failures = compare(truth, replace(catalogue, table=table)).failures({"teff": BOUNDS["teff"], "rv": BOUNDS["rv"]})
    assert len(failures) >= 2


def test_lost_stars_and_missing_values_fail(truth: Truth) -> None:
    catalogue = catalogue_of(truth, np.random.default_rng(2))
    few = compare(truth, replace(catalogue, table=catalogue.table[:10]))
    assert "10 of 40" in few.failures({})[0]
    table = catalogue.table.copy()
    table["quality"] = "out of scope"
    nothing = compare(truth, replace(catalogue, table=table))
    assert nothing.n_used == 0
    assert len(nothing.failures({"teff": BOUNDS["teff"]})) == 3
    table["stellar_id"] = "other"
    with pytest.raises(StellacubeError, match="no star in common"):
        compare(truth, replace(catalogue, table=table))


def test_blends_are_near_and_not_much_fainter(truth: Truth) -> None:
    three = replace(truth.take(np.arange(3)), x=np.array([10.0, 14.0, 40.0]), y=np.full(3, 20.0))
    assert blended(replace(three, mag=np.array([16.0, 17.0, 16.0])), 4.0).tolist() == [True, True, False]
    assert blended(replace(three, mag=np.array([16.0, 19.0, 16.0])), 4.0).tolist() == [False, True, False]
