"""Stars fitted again: the work in threads, the refits in the session, and undo."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QUndoCommand, QUndoStack

from gui.document import Document
from gui.jobs import Failure, JobRunner
from gui.reading import ShownSpectrum
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress
from processing.session import Session

if TYPE_CHECKING:
    from processing.labels.refit import Recipe, Refit


_WRITING = threading.Lock()
"""Undo and redo may follow each other faster than a file is written."""


@dataclass(frozen=True)
class Refitted:
    """A refit that is done, and why it could not be kept; no word where it was."""

    refit: Refit
    trouble: str = ""


class _Command(QUndoCommand):
    """A refit that was made, or one that was deleted."""

    def __init__(self, refitter: Refitter, refit: Refit, kept: bool) -> None:
        super().__init__(f"{'Refit' if kept else 'Deleted refit'} of {refit.fit.star_id}")
        self._refitter, self._refit, self._kept, self._new = refitter, refit, kept, True

    def redo(self) -> None:
        """Put the refit back or take it away; one that was just made is there already."""
        if not (self._new and self._kept):
            self._refitter.set_kept(self._refit, self._kept)
        self._new = False

    def undo(self) -> None:
        """Do the opposite."""
        self._refitter.set_kept(self._refit, not self._kept)


class Refitter(QObject):
    """Fits stars again, keeps what comes out beside the run's own fits, and shows one of them."""

    def __init__(self, document: Document, runner: JobRunner, undo: QUndoStack, parent: QObject) -> None:
        super().__init__(parent)
        self._document, self._runner, self._undo = document, runner, undo
        self._current: ShownSpectrum | None = None
        """The current star as the session has it, with the run's own fit."""
        self.number = 0
        """Which of the star's fits is shown; 0 is the run's own, below 0 one that could not be kept."""
        document.spectrum_ready.connect(self._on_spectrum)

    @property
    def refits(self) -> tuple[Refit, ...]:
        """Refits of the star that is shown, oldest first."""
        return self._current.refits if self._current is not None else ()

    @property
    def model(self) -> str | None:
        """The network of the refit that is shown; None for the run's own fit."""
        return next((one.settings.fit.model for one in self.refits if one.number == self.number), None)

    @property
    def pair(self) -> tuple[ShownSpectrum, ShownSpectrum] | None:
        """The run's own fit and the refit that is shown, or else the last one; None where there is none."""
        shown = self._current
        if shown is None or not shown.refits:
            return None
        refit = next((one for one in shown.refits if one.number == self.number), shown.refits[-1])
        return shown, replace(shown, title=title_of(refit), fit=refit.fit)

    def start(self, star_id: str, recipe: Recipe) -> None:
        """Fit a star again."""
        session = self._document.session
        if session is not None:
            stage = partial(refit_stage, session, star_id, recipe)
            self._runner.start(f"Fitting {star_id} again", stage, succeeded=self._on_refitted, failed=self._on_failed)

    def show(self, number: int) -> None:
        """Show one of the star's refits; 0 for the run's own fit."""
        shown = self._current
        if shown is None:
            return
        refit = next((refit for refit in shown.refits if refit.number == number), None)
        if refit is not None:
            shown = replace(shown, title=title_of(refit), fit=refit.fit)
        self.number = refit.number if refit is not None else 0
        self._document.spectrum_ready.emit(shown)

    @Slot()
    def delete(self) -> None:
        """Take the refit that is shown out of the session; undo puts it back."""
        refit = next((one for one in self.refits if one.number == self.number), None)
        if refit is not None and refit.number > 0:
            self._undo.push(_Command(self, refit, kept=False))

    def set_kept(self, refit: Refit, kept: bool) -> None:
        """Put a refit into the session and show it, or take it out and show the run's own fit."""
        others = tuple(one for one in self.refits if one.number != refit.number)
        refits = (*others, refit) if kept else others
        self._set(tuple(sorted(refits, key=lambda one: one.number)), refit, refit.number if kept else 0)
        session = self._document.session
        if session is not None:
            stage = partial(keep_stage if kept else drop_stage, session.path, refit)
            self._runner.start(f"Saving the refits of {refit.fit.star_id}", stage, failed=self._on_failed)

    def _set(self, refits: tuple[Refit, ...], refit: Refit, number: int) -> None:
        if self._current is not None and self._current.title == refit.fit.star_id:
            self._current = replace(self._current, refits=refits)
            self.show(number)

    @Slot(object)
    def _on_spectrum(self, shown: ShownSpectrum) -> None:
        if shown.fit is None or shown.title == shown.fit.star_id:
            self._current, self.number = (shown if shown.fit is not None else None), 0

    @Slot(object)
    def _on_refitted(self, done: Refitted) -> None:
        refit = done.refit
        if done.trouble:
            self._document.noted.emit(done.trouble)
            refit = replace(refit, number=-1 - len(self.refits))  # shown as long as the star is, and not kept
        else:
            self._undo.push(_Command(self, refit, kept=True))
        self._set((*self.refits, refit), refit, refit.number)

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        self._document.read_failed.emit(failure)


def title_of(refit: Refit) -> str:
    """Return what a refit is called."""
    number = f" {refit.number}" if refit.number > 0 else ""
    return f"{refit.fit.star_id}, refit{number}" + (f": {refit.recipe}" if str(refit.recipe) else "")


def refit_stage(
    session: Session, star_id: str, recipe: Recipe, *, progress: Progress, cancelled: CancelCheck
) -> Refitted:
    """Fit a star again, and keep the refit in the session if that can be written."""
    from processing.labels.refit import refit

    spectrum = session.spectrum(star_id)
    result = refit(spectrum, recipe, session.settings, progress=progress, cancelled=cancelled)
    try:
        return Refitted(keep_stage(session.path, result, progress=progress, cancelled=cancelled))
    except StellacubeError as error:
        return Refitted(result, f"The refit is shown, but could not be kept. {error.message}")


def keep_stage(path: Path, refit: Refit, *, progress: Progress, cancelled: CancelCheck) -> Refit:
    """Write a refit into a session."""
    with _WRITING, Session.open(path) as session:
        return session.put_refit(refit)


def drop_stage(path: Path, refit: Refit, *, progress: Progress, cancelled: CancelCheck) -> None:
    """Take a refit out of a session."""
    with _WRITING, Session.open(path) as session:
        session.drop_refit(refit.number)
