"""One SQLite file per project: inputs, settings, and every piece of work from the moment it is finished.

Each finished star or block is one transaction, so that a killed run goes on where it stopped. The journal is a
write-ahead log, emptied when the session is closed; a second process may look (read-only) while the first writes.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.checkpoint import Block
from processing.errors import StellacubeError
from processing.lock import Lock
from processing.provenance import InputFile, now
from processing.records import digest, pack, pack_arrays, unpack, unpack_arrays
from processing.session_file import REFITS, SUFFIX, connect, create, sentences
from processing.settings import Settings, from_dict, to_dict
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue
    from processing.extraction.sources import SourceTable
    from processing.labels.fit import LabelFit
    from processing.labels.refit import Refit

__all__ = ["SUFFIX", "LogEntry", "Session", "Stage"]


@dataclass(frozen=True)
class Stage:
    """How far a stage has come, and what it said."""

    key: str
    """Hash of all that its result depends on."""
    done: bool = False
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogEntry:
    """A line of the session's log."""

    time: str
    level: str
    text: str


class Session:
    """A project's file, open for writing or reading; use it as a context manager.

    Parameters
    ----------
    path : Path
        The file; `Session.create` and `Session.open` make the object.
    read_only : bool
        Nothing is written, and no lock is taken.
    """

    def __init__(self, path: Path, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._lock = None if read_only else Lock(path)
        self._guard = threading.RLock()  # stages may save blocks from worker threads
        self._grids: dict[str, np.ndarray] = {}
        self._wrote = False
        try:
            self._db = connect(path, read_only)
        except BaseException:
            if self._lock:
                self._lock.release()
            raise

    @classmethod
    def create(cls, path: str | Path, inputs: Sequence[InputFile], settings: Settings) -> Session:
        """Make a new session file and open it for writing.

        Raises
        ------
        StellacubeError
            If the file exists already or cannot be written.
        """
        path = Path(path)
        if path.exists():
            raise StellacubeError(f"{path} exists already.", "Open it, or choose another name.")
        create(path)
        session = cls(path, read_only=False)
        session.describe(inputs, settings)
        return session

    @classmethod
    def open(cls, path: str | Path, read_only: bool = False) -> Session:
        """Open an existing session file.

        Raises
        ------
        StellacubeError
            If there is no such file, it is no session, or another process is writing it.
        """
        path = Path(path)
        if not path.is_file():
            raise StellacubeError(f"There is no session file {path}.", "Check the path.")
        return cls(path, read_only)

    def close(self) -> None:
        """Empty the write-ahead log into the file and let go of it."""
        with self._guard:
            try:
                if self._wrote:
                    with sentences(self.path):
                        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    # Readers of a file in WAL mode leave two files beside it; while one is open the mode must stay.
                    with suppress(sqlite3.OperationalError):
                        self._db.execute("PRAGMA journal_mode = DELETE")
            finally:
                self._db.close()
                if self._lock:
                    self._lock.release()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What the run is made of

    def describe(self, inputs: Sequence[InputFile], settings: Settings) -> None:
        """Store what the session is about, replacing what was said before."""
        with self._transaction() as db:
            db.execute("DELETE FROM inputs")
            db.executemany(
                "INSERT INTO inputs VALUES (:role, :name, :size, :fingerprint, :path)", [asdict(f) for f in inputs]
            )
            self._set(db, "settings", to_dict(settings))

    @property
    def inputs(self) -> tuple[InputFile, ...]:
        """The input files as they were when the run began."""
        rows = self._rows("SELECT role, name, size, fingerprint, path FROM inputs ORDER BY rowid")
        return tuple(InputFile(*row) for row in rows)

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        return from_dict(self.info("settings", {}))

    def info(self, key: str, default: Any = None) -> Any:
        """Return the plain value stored under `key`."""
        rows = self._rows("SELECT value FROM info WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else default

    def set_info(self, key: str, value: Any) -> None:
        """Store a plain value under `key`."""
        with self._transaction() as db:
            self._set(db, key, value)

    # Stages and their finished blocks

    def stage(self, name: str) -> Stage | None:
        """Return the state of a stage, or None before it began."""
        rows = self._rows("SELECT key, done, seconds, notes FROM stages WHERE name = ?", name)
        return Stage(rows[0][0], bool(rows[0][1]), rows[0][2], tuple(json.loads(rows[0][3]))) if rows else None

    def begin(self, name: str, key: str, tables: Sequence[str]) -> Stage:
        """Begin a stage or go on with it; work stored under another key is dropped.

        Parameters
        ----------
        name : str
        key : str
            Hash of all that the result depends on.
        tables : sequence of str
            The tables that hold its work.
        """
        stage = self.stage(name)
        if stage and stage.key == key:
            return stage
        with self._transaction() as db:
            for table in tables:
                db.execute(f"DELETE FROM {table}")
            db.execute("INSERT OR REPLACE INTO stages VALUES (?, ?, 0, 0, '[]')", (name, key))
        return Stage(key)

    def finish(self, name: str, seconds: float, notes: Sequence[str] = ()) -> None:
        """Mark a stage as done; time of earlier, interrupted attempts is added up."""
        with self._transaction() as db:
            db.execute(
                "UPDATE stages SET done = 1, seconds = seconds + ?, notes = ? WHERE name = ?",
                (seconds, json.dumps(list(notes)), name),
            )

    def load(self, key: str) -> Block | None:
        """Return the block stored under `key`, or None."""
        rows = self._rows("SELECT data FROM blocks WHERE key = ?", key)
        return unpack_arrays(rows[0][0]) if rows else None

    def save(self, key: str, block: Block) -> None:
        """Store a finished block under `key`, whole or not at all."""
        data = pack_arrays(block)
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?)", (key, data))

    # Results

    def put_extraction(
        self, sources: SourceTable, spectra: Sequence[StarSpectrum], images: dict[str, np.ndarray]
    ) -> None:
        """Store the result of the extraction and drop the pieces it was made from, in one transaction.

        Blocks without a number (``"psf"``, ``"registration"``) stay, to be looked at.
        """
        with self._transaction() as db:
            self._put_sources(db, sources)
            self._put_records(db, "spectra", 0, spectra)
            for name, image in images.items():
                db.execute("INSERT OR REPLACE INTO images VALUES (?, ?)", (name, pack_arrays({"image": image})))
            db.execute("DELETE FROM blocks WHERE key LIKE '%/%'")

    def put_spectra(self, spectra: Sequence[StarSpectrum], first: int = 0) -> None:
        """Store spectra whose order in the run starts at `first`."""
        with self._transaction() as db:
            self._put_records(db, "spectra", first, spectra)

    def spectrum(self, star_id: str) -> StarSpectrum:
        """Return one star's spectrum."""
        return self._record(StarSpectrum, "spectra", star_id)

    def spectra(self) -> Iterator[StarSpectrum]:
        """Yield all spectra in the order of the run."""
        return self._records(StarSpectrum, "spectra")

    def star_ids(self, table: str = "spectra") -> tuple[str, ...]:
        """Return the stars that have a spectrum (or a fit, with ``table="fits"``), in the order of the run."""
        return tuple(row[0] for row in self._rows(f"SELECT star_id FROM {table} ORDER BY position"))

    def put_fits(self, fits: Sequence[LabelFit], first: int) -> None:
        """Store a finished block of fits; `first` is the position of its first star in the run."""
        with self._transaction() as db:
            self._put_records(db, "fits", first, fits)

    def fit(self, star_id: str) -> LabelFit:
        """Return one star's fit."""
        from processing.labels.fit import LabelFit

        return self._record(LabelFit, "fits", star_id)

    def fits(self) -> Iterator[LabelFit]:
        """Yield all fits in the order of the run."""
        from processing.labels.fit import LabelFit

        return self._records(LabelFit, "fits")

    def put_refit(self, refit: Refit) -> Refit:
        """Store a star's refit beside the run's own fit; return it with its number. Nothing is overwritten."""
        plain = asdict(replace(refit, fit=None))  # type: ignore[arg-type]
        del plain["fit"], plain["number"]
        with self._guard, sentences(self.path), self._db as db:  # no write-ahead log: the window is looking on
            db.execute(REFITS)  # sessions of earlier versions have no such table
            row = (refit.number or None, refit.fit.star_id, json.dumps(plain), pack(refit.fit, self._share))
            number = db.execute("INSERT INTO refits VALUES (?, ?, ?, ?)", row).lastrowid
        return replace(refit, number=number or 0)

    def drop_refit(self, number: int) -> None:
        """Take a refit away."""
        with self._guard, sentences(self.path), self._db as db:
            db.execute("DELETE FROM refits WHERE number = ?", (number,))

    def refits(self, star_id: str) -> list[Refit]:
        """Return a star's refits, oldest first."""
        from processing.labels.fit import LabelFit
        from processing.labels.refit import Recipe, Refit

        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'refits'"):
            return []
        found = []
        query = "SELECT number, plain, data FROM refits WHERE star_id = ? ORDER BY number"
        for number, text, data in self._rows(query, star_id):
            plain = json.loads(text)
            plain |= {"recipe": from_dict(plain["recipe"], Recipe), "settings": from_dict(plain["settings"])}
            found.append(Refit(fit=unpack(LabelFit, data, self._grid), number=number, **plain))
        return found

    def put_sources(self, sources: SourceTable) -> None:
        """Store what became of every star of the list."""
        with self._transaction() as db:
            self._put_sources(db, sources)

    def sources(self) -> SourceTable | None:
        """Return what became of every star of the list; None where there was no list."""
        from processing.extraction.sources import SourceTable

        rows = self._rows("SELECT record FROM stars ORDER BY position")
        if not rows:
            return None
        stars = [json.loads(row[0]) for row in rows]
        return SourceTable(**{name: np.array([star[name] for star in stars]) for name in stars[0]})

    def put_image(self, name: str, image: np.ndarray) -> None:
        """Store an image, as ``"white"`` or ``"residual"``."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO images VALUES (?, ?)", (name, pack_arrays({"image": image})))

    def image(self, name: str) -> np.ndarray | None:
        """Return an image, or None."""
        rows = self._rows("SELECT data FROM images WHERE name = ?", name)
        return unpack_arrays(rows[0][0])["image"] if rows else None

    def put_catalogue(self, catalogue: Catalogue) -> None:
        """Store the catalogue, as the bytes of its FITS form."""
        from processing.catalogue.export import to_fits_bytes

        data = to_fits_bytes(catalogue)
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO catalogue VALUES (1, ?)", (data,))

    def catalogue(self) -> Catalogue | None:
        """Return the catalogue, or None before it was made."""
        from processing.catalogue.export import from_fits_bytes

        rows = self._rows("SELECT data FROM catalogue")
        return from_fits_bytes(rows[0][0]) if rows else None

    def log(self, level: str, text: str) -> None:
        """Add a line to the session's log."""
        with self._transaction() as db:
            db.execute("INSERT INTO log VALUES (?, ?, ?)", (now(), level, text))

    def log_entries(self) -> tuple[LogEntry, ...]:
        """Return the log, oldest line first."""
        return tuple(LogEntry(*row) for row in self._rows("SELECT time, level, text FROM log ORDER BY rowid"))

    # The database underneath

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard, sentences(self.path):
            if not self._wrote:  # only now: a session that is merely looked at stays as it is, byte for byte
                self._db.execute("PRAGMA journal_mode = WAL")
                self._wrote = True
            with self._db:
                yield self._db

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._guard, sentences(self.path):
            return self._db.execute(query, values).fetchall()

    @staticmethod
    def _set(db: sqlite3.Connection, key: str, value: Any) -> None:
        db.execute("INSERT OR REPLACE INTO info VALUES (?, ?)", (key, json.dumps(value)))

    @staticmethod
    def _put_sources(db: sqlite3.Connection, sources: SourceTable) -> None:
        columns = {entry.name: np.asarray(getattr(sources, entry.name)).tolist() for entry in fields(sources)}
        stars = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        db.execute("DELETE FROM stars")
        db.executemany(
            "INSERT INTO stars VALUES (?, ?, ?, ?)",
            [(n, str(star["star_id"]), str(star["status"]), json.dumps(star)) for n, star in enumerate(stars)],
        )

    def _put_records(self, db: sqlite3.Connection, table: str, first: int, records: Sequence[Any]) -> None:
        rows = [(n, record.star_id, pack(record, self._share)) for n, record in enumerate(records, first)]
        db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", rows)

    def _record(self, kind: type[Any], table: str, star_id: str) -> Any:
        rows = self._rows(f"SELECT data FROM {table} WHERE star_id = ?", star_id)
        if not rows:
            raise StellacubeError(f"The session {self.path} has no star {star_id} among its {table}.")
        return unpack(kind, rows[0][0], self._grid)

    def _records(self, kind: type[Any], table: str) -> Iterator[Any]:
        for (position,) in self._rows(f"SELECT position FROM {table} ORDER BY position"):
            yield unpack(kind, self._rows(f"SELECT data FROM {table} WHERE position = ?", position)[0][0], self._grid)

    def _share(self, array: np.ndarray) -> str:
        """Store an array that many records share once; called within a transaction."""
        name = digest(array)
        if name not in self._grids:
            self._db.execute("INSERT OR IGNORE INTO grids VALUES (?, ?)", (name, pack_arrays({"grid": array})))
        return name

    def _grid(self, name: str) -> np.ndarray:
        if name not in self._grids:
            self._grids[name] = unpack_arrays(self._rows("SELECT data FROM grids WHERE digest = ?", name)[0][0])["grid"]
        return self._grids[name]
