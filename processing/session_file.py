"""The file underneath a session: its tables, how it is opened, and what SQLite complains about in sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processing.errors import StellacubeError

SUFFIX = ".stellacube"
SCHEMA_VERSION = 1
APPLICATION_ID = 0x53544C43  # "STLC": tells a session from any other SQLite file
REFITS = (
    "CREATE TABLE IF NOT EXISTS refits"
    " (number INTEGER PRIMARY KEY AUTOINCREMENT, star_id TEXT NOT NULL, plain TEXT NOT NULL, data BLOB NOT NULL)"
)
TABLES = (
    "CREATE TABLE info (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE inputs (role TEXT, name TEXT, size INTEGER, fingerprint TEXT, path TEXT)",
    "CREATE TABLE stages (name TEXT PRIMARY KEY, key TEXT NOT NULL, done INTEGER NOT NULL, seconds REAL, notes TEXT)",
    "CREATE TABLE stars (position INTEGER PRIMARY KEY, star_id TEXT NOT NULL, status TEXT, record TEXT NOT NULL)",
    "CREATE TABLE grids (digest TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE spectra (position INTEGER PRIMARY KEY, star_id TEXT NOT NULL UNIQUE, data BLOB NOT NULL)",
    "CREATE TABLE fits (position INTEGER PRIMARY KEY, star_id TEXT NOT NULL UNIQUE, data BLOB NOT NULL)",
    "CREATE TABLE images (name TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE catalogue (only INTEGER PRIMARY KEY CHECK (only = 1), data BLOB NOT NULL)",
    "CREATE TABLE blocks (key TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE log (time TEXT NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL)",
    REFITS,
)


def create(path: Path) -> None:
    """Make an empty session file; a kill on the way leaves none rather than a broken one."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with sentences(path):
        db = sqlite3.connect(temporary)
        try:
            for statement in TABLES:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.commit()
        finally:
            db.close()
        temporary.replace(path)


def connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """Open a session's database; a finished one also where nothing may be written beside it.

    Raises
    ------
    StellacubeError
        If the file is no session, or was written by a newer version.
    """
    with sentences(path), path.open("rb") as file:
        header = file.read(100)  # looked at before SQLite opens the file, which would fill an empty one
    if not header.startswith(b"SQLite format 3\0") or int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise no_session(path)
    if int.from_bytes(header[60:64]) > SCHEMA_VERSION:
        raise StellacubeError(f"{path} was written by a newer version of Stellacube.", "Update Stellacube.")
    with sentences(path):
        if not read_only:
            db = sqlite3.connect(path, timeout=5, check_same_thread=False)
            db.execute("PRAGMA synchronous = NORMAL")
            return db
        uri = path.resolve().as_uri()
        db = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=5, check_same_thread=False)
        try:
            db.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError:
            db.close()  # in a folder without write permission a write-ahead log can only be opened as immutable
            db = sqlite3.connect(f"{uri}?immutable=1", uri=True, check_same_thread=False)
        return db


def no_session(path: Path) -> StellacubeError:
    """Say that a file is no session."""
    return StellacubeError(
        f"{path} is not a Stellacube session.", f"Sessions end in {SUFFIX} and are written by `python main.py run`."
    )


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system complain about into sentences."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error).lower()
        if "not a database" in text or "malformed" in text:
            raise no_session(path) from error
        if "full" in text:
            raise StellacubeError(
                f"The disk is full: {path} could not be written.",
                "What was finished is kept: make room and run the same command again.",
            ) from error
        if "locked" in text:
            raise StellacubeError(f"{path} is in use by another program.", "Close it there and try again.") from error
        raise StellacubeError(
            f"The session {path} cannot be used: {error}.", "Check the disk and permissions."
        ) from error
    except OSError as error:
        raise StellacubeError(f"The session {path} cannot be written: {error.strerror}.") from error
