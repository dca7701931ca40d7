"""Settings that follow the instrument's mode: what "auto" stands for in the wide and in the narrow field."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from processing.errors import StellacubeError
from processing.extraction import psf_maoppy
from processing.settings import PsfSettings, Settings, SolveSettings

if TYPE_CHECKING:
    from processing.cube import MuseCube
    from processing.extraction.psf_profiles import Profile

FINEST_WIDE = 0.05
"""Spaxels smaller than this are those of the narrow field (0.025 arcsec; the wide field has 0.2), arcsec."""
WIDE = Settings(psf=PsfSettings(profile="moffat", radius=15.0), solve=SolveSettings(sky="patches"))
NARROW = Settings(psf=PsfSettings(profile="double_moffat", radius=35.0), solve=SolveSettings(sky="constant"))
"""A core with a halo as wide as the seeing: one Moffat misses half of the light, a short core or a sky that varies
takes up the halo."""


def is_narrow(cube: MuseCube) -> bool:
    """Return whether a cube is one of the narrow-field mode, by its header or by the size of its spaxels."""
    return cube.mode.upper().startswith("NFM") or cube.pixel_scale < FINEST_WIDE


def profile_of(settings: PsfSettings) -> Profile:
    """Return the profile of settings that are settled."""
    assert settings.profile != "auto", "settle the settings first"
    return settings.profile


def require_profile(settings: PsfSettings, narrow: bool) -> None:
    """Raise StellacubeError if the profile is MAOPPY's, and the cube is a wide one or MAOPPY is not installed."""
    if settings.profile == "maoppy":
        if not narrow:
            raise StellacubeError(
                'The PSF profile "maoppy" is that of the narrow field, and this cube is of the wide one.',
                "Choose another psf.profile.",
            )
        psf_maoppy.require()


def settle(settings: Settings, narrow: bool) -> tuple[Settings, list[str]]:
    """Return the settings with all that was left to the program decided, and a sentence where that is unusual."""
    usual, psf, solve = NARROW if narrow else WIDE, settings.psf, settings.solve
    chosen = []
    if psf.profile == "auto":
        psf = replace(psf, profile=usual.psf.profile)
        chosen.append(f'psf.profile = "{psf.profile}"')
    if psf.radius == 0.0:
        psf = replace(psf, radius=usual.psf.radius)
        chosen.append(f"psf.radius = {psf.radius:g}")
    if solve.sky == "auto":
        solve = replace(solve, sky=usual.solve.sky)
        chosen.append(f'solve.sky = "{solve.sky}"')
    notes = [
        f"Narrow field: the PSF is a core with a wide halo, and a varying sky would take up the halo. "
        f"Chosen for that: {', '.join(chosen)}."
    ]
    if settings.psf.profile == "auto":
        notes[0] += ' Where MAOPPY is installed, psf.profile = "maoppy" is the PSF of adaptive optics itself.'
    return replace(settings, psf=psf, solve=solve), notes if narrow and chosen else []
