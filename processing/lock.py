"""A lock that a process holds on a file until it ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from processing.errors import StellacubeError


class InUse(StellacubeError):
    """Another process holds the file."""


class Lock:
    """An exclusive claim on `path`, held through a small file beside it.

    SQLite's own locks last for one transaction and cannot say that a whole run belongs to one process; locking the
    database file itself would break them on POSIX systems.

    Raises
    ------
    InUse
        If another process holds the lock.
    StellacubeError
        If the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f".{path.name}.lock")
        self._file = -1
        try:
            while self._file < 0:
                self._file = _claimed(self.path)
        except BlockingIOError as error:
            raise InUse(
                f"{path} is in use by another run.", "Wait until it has ended, or choose another name or folder."
            ) from error
        except OSError as error:
            raise StellacubeError(f"{path} cannot be opened for writing: {error.strerror}.") from error

    @classmethod
    def held(cls, path: Path) -> bool:
        """Tell whether a process holds `path`; nothing is written where none has left a trace."""
        if not path.with_name(f".{path.name}.lock").exists():
            return False
        try:
            cls(path).release()
        except InUse:
            return True
        return False

    def release(self) -> None:
        """Let go of the file; a second call does nothing."""
        if self._file >= 0:
            if sys.platform != "win32":  # Windows refuses to remove an open file
                self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def _claimed(path: Path) -> int:
    """Return the locked file, or -1 where its last holder removed it between opening and locking."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _claim(file)
        if sys.platform == "win32" or (path.exists() and os.fstat(file).st_ino == path.stat().st_ino):
            return file
    except OSError:
        os.close(file)
        raise
    os.close(file)
    return -1


if sys.platform == "win32":
    import msvcrt

    def _claim(file: int) -> None:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from error
else:
    import fcntl

    def _claim(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
