"""What a cube's header says: wavelengths, sky coordinates, unit, instrument, and the velocity frame."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

import numpy as np

from processing.errors import StellacubeError
from processing.spectrum import Frame

_ANGSTROM_PER = {"angstrom": 1.0, "nm": 10.0, "um": 1e4, "m": 1e10}
_UNIT_SPELLINGS = {
    "angstrom": ("a", "aa", "å", "å", "ang", "angs", "angstrom", "angstroms", "angstroem", "0.1nm", "10**-10m"),
    "nm": ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
    "um": ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"),
    "m": ("m", "meter", "meters", "metre", "metres"),
}
_FLUX_UNIT = "10**(-20)*erg/s/cm**2/Angstrom"
_PARANAL = (-70.4045, -24.6276, 2648.0)  # longitude and latitude in degrees, height in metres (UT4)
_WAVE_RANGE = (1000.0, 3e5)  # Angstrom; anything else is no optical or infrared cube


def wavelength_axis(header: Any, n_wave: int) -> tuple[np.ndarray, Frame, list[str]]:
    """Read the third axis as wavelengths.

    Linear axes (CRVAL3, CRPIX3, CD3_3 or CDELT3 * PC3_3) and the logarithmic ones of Greisen et al. 2006 (FITS paper
    III, Eq. 5: wave = CRVAL3 * exp(w / CRVAL3)) are understood.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the flux extension.
    n_wave : int
        Number of layers.

    Returns
    -------
    wave : ndarray, shape (n_wave,), Angstrom
    frame : {"air", "vacuum"}
    notes : list of str
        One sentence for each thing that had to be assumed.
    """
    notes: list[str] = []
    value, reference = card_number(header, "CRVAL3"), card_number(header, "CRPIX3", 1.0)
    step = card_number(header, "CD3_3")
    if math.isnan(step):
        step = card_number(header, "CDELT3") * card_number(header, "PC3_3", 1.0)
    if math.isnan(value) or math.isnan(step) or step == 0:
        raise StellacubeError(
            "The cube has no wavelength axis (CRVAL3 and CD3_3 or CDELT3 are missing or zero).",
            "Add these header cards; without them no spectrum can be fitted.",
        )
    kind = str(header.get("CTYPE3", "") or "").strip().upper()
    if kind[:4] in {"FREQ", "VELO", "VRAD", "VOPT", "ENER", "WAVN", "ZOPT", "BETA"} or kind.endswith("-TAB"):
        raise StellacubeError(f"The third axis of the cube is {kind}, not a wavelength.", "Resample it to wavelength.")
    offset = step * (np.arange(1, n_wave + 1) - reference)
    if kind.endswith("-LOG"):
        axis = value * np.exp(offset / value)
        notes.append(f"The wavelength axis is logarithmic ({kind}).")
    else:
        axis = value + offset
    wave = axis * _wave_factor(header, axis, notes)
    if step < 0:
        raise StellacubeError("The wavelengths of the cube decrease along the third axis.", "Reverse the cube first.")
    if not _WAVE_RANGE[0] < wave[0] <= wave[-1] < _WAVE_RANGE[1]:
        raise StellacubeError(
            f"The wavelengths of the cube, {wave[0]:.6g} to {wave[-1]:.6g} Angstrom, make no sense.",
            "Check CRVAL3, CRPIX3, CD3_3 and CUNIT3 in its header; a log10 axis has to be resampled first.",
        )
    return wave, _frame(kind, notes), notes


def _wave_factor(header: Any, axis: np.ndarray, notes: list[str]) -> float:
    """Return Angstrom per unit of the axis: from CUNIT3 where it fits the numbers, otherwise from the numbers."""
    text = str(header.get("CUNIT3", "") or "").strip().lower().replace(" ", "")
    name = next((unit for unit, spellings in _UNIT_SPELLINGS.items() if text in spellings), None)
    if name is not None and _WAVE_RANGE[0] < axis[0] * _ANGSTROM_PER[name] < _WAVE_RANGE[1]:
        return _ANGSTROM_PER[name]
    guesses = [unit for unit, size in _ANGSTROM_PER.items() if 2500 < float(np.median(axis)) * size < 25000]
    if len(guesses) != 1:
        raise StellacubeError(
            f"The unit of the wavelength axis ({text or 'CUNIT3 is missing'}) is not understood.",
            "Set CUNIT3 to Angstrom, nm, um or m.",
        )
    said = f"CUNIT3 = '{header['CUNIT3']}' does not fit the numbers" if text else "CUNIT3 is missing"
    notes.append(f"{said}: the wavelengths are taken to be in {guesses[0]}.")
    return _ANGSTROM_PER[guesses[0]]


def _frame(kind: str, notes: list[str]) -> Frame:
    """Tell air from vacuum by CTYPE3."""
    if kind.startswith("AWAV"):
        return "air"
    if kind in {"WAVE", "WAVE-LOG"}:
        return "vacuum"
    notes.append(
        f"CTYPE3 {f'= {kind!r}' if kind else 'is missing'}: the wavelengths are taken to be in air, as MUSE's are."
    )
    return "air"


def celestial_wcs(header: Any) -> tuple[Any, float, list[str]]:
    """Read the two sky axes, whatever the third one looks like.

    Returns
    -------
    wcs : astropy.wcs.WCS or None
        Two-dimensional; None where the cube has no right ascension and declination.
    pixel_scale : float
        Side of a spaxel in arcsec (square root of its area); NaN without wcs.
    notes : list of str
    """
    from astropy.io import fits
    from astropy.wcs import WCS, FITSFixedWarning
    from astropy.wcs.utils import proj_plane_pixel_area

    types = [str(header.get(f"CTYPE{axis}", "") or "").strip().upper() for axis in (1, 2)]
    if sorted(kind[:4].rstrip("-") for kind in types) != ["DEC", "RA"]:
        said = " and ".join(repr(kind) for kind in types if kind) or "no CTYPE1 and CTYPE2"
        return None, math.nan, [f"The cube has no sky coordinates ({said}): stars are placed by x and y."]
    flat = fits.Header()
    matrix = "CD" if "CD1_1" in header or "CD2_2" in header else "PC"
    wanted = re.compile(
        rf"(CTYPE|CRVAL|CRPIX|CUNIT{'' if matrix == 'CD' else '|CDELT|CROTA'})[12]$|{matrix}[12]_[12]$|PV[12]_\d+$|"
        r"LONPOLE$|LATPOLE$|RADESYS$|EQUINOX$"
    )
    for card in header.cards:
        if wanted.match(card.keyword) and card.value not in (None, ""):
            flat[card.keyword] = card.value
    for axis in (1, 2):
        flat[f"CUNIT{axis}"] = _sky_unit(flat.get(f"CUNIT{axis}", ""))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(flat, naxis=2)
            area = float(proj_plane_pixel_area(wcs)) * 3600.0**2
            wcs.wcs.set()
    except (ValueError, ArithmeticError, TypeError, np.linalg.LinAlgError) as error:
        return (
            None,
            math.nan,
            [f"The sky coordinates in the header are not usable ({_one_line(error)}): only x and y are."],
        )
    if not (np.isfinite(area) and 1e-8 < area < 1e4):
        return (
            None,
            math.nan,
            ["The sky coordinates in the header have no sensible pixel scale: only x and y are used."],
        )
    notes = []
    if str(flat.get("RADESYS", "")).strip().startswith("FK4") or flat.get("EQUINOX", 2000.0) == 1950.0:
        notes.append("The cube's coordinates are of equinox B1950; a star list in ICRS will not fit on them.")
    return wcs, math.sqrt(area), notes


def _sky_unit(text: Any) -> str:
    """Spell degrees and arcseconds as wcslib wants them."""
    text = str(text).strip().lower()
    return "arcsec" if text.startswith("arcs") else "deg"


def flux_unit(header: Any) -> tuple[str, list[str]]:
    """Return BUNIT; the many spellings of the MUSE unit become the pipeline's own."""
    text = str(header.get("BUNIT", "") or "").strip()
    if not text:
        return "", ["The cube has no flux unit (BUNIT): its numbers are used as they are."]
    power = re.match(r"(10\s*(\*\*|\^)\s*\(?\s*-20\)?|1\.?0?e-20)", text.lower())
    words = sorted(re.findall(r"[a-z]+", text.lower()[power.end() :])) if power else []
    if (
        len(words) == 4
        and words[0] in _UNIT_SPELLINGS["angstrom"]
        and words[1:] in (["cm", "erg", "s"], ["cm", "erg", "sec"])
    ):
        return _FLUX_UNIT, []
    return text, []


