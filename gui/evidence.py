"""The gradients behind a star's labels, read off the GUI thread."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit
    from processing.labels.gradients import GradientSpectra
    from processing.labels.model_file import LabelModel


@lru_cache(maxsize=1)
def _model(name: str) -> LabelModel:
    """Load a network once: every star of a run was fitted with the same."""
    from processing.labels.model_file import load_model

    return load_model(name)


def read_gradients(fit: LabelFit, model_name: str) -> GradientSpectra:
    """Return the gradients of a star's labels.

    Raises
    ------
    StellacubeError
        If the model is not the one that the star was fitted with.
    """
    from processing.labels.gradients import gradient_spectra

    model = _model(model_name)
    if model.labels != fit.labels or not np.array_equal(model.wave, fit.wave):
        raise StellacubeError(
            "The gradients cannot be shown: the network that fitted these stars is not there any more.",
            "Run the fit again, or put the model file back.",
        )
    return gradient_spectra(fit, model)
