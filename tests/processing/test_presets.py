"""Mask presets: what ships, what a user saves, and what they do to a spectrum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mock_spectra import labels_of, observed
from models import tiny_model

from processing.errors import StellacubeError
from processing.preparation.air import shifted
from processing.preparation.masks import USER
from processing.preparation.prepare import Operators, observe, prepare
from processing.preparation.presets import MaskPreset, find_preset, list_presets, read_preset, with_preset, write_preset
from processing.settings import PreparationSettings


def test_every_preset_that_ships_can_be_read():
    presets = {name: find_preset(name) for name in list_presets()}
    assert {"bulge", "sodium", "nebula", "chromosphere"} <= presets.keys()
    assert all(preset.name == name and preset.description for name, preset in presets.items())
    assert presets["chromosphere"].frame == "rest"


def test_the_bulge_preset_is_the_papers():
    settings = with_preset(PreparationSettings(), find_preset("bulge"))
    assert (settings.telluric, settings.wave_min, settings.wave_max) == ("narrow", 5991.0, 0.0)


def test_a_users_preset_comes_back_and_hides_a_shipped_one(tmp_path):
    mine = MaskPreset("sodium", "only D", "rest", ((5888.5, 5891.5), (5894.5, 5897.5)), wave_max=8750.0)
    write_preset(mine, tmp_path / "sodium.toml")
    assert read_preset(tmp_path / "sodium.toml") == mine
    assert find_preset("sodium", tmp_path) == mine
    assert find_preset("sodium") != mine
    assert find_preset(str(tmp_path / "sodium.toml")) == mine


def test_presets_add_up():
    one = MaskPreset("one", regions=((5000.0, 5010.0),), wave_min=4800.0, wave_max=9000.0)
    two = MaskPreset("two", regions=((5000.0, 5010.0), (6000.0, 6010.0)), wave_min=4700.0, wave_max=8000.0)
    settings = with_preset(with_preset(PreparationSettings(), one), two)
    assert settings.masks == ((5000.0, 5010.0), (6000.0, 6010.0))
    assert (settings.wave_min, settings.wave_max) == (4800.0, 8000.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("regions = [", "not valid TOML"),
        ("regions = [[6000, 5000]]", "from 6000 to 5000"),
        ("regions = [[5000]]", "2 entries"),
        ('frame = "moving"', "'observed', 'rest'"),
        ("region = []", "regions"),
    ],
)
def test_a_mistake_in_a_preset_is_named(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(StellacubeError, match=words):
        read_preset(path)
    with pytest.raises(StellacubeError, match=r"(?s)no mask preset.*bulge"):
        find_preset("mine")


def test_rest_frame_regions_follow_the_star_and_leave_the_continuum():
    model = tiny_model()
    labels = labels_of(model, (5000.0, 3.0, -0.5, 1.2))
    velocity = 300.0
    settings = PreparationSettings(masks_rest=((5100.0, 5120.0),), clean_sky=False)
    (star,) = observed(model, labels, velocity, snr=1e4)
    rest = shifted(star.wave, "air", velocity, "air")
    spoilt = replace(star, flux=np.where((rest > 5108) & (rest < 5112), 5.0 * star.flux, star.flux))
    results = []
    for one in (star, spoilt):
        observation = observe(one, model, settings)
        results.append(prepare([observation], np.array([velocity]), model, Operators(model, settings)))
    inside = (model.wave >= 5100) & (model.wave <= 5120)
    assert (results[0].reason[0][inside] & USER == USER).all()
    assert not (results[0].reason[0][~inside] & USER).any()
    assert (results[0].ivar[0][inside] == 0).all()
    np.testing.assert_allclose(results[0].flux[0][~inside], results[1].flux[0][~inside], rtol=2e-4)
