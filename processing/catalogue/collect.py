"""One catalogue of many: the rows of all fields of a survey below each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.catalogue.export import read_catalogue
from processing.catalogue.table import Catalogue
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.provenance import now
from processing.settings import to_dict

if TYPE_CHECKING:
    from astropy.table import Table

ENDINGS = ("*_catalogue.fits", "*_catalogue.ecsv")
_MISSING: dict[str, Any] = {"f": np.nan, "i": 0, "b": False, "U": ""}


def catalogue_files(sources: Sequence[Path]) -> tuple[Path, ...]:
    """Return the catalogues among files and anywhere below folders, one of each run.

    Raises
    ------
    StellacubeError
        If there is none.
    """
    files: list[Path] = []
    for source in sources:
        found = [path for ending in ENDINGS for path in sorted(source.rglob(ending))] if source.is_dir() else [source]
        runs = {path.with_suffix(""): path for path in reversed(found)}  # FITS before ECSV of the same run
        files += sorted(runs.values())
    if not files:
        raise StellacubeError(f"No catalogue lies below {sources[0]}.", "Give folders of results, or FITS catalogues.")
    return tuple(dict.fromkeys(files))


def collect(files: Sequence[Path], *, progress: Progress = ignore, cancelled: CancelCheck = never) -> Catalogue:
    """Put the rows of catalogues of one model below each other; the column ``cube`` tells them apart.

    A star that several fields hold has several rows: `processing.catalogue.repeats` brings them together.

    Parameters
    ----------
    files : sequence of Path
        See `catalogue_files`.

    Returns
    -------
    Catalogue
        With the columns of any of them, what a field lacks missing; the settings are those of the first.

    Raises
    ------
    StellacubeError
        If one cannot be read, or they are of different models.
    """
    from astropy.table import vstack

    catalogues = []
    for number, path in enumerate(files):
        stop_if(cancelled)
        progress(number / len(files), f"Reading {path.name}")
        catalogues.append(read_catalogue(path))
    first = catalogues[0].provenance
    for path, catalogue in zip(files, catalogues, strict=True):
        theirs = catalogue.provenance
        if (theirs.model, theirs.model_version) != (first.model, first.model_version):
            raise StellacubeError(
                f"{path.name} was made with the model {theirs.model} {theirs.model_version}, {files[0].name} with "
                f"{first.model} {first.model_version}.",
                "Collect the catalogues of one model.",
            )
    others = sum(to_dict(catalogue.provenance.settings) != to_dict(first.settings) for catalogue in catalogues)
    differ = f"; {others} of them have other settings than the first, which are the ones told here" if others else ""
    table = _filled(vstack([catalogue.table for catalogue in catalogues], metadata_conflicts="silent"))
    history = (*first.history, f"collected from {len(files)} catalogues{differ}")
    # Thousands of inputs have no place in a header: each row names its cube.
    return Catalogue(table, replace(first, inputs=(), created=now(), history=history))


def _filled(table: Table) -> Table:
    """Return the table with NaN, 0, False or nothing where a catalogue lacked a column."""
    from astropy.table import Column, MaskedColumn

    for column in list(table.itercols()):
        if isinstance(column, MaskedColumn):
            values = column.filled(_MISSING[column.dtype.kind])
            table.replace_column(
                column.name,
                Column(np.asarray(values), name=column.name, unit=column.unit, description=column.description),
            )
    return table
