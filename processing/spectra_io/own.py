"""Read the binary table of all stars that `write_spectrum_table` wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from astropy.io.fits import HDUList


def is_own_table(hdus: HDUList) -> bool:
    """Tell whether this is a table of ours."""
    return "SPECTRA" in hdus and "FRAME" in hdus["SPECTRA"].header and "WAVE" in hdus


def read_own_table(hdus: HDUList) -> tuple[StarSpectrum, ...]:
    """Return all spectra, exactly as they were written."""
    spectra = []
    for table in (hdu for hdu in hdus if hdu.name == "SPECTRA"):
        wave = hdus["WAVE", table.ver].data.astype(float)
        unit = table.columns["flux"].unit or ""
        has_lsf = "lsf_fwhm" in table.columns.names
        for row in table.data:
            lsf = row["lsf_fwhm"].astype(float) if has_lsf and np.isfinite(row["lsf_fwhm"]).any() else None
            spectra.append(
                StarSpectrum(
                    star_id=json.loads(f'"{row["star_id"]}"'),
                    wave=wave,
                    flux=row["flux"].astype(np.float32),
                    ivar=row["ivar"].astype(np.float32),
                    frame=table.header["FRAME"],
                    flux_unit=unit,
                    lsf_fwhm=lsf,
                    meta=json.loads(row["meta"]),
                    **{name: float(row[name]) for name in ("ra", "dec", "x", "y", "mag", "barycentric")},
                )
            )
    return tuple(spectra)
