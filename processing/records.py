"""Frozen records as bytes: raw arrays behind a JSON header, the rest in one JSON entry; nothing is ever pickled."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from processing.errors import StellacubeError

T = TypeVar("T")

_LENGTH = struct.Struct("<Q")
_PLAIN = "_plain"
_SHARED = "_shared"


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return named arrays as bytes: the header's length, a JSON list of (name, dtype, shape), then the raw values.

    An ``.npz`` would do, but takes a millisecond to open, and a session holds many thousands.
    """
    values = {name: np.asarray(array) for name, array in arrays.items()}
    if any(array.dtype.hasobject for array in values.values()):
        raise TypeError("Arrays of objects cannot be stored.")
    header = json.dumps([(name, array.dtype.str, array.shape) for name, array in values.items()]).encode()
    return b"".join((_LENGTH.pack(len(header)), header, *(array.tobytes() for array in values.values())))


def unpack_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays that `pack_arrays` stored; a StellacubeError if the bytes are none."""
    with _readable():
        (length,) = _LENGTH.unpack_from(data)
        start = _LENGTH.size + length
        arrays = {}
        for name, code, shape in json.loads(data[_LENGTH.size : start]):
            dtype = np.dtype(code)
            count = math.prod(shape)
            arrays[name] = np.frombuffer(data, dtype, count, start).reshape(shape).copy()
            start += count * dtype.itemsize
        return arrays


def digest(array: np.ndarray) -> str:
    """Return a hash of an array's type, shape and values."""
    text = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    text.update(np.ascontiguousarray(array).tobytes())
    return text.hexdigest()[:32]


def pack(record: Any, share: Callable[[np.ndarray], str], shared: tuple[str, ...] = ("wave", "lsf_fwhm")) -> bytes:
    """Return a dataclass of arrays and plain values as bytes.

    Parameters
    ----------
    record : dataclass instance
    share : callable
        Stores an array that many records have in common and returns its name.
    shared : tuple of str
        The fields that go through `share`.
    """
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, Any] = {}
    references: dict[str, str] = {}
    for entry in dataclasses.fields(record):
        value = getattr(record, entry.name)
        if not isinstance(value, np.ndarray):
            plain[entry.name] = dict(value) if isinstance(value, Mapping) else value
        elif entry.name in shared:
            references[entry.name] = share(value)
        else:
            arrays[entry.name] = value
    arrays[_PLAIN] = np.array(json.dumps(plain, default=_item))
    arrays[_SHARED] = np.array(json.dumps(references))
    return pack_arrays(arrays)


def unpack(kind: type[T], data: bytes, shared: Callable[[str], np.ndarray]) -> T:
    """Return the record that `pack` stored; `shared` finds a shared array by its name.

    Raises
    ------
    StellacubeError
        If the bytes are damaged, or the record has other fields in this version of the program.
    """
    arrays = unpack_arrays(data)
    with _readable():
        plain: dict[str, Any] = json.loads(str(arrays.pop(_PLAIN)))
        references: dict[str, str] = json.loads(str(arrays.pop(_SHARED)))
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        return kind(**values, **arrays, **{name: shared(key) for name, key in references.items()})


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what goes wrong with foreign bytes into a sentence."""
    try:
        yield
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise StellacubeError(
            "The session file holds a record that cannot be read: it is damaged, or another version wrote it.",
            "Choose another output folder, or overwrite it with --overwrite.",
        ) from error


def _item(value: Any) -> Any:
    """Turn a NumPy scalar into a Python one for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be stored.")
