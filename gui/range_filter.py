"""Ranges of columns as terms of the stars' filter: read from its text, written into it; no Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gui.star_rows import TERM, Column

WIDE = 30.0
"""A positive column whose values span this factor has a logarithmic slider."""
STEPS = 200
"""Numbers are rounded to less than this part of the range."""
Range = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Where the values of a column lie on a slider, from 0 to 1."""

    low: float
    high: float
    logarithmic: bool
    decimals: int

    @classmethod
    def of(cls, column: Column) -> Scale | None:
        """Return the scale of a column; None where it has no numbers or only one."""
        if not column.numeric:
            return None
        values = np.asarray(column.values, float)
        values = values[np.isfinite(values)]
        if not values.size or values.min() == values.max():
            return None
        low, high = float(values.min()), float(values.max())
        finest = math.ceil(-math.log10((high - low) / STEPS))
        return cls(low, high, low > 0 and high / low > WIDE, max(finest, 0))

    def value(self, place: float) -> float:
        """Return the value at a place."""
        if self.logarithmic:
            return float(self.low * (self.high / self.low) ** place)
        return self.low + (self.high - self.low) * place

    def place(self, value: float) -> float:
        """Return the place of a value, within 0 and 1."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def text(self, value: float) -> str:
        """Return a value with the digits that matter, as a filter understands it."""
        if self.logarithmic:
            return f"{float(f'{value:.3g}'):g}"
        return f"{round(value, self.decimals) + 0.0:.{self.decimals}f}"


def read_range(text: str, column: Column) -> Range:
    """Return what a filter keeps of a column, infinite where it does not limit it."""
    low, high = -math.inf, math.inf
    for name, operator, value in TERM.findall(text):
        if _means(name, column) and operator[0] in "<>":
            try:
                number = float(value)
            except ValueError:
                continue
            low, high = (max(low, number), high) if operator[0] == ">" else (low, min(high, number))
    return low, high


def write_range(text: str, column: Column, low: str, high: str) -> str:
    """Return a filter that limits a column, what else it says untouched; "" does not limit that side."""
    for match in TERM.finditer(text):
        if _means(match[1], column) and match[2][0] in "<>":
            text = text.replace(match[0], " ", 1)
    terms = [f"{column.name} >= {low}"] if low else []
    terms += [f"{column.name} <= {high}"] if high else []
    return " ".join([*text.split(), *terms])


def _means(name: str, column: Column) -> bool:
    return name.casefold() in (column.name.casefold(), column.title.casefold())
