"""The stages in their order, with progress, cancel and resume: what window, command line and surveys all call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.catalogue.cuts import CutList, with_cuts
from processing.catalogue.expressions import Condition
from processing.catalogue.table import Catalogue, build_catalogue
from processing.errors import Cancelled, StellacubeError
from processing.extraction.automatic import is_narrow, settle
from processing.extraction.overlay import UnmatchedListError
from processing.labels.result import LOOKS_COMPUTED
from processing.outputs import write_correlations, write_extraction, write_results
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if
from processing.project import RunInputs, describe, extraction_key, fit_key, open_project
from processing.provenance import Provenance, now
from processing.session import Session
from processing.settings import Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from processing.extraction.extract import Extraction
    from processing.labels.fit import LabelFit
    from processing.labels.model_file import LabelModel

log = logging.getLogger(__name__)

__all__ = ["RunInputs", "RunResult", "extract_only", "fit_only", "run"]


@dataclass(frozen=True)
class RunResult:
    """What a run leaves behind."""

    session: Path
    catalogue: Catalogue
    files: tuple[Path, ...]
    """Everything written, the session apart."""
    notes: tuple[str, ...]
    """What the user should know, a sentence each."""
    seconds: dict[str, float]
    """Wall time per stage; that of interrupted attempts is included."""


def run(
    inputs: RunInputs,
    settings: Settings,
    *,
    overwrite: bool = False,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> RunResult:
    """Take a cube and a star list to a catalogue; a run that was interrupted goes on where it stopped.

    Parameters
    ----------
    inputs : RunInputs
        With a cube.
    settings : Settings
    overwrite : bool
        Replace what another run left under the same name.
    progress, cancelled : callable

    Raises
    ------
    StellacubeError
        If an input or the output folder cannot be used; nothing is written over then.
    Cancelled
        If the user wants so; the session keeps what was finished.
    """
    model, files = _load_model(settings)
    with _Run.open(inputs, settings, files, overwrite, progress, cancelled) as work:
        spectra = work.extraction(part(progress, 0.0, 0.75))
        fits = work.fits(spectra, model, part(progress, 0.75, 0.95))
        return work.results(spectra, fits, model, part(progress, 0.95, 1.0))


def fit_only(
    inputs: RunInputs,
    settings: Settings,
    *,
    overwrite: bool = False,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> RunResult:
    """Take spectra that exist already to a catalogue; otherwise as `run`."""
    model, files = _load_model(settings)
    with _Run.open(inputs, settings, files, overwrite, progress, cancelled) as work:
        spectra = work.reading(part(progress, 0.0, 0.1))
        fits = work.fits(spectra, model, part(progress, 0.1, 0.95))
        return work.results(spectra, fits, model, part(progress, 0.95, 1.0))


def extract_only(
    inputs: RunInputs,
    settings: Settings,
    *,
    overwrite: bool = False,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> RunResult:
    """Take a cube and a star list to spectra; a later `run` with the same inputs starts from them."""
    with _Run.open(inputs, settings, (), overwrite, progress, cancelled) as work:
        spectra = work.extraction(part(progress, 0.0, 0.95))
        return work.results(spectra, (), None, part(progress, 0.95, 1.0))


def _load_model(settings: Settings) -> tuple[LabelModel, list[Path]]:
    """Load the model first of all: a wrong name or cut must not cost an extraction."""
    from processing.labels.model_file import load_model, model_files

    for text in settings.catalogue.cuts:
        Condition.parse(text)
    return load_model(settings.fit.model), model_files(settings.fit.model)


@dataclass
class _Run:
    """One run under way."""

    inputs: RunInputs
    settings: Settings
    session: Session
    cancelled: CancelCheck
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def open(
        cls,
        inputs: RunInputs,
        settings: Settings,
        models: Sequence[Path],
        overwrite: bool,
        progress: Progress,
        cancelled: CancelCheck,
    ) -> Iterator[_Run]:
        """Check inputs and outputs, open the session, and log how the run ends."""
        progress(0.0, "Checking the input files")
        files = describe(inputs, models, cancelled)
        with open_project(inputs, files, settings, overwrite) as session:
            try:
                yield cls(inputs, settings, session, cancelled)
            except Cancelled:
                session.log("info", "The run was cancelled; what was finished is kept.")
                raise
            except UnmatchedListError as error:
                drawn = error.drawn(inputs.output("registration.png"))
                session.log("error", str(drawn))
                raise drawn from error
            except StellacubeError as error:
                session.log("error", str(error))
                raise

    def extraction(self, progress: Progress) -> list[StarSpectrum]:
        """Extract the stars of the cube, or take them from the session."""
        if self.inputs.cube is None:
            raise StellacubeError("There is no cube to extract stars from.", "Give a cube, or fit spectra instead.")
        with self._stage("extraction", extraction_key(self.session.inputs, self.settings)) as unfinished:
            if unfinished:
                self._extract(self.inputs.cube, progress)
        return list(self.session.spectra())

    def _extract(self, path: Path, progress: Progress) -> None:
        from processing.cube import MuseCube
        from processing.extraction.extract import extract
        from processing.extraction.pampelmuse import extract_with_pampelmuse, find_executable
        from processing.flux_scale import scale_to_list
        from processing.reference import read_star_list

        if self.settings.pampelmuse.use:
            find_executable(self.settings.pampelmuse.executable)  # before the cube is read, which takes its time
        stars = read_star_list(self.inputs.stars) if self.inputs.stars else None
        with MuseCube.open(path) as cube:
            self.notes += cube.notes
            self.notes += stars.notes if stars else ()
            self.session.set_info("narrow", is_narrow(cube))
            overview = cube.overview(progress=part(progress, 0.0, 0.1), cancelled=self.cancelled)
            engine: Callable[..., Extraction] = extract
            if self.settings.pampelmuse.use:
                engine = partial(extract_with_pampelmuse, folder=self.inputs.output("pampelmuse"))
            extraction = engine(
                cube, stars, self.settings, overview=overview, checkpoint=self.session,
                progress=part(progress, 0.1, 1.0), cancelled=self.cancelled,
            )  # fmt: skip
        self.notes += extraction.notes
        if not extraction.spectra:
            raise StellacubeError("No star could be extracted.", " ".join(extraction.notes))
        if self.settings.exposures.scale_to_list and stars is not None:
            spectra, notes = scale_to_list(extraction.spectra, stars.mag_name)
            extraction = replace(extraction, spectra=spectra)
            self.notes += notes
        if stars is not None and stars.known:
            extraction = replace(extraction, spectra=stars.told(extraction.spectra))
        self.session.set_info("magnitude", stars.mag_name if stars else "instrumental")
        images = {"white": overview.white, "residual": extraction.residual}
        images = {name: image for name, image in images.items() if np.isfinite(image).any()}  # PampelMUSE leaves none
        self.session.put_extraction(extraction.sources, extraction.spectra, images)

    def reading(self, progress: Progress) -> list[StarSpectrum]:
        """Read the user's spectra, or take them from the session."""
        from processing.combine import combine_spectra
        from processing.spectra_io import read_spectra

        with self._stage("extraction", extraction_key(self.session.inputs, self.settings)) as unfinished:
            if unfinished:
                exposures = self.settings.exposures
                spectra, notes = read_spectra(
                    self.inputs.spectra, numbered=not exposures.combine, progress=progress, cancelled=self.cancelled
                )
                self.notes += notes
                if exposures.combine:
                    spectra, notes = combine_spectra(spectra, exposures, cancelled=self.cancelled)
                    self.notes += notes
                self.session.put_spectra(spectra)
        return list(self.session.spectra())

    def fits(self, spectra: list[StarSpectrum], model: LabelModel, progress: Progress) -> list[LabelFit]:
        """Fit all spectra in blocks fixed by their order, so that an interrupted run gives the same labels."""
        from processing.labels.mixture import fit_and_check

        size = max(self.settings.fit.batch, 1)
        with self._stage("fit", fit_key(self.session.inputs, self.settings)):
            done = len(self.session.star_ids("fits"))
            for start in range(done, len(spectra), size):
                stop_if(self.cancelled)
                block = spectra[start : start + size]
                share = part(progress, start / len(spectra), (start + len(block)) / len(spectra))
                fits = fit_and_check(block, model, self.settings, progress=share, cancelled=self.cancelled)
                self.session.put_fits(fits, start)
        return list(self.session.fits())

    def results(
        self,
        spectra: list[StarSpectrum],
        fits: list[LabelFit] | tuple[()],
        model: LabelModel | None,
        progress: Progress,
    ) -> RunResult:
        """Build the catalogue and write everything that the user asked for."""
        progress(0.0, "Writing the results")
        stop_if(self.cancelled)
        narrow = self.session.info("narrow")
        settings = self.settings if narrow is None else settle(self.settings, narrow)[0]
        provenance = Provenance(
            tuple(file for file in self.session.inputs if model or file.role != "model"), settings, created=now()
        )
        if model is not None:
            provenance = replace(provenance, model=model.name, model_version=model.version)
        catalogue = build_catalogue(spectra, fits, model, provenance, self.session.info("magnitude", ""))
        if model is not None and self.settings.catalogue.cuts:
            catalogue = with_cuts(catalogue, CutList("", "", self.settings.catalogue.cuts))
            self.notes.append(f"{catalogue.provenance.history[-1]}.")
        computed = sum(LOOKS_COMPUTED in fit.note for fit in fits)
        if computed:
            self.notes.append(
                f"{computed} of {len(fits)} spectra look computed: they lack what sets real spectra apart from the "
                'physical ones. The network "physical" is made for simulations.'
            )
        start = time.perf_counter()
        files = write_extraction(
            self.inputs, self.session.sources(), spectra, provenance, progress=progress, cancelled=self.cancelled
        )
        pairs = self.session.load("covariance") if self.settings.extraction.covariance else None
        if pairs is not None:
            files.append(write_correlations(self.inputs, pairs))
        if model is not None:
            self.session.put_catalogue(catalogue)
            files += write_results(self.inputs, catalogue)
        self._remove_stale(files)
        self.seconds["writing"] = time.perf_counter() - start
        notes = tuple(dict.fromkeys(self.notes))
        self.session.log("info", f"{len(spectra)} stars, {len(fits)} fits; {len(files)} files written.")
        progress(1.0, "Done")
        return RunResult(self.inputs.session, catalogue, tuple(files), notes, self.seconds)

    def _remove_stale(self, files: list[Path]) -> None:
        """Remove what an earlier run under this name wrote and this one did not: spectra of stars it had besides."""
        names = [path.relative_to(self.inputs.out).as_posix() for path in files]
        earlier = self.session.info("files", [])
        if self.session.info("overwritten", False):
            for name in set(earlier) - set(names):
                (self.inputs.out / name).unlink(missing_ok=True)
            earlier = []
        self.session.set_info("files", sorted({*earlier, *names}))
        self.session.set_info("overwritten", False)

    @contextmanager
    def _stage(self, name: str, key: str) -> Iterator[bool]:
        """Give whether the stage has work left; keep its time and notes when it ends."""
        later = ["fits", "catalogue"]
        tables = later if name == "fit" else [*later, "blocks", "spectra", "stars", "images"]
        stage = self.session.begin(name, key, tables)
        first, start = len(self.notes), time.perf_counter()
        if stage.done:
            self.notes += stage.notes
        yield not stage.done
        if not stage.done:
            self.session.finish(name, time.perf_counter() - start, self.notes[first:])
            self.session.log("info", f"The {name} took {time.perf_counter() - start:.1f} s.")
            for note in self.notes[first:]:
                self.session.log("note", note)
        self.seconds[name] = (self.session.stage(name) or stage).seconds
