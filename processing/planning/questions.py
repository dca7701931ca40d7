"""The planner's three questions and their one answer.

Of magnitude, time and precision two are given and the third is asked. Whatever was asked, the answer is the same
record: a magnitude, an exposure, and for every label what it needs and what it gets. Window and command line both
show this record, so that they cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from processing.errors import StellacubeError
from processing.labels.names import LABELS
from processing.planning import formulas
from processing.planning.formulas import HOUR, TABLE_3, PrecisionLaw
from processing.planning.yields import round_up

Question = Literal["precision", "time", "magnitude"]

DEFAULT_TARGETS: Mapping[str, float] = {"teff": 75.0, "logg": 0.15, "vmic": 0.2}
"""1-sigma errors asked for where nothing else is said: the paper's 75 K and 0.15; all else 0.1 dex."""
DEFAULT_DIT = 600.0
"""Seconds of a single exposure."""


@dataclass(frozen=True)
class Exposure:
    """`count` exposures of `dit` seconds each."""

    count: int = 6
    dit: float = DEFAULT_DIT

    @property
    def time(self) -> float:
        """Total time in seconds."""
        return self.count * self.dit

    def __str__(self) -> str:
        return f"{self.count} × {self.dit:g} s"


@dataclass(frozen=True)
class Wishes:
    """What is wanted of the labels, and under which conditions.

    Attributes
    ----------
    targets : mapping of str to float
        Wanted 1-sigma error by label, K, dex or km/s; labels without one get `DEFAULT_TARGETS`.
    counted : collection of str or None
        The labels that decide; None: all that the law knows.
    floors : mapping of str to float
        Systematic error by label, added in quadrature.
    scale : float
        Factor on every SNR, for conditions other than the paper's.
    """

    targets: Mapping[str, float] = field(default_factory=dict)
    counted: Collection[str] | None = None
    floors: Mapping[str, float] = field(default_factory=dict)
    scale: float = 1.0


@dataclass(frozen=True)
class Plan:
    """An answer: the star, the exposure, and every label.

    Attributes
    ----------
    question : {"precision", "time", "magnitude"}
        What was asked.
    mag : float
        V of the star; the limit when that was asked.
    exposure : Exposure
        The exposures; when time was asked, as many as are needed.
    time_needed : float
        Seconds of the exact answer before rounding to whole exposures; the exposure's time otherwise.
    snr : float
        SNR per 1.25 A pixel of that star after that exposure.
    labels : tuple of str
    targets, floors, snr_needed, sigma, mag_limit, times : ndarray, shape (n_label,)
        Wanted error and systematic floor; the SNR it needs; the error reached; the faintest V that reaches the target
        in this exposure; the seconds this star needs for it.
    counted : ndarray of bool, shape (n_label,)
        Labels that decide.
    worst : str
        The counted label that needs the highest SNR.
    wishes : Wishes
    """

    question: Question
    mag: float
    exposure: Exposure
    time_needed: float
    snr: float
    labels: tuple[str, ...]
    targets: np.ndarray
    floors: np.ndarray
    snr_needed: np.ndarray
    sigma: np.ndarray
    mag_limit: np.ndarray
    times: np.ndarray
    counted: np.ndarray
    worst: str
    wishes: Wishes

    @property
    def extrapolated(self) -> bool:
        """True when star or SNR lie outside the band in which the formulas are trusted."""
        return bool(formulas.extrapolated(self.mag, self.snr))

    @property
    def limit_extrapolated(self) -> np.ndarray:
        """True for the labels whose magnitude limit lies outside the band, shape (n_label,)."""
        return formulas.extrapolated(self.mag_limit, self.snr_needed)

    @property
    def time_extrapolated(self) -> np.ndarray:
        """True for the labels whose time lies outside the band, shape (n_label,)."""
        return formulas.extrapolated(self.mag, self.snr_needed)

    @property
    def met(self) -> np.ndarray:
        """True for the labels that reach their target, shape (n_label,)."""
        return self.sigma <= self.targets * (1 + 1e-9)


