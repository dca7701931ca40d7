"""Which column of a star list is what, and its cells as numbers: names, units, UCDs, missing values, sexagesimal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np

from processing.star_files import RawColumn, RawTable

_RA = (
    "ra",
    "raicrs",
    "rade",
    "radeg",
    "radegrees",
    "radegree",
    "raj2000",
    "alphaj2000",
    "rightascension",
    "rajd",
    "raep2000",
)
_RA_LATE = ("alphasky", "alpha", "alphawinj2000", "alphapsfj2000", "meanra", "ramean", "ragaia", "rahst", "ra1", "lon")
_RA_NAMES = (*_RA, "rahms", "ra2000", *_RA_LATE)
_X_NAMES = ("x", "xpix", "xpixel", "xspaxel", "xcentroid", "xfit", "xcenter", "xcentre", "xcen", "xpos", "xc", "xcoord")
_X_FITS = ("xfits", "ximage", "xwinimage", "xpsfimage", "xmodelimage", "xpeakimage")
_ID_NAMES = (
    "sourceid",
    "id",
    "starid",
    "star",
    "starname",
    "name",
    "designation",
    "objid",
    "objectid",
    "mainid",
    "number",
)
_ID_LATE = ("gaiaid", "gaia", "dr3name", "edr3name", "dr2name", "source", "object", "identifier", "ident", "num", "no")
_PM_RA_NAMES = ("pmra", "pmracosdec", "muracosdec", "muastar", "mura", "muacosd", "pmracosde", "pmalphastar")
_EPOCH_NAMES = ("refepoch", "epoch", "epra", "meanepoch", "ep", "obsepoch")
_NOT_A_VALUE = re.compile(
    r"(^|_)(e|err|error|sig|sigma|rms|std|unc|flag|n|q|corr?)_|_?(err(or)?|sigma?|rms|unc|flag|corr?)$"
)

_MAGNITUDES = (
    ("V", r"(mag_?|m_?)?v(_?mag|_?0|_?johnson|_?vega)?|johnson_?v"),
    ("G", r"phot_g_mean_mag|(mag_?|gaia_?)?g(_?mag)?|gmag|rp?_?gmag"),
    ("F606W", r".*f?606(w|_?mag)?(_?mag|_?vega)?"),
    ("F814W", r".*f?814(w|_?mag)?(_?mag|_?vega)?"),
    ("I", r"(mag_?|m_?)?i(_?mag|c|_?cousins)?"),
    ("any", r"mag(nitude)?|mag_?(auto|best|psf|aper|iso|model|fit|inst)\w*|.*\bmagnitude"),
    ("R", r"(mag_?)?r(_?mag)?|phot_rp_mean_mag"),
    ("filter", r".*f\d{3}(w|m|lp)(_?mag)?"),
    ("other", r".*mag\d*|mag.*|.*mag(_\w+)?"),
)
_NO_MAGNITUDE = re.compile(
    r"absmag|^m_abs|color|colour|extinction|^[aej]_?[bv]|^ag_|ebv|^n_|phot_g_n|mag_?(lim|zero|zp)"
)
_COLOUR = re.compile(r"^[a-z]{1,2}p?\d?\s*[-]\s*[a-z]{1,2}p?\d?$|^(bp_rp|bp_g|g_rp|b_v|v_i|g_r|j_k)$")
_BLANKS = {"", "-", "--", "---", "n/a", "na", "nan", "null", "none", "indef", "...", '""', "masked", "inf", "-inf"}
_SENTINELS = (-99.0, -99.9, -99.99, -99.999, -99.9999, -999.0, -999.9, -999.99, -9999.0, -9999.99, -99999.0)
_SEXAGESIMAL = re.compile(r"^([+-]?)\s*(\d+)\s*[:hd°\s]\s*(\d+(?:\.\d+)?)\s*[:m'′\s]?\s*(\d+(?:\.\d*)?)?\s*[s\"″]?$")


def squeeze(name: str) -> str:
    """Return a column name without case, underscores, blanks and brackets: ``_RAJ2000`` becomes ``raj2000``."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\(.*?\)|\[.*?\]", "", name.lower()))


