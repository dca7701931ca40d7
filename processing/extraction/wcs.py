"""Sky coordinates corrected by a star list: the header's linear terms are changed, its projection is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processing.cube import MuseCube
from processing.errors import StellacubeError
from processing.extraction.overlay import Overlay, UnmatchedListError
from processing.extraction.passbands import band_image, choose_passband
from processing.extraction.peaks import find_peaks, high_pass
from processing.extraction.register import Registration, register
from processing.files import replacing
from processing.progress import CancelCheck, Progress, ignore, never, part
from processing.settings import RegistrationSettings

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from processing.reference import StarList


@dataclass(frozen=True)
class CorrectedWcs:
    """Sky coordinates that a star list has corrected.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        The two sky axes.
    registration : Registration
    pixel_scale : float
        Arcsec per spaxel.
    """

    wcs: WCS
    registration: Registration
    pixel_scale: float

    def facts(self) -> dict[str, str]:
        """Return what was found, as names and values for the user."""
        found, scale = self.registration, self.pixel_scale
        dx, dy = found.offset
        return {
            "matched": f"{found.n_matched} stars",
            "residuals": f'{found.rms:.2f} spaxels, {found.rms * scale:.3f}" rms',
            "shift": f'x {dx:+.2f}, y {dy:+.2f} spaxels; {np.hypot(dx, dy) * scale:.3f}"',
            "rotation": f"{found.rotation:+.4f} degrees",
            "scale": f"{found.scale:.5f}",
        }


def correct_wcs(
    path: Path,
    stars: StarList,
    settings: RegistrationSettings,
    *,
    picture: Path | None = None,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> CorrectedWcs:
    """Register a star list with a cube and put the correction into the cube's sky coordinates.

    Parameters
    ----------
    path : Path
        The cube.
    stars : StarList
    settings : RegistrationSettings
    picture : Path, optional
        Where to draw list and image, whether they match or not.

    Raises
    ------
    StellacubeError
        If cube or list have no sky coordinates, or they do not match.
    """
    with MuseCube.open(path) as cube:
        if cube.wcs is None or not np.isfinite(stars.ra + stars.dec).any():
            raise StellacubeError(
                f"{path.name if cube.wcs is None else stars.source} has no sky coordinates to correct.",
                "A cube with celestial coordinates and a list with ra and dec are needed.",
            )
        overview = cube.overview(progress=part(progress, 0.0, 0.8), cancelled=cancelled)
        image = band_image(cube.wave, overview, choose_passband(settings.passband, stars.mag_name)).image
        try:
            found = register(cube, stars, image, settings, progress=part(progress, 0.8, 1.0), cancelled=cancelled)
        except UnmatchedListError as error:
            raise (error.drawn(picture) if picture else error) from None
        x, y = stars.positions(cube)
        wcs, scale = cube.wcs.deepcopy(), cube.pixel_scale
    if picture:
        peaks = find_peaks(high_pass(image), found.fwhm)
        Overlay(image, x, y, found.x, found.y, stars.mag, peaks.x, peaks.y, stars.source).write(picture)
    # A star that the old header puts at p (0-based) is at c + A (p - c) + t.
    centre = (np.array(image.shape[::-1]) - 1) / 2.0
    linear = found.matrix[:, :2] + np.eye(2)
    degrees = wcs.pixel_scale_matrix @ np.linalg.inv(linear)
    wcs.wcs.crpix = linear @ (wcs.wcs.crpix - 1.0 - centre) + centre + found.matrix[:, 2] + 1.0
    if wcs.wcs.has_cd():
        wcs.wcs.cd = degrees
    else:
        wcs.wcs.pc, wcs.wcs.cdelt = degrees, np.ones(2)
    wcs.wcs.set()
    return CorrectedWcs(wcs, found, scale)


def write_header(corrected: CorrectedWcs, path: Path) -> None:
    """Write the corrected sky coordinates as a FITS file of a header alone."""
    from astropy.io import fits

    with replacing(path) as temporary:
        fits.PrimaryHDU(header=corrected.wcs.to_header()).writeto(temporary)


def write_corrected_cube(cube: Path, corrected: CorrectedWcs, path: Path) -> None:
    """Write a copy of the cube with the corrected coordinates in all its extensions; the data pass in pieces."""
    from astropy.io import fits

    with replacing(path) as temporary, fits.open(cube, memmap=True, disable_image_compression=True) as hdus:
        for hdu in hdus:
            if str(hdu.header.get("CTYPE1", "")).startswith("RA"):
                _put(corrected.wcs, hdu.header)
        hdus.writeto(temporary, output_verify="silentfix")


def _put(wcs: WCS, header: Any) -> None:
    """Write reference spaxel and matrix into a header, as CD or as PC, whichever it has."""
    matrix = "CD" if "CD1_1" in header or "CD2_2" in header else "PC"
    degrees = wcs.pixel_scale_matrix
    for i in (1, 2):
        header[f"CRPIX{i}"], header[f"CUNIT{i}"] = float(wcs.wcs.crpix[i - 1]), "deg"
        header.remove(f"CROTA{i}", ignore_missing=True)
        if matrix == "PC":
            header[f"CDELT{i}"] = 1.0
        for j in (1, 2):
            header[f"{matrix}{i}_{j}"] = float(degrees[i - 1, j - 1])
