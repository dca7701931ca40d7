"""Mask presets: named wavelength regions in small TOML files, shipped ones and the user's own."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from processing.errors import StellacubeError
from processing.paths import resource
from processing.settings import PreparationSettings, from_dict

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
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StellacubeError(f"The mask preset {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StellacubeError(f"The mask preset {path} is not valid TOML: {error}.") from error
    preset = from_dict({"name": path.stem} | values, MaskPreset, f"{path.name}: ")
    for low, high in preset.regions:
        if not 0 < low < high:
            raise StellacubeError(
                f"The mask preset {path} has a region from {low:g} to {high:g} Å.",
                "A region is [lowest, highest] in Angstrom.",
            )
    return preset


def write_preset(preset: MaskPreset, path: str | Path) -> None:
    """Write a preset to a TOML file that `read_preset` reads back unchanged; what is empty is left out."""
    import tomli_w

    values = {name: value for name, value in asdict(preset).items() if value}
    try:
        Path(path).write_text(tomli_w.dumps(values), encoding="utf-8")
    except OSError as error:
        raise StellacubeError(f"The mask preset {path} cannot be written: {error.strerror}.") from error


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
    known = list_presets(*folders)
    if name in known:
        return read_preset(known[name])
    if Path(name).suffix == ".toml":
        return read_preset(name)
    raise StellacubeError(
        f"There is no mask preset called {name}.", f"Known are {', '.join(known)}; or give the path of a TOML file."
    )


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
