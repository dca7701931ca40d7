"""Comparisons and repeats as stage functions for jobs; no Qt, and heavy imports wait for the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.progress import CancelCheck, Progress, ignore, never

if TYPE_CHECKING:
    from processing.catalogue.compare import Bin, CatalogueComparison
    from processing.catalogue.repeat_study import RepeatStudy
    from processing.catalogue.table import Catalogue

EDGES = np.linspace(-6.0, 6.0, 25)
"""Bins of differences over their errors; what lies beyond is counted in the outermost."""


@dataclass(frozen=True)
class ShownComparison:
    """A comparison ready to be drawn."""

    comparison: CatalogueComparison
    trends: Mapping[tuple[str, str], tuple[Bin, ...]]
    """Bins by label and by what they are taken in."""


@dataclass(frozen=True)
class ShownRepeats:
    """Repeated observations ready to be drawn."""

    study: RepeatStudy
    counts: Mapping[str, np.ndarray]
    """Pairs in each bin of difference over error, by label; half of them on either side."""


def compare_stage(
    catalogue: Catalogue, name: str, other: Path, *, progress: Progress = ignore, cancelled: CancelCheck = never
) -> ShownComparison:
    """Compare the open catalogue with another."""
    from processing.catalogue.compare import compare_tables, trend
    from processing.catalogue.label_table import of_catalogue, read_label_table

    progress(0.0, f"Comparing with {other.name}")
    found = compare_tables(of_catalogue(catalogue, name), read_label_table(other))
    bins = {(row.label.name, key): trend(found, row.label.name, key) for row in found.rows for key in found.against}
    return ShownComparison(found, bins)


def save_comparison_stage(
    comparison: CatalogueComparison, folder: Path, *, progress: Progress = ignore, cancelled: CancelCheck = never
) -> tuple[Path, ...]:
    """Write table and figures of a comparison."""
    from processing.catalogue.compare import write_comparison

    progress(0.0, "Drawing the figures")
    return write_comparison([comparison], folder)


def repeats_stage(
    paths: Sequence[Path], joint: bool, *, progress: Progress = ignore, cancelled: CancelCheck = never
) -> ShownRepeats:
    """Find what some sessions or catalogues measured more than once."""
    from processing.catalogue.factors import Pairs
    from processing.catalogue.repeat_study import study_repeats
    from processing.settings import Settings

    study = study_repeats(paths, Settings(), joint=joint, progress=progress, cancelled=cancelled)
    counts = {}
    for name, errors in study.repeats.errors.items():
        scaled = Pairs.of(study.repeats.values[name], errors, study.repeats.star).scaled
        inside = np.clip(np.concatenate([scaled, -scaled]), EDGES[0], np.nextafter(EDGES[-1], 0))
        counts[name] = np.histogram(inside, EDGES)[0] / 2
    return ShownRepeats(study, counts)


def save_repeats_stage(
    study: RepeatStudy, folder: Path, *, progress: Progress = ignore, cancelled: CancelCheck = never
) -> tuple[Path, ...]:
    """Write tables and figure of repeated observations."""
    from processing.catalogue.repeat_study import write_study

    progress(0.0, "Drawing the figure")
    return write_study(study, folder)
