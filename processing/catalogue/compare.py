"""One catalogue against another: bias and dispersion of every label, and how they go with S/N, Teff and [Fe/H]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.catalogue.agreement import Recovery, bias_and_dispersion
from processing.catalogue.columns import Column
from processing.catalogue.factors import spread
from processing.catalogue.label_table import LabelTable, names_of, read_label_table
from processing.catalogue.matching import match
from processing.catalogue.terms import QUANTITIES, RADIUS, By
from processing.errors import StellacubeError
from processing.files import prepare_folder, replacing
from processing.progress import CancelCheck, Progress, ignore, never, stop_if

if TYPE_CHECKING:
    from astropy.table import Table

AGAINST: dict[str, tuple[str, str]] = {
    "fe_h": ("[Fe/H]", "dex"), "teff": ("Teff", "K"), "logg": ("log g", "dex"), "snr": ("S/N", ""),
}  # fmt: skip
"""What differences are shown against: symbol and unit, all of the first catalogue."""
_MOST_BINS, _FEWEST = 6, 5
"""Bins of equal numbers of stars, of this many at least."""
_N_BOOTSTRAP = 300


@dataclass(frozen=True)
class Agreement:
    """How one label of two catalogues agrees.

    Parameters
    ----------
    label : Recovery
        Number of stars, bias and dispersion of (first - second).
    bias_error, dispersion_error : float
        Standard deviations from drawing the stars again.
    expected : float
        Median error of the difference from the catalogues' errors; NaN where neither gives any.
    width : float
        Robust width of the differences about the bias over their errors: 1 where the errors explain the dispersion.
    """

    label: Recovery
    bias_error: float
    dispersion_error: float
    expected: float
    width: float


@dataclass(frozen=True)
class CatalogueComparison:
    """Two catalogues' labels of the same stars.

    Parameters
    ----------
    first, second : str
        Names; differences are first - second.
    by : {"position", "name"}
    n_first, n_second : int
        Rows of the two.
    separation : ndarray, shape (n,)
        Of the matched stars, arcsec; NaN where matched by name.
    star_id : ndarray of str, shape (n,)
        Names in the first catalogue.
    differences : mapping of str to ndarray, shape (n,)
        By machine name; NaN where either lacks the label.
    errors : mapping of str to ndarray, shape (n,)
        1 sigma of the differences, from whatever errors the two give; NaN where neither does.
    against : mapping of str to ndarray, shape (n,)
        Of the first catalogue (`AGAINST`).
    rows : tuple of Agreement
        For every label that both hold.
    """

    first: str
    second: str
    by: str
    n_first: int
    n_second: int
    separation: np.ndarray
    star_id: np.ndarray
    differences: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    against: Mapping[str, np.ndarray]
    rows: tuple[Agreement, ...]

    def __len__(self) -> int:
        return len(self.star_id)

    def __getitem__(self, name: str) -> Agreement:
        """Return one label by its machine name."""
        return next(row for row in self.rows if row.label.name == name)

    @property
    def title(self) -> str:
        """What is compared."""
        return f"{self.first} − {self.second}"


@dataclass(frozen=True)
class Bin:
    """Bias and dispersion of the stars in a range of some quantity."""

    low: float
    high: float
    middle: float
    n: int
    bias: float
    dispersion: float


def compare_tables(
    first: LabelTable, second: LabelTable, by: By = "auto", radius: float = RADIUS, seed: int = 1
) -> CatalogueComparison:
    """Compare the labels of two catalogues.

    Parameters
    ----------
    first, second : LabelTable
    by, radius
        See `processing.catalogue.matching.match`.
    seed : int
        Of the bootstrap.

    Raises
    ------
    StellacubeError
        If they have no star or no label in common.
    """
    names = [name for name in QUANTITIES if name in first.values and name in second.values]
    if not names:
        raise StellacubeError(
            f"{first.name} and {second.name} have no label in common.",
            f"The first has {', '.join(first.labels)}, the second {', '.join(second.labels)}; --map names columns.",
        )
    found = match(first, second, by, radius)
    differences = {name: first.values[name][found.first] - second.values[name][found.second] for name in names}
    errors = {
        name: _together([table.errors.get(name) for table in (first, second)], (found.first, found.second))
        for name in names
    }
    values: dict[str, np.ndarray] = {**first.values, "snr": first.snr}
    rows = [_agreement(name, differences[name], errors[name], seed) for name in names]
    return CatalogueComparison(
        first=first.name,
        second=second.name,
        by=found.by,
        n_first=len(first),
        n_second=len(second),
        separation=found.separation,
        star_id=first.star_id[found.first],
        differences=differences,
        errors=errors,
        against={
            name: values[name][found.first] for name in AGAINST if name in values and np.isfinite(values[name]).any()
        },
        rows=tuple(row for row in rows if row.label.n),
    )


def _together(errors: Sequence[np.ndarray | None], rows: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Add the errors of matched rows in quadrature; a catalogue without errors adds nothing."""
    known = [np.square(error[index]) for error, index in zip(errors, rows, strict=True) if error is not None]
    return np.sqrt(np.sum(known, axis=0)) if known else np.full(len(rows[0]), np.nan)


