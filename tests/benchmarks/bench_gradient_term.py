"""What the gradient term does where labels go together: ``python -m tests.benchmarks.bench_gradient_term``.

Noisy spectra of the model ``physical`` whose abundances follow [Fe/H] as the Galaxy's do, with hardly any scatter,
teach two networks, one without and one with the term. Printed for each label: the correlation of the network's gradient
with the physical one, as ``validate`` has it, and how a fit answers when one element alone moves by 0.3 dex.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from processing.labels.datasets import Grid
from processing.labels.gradient_term import GradientSettings, PhysicalGradients
from processing.labels.injection import model_spectra
from processing.labels.model_file import LabelModel, load_model
from processing.labels.student import Lesson, StudentSettings, lesson_from_spectra, train_student
from processing.labels.validate import Sample, validate_model
from tests.processing.galaxy import SETTINGS, galactic_labels, on_sequence, responses


def trained(
    physical: LabelModel, lesson: Lesson, settings: StudentSettings, gradients: PhysicalGradients, with_term: bool
) -> LabelModel:
    """Train a network on a lesson; it keeps the templates of the physical model, which judge it."""
    start, cpu, text = time.perf_counter(), time.process_time(), [""]
    low, high = gradients.label_min, gradients.label_max  # the same for both, or fits could not go as far
    network = train_student(
        lesson, low, high, settings, 1,
        gradients=gradients if with_term else None, progress=lambda _, said: text.__setitem__(0, said),
    )  # fmt: skip
    print(f"{text[0]}: {time.process_time() - cpu:.0f} s CPU, {time.perf_counter() - start:.0f} s", flush=True)
    return replace(physical, label_min=low, label_max=high, network=network, training_labels=lesson.labels, error=None)


def correlations(model: LabelModel, sample: Sample) -> np.ndarray:
    """Median gradient correlation of each label over all stars, shape (n_label,)."""
    groups = validate_model(model, sample, SETTINGS).groups
    return np.array([g.gradcorr for name in model.labels for g in groups if (g.group, g.label) == ("all", name)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=4000)
    parser.add_argument("--snr", type=float, default=100.0)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--judges", type=int, default=40)
    for name in ("weight", "every", "stars", "components"):
        default = getattr(GradientSettings(), name)
        parser.add_argument(f"--gradient-{name}", type=type(default), default=default)
    parser.add_argument("--only", choices=("without", "with"))
    given = parser.parse_args()
    physical, rng = load_model("physical"), np.random.default_rng(1)
    labels = galactic_labels(physical, given.stars, rng)
    flux = physical.network.flux(labels)
    flux = (flux + rng.normal(size=flux.shape) / given.snr).astype(np.float32)
    used = np.ones(flux.shape, bool)
    settings = StudentSettings(hidden=(300, 300), units=64, steps=given.steps, patience=20)
    term = GradientSettings(
        "physical", (), given.gradient_weight, given.gradient_every, given.gradient_stars,
        components=given.gradient_components,
    )  # fmt: skip
    grid = Grid(physical.wave, physical.lsf_fwhm, physical.continuum, physical.frame)
    gradients = PhysicalGradients.of(physical, term, physical.labels, grid, labels, used[0], rng)
    models = {"physical": physical}
    for title in ("without", "with"):
        if given.only in (None, title):
            lesson = lesson_from_spectra(labels, flux, used, settings.units, gradients if title == "with" else None)
            print(f"{title}, {lesson.basis.shape[1]} units: ", end="", flush=True)
            models[title] = trained(physical, lesson, settings, gradients, title == "with")
    stars = galactic_labels(physical, given.judges, rng)
    truth = dict(zip(physical.labels, stars.T, strict=True))
    sample = Sample(tuple(model_spectra(physical, stars)), truth, {name: 0 * truth[name] for name in truth})
    elements = [name for name in physical.labels if name.endswith("_fe")]
    base = on_sequence(physical, stars)[:: max(1, given.judges // 10)]
    own = np.array([physical.labels.index(name) for name in elements])
    found = {title: correlations(model, sample) for title, model in models.items()}
    moved = {title: responses(physical, model, base, elements) for title, model in models.items()}
    print(f"{'':7}" + "".join(f"{title:>10}" for title in models) + "   gradient correlation")
    for i, name in enumerate(physical.labels):
        print(f"{name:7}" + "".join(f"{found[title][i]:10.2f}" for title in models))
    print(f"{'':7}" + "".join(f"{title:>20}" for title in models) + "   median response (and of what else moves most)")
    for i, name in enumerate(elements):
        rows = {title: np.median(moved[title][i][:, own], axis=0) for title in models}
        others = {title: np.delete(row, i)[np.abs(np.delete(row, i)).argmax()] for title, row in rows.items()}
        print(f"{name:7}" + "".join(f"{rows[title][i]:12.2f} ({others[title]:+.2f})" for title in models))


if __name__ == "__main__":
    main()
