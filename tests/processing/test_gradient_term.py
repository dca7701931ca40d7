"""The gradient term: exact, zero where physics is learned, and able to part elements that always go together."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from processing.errors import Cancelled, StellacubeError
from processing.labels import student
from processing.labels.datasets import Grid
from processing.labels.fit import fit_labels
from processing.labels.gradient_term import GradientSettings, PhysicalGradients, jacobian
from processing.labels.gradients import check_gradients
from processing.labels.injection import model_spectra
from processing.labels.model_file import LabelModel, load_model
from processing.labels.role import RoleSettings, for_role
from processing.labels.student import StudentSettings, lesson_from_spectra, train_student
from processing.labels.training import _work_folder, read_training, train_from_config
from processing.paths import resource
from tests.processing.galaxy import SETTINGS, galactic_labels, on_sequence, responses
from tests.processing.test_spectra_table import write_index

NAMES = ("teff", "logg", "fe_h", "c_fe", "mg_fe", "ti_fe", "cr_fe")
ELEMENTS = NAMES[3:]
SMALL = StudentSettings(hidden=(64, 64), units=16, steps=2500, batch=128, rate=8e-3)


def cut(model: LabelModel, low: float, high: float) -> LabelModel:
    """Return a model on fewer wavelengths."""
    inside = (model.wave >= low) & (model.wave <= high)
    network, templates = model.network, model.templates
    return replace(
        model,
        wave=model.wave[inside],
        lsf_fwhm=model.lsf_fwhm[inside],
        mask=model.mask[inside],
        scatter=model.scatter[inside],
        network=network.with_basis(network.basis[inside], network.offset[inside]),
        templates=replace(templates, basis=templates.basis[:, inside]),
        error=None,
    )


def grid_of(model: LabelModel) -> Grid:
    return Grid(model.wave, model.lsf_fwhm, model.continuum, model.frame)


def gradients_of(
    source: LabelModel, training: np.ndarray, grid: Grid | None = None, **entries: object
) -> PhysicalGradients:
    settings = GradientSettings("physical", **{"draws": 800, **entries})  # type: ignore[arg-type]
    grid = grid or grid_of(source)
    used, rng = np.ones(len(grid.wave), bool), np.random.default_rng(2)
    return PhysicalGradients.of(source, settings, source.labels, grid, training, used, rng)


@pytest.fixture(scope="module")
def source() -> LabelModel:
    """Return the physical model in seven labels, 5050-5350 A."""
    whole = load_model("physical")
    return cut(for_role(whole, RoleSettings(tied=tuple(set(whole.labels) - set(NAMES)))), 5050, 5350)


@pytest.fixture(scope="module")
def stars(source: LabelModel) -> tuple[np.ndarray, np.ndarray]:
    """Labels and noisy spectra of stars whose abundances follow [Fe/H]."""
    rng = np.random.default_rng(1)
    labels = galactic_labels(source, 1200, rng)
    flux = source.network.flux(labels)
    return labels, flux + rng.normal(size=flux.shape) / 100


def test_the_jacobian_is_exact_and_so_is_its_derivative():
    generator = torch.Generator().manual_seed(3)
    sizes = (5, 9, 8, 6)
    parameters = [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for n_in, n_out in pairwise(sizes)
        for shape in ((n_out, n_in), (n_out,))
    ]
    x = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    turn = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    columns = torch.tensor([4, 1])
    found = jacobian(parameters, x, columns, turn)
    expected = torch.autograd.functional.jacobian(lambda one: student._forward(parameters, one) @ turn, x)
    diagonal = torch.stack([expected[n, :, n] for n in range(4)])  # (n, k, n_in)
    assert torch.allclose(found, diagonal[:, :, columns].permute(2, 0, 1), atol=1e-12)
    torch.autograd.gradcheck(lambda *p: jacobian(list(p), x, columns, turn), parameters)


def test_the_term_vanishes_for_the_physical_network_and_is_one_for_no_network(source: LabelModel):
    network, labels = source.network, source.training_labels.astype(float)
    gradients = gradients_of(source, labels)
    q, r = np.linalg.qr(network.basis.astype(float))
    loss = gradients.loss(q, network.label_center, network.label_scale, 3.0)
    last = (r @ network.weights[-1] / 3.0, r @ network.biases[-1] / 3.0)
    layers = [*zip(network.weights[:-1], network.biases[:-1], strict=True), last]
    parameters = [torch.tensor(array, dtype=torch.float32) for layer in layers for array in layer]
    # Not zero: where a draw lies beyond the range its gradient is that at the border.
    assert loss.of(parameters, slice(None)).item() < 0.02
    assert loss.of([torch.zeros_like(p) for p in parameters], slice(None)).item() == pytest.approx(1.0, abs=1e-4)


def test_what_the_data_never_showed_joins_the_basis(source: LabelModel, stars: tuple[np.ndarray, np.ndarray]):
    gradients = gradients_of(source, stars[0])
    lesson = lesson_from_spectra(*stars, np.ones(stars[1].shape, bool), 8, gradients)
    more = lesson.basis.shape[1] - 8
    assert 0 < more <= 40
    assert np.allclose(lesson.basis.T @ lesson.basis, np.eye(8 + more), atol=1e-9)
    flat = gradients.coefficients @ gradients.spectra.T

    def left_out(basis: np.ndarray) -> np.ndarray:
        return np.square(flat - flat @ basis @ basis.T).sum((1, 2)) / np.square(flat).sum((1, 2))

    assert left_out(lesson.basis).max() < 0.01
    assert left_out(lesson.basis[:, :8]).max() > 0.05
    assert left_out(lesson.basis[:, :-1]).max() > 0.01  # none too many
    # The data's own coefficients on it are those of the spectra, gaps or not.
    used = np.random.default_rng(5).random(stars[1].shape) > 0.05
    gappy = lesson_from_spectra(stars[0], np.where(used, stars[1], np.nan), used, 8, gradients)
    again, truth = (one.coefficients @ one.basis.T + one.offset for one in (gappy, lesson))
    assert np.std(again - truth) < 0.3 * np.std(truth - truth.mean(0))


def test_elements_that_go_together_are_told_apart(source: LabelModel, stars: tuple[np.ndarray, np.ndarray]):
    """Without the term the network reads astrophysical correlations; with it each element has its own lines."""
    labels, flux = stars
    used = np.ones(flux.shape, bool)
    gradients = gradients_of(source, labels)
    judges = galactic_labels(source, 20, np.random.default_rng(7))
    own = [source.labels.index(name) for name in ELEMENTS]
    correlation, response = {}, {}
    for title, chosen in {"without": None, "with": gradients}.items():
        lesson = lesson_from_spectra(labels, flux, used, SMALL.units, chosen)
        low, high = gradients.label_min, gradients.label_max
        network = train_student(lesson, low, high, SMALL, 1, gradients=chosen)
        model = replace(source, network=network, label_min=low, label_max=high)
        fits = check_gradients(fit_labels(model_spectra(source, judges), model, SETTINGS), model, SETTINGS)
        correlation[title] = np.median([fit.gradcorr for fit in fits], axis=0)[own]
        moved = responses(source, model, on_sequence(source, judges)[:8], ELEMENTS)
        response[title] = np.median(moved, axis=1)[:, own]
    assert correlation["without"].max() < 0.75
    assert correlation["with"].min() > 0.9
    assert np.diag(response["without"]).max() < 0.4
    assert np.abs(response["with"] - np.eye(4)).max() < 0.2


def test_a_stopped_training_goes_on_bit_for_bit(
    source: LabelModel, stars: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(student, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(student, "CHECK_EVERY", 40)
    labels, flux = stars
    gradients = gradients_of(source, labels, every=3, stars=8)
    lesson = lesson_from_spectra(labels, flux, np.ones(flux.shape, bool), 12, gradients)
    settings = StudentSettings(hidden=(24, 24), units=12, steps=200, batch=32, patience=4)
    seen: list[float] = []
    arguments = lesson, labels.min(0), labels.max(0), settings, 1
    one = train_student(*arguments, gradients=gradients)
    checkpoint = tmp_path / "student.npz"
    with pytest.raises(Cancelled):
        train_student(
            *arguments, gradients=gradients, checkpoint=checkpoint,
            progress=lambda fraction, _: seen.append(fraction), cancelled=lambda: bool(seen) and seen[-1] >= 0.4,
        )  # fmt: skip
    other = train_student(*arguments, gradients=gradients, checkpoint=checkpoint)
    for mine, theirs in zip((*one.weights, *one.biases), (*other.weights, *other.biases), strict=True):
        assert np.array_equal(mine, theirs)


def test_the_term_goes_to_another_grid(source: LabelModel):
    """On coarser pixels, less resolution and more wavelengths it says the same of what it knows."""
    wave = 10 ** np.arange(np.log10(5000), np.log10(5330), 2e-4)
    grid = Grid(wave, wave / 1300, source.continuum, source.frame)
    gradients = gradients_of(source, source.training_labels.astype(float), grid)
    covered = (wave > source.wave[0] + 1) & (wave < source.wave[-1] - 1)
    assert np.array_equal(gradients.known, covered)
    assert not gradients.spectra[~covered].any()
    assert not gradients.templates.names
    from processing.preparation.lsf import broadening_matrix

    broad = broadening_matrix(source.wave, source.lsf_fwhm, source.wave / 1300)
    asked = np.clip(gradients.labels, source.label_min, source.label_max)[:50]
    slopes = source.network.flux_and_jacobian(asked)[1][:, :, 4] * (gradients.label_max - gradients.label_min)[4] / 2
    expected = np.array([np.interp(wave[covered], source.wave, broad @ slope) for slope in slopes])
    found = gradients.coefficients[4, :50] @ gradients.spectra[covered].T
    assert np.std(found - expected) < 0.02 * np.std(expected)
    # A basis that only differs beyond the covered pixels makes no difference to the term.
    rng = np.random.default_rng(4)
    basis = np.linalg.qr(rng.normal(size=(len(wave), 6)))[0]
    other = np.where(covered[:, None], basis, rng.normal(size=basis.shape))
    parameters = [torch.randn(6, 7) * 0.1, torch.zeros(6), torch.randn(6, 6) * 0.1, torch.zeros(6)]
    one, two = (
        gradients.loss(some, np.zeros(7), np.ones(7), 1.0).of(parameters, slice(None)).item() for some in (basis, other)
    )
    assert one == pytest.approx(two, rel=1e-5)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"labels": ("n_fe",)}, "n_fe"),
        ({"lsf": 3000}, "less resolution"),
        ({"frame": "vacuum"}, "vacuum"),
        ({"length": 80.0}, "pseudo-continuum"),
        ({"wave": (4000.0, 5100.0)}, "covers"),
        ({"teff": 5000.0}, "within the range"),
    ],
)
def test_gradients_that_do_not_fit_are_refused(source: LabelModel, entries: dict, words: str):
    wave = 10 ** np.arange(*np.log10(entries.get("wave", (5060.0, 5340.0))), 1e-4)
    continuum = replace(source.continuum, length=entries.get("length", 50.0))
    grid = Grid(wave, wave / entries.get("lsf", 1700), continuum, entries.get("frame", "air"))
    labels = source.training_labels.astype(float)
    labels[:, 0] += entries.get("teff", 0.0)
    with pytest.raises(StellacubeError, match=words):
        gradients_of(source, labels, grid, labels=entries.get("labels", ()))


def test_a_training_takes_the_gradient_models_evidence(tmp_path: Path):
    """Labels that the gradient model lacks have no term and no template; the work folder knows the term."""
    physical = load_model("physical")
    write_index(tmp_path, physical, 40)
    page = resource("models/examples") / "dd-payne-g.toml"
    text = page.read_text(encoding="utf-8").replace("[300, 300]", "[8, 8]").replace("units = 64", "units = 4")
    config = tmp_path / "g.toml"
    config.write_text(text.replace("steps = 60000", "steps = 20"), encoding="utf-8")
    model = train_from_config(config)
    assert "cu_fe, ba_fe held to those of physical" in model.card["gradient term"]
    kept = [physical.labels.index(name) for name in model.labels]
    assert np.allclose(model.templates.labels, physical.templates.labels[:, kept])
    column = kept.index(physical.labels.index("mg_fe"))
    given, taken = (templates.gradients([3])[0] for templates in (physical.templates, model.templates))
    assert np.allclose(given[kept[column]], taken[column], atol=1e-4)
    settings = read_training(config)
    other = replace(settings, gradient=replace(settings.gradient, weight=0.5))
    assert _work_folder(config, settings, tmp_path).samefile(next((tmp_path / "work").iterdir()))
    assert _work_folder(config, settings, tmp_path) != _work_folder(config, other, tmp_path)
    config.write_text(text.replace('"physical"', '"fantastic"'), encoding="utf-8")
    with pytest.raises(StellacubeError, match="fantastic"):
        train_from_config(config)
