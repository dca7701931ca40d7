"""The instrument's modes, simulated and extracted: extended range, laser gap, narrow field with core and halo."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from processing.cube import MuseCube
from processing.extraction.automatic import is_narrow, settle
from processing.extraction.extract import extract
from processing.reference import read_star_list
from processing.settings import PsfSettings, Settings, SolveSettings
from processing.simulate import sample_library, simulate_field
from processing.simulation.modes import mode_settings

SETTINGS = Settings(psf=PsfSettings(bins=8), workers=2)


def extracted(mode, folder, settings, **choices):
    """Simulate and extract a small field; return truth, result, and relative errors (n, n_wave) of unblended stars."""
    field = mode_settings(mode, resampling=0.0, outside=-6.0, **choices)
    truth = simulate_field(sample_library(), field, folder / "cube.fits", folder / "stars.csv")
    with MuseCube.open(folder / "cube.fits") as cube:
        result = extract(cube, read_star_list(folder / "stars.csv"), settings)
    place = {star: i for i, star in enumerate(truth.star_id)}
    clear = [s for s in result.spectra if s.meta["contamination"] < 0.3 and not s.meta["multistar"]]
    rows = [place[spectrum.star_id] for spectrum in clear]
    flux, good = np.array([s.flux for s in clear]), np.array([s.good for s in clear])
    return truth, result, np.where(good, flux / truth.flux[rows] - 1.0, np.nan)


def test_extended_mode_reaches_further_into_the_blue(tmp_path):
    truth, _, error = extracted("WFM-NOAO-E", tmp_path, SETTINGS, n_stars=16, nx=50, ny=50, wave_step=46.5)
    assert (truth.wave[0], truth.wave[-1]) == (4650.0, 9300.0)
    assert len(error) >= 8
    assert abs(np.median(error)) < 0.003
    assert np.abs(np.median(error, axis=1)).max() < 0.02
    assert abs(np.median(error[:, :4])) < 0.01


def test_the_laser_gap_is_masked_and_nothing_else(tmp_path):
    truth, result, error = extracted("WFM-AO-N", tmp_path, SETTINGS, n_stars=16, nx=50, ny=50, wave_step=23.0)
    gap = (truth.wave > 5805.3) & (truth.wave < 5966.2)
    assert np.isnan(error[:, gap]).all()
    assert np.isfinite(error[:, ~gap]).mean() > 0.999
    assert abs(np.nanmedian(error)) < 0.003
    beside = np.convolve(gap, np.ones(5), "same").astype(bool) & ~gap
    assert abs(np.nanmedian(error[:, beside])) < 0.01
    assert result.psf.fwhm(7000.0) == pytest.approx(3.0 * np.sqrt(0.95), rel=0.03)


def cube_of(mode="", pixel_scale=0.2):
    return SimpleNamespace(mode=mode, pixel_scale=pixel_scale)


@pytest.mark.parametrize(
    ("cube", "narrow"),
    [
        (cube_of("WFM-NOAO-N"), False),
        (cube_of("NFM-AO-N"), True),
        (cube_of(pixel_scale=0.0253), True),
        (cube_of(pixel_scale=float("nan")), False),
    ],
)
def test_what_is_automatic_follows_the_mode(cube, narrow):
    settled, notes = settle(Settings(), is_narrow(cube))
    chosen = settled.psf.profile, settled.psf.radius, settled.solve.sky
    assert chosen == (("double_moffat", 35.0, "constant") if narrow else ("moffat", 15.0, "patches"))
    assert len(notes) == narrow
    assert settle(settled, narrow) == (settled, [])


def test_what_the_user_chose_stays():
    own = Settings(psf=PsfSettings(profile="moffat_gaussian", radius=20.0), solve=SolveSettings(sky="none"))
    assert settle(own, narrow=True) == (own, [])
    settled, (note,) = settle(replace(own, solve=SolveSettings()), narrow=True)
    assert (settled.psf, settled.solve.sky) == (own.psf, "constant")
    assert "psf." not in note


def test_the_narrow_field_gets_two_components_by_itself(tmp_path):
    settings = replace(SETTINGS, psf=PsfSettings(bins=4))
    _, result, error = extracted("NFM-AO-N", tmp_path, settings, n_stars=20, nx=100, ny=100, wave_step=230.0)
    assert result.psf.profile == "double_moffat"
    assert sum(note.startswith("Narrow field") for note in result.notes) == 1
    assert len(result.spectra) == 20
    assert abs(np.nanmedian(error)) < 0.02
    assert np.abs(np.nanmedian(error, axis=1)).max() < 0.08
    assert result.psf.fwhm(7000.0) == pytest.approx(3.2, rel=0.1)
