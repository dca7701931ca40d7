"""The files of a run's output folder: catalogue, source list, spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from processing.catalogue.export import FORMATS, write_catalogue, write_csv
from processing.extraction.neighbours import find_neighbours
from processing.files import prepare_folder, replacing
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.provenance import Provenance
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from pathlib import Path

    from processing.catalogue.table import Catalogue
    from processing.checkpoint import Block
    from processing.extraction.sources import SourceTable
    from processing.project import RunInputs


def write_results(inputs: RunInputs, catalogue: Catalogue) -> list[Path]:
    """Write the catalogue in every format that the settings name; return the paths."""
    paths = []
    for fmt in catalogue.provenance.settings.catalogue.formats:
        path = inputs.output(f"catalogue{FORMATS.get(fmt, '')}")
        write_catalogue(catalogue, path, fmt)
        paths.append(path)
    return paths


def write_extraction(
    inputs: RunInputs,
    sources: SourceTable | None,
    spectra: Sequence[StarSpectrum],
    provenance: Provenance,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> list[Path]:
    """Write what became of every star of the list and the spectra that this run made; return the paths."""
    from astropy.table import Table

    paths = []
    if sources is not None:
        path = inputs.output("sources.csv")
        table = Table(
            {entry.name: getattr(sources, entry.name) for entry in fields(sources)} | _quality(sources, spectra)
        )
        with replacing(path) as temporary:
            write_csv(table, temporary)
        paths.append(path)
    ours = inputs.cube is not None or provenance.settings.exposures.combine
    if ours and provenance.settings.catalogue.write_spectra:
        paths += _write_spectra(inputs, spectra, provenance, progress, cancelled)
    return paths


def write_correlations(inputs: RunInputs, pairs: Block) -> Path:
    """Write the correlation of the flux errors of pairs of neighbouring stars; return the path."""
    from astropy.table import Table

    path = inputs.output("covariance.csv")
    with replacing(path) as temporary:
        write_csv(Table({name: pairs[name] for name in ("first", "second", "correlation")}), temporary)
    return path


def _quality(sources: SourceTable, spectra: Sequence[StarSpectrum]) -> dict[str, np.ndarray]:
    """Return what is known of each star's spectrum and of its neighbours, shape (n,) each; NaN where nothing is.

    ``snr`` and ``snr_der`` are signal-to-noise per pixel by the errors and by the scatter of neighbouring pixels
    (DER_SNR), ``psf_chi`` the residuals around the star in sigma; distances are in spaxels.
    """
    by_name = {spectrum.star_id: spectrum.meta for spectrum in spectra}
    metas = [by_name.get(str(name), {}) for name in sources.star_id]
    names = ("snr", "snr_der", "contamination", "n_eff", "psf_chi", "psf_residual")
    columns = {name: np.array([float(meta.get(name, np.nan)) for meta in metas]) for name in names}
    widths = [float(meta["psf_fwhm"]) for meta in metas if "psf_fwhm" in meta]
    if widths:
        near = find_neighbours(sources.x, sources.y, sources.flux_predicted, float(np.median(widths)))
        columns["nearest"] = np.where(near.nearest >= 0, sources.star_id[near.nearest], "")
        columns |= {"nearest_dist": near.distance, "nearest_ratio": near.ratio, "blending": near.blending}
    return columns


def _write_spectra(
    inputs: RunInputs,
    spectra: Sequence[StarSpectrum],
    provenance: Provenance,
    progress: Progress,
    cancelled: CancelCheck,
) -> list[Path]:
    from processing.spectra_io import (
        file_name,
        pampelmuse_name,
        write_pampelmuse,
        write_spectrum,
        write_spectrum_table,
    )

    plain = provenance.settings.catalogue.spectra_layout == "pampelmuse"
    write = write_pampelmuse if plain else write_spectrum
    folder = inputs.out / "spectra"
    prepare_folder(folder)
    paths = [inputs.output("spectra.fits")]
    write_spectrum_table(spectra, paths[0], provenance)
    for number, spectrum in enumerate(spectra):
        stop_if(cancelled)
        progress(number / len(spectra), "Writing the spectra")
        name = pampelmuse_name(spectrum, number + 1) if plain else file_name(inputs.project, spectrum.star_id)
        write(spectrum, folder / name, provenance)
        paths.append(folder / name)
    return paths
