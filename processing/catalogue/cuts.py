"""Cut lists: named sets of conditions that a catalogue's stars must meet, and how many each of them removes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.catalogue.expressions import Condition, check_columns
from processing.catalogue.table import Catalogue
from processing.paths import resource
from processing.settings import from_dict
from processing.toml_files import find_toml, load_toml, save_toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import Table

SELECTED = "selected"
"""Column of the catalogue that says which stars pass."""


@dataclass(frozen=True)
class CutList:
    """Conditions under a name.

    Parameters
    ----------
    name, description : str
    cuts : tuple of str
        Conditions (`processing.catalogue.expressions`), applied in this order.
    """

    name: str
    description: str = ""
    cuts: tuple[str, ...] = ()


@dataclass(frozen=True)
class CutStep:
    """What one condition does to a catalogue.

    Parameters
    ----------
    text : str
        The condition.
    alone : int
        Stars of the whole catalogue that fail it.
    missing : int
        Those of them that lack a number it needs.
    removed : int
        Stars that it removes from what the conditions before it left.
    left : int
        Stars that are then left.
    """

    text: str
    alone: int
    missing: int
    removed: int
    left: int


@dataclass(frozen=True)
class Selection:
    """The stars that pass a cut list.

    Parameters
    ----------
    kept : ndarray, shape (n_star,), bool
    steps : tuple of CutStep
    """

    kept: np.ndarray
    steps: tuple[CutStep, ...]


def apply_cuts(table: Table, cuts: Sequence[str]) -> Selection:
    """Find the stars that meet all conditions, one after the other.

    ``median`` and ``scatter`` are taken over the stars that the conditions before have left.

    Parameters
    ----------
    table : astropy.table.Table
    cuts : sequence of str

    Raises
    ------
    StellacubeError
        If a condition cannot be read, or needs a column that is not there.
    """
    conditions = [Condition.parse(text) for text in cuts]
    kept, steps = np.ones(len(table), bool), []
    for condition in conditions:
        check_columns(condition, table.colnames)
        columns = {name: np.asarray(table[name]) for name in condition.columns}
        alone = condition.holds(columns)
        passing = kept.copy()
        passing[kept] = condition.holds({name: values[kept] for name, values in columns.items()})
        steps.append(
            CutStep(
                condition.text,
                int((~alone).sum()),
                int(condition.missing(columns).sum()),
                int(kept.sum() - passing.sum()),
                int(passing.sum()),
            )
        )
        kept = passing
    return Selection(kept, tuple(steps))


def with_cuts(catalogue: Catalogue, cuts: CutList) -> Catalogue:
    """Return the catalogue with a column `selected`, and with what each cut did in its history; no row is lost."""
    from astropy.table import Column

    selection = apply_cuts(catalogue.table, cuts.cuts)
    table = catalogue.table.copy(copy_data=False)
    table[SELECTED] = Column(selection.kept, description=f"true where the star passes the cuts {cuts.name}".strip())
    steps = (f"{s.text} removes {s.removed}, {s.left} left" for s in selection.steps)
    entry = f"{f'cuts {cuts.name}'.strip()} on {len(table)} stars: {'; '.join(steps)}"
    provenance = replace(catalogue.provenance, history=(*catalogue.provenance.history, entry))
    return Catalogue(table, provenance)


def read_cuts(path: str | Path) -> CutList:
    """Read a cut list from a TOML file.

    Raises
    ------
    StellacubeError
        If the file cannot be read, or holds something else than a cut list.
    """
    path = Path(path)
    cuts = from_dict({"name": path.stem} | load_toml(path, "cut list"), CutList, f"{path.name}: ")
    for text in cuts.cuts:
        Condition.parse(text)
    return cuts


def write_cuts(cuts: CutList, path: str | Path) -> None:
    """Write a cut list to a TOML file that `read_cuts` reads back unchanged."""
    save_toml(asdict(cuts), path, "cut list")


def list_cuts() -> dict[str, Path]:
    """Return the files of the cut lists that ship, by name."""
    return {path.stem: path for path in sorted(resource("cuts").glob("*.toml"))}


def find_cuts(name: str) -> CutList:
    """Read a cut list by its name, or by the path of its file.

    Raises
    ------
    StellacubeError
        If there is none.
    """
    return read_cuts(find_toml(name, list_cuts(), "cut list"))
