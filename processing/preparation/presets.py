"""Mask presets: named wavelength regions in small TOML files, shipped ones and the user's own."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from processing.errors import StellacubeError
from processing.paths import resource
from processing.settings import PreparationSettings, from_dict
from processing.toml_files import find_toml, load_toml, save_toml

Region = tuple[float, float]


@dataclass(frozen=True)
class MaskPreset:
    """Regions that are not fitted, under a name.

    Parameters
    ----------
    name, description : str
    frame : {"observed", "rest"}
        Whether the regions hold in the wavelengths as observed or in the star's rest frame.
    regions : tuple of (float, float)
        Lowest and highest wavelength of each, Angstrom in air.
    wave_min, wave_max : float
        Limits of the fit, Angstrom in air; 0: none.
    telluric : {"wide", "narrow", "none", ""}
        Which of the telluric sets goes with it; empty: whichever is set already.
    """

    name: str
    description: str = ""
    frame: Literal["observed", "rest"] = "observed"
    regions: tuple[Region, ...] = ()
    wave_min: float = 0.0
    wave_max: float = 0.0
    telluric: Literal["wide", "narrow", "none", ""] = ""


def read_preset(path: str | Path) -> MaskPreset:
    """Read a preset from a TOML file.

    Raises
    ------
    StellacubeError
        If the file cannot be read, or holds something else than a preset.
    """
    path = Path(path)
    preset = from_dict({"name": path.stem} | load_toml(path, "mask preset"), MaskPreset, f"{path.name}: ")
    for low, high in preset.regions:
        if not 0 < low < high:
            raise StellacubeError(
                f"The mask preset {path} has a region from {low:g} to {high:g} Å.",
                "A region is [lowest, highest] in Angstrom.",
            )
    return preset


def write_preset(preset: MaskPreset, path: str | Path) -> None:
    """Write a preset to a TOML file that `read_preset` reads back unchanged; what is empty is left out."""
    save_toml({name: value for name, value in asdict(preset).items() if value}, path, "mask preset")


def list_presets(*folders: str | Path) -> dict[str, Path]:
    """Return the files of all presets by name: those that ship, then those in the given folders, which win."""
    files = [path for folder in (resource("masks"), *folders) for path in sorted(Path(folder).glob("*.toml"))]
    return {path.stem: path for path in files}


def find_preset(name: str, *folders: str | Path) -> MaskPreset:
    """Read a preset by its name, or by the path of its file.

    Raises
    ------
    StellacubeError
        If there is none.
    """
    return read_preset(find_toml(name, list_presets(*folders), "mask preset"))


def with_preset(settings: PreparationSettings, preset: MaskPreset) -> PreparationSettings:
    """Return settings with a preset's regions and limits added, so that a run's own settings tell all of it."""
    observed, rest = (preset.regions if preset.frame == frame else () for frame in ("observed", "rest"))
    upper = [limit for limit in (settings.wave_max, preset.wave_max) if limit > 0]
    return replace(
        settings,
        masks=tuple(dict.fromkeys((*settings.masks, *observed))),
        masks_rest=tuple(dict.fromkeys((*settings.masks_rest, *rest))),
        wave_min=max(settings.wave_min, preset.wave_min),
        wave_max=min(upper, default=0.0),
        telluric=preset.telluric or settings.telluric,
    )
