"""The stars of a run as they are finished: its session is read again, off the GUI thread, as the run comes on."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from gui.jobs import Failure, LatestReader
from gui.star_rows import StarRows, rows_from_run

if TYPE_CHECKING:
    from processing.cube import MuseCube
    from processing.labels.fit import LabelFit
    from processing.spectrum import StarSpectrum

RHYTHM = 1.5
"""Seconds between two looks at least."""


class LiveStars:
    """What is known of a run's stars; used by one thread at a time."""

    def __init__(self, path: Path, cube: MuseCube | None) -> None:
        self._path, self._cube = path, cube
        self._spectra: tuple[StarSpectrum, ...] = ()
        self._fits: dict[str, LabelFit] = {}
        self._seen = (0, 0)

    def read(self) -> StarRows | None:
        """Return all stars with what is known of them; None while nothing is new."""
        from processing.session import Session

        if not self._path.is_file():
            return None
        with Session.open(self._path, read_only=True) as session:
            fitted = session.star_ids("fits")
            now = len(session.star_ids("spectra")), len(fitted)
            if now == self._seen or not now[0]:
                return None
            if len(self._spectra) != now[0]:
                self._spectra, self._fits = tuple(session.spectra()), {}
            self._fits |= {name: session.fit(name) for name in fitted if name not in self._fits}
            self._seen = now
            return rows_from_run(session, self._spectra, tuple(self._fits.values()), self._cube)


class LiveRun(QObject):
    """Follows one run."""

    rows_read = Signal(object)
    """`StarRows` of all stars, the finished ones with their labels."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._reader = LatestReader(self)
        self._reader.answered.connect(self._on_answered)
        self._reader.failed.connect(self._on_failed)
        self._stars: LiveStars | None = None
        self.path: Path | None = None
        self._last = 0.0
        self._asked = False
        """A look is under way. A second one would find nothing new, and its answer overtake the first's."""

    def follow(self, session: Path, cube: MuseCube | None) -> None:
        """Begin with a run."""
        self.path, self._stars, self._asked = session, LiveStars(session, cube), False

    def look_again(self) -> None:
        """Read what is new, in a thread, unless that was done a moment ago."""
        if self._stars is not None and not self._asked and time.monotonic() - self._last >= RHYTHM:
            self._last, self._asked = time.monotonic(), True
            self._reader.request(self.path, partial(self._stars.read))

    def stop(self) -> None:
        """Let go of the run: it has ended. A look that is under way has the session open for itself alone."""
        self._reader.drop()
        self.path = self._stars = None

    def shut_down(self) -> None:
        """End the thread."""
        self._reader.shut_down()

    @Slot(object, object)
    def _on_answered(self, path: Path, rows: StarRows | None) -> None:
        self._asked = False
        if rows is not None and path == self.path:
            self.rows_read.emit(rows)

    @Slot(object, object)
    def _on_failed(self, path: Path, failure: Failure) -> None:
        """Say nothing: the run itself says what is wrong, and the next look may succeed."""
        self._asked = False
