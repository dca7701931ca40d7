"""A model against known labels: what was put in comes out, and a wrong catalogue shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from typer.testing import CliRunner

from processing.cli import app
from processing.errors import StellacubeError
from processing.labels.model_file import load_model
from processing.labels.names import CORE
from processing.labels.validate import Sample, read_sample, summary, validate_model, validation_table
from processing.settings import Settings
from tests.processing.mock_spectra import labels_of, observed

STARS = [(4800.0, 2.4, 0.1, 1.5)] * 6 + [(5700.0, 4.4, -0.3, 1.1)] * 6


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Twelve noisy stars; the catalogue has Teff 150 K too high, and a star hotter than any that was trained on."""
    model = load_model("physical")
    truth = labels_of(model, *STARS, (7100.0, 4.0, 0.0, 1.5))
    spectra = tuple(replace(s, star_id=f"{i}") for i, s in enumerate(observed(model, truth, snr=150)))
    given = {name: truth[:, i].copy() for i, name in enumerate(CORE)}
    given["teff"] += 150.0
    return Sample(spectra, given, {name: np.zeros(13) for name in CORE})


def test_bias_dispersion_and_pulls_by_group(sample: Sample):
    model = replace(load_model("physical"), error=None, scatter=np.zeros(load_model("physical").wave.size))
    found = validate_model(model, sample, Settings())
    rows = {(group.group, group.label): group for group in found.groups}
    assert rows["all", "teff"].n == 12
    assert rows["giants", "logg"].n == rows["dwarfs", "logg"].n == 6
    assert {group for group, _ in rows} == {"all", "giants", "dwarfs", "-0.5 < [Fe/H] < 0.0", "0.0 < [Fe/H]"}
    error = np.median([fit.errors_scaled()[:3] for fit in found.fits], axis=0)
    assert rows["all", "teff"].bias == pytest.approx(-150, abs=2 * error[0])
    assert abs(rows["all", "fe_h"].bias) < 2 * error[2]
    assert 0.3 < rows["all", "fe_h"].pull < 2
    assert rows["all", "fe_h"].gradcorr > 0.8
    assert rows["all", "fe_h"].flagged == 1
    assert [row[0] for row in summary(found)] == ["all"] * 3 + ["giants"] * 3 + ["dwarfs"] * 3


def test_command_writes_table_and_figure(sample: Sample, tmp_path: Path):
    arrays = {name: np.array([getattr(s, name) for s in sample.spectra]) for name in ("flux", "ivar")}
    np.savez(
        tmp_path / "stars.npz", wave_air=sample.spectra[0].wave, **arrays, **sample.truth,
        star=np.array([s.star_id for s in sample.spectra]),
    )  # fmt: skip
    read = read_sample(tmp_path / "stars.npz", "")
    assert np.array_equal(read.truth["teff"], sample.truth["teff"])
    done = CliRunner().invoke(
        app, ["validate", "physical", str(tmp_path / "stars.npz"), "--lsf", "3.2", "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    table = Table.read(tmp_path / "out" / "validation.ecsv")
    assert set(table["group"]) >= {"all", "giants", "dwarfs"}
    assert (tmp_path / "out" / "validation.png").stat().st_size > 10_000


def test_a_sample_without_the_models_labels_is_refused(sample: Sample):
    with pytest.raises(StellacubeError, match="none of the labels"):
        validate_model(load_model("physical"), Sample(sample.spectra, {}, {}), Settings())
    few = Sample(sample.spectra[:3], {n: v[:3] for n, v in sample.truth.items()}, sample.error)
    with pytest.raises(StellacubeError, match="Only 3"):
        validate_model(load_model("physical"), few, Settings())


def test_the_table_has_units(sample: Sample):
    found = validate_model(load_model("physical"), sample, Settings())
    table = validation_table(found)
    assert table["unit"][list(table["label"]).index("teff")] == "K"
    assert "15.87" in table["dispersion"].info.description