def plan(
    mag: float | None = None,
    exposure: Exposure | None = None,
    wishes: Wishes | None = None,
    *,
    dit: float = DEFAULT_DIT,
    law: PrecisionLaw = TABLE_3,
) -> Plan:
    """Answer one of the three questions: the one whose quantity is not given.

    Parameters
    ----------
    mag : float or None
        V magnitude; None: which is the faintest that reaches the targets?
    exposure : Exposure or None
        None: how long does it take to reach the targets?
    wishes : Wishes, optional
        Targets and conditions. With both magnitude and exposure given the question is the precision, and the targets
        only say which labels reach them.
    dit : float
        Single exposure in seconds, of which the time asked for is made.
    law : PrecisionLaw
        The paper's Table 3, or what a network allows (`information.model_law`).

    Raises
    ------
    StellacubeError
        If a value makes no sense, no label counts, or no exposure reaches a target.
    """
    wishes = wishes or Wishes()
    targets, floors, counted = _columns(law.labels, wishes)
    snr_needed = law.snr(targets, floors)
    last = int(np.argmax(np.where(counted, snr_needed, -1.0)))
    worst = law.labels[last]
    if exposure is not None:
        _check_exposure(exposure)
    question: Question = "precision"
    if mag is None and exposure is None:
        raise StellacubeError("Neither a magnitude nor an exposure time is given.", "Give one of them, or both.")
    if (mag is None or exposure is None) and np.isinf(snr_needed[last]):
        raise StellacubeError(
            f"No exposure reaches {targets[last]:g} {LABELS[worst].unit} in {LABELS[worst].symbol}: "
            f"the systematic floor alone is {floors[last]:g}.",
            "Raise the target or lower the floor.",
        )
    if mag is None:
        assert exposure is not None
        question = "magnitude"
        mag = float(formulas.magnitude_for_snr(snr_needed[last], exposure.time, wishes.scale))
        if not formulas.MAG_POSSIBLE[0] <= mag <= formulas.MAG_POSSIBLE[1]:
            raise StellacubeError("No star reaches these targets in this time.", "Relax the targets or expose longer.")
        time_needed = exposure.time
    elif exposure is None:
        question = "time"
        time_needed = float(formulas.time_for_snr(mag, snr_needed[last], wishes.scale))
        exposure = Exposure(round_up(time_needed, dit), dit)
    else:
        time_needed = exposure.time
    snr = float(formulas.snr(mag, exposure.time, wishes.scale))
    return Plan(
        question, float(mag), exposure, time_needed, snr, tuple(law.labels), targets, floors, snr_needed,
        sigma=law.sigma(snr, floors),
        mag_limit=formulas.magnitude_for_snr(snr_needed, exposure.time, wishes.scale),
        times=formulas.time_for_snr(mag, snr_needed, wishes.scale),
        counted=counted, worst=worst, wishes=wishes,
    )  # fmt: skip


def _check_exposure(exposure: Exposure) -> None:
    formulas.positive("The single exposure", exposure.dit)
    if exposure.count < 1 or not np.isfinite(exposure.time):
        raise StellacubeError(f"{exposure} is no exposure.", "Give at least one exposure of some seconds.")


def _columns(labels: tuple[str, ...], wishes: Wishes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, floors and which labels count, each of shape (n_label,)."""
    for name in {*wishes.targets, *wishes.floors, *(wishes.counted or ())} - set(labels):
        symbol = LABELS[name].symbol if name in LABELS else repr(name)
        raise StellacubeError(f"The planner has no precision for {symbol}.", f"Its labels are {', '.join(labels)}.")
    targets = [wishes.targets.get(name, DEFAULT_TARGETS.get(name, 0.1)) for name in labels]
    floors = [wishes.floors.get(name, 0.0) for name in labels]
    counted = np.array([wishes.counted is None or name in wishes.counted for name in labels])
    if not counted.any():
        raise StellacubeError("No label counts.", "Choose at least one label that must reach its target.")
    for name, target in zip(labels, targets, strict=True):
        formulas.positive(f"The target for {LABELS[name].symbol}", target)
    return np.array(targets, float), formulas.positive("The systematic floor", floors, zero=True), counted


def parse_exposure(text: str, dit: float | None = None) -> Exposure:
    """Read an exposure: "6x600", "6 × 10 min", or a total as "1h", "45 min", "3600", made of exposures of `dit`.

    Raises
    ------
    StellacubeError
        If the text is neither.
    """
    match = re.fullmatch(r"\s*(?:(\d+)\s*[x×*]\s*)?(\d+\.?\d*|\.\d+)\s*(s|sec|m|min|h|hr)?\s*", text.lower())
    if not match:
        raise StellacubeError(f"{text!r} is no exposure time.", "Write 6x600s, 45min, 2.5h or a number of seconds.")
    count, number, unit = match.groups()
    seconds = float(number) * {"s": 1.0, "m": 60.0, "h": HOUR}[(unit or "s")[0]]
    formulas.positive("The exposure time", seconds)
    if count:
        return Exposure(int(count), seconds)
    return Exposure(round_up(seconds, dit), dit) if dit else Exposure(1, seconds)


def beside(answer: Plan, other: PrecisionLaw | None) -> np.ndarray:
    """Return what another law says of the answer's SNR, shape (n_label,); NaN for labels that it does not know."""
    if other is None:
        return np.full(len(answer.labels), np.nan)
    known = dict(zip(other.labels, other.sigma(answer.snr), strict=True))
    return np.array([known.get(name, np.nan) for name in answer.labels])
