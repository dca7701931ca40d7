"""Training on a small invented world whose spectra follow a formula: what is learned is known exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from processing.errors import Cancelled, StellacubeError
from processing.labels.correction import CorrectionSettings, Residuals, learn_correction
from processing.labels.model_file import load_model
from processing.labels.real_stars import read_libraries
from processing.labels.split import held_back, star_key
from processing.labels.student import draw_labels, lesson_from_spectra
from processing.labels.teacher import train_teacher
from processing.labels.training import read_training, train_from_config

NAMES = ("teff", "logg", "fe_h", "mg_fe")
LOW, HIGH = np.array([4200.0, 1.0, -1.5, -0.3]), np.array([6500.0, 4.8, 0.4, 0.6])
WAVE = np.arange(4930.0, 5370.0, 0.25)
_RNG = np.random.default_rng(5)
LINES = _RNG.uniform(4935, 5365, 60)
STRENGTH = _RNG.normal(size=(60, 4)) * [1.2, 0.5, 0.5, 0.0] + [1.0, 0.0, 1.5, 0.0]
MAGNESIUM = np.arange(60) % 4 == 0
STRENGTH[MAGNESIUM, 3] = 1.5


def spectra(labels: np.ndarray, flaw: float = 0.0) -> np.ndarray:
    """Spectra of the invented world at R = 10000; a `flaw` makes every third line stronger in cool stars."""
    x = (labels - (LOW + HIGH) / 2) / (HIGH - LOW)
    argument = x @ (STRENGTH * [-1, 1, 1, 1]).T - 1.0 + flaw * (0.5 - x[:, :1]) * (np.arange(60) % 3 == 0)
    depth = 0.7 / (1 + np.exp(-argument))
    profile = np.exp(-0.5 * ((WAVE[:, None] - LINES) / (LINES / 10000 / 2.3548)) ** 2)
    return (1 - depth @ (profile * 0.6).T).clip(0.05) * (WAVE / 5000) ** (2 * x[:, :1])


def write_world(folder: Path, flaw: float = 0.8) -> Path:
    rng = np.random.default_rng(1)
    labels = rng.uniform(LOW, HIGH, (160, 4))
    np.savez(
        folder / "synthetic.npz", wave_air=WAVE, flux=spectra(labels).astype(np.float32), labels=labels,
        names=np.array(["Teff", "logg", "FeH", "Mg"]),
    )  # fmt: skip
    stars = rng.uniform(LOW, HIGH, (120, 4)) * [1, 1, 1, 0]
    catalogue = stars[:, :3] + rng.normal(size=(120, 3)) * [30, 0.05, 0.03]
    np.savez(
        folder / "real.npz", wave_air=WAVE, flux=spectra(stars, flaw).astype(np.float32),
        name=np.array([f"HD{900000 + i}" for i in range(120)]),
        teff=catalogue[:, 0], logg=catalogue[:, 1], feh=catalogue[:, 2],
    )  # fmt: skip
    (folder / "world.toml").write_text(
        """
name = "world"
description = "An invented world."
citation = ["nobody"]
labels = ["teff", "logg", "fe_h", "mg_fe"]
masks_balmer_cores = false

[grid]
wave_min = 4960.0
wave_max = 5340.0
lsf = ["lamost"]

[synthetic]
path = "synthetic.npz"
lsf = "R=10000"

[teacher]
components = 12
steps = 6

[student]
hidden = [32, 32]
units = 14
draws = 6000
steps = 3000
batch = 128

[correction]
units = 6
draws = 4000
steps = 600

