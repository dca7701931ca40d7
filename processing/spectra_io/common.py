"""What all readers of spectra share: units, frames, errors, and a last look before a StarSpectrum is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from processing.errors import StellacubeError
from processing.spectrum import Frame, MetaValue, StarSpectrum

MIN_PIXELS = 100
"""A file with fewer finite pixels is no spectrum that could be fitted."""


def make_spectrum(
    star_id: str,
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray | None,
    frame: Frame,
    *,
    meta: Mapping[str, MetaValue],
    lsf_fwhm: np.ndarray | None = None,
    **entries: Any,
) -> StarSpectrum:
    """Return a spectrum with increasing wavelengths and everything unusable masked.

    Parameters
    ----------
    star_id : str
    wave : ndarray, shape (n,)
        Angstrom; in any order.
    flux : ndarray, shape (n,)
    ivar : ndarray, shape (n,), or None
        None: constant errors are estimated from the scatter of neighbouring pixels (DER_SNR), and ``meta["errors"]``
        says so.
    frame : {"air", "vacuum"}
    meta : mapping
    lsf_fwhm : ndarray, shape (n,), or None
        Angstrom.
    **entries
        Further fields of StarSpectrum.

    Raises
    ------
    StellacubeError
        If there is too little to be a spectrum.
    """
    wave = np.asarray(wave, float)
    flux = np.asarray(flux, np.float32)
    if ivar is None:
        ivar = np.where(np.isfinite(flux), _neighbour_ivar(flux), 0.0)
        meta = {**meta, "errors": "estimated from the scatter of neighbouring pixels"}
    with np.errstate(invalid="ignore", over="ignore"):
        ivar = np.where(np.isfinite(ivar) & (ivar > 0) & np.isfinite(flux), ivar, 0.0).astype(np.float32)
        ivar[~np.isfinite(ivar)] = 0.0
    order = np.unique(wave, return_index=True)[1]
    order = order[np.isfinite(wave[order]) & (wave[order] > 0)]
    if np.count_nonzero(ivar[order]) < MIN_PIXELS:
        raise StellacubeError(f"The spectrum of {star_id} has fewer than {MIN_PIXELS} usable pixels.")
    lsf = None if lsf_fwhm is None else np.asarray(lsf_fwhm, float)[order]
    return StarSpectrum(star_id, wave[order], flux[order], ivar[order], frame, lsf_fwhm=lsf, meta=dict(meta), **entries)


def _neighbour_ivar(flux: np.ndarray) -> float:
    """Return 1 / noise^2 from the scatter of neighbours (Stoehr et al. 2008), 1 where there is none."""
    good = flux[np.isfinite(flux)].astype(float)
    if good.size < MIN_PIXELS:
        return 0.0
    noise = 0.6052697 * float(np.median(np.abs(2 * good[2:-2] - good[:-4] - good[4:])))
    return 1.0 / noise**2 if noise > 0 else 1.0


def to_angstrom(wave: np.ndarray, unit: str | None) -> np.ndarray:
    """Return wavelengths in Angstrom.

    Parameters
    ----------
    wave : ndarray
    unit : str or None
        As the file says it. None or unreadable: guessed from the values, which for optical spectra leave no doubt:
        below 1e-3 metres, below 30 micrometres, below 3000 nanometres, else Angstrom. MUSE's 4700-9400 A are
        4.7e-7-9.4e-7 m, 0.47-0.94 um and 470-940 nm.

    Raises
    ------
    StellacubeError
        If the unit is not one of length.
    """
    from astropy import units

    wave = np.asarray(wave, float)
    if unit:
        try:
            return wave * units.Unit(unit.strip().replace("Angstroms", "Angstrom")).to(units.AA)
        except units.UnitConversionError as error:
            raise StellacubeError(f"The wavelengths are in {unit!r}, which is no length.") from error
        except ValueError:
            if unit.strip().lower().startswith("ang"):
                return wave
    middle = float(np.nanmedian(wave))
    return wave * (1e10 if middle < 1e-3 else 1e4 if middle < 30 else 10.0 if middle < 3000 else 1.0)


def frame_from_words(*words: object) -> Frame | None:
    """Return the frame that a card, a column name or a unit speaks of, or None."""
    text = " ".join(str(word) for word in words).lower()
    if "vac" in text:
        return "vacuum"
    return "air" if "air" in text or "awav" in text else None


def header_number(header: Mapping[str, Any], *names: str) -> float:
    """Return the first of some cards that holds a number, NaN without one."""
    for name in names:
        value = header.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return float("nan")
