"""Read LAMOST spectra in their three layouts and SDSS spectra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.spectra_io.common import header_number, make_spectrum
from processing.spectrum import MetaValue, StarSpectrum

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header


def is_lamost(hdus: HDUList) -> bool:
    """Tell whether LAMOST's pipeline wrote this file."""
    return str(hdus[0].header.get("TELESCOP", "")).strip().upper() == "LAMOST"


def read_lamost(hdus: HDUList, path: Path) -> StarSpectrum:
    """Return a LAMOST low-resolution spectrum.

    Layouts: DR1-DR2, an image whose rows are flux, inverse variance, continuum-subtracted flux and two masks, its
    wavelengths in the header (COEFF0, COEFF1); DR3-DR7, the same with wavelengths in the third row; DR8 and later, a
    table COADD of one row. Wavelengths are in vacuum and heliocentric (HELIO_RV, already applied). A pixel is masked
    where the inverse variance is 0, the flux is exactly 0 (no data), or the AND mask says that it is bad in every
    exposure. The fluxes are not absolutely calibrated.
    """
    header = hdus[0].header
    if hdus[0].data is not None:
        rows = hdus[0].data
        flux, ivar, and_mask = rows[0], rows[1], rows[3]
        # What the third row holds is told by its values: DR1's header names it Subcontinuum, later ones Wavelength.
        in_header = float(np.median(rows[2])) < 1000
        pixel = np.arange(flux.size)
        wave = 10 ** (header["COEFF0"] + header["COEFF1"] * pixel) if in_header else rows[2]
    else:
        row = {name.upper(): np.asarray(hdus[1].data[name]).ravel() for name in hdus[1].columns.names}
        flux, ivar, wave, and_mask = row["FLUX"], row["IVAR"], row["WAVELENGTH"], row["ANDMASK"]
    ivar = np.where((flux != 0) & (and_mask == 0), ivar, 0.0)
    meta = _survey_meta(header, "LAMOST")
    name = header.get("OBSID") or header.get("DESIG") or path.name.split(".")[0]
    return make_spectrum(
        str(name).removeprefix("LAMOST ").strip(), wave, flux, ivar, "vacuum", meta=meta,
        ra=header_number(header, "RA"), dec=header_number(header, "DEC"), mag=_lamost_magnitude(header),
        barycentric=header_number(header, "HELIO_RV"),
    )  # fmt: skip


def _lamost_magnitude(header: Header) -> float:
    """Return the r magnitude (MAG_PS_R, or MAGn at the place of r in MAGTYPE); 99 means unknown."""
    place = str(header.get("MAGTYPE", "")).find("r") + 1
    value = header_number(header, "MAG_PS_R", f"MAG{place}")
    return value if value < 90 else float("nan")


def is_sdss(hdus: HDUList) -> bool:
    """Tell whether this is an SDSS ``spec-PLATE-MJD-FIBER`` file: a table with flux, loglam and ivar."""
    names = (
        {name.lower() for name in getattr(hdus[1], "columns", ()) and hdus[1].columns.names} if len(hdus) > 1 else set()
    )
    return {"flux", "loglam", "ivar"} <= names


def read_sdss(hdus: HDUList, path: Path) -> StarSpectrum:
    """Return an SDSS spectrum: vacuum, heliocentric, 1e-17 erg/s/cm2/A; `wdisp` gives its line spread function."""
    header, table = hdus[0].header, hdus[1].data
    wave = 10 ** np.asarray(table["loglam"], float)
    ids = [header.get(card) for card in ("PLATEID", "MJD", "FIBERID")]
    name = "-".join(map(str, ids)) if all(value is not None for value in ids) else path.name.split(".")[0]
    lsf = None
    if "wdisp" in {column.lower() for column in table.columns.names} and np.all(table["wdisp"] > 0):
        # wdisp is the dispersion in pixels of 1e-4 dex.
        lsf = 2.354820 * np.asarray(table["wdisp"], float) * 1e-4 * np.log(10) * wave
    return make_spectrum(
        name, wave, table["flux"], np.asarray(table["ivar"], float), "vacuum", meta=_survey_meta(header, "SDSS"),
        lsf_fwhm=lsf, flux_unit=str(header.get("BUNIT", "1E-17 erg/cm^2/s/Ang")),
        ra=header_number(header, "PLUG_RA", "RA"), dec=header_number(header, "PLUG_DEC", "DEC"),
        barycentric=header_number(header, "HELIO_RV"),
    )  # fmt: skip


def _survey_meta(header: Header, instrument: str) -> dict[str, MetaValue]:
    meta: dict[str, Any] = {"instrument": instrument}
    for key, card in (("date_obs", "DATE-OBS"), ("class", "CLASS"), ("subclass", "SUBCLASS"), ("redshift", "Z")):
        value = header.get(card)
        if isinstance(value, str | float):
            meta[key] = value.strip() if isinstance(value, str) else value
    return meta