def find(table: RawTable, names: Iterable[str], ucds: tuple[str, ...] = ()) -> RawColumn | None:
    """Return the first column with one of the names, in the order of preference, or else with one of the UCDs."""
    squeezed: dict[str, RawColumn] = {}
    for column in table.columns:
        squeezed.setdefault(squeeze(column.name), column)
    for name in names:
        if name in squeezed:
            return squeezed[name]
    for ucd in ucds:
        for column in table.columns:
            if column.ucd.startswith(ucd) and "b19" not in squeeze(column.name):
                return column
    return None


def sky_columns(table: RawTable) -> tuple[RawColumn, RawColumn] | None:
    """Return right ascension and declination, or None."""
    for name in _RA_NAMES:
        for other in _declination_names(name):
            ra, dec = find(table, [name]), find(table, [other])
            if ra is not None and dec is not None:
                return ra, dec
    if (parts := _sexagesimal_parts(table)) is not None:
        return parts
    ra = find(table, (), ("pos.eq.ra;meta.main", "pos_eq_ra_main", "pos.eq.ra", "pos_eq_ra"))
    dec = find(table, (), ("pos.eq.dec;meta.main", "pos_eq_dec_main", "pos.eq.dec", "pos_eq_dec"))
    return (ra, dec) if ra is not None and dec is not None else None


def _sexagesimal_parts(table: RawTable) -> tuple[RawColumn, RawColumn] | None:
    """Put together the columns RAh, RAm, RAs and DE-, DEd, DEm, DEs of the CDS's tables."""
    parts = [find(table, [name]) for name in ("rah", "ram", "ras", "ded", "dem", "des")]
    if any(part is None for part in parts):
        return None
    hours, minutes, seconds, degs, arcmin, arcsec = (numbers(part) for part in parts if part is not None)
    sign_column = next((column for column in table.columns if column.name in {"DE-", "DEC-", "Dec-"}), None)
    south = np.char.strip(sign_column.values.astype(str)) == "-" if sign_column is not None else np.signbit(degs)
    ra = 15.0 * (hours + minutes / 60 + seconds / 3600)
    dec = np.where(south, -1.0, 1.0) * (np.abs(degs) + arcmin / 60 + arcsec / 3600)
    return RawColumn("RAh RAm RAs", ra), RawColumn("DEd DEm DEs", dec)


def _declination_names(ra: str) -> tuple[str, ...]:
    """Return the names that the declination beside a right ascension may have."""
    swapped = [ra.replace(old, new, 1) for old, new in (("ra", "dec"), ("ra", "de"), ("rightascension", "declination"))]
    swapped += [ra.replace("alpha", "delta"), ra.replace("lon", "lat"), "decdms", "dec", "de"]
    return tuple(name for name in dict.fromkeys(swapped) if name != ra)


def pixel_columns(table: RawTable) -> tuple[RawColumn, RawColumn, bool] | None:
    """Return x, y and whether they count from 1, or None.

    The program counts from 0 at the centre of the first spaxel. Columns of SExtractor (X_IMAGE) count from 1, and so do
    others where the column's description or the remarks of the table say "1-based" or "FITS pixel".
    """
    for name in (*_X_NAMES, *_X_FITS):
        x, y = find(table, [name]), find(table, ["y" + name[1:]])
        if x is not None and y is not None:
            said = f"{table.remarks} {x.description} {x.unit} {x.name}".lower()
            from_one = name in _X_FITS or bool(
                re.search(r"1[- ]based|one[- ]based|fits[- _]?pix|fits convention", said)
            )
            return x, y, from_one
    return None


def id_column(table: RawTable) -> RawColumn | None:
    """Return the column of names or numbers of the stars."""
    return find(table, (*_ID_NAMES, *_ID_LATE), ("meta.id;meta.main", "id_main", "meta.id"))


def motion_columns(table: RawTable) -> tuple[RawColumn, RawColumn] | None:
    """Return the proper motions in right ascension (cos(dec) included) and declination."""
    for name in _PM_RA_NAMES:
        bare = name.replace("cosdec", "").replace("cosde", "").replace("cosd", "").replace("star", "")
        others = [
            bare.replace("ra", "dec"),
            bare.replace("ra", "de"),
            bare.replace("mua", "mud"),
            bare.replace("alpha", "delta"),
        ]
        pm_ra, pm_dec = find(table, [name]), find(table, [other for other in others if other != name])
        if pm_ra is not None and pm_dec is not None:
            return pm_ra, pm_dec
    return None


