"""What a report says of one star, gathered from a session; and the report's file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import processing
from processing.errors import StellacubeError
from processing.files import replacing
from processing.labels.refit import Refit
from processing.preparation.masks import reasons_of
from processing.report.evidence import LabelRow, label_rows
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.labels.fit import LabelFit
    from processing.session import Session

CUT_OUT = 12
"""Spaxels on either side of the star in its image."""


@dataclass(frozen=True)
class StarReport:
    """All that stands in a star's report.

    Parameters
    ----------
    spectrum : StarSpectrum
    fit : LabelFit
    rows : tuple of LabelRow
        Velocity and labels.
    quality, reason : str
    recipe : str
        In what the fit differs from the run's own; empty for the run's own.
    masked : tuple of (str, int)
        Reasons why pixels were not fitted, and how many.
    image : ndarray, shape (2 CUT_OUT + 1, 2 CUT_OUT + 1), or None
        White light about the star, NaN outside of the field.
    centre : tuple of float
        The star in `image`, 0-based (x, y).
    provenance : str
    """

    spectrum: StarSpectrum
    fit: LabelFit
    rows: tuple[LabelRow, ...]
    quality: str
    reason: str
    recipe: str
    masked: tuple[tuple[str, int], ...]
    image: np.ndarray | None
    centre: tuple[float, float]
    provenance: str


def read_star(
    session: Session, star_id: str, *, refit: Refit | None = None, white: np.ndarray | None = None
) -> StarReport:
    """Gather the report of a star.

    Parameters
    ----------
    session : Session
    star_id : str
    refit : Refit or None
        None for the run's own fit.
    white : ndarray, shape (ny, nx), or None
        White-light image; None: the one in the session, if there is one.

    Raises
    ------
    StellacubeError
        If the star has no spectrum or no fit.
    """
    if star_id not in session.star_ids("fits"):
        raise StellacubeError(
            f"There is no fit of a star {star_id} in {session.path}.",
            "The catalogue lists the stars that were fitted; names must be written as there.",
        )
    spectrum = session.spectrum(star_id)
    fit = refit.fit if refit is not None else session.fit(star_id)
    settings = refit.settings if refit is not None else session.settings
    quality, reason = _quality(session, star_id) if refit is None else ("", fit.note)
    white = session.image("white") if white is None else white
    image, centre = _cut_out(white, spectrum.x, spectrum.y)
    return StarReport(
        spectrum=spectrum,
        fit=fit,
        rows=tuple(label_rows(fit, settings.evidence)),
        quality=quality,
        reason=reason,
        recipe=str(refit.recipe) if refit is not None else "",
        masked=tuple((name, count) for name, count in reasons_of(fit.mask_reason.astype(np.uint16)).items() if count),
        image=image,
        centre=centre,
        provenance=_provenance(session, refit),
    )


def _quality(session: Session, star_id: str) -> tuple[str, str]:
    """Return the catalogue's word on a star."""
    catalogue = session.catalogue()
    if catalogue is None:
        return "", ""
    row = catalogue.table[np.asarray(catalogue.table["stellar_id"]).astype(str) == star_id]
    return (str(row["quality"][0]), str(row["quality_reason"][0])) if len(row) else ("", "")


def _cut_out(white: np.ndarray | None, x: float, y: float) -> tuple[np.ndarray | None, tuple[float, float]]:
    """Cut a square about a star out of an image, NaN beyond the image's edges."""
    if white is None or not (np.isfinite(x) and np.isfinite(y)):
        return None, (0.0, 0.0)
    column, row = round(x), round(y)
    padded = np.pad(np.asarray(white, float), CUT_OUT, constant_values=np.nan)
    size = 2 * CUT_OUT + 1
    if not (0 <= row < white.shape[0] and 0 <= column < white.shape[1]):
        return None, (0.0, 0.0)
    return padded[row : row + size, column : column + size], (x - column + CUT_OUT, y - row + CUT_OUT)


def _provenance(session: Session, refit: Refit | None) -> str:
    catalogue = session.catalogue()
    created = refit.created if refit is not None else catalogue.provenance.created if catalogue is not None else ""
    model, version = (refit.model, refit.model_version) if refit is not None else ("", "")
    if refit is None and catalogue is not None:
        model, version = catalogue.provenance.model, catalogue.provenance.model_version
    files = ", ".join(f"{file.name} ({file.fingerprint[:8]})" for file in session.inputs if file.role != "model")
    network = f"network {model} {version}".strip() if model else ""
    parts = (f"Stellacube {processing.__version__}", network, files, f"{created} UTC" if created else "")
    return " · ".join(part for part in parts if part)


def write_report(star: StarReport, path: Path) -> Path:
    """Write one star's report, by the path's suffix as PDF or PNG; without one as PDF."""
    from processing.report.figure import draw

    path = path if path.suffix else path.with_suffix(".pdf")
    if path.suffix.lower() not in (".pdf", ".png"):
        raise StellacubeError(f"Reports are not written as {path.suffix}.", "Use .pdf or .png.")
    figure = draw(star)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path


def write_reports(stars: Iterable[StarReport], path: Path) -> Path:
    """Write the reports of several stars into one PDF, a page for each."""
    from matplotlib.backends.backend_pdf import PdfPages

    from processing.report.figure import draw

    with replacing(path) as temporary, PdfPages(temporary) as pages:
        for star in stars:
            pages.savefig(draw(star))
    return path
