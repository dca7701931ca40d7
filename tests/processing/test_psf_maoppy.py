"""The profile of adaptive optics against MAOPPY called directly, its fit against truth, and what is said without it."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import star_fields
from star_fields import make_field

from processing.errors import StellacubeError
from processing.extraction import psf_maoppy
from processing.extraction.automatic import NARROW, require_profile
from processing.extraction.extract import extract
from processing.extraction.layer_model import StarField
from processing.extraction.psf import PsfModel, PsfShape
from processing.extraction.psf_fit import fit_psf
from processing.extraction.psf_maoppy import PARAMETERS
from processing.extraction.psf_profiles import derivatives, parameter_names
from processing.extraction.solve import solve_cube
from processing.settings import PsfSettings, Settings

TRUE = {"r0": 0.15, "background": 0.004, "variance": 6.0, "alpha": 0.2, "exponent": 1.7}
E, THETA = 0.15, 0.5


@pytest.fixture(autouse=True)
def smaller(monkeypatch):
    """Let MAOPPY's images be smaller than usual: quicker, and good enough for fields of a few arcsec."""
    caches = (psf_maoppy._model, psf_maoppy._grid, psf_maoppy._distance)
    monkeypatch.setattr(psf_maoppy, "SIZE", 384)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def true_parameters(wave):
    values = TRUE | {"e1": E * np.cos(2 * THETA), "e2": E * np.sin(2 * THETA), "wave": wave}
    return np.array([values.get(name, 0.0) for name in PARAMETERS])


def direct(fine):
    """Return a wavelength, and MAOPPY's image there summed over spaxels, at steps of 1 / `fine` spaxel.

    At this wavelength, `fine` pixels of MAOPPY's own make a spaxel. x is the second axis.
    """
    from scipy.ndimage import uniform_filter

    instrument, psfmodel = pytest.importorskip("maoppy.instrument"), pytest.importorskip("maoppy.psfmodel")
    pixel = np.deg2rad(0.025 / 3600.0) / fine
    system = instrument.Instrument(D=8.0, occ=0.14, res=pixel, Nact=34)
    model = psfmodel.Psfao((120 * fine, 120 * fine), system=system, samp=3.0)
    wave = 1e10 * system.wvl(3.0)
    scale = wave / 5000.0
    # Its angle is that of the wide axis from the rows' direction towards negative columns.
    image = model([
        TRUE["r0"] * scale**1.2, TRUE["background"] / scale**2, TRUE["variance"] / scale**2, TRUE["alpha"],
        (1.0 - E) ** -0.5, THETA - np.pi / 2, TRUE["exponent"],
    ])  # fmt: skip
    reach = slice(20 * fine, 100 * fine + 1)
    return wave, uniform_filter(image, fine)[reach, reach] * fine**2


@pytest.mark.parametrize("fine", [3, 5])
def test_it_is_maoppys_image_summed_over_spaxels(fine):
    wave, expected = direct(fine)
    expected = expected[10 * fine : -10 * fine : fine, 10 * fine : -10 * fine : fine]
    dy, dx = np.mgrid[-30:31, -30:31].astype(np.float32)
    found = psf_maoppy.evaluate(true_parameters(wave), dx, dy)
    assert np.abs(found - expected).max() < 2e-3 * expected.max()
    assert found.sum() == pytest.approx(expected.sum(), rel=3e-3)
    core = np.hypot(dx, dy) < 10
    xx, yy, xy = ((found * core * moment).sum() for moment in (dx * dx, dy * dy, dx * dy))
    assert 0.5 * np.arctan2(2 * xy, xx - yy) == pytest.approx(THETA, abs=0.02)


def test_the_whole_light_is_one_and_the_halo_falls_as_kolmogorovs():
    pytest.importorskip("maoppy")
    dy, dx = np.mgrid[-500:501, -500:501].astype(np.float32)
    assert psf_maoppy.evaluate(true_parameters(5500.0), dx, dy).sum() == pytest.approx(1.0, abs=0.005)
    far = psf_maoppy.evaluate(true_parameters(5500.0), np.array([100.0, 200.0]), np.zeros(2))
    assert far[1] / far[0] == pytest.approx(2.0 ** (-11 / 3))


