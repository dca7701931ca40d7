"""A star fitted again: held labels, presets of masks, and refits kept in the session."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mock_spectra import labels_of, observed

from processing.errors import StellacubeError
from processing.labels.fit import fit_labels
from processing.labels.model_file import LabelModel, load_model
from processing.labels.refit import Recipe, Refit, masked, preset_of, ranges_of, refit
from processing.preparation.presets import MaskPreset
from processing.session import Session
from processing.settings import FitSettings, Settings, from_dict, to_dict
from processing.spectrum import StarSpectrum


@pytest.fixture(scope="module")
def model() -> LabelModel:
    """Return the shipped model without a scatter of its own."""
    shipped = load_model("")
    return replace(shipped, scatter=np.zeros_like(shipped.scatter))


@pytest.fixture(scope="module")
def spectrum(model: LabelModel) -> StarSpectrum:
    """Return a giant at 40 km/s."""
    return observed(model, labels_of(model, (4600.0, 2.3, -0.3, 1.5)), np.array([40.0]), snr=150)[0]


def holding(*held: tuple[str, float]) -> Settings:
    return Settings(fit=FitSettings(held=held))


def test_a_held_label_keeps_its_value_and_moves_the_others_as_their_covariance_says(model, spectrum):
    free = fit_labels([spectrum], model, Settings())[0]
    teff, logg = (free.labels.index(name) for name in ("teff", "logg"))
    step = 0.3 * free.errors()[teff]
    held = fit_labels([spectrum], model, holding(("teff", free.values[teff] + step)))[0]
    assert held.values[teff] == free.values[teff] + step
    assert held.converged
    covariance = free.covariance
    expected = covariance[:-1, teff] / covariance[teff, teff] * step  # of a Gaussian, given one of its variables
    others = [logg, free.labels.index("fe_h"), free.labels.index("mg_fe")]
    np.testing.assert_allclose(
        (held.values - free.values)[others], expected[others], atol=0.1 * free.errors()[others].min()
    )
    conditional = covariance[logg, logg] - covariance[logg, teff] ** 2 / covariance[teff, teff]
    assert held.errors()[logg] == pytest.approx(np.sqrt(conditional), rel=0.03)
    assert held.errors_scaled()[teff] < 1e-3 * free.errors_scaled()[teff]


def test_a_label_that_cannot_be_held_is_refused(model, spectrum):
    for held in (("eu_fe", 0.1), ("teff", 20000.0)):
        with pytest.raises(StellacubeError):
            fit_labels([spectrum], model, holding(held))


def test_held_labels_survive_the_settings_file():
    settings = holding(("teff", 4800.0), ("logg", 2.0))
    assert from_dict(to_dict(settings)) == settings


def test_a_recipe_says_what_is_different(spectrum):
    recipe = Recipe(((5000.0, 5030.0),), (("teff", 4650.0),), "physical")
    assert str(recipe) == "network physical, Teff 4650 held, 1 mask"
    assert str(Recipe()) == ""
    result = refit(spectrum, recipe, holding(("logg", 2.2), ("teff", 4000.0)))
    assert dict(result.settings.fit.held) == {"teff": 4650.0, "logg": 2.2}
    assert result.model == "physical"
    assert result.fit.gradcorr is not None
    assert result.fit.values[result.fit.labels.index("logg")] == 2.2
    inside = (result.fit.wave > 5003) & (result.fit.wave < 5025)
    assert (result.fit.ivar[inside] == 0).all()


def test_masks_become_a_preset_and_come_back(spectrum):
    vacuum = replace(spectrum, frame="vacuum")
    masks = ((5000.0, 5030.0), (6100.0, 6110.5))
    preset = preset_of("mine", "bad pixels", masks, vacuum.frame)
    assert preset.regions[0][0] == pytest.approx(4998.61, abs=0.01)  # NIST: air is 1.39 A below vacuum there
    np.testing.assert_allclose(ranges_of(preset, "vacuum", 300.0), masks, atol=0.01)
    rest = MaskPreset("na", frame="rest", regions=((5889.0, 5891.0),))
    low, _ = ranges_of(rest, "air", 299.792458)[0]
    assert low == pytest.approx(5889.0 * 1.001, abs=0.01)
    assert ((masked(spectrum, masks).ivar == 0) & (spectrum.ivar > 0)).any()


def test_refits_are_kept_beside_the_fit_and_taken_away(tmp_path, model, spectrum):
    path = tmp_path / "a.stellacube"
    fit = fit_labels([spectrum], model, Settings())[0]
    with Session.create(path, (), Settings()) as session:
        session.put_spectra([spectrum])
        session.put_fits([fit], 0)
        session._db.execute("DROP TABLE refits")  # as an earlier version left it
    looking = Session.open(path, read_only=True)
    assert looking.refits(spectrum.star_id) == []
    refits = [
        Refit(replace(fit, rv=rv), Recipe(((1.0, 2.0),), (("teff", rv),)), holding(("teff", rv)), "a", "1", "now")
        for rv in (1.0, 2.0)
    ]
    with Session.open(path) as session:
        kept = [session.put_refit(one) for one in refits]
    assert [one.number for one in kept] == [1, 2]
    found = looking.refits(spectrum.star_id)
    assert [one.fit.rv for one in found] == [1.0, 2.0]
    assert found[1].recipe == refits[1].recipe
    assert found[1].settings == refits[1].settings
    np.testing.assert_array_equal(found[0].fit.flux, fit.flux)
    assert looking.fit(spectrum.star_id).rv == fit.rv
    with Session.open(path) as session:
        session.drop_refit(1)
        session.put_refit(kept[0])
    assert [one.number for one in looking.refits(spectrum.star_id)] == [1, 2]
    looking.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.stellacube"]
