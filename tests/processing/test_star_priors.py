"""What is known of a star beforehand moves its labels and errors as Gaussians combine, and comes from star lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mock_spectra import labels_of, observed
from test_catalogue import ORIGIN

from processing.catalogue.table import build_catalogue
from processing.errors import StellacubeError
from processing.labels.fit import fit_labels
from processing.labels.joint import fit_joint
from processing.labels.model_file import load_model
from processing.labels.priors import PHOTOMETRIC, StarPriors
from processing.reference import read_star_list
from processing.settings import FitSettings, Settings
from processing.star_edits import EditedStars, write_star_list

GIANT, DWARF = (4600.0, 2.3, -0.3, 1.5), (5700.0, 4.3, -0.1, 1.1)


@pytest.fixture(scope="module")
def model():
    """Return the shipped model without an error of its own: the spectra here come from its network."""
    shipped = load_model("")
    return replace(shipped, scatter=np.zeros_like(shipped.scatter), error=None)


@pytest.fixture(scope="module")
def spectra(model):
    return observed(model, np.repeat(labels_of(model, GIANT, DWARF), 6, axis=0), 12.0, snr=40, seed=8)


def combined(fit, name, mean, sigma):
    """Combine a fit and a Gaussian on one of its labels: the means and covariance of all, analytically."""
    i = fit.labels.index(name)
    covariance = fit.covariance_scaled[:-1, :-1]
    gain = covariance[:, i] / (covariance[i, i] + sigma**2)
    return fit.values + gain * (mean - fit.values[i]), covariance - np.outer(gain, covariance[i])


@pytest.mark.parametrize(("name", "off"), [("teff", 1.0), ("logg", -0.8)])
def test_mean_and_width_are_those_of_gaussians(model, spectra, name, off):
    """Neighbouring pixels share noise, which weights do not know: the combination is optimal to a few percent."""
    i, core = model.labels.index(name), slice(0, 3)
    fits = fit_labels(spectra, model, Settings())
    sigma = [float(fit.errors_scaled()[i]) for fit in fits]
    mean = [float(fit.values[i] + off * fit.errors_scaled()[i]) for fit in fits]
    keys = PHOTOMETRIC[name]
    stars = [
        replace(s, meta=dict(zip(keys, known, strict=True))) for s, *known in zip(spectra, mean, sigma, strict=True)
    ]
    for fit, with_prior, *known in zip(fits, fit_labels(stars, model, Settings()), mean, sigma, strict=True):
        values, covariance = combined(fit, name, *known)
        errors = np.sqrt(np.diag(covariance))
        assert (np.abs(with_prior.values - values) / errors)[core].max() < 0.2
        assert with_prior.errors_scaled()[core] == pytest.approx(errors[core], rel=0.1)


def test_a_stars_own_prior_replaces_that_of_all(model, spectra):
    settings = Settings(fit=FitSettings(priors=(("teff", 5000.0, 1.0),)))
    own = replace(spectra[0], meta={"teff_phot": 4700.0, "teff_phot_err": 1.0})
    other = replace(spectra[1], meta={"teff_phot": 4700.0})  # without an error it says nothing
    fits = fit_labels([own, other], model, settings)
    teff = [fit.values[fit.labels.index("teff")] for fit in fits]
    assert teff == pytest.approx([4700.0, 5000.0], abs=2.0)
    assert [fit.prior for fit in fits] == ["teff 4700+-1", "teff 5000+-1"]
    table = build_catalogue([own, other], fits, model, ORIGIN).table
    assert list(table["prior"]) == ["teff 4700+-1", "teff 5000+-1"]


def test_a_prior_does_not_depend_on_the_stars_beside(model, spectra):
    stars = [
        replace(s, meta={"logg_phot": 2.0 + 0.2 * i, "logg_phot_err": 0.1}) if i % 2 else s
        for i, s in enumerate(spectra)
    ]
    together = fit_labels(stars, model, Settings(workers=1))
    for i in (0, 3, 11):
        (alone,) = fit_labels([stars[i]], model, Settings())
        assert (np.abs(alone.values - together[i].values) < 2e-3 * alone.errors_scaled()).all()
        assert alone.prior == together[i].prior


def test_several_spectra_of_a_star_share_one_prior(model, spectra):
    i = model.labels.index("teff")
    (without,) = fit_joint([spectra[:6]], model, Settings())
    sigma = without.errors()[i]
    known = replace(spectra[2], meta={"teff_phot": float(without.values[i]), "teff_phot_err": float(sigma)})
    (fit,) = fit_joint([[*spectra[:2], known, *spectra[3:6]]], model, Settings())
    assert fit.errors()[i] == pytest.approx(sigma / np.sqrt(2), rel=0.03)
    assert fit.values[i] == pytest.approx(without.values[i], abs=0.1 * sigma)


def test_a_prior_that_means_nothing_is_refused(model):
    for prior in (("colour", 1.0, 0.1), ("teff", 5000.0, 0.0)):
        with pytest.raises(StellacubeError, match=prior[0]):
            StarPriors.of([{}], model.labels, FitSettings(priors=(prior,)))


def test_a_star_list_tells_what_it_knows(tmp_path, spectra):
    path = tmp_path / "list.csv"
    path.write_text(
        "id,x,y,mag,Teff_phot,Teff_phot_err,logg_phot,logg_phot_err\n"
        "a,1,2,15,5000,90,2.5,0.1\nb,9,8,16,-9999,90,,\nc,1,2,,4000,10,,\n"
    )
    stars = read_star_list(path)
    assert stars.known == {
        "a": {"teff_phot": 5000.0, "teff_phot_err": 90.0, "logg_phot": 2.5, "logg_phot_err": 0.1},
        "b": {"teff_phot_err": 90.0},
    }
    told = stars.told([replace(spectra[0], star_id=name, meta={"cube": "c"}) for name in ("a", "z")])
    assert told[0].meta == {"cube": "c", **stars.known["a"]}
    assert told[1].meta == {"cube": "c"}
    again = read_star_list(write_star_list(EditedStars(stars), tmp_path / "edited.csv"))
    assert again.known == stars.known