def instrument_cards(primary: Any, header: Any) -> dict[str, Any]:
    """Collect instrument, mode, object, exposure time and date from either header; missing ones are "" or NaN."""

    def text(*keys: str) -> str:
        values = (source.get(key) for key in keys for source in (primary, header))
        return next((str(value).strip() for value in values if value not in (None, "")), "")

    instrument = text("INSTRUME").upper()
    mode = text("ESO INS MODE", "HIERARCH ESO INS MODE", "INSMODE")
    if not instrument and text("ESO INS NAME").upper().startswith("MUSE"):
        instrument = "MUSE"
    exptime = card_number(primary, "EXPTIME", card_number(header, "EXPTIME", card_number(primary, "TEXPTIME")))
    return {
        "instrument": instrument,
        "mode": mode,
        "object_name": text("OBJECT", "ESO OBS TARG NAME").removesuffix("(DATA)").strip(),
        "exptime": exptime,
        "date_obs": text("DATE-OBS"),
    }


def velocity_reference(primary: Any, instrument: str) -> tuple[float | str, list[str]]:
    """Find out which velocity correction the wavelengths carry.

    The MUSE pipeline (Weilbacher et al. 2020) corrects to the barycentre unless told otherwise: the applied value is in
    ``ESO DRS MUSE PIXTABLE RVCORR`` where that card survived, the choice in the recipe parameter ``rvcorr``.

    Returns
    -------
    reference : float or {"barycentre", "unknown"}
        The correction in km/s where the header states it (0: none), otherwise whether it has to be computed.
    notes : list of str
    """
    applied = card_number(primary, "ESO DRS MUSE PIXTABLE RVCORR")
    if math.isfinite(applied):
        return applied, []
    choice = ""
    for card in primary.cards:
        if re.fullmatch(r"ESO PRO REC\d+ PARAM\d+ NAME", card.keyword) and str(card.value).strip() == "rvcorr":
            choice = str(primary.get(card.keyword.removesuffix("NAME") + "VALUE", "")).strip().lower()
    system = str(primary.get("SPECSYS", "") or "").strip().upper()
    if choice == "none" or system.startswith("TOPO"):
        return 0.0, []
    if choice in {"bary", "helio"} or system.startswith(("BARY", "HELIO")):
        return "barycentre", []
    if instrument == "MUSE" and choice == "":
        return "barycentre", ["The header does not say so, but MUSE wavelengths are taken to be barycentric."]
    return "unknown", ["The velocity frame of the wavelengths is not known: telluric masks are not shifted."]


