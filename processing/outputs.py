"""The files of a run's output folder: catalogue, source list, spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from processing.catalogue.export import FORMATS, write_catalogue, write_csv
from processing.files import prepare_folder, replacing
from processing.progress import CancelCheck, Progress, ignore, never, stop_if
from processing.provenance import Provenance
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from pathlib import Path

    from processing.catalogue.table import Catalogue
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
        table = Table({entry.name: getattr(sources, entry.name) for entry in fields(sources)})
        with replacing(path) as temporary:
            write_csv(table, temporary)
        paths.append(path)
    ours = inputs.cube is not None or provenance.settings.exposures.combine
    if ours and provenance.settings.catalogue.write_spectra:
        paths += _write_spectra(inputs, spectra, provenance, progress, cancelled)
    return paths


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
