"""Read FITS images of one dimension: our own, PampelMUSE's in all its versions, and others with a wavelength axis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.errors import StellacubeError
from processing.spectra_io.common import frame_from_words, header_number, make_spectrum, to_angstrom
from processing.spectra_io.write import META_CARDS
from processing.spectrum import Frame, StarSpectrum

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

_FLUX = ("FLUX", "DATA", "SCI", "SPECTRUM")
_SIGMA = ("SIGMA", "ERROR", "ERR", "ERRS", "UNCERT", "UNCERTAINTY", "NOISE")
_VARIANCE = ("STAT", "VARIANCE", "VAR")
_IVAR = ("IVAR", "INVVAR")
_MASKED = ("MASK", "DQ", "FLAGS")
_GOOD = ("GOODPIXELS",)
_WAVE = ("WAVE", "WAVELENGTH", "LAMBDA")


def _flux_hdu(hdus: HDUList) -> Any:
    """Return the HDU with the flux, or None."""
    lines = [hdu for hdu in hdus if hdu.is_image and hdu.shape and _is_line(hdu.shape)]
    if hdus[0] in lines:
        return hdus[0]
    return next((hdu for hdu in lines if hdu.name in _FLUX), None)


def _is_line(shape: tuple[int, ...]) -> bool:
    return shape[-1] > 1 and all(length == 1 for length in shape[:-1])


def is_image(hdus: HDUList) -> bool:
    """Tell whether this file has a one-dimensional image that may be a spectrum."""
    return _flux_hdu(hdus) is not None


def read_image(hdus: HDUList, path: Path) -> StarSpectrum:
    """Return the spectrum of a one-dimensional image.

    The error is looked for in extensions SIGMA, ERROR, UNCERT, STAT (variance), IVAR and the like; wavelengths in an
    extension WAVE, else in the header: linear, logarithmic (DC-FLAG 1, CTYPE1 with -LOG, or CRVAL1 below 5 without
    a unit), in CUNIT1's unit, in metres where CRVAL1 is below 1e-3 and no unit is given. CTYPE1 AWAV means air and WAVE
    vacuum, as the FITS standard has it; where nothing is said, air is taken, and ``meta["frame"]`` says so.
    """
    hdu = _flux_hdu(hdus)
    header = hdus[0].header.copy()
    header.update(hdu.header)
    flux = np.asarray(hdu.data, float).ravel()
    wave = _wavelengths(hdus, header, flux.size)
    meta, frame = _meta(header), _frame(header)
    if frame is None:
        frame, meta["frame"] = "air", "air was taken"
    ivar = _ivar(hdus, flux.size)
    extension = _extension(hdus, ("LSF",), flux.size)
    return make_spectrum(
        _star_id(header, meta, path), wave, flux, ivar, frame, meta=meta, lsf_fwhm=extension,
        flux_unit=str(header.get("BUNIT", "")),
        ra=header_number(header, "HIERARCH STAR RA", "RA", "RA_TARG"),
        dec=header_number(header, "HIERARCH STAR DEC", "DEC", "DEC_TARG"),
        x=header_number(header, "HIERARCH SPECTRUM XCUBE"),
        y=header_number(header, "HIERARCH SPECTRUM YCUBE"),
        mag=header_number(header, "HIERARCH STAR MAG"),
        barycentric=header_number(header, "HIERARCH STELLACUBE BARYCENTRIC"),
    )  # fmt: skip


def _extension(hdus: HDUList, names: tuple[str, ...], size: int) -> np.ndarray | None:
    """Return the first extension of one of these names with as many pixels as the flux."""
    for hdu in hdus[1:]:
        if hdu.name in names and hdu.is_image and hdu.data is not None and hdu.data.size == size:
            return np.asarray(hdu.data).ravel()
    return None


def _ivar(hdus: HDUList, size: int) -> np.ndarray | None:
    """Return the inverse variance with the masked pixels at 0, or None where there are no errors."""
    sigma, variance, ivar = (_extension(hdus, names, size) for names in (_SIGMA, _VARIANCE, _IVAR))
    with np.errstate(divide="ignore", invalid="ignore"):
        if sigma is not None:
            ivar = np.where(sigma > 0, 1.0 / sigma.astype(float) ** 2, 0.0)
        elif variance is not None:
            ivar = np.where(variance > 0, 1.0 / variance.astype(float), 0.0)
    masked, good = _extension(hdus, _MASKED, size), _extension(hdus, _GOOD, size)
    if ivar is not None and masked is not None:
        ivar = np.where(masked == 0, ivar, 0.0)
    if ivar is not None and good is not None:
        ivar = np.where(good > 0, ivar, 0.0)
    return ivar


def _wavelengths(hdus: HDUList, header: Header, size: int) -> np.ndarray:
    """Return the wavelengths in Angstrom from an extension or the header's axis."""
    unit = str(header.get("CUNIT1", "")) or None
    table = _extension(hdus, _WAVE, size)
    if table is not None:
        return to_angstrom(table, unit)
    start = header_number(header, "CRVAL1", "WSTART", "COEFF0")
    step = header_number(header, "CDELT1", "CD1_1", "WSTEP", "COEFF1")
    if not (np.isfinite(start) and np.isfinite(step) and step != 0):
        raise StellacubeError(
            f"The FITS image of {size} pixels has no wavelengths: neither an extension WAVE nor CRVAL1 and CDELT1."
        )
    reference = header_number(header, "CRPIX1")
    pixel = np.arange(size) + 1.0 - (reference if np.isfinite(reference) else 1.0)
    if "LOG" in str(header.get("CTYPE1", "")).upper()[4:]:
        return to_angstrom(start * np.exp(pixel * step / start), unit)  # FITS paper III, Eq. 5
    if header.get("DC-FLAG") == 1 or (unit is None and 3 < start < 5):
        return np.asarray(10 ** (start + step * pixel))
    return to_angstrom(start + step * pixel, unit)


