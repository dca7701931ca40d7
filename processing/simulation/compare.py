"""What a run recovered against what went into the simulated field, and whether that is good enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processing.catalogue.agreement import Recovery
from processing.errors import StellacubeError
from processing.labels.names import LABELS
from processing.simulation.field import Truth
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue

ISOLATION = 1.5
"""A star is blended when a neighbour within this many FWHM has at least a tenth of its light."""
BLEND_RATIO = 2.5
"""Magnitudes that a neighbour may be fainter and still blend."""


@dataclass(frozen=True)
class Comparison:
    """A catalogue against the truth.

    Parameters
    ----------
    n_true, n_found, n_used : int
        Stars in the field, in the catalogue, and of those with labels that the catalogue calls good or to be checked.
    snr : tuple of float
        The 16th, 50th and 84th percentile of ``snr_der`` of the used stars.
    rows : tuple of Recovery
        Labels and velocity of the used stars, and the flux (a fraction) of isolated and of blended stars.
    """

    n_true: int
    n_found: int
    n_used: int
    snr: tuple[float, float, float]
    rows: tuple[Recovery, ...]

    def __getitem__(self, name: str) -> Recovery:
        """Return one row by its machine name."""
        return next(row for row in self.rows if row.name == name)

    def failures(self, bounds: Mapping[str, tuple[float, float]], least: float = 0.7) -> list[str]:
        """Say in sentences what is not good enough.

        Parameters
        ----------
        bounds : mapping of str to (float, float)
            Largest absolute bias and largest dispersion by machine name.
        least : float
            Share of the field's stars that must have come back with labels.
        """
        found = []
        if self.n_used < least * self.n_true:
            found.append(f"Only {self.n_used} of {self.n_true} stars came back with labels.")
        for name, (bias, dispersion) in bounds.items():
            row = self[name]
            # Written so that NaN fails.
            if not abs(row.bias) <= bias:
                found.append(f"{row.symbol} is off by {row.bias:.3g} {row.unit} (allowed {bias:g}).")
            if not row.dispersion <= dispersion:
                found.append(f"{row.symbol} scatters by {row.dispersion:.3g} {row.unit} (allowed {dispersion:g}).")
        return found


def compare(truth: Truth, catalogue: Catalogue, spectra: Sequence[StarSpectrum] = ()) -> Comparison:
    """Compare a catalogue with the truth, star by star through their names.

    Parameters
    ----------
    truth : Truth
        What went into the cube.
    catalogue : Catalogue
        What came out.
    spectra : sequence of StarSpectrum
        The extracted spectra, for the flux; without them no flux is compared.

    Returns
    -------
    Comparison

    Raises
    ------
    StellacubeError
        If the two have no star in common.
    """
    table = catalogue.table
    place = {str(star): row for row, star in enumerate(truth.star_id)}
    common = np.array([str(star) in place for star in table["stellar_id"]], bool)
    if not common.any():
        raise StellacubeError(
            "The catalogue and the truth have no star in common.", "Compare results of the same field."
        )
    usable = common & np.isin(table["quality"], ("good", "check"))
    mine = table[usable]
    rows = [place[str(star)] for star in mine["stellar_id"]]
    recoveries = [Recovery.of("rv", "velocity", "km/s", np.asarray(mine["rv"]) - truth.velocity[rows])]
    recoveries += [
        Recovery.of(name, LABELS[name].symbol, LABELS[name].unit, np.asarray(mine[name]) - truth.labels[rows, column])
        for column, name in enumerate(truth.label_names)
        if name in mine.colnames
    ]
    if spectra:
        recoveries += _flux(truth, place, spectra, float(np.nanmedian(table["psf_fwhm"])))
    snr = np.percentile(mine["snr_der"], (16, 50, 84)) if len(mine) else np.full(3, np.nan)
    return Comparison(len(truth), int(common.sum()), len(mine), (snr[0], snr[1], snr[2]), tuple(recoveries))


def blended(truth: Truth, fwhm: float) -> np.ndarray:
    """Return which stars have a neighbour that matters, shape (n_star,); `fwhm` in spaxels."""
    distance = np.hypot(truth.x[:, None] - truth.x, truth.y[:, None] - truth.y)
    matters = (distance < ISOLATION * fwhm) & (truth.mag < truth.mag[:, None] + BLEND_RATIO)
    np.fill_diagonal(matters, False)
    return matters.any(axis=1)


def _flux(truth: Truth, place: Mapping[str, int], spectra: Sequence[StarSpectrum], fwhm: float) -> list[Recovery]:
    """Compare the light of isolated and blended stars: the factor that fits the true spectrum to the extracted one."""
    factor = np.full(len(truth), np.nan)
    for spectrum in spectra:
        row = place.get(spectrum.star_id)
        if row is None or spectrum.meta.get("multistar"):
            continue
        true = np.interp(spectrum.wave, truth.wave, truth.flux[row])
        weight = np.where(spectrum.good, spectrum.ivar, 0.0) * true
        with np.errstate(invalid="ignore"):
            factor[row] = np.sum(weight * np.where(spectrum.good, spectrum.flux, 0.0)) / np.sum(weight * true)
    together = blended(truth, fwhm)
    return [
        Recovery.of("flux_isolated", "flux, isolated stars", "", factor[~together] - 1.0),
        Recovery.of("flux_blended", "flux, blended stars", "", factor[together] - 1.0),
    ]
