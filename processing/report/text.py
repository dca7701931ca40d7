"""Numbers and units as they are printed."""

from __future__ import annotations

import numpy as np


def number_text(value: float, decimals: int) -> str:
    """Return a number as it is printed: a true minus sign, none before a zero, a dash where there is no number."""
    if not np.isfinite(value):
        return "–"
    return f"{value:z.{decimals}f}".replace("-", "−")


def pretty_unit(unit: str) -> str:
    """Return a flux unit as it is printed in papers."""
    text = unit.replace(" ", "")
    for old, new in (("10**(-20)*", "10⁻²⁰ "), ("1e-20", "10⁻²⁰ "), ("10^-20", "10⁻²⁰ "), ("1e-20*", "10⁻²⁰ ")):
        text = text.replace(old, new)
    for old, new in (
        ("**(-1)", "⁻¹"), ("**-1", "⁻¹"), ("**-2", "⁻²"), ("/cm**2", " cm⁻²"), ("/cm2", " cm⁻²"), ("/s", " s⁻¹"),
        ("/Angstrom", " Å⁻¹"), ("/AA", " Å⁻¹"), ("Angstrom", "Å"), ("*", " "),
    ):  # fmt: skip
        text = text.replace(old, new)
    return " ".join(text.split())
