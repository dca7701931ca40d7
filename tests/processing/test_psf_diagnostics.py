"""What is shown of a PSF is what the stars are like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stand_ins import WAVE, spectrum
from star_fields import moffat

from processing.extraction.psf import constant_psf
from processing.extraction.psf_diagnostics import psf_diagnostics
from processing.session import Session
from processing.settings import Settings

SHAPE = (60, 70)
PLACES = {"1": (20.0, 26.0, 1000.0), "2": (46.0, 30.0, 3000.0), "3": (30.0, 3.0, 5000.0), "4": (50.0, 50.0, 9000.0)}


@pytest.fixture
def session(tmp_path):
    """Return a session whose PSF is narrower than its stars; star 3 is at the edge and star 4 is blended."""
    model = constant_psf("moffat", 4.0, 2.5, WAVE, 30.0, 30.0)
    yy, xx = np.indices(SHAPE)
    residual = np.zeros(SHAPE)
    stars = []
    for name, (x, y, flux) in PLACES.items():
        residual += flux * (moffat(xx - x, yy - y, 4.4, 2.5) - model.stamp(x, y, 5000.0, SHAPE))
        meta = {"contamination": 0.6 if name == "4" else 0.01, "edge_dist": min(x, y)}
        level = np.full(WAVE.size, flux, np.float32)
        ivar = np.full(WAVE.size, 1e-2, np.float32)
        stars.append(replace(spectrum(name), x=x, y=y, flux=level, ivar=ivar, meta=meta))
    with Session.create(tmp_path / "s.stellacube", (), Settings()) as made:
        made.put_spectra(stars)
        made.put_image("residual", residual)
        made.save("psf", model.to_arrays())
        yield made


def test_the_profile_is_the_stars_own(session):
    found = psf_diagnostics(session)
    assert found.stars == ("2", "1")
    core = found.radius < 6.0
    truth = moffat(found.radius, 0.0, 4.4, 2.5)
    assert found.profile[core] == pytest.approx(truth[core], rel=0.06)  # rings are half a spaxel wide
    fitted = moffat(found.radius, 0.0, 4.0, 2.5)
    assert found.fitted[core] == pytest.approx(fitted[core], rel=0.06)
    assert found.profile[0] < 0.87 * found.fitted[0]
    assert (found.spread >= 0).all()
    middle = found.residual.shape[0] // 2
    within = np.linspace(-0.475, 0.475, 20)
    peak = moffat(within, within[:, None], 4.0, 2.5).mean()  # the model is integrated over the spaxel
    expected = 100.0 * (moffat(0.0, 0.0, 4.4, 2.5) / peak - 1.0)
    assert found.residual[middle, middle] == pytest.approx(expected, abs=0.2)
    assert found.residual.max() > 0.3  # the wings that the model lacks


def test_curves_are_the_polynomials(session):
    found = psf_diagnostics(session)
    assert found.curves["fwhm"] == pytest.approx(4.0)
    assert found.wave[[0, -1]].tolist() == [WAVE[0], WAVE[-1]]


def test_without_stars_or_extraction_there_is_less(tmp_path):
    with Session.create(tmp_path / "a.stellacube", (), Settings()) as session:
        assert psf_diagnostics(session) is None
        session.save("psf", constant_psf("gaussian", 3.0, 2.5, WAVE, 0.0, 0.0).to_arrays())
        found = psf_diagnostics(session)
    assert found.stars == ()
    assert found.radius.size == 0
