"""What is open: cube, stars, results; and the reads that panels ask of it, answered off the GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal, Slot

from gui.composite import Ranges, thirds
from gui.evidence import read_gradients
from gui.jobs import Failure, Job, JobRunner, LatestReader
from gui.live import LiveRun
from gui.opening import Opened, open_paths, open_session, read_overview
from gui.reading import (
    Picture,
    ShownImage,
    ShownSpectrum,
    read_all,
    read_aperture,
    read_band,
    read_colours,
    read_layer,
    read_live_star,
    read_quick_look,
    read_spaxel,
    read_star,
    shown_image,
)
from gui.star_rows import StarRows, list_from_rows, rows_from_list, rows_with_edits
from processing.progress import CancelCheck, Progress
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from gui.selection import Aperture
    from processing.catalogue.table import Catalogue
    from processing.cube import CubeOverview, MuseCube
    from processing.labels.fit import LabelFit
    from processing.labels.gradients import GradientSpectra
    from processing.session import Session
    from processing.star_edits import EditedStars
    from processing.star_list import StarList

__all__ = ["Document", "Picture", "ShownImage", "ShownSpectrum"]


class Document(QObject):
    """The open cube, star list and results; None where nothing is open."""

    cube_changed = Signal()
    overview_changed = Signal()
    rows_changed = Signal()
    results_changed = Signal()
    opened = Signal()
    """What the user asked for is open; not after a run, whose results take the place of its cube."""
    noted = Signal(str)
    image_ready = Signal(object)
    """A `ShownImage`."""
    other_ready = Signal(object)
    """The `ShownImage` to compare with."""
    spectrum_ready = Signal(object)
    """A `ShownSpectrum`."""
    several_ready = Signal(object)
    """A list of `ShownSpectrum`."""
    gradients_ready = Signal(str, object)
    """A star's name and its `GradientSpectra`."""
    queue_given = Signal(object)
    """Several cubes with their star lists, to be run one after another."""
    read_failed = Signal(object)
    """A `Failure`."""

    def __init__(self, runner: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runner = runner
        self._images = LatestReader(self)
        self._spectra = LatestReader(self)
        self._evidence = LatestReader(self)
        self._several = LatestReader(self)
        self._others = LatestReader(self)
        self._live = LiveRun(self)
        self._images.answered.connect(self._on_image)
        self._spectra.answered.connect(self._on_spectrum)
        self._evidence.answered.connect(self._on_gradients)
        self._several.answered.connect(self._on_several)
        self._others.answered.connect(self._on_other)
        self._live.rows_read.connect(self._on_live_rows)
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
        self.edited: EditedStars | None = None
        self._unedited: StarRows | None = None
        self._run_list: StarList | None = None
        self.colour_ranges: Ranges | None = None
        self.residual: np.ndarray | None = None
        self.spectra: tuple[Path, ...] = ()
        self.loaded: tuple[StarSpectrum, ...] = ()
        self.cube_path: Path | None = None
        self.stars_path: Path | None = None

    @property
    def _readers(self) -> list[LatestReader]:
        return self.findChildren(LatestReader)  # those of panels too

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
        return self._runner.start(f"Opening {names}", stage, succeeded=self._on_asked, failed=failed)

    def show_run(self, session: Path, failed: Callable[[Failure], None]) -> Job:
        """Show a run that has just finished."""

        def stage(*, progress: Progress, cancelled: CancelCheck) -> Opened:
            return open_session(session)

        return self._runner.start(f"Opening {session.name}", stage, succeeded=self._on_opened, failed=failed)

    @Slot(object)
    def _on_asked(self, opened: Opened) -> None:
        self._on_opened(opened)
        self.opened.emit()

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
        if opened.queue:
            self.queue_given.emit(opened.queue)

    def _take_stars(self, opened: Opened) -> None:
        if opened.session is not None:
            self._run_list, self.stars_path = opened.stars, opened.stars_path
        elif opened.stars is not None:
            self.stars, self.stars_path, self.session = opened.stars, opened.stars_path, None
        if opened.rows is not None:
            self.rows = opened.rows
        elif self.stars is not None:
            self.rows = rows_from_list(self.stars, self.cube)
        self.edited = self._unedited = None

    def close(self) -> None:
        """Close everything that is open."""
        self._close_files()
        self._forget()
        self.cube_changed.emit()
        self.rows_changed.emit()
        self.results_changed.emit()

    def shut_down(self) -> None:
        """End the reading threads and close the files; nothing is shown any more."""
        self._live.shut_down()
        for reader in self._readers:
            reader.shut_down()
        self.blockSignals(True)
        self._close_files()
        self._forget()

    def _close_files(self, keep_cube: bool = False) -> None:
        closing = self.session is not None or (self.cube is not None and not keep_cube)
        for reader in self._readers:
            reader.forget() if closing else reader.drop()  # nobody waits for a read that nothing is closed under
        if self._overview_job is not None and not keep_cube:
            self._runner.drop(self._overview_job)
            self._overview_job = None
        if self.cube is not None and not keep_cube:
            self.cube.close()
        if self.session is not None:
            self.session.close()

    # Stars changed by hand

    def begin_editing(self) -> EditedStars:
        """Return the stars as they may be changed: those of the list, else those of the run, else none.

        Nothing is changed by this alone.
        """
        from processing.star_edits import EditedStars, no_stars

        if self.edited is not None:
            return self.edited
        stars = self.stars if self.stars is not None else self._run_list
        if stars is None:
            stars = list_from_rows(self.rows, self.title) if self.rows is not None else no_stars()
        return EditedStars(stars)

    def set_edited(self, edited: EditedStars) -> None:
        """Show stars that were changed by hand; the next run is given them."""
        if self.edited is None:
            self._unedited = self.rows
        self.edited = edited if edited.changes else None
        base = self._unedited if self._unedited is not None else rows_from_list(edited.stars, self.cube)
        self.rows = rows_with_edits(base, edited) if edited.changes else self._unedited
        self.rows_changed.emit()

    # A run that is going on

    def follow(self, session: Path) -> None:
        """Show the stars of a run as they are finished."""
        self._live.follow(session, self.cube)

    def look_again(self) -> None:
        """Look what the run has finished since."""
        self._live.look_again()

    def stop_following(self) -> None:
        """Let go of the run."""
        self._live.stop()

    @Slot(object)
    def _on_live_rows(self, rows: StarRows) -> None:
        self.rows = rows
        self.rows_changed.emit()

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
        read = self.image_reader(picture, index, rule)
        if read is not None:
            self._images.request((picture, index), read)

    def ask_other_image(self, picture: Picture, index: int, rule: str) -> None:
        """Ask for the image to compare with; it arrives with `other_ready`."""
        read = self.image_reader(picture, index, rule)
        if read is not None:
            self._others.request((picture, index), read)

    def image_reader(self, picture: Picture, index: int, rule: str) -> Callable[[], ShownImage] | None:
        """Return what reads an image in a thread; None where there is nothing of the kind."""
        cube = self.cube
        if picture in ("slice", "noise", "snr") and cube is not None:
            return partial(read_layer, cube, picture, index, rule)
        if picture == "colour" and cube is not None:
            return partial(read_colours, cube, self.overview, self.colour_ranges or thirds(cube.wave))
        still = {"white": self.overview.white if self.overview is not None else None, "residual": self.residual}
        image = still.get(picture)
        return partial(shown_image, picture, image, rule) if image is not None else None

    def ask_band(self, low: float, high: float, rule: str) -> None:
        """Ask for the mean image between two wavelengths in Angstrom."""
        if self.cube is not None:
            self._images.request(("band", low, high), partial(read_band, self.cube, low, high, rule))

    def ask_aperture(self, aperture: Aperture) -> None:
        """Ask for the spectrum in a circle."""
        if self.cube is not None:
            self._spectra.request(aperture, partial(read_aperture, self.cube, aperture))

    def ask_spaxel(self, x: int, y: int, preview: bool = False) -> None:
        """Ask for the spectrum of one spaxel."""
        if self.cube is not None:
            self._spectra.request(("spaxel", x, y), partial(read_spaxel, self.cube, x, y, preview))

    def ask_star(self, star_id: str) -> None:
        """Ask for a star's spectrum and fit; before a run, for the sum of the spaxels around it."""
        read = self._star_reader(star_id)
        if read is not None:
            self._spectra.request(("star", star_id), read)

    def ask_several(self, star_ids: Sequence[str]) -> None:
        """Ask for the spectra and fits of several stars."""
        reads = [read for read in map(self._star_reader, star_ids) if read is not None]
        self._several.request(tuple(star_ids), partial(read_all, reads))

    def _star_reader(self, star_id: str) -> Callable[[], ShownSpectrum] | None:
        """Return what reads a star's spectrum in a thread; None where there is nothing to read."""
        if self.rows is None or star_id not in self.rows.index:
            return None
        row = self.rows.index[star_id]
        if self._live.path is not None and self.rows.fitted:
            return partial(read_live_star, self._live.path, star_id, self.rows.reason[row])
        if self.session is not None and str(self.rows.status[row]) not in ("added", "moved"):
            return partial(read_star, self.session, star_id, self.rows.reason[row])
        if self.loaded:
            return partial(ShownSpectrum, star_id, self.loaded[row])
        if self.cube is not None:
            return partial(read_quick_look, self.cube, star_id, float(self.rows.x[row]), float(self.rows.y[row]))
        return None

    def ask_gradients(self, fit: LabelFit, model: str | None = None) -> None:
        """Ask which pixels make a star's labels; `model` is that of a refit, None the run's own."""
        if self.session is not None and np.isfinite(fit.values).all():
            name = self.session.settings.fit.model if model is None else model
            self._evidence.request(fit.star_id, partial(read_gradients, fit, name))

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
    def _on_other(self, key: object, image: ShownImage) -> None:
        self.other_ready.emit(image)

    @Slot(object, object)
    def _on_spectrum(self, key: object, spectrum: ShownSpectrum) -> None:
        self.spectrum_ready.emit(spectrum)

    @Slot(object, object)
    def _on_read_failed(self, key: object, failure: Failure) -> None:
        self.read_failed.emit(failure)
