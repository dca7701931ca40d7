"""Fields as the instrument's modes deliver them: sampling, wavelengths, gap, and a PSF with or without a halo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from processing.simulation.settings import SimulationSettings

Mode = Literal["WFM-NOAO-N", "WFM-NOAO-E", "WFM-AO-N", "WFM-AO-E", "NFM-AO-N"]


def mode_settings(mode: Mode, **choices: Any) -> SimulationSettings:
    """Return the settings of a field in one of the modes; `choices` overrule them.

    Extended modes cover 4650-9300 A, nominal ones 4750-9350 A. The narrow field has 0.025" spaxels (7.5" are 300), a
    diffraction-limited core, and half of the light in a halo as wide as the seeing; ground-layer AO gives a sharper PSF
    than the seeing. All AO modes lack the light around Na D.
    """
    values: dict[str, Any] = {"mode": mode}
    if mode.endswith("-E"):
        values |= {"wave_min": 4650.0, "wave_max": 9300.0}
    if mode.startswith("NFM"):
        values |= {
            "fwhm": 0.08, "halo_fraction": 0.5, "halo_fwhm": 0.5, "core_radius": 0.4, "refraction": (0.5, -0.3),
            "mag_bright": 13.0, "mag_faint": 16.0,
        }  # fmt: skip
    elif "-AO-" in mode and "NOAO" not in mode:
        values |= {"fwhm": 0.6}
    return replace(SimulationSettings(), **(values | choices))