def _agreement(name: str, difference: np.ndarray, error: np.ndarray, seed: int) -> Agreement:
    info = QUANTITIES[name]
    label = Recovery.of(name, info.symbol, info.unit, difference)
    values = difference[np.isfinite(difference)]
    bias_error = dispersion_error = width = np.nan
    if len(values) >= _FEWEST:
        rng = np.random.default_rng(seed)
        drawn = values[rng.integers(0, len(values), (_N_BOOTSTRAP, len(values)))]
        bias_error, dispersion_error = bias_and_dispersion(drawn).std(axis=1)
    known = np.isfinite(difference) & np.isfinite(error) & (error > 0)
    if known.sum() >= _FEWEST:
        width = float(spread((difference[known] - label.bias) / error[known], robust=True))
    expected = float(np.median(error[known])) if known.any() else np.nan
    return Agreement(label, float(bias_error), float(dispersion_error), expected, width)


def trend(comparison: CatalogueComparison, name: str, against: str) -> tuple[Bin, ...]:
    """Return bias and dispersion of a label in bins of equal numbers of stars; none where there are too few."""
    difference, place = comparison.differences[name], comparison.against[against]
    known = np.isfinite(difference) & np.isfinite(place)
    order = np.flatnonzero(known)[np.argsort(place[known], kind="stable")]
    count = min(_MOST_BINS, len(order) // _FEWEST)
    bins = []
    for members in np.array_split(order, count) if count else []:
        bias, dispersion = bias_and_dispersion(difference[members])
        low, middle, high = np.percentile(place[members], (0, 50, 100))
        bins.append(Bin(float(low), float(high), float(middle), len(members), float(bias), float(dispersion)))
    return tuple(bins)


def comparison_table(comparisons: Sequence[CatalogueComparison]) -> Table:
    """Return bias and dispersion as a table: a row per label and range, all stars first."""
    from processing.catalogue.table import make_table

    columns = [
        Column("first", "", "catalogue", str),
        Column("second", "", "catalogue that is subtracted", str),
        Column("label", "", "machine name", str),
        Column("symbol", "", "label", str),
        Column("unit", "", "unit of bias and dispersion", str),
        Column("against", "", "quantity of the first catalogue that the range is in; empty: all stars", str),
        Column("low", "", "lowest value of that quantity"),
        Column("high", "", "highest value"),
        Column("n", "", "stars", int),
        Column("bias", "", "median of (first - second)"),
        Column("bias_error", "", "its standard deviation, from drawing the stars again"),
        Column("dispersion", "", "half the 15.87-84.13 percentile range of (first - second)"),
        Column("dispersion_error", "", "its standard deviation"),
        Column("expected", "", "median error of the difference, from the catalogues' errors"),
        Column("width", "", "robust width of the differences about the bias over their errors"),
    ]
    rows = []
    for one in comparisons:
        for row in one.rows:
            label = row.label
            named = {"first": one.first, "second": one.second, "label": label.name, "symbol": label.symbol}
            named["unit"] = label.unit
            numbers = {name: getattr(row, name) for name in ("bias_error", "dispersion_error", "expected", "width")}
            whole = {"low": np.nan, "high": np.nan, "n": label.n, "bias": label.bias, "dispersion": label.dispersion}
            rows.append({**named, **whole, **numbers})
            for against in one.against:
                nothing = dict.fromkeys(numbers, np.nan)
                for part in trend(one, label.name, against):
                    ranged = {name: getattr(part, name) for name in ("low", "high", "n", "bias", "dispersion")}
                    rows.append({**named, "against": against, **ranged, **nothing})
    return make_table(columns, rows)


def compare_catalogues(
    catalogues: Sequence[Path],
    other: Path,
    by: By = "auto",
    radius: float = RADIUS,
    *,
    columns: Mapping[str, str] | None = None,
    trusted: bool = False,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> tuple[CatalogueComparison, ...]:
    """Compare catalogues with one other, each by itself.

    Parameters
    ----------
    catalogues : sequence of Path
        Sessions or catalogues.
    other : Path
        Another catalogue, from here or from anywhere.
    columns : mapping of str to str, optional
        Labels and the columns of `other` that hold them, where they are not recognised.
    trusted : bool
        Only labels of this program whose flags are good.
    """
    *names, last = names_of([*catalogues, other])
    reference = read_label_table(other, columns, trusted=trusted, name=last)
    found = []
    for number, (path, name) in enumerate(zip(catalogues, names, strict=True)):
        stop_if(cancelled)
        progress(number / len(catalogues), f"Comparing {path.name} with {other.name}")
        found.append(compare_tables(read_label_table(path, trusted=trusted, name=name), reference, by, radius))
    progress(1.0, "Done")
    return tuple(found)


def write_comparison(
    comparisons: Sequence[CatalogueComparison], folder: Path, name: str = "comparison"
) -> tuple[Path, ...]:
    """Write the table and the figures of a comparison into a folder; return their paths."""
    from processing.catalogue.figures import difference_figure, precision_figure, save

    prepare_folder(folder)
    files = [folder / f"{name}.ecsv", folder / f"{name}.png"]
    with replacing(files[0]) as temporary:
        comparison_table(comparisons).write(temporary, format="ascii.ecsv", delimiter=",", overwrite=True)
    save(precision_figure(comparisons), files[1])
    for number, one in enumerate(comparisons, 1):
        for against in one.against:
            suffix = f"_{number}" if len(comparisons) > 1 else ""
            files.append(folder / f"{name}{suffix}_{against}.png")
            save(difference_figure(one, against), files[-1])
    return tuple(files)
