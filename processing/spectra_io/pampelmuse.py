"""Write a spectrum as PampelMUSE writes it, for programs that read PampelMUSE's files and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from processing.files import replacing
from processing.provenance import Provenance
from processing.spectra_io.write import axis_cards, describe, sign
from processing.spectrum import StarSpectrum

J2000 = 2451545.0


def pampelmuse_name(spectrum: StarSpectrum, number: int) -> str:
    """Return the file's name as PampelMUSE forms it: ``specid000010554jd2456865p5826f000.fits``.

    Parameters
    ----------
    spectrum : StarSpectrum
        Its name, where that is a number of up to nine digits, and its date (0 where that is unknown) go in.
    number : int
        What stands for the star otherwise.
    """
    plain = spectrum.star_id.isdecimal() and len(spectrum.star_id) <= 9
    date = f"{_julian_date(spectrum) or 0.0:.4f}".replace(".", "p")
    return f"specid{int(spectrum.star_id) if plain else number:09d}jd{date}f000.fits"


def write_pampelmuse(spectrum: StarSpectrum, path: Path, provenance: Provenance | None = None) -> None:
    """Write one star's flux and 1-sigma error (HDUs PRIMARY and SIGMA, single precision) with PampelMUSE's cards.

    Readers of that layout expect no NaN: masked pixels have flux 0, an infinite error, and 0 in GOODPIXELS. The grid
    must be linear or nearly so; CREATOR says that PampelMUSE did not make the file. QLTFLAG is 0: its bits are not
    documented.

    Raises
    ------
    StellacubeError
        If the file cannot be written.
    """
    from astropy.io import fits

    axis, _ = axis_cards(spectrum)
    axis["WSTART"], axis["WSTEP"] = axis["CRVAL1"], axis["CDELT1"]
    good = spectrum.good
    with np.errstate(divide="ignore"):
        sigma = np.where(good, 1.0 / np.sqrt(spectrum.ivar), np.inf).astype(np.float32)
    primary = fits.PrimaryHDU(np.where(good, spectrum.flux, 0.0).astype(np.float32))
    hdus = [primary, fits.ImageHDU(sigma, name="SIGMA"), fits.ImageHDU(good.astype(np.int16), name="GOODPIXELS")]
    for hdu in hdus:
        hdu.header.update(axis)
    header = primary.header
    describe(header, spectrum)
    header["OBJNAME"] = header["OBJECT"]
    if spectrum.star_id.isdecimal() and len(spectrum.star_id) <= 18:
        header["HIERARCH STAR ID"] = int(spectrum.star_id)
    date = _julian_date(spectrum)
    if date is not None:
        header["MJD-OBS"], header["JUL-DATE"] = date - 2400000.5, date
    if "psf_fwhm" in spectrum.meta:
        header["HIERARCH PAMPELMUSE SEEING"] = (spectrum.meta["psf_fwhm"], "[spaxel] FWHM")
    header["HIERARCH SPECTRUM QLTFLAG"] = (0, "not assessed")
    if provenance:
        sign(header, provenance)
    with replacing(path) as temporary:
        fits.HDUList(hdus).writeto(temporary, output_verify="ignore")


def _julian_date(spectrum: StarSpectrum) -> float | None:
    """Return the Julian date at which the exposure began, or None."""
    try:
        start = np.datetime64(str(spectrum.meta.get("date_obs", "")), "ms")
    except ValueError:
        return None
    if np.isnat(start):
        return None
    return J2000 + float((start - np.datetime64("2000-01-01T12:00:00", "ms")) / np.timedelta64(1, "D"))
