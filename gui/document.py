"""What is open: cube, stars, results; and the reads that panels ask of it, answered off the GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PySide6.QtCore import QObject, Signal, Slot

from gui.display import limits, symmetric
from gui.evidence import read_gradients
from gui.jobs import Failure, Job, JobRunner, LatestReader
from gui.opening import Opened, open_paths, open_session, read_overview
from gui.star_rows import StarRows, rows_from_list
from processing.progress import CancelCheck, Progress
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from gui.selection import Aperture
    from processing.catalogue.table import Catalogue
    from processing.cube import CubeOverview, MuseCube
    from processing.labels.fit import LabelFit
    from processing.labels.gradients import GradientSpectra
    from processing.labels.refit import Range
    from processing.reference import StarList
    from processing.session import Session

Picture = Literal["white", "slice", "band", "residual"]
QUICK_LOOK_RADIUS = 3.0
"""Spaxels: a star without an extracted spectrum is shown as the sum within this radius."""


@dataclass(frozen=True)
class ShownImage:
    """An image ready to be drawn."""

    picture: Picture
    index: int
    """Layer of a slice; -1 otherwise."""
    pixels: np.ndarray
    """(ny, nx), native float32, NaN where there is nothing."""
    low: float
    high: float


@dataclass(frozen=True)
class ShownSpectrum:
    """A spectrum ready to be drawn."""

    title: str
    observed: StarSpectrum | None
    fit: LabelFit | None = None
    preview: bool = False
    """True for the spaxel under the mouse, which goes when the mouse goes."""


class Document(QObject):
    """The open cube, star list and results; None where nothing is open."""

    cube_changed = Signal()
    overview_changed = Signal()
    rows_changed = Signal()
    results_changed = Signal()
    noted = Signal(str)
    image_ready = Signal(object)
    """A `ShownImage`."""
    spectrum_ready = Signal(object)
    """A `ShownSpectrum`."""
    several_ready = Signal(object)
    """A list of `ShownSpectrum`."""
    gradients_ready = Signal(str, object)
    """A star's name and its `GradientSpectra`."""
    read_failed = Signal(object)
    """A `Failure`."""

    def __init__(self, runner: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runner = runner
        self._images = LatestReader(self)
        self._spectra = LatestReader(self)
        self._evidence = LatestReader(self)
        self._several = LatestReader(self)
        self._images.answered.connect(self._on_image)
        self._spectra.answered.connect(self._on_spectrum)
        self._evidence.answered.connect(self._on_gradients)
        self._several.answered.connect(self._on_several)
        for reader in self._readers:
            reader.failed.connect(self._on_read_failed)
        self._overview_job: Job | None = None
        self._forget()

    def _forget(self) -> None:
        self.cube: MuseCube | None = None
        self.overview: CubeOverview | None = None
        self.stars: StarList | None = None
        self.session: Session | None = None
        self.catalogue: Catalogue | None = None
        self.rows: StarRows | None = None
        self.residual: np.ndarray | None = None
        self.spectra: tuple[Path, ...] = ()
        self.loaded: tuple[StarSpectrum, ...] = ()
        self.cube_path: Path | None = None
        self.stars_path: Path | None = None

    @property
    def _readers(self) -> tuple[LatestReader, ...]:
        return self._images, self._spectra, self._evidence, self._several

    @property
    def empty(self) -> bool:
        """True when nothing is open."""
        return self.cube is None and self.rows is None and not self.spectra

    @property
    def title(self) -> str:
        """What the open field is called."""
        if self.cube is not None and self.cube_path is not None:
            return self.cube.object_name or self.cube_path.name.partition(".")[0]
        if self.session is not None:
            return str(Path(self.session.path).stem)
        if self.spectra:
            return f"{len(self.loaded)} spectra"
        return self.stars_path.stem if self.stars_path else ""

    @property
    def opening(self) -> bool:
        """True while files are being opened."""
        return any(job.title.startswith("Opening") for job in self._runner.jobs)

    # Opening and closing

    def open(self, paths: Sequence[Path], failed: Callable[[Failure], None]) -> Job:
        """Open what was dropped or chosen; it takes the place of what is open of the same kind."""
        names = ", ".join(path.name for path in paths[:2]) + (" …" if len(paths) > 2 else "")
        stage = partial(open_paths, tuple(paths), self.cube)
        return self._runner.start(f"Opening {names}", stage, succeeded=self._on_opened, failed=failed)

    def show_run(self, session: Path, failed: Callable[[Failure], None]) -> Job:
        """Show a run that has just finished."""

        def stage(*, progress: Progress, cancelled: CancelCheck) -> Opened:
            return open_session(session)

        return self._runner.start(f"Opening {session.name}", stage, succeeded=self._on_opened, failed=failed)

    @Slot(object)
    def _on_opened(self, opened: Opened) -> None:
        same_cube = opened.cube is not None and opened.cube_path == self.cube_path and opened.session is not None
        if opened.cube is not None or opened.session is not None or opened.spectra:
            kept = (self.cube, self.overview) if same_cube else (None, None)
            stars, stars_path = (self.stars, self.stars_path) if opened.cube is not None else (None, None)
            self._close_files(keep_cube=same_cube)
            self._forget()
            self.cube, self.overview = kept
            if opened.session is None and opened.stars is None and stars is not None:
                self.stars, self.stars_path = stars, stars_path
        if opened.cube is not None:
            if same_cube:
                opened.cube.close()
            else:
                self.cube = opened.cube
            self.cube_path = opened.cube_path
        self.session = opened.session or self.session
        self.catalogue = opened.catalogue
        self.residual = opened.residual
        self.spectra, self.loaded = opened.spectra, opened.loaded
        self._take_stars(opened)
        if not same_cube:
            self.cube_changed.emit()
        self.rows_changed.emit()
        self.results_changed.emit()
        if self.cube is not None and self.overview is None and opened.cube is not None:
            self._start_overview()
        for note in opened.notes:
            self.noted.emit(note)

    def _take_stars(self, opened: Opened) -> None:
        if opened.stars is not None:
            self.stars, self.stars_path, self.session = opened.stars, opened.stars_path, None
        elif opened.session is not None:
            self.stars_path = opened.stars_path
        if opened.rows is not None:
            self.rows = opened.rows
        elif self.stars is not None:
            self.rows = rows_from_list(self.stars, self.cube)

    def close(self) -> None:
        """Close everything that is open."""
        self._close_files()
        self._forget()
        self.cube_changed.emit()
        self.rows_changed.emit()
        self.results_changed.emit()

    def shut_down(self) -> None:
        """End the reading threads and close the files; nothing is shown any more."""
        for reader in self._readers:
            reader.shut_down()
        self.blockSignals(True)
        self._close_files()
        self._forget()

    def _close_files(self, keep_cube: bool = False) -> None:
        for reader in self._readers:
            reader.forget()
        if self._overview_job is not None and not keep_cube:
            self._overview_job.shut_down()
            self._overview_job = None
        if self.cube is not None and not keep_cube:
            self.cube.close()
        if self.session is not None:
            self.session.close()

    # The one pass over the cube

    def _start_overview(self) -> None:
        if self.cube is not None:
            stage = partial(read_overview, self.cube)
            self._overview_job = self._runner.start(
                "Reading white light", stage, succeeded=self._on_overview, failed=self._on_overview_failed
            )

    @Slot(object)
    def _on_overview(self, overview: CubeOverview) -> None:
        self.overview = overview
        self._overview_job = None
        self.overview_changed.emit()

    @Slot(object)
    def _on_overview_failed(self, failure: Failure) -> None:
        self._overview_job = None
        self.read_failed.emit(failure)

    # Reads

    def ask_image(self, picture: Picture, index: int, rule: str) -> None:
        """Ask for an image; it arrives with `image_ready`, the newest at last."""
        cube = self.cube
        if picture == "slice" and cube is not None:
            self._images.request((picture, index), partial(_slice, cube, index, rule))
        elif picture == "white" and self.overview is not None:
            self._images.request((picture, -1), partial(_still, "white", self.overview.white, rule))
        elif picture == "residual" and self.residual is not None:
            self._images.request((picture, -1), partial(_still, "residual", self.residual, rule))

    def ask_band(self, low: float, high: float, rule: str) -> None:
        """Ask for the mean image between two wavelengths in Angstrom."""
        if self.cube is not None:
            self._images.request(("band", low, high), partial(_band, self.cube, low, high, rule))

    def ask_aperture(self, aperture: Aperture) -> None:
        """Ask for the spectrum in a circle."""
        if self.cube is not None:
            self._spectra.request(aperture, partial(_aperture, self.cube, aperture))

    def ask_spaxel(self, x: int, y: int, preview: bool = False) -> None:
        """Ask for the spectrum of one spaxel."""
        if self.cube is not None:
            self._spectra.request(("spaxel", x, y), partial(_spaxel, self.cube, x, y, preview))

    def ask_star(self, star_id: str) -> None:
        """Ask for a star's spectrum and fit; before a run, for the sum of the spaxels around it."""
        read = self._star_reader(star_id)
        if read is not None:
            self._spectra.request(("star", star_id), read)

    def refit(self, star_id: str, masks: Sequence[Range]) -> None:
        """Fit a star again without some wavelength ranges; the fit arrives as a spectrum to be shown."""
        if self.session is not None:
            stage = partial(_refit, self.session, star_id, tuple(masks))
            self._runner.start(
                f"Fitting {star_id} again", stage, succeeded=self._on_refitted, failed=self._on_refit_failed
            )

    @Slot(object)
    def _on_refitted(self, shown: ShownSpectrum) -> None:
        self.spectrum_ready.emit(shown)

    @Slot(object)
    def _on_refit_failed(self, failure: Failure) -> None:
        self.read_failed.emit(failure)

    def ask_several(self, star_ids: Sequence[str]) -> None:
        """Ask for the spectra and fits of several stars."""
        reads = [read for read in map(self._star_reader, star_ids) if read is not None]
        self._several.request(tuple(star_ids), partial(_all, reads))

    def _star_reader(self, star_id: str) -> Callable[[], ShownSpectrum] | None:
        """Return what reads a star's spectrum in a thread; None where there is nothing to read."""
        if self.rows is None or star_id not in self.rows.index:
            return None
        row = self.rows.index[star_id]
        if self.session is not None:
            return partial(_star, self.session, star_id, self.rows.reason[row])
        if self.loaded:
            return partial(ShownSpectrum, star_id, self.loaded[row])
        if self.cube is not None:
            return partial(_quick_look, self.cube, star_id, float(self.rows.x[row]), float(self.rows.y[row]))
        return None

    def ask_gradients(self, fit: LabelFit) -> None:
        """Ask which pixels make a star's labels."""
        if self.session is not None and np.isfinite(fit.values).all():
            self._evidence.request(fit.star_id, partial(read_gradients, fit, self.session.settings.fit.model))

    @Slot(object, object)
    def _on_gradients(self, star_id: str, gradients: GradientSpectra) -> None:
        self.gradients_ready.emit(star_id, gradients)

    @Slot(object, object)
    def _on_several(self, key: object, spectra: list[ShownSpectrum]) -> None:
        self.several_ready.emit(spectra)

    @Slot(object, object)
    def _on_image(self, key: object, image: ShownImage) -> None:
        self.image_ready.emit(image)

    @Slot(object, object)
    def _on_spectrum(self, key: object, spectrum: ShownSpectrum) -> None:
        self.spectrum_ready.emit(spectrum)

    @Slot(object, object)
    def _on_read_failed(self, key: object, failure: Failure) -> None:
        self.read_failed.emit(failure)


def _all(reads: Sequence[Callable[[], ShownSpectrum]]) -> list[ShownSpectrum]:
    return [read() for read in reads]


def _slice(cube: MuseCube, index: int, rule: str) -> ShownImage:
    pixels = np.asarray(cube.layer(index), dtype=np.float32)
    return ShownImage("slice", index, pixels, *limits(pixels, rule))


def _band(cube: MuseCube, low: float, high: float, rule: str) -> ShownImage:
    pixels = cube.band_image(low, high)
    return ShownImage("band", -1, pixels, *limits(pixels, rule))


def _still(picture: Picture, image: np.ndarray, rule: str) -> ShownImage:
    pixels = np.asarray(image, dtype=np.float32)
    find = symmetric if picture == "residual" else limits
    return ShownImage(picture, -1, pixels, *find(pixels, rule))


def _spaxel(cube: MuseCube, x: int, y: int, preview: bool) -> ShownSpectrum:
    flux, ivar = cube.spaxel(x, y)
    spectrum = StarSpectrum(f"spaxel {x}, {y}", cube.wave, flux, ivar, cube.frame, cube.flux_unit, x=x, y=y)
    return ShownSpectrum(f"Spaxel x {x}, y {y}", spectrum, preview=preview)


def _aperture(cube: MuseCube, aperture: Aperture) -> ShownSpectrum:
    spectrum = cube.aperture(aperture.x, aperture.y, aperture.radius, aperture.annulus)
    return ShownSpectrum(str(aperture), spectrum)


def _quick_look(cube: MuseCube, star_id: str, x: float, y: float) -> ShownSpectrum:
    _, ny, nx = cube.shape
    if not (-0.5 < x < nx - 0.5 and -0.5 < y < ny - 0.5):
        return ShownSpectrum(f"{star_id}: outside the field of this cube", None)
    spectrum = cube.aperture(x, y, QUICK_LOOK_RADIUS)
    return ShownSpectrum(f"{star_id} – sum within {QUICK_LOOK_RADIUS:g} spaxels, sky not subtracted", spectrum)


def _refit(
    session: Session, star_id: str, masks: Sequence[Range], *, progress: Progress, cancelled: CancelCheck
) -> ShownSpectrum:
    from processing.labels.refit import Recipe, refit

    spectrum = session.spectrum(star_id)
    fit = refit(spectrum, Recipe(tuple(masks)), session.settings, progress=progress, cancelled=cancelled).fit
    return ShownSpectrum(f"{star_id}, fitted again with your masks", spectrum, fit)


def _star(session: Session, star_id: str, reason: str) -> ShownSpectrum:
    if star_id not in session.star_ids("spectra"):
        return ShownSpectrum(f"{star_id}: {reason or 'no spectrum was extracted'}", None)
    spectrum = session.spectrum(star_id)
    fit = session.fit(star_id) if star_id in session.star_ids("fits") else None
    return ShownSpectrum(star_id, spectrum, fit)
