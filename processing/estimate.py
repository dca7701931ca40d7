"""What a run will take, roughly: time and memory before the start, time left while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

SPAXELS_PER_STAR = 100
"""Without a list, as many stars are expected to be found as in an ordinary cluster field."""
_START = 2.0
_PER_MEGAVOXEL = 0.1
_PER_STAR = 0.09
_PER_FIT = 0.02
"""Seconds on two cores: 39 stars in 60 x 60 x 3681 voxels took 6 s, 628 in 300 x 300 x 3681 took 95 s."""
_MEMORY = 0.35
_MEMORY_PER_MEGAVOXEL = 0.001
"""GB at the peak: 0.7 with 628 stars in 300 x 300 x 3681 voxels."""
_EARLY = 0.05
"""Before this much is done nothing can be said of the rest."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take."""

    stars: int
    seconds: float
    memory: float
    """GB at the peak."""

    def __str__(self) -> str:
        return f"About {rounded(self.seconds)} and {self.memory:.1f} GB of memory for {self.stars:n} stars."


def estimate_run(shape: tuple[int, int, int] | None, stars: int | None) -> Estimate:
    """Return time and memory of a run, good to a factor of two on two cores.

    Parameters
    ----------
    shape : tuple of int, optional
        (n_wave, ny, nx) of the cube; None for spectra that exist already.
    stars : int, optional
        Stars in the field; None where they have yet to be found.
    """
    if shape is None:
        count = stars or 0
        return Estimate(count, _START + _PER_FIT * count, _MEMORY)
    n_wave, ny, nx = shape
    voxels = n_wave * ny * nx / 1e6
    count = stars if stars is not None else max(1, ny * nx // SPAXELS_PER_STAR)
    seconds = _START + _PER_MEGAVOXEL * voxels + (_PER_STAR + _PER_FIT) * count
    return Estimate(count, seconds, _MEMORY + _MEMORY_PER_MEGAVOXEL * voxels)


def time_left(elapsed: float, fraction: float) -> float | None:
    """Return the seconds that the rest will take at the pace so far; None while nothing can be said."""
    return elapsed * (1.0 - fraction) / fraction if _EARLY <= fraction < 1.0 and elapsed > 1.0 else None


def rounded(seconds: float) -> str:
    """Return a time in words, no more precise than it can be."""
    if seconds < 50:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} h"
