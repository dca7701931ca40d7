"""The mean images on which the PSF is fitted: sky lines, gaps and rays leave no mark on them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from processing.extraction.bins import bin_images
from processing.progress import ignore, never

SIZE, LAYERS = 60, 40


class _Stack:
    """Layers in memory: a star on a flat sky, and one sky line that is many times as bright."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        y, x = np.indices((SIZE, SIZE))
        self.star = 4000.0 * np.exp(-((x - 30) ** 2 + (y - 30) ** 2) / 18.0)
        self.sky = np.where(np.arange(LAYERS) % 13 == 5, 1500.0, 150.0)
        self.wave = np.linspace(5000.0, 5050.0, LAYERS)
        truth = self.star + self.sky[:, None, None]
        self.flux = (truth + np.sqrt(truth) * rng.standard_normal(truth.shape)).astype(np.float32)
        self.ivar = (1.0 / truth).astype(np.float32)

    def mask(self, where: tuple[int | slice, ...]) -> None:
        self.flux[where] = self.ivar[where] = 0.0

    def block(self, start: int, stop: int) -> SimpleNamespace:
        return SimpleNamespace(flux=self.flux[start:stop], ivar=self.ivar[start:stop])

    def pull(self) -> np.ndarray:
        """Return (mean image - truth) in sigma; the sky of the mean is free."""
        (image,) = bin_images(self, 1, ignore, never)
        off = image.flux - self.star
        return np.asarray((off - np.median(off)) * np.sqrt(image.ivar))


def test_stars_stand_on_no_pedestal_of_sky_lines() -> None:
    """A sky line is far off the bin's mean on the sky, but not under a star: it must count in both or in neither."""
    pull = _Stack().pull()
    assert pull.std() == pytest.approx(1.0, abs=0.1)
    assert abs(pull[24:37, 24:37].mean()) < 0.3


def test_a_gap_in_a_sky_line_leaves_no_hole() -> None:
    stack = _Stack()
    stack.mask((5, slice(10, 14), slice(10, 14)))
    assert abs(stack.pull()[10:14, 10:14].mean()) < 1.0


def test_a_ray_does_not_enter_the_mean() -> None:
    stack = _Stack()
    stack.flux[20, 8, 50] += 30000.0
    assert abs(stack.pull()[8, 50]) < 4.0
