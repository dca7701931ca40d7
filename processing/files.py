"""Files are written whole or not at all, and a folder that cannot be written is found before the work."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processing.errors import StellacubeError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place once the body has succeeded.

    Raises
    ------
    StellacubeError
        If the disk is full or the folder cannot be written; what was at `path` is untouched then.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def prepare_folder(folder: Path) -> None:
    """Make `folder` and prove that files can be written into it.

    Raises
    ------
    StellacubeError
        If it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path: Path, error: OSError) -> StellacubeError:
    """Turn a failed write into a sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StellacubeError(
            f"The disk is full: {path} could not be written.",
            "Make room or choose another output folder, then run again.",
        )
    if isinstance(error, FileExistsError | NotADirectoryError):
        return StellacubeError(
            f"{path} is a file or lies below one, so it cannot be a folder.", "Choose another folder."
        )
    reason = error.strerror or str(error)
    return StellacubeError(f"{path} cannot be written: {reason}.", "Choose an output folder that you may write to.")
