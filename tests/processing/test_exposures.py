"""Several cubes of one field: a session each, one catalogue; an interrupted run goes on where it stopped."""

from __future__ import annotations

import numpy as np
import pytest
from models import tiny_model
from star_fields import make_field, sky_positions, write_cube

import processing.exposures
from processing.errors import Cancelled, StellacubeError
from processing.exposures import run_exposures
from processing.labels.model_file import save_model
from processing.settings import from_dict
from processing.spectra_io import read_file

WAVE = np.arange(4930.0, 5440.0, 1.25)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Return two cubes of the same six stars, their list, and settings with a quick model."""
    folder = tmp_path_factory.mktemp("nights")
    rng = np.random.default_rng(3)
    x, y, mag = rng.uniform(6, 44, 6), rng.uniform(6, 44, 6), np.linspace(15.5, 17.0, 6)
    cubes = []
    for seed in (1, 2):
        made = make_field(seed, shape=(50, 50), wave=WAVE, positions=(x, y), magnitudes=mag, reach=25)
        cubes.append(write_cube(made, folder / f"night{seed}.fits"))
    ra, dec = sky_positions(x, y, (50, 50))
    rows = [f"{i + 1},{float(ra[i])!r},{float(dec[i])!r},{mag[i]}" for i in range(6)]
    (folder / "stars.csv").write_text("\n".join(["id,ra,dec,mag", *rows]))
    save_model(tiny_model(), folder / "tiny.npz")
    settings = from_dict({"fit": {"model": str(folder / "tiny.npz")}, "workers": 1, "psf": {"bins": 4}})
    return cubes, folder / "stars.csv", settings


def test_one_catalogue_of_both(tmp_path, night, monkeypatch):
    cubes, stars, settings = night
    extracted = []
    real = processing.exposures.extract_only

    def extract_only(run, *arguments, **options):
        extracted.append(run.project)
        if len(extracted) == 2:
            raise Cancelled
        return real(run, *arguments, **options)

    monkeypatch.setattr(processing.exposures, "extract_only", extract_only)
    with pytest.raises(Cancelled):
        run_exposures(cubes, stars, tmp_path, settings)
    result = run_exposures(cubes, stars, tmp_path, settings)
    assert extracted == ["night1", "night2", "night2"]  # what was finished is not done again
    table = result.catalogue.table
    assert sorted(table["stellar_id"]) == [str(i + 1) for i in range(6)]
    assert any("12 exposures of 6 stars" in note for note in result.notes)
    assert any(note.startswith("night1: 6 extracted") for note in result.notes)
    for name in ("night1.stellacube", "night2_sources.csv", "combined_catalogue.csv", "combined_spectra.fits"):
        assert (tmp_path / name).exists(), name
    one, two, both = (
        {star.star_id: star for star in read_file(tmp_path / f"{name}.stellacube")}
        for name in ("night1", "night2", "combined")
    )
    for name, star in both.items():
        assert star.meta["cube"] == "night1.fits + night2.fits"
        assert star.snr == pytest.approx(np.hypot(one[name].snr, two[name].snr), rel=0.05)


def test_what_cannot_be_combined_is_said(tmp_path, night):
    cubes, stars, settings = night
    with pytest.raises(StellacubeError, match="one cube only"):
        run_exposures(cubes[:1], stars, tmp_path, settings)
    with pytest.raises(StellacubeError, match="same name"):
        run_exposures([cubes[0], cubes[0]], stars, tmp_path, settings)
    assert not list(tmp_path.iterdir())
