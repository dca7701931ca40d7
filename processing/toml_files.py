"""TOML files in and out, with a sentence where that fails; presets are found by name or by path."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processing.errors import StellacubeError


def load_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : str or Path
    what : str
        What the file is called in sentences: "settings file".

    Raises
    ------
    StellacubeError
        If the file cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StellacubeError(f"The {what} {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StellacubeError(f"The {what} {path} is not valid TOML: {error}.") from error


def save_toml(values: Mapping[str, Any], path: str | Path, what: str) -> None:
    """Write a TOML file.

    Raises
    ------
    StellacubeError
        If the file cannot be written.
    """
    import tomli_w

    try:
        Path(path).write_text(tomli_w.dumps(values), encoding="utf-8")
    except OSError as error:
        raise StellacubeError(f"The {what} {path} cannot be written: {error.strerror}.") from error


def find_toml(name: str, known: Mapping[str, Path], what: str) -> Path:
    """Return the file of a preset: one of the known ones by name, or any by its path.

    Raises
    ------
    StellacubeError
        If there is none.
    """
    if name in known:
        return known[name]
    if Path(name).suffix == ".toml":
        return Path(name)
    raise StellacubeError(
        f"There is no {what} called {name}.", f"Known are {', '.join(known)}; or give the path of a TOML file."
    )
