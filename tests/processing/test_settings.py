"""Settings survive a round trip, and every mistake in them is named."""

from __future__ import annotations

import pytest

from processing.errors import StellacubeError
from processing.settings import Settings, from_dict, read_settings, to_dict, write_settings


def test_round_trip_through_toml(tmp_path):
    settings = from_dict(
        {
            "psf": {"profile": "gaussian", "fwhm": 3},
            "preparation": {"masks": [[5000, 5010.5]], "mask_ao": True},
        }
    )
    path = tmp_path / "s.toml"
    write_settings(settings, path)
    assert read_settings(path) == settings
    assert settings.psf.fwhm == 3.0
    assert settings.preparation.masks == ((5000.0, 5010.5),)


def test_defaults_are_complete():
    assert from_dict(to_dict(Settings())) == Settings()
    assert from_dict({}) == Settings()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"psf": {"fwmh": 3.0}}, "psf.fwhm"),
        ({"psf": {"profile": "airy"}}, "'moffat'"),
        ({"psf": 3}, "section"),
        ({"seed": "x"}, "seed"),
        ({"preparation": {"mask_ao": "sometimes"}}, "mask_ao"),
        ({"preparation": {"masks": [[1.0]]}}, "2 entries"),
        ({"solve": {"layers_per_batch": True}}, "layers_per_batch"),
    ],
)
def test_a_mistake_is_named(values, word):
    with pytest.raises(StellacubeError) as caught:
        from_dict(values)
    assert word in str(caught.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(StellacubeError, match="cannot be read"):
        read_settings(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("psf = [")
    with pytest.raises(StellacubeError, match="not valid TOML"):
        read_settings(bad)
