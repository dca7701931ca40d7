"""Which synthetic spectra no training may see: they judge the networks and make the demo."""

from __future__ import annotations

import numpy as np


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
