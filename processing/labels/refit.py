"""One star fitted again: with pixels masked by hand, with labels held, or with another network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from processing.labels.names import LABELS
from processing.preparation.air import in_frame, observed
from processing.preparation.presets import MaskPreset
from processing.progress import CancelCheck, Progress, ignore, never
from processing.provenance import now
from processing.settings import Settings
from processing.spectrum import Frame, StarSpectrum

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit

Range = tuple[float, float]
"""Lowest and highest wavelength in Angstrom, in the spectrum's own frame, as observed."""


@dataclass(frozen=True)
class Recipe:
    """In what a refit differs from the run's own fit.

    Parameters
    ----------
    masks : tuple of Range
        Pixels that are not fitted, besides those the run leaves out.
    held : tuple of (str, float)
        Labels that keep a value; those that the run's settings hold stay held.
    model : str
        Name or path of another model; empty for the run's own.
    """

    masks: tuple[Range, ...] = ()
    held: tuple[tuple[str, float], ...] = ()
    model: str = ""

    def settings(self, settings: Settings) -> Settings:
        """Return a run's settings with the held labels and the model of this recipe."""
        held = tuple((dict(settings.fit.held) | dict(self.held)).items())
        return replace(settings, fit=replace(settings.fit, held=held, model=self.model or settings.fit.model))

    def __str__(self) -> str:
        masks = f"{len(self.masks)} mask{'s' * (len(self.masks) != 1)}" if self.masks else ""
        held = [f"{LABELS[name].symbol} {value:.{LABELS[name].decimals}f}" for name, value in self.held]
        model = f"network {self.model}" if self.model else ""
        return ", ".join(part for part in (model, " and ".join(held) and f"{' and '.join(held)} held", masks) if part)


@dataclass(frozen=True)
class Refit:
    """A star's fit that does not belong to the run, and how it was made.

    Parameters
    ----------
    fit : LabelFit
    recipe : Recipe
    settings : Settings
        All that the fit was made with.
    model, model_version : str
    created : str
        UTC, ISO 8601.
    number : int
        Of the refits in a session; 0 before it is stored.
    """

    fit: LabelFit
    recipe: Recipe
    settings: Settings
    model: str
    model_version: str
    created: str = field(default_factory=now)
    number: int = 0


def masked(spectrum: StarSpectrum, ranges: Sequence[Range]) -> StarSpectrum:
    """Return the spectrum without the pixels in some wavelength ranges."""
    inside = np.zeros(spectrum.wave.size, bool)
    for low, high in ranges:
        inside |= (spectrum.wave >= low) & (spectrum.wave <= high)
    return replace(spectrum, ivar=np.where(inside, 0, spectrum.ivar).astype(spectrum.ivar.dtype))


def ranges_of(preset: MaskPreset, frame: Frame, velocity: float) -> tuple[Range, ...]:
    """Return a preset's regions as they lie in a star's spectrum.

    Parameters
    ----------
    preset : MaskPreset
    frame : {"air", "vacuum"}
        Of the spectrum.
    velocity : float
        The star's, km/s; it counts for regions at rest.
    """
    regions = np.array(preset.regions, float).reshape(-1, 2)
    if preset.frame == "rest":
        regions = observed(regions, "air", velocity, frame)
    else:
        regions = in_frame(regions, "air", frame)
    return tuple((float(low), float(high)) for low, high in regions)


def preset_of(name: str, description: str, masks: Sequence[Range], frame: Frame) -> MaskPreset:
    """Return masks drawn in a spectrum as a preset of regions as observed, in air."""
    regions = np.round(in_frame(np.array(masks, float).reshape(-1, 2), frame, "air"), 2)
    return MaskPreset(name, description, "observed", tuple((float(low), float(high)) for low, high in regions))


def refit(
    spectrum: StarSpectrum,
    recipe: Recipe,
    settings: Settings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Refit:
    """Fit one star as a run would, but for what a recipe says.

    Raises
    ------
    StellacubeError
        If the model cannot be read, or a label cannot be held at its value.
    """
    from processing.labels.mixture import fit_and_check
    from processing.labels.model_file import load_model

    progress(0.0, f"Fitting {spectrum.star_id} again")
    settings = recipe.settings(settings)
    model = load_model(settings.fit.model)
    (fit,) = fit_and_check([masked(spectrum, recipe.masks)], model, settings, progress=progress, cancelled=cancelled)
    return Refit(fit, recipe, settings, model.name, model.version)
