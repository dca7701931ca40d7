"""What speaks for a label and against it, in sentences; and the gradients behind it, read off the GUI thread."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.labels.names import LABELS

if TYPE_CHECKING:
    from gui.star_rows import Quality
    from processing.labels.fit import LabelFit
    from processing.labels.gradients import GradientSpectra
    from processing.labels.model_file import LabelModel
    from processing.settings import EvidenceSettings


@dataclass(frozen=True)
class LabelRow:
    """One label of one star as it is shown."""

    name: str
    symbol: str
    unit: str
    value: str
    error: str
    formal: str
    agreement: str
    """Of the network's gradient with the physical one, each pixel alike."""
    quality: Quality
    reason: str


def label_rows(fit: LabelFit, settings: EvidenceSettings) -> list[LabelRow]:
    """Return the velocity and every label of a star, with what speaks for them."""
    from processing.labels.gradients import flags, informative

    formal, scaled = fit.errors(), fit.errors_scaled()
    good, known, limits = flags(fit, settings), informative(fit, settings), settings.limits(fit.labels)
    first = LabelRow("", "RV", "km/s", _number(fit.rv, 1), _number(fit.rv_err, 1), "", "", "none",
                     "Radial velocity, in the frame of the input's wavelengths.")  # fmt: skip
    rows = [first]
    for n, name in enumerate(fit.labels):
        info = LABELS[name]
        digits = info.decimals
        checked = fit.gradcorr is not None and fit.bound is not None and np.isfinite(fit.bound[n])
        agreement = float(fit.gradcorr[n]) if fit.gradcorr is not None else np.nan
        quality: Quality = "none" if not checked else ("bad", "warn", "good")[int(good[n]) + int(known[n])]  # type: ignore[assignment]
        reason = "The evidence of this label was not checked."
        if checked and fit.bound is not None:
            bound, limit = (f"{_number(float(v), digits)} {_unit(name)}".strip() for v in (fit.bound[n], limits[n]))
            reason = " ".join((_about_lines(info.symbol, agreement, settings), _about_noise(bound, limit, known[n])))
        rows.append(
            LabelRow(
                name, info.symbol, _unit(name), _number(float(fit.values[n]), digits),
                _number(float(scaled[n]), digits), _number(float(formal[n]), digits), _number(agreement, 2),
                quality, reason,
            )
        )  # fmt: skip
    return rows


def _about_lines(symbol: str, agreement: float, settings: EvidenceSettings) -> str:
    needed = settings.min_gradcorr
    if np.isfinite(agreement) and agreement > needed:
        return f"The network reads {symbol} from its own lines (agreement with physics {agreement:.2f})."
    if not np.isfinite(agreement):
        return f"Whether the network reads {symbol} from its own lines is not known."
    return (
        f"The network reads {symbol} from something else than its own lines "
        f"(agreement with physics {agreement:.2f}; {needed:g} is needed)."
    )


def _about_noise(bound: str, limit: str, known: int) -> str:
    if known:
        return f"This spectrum can determine it to ± {bound} at best."
    return f"This spectrum cannot determine it: ± {bound} at best; {limit} is wanted."


def _unit(name: str) -> str:
    return {"dex": "", "km / s": "km/s"}.get(LABELS[name].unit, LABELS[name].unit)


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "−") if np.isfinite(value) else "–"


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
