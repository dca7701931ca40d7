"""Write spectra: one FITS file per star as PampelMUSE's readers expect it, and all stars in one binary table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.files import replacing
from processing.provenance import Provenance
from processing.settings import to_dict
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from astropy.io import fits

META_CARDS = {
    "multistar": ("SPECTRUM MULTISTAR", "Whether multiple stars contribute"),
    "in_field": ("SPECTRUM INFIELD", "Whether centroid inside FOV"),
    "edge_dist": ("SPECTRUM EDGEDIST", "[spaxel] Distance to FOV edge"),
    "psf_fwhm": ("SPECTRUM PSFFWHM", "[spaxel] FWHM at the middle wavelength"),
    "n_eff": ("SPECTRUM NEFF", "Effective number of stars in its PSF"),
    "contamination": ("SPECTRUM CONTAM", "Fraction of foreign light in its PSF"),
    "status": ("SPECTRUM STATUS", ""),
    "date_obs": ("DATE-OBS", ""),
    "instrument": ("INSTRUME", ""),
    "cube": ("SPECTRUM CUBE", ""),
}
"""Cards of `StarSpectrum.meta`'s keys; the first five are PampelMUSE's names or in their manner."""

WAVE_TOLERANCE = 1e-8
"""Angstrom: a grid is called linear, and stored as a start and a step, when it is so to this."""


def file_name(prefix: str, star_id: str) -> str:
    """Return a file name as PampelMUSE forms it: nine digits for a number, else the name made safe for a file."""
    plain = (
        f"{int(star_id):09d}"
        if star_id.isdecimal()
        else "".join(c if c.isalnum() or c in "-." else "_" for c in star_id)
    )
    return f"{prefix}_id{plain}.fits"


def write_spectrum(spectrum: StarSpectrum, path: Path, provenance: Provenance | None = None) -> None:
    """Write one star in PampelMUSE's layout.

    HDU0 is the flux, SIGMA the 1-sigma error (NaN where masked), MASK 1 where masked; where they are needed, WAVE holds
    a grid that is not linear and LSF the star's own line spread function (FWHM in Angstrom).

    Raises
    ------
    StellacubeError
        If the file cannot be written.
    """
    from astropy.io import fits

    axis, linear = axis_cards(spectrum)
    primary = fits.PrimaryHDU(spectrum.flux)
    primary.header.update(axis)
    describe(primary.header, spectrum)
    if provenance:
        sign(primary.header, provenance)
    # In double precision the inverse variance comes back exactly.
    with np.errstate(divide="ignore"):
        sigma = np.where(spectrum.ivar > 0, 1.0 / np.sqrt(spectrum.ivar.astype(float)), np.nan)
    hdus = [
        primary,
        fits.ImageHDU(sigma, name="SIGMA"),
        fits.ImageHDU((spectrum.ivar <= 0).astype(np.uint8), name="MASK"),
    ]
    if not linear:
        hdus.append(fits.ImageHDU(spectrum.wave, name="WAVE"))
    if spectrum.lsf_fwhm is not None:
        hdus.append(fits.ImageHDU(spectrum.lsf_fwhm, name="LSF"))
    for hdu in hdus[1:3]:
        hdu.header.update(axis)
    with replacing(path) as temporary:
        fits.HDUList(hdus).writeto(temporary, output_verify="ignore")  # a third of the time, for headers made here


def axis_cards(spectrum: StarSpectrum) -> tuple[fits.Header, bool]:
    """Return the cards of the wavelength axis, and whether they say all of it."""
    from astropy.io import fits

    wave = spectrum.wave
    step = round(float(wave[-1] - wave[0]) / (len(wave) - 1), 9)
    linear = bool(np.abs(wave[0] + step * np.arange(len(wave)) - wave).max() < WAVE_TOLERANCE)
    header = fits.Header()
    header["CRPIX1"] = 1.0
    header["CRVAL1"] = float(wave[0])
    header["CDELT1"] = step
    header["CTYPE1"] = ("AWAV" if spectrum.frame == "air" else "WAVE", "air" if spectrum.frame == "air" else "vacuum")
    header["CUNIT1"] = "Angstrom"
    if not linear:
        header.add_comment("The axis is not linear: extension WAVE holds the wavelengths.")
    return header, linear


def describe(header: fits.Header, spectrum: StarSpectrum) -> None:
    """Add the star's cards; what a card cannot hold exactly goes into METADATA as JSON."""
    header["BUNIT"] = spectrum.flux_unit
    header["OBJECT"] = ascii_text(spectrum.star_id)
    cards: list[tuple[str, Any, str]] = [
        ("RA", spectrum.ra, "[deg] ICRS"),
        ("DEC", spectrum.dec, "[deg] ICRS"),
        ("HIERARCH STAR ID", ascii_text(spectrum.star_id), ""),
        ("HIERARCH STAR RA", spectrum.ra, ""),
        ("HIERARCH STAR DEC", spectrum.dec, ""),
        ("HIERARCH STAR MAG", spectrum.mag, ""),
        ("HIERARCH SPECTRUM XCUBE", spectrum.x, "[spaxel] x-position in cube"),
        ("HIERARCH SPECTRUM YCUBE", spectrum.y, "[spaxel] y-position in cube"),
        ("HIERARCH SPECTRUM SNRATIO", spectrum.snr_der, "Estimated signal-to-noise"),
        ("HIERARCH SPECTRUM SNRMUSE", spectrum.snr, "Median flux / SIGMA"),
        ("HIERARCH SPECTRUM TYPE", "star", ""),
        ("HIERARCH STELLACUBE BARYCENTRIC", spectrum.barycentric, "[km/s] already applied"),
    ]
    rest: dict[str, Any] = {} if ascii_text(spectrum.star_id) == spectrum.star_id else {"star_id": spectrum.star_id}
    for key, value in spectrum.meta.items():
        value = value.item() if isinstance(value, np.generic) else value
        name, comment = META_CARDS.get(key, ("", ""))
        if name and (not isinstance(value, str) or ascii_text(value) == value) and value == value:
            cards.append((name if name == name.split()[0] else f"HIERARCH {name}", value, comment))
        else:
            rest[key] = value
    for name, value, comment in cards:
        if value == value:  # a header holds no NaN: a missing card says the same
            header[name] = (value, comment if len(f"{name}{value}{comment}") < 72 else "")
    if rest:
        header["METADATA"] = json.dumps(rest)


