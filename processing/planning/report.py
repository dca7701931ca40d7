"""The planner's answers as words, tables and files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.files import replacing
from processing.labels.names import LABELS
from processing.planning import formulas
from processing.planning.formulas import HOUR, PrecisionLaw
from processing.planning.information import RANGES
from processing.planning.questions import Plan, beside

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

LESS_CERTAIN: Mapping[str, str] = {
    "ca_fe": "The paper's abstract leaves Ca out of its labels better than 0.1 dex: less certain than the rest.",
}
"""Labels whose formula deserves a remark."""
CONDITIONS = "K giant, airmass 1.5, seeing 0.8″"
CITATION = "Wang et al. 2022, Eqs 11–13"
CHECK = "Open-shutter time without overheads; check the final numbers with the ESO exposure time calculator."


def network_source(model: LabelModel, teff: float, logg: float, fe_h: float, wave_range: str, factor: float) -> str:
    """Say where a network's precision comes from, as `CITATION` does for the formula's."""
    return (
        f"the Cramér–Rao bound of Stellacube's network {model.name} {model.version}, times {factor:g}, for Teff = "
        f"{teff:.0f} K, log g = {logg:g}, [Fe/H] = {fe_h:g} and {RANGES[wave_range].title}; SNR after {CITATION}"
    )


def format_sigma(label: str, value: float, *, unit: bool = True) -> str:
    """Write an error of a label with its unit: "48 K", "0.097 dex", "0.21 km/s"."""
    if not np.isfinite(value):
        return "–"
    usual = 0 if label == "teff" else 3 if value < 1 else 2
    digits = usual if value == 0 else max(usual, 1 - int(np.floor(np.log10(value))))  # two figures at least
    return f"{value:.{digits}f} {LABELS[label].unit.replace(' ', '')}" if unit else f"{value:.{digits}f}"


def format_target(label: str, value: float) -> str:
    """Write a wanted error as it was typed, with its unit: "75 K", "0.05 dex"."""
    return f"{value:g} {LABELS[label].unit.replace(' ', '')}"


def format_time(seconds: float) -> str:
    """Write a time as one would say it: "457 s", "31.2 min", "2.94 h", "never"."""
    if not np.isfinite(seconds):
        return "never"
    if seconds < 600:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / 60:.1f} min"
    hours = seconds / HOUR
    return f"{hours:.2f} h" if hours < 10 else f"{hours:.1f} h" if hours < 1000 else f"{hours:,.0f} h"


def format_mag(value: float) -> str:
    """Write a magnitude limit; a dash where no star reaches the target or all do."""
    low, high = formulas.MAG_POSSIBLE
    return f"{value:.2f}" if low <= value <= high else "–"


def headline(answer: Plan) -> str:
    """Return the answer as one short line."""
    worst = LABELS[answer.worst].symbol
    if answer.question == "time":
        return f"{format_time(answer.time_needed)} for V = {answer.mag:g}; {worst} decides"
    if answer.question == "magnitude":
        return f"V = {answer.mag:.2f} in {format_time(answer.exposure.time)}; {worst} decides"
    reached, total = int((answer.met & answer.counted).sum()), int(answer.counted.sum())
    return f"SNR {answer.snr:.1f}; {reached} of {total} targets reached, {worst} is the hardest"


def sentence(answer: Plan, source: str = CITATION) -> str:
    """Return the paragraph for the proposal: what is asked, what it takes, where the numbers come from.

    Parameters
    ----------
    answer : Plan
    source : str
        Where the precision comes from.
    """
    exposure = f"{answer.exposure} ({format_time(answer.exposure.time)})"
    wanted = _list_of(answer, [format_target(*pair) for pair in zip(answer.labels, answer.targets, strict=True)])
    reached = _list_of(answer, [format_sigma(*pair) for pair in zip(answer.labels, answer.sigma, strict=True)])
    worst = LABELS[answer.worst].symbol
    if answer.question == "precision":
        text = (
            f"A star of V = {answer.mag:g} observed for {exposure} reaches a signal-to-noise ratio of {answer.snr:.0f} "
            f"per 1.25 Å pixel and 1σ errors of {reached}."
        )
    elif answer.question == "time":
        text = (
            f"To measure {wanted} (1σ) in a star of V = {answer.mag:g} we need {format_time(answer.time_needed)} of "
            f"exposure, i.e. {exposure} with a signal-to-noise ratio of {answer.snr:.0f} per 1.25 Å pixel; "
            f"{worst} sets the time."
        )
    else:
        text = (
            f"In {exposure} we measure {wanted} (1σ) in stars down to V = {answer.mag:.2f}, where the signal-to-noise "
            f"ratio is {answer.snr:.0f} per 1.25 Å pixel; {worst} sets the limit."
        )
    return " ".join([text, *remarks(answer, source)])


def remarks(answer: Plan, source: str = CITATION) -> list[str]:
    """Return the sentences that must stand beside the numbers: conditions, factors, warnings."""
    notes = [f"Precision after {source} ({CONDITIONS})."]
    if answer.wishes.scale != 1.0:
        notes.append(f"All SNR were multiplied by {answer.wishes.scale:g} for the expected conditions.")
    if np.any(answer.floors > 0):
        shown = [
            f"{format_sigma(name, value)} in {LABELS[name].symbol}"
            for name, value in zip(answer.labels, answer.floors, strict=True)
            if value > 0
        ]
        notes.append(f"A systematic error of {', '.join(shown)} was added in quadrature.")
    if answer.extrapolated:
        low, high = formulas.MAG_VALID
        least, most = formulas.SNR_VALID
        notes.append(
            f"Extrapolated: the formulas are trusted for V = {low:g}–{high:g} and SNR = {least:g}–{most:g} only."
        )
    return [*notes, CHECK]


def _list_of(answer: Plan, texts: list[str]) -> str:
    """Name the counted labels after a text each, equal texts together: "75 K in Teff, and 0.1 dex in [Fe/H]"."""
    groups: dict[str, list[str]] = {}
    for name, text, counts in zip(answer.labels, texts, answer.counted, strict=True):
        if counts:
            groups.setdefault(text, []).append(LABELS[name].symbol)
    *parts, last = [f"{value} in {_joined(symbols)}" for value, symbols in groups.items()]
    return f"{', '.join(parts)}, and {last}" if parts else last


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


CSV_COLUMNS = (
    "label", "unit", "counted", "target", "floor", "snr_needed", "sigma", "sigma_network", "reached", "mag_limit",
    "time_needed_s", "extrapolated", "v_mag", "exposures", "dit_s", "time_s", "snr", "snr_scale", "question", "source",
)  # fmt: skip


def write_csv(answer: Plan, path: str | Path, source: str = CITATION, network: PrecisionLaw | None = None) -> Path:
    """Write the answer as a table with one row per label; the star and the exposure are repeated in every row.

    Parameters
    ----------
    answer : Plan
    path : str or Path
    source : str
        Where the precision comes from.
    network : PrecisionLaw, optional
        What a network's information says of the same star, as one more column.

    Raises
    ------
    StellacubeError
        If the file cannot be written.
    """
    target = Path(path)
    shared = (
        repr(answer.mag), answer.exposure.count, repr(answer.exposure.dit), repr(answer.exposure.time),
        repr(answer.snr), repr(answer.wishes.scale), answer.question, source,
    )  # fmt: skip
    network_sigma = beside(answer, network)
    with replacing(target) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for i, name in enumerate(answer.labels):
            numbers = (answer.snr_needed[i], answer.sigma[i], network_sigma[i])
            limits = (answer.mag_limit[i], answer.times[i])
            writer.writerow((
                name, LABELS[name].unit, int(answer.counted[i]), repr(float(answer.targets[i])),
                repr(float(answer.floors[i])), *(repr(float(v)) for v in numbers), int(answer.met[i]),
                *(repr(float(v)) for v in limits), int(answer.extrapolated), *shared,
            ))  # fmt: skip
    return target
