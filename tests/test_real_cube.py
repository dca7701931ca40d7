"""A real MUSE cube: with real stars of known labels in it, and as it is."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from real_cube import CORE, PLACES, REAL_LSF, Injection, inject, minicube

from processing.cube import MuseCube
from processing.cube_info import describe_cube
from processing.labels.split import reserved
from processing.pipeline import RunInputs, RunResult, run
from processing.session import Session
from processing.settings import PreparationSettings, Settings, SolveSettings
from processing.simulation.compare import compare

log = logging.getLogger(__name__)

STARS = (
    "HD87822", "HD134169", "HD157214", "HD163993", "HD94264", "HD125560",  # STELIB
    "HD16673", "HD95128", "HD157910", "HD10780", "HD32147", "HD136726",  # Indo-US
)  # fmt: skip
BOUNDS = {"teff": 200.0, "logg": 0.5, "fe_h": 0.25}
"""Largest median |fit - catalogue|. The libraries' own labels differ by 221 K, 0.26 and 0.13 dex."""


@pytest.fixture(scope="module")
def injection(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Injection:
    return inject(minicube(), shared / "data", tmp_path_factory.mktemp("injected"))


@pytest.fixture(scope="module")
def result(injection: Injection) -> RunResult:
    preparation = PreparationSettings(lsf=f"{REAL_LSF}")
    solve = SolveSettings(sky_patch=10)  # the background is a galaxy, not a flat sky
    inputs = RunInputs(injection.cube, injection.stars, out=injection.cube.parent / "run")
    return run(inputs, replace(Settings(), preparation=preparation, solve=solve))


def test_the_stars_are_in_no_training_set(injection: Injection) -> None:
    assert injection.names == STARS
    assert reserved(STARS).all()


def test_injection_is_consistent(injection: Injection) -> None:
    """The light is all there and the variance is that of the photons."""
    with fits.open(injection.cube) as with_stars, fits.open(minicube()) as without:
        light = with_stars["DATA"].data - without["DATA"].data
        variance = with_stars["STAT"].data - without["STAT"].data
    x, y = np.round(PLACES[4]).astype(int)
    window = np.s_[:, y - 4 : y + 5, x - 4 : x + 5]
    share = np.nansum(light[window], axis=(1, 2)) / injection.truth.flux[4]
    assert 0.75 < np.median(share) < 1.0
    chi = (light - np.nanmean(light[1000:1100], axis=0))[1000:1100] / np.sqrt(variance[1000:1100])
    assert np.isfinite(light[:, y, x]).all()
    assert np.nanstd(chi[:, y, x]) < 3.0


def test_twelve_spectra_and_labels(injection: Injection, result: RunResult) -> None:
    table = result.catalogue.table
    assert sorted(table["stellar_id"]) == sorted(injection.truth.star_id)
    # The galaxy is a cooling-flow one: its own H-alpha at 7140 A may put a star next to it out of scope.
    assert np.isin(table["quality"], ("good", "check", "poor")).sum() >= 11
    place = {str(star): i for i, star in enumerate(injection.truth.star_id)}
    rows = [place[str(star)] for star in table["stellar_id"]]
    for column, name in enumerate(("teff", "logg", "fe_h")):
        difference = np.asarray(table[name]) - injection.truth.labels[rows, column]
        log.info("%s: %s", name, np.round(difference, 2))
        assert np.median(np.abs(difference)) < BOUNDS[name], name
    difference = np.asarray(table["rv"]) - injection.truth.velocity[rows]
    log.info("rv: %s", np.round(difference, 2))
    assert np.median(np.abs(difference)) < 20.0  # STELIB's own zero points wobble by 15 km/s


def test_the_light_comes_back(injection: Injection, result: RunResult) -> None:
    with Session.open(result.session, read_only=True) as session:
        comparison = compare(injection.truth, result.catalogue, list(session.spectra()))
    assert comparison["flux_isolated"].n >= 10
    # The galaxy's light in the wings of the fitted PSF makes stars too bright by a few per cent.
    assert abs(comparison["flux_isolated"].bias) < 0.1
    assert comparison["flux_isolated"].dispersion < 0.03


def test_the_untouched_cube_is_described() -> None:
    facts = " ".join(describe_cube(minicube()).values())
    for words in (
        "Abell 478",
        "MUSE WFM-NOAO-N",
        "40 x 40 spaxels, 3681 layers",
        "4749.89-9349.89",
        "in air",
        '0.200"',
    ):
        assert words in facts


@pytest.mark.slow
def test_a_galaxy_core_is_no_star(tmp_path: Path) -> None:
    path = minicube()
    with MuseCube.open(path) as cube:
        assert cube.instrument == "MUSE"
        ra, dec = cube.pixel_to_world(*CORE)
    (tmp_path / "list.csv").write_text(f"id,ra,dec,mag\ncore,{float(ra):.7f},{float(dec):.7f},17.0\n")
    result = run(RunInputs(path, tmp_path / "list.csv", out=tmp_path / "run"), Settings())
    table = result.catalogue.table
    assert list(table["stellar_id"]) == ["core"]
    assert table["quality"][0] in ("out of scope", "poor")
    assert table["quality_reason"][0] != ""
    assert table["red_chi2"][0] > 30


def test_the_wcs_of_the_real_cube_is_the_one_astropy_reads() -> None:
    path = minicube()
    with MuseCube.open(path) as cube:
        expected = WCS(fits.getheader(path, "DATA")).celestial.all_pix2world(*CORE, 0)
        np.testing.assert_allclose(cube.pixel_to_world(*CORE), expected, rtol=1e-9)
