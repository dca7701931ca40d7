"""A simulated field through the whole program, and the proof that the comparison with the truth can fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processing.catalogue.table import build_catalogue
from processing.demo import BOUNDS, FIELD, DemoReport, compare, demo
from processing.labels.fit import fit_labels
from processing.labels.model_file import load_model
from processing.session import Session

SMALL = replace(FIELD, n_stars=20, nx=42, ny=42, seed=2)
"""As crowded as the demo."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    return demo(tmp_path_factory.mktemp("field"), field=SMALL)


def test_the_truth_comes_back(report: DemoReport) -> None:
    assert report.comparison.n_true == 20
    assert list(report.failures) == []


def test_what_is_left_behind(report: DemoReport) -> None:
    assert report.catalogue.is_file()
    assert report.catalogue.read_text().count("\n") >= 20
    assert report.cube.is_file()
    # None of the sample may be in a training set, and the model must not have made the truth.
    assert all(str(source).startswith("synthetic-") for source in report.truth.source)


def test_shuffled_spectra_fail(report: DemoReport) -> None:
    with Session.open(report.result.session, read_only=True) as session:
        spectra = list(session.spectra())
    provenance = report.result.catalogue.provenance
    settings = provenance.settings
    model = load_model(settings.fit.model)

    def failures(order: np.ndarray) -> list[str]:
        mixed = [replace(spectra[i], star_id=star.star_id) for i, star in zip(order, spectra, strict=True)]
        catalogue = build_catalogue(mixed, fit_labels(mixed, model, settings), model, provenance)
        return compare(report.truth, catalogue, mixed).failures(BOUNDS)

    straight = np.arange(len(spectra))
    assert failures(straight) == []
    shuffled = failures(np.random.default_rng(4).permutation(straight))
    for quantity in ("Teff", "log g", "[Fe/H]", "velocity", "flux"):
        assert any(sentence.startswith(quantity) for sentence in shuffled)


def test_the_truth_is_reached_from_the_catalogue_file_alone(report: DemoReport, tmp_path: Path) -> None:
    import csv

    with report.catalogue.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    place = {str(star): i for i, star in enumerate(report.truth.star_id)}
    teff = np.array([float(row["teff"]) for row in rows])
    true = np.array([report.truth.labels[place[row["stellar_id"]], 0] for row in rows])
    assert np.corrcoef(teff, true)[0, 1] > 0.97
