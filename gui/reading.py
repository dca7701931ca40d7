"""What panels show of cube, session and spectra, read and prepared off the GUI thread; no Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from gui.composite import Ranges, band_mean, compose
from gui.display import even_sample, limits, symmetric
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from gui.selection import Aperture
    from processing.cube import CubeOverview, MuseCube
    from processing.labels.fit import LabelFit
    from processing.labels.refit import Refit
    from processing.session import Session

Picture = Literal["white", "slice", "band", "residual", "noise", "snr", "colour"]
QUICK_LOOK_RADIUS = 3.0
"""Spaxels: a star without an extracted spectrum is shown as the sum within this radius."""


@dataclass(frozen=True)
class ShownImage:
    """An image ready to be drawn."""

    picture: Picture
    index: int
    """Layer of a slice, its noise or its signal-to-noise; -1 otherwise."""
    pixels: np.ndarray
    """(ny, nx), native float32, NaN where there is nothing; a colour composite is (ny, nx, 3), uint8."""
    low: float
    high: float
    sample: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    """Sorted finite values of an even sample of the pixels, for the histogram beside the image."""


@dataclass(frozen=True)
class ShownSpectrum:
    """A spectrum ready to be drawn."""

    title: str
    observed: StarSpectrum | None
    fit: LabelFit | None = None
    preview: bool = False
    """True for the spaxel under the mouse, which goes when the mouse goes."""
    refits: tuple[Refit, ...] = ()
    """The star's refits in the session, oldest first."""


def shown_image(picture: Picture, pixels: np.ndarray, rule: str, index: int = -1) -> ShownImage:
    """Find the limits of an image; those of a residual lie evenly around zero."""
    pixels = np.asarray(pixels, dtype=np.float32)
    find = symmetric if picture == "residual" else limits
    return ShownImage(picture, index, pixels, *find(pixels, rule), np.sort(even_sample(pixels)))


def read_layer(cube: MuseCube, picture: Picture, index: int, rule: str) -> ShownImage:
    """Read one layer: its flux, its noise (1 sigma), or the ratio of both."""
    flux = cube.layer(index) if picture != "noise" else None
    noise = np.sqrt(cube.variance(index)) if picture != "slice" else None
    pixels = flux if noise is None else noise if flux is None else flux / noise
    assert pixels is not None
    return shown_image(picture, pixels, rule, index)


def read_band(cube: MuseCube, low: float, high: float, rule: str) -> ShownImage:
    """Read the mean image between two wavelengths in Angstrom."""
    return shown_image("band", cube.band_image(low, high), rule)


def read_colours(cube: MuseCube, overview: CubeOverview | None, ranges: Ranges) -> ShownImage:
    """Read three bands and put them together in colour."""
    red, green, blue = (band_mean(cube, overview, low, high) for low, high in ranges)
    return ShownImage("colour", -1, compose(red, green, blue), 0.0, 255.0)


def read_spaxel(cube: MuseCube, x: int, y: int, preview: bool) -> ShownSpectrum:
    """Read the spectrum of one spaxel."""
    flux, ivar = cube.spaxel(x, y)
    spectrum = StarSpectrum(f"spaxel {x}, {y}", cube.wave, flux, ivar, cube.frame, cube.flux_unit, x=x, y=y)
    return ShownSpectrum(f"Spaxel x {x}, y {y}", spectrum, preview=preview)


def read_aperture(cube: MuseCube, aperture: Aperture) -> ShownSpectrum:
    """Sum the spectrum in a circle."""
    spectrum = cube.aperture(aperture.x, aperture.y, aperture.radius, aperture.annulus)
    return ShownSpectrum(str(aperture), spectrum)


def read_quick_look(cube: MuseCube, star_id: str, x: float, y: float) -> ShownSpectrum:
    """Sum the spaxels around a star that has no extracted spectrum."""
    _, ny, nx = cube.shape
    if not (-0.5 < x < nx - 0.5 and -0.5 < y < ny - 0.5):
        return ShownSpectrum(f"{star_id}: outside the field of this cube", None)
    spectrum = cube.aperture(x, y, QUICK_LOOK_RADIUS)
    return ShownSpectrum(f"{star_id} – sum within {QUICK_LOOK_RADIUS:g} spaxels, sky not subtracted", spectrum)


def read_star(session: Session, star_id: str, reason: str) -> ShownSpectrum:
    """Read a star's extracted spectrum and its fit."""
    if star_id not in session.star_ids("spectra"):
        return ShownSpectrum(f"{star_id}: {reason or 'no spectrum was extracted'}", None)
    spectrum = session.spectrum(star_id)
    fit = session.fit(star_id) if star_id in session.star_ids("fits") else None
    return ShownSpectrum(star_id, spectrum, fit, refits=tuple(session.refits(star_id)))


def read_live_star(path: Path, star_id: str, reason: str) -> ShownSpectrum:
    """Read a star of a run that is going on; its file is let go of at once."""
    from processing.session import Session

    with Session.open(path, read_only=True) as session:
        return read_star(session, star_id, reason)


def read_all(reads: Sequence[Callable[[], ShownSpectrum]]) -> list[ShownSpectrum]:
    """Read several spectra."""
    return [read() for read in reads]