def test_derivatives_are_differences():
    pytest.importorskip("maoppy")
    dx, dy = np.random.default_rng(1).uniform(-6, 6, (2, 60))
    theta = true_parameters(7000.0)
    value, by = derivatives("maoppy", theta, dx, dy)
    np.testing.assert_array_equal(value, psf_maoppy.evaluate(theta, dx, dy))
    for k, name in enumerate(("variance", "r0", "e1", "e2", "x", "y", "alpha", "exponent", "background")):
        if name in "xy":
            shift = np.array([1e-2 * (name == "x"), 1e-2 * (name == "y")])[:, None]
            plus, minus = (psf_maoppy.evaluate(theta, *(np.stack([dx, dy]) - s * shift)) for s in (1, -1))
            expected = (plus - minus) / 2e-2
        else:
            h = np.zeros(len(PARAMETERS))
            h[PARAMETERS.index(name)] = 2e-3
            expected = (psf_maoppy.evaluate(theta + h, dx, dy) - psf_maoppy.evaluate(theta - h, dx, dy)) / 4e-3
        np.testing.assert_allclose(by[k], expected, atol=0.08 * np.abs(expected).max(), err_msg=name)


def test_the_first_guess_is_as_wide_as_asked():
    pytest.importorskip("maoppy")
    for width in (2.0, 3.5):
        assert psf_maoppy.half_width(psf_maoppy.first_guess(width)) == pytest.approx(width, rel=0.03)


def test_the_width_at_many_wavelengths_is_interpolated():
    pytest.importorskip("maoppy")
    wave = np.linspace(9300.0, 6000.0, 200)
    many = psf_maoppy.half_width(np.stack([true_parameters(w) for w in wave]))
    for k in (0, 77, 199):
        assert many[k] == pytest.approx(float(psf_maoppy.half_width(true_parameters(wave[k]))), abs=0.05)


def painted_field():
    """Return a field whose stars look as MAOPPY says."""
    from scipy.ndimage import map_coordinates

    wave, image = direct(5)

    def psf(dx, dy, *_):
        return map_coordinates(image, [5 * (o + 40) for o in (dy, dx)], order=3, mode="nearest")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(star_fields, "moffat", psf)
        waves = wave + np.array([-10.0, 0.0, 10.0])
        return make_field(4, 8, (46, 46), waves, drift=(0.2, -0.1), mags=(10.0, 12.0), integrate=False, reach=45)


def test_a_field_that_maoppy_painted_is_taken_apart():
    made = painted_field()
    flux = made.flux.mean(1)
    psf = fit_psf(
        made, made.x, made.y, flux / 35.0, 2.0, PsfSettings("maoppy", radius=20.0, bins=1), flux=flux,
        solve=NARROW.solve,
    )  # fmt: skip
    found = dict(zip(parameter_names("maoppy"), psf.bin_values[0], strict=True))
    for name in ("r0", "variance", "exponent"):
        assert found[name] == pytest.approx(TRUE[name], rel=0.1), name
    assert np.hypot(found["e1"] - E * np.cos(2 * THETA), found["e2"] - E * np.sin(2 * THETA)) < 0.02
    assert (found["dx"], found["dy"]) == (pytest.approx(0.1, abs=0.02), pytest.approx(-0.05, abs=0.02))
    assert psf.bin_chi[0] < 1.1
    assert psf.residual is None  # nothing is left over
    solution = solve_cube(made, StarField(made.x, made.y, psf, made.shape[1:], 20.0, NARROW.solve))
    assert np.median(np.abs(solution.flux / made.flux - 1.0)) < 0.01
    again = PsfModel.from_arrays({k: np.array(v) for k, v in psf.to_arrays().items()})
    assert again.profile == "maoppy"
    np.testing.assert_array_equal(again.stamp(20, 20, 8000.0, (40, 40)), psf.stamp(20, 20, 8000.0, (40, 40)))
    assert again.parameters(np.array([5000.0, 8000.0]))[:, -1].tolist() == [5000.0, 8000.0]
    assert again.fwhm(9000.0) < again.fwhm(5000.0)  # the sharper, the longer the wave


def test_without_maoppy_it_says_how_to_get_it(monkeypatch):
    for name in ("maoppy", "maoppy.psfmodel", "maoppy.instrument"):
        monkeypatch.setitem(sys.modules, name, None)
    narrow = SimpleNamespace(mode="NFM-AO-N", pixel_scale=0.025)
    settings = Settings(psf=PsfSettings(profile="maoppy"))
    with pytest.raises(StellacubeError, match=r"not installed\. Install it: pip install maoppy\."):
        extract(narrow, None, settings)
    with pytest.raises(StellacubeError, match="pip install maoppy"):
        PsfShape("maoppy", true_parameters(7000.0))(np.zeros(1), np.zeros(1))
    assert not psf_maoppy.is_installed()
    require_profile(NARROW.psf, narrow=True)


def test_it_is_no_profile_of_the_wide_field():
    with pytest.raises(StellacubeError, match="narrow field"):
        require_profile(replace(NARROW.psf, profile="maoppy"), narrow=False)
