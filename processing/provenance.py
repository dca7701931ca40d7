"""Where a result comes from: program, settings, input files with size and fingerprint, model, date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import processing
from processing.errors import StellacubeError
from processing.settings import Settings, to_dict

_HEAD = 1 << 18
"""Bytes at the start of a file that always count: the headers of a MUSE cube lie there."""
_SAMPLE = 1 << 16
_SAMPLES = 64


@dataclass(frozen=True)
class InputFile:
    """An input of a run as it was when it was read."""

    role: str
    """``cube``, ``stars``, ``spectra`` or ``model``."""
    name: str
    """File name without its folder."""
    size: int
    """Bytes."""
    fingerprint: str
    """See `fingerprint`."""
    path: str = ""
    """Where it lay; of no weight when two runs are compared."""

    @property
    def identity(self) -> tuple[str, int, str]:
        """What must agree for two inputs to be the same, wherever they lie and whatever they are called."""
        return self.role, self.size, self.fingerprint


@dataclass(frozen=True)
class Provenance:
    """Everything needed to make a result again."""

    inputs: tuple[InputFile, ...]
    settings: Settings
    model: str = ""
    model_version: str = ""
    program: str = f"Stellacube {processing.__version__}"
    created: str = ""
    """UTC, ISO 8601."""
    history: tuple[str, ...] = ()
    """What was done to the catalogue afterwards, a sentence each."""

    def cards(self) -> Iterator[tuple[str, str]]:
        """Yield (key, value) pairs of text, settings flattened to ``section.name``."""
        yield "program", self.program
        yield "created", self.created
        yield "model", self.model
        yield "model_version", self.model_version
        for number, file in enumerate(self.inputs, 1):
            for key, value in asdict(file).items():
                if key != "path":
                    yield f"input{number}.{key}", str(value)
        yield from ((f"history{number}", entry) for number, entry in enumerate(self.history, 1))
        yield from ((f"settings.{key}", value) for key, value in flatten(to_dict(self.settings)))


def now() -> str:
    """Return the date and time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def fingerprint(path: Path) -> str:
    """Return a hash that tells whether two files are the same.

    SHA-256 over the size, the first 256 KiB (all headers of a cube) and 64 blocks of 64 KiB spread evenly to the end
    of the file: 4 MiB are read of a cube of many gigabytes, and files up to 4.25 MiB are covered whole. A change that
    keeps the size and touches none of those blocks is not seen.

    Raises
    ------
    StellacubeError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            digest = hashlib.sha256(str(size).encode())
            digest.update(file.read(_HEAD))
            rest = max(size - _HEAD - _SAMPLE, 0)
            for sample in range(_SAMPLES):
                file.seek(_HEAD + rest * sample // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE))
    except OSError as error:
        raise StellacubeError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and your permissions."
        ) from error
    return digest.hexdigest()[:32]


def input_file(role: str, path: Path) -> InputFile:
    """Describe the file at `path` as an input.

    Raises
    ------
    StellacubeError
        If there is no such file or it cannot be read.
    """
    if not path.exists():
        raise StellacubeError(f"There is no file {path}.", "Check the path.")
    if path.is_dir():
        raise StellacubeError(f"{path} is a folder, not a file.", "Give the file itself.")
    return InputFile(role, path.name, path.stat().st_size, fingerprint(path), str(path.resolve()))


def key_of(*parts: Any) -> str:
    """Return a short hash of plain values: equal parts, equal key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested dictionaries as (dotted name, JSON text) pairs."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)
