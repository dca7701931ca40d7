"""Which spectra no training may see: they judge the networks, feed the injection test and make the demo."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import numpy as np

RESERVED_STARS: dict[str, tuple[str, ...]] = {
    "stelib": ("HD87822", "HD134169", "HD157214", "HD163993", "HD94264", "HD125560"),
    "indous": ("16673", "95128", "157910", "10780", "32147", "136726"),
}
"""Real stars kept from every training and validation set: the tests inject them into a real cube.

Names are those of the libraries' own files, up to leading zeros (see `star_key`): FGK dwarfs and giants of
4160-6600 K, 4750-8750 A without a gap, labels known. They are excluded wherever else they occur, MILES included.
"""


def held_back(n_spectra: int) -> np.ndarray:
    """Return a boolean array, True for the eighth of the synthetic spectra that is kept from every training.

    Parameters
    ----------
    n_spectra : int
        Number of spectra in the set, files joined in the order of their names.
    """
    chosen = np.zeros(n_spectra, bool)
    # A random eighth: every eighth row of a Sobol sequence would fill only a slice of one label's range.
    chosen[np.random.default_rng(7).permutation(n_spectra)[: n_spectra // 8]] = True
    return chosen


def star_key(name: str) -> str:
    """Return one name per star across the libraries: ``HD095128``, ``HD95128`` and ``95128`` are all ``HD95128``."""
    compact = re.sub(r"\s+", " ", name.strip())
    match = re.fullmatch(r"(?:HD)?0*(\d+)[A-C]?", compact)
    return f"HD{match[1]}" if match else compact


def real_held_out(names: Iterable[str]) -> np.ndarray:
    """Return a boolean array, True for the third of the real stars that validates and never trains.

    A star falls on the same side in every library and whatever the other stars are: its name decides, by a hash.
    """
    digests = (hashlib.sha256(star_key(name).encode()).digest() for name in names)
    return np.array([digest[0] % 3 == 0 for digest in digests], bool)


def reserved(names: Iterable[str]) -> np.ndarray:
    """Return a boolean array, True for `RESERVED_STARS` under any library's spelling."""
    keys = {star_key(name) for names_of_one in RESERVED_STARS.values() for name in names_of_one}
    return np.array([star_key(name) in keys for name in names], bool)
