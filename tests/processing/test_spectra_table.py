"""Training spectra in an astronomer's own files, the example configurations, and a training that stops in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from processing.errors import StellacubeError
from processing.labels.datasets import Grid, prepare_sets, read_spectra
from processing.labels.model_file import LabelModel, load_model
from processing.labels.student import Lesson, StudentSettings, train_student
from processing.labels.training import train_from_config
from processing.paths import resource
from processing.preparation.air import observed as doppler
from processing.spectra_io.write import write_spectrum
from processing.spectrum import StarSpectrum
from tests.processing.mock_spectra import observable

EXAMPLES = sorted(resource("models/examples").glob("*.toml"))
SPEED = np.linspace(-300, 300, 12)


@pytest.fixture(scope="module")
def model() -> LabelModel:
    return load_model("physical")


def grid_of(model: LabelModel) -> Grid:
    return Grid(model.wave, model.lsf_fwhm, model.continuum, model.frame)


def write_index(folder: Path, model: LabelModel, n: int) -> np.ndarray:
    """Write n spectra of a network, each at a velocity of its own, with an index; return their labels."""
    labels = np.asarray(model.training_labels[:n], float)
    rows = {"file": [f"star{i}.fits" for i in range(n)], "star": [f"HD{7000 + i // 2}" for i in range(n)]}
    speed = np.resize(SPEED, n)
    for i, flux in enumerate(observable(model, labels)):
        ivar = np.full(flux.size, 1e4, np.float32)
        ivar[40 * i : 40 * i + 20] = 0
        wave = doppler(model.wave, "air", float(speed[i]), "air")
        write_spectrum(StarSpectrum(f"s{i}", wave, flux, ivar), folder / rows["file"][i])
    table = Table({**rows, "rv": speed, **dict(zip(model.labels, labels.T, strict=True))})
    table["teff_err"] = 50.0
    table.write(folder / "lamost.ecsv", format="ascii.ecsv")
    return labels


def test_a_fits_table_is_read_as_an_npz_is(tmp_path: Path):
    rng = np.random.default_rng(1)
    flux, wave = rng.uniform(0.5, 1.5, (5, 40)).astype(np.float32), np.linspace(5000, 5100, 40)
    flux[2, 7] = np.nan
    columns = {"teff": np.linspace(4000, 6000, 5), "feh": np.zeros(5), "teff_err": np.full(5, 60.0)}
    names = np.array([f"HD{i}" for i in range(5)])
    np.savez(tmp_path / "a.npz", wave_vac=wave, flux=flux, ivar=np.full(flux.shape, 25.0), star=names, **columns)
    table = {"WAVE_VAC": np.tile(wave, (5, 1)), "FLUX": flux, "ERROR": np.full(flux.shape, 0.2), "star": names}
    Table({**table, **columns}).write(tmp_path / "a.fits")
    one, other = read_spectra(tmp_path / "a.npz"), read_spectra(tmp_path / "a.fits")
    assert one.stars == other.stars
    assert other.frame == "vacuum"
    for name in ("wave", "flux", "ivar"):
        assert np.allclose(getattr(one, name), getattr(other, name))
    assert np.array_equal(one.labels["teff"], other.labels["teff"])
    assert np.array_equal(one.label_errors["teff"], other.label_errors["teff"])
    table["WAVE_VAC"][3] += 1
    Table({**table, **columns}).write(tmp_path / "b.fits")
    with pytest.raises(StellacubeError, match="differ in wavelengths"):
        read_spectra(tmp_path / "b.fits")


def test_spectra_of_an_index_are_brought_to_rest(model: LabelModel, tmp_path: Path):
    labels = write_index(tmp_path, model, 12)
    lsf = f"{float(np.median(model.lsf_fwhm)):.3f}"
    found = prepare_sets(tmp_path / "lamost.ecsv", grid_of(model), lsf, model.labels, {})
    assert found.stars[:3] == ("HD7000", "HD7000", "HD7001")
    assert np.allclose(found.labels, labels)
    assert (found.label_errors[:, 0] == 50).all()
    inside = slice(100, -100)
    good = found.ivar[:, inside] > 0
    assert 0.97 < good.mean() < 1
    difference = (found.flux - model.network.flux(labels))[:, inside][good]
    assert np.std(difference) < 0.006  # a pixel of velocity would make it 0.02


def test_an_index_without_files_is_refused(tmp_path: Path):
    Table({"teff": [5000.0]}).write(tmp_path / "a.ecsv", format="ascii.ecsv")
    with pytest.raises(StellacubeError, match="no column 'file'"):
        prepare_sets(tmp_path / "a.ecsv", None, "3", ("teff",), {})  # type: ignore[arg-type]


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_the_example_configurations_train(page: Path, model: LabelModel, tmp_path: Path):
    write_index(tmp_path, model, 30)
    text = page.read_text(encoding="utf-8").replace("[300, 300]", "[8, 8]").replace("units = 64", "units = 4")
    (tmp_path / page.name).write_text(text.replace("steps = 60000", "steps = 20"), encoding="utf-8")
    made = train_from_config(tmp_path / page.name)
    assert made.masks_dichroic
    assert len(made.labels) == (17 if made.role == "G" else 19)
    assert made.error is not None
    assert load_model(tmp_path / f"{page.stem}.npz").role == made.role


def test_a_training_stops_when_it_gets_no_better():
    rng = np.random.default_rng(3)
    labels = rng.uniform(-1, 1, (300, 2))
    lesson = Lesson(labels, rng.normal(size=(300, 3)), np.eye(3), np.zeros(3))  # nothing to be learned
    seen: list[float] = []
    settings = StudentSettings(hidden=(64, 64), units=3, steps=100_000, batch=64, patience=3)
    network = train_student(
        lesson, -np.ones(2), np.ones(2), settings, 1, progress=lambda fraction, _: seen.append(fraction)
    )
    assert 3 < len(seen) < 20
    held = network.bottleneck(labels[:6]) - lesson.coefficients[:6]
    assert np.sqrt((held**2).mean()) < 1.5
