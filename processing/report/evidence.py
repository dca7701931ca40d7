"""What speaks for a label and against it, in numbers and sentences, as window and reports show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from processing.labels.names import LABELS
from processing.report.text import number_text

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit
    from processing.settings import EvidenceSettings

Evidence = Literal["good", "warn", "bad", "none"]


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
    quality: Evidence
    reason: str


def label_rows(fit: LabelFit, settings: EvidenceSettings) -> list[LabelRow]:
    """Return the velocity and every label of a star, with what speaks for them."""
    from processing.labels.gradients import flags, informative

    formal, scaled = fit.errors(), fit.errors_scaled()
    good, known, limits = flags(fit, settings), informative(fit, settings), settings.limits(fit.labels)
    first = LabelRow("", "RV", "km/s", number_text(fit.rv, 1), number_text(fit.rv_err, 1), "", "", "none",
                     "Radial velocity, in the frame of the input's wavelengths.")  # fmt: skip
    rows = [first]
    for n, name in enumerate(fit.labels):
        info = LABELS[name]
        digits = info.decimals
        checked = fit.gradcorr is not None and fit.bound is not None and np.isfinite(fit.bound[n])
        agreement = float(fit.gradcorr[n]) if fit.gradcorr is not None else np.nan
        quality: Evidence = "none" if not checked else ("bad", "warn", "good")[int(good[n]) + int(known[n])]  # type: ignore[assignment]
        reason = "The evidence of this label was not checked."
        if checked and fit.bound is not None:
            bound, limit = (f"{number_text(float(v), digits)} {_unit(name)}".strip() for v in (fit.bound[n], limits[n]))
            reason = " ".join((_about_lines(info.symbol, agreement, settings), _about_noise(bound, limit, known[n])))
        rows.append(
            LabelRow(
                name, info.symbol, _unit(name), number_text(float(fit.values[n]), digits),
                number_text(float(scaled[n]), digits), number_text(float(formal[n]), digits + 1),
                number_text(agreement, 2), quality, reason,
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
