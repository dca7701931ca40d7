"""The stellar labels: machine names, symbols, units and scales, in one table that everything else reads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LabelInfo:
    """What a label is called and measured in."""

    name: str
    symbol: str
    unit: str
    description: str
    decimals: int = 2


def _abundance(element: str) -> LabelInfo:
    name = f"{element.lower()}_fe"
    return LabelInfo(name, f"[{element}/Fe]", "dex", f"abundance of {element} over iron, relative to the Sun")


LABELS: dict[str, LabelInfo] = {
    info.name: info
    for info in (
        LabelInfo("teff", "Teff", "K", "effective temperature", 0),
        LabelInfo("logg", "log g", "dex", "logarithm of the surface gravity in cgs units"),
        LabelInfo("fe_h", "[Fe/H]", "dex", "iron abundance relative to the Sun"),
        LabelInfo("vmic", "vmic", "km / s", "microturbulence velocity"),
        *(
            _abundance(element)
            for element in (
                "C", "N", "O", "Na", "Mg", "Al", "Si", "Ca", "Ti", "Cr", "Mn", "Co", "Ni", "Cu", "Ba",
                "Li", "Sc", "V", "Zn", "Y", "Eu",
            )
        ),
    )
}  # fmt: skip
"""Every label the program knows, by machine name, in the order of the catalogue."""

CORE = ("teff", "logg", "fe_h")
"""The labels that shape the whole spectrum, and that libraries of real stars give."""

SYNTHETIC_ORDER: tuple[str, ...] = tuple(LABELS)[:19]
"""The order of the 19 labels in the synthetic training set."""


def from_training_name(name: str) -> str:
    """Translate a label name of the training data (``Teff``, ``FeH``, ``Mg``) to its machine name.

    Raises
    ------
    KeyError
        If the name is no known label.
    """
    candidates = (name, name.lower(), f"{name.lower()}_fe", {"feh": "fe_h"}.get(name.lower(), ""))
    for candidate in candidates:
        if candidate in LABELS:
            return candidate
    raise KeyError(name)
