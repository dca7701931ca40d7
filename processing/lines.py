"""Lists of lines for the eye: stellar lines, airglow, and the bands of the Earth's atmosphere."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from processing.paths import resource

Kind = Literal["stellar", "sky"]

TELLURIC: tuple[tuple[str, float, float], ...] = (
    ("O₂ γ", 6276.0, 6318.0),
    ("O₂ B", 6867.0, 6944.0),
    ("H₂O", 7160.0, 7340.0),
    ("O₂ A", 7593.0, 7700.0),
    ("H₂O", 8120.0, 8345.0),
    ("H₂O", 8940.0, 9350.0),
)
"""Name and limits of the absorption bands, Angstrom in air, at rest with the observatory."""


@dataclass(frozen=True)
class Line:
    """A line to be marked.

    Parameters
    ----------
    wave : float
        Angstrom in air; at rest, with the star or with the observatory.
    name : str
    strong : bool
        Worth a mark where the whole spectrum is shown.
    """

    wave: float
    name: str
    strong: bool


@lru_cache(maxsize=2)
def read_lines(kind: Kind) -> tuple[Line, ...]:
    """Return the shipped list of stellar lines or of airglow, in order of wavelength."""
    with resource("lines", f"{kind}_lines.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return tuple(Line(float(row["wave_air"]), row["name"], row.get("strong", "1") == "1") for row in rows)
