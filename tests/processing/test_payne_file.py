"""Weights in The Payne's layout, against the formula of its own repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from processing.errors import StellacubeError
from processing.labels.model_file import load_model
from processing.labels.payne_file import import_payne

PAGE = """
name = "mine"
labels = ["teff", "logg", "fe_h"]
wave_min = 5000.0
wave_max = 5040.0
lsf = "R=1800"
description = "Weights of a user."
training = "10 000 spectra"
validation = "none given"
licence = "MIT"
citation = ["Ting et al. 2019"]
"""


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    shapes = {"w_array_0": (30, 3), "w_array_1": (30, 30), "w_array_2": (35, 30)}
    arrays = {name: rng.normal(size=shape) * 0.3 for name, shape in shapes.items()}
    arrays |= {f"b_array_{i}": rng.normal(size=len(arrays[f"w_array_{i}"])) * 0.1 for i in range(3)}
    arrays |= {"x_min": np.array([4000.0, 0.0, -2.0]), "x_max": np.array([7000.0, 5.0, 0.5])}
    np.savez(tmp_path / "payne.npz", **arrays)
    (tmp_path / "page.toml").write_text(PAGE, encoding="utf-8")
    return arrays


def test_spectra_are_those_of_the_payne(weights: dict[str, np.ndarray], tmp_path: Path):
    import_payne(tmp_path / "payne.npz", tmp_path / "page.toml", tmp_path / "mine.npz")
    model = load_model(tmp_path / "mine.npz")

    def leaky(z: np.ndarray) -> np.ndarray:
        return z * (z > 0) + 0.01 * z * (z < 0)

    labels = np.array([5777.0, 4.4, 0.0])
    scaled = (labels - weights["x_min"]) / (weights["x_max"] - weights["x_min"]) - 0.5
    inside = leaky(weights["w_array_0"] @ scaled + weights["b_array_0"])
    outside = leaky(weights["w_array_1"] @ inside + weights["b_array_1"])
    expected = weights["w_array_2"] @ outside + weights["b_array_2"]
    assert np.abs(model.network.flux(labels[None])[0] - expected).max() < 1e-5
    assert model.lsf_fwhm[0] == pytest.approx(5000 / 1800)
    assert model.labels == ("teff", "logg", "fe_h")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"fe_h"]', '"fe_h", "vmic"]', "4 labels"),
        ("5040.0", "5100.0", "wavelengths"),
        ('lsf = "R=1800"', "", "lsf"),
        ('licence = "MIT"', "", "licence"),
        ('"fe_h"]', '"metals"]', "metals"),
        ("wave_min", "wavemin", "wavemin"),
    ],
)
def test_pages_that_do_not_fit_are_refused(
    weights: dict[str, np.ndarray], tmp_path: Path, old: str, new: str, words: str
):
    (tmp_path / "page.toml").write_text(PAGE.replace(old, new), encoding="utf-8")
    with pytest.raises(StellacubeError, match=words):
        import_payne(tmp_path / "payne.npz", tmp_path / "page.toml", tmp_path / "mine.npz")
    assert not (tmp_path / "mine.npz").exists()


def test_other_files_are_refused(weights: dict[str, np.ndarray], tmp_path: Path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(StellacubeError, match="w_array_0"):
        import_payne(tmp_path / "other.npz", tmp_path / "page.toml", tmp_path / "mine.npz")
