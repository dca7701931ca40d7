"""The paper's exposure formulas (Eqs 11-13, Table 3) and their exact inverses, for numbers and arrays alike.

They hold for a K giant at airmass 1.5 and 0.8 arcsec seeing. The SNR is that of one 1.25 A pixel at MUSE's own
resolution (R about 3000), before any degrading; V is the star's magnitude, the time is the open shutter's, overheads
are not in it. SNR grows with the square root of the time: read noise is not in it either, so many short exposures
of a faint star promise too much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from processing.errors import StellacubeError

Values: TypeAlias = np.ndarray
"""Float array of the broadcast shape of the inputs (shape () for plain numbers)."""


class PrecisionLaw(Protocol):
    """What turns an SNR per 1.25 A pixel into label errors and back: the paper's fit, or a network's information."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Machine names of the labels."""

    def sigma(self, snr: ArrayLike, floor: ArrayLike = 0.0) -> Values:
        """Return the 1-sigma errors in K, dex or km/s, shape (..., n_label)."""

    def snr(self, sigma: ArrayLike, floor: ArrayLike = 0.0) -> Values:
        """Return the SNR at which each error is reached, shape (..., n_label); infinite where none is enough."""


HOUR = 3600.0
"""Seconds in the formula's unit exposure."""
ZERO_POINT = 14.83
"""V of the star whose one-hour counts are the unit of Eq. 13, mag."""
STAR_SNR = 462.34
"""One-hour SNR of that star without background (Eq. 13)."""
BACKGROUND = 0.00223
"""Sky background in units of that star (Eq. 13); a star of V = 21.46 is as bright as the sky."""

MAG_VALID = (14.0, 22.0)
"""V between which the formulas are trusted: brighter stars saturate, fainter ones drown in read noise and sky."""
SNR_VALID = (10.0, 300.0)
"""SNR between which they are trusted: below, errors are not Gaussian; above, systematic errors rule."""
MAG_POSSIBLE = (0.0, 40.0)
"""V beyond which a value is a slip of the pen."""


@dataclass(frozen=True)
class PrecisionTable:
    """Eq. 11 for a set of labels: log10(sigma / unit) = slope * log10(SNR) + intercept.

    Attributes
    ----------
    labels : tuple of str
        Machine names.
    slope, intercept : ndarray, shape (n_label,)
        A_X and B_X of Table 3.
    unit : ndarray, shape (n_label,)
        The unit of the fitted sigma in the label's own unit. It is 1 dex for all but Teff, whose unit is 100 K: Fig. 14
        sets "0.1 dex (or 10 K)" equal, Chem-I-Calc scales Teff by 100 K, and in kelvin B = 1.652 would promise 0.6 K at
        SNR 80 where the paper measures 75 K. Every sigma that goes in or comes out here is in kelvin and dex.
    """

    labels: tuple[str, ...]
    slope: np.ndarray
    intercept: np.ndarray
    unit: np.ndarray

    def sigma(self, snr: ArrayLike, floor: ArrayLike = 0.0) -> Values:
        """Return the 1-sigma errors at an SNR per 1.25 A pixel (Eq. 11).

        Parameters
        ----------
        snr : array_like, shape (...)
            SNR per pixel; 0 gives infinity.
        floor : array_like, scalar or shape (n_label,)
            Systematic error added in quadrature, K and dex.

        Returns
        -------
        ndarray, shape (..., n_label)
            K for Teff, dex for all else.
        """
        values = positive("The SNR", snr, zero=True)[..., None]
        with np.errstate(divide="ignore"):
            # exp is five times faster than a power, which a list of ten thousand stars feels.
            statistical = np.exp(self.slope * np.log(values) + np.log(10.0) * self.intercept) * self.unit
        least = positive("The systematic floor", floor, zero=True)
        return np.hypot(statistical, least) if least.any() else statistical

    def snr(self, sigma: ArrayLike, floor: ArrayLike = 0.0) -> Values:
        """Return the SNR per pixel that an error asks for; infinite where the floor is as large as the error.

        Parameters
        ----------
        sigma : array_like, shape (..., n_label) or scalar
            Wanted 1-sigma errors, K and dex.
        floor : array_like, scalar or shape (n_label,)
            As in `sigma`.

        Returns
        -------
        ndarray, shape (..., n_label)
        """
        statistical = without_floor(sigma, floor)
        with np.errstate(divide="ignore"):
            return 10.0 ** ((np.log10(statistical / self.unit) - self.intercept) / self.slope)


_ROWS = (
    ("teff", -0.9875, 1.652, 100.0),
    ("logg", -0.9922, 1.052, 1.0),
    ("fe_h", -0.9746, 0.5823, 1.0),
    ("mg_fe", -0.9862, 0.4486, 1.0),
    ("si_fe", -0.9886, 0.7546, 1.0),
    ("ca_fe", -0.9834, 0.868, 1.0),
    ("ti_fe", -0.991, 0.856, 1.0),
    ("c_fe", -0.9891, 0.5737, 1.0),
    ("ni_fe", -0.9925, 0.8681, 1.0),
    ("cr_fe", -0.9835, 0.7855, 1.0),
)