[[real]]
path = "real.npz"
lsf = "R=10000"
telluric = "none"
""",
        encoding="utf-8",
    )
    return folder / "world.toml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = write_world(tmp_path_factory.mktemp("world"))
    train_from_config(config)
    return config.parent


def test_the_network_predicts_spectra_that_it_never_saw(trained: Path):
    model = load_model(trained / "world.npz")
    figures = model.card["validation"]["synthetic, held back, before the correction"]
    assert figures["n"] == held_back(160).sum()
    assert figures["rms of the flux"] < 0.004  # the spectra scatter by 0.04
    assert model.labels == NAMES
    assert "140 synthetic" in model.card["training"]


def test_real_stars_correct_the_labels(trained: Path, tmp_path: Path):
    """A flaw of the physical spectra shifts the labels; the correction takes most of the shift away."""
    config = (trained / "world.toml").read_text(encoding="utf-8")
    physical_only = config.replace("[[real]]", "[unused]").split("[unused]")[0]
    for name in ("synthetic.npz", "real.npz"):
        (tmp_path / name).symlink_to(trained / name)
    (tmp_path / "world.toml").write_text(physical_only, encoding="utf-8")
    (tmp_path / "work").symlink_to(trained / "work")  # the physical part is shared, not trained again
    physical = train_from_config(tmp_path / "world.toml")
    from processing.labels.real_stars import RealSettings, validate

    corrected = load_model(trained / "world.npz")
    source = RealSettings(path="real.npz", lsf="R=10000", telluric="none")
    (library,) = read_libraries([source], trained, physical)
    judges = library.take(library.held_out)
    before, after = (validate(judges, model)["all"] for model in (physical, corrected))
    assert after == corrected.card["validation"]["real, held out (fit - library)"]["all"]
    assert abs(before["teff"][0]) > 60
    assert abs(after["teff"][0]) < 0.4 * abs(before["teff"][0])
    assert after["fe_h"][1] < before["fe_h"][1]
    assert after["rms of the residuals"] < 0.7 * before["rms of the residuals"]


def test_correction_leaves_abundance_gradients_alone(trained: Path, tmp_path: Path):
    model = load_model(trained / "world.npz")
    labels = np.array([[5000.0, 3.0, -0.3, 0.1]])
    step = np.array([0, 0, 0, 0.05])
    truth = (spectra(labels + step) - spectra(labels - step))[0] / 0.1
    from processing.preparation.lsf import degrading_resampler

    resampler, _, _ = degrading_resampler(WAVE, WAVE / 10000, model.wave, model.lsf_fwhm)
    truth = resampler.matrix @ truth / (5000 / 5000)
    slope = model.network.flux_and_jacobian(labels)[1][0, :, 3]
    assert np.corrcoef(truth, slope)[0, 1] > 0.97


def test_killed_training_goes_on_to_the_same_network(trained: Path, tmp_path: Path):
    config = write_world(tmp_path)
    from processing.labels import student

    every, student.SAVE_EVERY = student.SAVE_EVERY, 0.0
    stop = {"now": False}

    def progress(fraction: float, text: str) -> None:
        stop["now"] = fraction > 0.7

    try:
        with pytest.raises(Cancelled):
            train_from_config(config, progress=progress, cancelled=lambda: stop["now"])
        assert not (tmp_path / "world.npz").exists()
        seen: list[float] = []
        train_from_config(config, progress=lambda fraction, text: seen.append(fraction) if "student" in text else None)
    finally:
        student.SAVE_EVERY = every
    assert min(seen) > 0.68  # it did not start over
    one, other = load_model(trained / "world.npz"), load_model(tmp_path / "world.npz")
    labels = one.training_labels[:20]
    assert np.abs(one.network.flux(labels) - other.network.flux(labels)).max() < 1e-5


def test_split_is_by_star_and_one_star_has_one_set_of_labels(trained: Path):
    model = load_model(trained / "world.npz")
    settings = read_training(trained / "world.toml").real
    first, second = read_libraries([*settings, *settings], trained, model)
    assert np.array_equal(first.held_out, second.held_out)
    assert 0.2 < first.held_out.mean() < 0.5
    trains = {star_key(s.star_id) for s in first.take(~first.held_out).spectra}
    assert not trains & {star_key(s.star_id) for s in second.take(second.held_out).spectra}


def test_correction_finds_a_smooth_offset_and_ignores_bad_stars():
    rng = np.random.default_rng(2)
    core = np.column_stack([rng.uniform(4200, 6500, 150), rng.uniform(1, 5, 150), rng.uniform(-1.5, 0.4, 150)])
    truth = 0.02 * (5500 - core[:, :1]) / 1000 * np.ones((1, 3)) + [[0.01, -0.01, 0.0]]
    flux = truth + rng.normal(size=(150, 3)) * 0.004
    flux[:8] += 0.2
    used = np.ones((150, 3), bool)
    used[:, 2] = rng.random(150) < 0.1
    correction = learn_correction(Residuals(core, flux, used, np.ones(150), np.zeros((150, 3))), CorrectionSettings())
    error = correction.flux(core) - truth
    assert np.abs(error[8:, :2]).max() < 0.01
    assert correction.scatter[:2] == pytest.approx(0.004, rel=0.3)


def test_teacher_is_exact_where_it_was_taught():
    labels = np.random.default_rng(3).uniform(LOW, HIGH, (60, 4))
    flux = spectra(labels)[:, ::8]
    teacher = train_teacher(labels, NAMES, flux, n_component=10, steps=4)
    assert np.std(teacher.flux(teacher.coefficients(labels)) - flux) < 0.2 * np.std(flux - flux.mean(0))


def test_drawn_labels_stay_near_the_training_set():
    rng = np.random.default_rng(4)
    labels = rng.uniform(LOW, HIGH, (300, 4))
    labels[:, 1] = 1 + (labels[:, 0] - 4200) / 700  # a narrow sequence in the Kiel diagram
    drawn = draw_labels(labels, NAMES, 5000, rng)
    assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] > 0.9
    margin = 0.06 * (labels.max(0) - labels.min(0))
    assert (drawn >= labels.min(0) - margin).all()
    assert (drawn <= labels.max(0) + margin).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name =", "nmae ="), "nmae"),
        (('path = "synthetic.npz"', 'path = "absent.npz"'), "no spectra"),
        (('"mg_fe"]', '"xx_fe"]'), "xx_fe"),
        (("hidden = [32, 32]", 'hidden = "big"'), "student.hidden"),
        (("[grid]", "[grid"), "not valid TOML"),
        (('lsf = ["lamost"]', 'lsf = ["sharp"]'), "sharp"),
    ],
)
def test_wrong_configurations_are_refused_with_a_sentence(tmp_path: Path, change: tuple[str, str], words: str):
    config = write_world(tmp_path)
    config.write_text(config.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(StellacubeError, match=words.replace("[", r"\[")):
        train_from_config(config)


def test_spectra_without_labels_are_refused(tmp_path: Path):
    config = write_world(tmp_path)
    np.savez(tmp_path / "synthetic.npz", wave_air=WAVE, flux=np.ones((4, len(WAVE))))
    with pytest.raises(StellacubeError, match="labels"):
        train_from_config(config)


def test_many_spectra_teach_without_a_teacher_gaps_and_all():
    rng = np.random.default_rng(6)
    labels = rng.uniform(LOW, HIGH, (400, 4))
    truth = spectra(labels)[:, ::8] / spectra(labels)[:, ::8].mean(1, keepdims=True)
    used = rng.random(truth.shape) > 0.1
    used[:150, :40] = False  # a gap that many share
    lesson = lesson_from_spectra(labels, np.where(used, truth, 7.0), used, 12)
    again = lesson.coefficients @ lesson.basis.T + lesson.offset
    assert np.std((again - truth)[used]) < 0.1 * np.std(truth - truth.mean(0))
    assert np.std((again - truth)[~used]) < 0.3 * np.std(truth - truth.mean(0))
    assert np.allclose(lesson.basis.T @ lesson.basis, np.eye(12), atol=1e-9)


def test_training_without_a_teacher(trained: Path, tmp_path: Path):
    text = (trained / "world.toml").read_text(encoding="utf-8").split("[[real]]")[0]
    (tmp_path / "world.toml").write_text(text.replace("steps = 6\n", "most = 100\n"), encoding="utf-8")
    with np.load(trained / "synthetic.npz") as data:
        arrays = dict(data)
    arrays["flux"][:60, 300:360] = np.nan
    arrays["labels"][5, 0] = np.nan
    np.savez(tmp_path / "synthetic.npz", **arrays)
    model = train_from_config(tmp_path / "world.toml")
    assert "140 synthetic" in model.card["training"]  # 159 with labels, less an eighth
    assert model.card["validation"]["synthetic, held back, before the correction"]["rms of the flux"] < 0.02