def barycentric_correction(primary: Any, header: Any) -> float:
    """Compute the barycentric velocity correction of the observation as seen from Paranal.

    Needs MJD-OBS (or DATE-OBS) and RA, DEC in degrees; the middle of an exposure shorter than two hours is used, and
    the start where more exposures went in. The Earth's rotation tables that ship with astropy are used as they are
    (no network): the error is far below 1 m/s.

    Returns
    -------
    float
        Velocity v in km/s with ``wave_barycentric = wave_observed * (1 + v / c)``; NaN when not knowable.
    """
    from astropy import units as u
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    ra = card_number(primary, "RA", card_number(header, "CRVAL1"))
    dec = card_number(primary, "DEC", card_number(header, "CRVAL2"))
    mjd = card_number(primary, "MJD-OBS", card_number(header, "MJD-OBS"))
    exptime = card_number(primary, "EXPTIME", 0.0)
    if not (math.isfinite(ra) and abs(dec) <= 90):
        return math.nan
    try:
        start = Time(mjd, format="mjd") if math.isfinite(mjd) else Time(str(primary.get("DATE-OBS", "")), format="isot")
    except ValueError:
        return math.nan
    middle = start + (exptime / 2 if 0 < exptime < 7200 else 0.0) * u.s
    site = EarthLocation.from_geodetic(_PARANAL[0] * u.deg, _PARANAL[1] * u.deg, _PARANAL[2] * u.m)
    with (
        warnings.catch_warnings(),
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
    ):
        warnings.simplefilter("ignore")  # dates beyond the tables
        velocity = SkyCoord(ra * u.deg, dec * u.deg).radial_velocity_correction("barycentric", middle, site)
    return float(velocity.to_value(u.km / u.s))


def card_number(header: Any, key: str, default: float = math.nan) -> float:
    """Return a card as a finite number, or `default`."""
    try:
        value = float(header.get(key, math.nan))
    except (TypeError, ValueError):
        return default
    return value if math.isfinite(value) else default


def _one_line(error: Exception) -> str:
    """Shorten wcslib's messages, which fill several lines."""
    return " ".join(str(error).split())[:120]