TABLE_3 = PrecisionTable(
    labels=tuple(row[0] for row in _ROWS),
    slope=np.array([row[1] for row in _ROWS]),
    intercept=np.array([row[2] for row in _ROWS]),
    unit=np.array([row[3] for row in _ROWS]),
)
"""Table 3 of the paper."""


def positive(what: str, values: ArrayLike, *, zero: bool = False) -> Values:
    """Return `values` as floats, or say why they cannot be used.

    Raises
    ------
    StellacubeError
        If there are none, one is no number, or one is negative (or zero, unless `zero`). Infinity passes: it is
        the honest answer where something can never be reached.
    """
    array = _numbers(what, values)
    usable = array >= 0 if zero else array > 0  # False for NaN
    if not usable.all():
        least = "zero or more" if zero else "more than zero"
        raise StellacubeError(f"{what} cannot be {array[~usable].flat[0]:g}.", f"Give a number that is {least}.")
    return array


def without_floor(sigma: ArrayLike, floor: ArrayLike) -> Values:
    """Return what an error leaves to noise once a systematic floor is taken out in quadrature; 0 where nothing."""
    wanted, least = positive("The wanted precision", sigma), positive("The systematic floor", floor, zero=True)
    return np.sqrt(np.maximum((wanted - least) * (wanted + least), 0.0))


def magnitude(values: ArrayLike) -> Values:
    """Return V magnitudes as floats, or say why they cannot be used."""
    array = _numbers("The V magnitude", values)
    low, high = MAG_POSSIBLE
    inside = (array >= low) & (array <= high)
    if not inside.all():
        bad = array[~inside].flat[0]
        raise StellacubeError(f"V = {bad:g} is no magnitude of a star.", f"Give a number from {low:g} to {high:g}.")
    return array


def _numbers(what: str, values: ArrayLike) -> Values:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise StellacubeError(f"{what} is not a number: {values!r}.") from error
    if array.size == 0:
        raise StellacubeError(f"{what} is missing: the list is empty.")
    return array


def snr_one_hour(mag: ArrayLike) -> Values:
    """Return the SNR per 1.25 A pixel after one hour at magnitude V (Eq. 13)."""
    star = 10.0 ** (0.4 * (ZERO_POINT - magnitude(mag)))
    return STAR_SNR * star / np.sqrt(BACKGROUND + star)


def snr(mag: ArrayLike, time: ArrayLike, scale: ArrayLike = 1.0) -> Values:
    """Return the SNR per 1.25 A pixel at magnitude V after `time` seconds (Eq. 12).

    `scale` multiplies the SNR: 1 is the paper's airmass 1.5 and 0.8 arcsec seeing, other conditions are the user's
    own estimate.
    """
    return positive("The SNR scale", scale) * snr_one_hour(mag) * np.sqrt(positive("The exposure time", time) / HOUR)


def time_for_snr(mag: ArrayLike, snr: ArrayLike, scale: ArrayLike = 1.0) -> Values:
    """Return the exposure time in seconds after which a star of magnitude V reaches an SNR (inverse of Eq. 12)."""
    one_hour = positive("The SNR scale", scale) * snr_one_hour(mag)
    return HOUR * (positive("The SNR", snr, zero=True) / one_hour) ** 2


def magnitude_for_snr(snr: ArrayLike, time: ArrayLike, scale: ArrayLike = 1.0) -> Values:
    """Return the faintest V that reaches an SNR in `time` seconds (inverse of Eqs 12 and 13).

    -inf for an infinite SNR, which no star reaches; +inf for an SNR of 0, which all do.

    With s the SNR in units of 462.34 in one hour, Eq. 13 is a quadratic in the star's flux f:
    f^2 = s^2 (0.00223 + f).
    """
    hours = positive("The exposure time", time) / HOUR
    wanted = positive("The SNR", snr, zero=True) / (positive("The SNR scale", scale) * STAR_SNR * np.sqrt(hours))
    star = 0.5 * wanted * (wanted + np.sqrt(wanted * wanted + 4.0 * BACKGROUND))
    with np.errstate(divide="ignore"):
        return ZERO_POINT - 2.5 * np.log10(star)


def extrapolated(mag: ArrayLike, snr: ArrayLike) -> Values:
    """Return True where V or SNR lies outside the band in which the formulas are trusted."""
    mag, snr = np.asarray(mag, float), np.asarray(snr, float)
    inside = (mag >= MAG_VALID[0]) & (mag <= MAG_VALID[1]) & (snr >= SNR_VALID[0]) & (snr <= SNR_VALID[1])
    return ~inside
