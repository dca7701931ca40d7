"""The pipeline: the same catalogue however often it is interrupted, and nothing written over by mistake."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from models import tiny_model
from stand_ins import MODEL, fit_of, spectrum

import processing.cube
import processing.extraction.extract
import processing.labels.fit
import processing.labels.gradients
import processing.labels.model_file
from processing.errors import Cancelled, StellacubeError
from processing.extraction.automatic import settle
from processing.pipeline import RunInputs, extract_only, fit_only, run
from processing.progress import stop_if
from processing.project import OutputExists
from processing.session import Session
from processing.settings import from_dict
from processing.spectra_io import read_file, write_spectrum

N_STARS = 7
SETTINGS = from_dict({"fit": {"batch": 3}})


class FakeCube:
    """Stands for a cube: opening is all that the pipeline itself does with one."""

    notes = ("The cube is not a real one.",)
    mode, pixel_scale = "NFM-AO-N", 0.025

    @classmethod
    def open(cls, path):
        return cls()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def overview(self, *, progress, cancelled):
        return SimpleNamespace(white=np.ones((4, 5), np.float32))


class Stages:
    """Stand-ins for extraction and fit that count their work and can fail on demand."""

    def __init__(self):
        self.blocks, self.fitted, self.fail_after = 0, [], None

    def extract(self, cube, stars, settings, *, overview, checkpoint, progress, cancelled):
        spectra = [spectrum(str(name), seed) for seed, name in enumerate(stars.star_id)]
        for start in range(0, len(spectra), 2):
            stop_if(cancelled)
            progress(start / len(spectra), "Solving")
            if checkpoint.load(f"solve/{start:04d}") is None:
                self.blocks += 1
                checkpoint.save(f"solve/{start:04d}", {"flux": np.stack([s.flux for s in spectra[start : start + 2]])})
        flux = np.concatenate([checkpoint.load(f"solve/{start:04d}")["flux"] for start in range(0, len(spectra), 2)])
        spectra = tuple(replace(s, flux=f) for s, f in zip(spectra, flux, strict=True))
        return SimpleNamespace(
            spectra=spectra, sources=_sources(stars), residual=np.zeros((4, 5), np.float32), notes=("7 extracted.",)
        )

    def fit(self, spectra, model, settings, *, progress, cancelled):
        stop_if(cancelled)
        if self.fail_after is not None and len(self.fitted) >= self.fail_after:
            raise MemoryError
        self.fitted += [star.star_id for star in spectra]
        return [fit_of(star) for star in spectra]


def _sources(stars):
    from stand_ins import sources

    return replace(sources(len(stars)), star_id=stars.star_id)


@pytest.fixture
def stages(monkeypatch):
    stages = Stages()
    monkeypatch.setattr(processing.cube, "MuseCube", FakeCube)
    monkeypatch.setattr(processing.extraction.extract, "extract", stages.extract)
    monkeypatch.setattr(processing.labels.fit, "fit_labels", stages.fit)
    monkeypatch.setattr(processing.labels.gradients, "check_gradients", lambda fits, *_, **__: fits)
    monkeypatch.setattr(processing.labels.model_file, "load_model", lambda path: MODEL)
    return stages


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "cube.fits").write_bytes(b"a cube" * 1000)
    (tmp_path / "model.npz").write_bytes(b"a model")
    rows = [f"s{n},{6 + n / 1000},-72.0,{17 + n}" for n in range(N_STARS)]
    (tmp_path / "stars.csv").write_text("id,ra,dec,F606W\n" + "\n".join(rows) + "\n")
    return RunInputs(tmp_path / "cube.fits", tmp_path / "stars.csv", out=tmp_path / "out")


@pytest.fixture
def settings(tmp_path):
    return replace(SETTINGS, fit=replace(SETTINGS.fit, model=str(tmp_path / "model.npz")))


def files(folder):
    """Return every file of a folder with its content, the date of the run left out."""
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


def test_a_run_writes_what_it_says(inputs, settings, stages):
    shares = []
    result = run(inputs, settings, progress=lambda fraction, text: shares.append(fraction))
    out = inputs.out
    assert len(result.catalogue) == N_STARS
    assert set(result.files) == {path for path in out.rglob("*") if path.is_file()} - {result.session}
    assert {path.name for path in out.iterdir()} == {
        "cube.stellacube", "cube_catalogue.csv", "cube_catalogue.fits", "cube_sources.csv", "cube_spectra.fits",
        "spectra",
    }  # fmt: skip
    assert len(list((out / "spectra").iterdir())) == N_STARS
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert result.notes == ("The cube is not a real one.", "7 extracted.")
    assert set(result.seconds) == {"extraction", "fit", "writing"}
    assert result.catalogue.magnitude == "mag_F606W"
    roles = {file.role for file in result.catalogue.provenance.inputs}
    assert roles == {"cube", "stars", "model"}
    with Session.open(result.session, read_only=True) as session:
        assert session.star_ids("fits") == session.star_ids() == tuple(f"s{n}" for n in range(N_STARS))
        assert session.image("white").shape == session.image("residual").shape == (4, 5)
        assert len(session.catalogue()) == N_STARS
        assert session.load("solve/0000") is None  # the pieces would double the file
    (star,) = read_file(out / "spectra" / "cube_ids3.fits")
    assert np.array_equal(star.flux, spectrum("s3", 3).flux, equal_nan=True)


def test_a_second_run_does_nothing_again(inputs, settings, stages):
    first = run(inputs, settings)
    before = files(inputs.out)
    second = run(inputs, settings)
    assert stages.blocks == 4
    assert len(stages.fitted) == N_STARS
    assert second.notes == first.notes
    after = files(inputs.out)
    assert after.keys() == before.keys()
    assert after["cube_catalogue.csv"] == before["cube_catalogue.csv"]


@pytest.mark.parametrize("calls", range(1, 16, 2))
def test_an_interrupted_run_goes_on_and_ends_the_same(inputs, settings, stages, tmp_path, calls):
    run(replace(inputs, out=tmp_path / "whole"), settings)
    stages.blocks, stages.fitted = 0, []
    left = iter(range(calls))
    try:
        run(inputs, settings, cancelled=lambda: next(left, None) is None)
    except Cancelled:
        assert not (inputs.out / "cube_catalogue.csv").exists()
    run(inputs, settings)
    assert stages.blocks == 4  # no block was made twice
    assert sorted(stages.fitted) == sorted(set(stages.fitted))
    assert files(inputs.out)["cube_catalogue.csv"] == files(tmp_path / "whole")["cube_catalogue.csv"]


def test_fits_made_before_a_crash_are_kept(inputs, settings, stages):
    stages.fail_after = 3
    with pytest.raises(MemoryError):
        run(inputs, settings)
    with Session.open(inputs.session, read_only=True) as session:
        assert session.star_ids("fits") == ("s0", "s1", "s2")
    stages.fail_after, stages.fitted = None, []
    run(inputs, settings)
    assert stages.fitted == ["s3", "s4", "s5", "s6"]
    assert stages.blocks == 4


def test_what_the_program_chose_is_recorded_with_the_results(inputs, settings, stages):
    first, again = run(inputs, settings), run(inputs, settings)  # the second finds all that it needs in the session
    for result in (first, again):
        used = result.catalogue.provenance.settings
        assert (used.psf.profile, used.psf.radius, used.solve.sky) == ("double_moffat", 35.0, "constant")
    with Session.open(inputs.session, read_only=True) as session:
        assert session.settings == settings


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i, s: (i, replace(s, psf=replace(s.psf, profile="gaussian"))), "psf.profile"),
        (
            lambda i, s: (i, replace(s, fit=replace(s.fit, abundance_prior=0.1))),
            "fit.abundance_prior = 0.3 instead of 0.1",
        ),
        (lambda i, s: (_other(i, "cube"), s), "another cube"),
        (lambda i, s: (_other(i, "stars"), s), "another star list"),
        (lambda i, s: (replace(i, stars=None), s), "another star list"),
    ],
)
def test_another_runs_results_are_not_written_over(inputs, settings, stages, change, words):
    run(inputs, settings)
    before = files(inputs.out)
    other, others = change(replace(inputs, name="cube"), settings)
    with pytest.raises(OutputExists) as caught:
        run(other, others)
    assert words in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert files(inputs.out) == before


def _other(inputs, role):
    path = getattr(inputs, role)
    other = path.with_name(f"other_{path.name}")
    other.write_bytes(path.read_bytes() + b"\n")
    return replace(inputs, **{role: other})


def test_overwriting_keeps_what_does_not_depend_on_the_change(inputs, settings, stages):
    run(inputs, settings)
    changed = replace(settings, fit=replace(settings.fit, abundance_prior=0.1))
    run(inputs, changed, overwrite=True)
    assert stages.blocks == 4
    assert len(stages.fitted) == 2 * N_STARS
    changed = replace(changed, psf=replace(changed.psf, profile="gaussian"))
    result = run(inputs, changed, overwrite=True)
    assert stages.blocks == 8
    assert len(stages.fitted) == 3 * N_STARS
    assert result.catalogue.provenance.settings == settle(changed, narrow=True)[0]


def test_overwriting_leaves_nothing_of_the_other_run(inputs, settings, stages):
    run(inputs, settings)
    (inputs.out / "spectra" / "mine.fits").write_text("the user's own")
    lines = inputs.stars.read_text().splitlines()
    inputs.stars.write_text("\n".join(lines[:4]) + "\n")
    fewer = replace(settings, catalogue=replace(settings.catalogue, formats=("ecsv",)))
    result = run(inputs, fewer, overwrite=True)
    assert set(inputs.out.rglob("*.*")) == {*result.files, result.session, inputs.out / "spectra" / "mine.fits"}
    assert len(result.catalogue) == 3


def test_a_run_never_writes_over_its_own_input(inputs, settings, stages):
    session = run(inputs, settings).session
    before = files(inputs.out)
    with pytest.raises(StellacubeError, match="write over its own input"):
        fit_only(RunInputs(spectra=(session,), out=inputs.out), settings, overwrite=True)
    sources = inputs.out / "cube_sources.csv"
    with pytest.raises(StellacubeError, match="write over its own input"):
        run(replace(inputs, stars=sources), settings, overwrite=True)
    assert files(inputs.out) == before
    result = fit_only(RunInputs(spectra=(session,), out=inputs.out, name="again"), settings)
    assert len(result.catalogue) == N_STARS


def test_what_concerns_the_output_alone_may_differ(inputs, settings, stages):
    run(inputs, settings)
    changed = replace(
        settings, workers=1, catalogue=replace(settings.catalogue, formats=("ecsv",), write_spectra=False)
    )
    result = run(inputs, changed)
    assert [path.name for path in result.files] == ["cube_sources.csv", "cube_catalogue.ecsv"]
    assert len(stages.fitted) == N_STARS


def test_inputs_that_moved_are_the_same(inputs, settings, stages, tmp_path):
    run(inputs, settings)
    moved = (tmp_path / "elsewhere").mkdir() or inputs.cube.rename(tmp_path / "elsewhere" / "x.fits")
    run(replace(inputs, cube=moved, name="cube"), settings)
    assert len(stages.fitted) == N_STARS


def test_files_of_another_program_are_not_written_over(inputs, settings, stages):
    inputs.out.mkdir()
    (inputs.out / "cube_catalogue.csv").write_text("mine")
    with pytest.raises(OutputExists, match=r"holds cube_catalogue\.csv already"):
        run(inputs, settings)
    assert files(inputs.out) == {"cube_catalogue.csv": b"mine"}
    run(inputs, settings, overwrite=True)
    assert files(inputs.out)["cube_catalogue.csv"] != b"mine"


def test_an_extraction_alone_is_taken_up_by_a_run(inputs, settings, stages):
    result = extract_only(inputs, settings)
    assert len(result.catalogue) == N_STARS
    assert set(result.catalogue.table["quality"]) == {"not fitted"}
    assert not (inputs.out / "cube_catalogue.csv").exists()
    run(inputs, settings)
    assert stages.blocks == 4
    with_labels = files(inputs.out)["cube_catalogue.csv"]
    extract_only(inputs, settings)  # takes nothing away
    assert files(inputs.out)["cube_catalogue.csv"] == with_labels
    run(inputs, settings)
    assert len(stages.fitted) == N_STARS


def test_the_output_folder_is_tried_before_the_work(inputs, settings, stages, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StellacubeError, match="is a file or lies below one"):
        run(replace(inputs, out=tmp_path / "file" / "out"), settings)
    assert stages.blocks == 0


def test_a_wrong_model_is_refused_before_the_work(inputs, stages, monkeypatch):
    monkeypatch.undo()
    wrong = from_dict({"fit": {"model": str(inputs.cube)}})
    with pytest.raises(StellacubeError, match="not a model file"):
        run(inputs, wrong)
    assert not inputs.out.exists()


@pytest.mark.parametrize("role", ["cube", "stars"])
def test_a_missing_input_is_a_sentence(inputs, settings, stages, role):
    with pytest.raises(StellacubeError, match="There is no file"):
        run(replace(inputs, **{role: inputs.out / "none"}), settings)
    assert not inputs.out.exists()


def test_a_full_disk_at_the_end_loses_nothing(inputs, settings, stages, monkeypatch):
    real = os.replace

    def full(source, target):
        if str(target).endswith("catalogue.fits"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StellacubeError, match="disk is full"):
        run(inputs, settings)
    assert not list(inputs.out.rglob(".*"))  # no unfinished files
    monkeypatch.setattr(os, "replace", real)
    run(inputs, settings)
    assert len(stages.fitted) == N_STARS


def test_two_runs_into_one_session_are_kept_apart(inputs, settings, stages):
    run(inputs, settings)
    with Session.open(inputs.session), pytest.raises(StellacubeError, match="in use by another run"):
        run(inputs, settings)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        (RunInputs(cube="a/ngc.104.fits.gz"), "ngc.104"),
        (RunInputs(cube="x.FITS", name="mine"), "mine"),
        (RunInputs(spectra=("d/stars",)), "stars"),
        (RunInputs(spectra=("a.fits", "b.fits")), "spectra"),
    ],
)
def test_names_of_projects(inputs, name):
    from pathlib import Path

    inputs = replace(
        inputs, cube=inputs.cube and Path(inputs.cube), spectra=tuple(Path(path) for path in inputs.spectra)
    )
    assert inputs.project == name


def test_spectra_are_fitted_for_real(tmp_path):
    """The real fit, through files, on spectra that its own (random) network makes; twice in different order."""
    from processing.labels.model_file import save_model

    model = tiny_model()
    save_model(model, tmp_path / "tiny.npz")
    folder = tmp_path / "spectra"
    folder.mkdir()
    rng = np.random.default_rng(5)
    labels = rng.uniform(model.label_min + 0.3 * (model.label_max - model.label_min), model.label_max)
    wave = np.arange(4950.0, 5420.0, 0.8)
    for number in range(3):
        labels = rng.uniform(
            0.6 * model.label_min + 0.4 * model.label_max, 0.4 * model.label_min + 0.6 * model.label_max
        )
        flux = np.interp(wave, model.wave, model.network.flux(labels[None])[0]) + rng.normal(0, 0.002, wave.size)
        star = replace(
            spectrum("1"), star_id=str(number), wave=wave, flux=flux.astype("f4"), ivar=np.full(wave.size, 2.5e5, "f4")
        )
        write_spectrum(replace(star, meta={}), folder / f"{number}.fits")
    settings = from_dict({"fit": {"model": str(tmp_path / "tiny.npz"), "batch": 2}, "preparation": {"lsf": "R=1800"}})
    result = fit_only(RunInputs(spectra=(folder,), out=tmp_path / "out"), settings)
    table = result.catalogue.table
    assert list(table["stellar_id"]) == ["0", "1", "2"]
    assert np.isfinite(table["teff"]).all()
    single = [folder / f"{number}.fits" for number in (2, 0, 1)]
    other = fit_only(RunInputs(spectra=tuple(single), out=tmp_path / "other"), settings).catalogue.table
    other.sort("stellar_id")
    for name in result.catalogue.labels:
        assert np.abs(table[name] - other[name]) == pytest.approx(
            0.0, abs=1e-3 * np.asarray(table[f"{name}_err"]).min()
        )
