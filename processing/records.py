"""Frozen records as bytes: arrays in an ``.npz``, the rest in one JSON entry; nothing is ever pickled."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

_PLAIN = "_plain"
_SHARED = "_shared"


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return named arrays as the bytes of an ``.npz`` file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays that `pack_arrays` stored."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


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
    """Return the record that `pack` stored; `shared` finds a shared array by its name."""
    arrays = unpack_arrays(data)
    plain: dict[str, Any] = json.loads(str(arrays.pop(_PLAIN)))
    references: dict[str, str] = json.loads(str(arrays.pop(_SHARED)))
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    return kind(**values, **arrays, **{name: shared(key) for name, key in references.items()})


def _item(value: Any) -> Any:
    """Turn a NumPy scalar into a Python one for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be stored.")