def _frame(header: Header) -> Frame | None:
    """Return what the header says of air or vacuum, or None."""
    if isinstance(header.get("VACUUM"), bool | int):
        return "vacuum" if header["VACUUM"] else "air"
    ctype = str(header.get("CTYPE1", "")).strip().upper()
    if ctype.startswith(("AWAV", "WAVE")) and ctype != "WAVELENGTH":
        return "air" if ctype.startswith("AWAV") else "vacuum"
    return frame_from_words(header.get("AIRORVAC", ""), ctype, header.comments["CTYPE1"] if "CTYPE1" in header else "")


def _meta(header: Header) -> dict[str, Any]:
    """Return the cards that the program uses, and what METADATA adds to them."""
    meta: dict[str, Any] = {}
    for key, (card, _) in META_CARDS.items():
        value = header.get(card)
        if isinstance(value, str | float | int | bool):
            meta[key] = value
    if "PAMPELMUSE SEEING" in header:
        meta.setdefault("psf_fwhm", float(header["PAMPELMUSE SEEING"]))
    if "SPECTRUM QLTFLAG" in header and "CREATOR" not in header:
        meta["qltflag"] = int(header["SPECTRUM QLTFLAG"])
    for card, key in (("PAMPELMUSE VERSION", "pampelmuse"), ("PAMPELMUSE PASSBAND", "passband")):
        if card in header:
            meta[key] = str(header[card])
    if "METADATA" in header:
        meta.update(json.loads(header["METADATA"]))
    return meta


def _star_id(header: Header, meta: dict[str, Any], path: Path) -> str:
    """Return the star's name: our own record, PampelMUSE's card, else the file's name."""
    exact = meta.pop("star_id", None)
    name = exact or header.get("STAR ID") or path.name.split(".")[0]
    return str(name).strip()