def ascii_text(text: str) -> str:
    """Return what of a text fits into any card: at most 40 printable ASCII characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:40].rstrip()


def sign(header: fits.Header, provenance: Provenance) -> None:
    """Say what made the file, from what, with which settings."""
    header["CREATOR"] = provenance.program
    header["DATE"] = (provenance.created, "UTC")
    for number, file in enumerate(provenance.inputs, 1):
        if file.role in ("cube", "stars"):
            header[f"HIERARCH STELLACUBE INPUT{number} NAME"] = ascii_text(file.name)
            header[f"HIERARCH STELLACUBE INPUT{number} SIZE"] = file.size
            header[f"HIERARCH STELLACUBE INPUT{number} HASH"] = file.fingerprint
    header["SETTINGS"] = json.dumps(to_dict(provenance.settings))


def write_spectrum_table(spectra: Sequence[StarSpectrum], path: Path, provenance: Provenance | None = None) -> None:
    """Write all stars into one FITS file.

    There is one pair of extensions per wavelength grid: a binary table SPECTRA, one row per star with flux and inverse
    variance as vectors, and an image WAVE; EXTVER tells which belong together.

    Raises
    ------
    StellacubeError
        If the file cannot be written.
    """
    from astropy.io import fits

    groups: dict[tuple[bytes, str, str], list[StarSpectrum]] = {}
    for spectrum in spectra:
        groups.setdefault((spectrum.wave.tobytes(), spectrum.frame, spectrum.flux_unit), []).append(spectrum)
    primary = fits.PrimaryHDU()
    if provenance:
        sign(primary.header, provenance)
    hdus: list[Any] = [primary]
    for number, group in enumerate(groups.values(), 1):
        table = fits.BinTableHDU.from_columns(_table_columns(group), name="SPECTRA", ver=number)
        table.header["FRAME"] = (group[0].frame, "of the wavelengths")
        wave = fits.ImageHDU(group[0].wave, name="WAVE", ver=number)
        wave.header["BUNIT"] = "Angstrom"
        hdus += [table, wave]
    with replacing(path) as temporary:
        fits.HDUList(hdus).writeto(temporary)


def _table_columns(group: Sequence[StarSpectrum]) -> list[fits.Column]:
    from astropy.io import fits

    n_wave, unit = len(group[0].wave), group[0].flux_unit
    meta = [json.dumps(dict(spectrum.meta), default=lambda value: value.item()) for spectrum in group]
    texts = {"star_id": [json.dumps(spectrum.star_id)[1:-1] for spectrum in group], "meta": meta}
    columns = [
        fits.Column(name, f"{max(1, *map(len, values))}A", array=np.array(values)) for name, values in texts.items()
    ]
    units = {"ra": "deg", "dec": "deg", "x": "pixel", "y": "pixel", "mag": "mag", "barycentric": "km/s"}
    columns[1:1] = [
        fits.Column(name, "D", unit=word, array=np.array([getattr(spectrum, name) for spectrum in group], float))
        for name, word in units.items()
    ]
    columns += [
        fits.Column("flux", f"{n_wave}E", unit=unit or None, array=np.stack([s.flux for s in group])),
        fits.Column("ivar", f"{n_wave}E", array=np.stack([s.ivar for s in group])),
    ]
    if any(spectrum.lsf_fwhm is not None for spectrum in group):
        missing = np.full(n_wave, np.nan)
        lsf = np.stack([missing if s.lsf_fwhm is None else s.lsf_fwhm for s in group])
        columns.append(fits.Column("lsf_fwhm", f"{n_wave}D", unit="Angstrom", array=lsf))
    return columns