def epoch_column(table: RawTable) -> RawColumn | None:
    """Return the epoch of the positions in years."""
    return find(table, _EPOCH_NAMES)


def magnitude_columns(table: RawTable) -> list[RawColumn]:
    """Return what may be magnitudes: V, G, F606W, F814W and I come first; errors, colours and extinctions never."""
    found: list[RawColumn] = []
    usable = [column for column in table.columns if _may_be_magnitude(column)]
    for band, pattern in _MAGNITUDES:
        for column in usable:
            name = column.name.strip().lower().replace("-", "_").replace(" ", "_")
            by_ucd = column.ucd.startswith("phot.mag") and f"em.opt.{band.lower()}" in column.ucd
            if (re.fullmatch(pattern, name) or by_ucd) and column not in found:
                found.append(column)
    return found + [column for column in usable if column.unit.lower().startswith("mag") and column not in found]


def _may_be_magnitude(column: RawColumn) -> bool:
    """Exclude errors, colours, extinctions, counts and other things that are called like magnitudes."""
    name = column.name.strip().lower()
    if _NOT_A_VALUE.search(name) or _NO_MAGNITUDE.search(name) or _COLOUR.match(name):
        return False
    if column.ucd.startswith(("stat.", "phot.color", "phot.flux", "phys.absorption")):
        return False
    return len(name) > 1 or column.values.dtype.kind not in "iu"  # an index may be called i or v


def numbers(column: RawColumn) -> np.ndarray:
    """Return the cells as float64; what is blank, no number, or a stand-in like -99.99 or -9999 is NaN."""
    values = column.values
    if values.dtype.kind in "US":
        values = np.array([_number(text) for text in values])
    values = values.astype(float)
    return np.where(np.isfinite(values) & ~np.isin(np.round(values, 4), _SENTINELS), values, np.nan)


def magnitudes(column: RawColumn) -> np.ndarray:
    """Return magnitudes; beyond -30 and 50, where 99.999 and its like are, they are missing."""
    values = numbers(column)
    return np.where((values > -30) & (values < 50), values, np.nan)


def degrees(column: RawColumn, *, is_ra: bool) -> np.ndarray:
    """Return angles in degrees from degrees, radians, hours, or sexagesimal text (hours where it is an ascension)."""
    unit = column.unit.strip().lower()
    if column.values.dtype.kind in "US":
        angles = np.array([_angle(text, is_ra and not unit.startswith("deg")) for text in column.values])
    else:
        angles = column.values.astype(float)
    if unit in {"rad", "radian", "radians"}:
        angles = np.degrees(angles)
    elif is_ra and unit in {"h", "hr", "hour", "hours", "hourangle"} and column.values.dtype.kind not in "US":
        angles = angles * 15.0
    if is_ra:
        return np.where((angles >= -180) & (angles <= 360), angles % 360.0, np.nan)
    return np.where((np.abs(angles) <= 90) & ~np.isin(np.round(angles, 4), _SENTINELS), angles, np.nan)


def _number(text: str) -> float:
    """Read a number with a decimal point or comma; NaN where it is none."""
    text = text.strip().strip("'\"")
    if text.lower() in _BLANKS:
        return math.nan
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return math.nan


def _angle(text: str, in_hours: bool) -> float:
    """Read degrees, or sexagesimal text such as 00:24:05.67, 00 24 05.67 or 0h24m05.67s."""
    value = _number(text)
    if math.isfinite(value):
        return value
    match = _SEXAGESIMAL.match(text.strip().strip("'\"").lower())
    if not match:
        return math.nan
    sign, first, second, third = match.groups()
    value = float(first) + float(second) / 60 + float(third or 0) / 3600
    if float(second) >= 60 or float(third or 0) > 60:
        return math.nan
    factor = 15.0 if in_hours and "d" not in text.lower() and "°" not in text else 1.0
    return -value * factor if sign == "-" else value * factor
