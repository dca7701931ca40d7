"""The stars as the table, the image and the diagrams show them: columns of a list or of a catalogue, and a filter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from processing.errors import StellacubeError
from processing.labels.names import LABELS

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue
    from processing.cube import MuseCube
    from processing.extraction.sources import SourceTable
    from processing.labels.fit import LabelFit
    from processing.reference import StarList
    from processing.session import Session
    from processing.spectrum import StarSpectrum
    from processing.star_edits import EditedStars

Quality = Literal["good", "warn", "bad", "none"]

_TITLES = {"stellar_id": "Star", "ra": "RA", "dec": "Dec", "x": "x", "y": "y", "status": "Status", "rv": "RV",
           "rv_err": "RV error", "snr_muse": "S/N (errors)", "snr_der": "S/N", "red_chi2": "χ²", "corr_flux": "Corr.",
           "quality": "Quality", "quality_reason": "Reason"}  # fmt: skip
_DECIMALS = {"ra": 5, "dec": 5, "x": 1, "y": 1, "rv": 1, "rv_err": 1, "snr_muse": 0, "snr_der": 0}
_SHOWN = ("stellar_id", "snr_der", "rv", "teff", "logg", "fe_h", "mg_fe", "red_chi2")
_QUALITY: dict[str, Quality] = {"good": "good", "check": "warn", "poor": "bad", "out of scope": "bad"}


@dataclass(frozen=True)
class Column:
    """One column as it is shown."""

    name: str
    title: str
    values: np.ndarray
    unit: str = ""
    description: str = ""
    decimals: int = 2
    shown: bool = True

    @property
    def numeric(self) -> bool:
        """True for numbers: these are aligned right."""
        return self.values.dtype.kind in "fiu"

    def telling(self) -> list[int]:
        """Return rows that show how wide the column is: of numbers the smallest and the largest, of words some."""
        if self.numeric:
            known = np.flatnonzero(np.isfinite(self.values))
            ordered = self.values[known]
            return [int(known[ordered.argmin()]), int(known[ordered.argmax()])] if known.size else []
        return list(range(0, len(self.values), max(1, len(self.values) // 100)))

    def text(self, row: int) -> str:
        """Return what the cell says; missing numbers are a dash."""
        value = self.values[row]
        kind = self.values.dtype.kind
        if kind == "f":
            rounded = round(float(value), self.decimals) + 0.0  # no minus before a zero
            return f"{rounded:.{self.decimals}f}".replace("-", "−") if np.isfinite(value) else "–"
        if kind == "b":
            return "yes" if value else ""
        return str(value)


@dataclass(frozen=True)
class StarRows:
    """All stars that are known, one row each.

    Parameters
    ----------
    star_id : ndarray, shape (n,), str
    x, y : ndarray, shape (n,)
        0-based position in the cube's spaxels; NaN where unknown.
    status : ndarray, shape (n,), str
        ``"listed"`` before a run, then what became of the star.
    quality : tuple of str
        How far the row can be trusted, for the icon.
    reason : tuple of str
        Why, for the icon's tooltip.
    columns : tuple of Column
    fitted : bool
        True when the stars have been fitted, or are being: their quality is shown.
    """

    star_id: np.ndarray
    x: np.ndarray
    y: np.ndarray
    status: np.ndarray
    quality: tuple[Quality, ...]
    reason: tuple[str, ...]
    columns: tuple[Column, ...]
    fitted: bool = False
    index: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", {name: row for row, name in enumerate(self.star_id.tolist())})

    def __len__(self) -> int:
        return len(self.star_id)

    def column(self, name: str) -> Column | None:
        """Return a column by its machine name."""
        return next((column for column in self.columns if column.name == name), None)

    def describe(self, name: str, row: int) -> str:
        """Return a value with its error and unit, as ``Teff 4725 ± 61 K``; empty where there is no such column."""
        column = self.column(name)
        if column is None:
            return ""
        error = self.column(f"{name}_err_cal") or self.column(f"{name}_err")
        spread = f" ± {error.text(row)}" if error is not None else ""
        unit = {"dex": "", "km / s": "km/s"}.get(column.unit, column.unit)
        return f"{column.title} {column.text(row)}{spread} {unit}".rstrip()

    def select(self, text: str) -> np.ndarray:
        """Return the rows that a filter keeps, as a boolean array.

        Terms stand side by side and must all hold: ``teff < 5000``, ``fe_h >= -1``, ``status = merged``, or a text that
        some column of names contains.

        Raises
        ------
        StellacubeError
            If a term compares with a column that does not exist or with no number.
        """
        keep = np.ones(len(self), bool)
        rest = text
        for match in TERM.finditer(text):
            keep &= self._compare(*match.groups())
            rest = rest.replace(match.group(0), " ", 1)
        for word in re.sub(r"\band\b|[&,;]", " ", rest).split():
            keep &= self._contains(word)
        return keep

    def _compare(self, name: str, operator: str, value: str) -> np.ndarray:
        wanted = name.casefold()
        column = next((c for c in self.columns if wanted in (c.name.casefold(), c.title.casefold())), None)
        if column is None:
            raise StellacubeError(f"There is no column called {name}.", "The header's menu shows the names.")
        if not column.numeric:
            equal = np.char.lower(column.values.astype(str)) == value.casefold()
            return equal if operator in ("=", "==") else ~equal
        try:
            number = float(value)
        except ValueError:
            raise StellacubeError(f"{name} is compared with “{value}”, which is no number.") from None
        return _OPERATORS[operator](column.values, number)

    def _contains(self, word: str) -> np.ndarray:
        found = np.zeros(len(self), bool)
        for values in (self.star_id, self.status):
            found |= np.char.find(np.char.lower(values.astype(str)), word.casefold()) >= 0
        return found


TERM = re.compile(r"([\w\[\]/]+)\s*(<=|>=|!=|==|=|<|>)\s*([^\s&,;<>=]+)")
_OPERATORS: dict[str, Any] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "=": np.equal, "==": np.equal,
    "!=": np.not_equal,
}  # fmt: skip


def rows_from_list(stars: StarList, cube: MuseCube | None) -> StarRows:
    """Show a star list, with positions in spaxels where the cube has coordinates."""
    x, y = _positions(stars.x, stars.y, stars.ra, stars.dec, cube)
    title = stars.mag_name or "mag"
    columns = [
        Column("stellar_id", "Star", stars.star_id.astype(str)),
        Column("mag", title, stars.mag, "mag", "magnitude of the star list"),
        Column("ra", "RA", stars.ra, "deg", "ICRS right ascension", 5),
        Column("dec", "Dec", stars.dec, "deg", "ICRS declination", 5),
        Column("x", "x", x, "pixel", "0-based position in the cube", 1),
        Column("y", "y", y, "pixel", "0-based position in the cube", 1),
    ]
    known = [c for c in columns if not c.numeric or np.isfinite(c.values).any()]
    inside = _inside(x, y, cube)
    status = np.where(inside, "listed", "outside")
    reasons = tuple("Not yet extracted." if i else "Outside the field of this cube." for i in inside)
    return StarRows(stars.star_id.astype(str), x, y, status, _unjudged(len(x)), reasons, tuple(known))


def rows_from_spectra(spectra: Sequence[StarSpectrum]) -> StarRows:
    """Show spectra before anything is known of them but their signal."""
    names = np.array([spectrum.star_id for spectrum in spectra])
    columns = [
        Column("stellar_id", "Spectrum", names),
        Column("snr_muse", "S/N (errors)", np.array([s.snr for s in spectra]), "", "median of flux over error", 0),
        Column("snr_der", "S/N", np.array([s.snr_der for s in spectra]), "", "from the scatter of neighbours", 0),
        Column("mag", "mag", np.array([float(s.mag) for s in spectra]), "mag", "magnitude in the file"),
    ]
    known = [c for c in columns if not c.numeric or np.isfinite(c.values).any()]
    x, y = (np.array([getattr(s, name) for s in spectra], float) for name in "xy")
    n = len(names)
    listed = np.full(n, "listed")
    return StarRows(names, x, y, listed, _unjudged(n), ("Not yet fitted.",) * n, tuple(known))


def rows_from_catalogue(catalogue: Catalogue, sources: SourceTable | None, cube: MuseCube | None) -> StarRows:
    """Show a catalogue, and with it the stars of the list that got no spectrum, with the reason."""
    table = catalogue.table
    xs, ys, ra, dec = (np.asarray(table[name], float) for name in ("x", "y", "ra", "dec"))
    x, y = _positions(xs, ys, ra, dec, cube)
    names = sorted(table.colnames, key=lambda name: (name != "stellar_id", name != catalogue.magnitude, name in _LAST))
    judged = np.asarray(table["quality"]).astype(str)
    reasons = np.asarray(table["quality_reason"]).astype(str)
    status = np.asarray(table["status"]).astype(str)
    rows = StarRows(
        np.asarray(table["stellar_id"]).astype(str), x, y, np.where(status == "", "extracted", status),
        tuple(_QUALITY.get(q, "none") for q in judged),
        tuple(f"{q.capitalize()}: {r}." if r else f"{q.capitalize()}." for q, r in zip(judged, reasons, strict=True)),
        tuple(_column(table, name, name == catalogue.magnitude) for name in names), fitted=True,
    )  # fmt: skip
    return rows if sources is None else _with_unfitted(rows, sources, catalogue.magnitude)


def rows_from_run(
    session: Session, spectra: Sequence[StarSpectrum], fits: Sequence[LabelFit], cube: MuseCube | None
) -> StarRows:
    """Show what there is of a run without a catalogue: one that goes on, was stopped, or only extracted."""
    from processing.catalogue.table import build_catalogue
    from processing.labels.model_file import find_model, load_model
    from processing.provenance import Provenance

    settings = session.settings
    model = load_model(find_model(settings.fit.model)) if fits else None
    catalogue = build_catalogue(spectra, fits, model, Provenance((), settings), session.info("magnitude", ""))
    rows = rows_from_catalogue(catalogue, session.sources(), cube)
    if fits:
        return rows
    shown = (*_SHOWN, catalogue.magnitude, "status", "quality_reason")
    return replace(rows, columns=tuple(replace(column, shown=column.name in shown) for column in rows.columns))


_LAST = ("ra", "dec", "x", "y")


def _column(table: Any, name: str, magnitude: bool) -> Column:
    """Turn one catalogue column into what is shown."""
    column = table[name]
    values = np.asarray(column.filled(np.nan) if hasattr(column, "filled") and column.dtype.kind == "f" else column)
    values = values.astype(str) if values.dtype.kind in "OSU" else values
    info = LABELS.get(name) or LABELS.get(name.partition("_err")[0])
    title = _TITLES.get(name, name)
    if info is not None:
        title = info.symbol + {info.name: "", f"{info.name}_err": " error"}.get(name, " error, rescaled")
    decimals = info.decimals if info else _DECIMALS.get(name, 2)
    shown = magnitude or name in _SHOWN
    return Column(name, title, values, str(column.unit or ""), column.description or "", decimals, shown)


def _with_unfitted(rows: StarRows, sources: SourceTable, magnitude: str) -> StarRows:
    """Add the listed stars that have no catalogue row, all in the order of the list."""
    ids = np.asarray(sources.star_id).astype(str).tolist()
    missing = [row for row, name in enumerate(ids) if name not in rows.index]
    if not missing:
        return rows
    fields = {"stellar_id": "star_id", "quality_reason": "reason", magnitude: "mag"}
    position = {name: row for row, name in enumerate(ids)}
    names = [*rows.star_id.tolist(), *(ids[n] for n in missing)]
    order = np.argsort([position.get(name, len(ids)) for name in names], kind="stable")

    def joined(values: np.ndarray, name: str) -> np.ndarray:
        given = getattr(sources, name, None)
        missing_value = np.nan if values.dtype.kind == "f" else np.zeros(1, values.dtype)[0]
        extra = np.full(len(missing), missing_value) if given is None else np.asarray(given)[missing]
        return np.concatenate([values, extra.astype(str) if values.dtype.kind == "U" else extra])[order]

    columns = tuple(replace(c, values=joined(c.values, fields.get(c.name, c.name))) for c in rows.columns)
    quality = rows.quality + _unjudged(len(missing))
    reason = rows.reason + tuple(str(r) for r in np.asarray(sources.reason)[missing])
    return StarRows(
        joined(rows.star_id, "star_id"), joined(rows.x, "x"), joined(rows.y, "y"), joined(rows.status, "status"),
        tuple(quality[n] for n in order), tuple(reason[n] for n in order), columns, fitted=True,
    )  # fmt: skip


def rows_with_edits(rows: StarRows, edited: EditedStars) -> StarRows:
    """Show what was changed by hand: stars at their new places, deleted ones marked, added ones at the end."""
    stars, changes = edited.stars, edited.changes
    place = {str(name): n for n, name in enumerate(stars.star_id)}
    new = [name for name, change in changes.items() if change == "added" and name not in rows.index]
    x, y = (np.append(values, np.full(len(new), np.nan)) for values in (rows.x, rows.y))
    names = np.append(rows.star_id, new).astype(str)
    status = np.append(rows.status, np.full(len(new), "added")).astype("U16")
    reason = [*rows.reason, *([""] * len(new))]
    for n, name in enumerate(names.tolist()):
        change = changes.get(name)
        if change is not None:
            status[n], reason[n] = change, _EDITED[change]
        if change in ("added", "moved"):
            x[n], y[n] = stars.x[place[name]], stars.y[place[name]]
    known = {"stellar_id": names, "x": x, "y": y, "status": status}
    extra = {"ra": stars.ra, "dec": stars.dec, "mag": stars.mag, stars.mag_name: stars.mag}

    def longer(column: Column) -> np.ndarray:
        if column.name in known and len(column.values) == len(rows):
            return known[column.name]
        values = column.values
        blank: Any = np.nan if values.dtype.kind == "f" else np.zeros(1, values.dtype)[0]
        given = extra.get(column.name)
        tail = [blank if given is None else given[place[name]] for name in new]
        return np.append(values, np.array(tail, values.dtype)) if new else values

    columns = tuple(replace(column, values=longer(column)) for column in rows.columns)
    quality = rows.quality + _unjudged(len(new))
    return StarRows(names, x, y, status, quality, tuple(reason), columns, rows.fitted)


def list_from_rows(rows: StarRows, source: str) -> StarList:
    """Return the stars that are shown as a list, for a run whose own list cannot be found."""
    from processing.star_list import StarList

    unknown = np.full(len(rows), np.nan)
    columns = (rows.column(name) for name in ("ra", "dec", "mag"))
    ra, dec, mag = (np.asarray(c.values, float) if c is not None and c.numeric else unknown for c in columns)
    return StarList(rows.star_id, ra, dec, rows.x, rows.y, mag, "", unknown, unknown, unknown, source)


_EDITED = {
    "added": "Added by hand; the next run extracts it.",
    "moved": "Moved by hand; the next run extracts it here.",
    "deleted": "Deleted by hand; the next run leaves it out.",
}


def _unjudged(count: int) -> tuple[Quality, ...]:
    """Return the quality of stars that nobody has fitted."""
    none: Quality = "none"
    return (none,) * count


def _positions(
    x: np.ndarray, y: np.ndarray, ra: np.ndarray, dec: np.ndarray, cube: MuseCube | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel positions, from the sky position where the pixels are unknown."""
    x, y = np.array(x, float), np.array(y, float)
    unknown = ~(np.isfinite(x) & np.isfinite(y)) & np.isfinite(ra) & np.isfinite(dec)
    if cube is not None and cube.wcs is not None and unknown.any():
        x[unknown], y[unknown] = cube.world_to_pixel(np.asarray(ra)[unknown], np.asarray(dec)[unknown])
    return x, y


def _inside(x: np.ndarray, y: np.ndarray, cube: MuseCube | None) -> np.ndarray:
    """Return which stars lie on the cube; without a cube all do."""
    if cube is None:
        return np.ones(len(x), bool)
    _, ny, nx = cube.shape
    with np.errstate(invalid="ignore"):
        return (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
