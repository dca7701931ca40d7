"""Model files: what is written is read back; everything else is refused with a sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from models import tiny_model

from processing.errors import StellacubeError
from processing.labels.model_file import find_model, list_models, load_model, model_files, save_model
from processing.project import RunInputs, describe, fit_key
from processing.settings import Settings


def test_round_trip(tmp_path: Path):
    model = tiny_model()
    again = load_model(save_model(model, tmp_path / "tiny.npz"))
    labels = model.training_labels[:7]
    assert np.array_equal(again.network.flux(labels), model.network.flux(labels))
    for field in dataclasses.fields(model):
        old, new = getattr(model, field.name), getattr(again, field.name)
        if isinstance(old, np.ndarray):
            assert np.array_equal(old, new), field.name
        elif field.name not in ("network", "templates"):
            assert old == new, field.name
    assert again.templates.names == model.templates.names
    old, new = (each.templates.gradients() for each in (model, again))
    assert (np.abs(new - old) < 2e-3 * np.abs(old).max(axis=(0, 2), keepdims=True)).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.npz"]


def refuse(path: Path) -> str:
    with pytest.raises(StellacubeError) as caught:
        load_model(path)
    assert "\n" not in caught.value.message
    return str(caught.value)


def test_what_is_no_model_is_refused(tmp_path: Path):
    assert "no model file" in refuse(tmp_path / "absent.npz")
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    assert "not a model file" in refuse(text)
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    assert "its arrays are a" in refuse(tmp_path / "other.npz")
    np.savez(tmp_path / "pickled.npz", a=np.array([{"evil": 1}], dtype=object))
    assert "damaged" in refuse(tmp_path / "pickled.npz")


def test_truncated_and_damaged_files(tmp_path: Path):
    whole = save_model(tiny_model(), tmp_path / "whole.npz").read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        assert "truncated" in refuse(tmp_path / "cut.npz")
    middle = len(whole) // 2
    (tmp_path / "bad.npz").write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    assert "damaged" in refuse(tmp_path / "bad.npz")


def test_the_payne_layout_is_recognised(tmp_path: Path):
    arrays = {f"{kind}_array_{i}": np.zeros(3) for kind in "wb" for i in range(3)}
    np.savez(tmp_path / "payne.npz", x_min=np.zeros(3), x_max=np.ones(3), **arrays)
    message = refuse(tmp_path / "payne.npz")
    assert "The Payne" in message
    assert "import" in message


@pytest.mark.parametrize("missing", ["lsf_fwhm", "continuum", "card", "weight_1", "template_labels", "scatter"])
def test_incomplete_files_name_what_is_missing(tmp_path: Path, missing: str):
    with np.load(save_model(tiny_model(), tmp_path / "whole.npz")) as archive:
        entries = {name: archive[name] for name in archive.files if name != missing}
    np.savez(tmp_path / "part.npz", **entries)
    assert missing in refuse(tmp_path / "part.npz")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("label_min", lambda a: a[:-1], "label_min has the wrong shape"),
        ("wave", lambda a: a[::-1], "wavelengths must increase"),
        ("basis", lambda a: a[:-5], "last layer"),
        ("offset", lambda a: a * np.nan, "not numbers"),
        ("mask", lambda a: ~a, "masked"),
        ("stellacube_model", lambda a: a + 1, "newer version"),
        ("labels", lambda a: np.array(["spam", *a[1:]]), "'spam' is not known"),
        ("card", lambda a: np.array("{}"), "description"),
        ("frame", lambda a: np.array("glass"), "frame"),
    ],
)
def test_inconsistent_files_are_refused(tmp_path: Path, name: str, change, words: str):
    with np.load(save_model(tiny_model(), tmp_path / "whole.npz")) as archive:
        entries = dict(archive)
    entries[name] = change(entries[name])
    np.savez(tmp_path / "odd.npz", **entries)
    assert words in refuse(tmp_path / "odd.npz")


def test_an_incomplete_model_is_not_written(tmp_path: Path):
    with pytest.raises(StellacubeError, match="licence"):
        save_model(dataclasses.replace(tiny_model(), card={**tiny_model().card, "licence": ""}), tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


def test_shipped_models_load_by_name():
    for name, path in list_models().items():
        assert find_model(name) == path
        model = load_model(name)
        assert model.name == name
        assert path.stat().st_size < 7e6
        assert model.error is not None
        assert (model.error.real is None) == (name == "physical")
        flux = model.network.flux(model.training_labels)
        assert 0.5 < np.median(flux) < 1.5


def test_a_changed_companion_is_another_model(tmp_path):
    """A run hashes both files of a mixture, and so does not go on with the fits of another companion."""
    first, second = (tmp_path / f"{name}.npz" for name in ("first", "second"))
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    cube = tmp_path / "cube.fits"
    cube.write_bytes(b"3")
    paths = model_files(f"{first}+{second}")
    assert paths == [first, second]
    assert model_files("a+a-mp") == [find_model("a"), find_model("a-mp")]
    assert model_files(first) == [first]
    before = fit_key(describe(RunInputs(cube=cube), paths), Settings())
    second.write_bytes(b"4")
    assert fit_key(describe(RunInputs(cube=cube), paths), Settings()) != before
    second.write_bytes(b"2")
    assert fit_key(describe(RunInputs(cube=cube), paths), Settings()) == before
