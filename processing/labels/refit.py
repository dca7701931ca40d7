"""One star fitted again with pixels masked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from processing.progress import CancelCheck, Progress, ignore, never
from processing.settings import Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit

Range = tuple[float, float]
"""Lowest and highest wavelength in Angstrom, in the spectrum's own frame, as observed."""


def masked(spectrum: StarSpectrum, ranges: Sequence[Range]) -> StarSpectrum:
    """Return the spectrum without the pixels in some wavelength ranges."""
    inside = np.zeros(spectrum.wave.size, bool)
    for low, high in ranges:
        inside |= (spectrum.wave >= low) & (spectrum.wave <= high)
    return replace(spectrum, ivar=np.where(inside, 0, spectrum.ivar).astype(spectrum.ivar.dtype))


def refit(
    spectrum: StarSpectrum,
    ranges: Sequence[Range],
    settings: Settings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> LabelFit:
    """Fit one star as a run would, without the pixels in some wavelength ranges."""
    from processing.labels.fit import fit_labels
    from processing.labels.gradients import check_gradients
    from processing.labels.model_file import load_model

    progress(0.0, f"Fitting {spectrum.star_id} again")
    model = load_model(settings.fit.model)
    fits = fit_labels([masked(spectrum, ranges)], model, settings, progress=progress, cancelled=cancelled)
    return check_gradients(fits, model, settings, cancelled=cancelled)[0]
