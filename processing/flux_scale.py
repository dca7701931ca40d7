"""Spectra scaled to the magnitudes of the star list, where photometry from space knows better than the cube."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from processing.errors import StellacubeError
from processing.spectrum import StarSpectrum

CERTAIN = 10.0
"""Signal-to-noise of the stars that tell the zero point."""
COVERED = 0.5
"""Part of the band's light that a spectrum must cover."""


def scale_to_list(
    spectra: Sequence[StarSpectrum], mag_name: str, passband: str = ""
) -> tuple[tuple[StarSpectrum, ...], tuple[str, ...]]:
    """Scale every spectrum so that its magnitude is the list's.

    The mean over all stars (the zero point, a clipped median) stays where the cube has it, so that the unit is still
    right: what changes are the ratios between stars. Each spectrum keeps its factor in ``meta["flux_scale"]``.

    Parameters
    ----------
    spectra : sequence of StarSpectrum
        Those without magnitude, or with too little of the band, stay as they are.
    mag_name : str
        Column of the list that the magnitudes came from.
    passband : str
        As in `choose_passband`; empty: what `mag_name` says.

    Raises
    ------
    StellacubeError
        If the band is not known, or no star can be compared.
    """
    from processing.extraction.passbands import choose_passband

    band = choose_passband(passband, mag_name)
    if band is None:
        raise StellacubeError(
            f"The spectra cannot be scaled to the magnitudes {mag_name or '(none)'}: their band is not known.",
            "Name the column after its band, as F606W, or leave exposures.scale_to_list off.",
        )
    own = np.array([_magnitude(star, band.photons(star.wave)) for star in spectra])
    listed = np.array([star.mag for star in spectra])
    difference = listed - own
    certain = np.isfinite(difference) & (np.array([star.snr for star in spectra]) > CERTAIN)
    if not certain.any():
        raise StellacubeError(
            f"No star with S/N above {CERTAIN:g} has a magnitude in {band.name} and a spectrum that covers this band.",
            "Leave exposures.scale_to_list off.",
        )
    zero = float(np.median(difference[certain]))
    scatter = 1.4826 * float(np.median(np.abs(difference[certain] - zero)))
    factor = 10.0 ** (-0.4 * np.nan_to_num(difference - zero))
    scaled = tuple(_times(star, float(f)) for star, f in zip(spectra, factor, strict=True))
    left = int(np.count_nonzero(~np.isfinite(difference)))
    note = f"Fluxes were scaled to the list's magnitudes in {band.name}; before, they differed by {scatter:.2f} mag"
    return scaled, (f"{note}{f'; {left} stars stay as they were' if left else ''}.",)


def _magnitude(star: StarSpectrum, weight: np.ndarray) -> float:
    """Return the instrumental magnitude of a spectrum in a band, NaN where it cannot be told."""
    good = star.good
    if weight[good].sum() <= COVERED * weight.sum() or weight.sum() <= 0:
        return float("nan")
    flux = float((weight[good] * star.flux[good]).sum() / weight[good].sum())
    return -2.5 * np.log10(flux) if flux > 0 else float("nan")


def _times(star: StarSpectrum, factor: float) -> StarSpectrum:
    return replace(
        star, flux=(star.flux * factor).astype(np.float32), ivar=(star.ivar / factor**2).astype(np.float32),
        meta={**star.meta, "flux_scale": factor},
    )  # fmt: skip
