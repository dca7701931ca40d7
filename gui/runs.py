"""Runs, one after another: the one that is going on, those that wait, and what became of the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QObject, Signal, Slot

from gui.document import Document
from gui.jobs import Failure, Job, JobRunner
from gui.notifications import Notifications
from gui.running import duration, run_stage, session_of, summary

if TYPE_CHECKING:
    from processing.settings import Settings
    from processing.star_edits import EditedStars

State = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass
class Task:
    """One run: what goes in, where it writes, and how far it is."""

    cube: Path | None
    stars: Path | EditedStars | None
    spectra: tuple[Path, ...]
    out: Path
    replace: bool = False
    settings: Settings | None = None
    """None: the defaults."""
    state: State = "waiting"
    fraction: float = 0.0
    text: str = ""
    """What is being done, or what became of it."""

    @property
    def name(self) -> str:
        """What the run is called in the list."""
        if self.cube is not None:
            return self.cube.name
        return self.spectra[0].name if self.spectra else ""

    @property
    def session(self) -> Path:
        """The session that the run writes."""
        return session_of(self.cube, self.spectra, self.out)


class Runs(QObject):
    """Starts one run at a time, the next when one has ended."""

    changed = Signal()
    """A task came, went, or changed its state."""
    progressed = Signal(object)
    """The running `Task`."""

    def __init__(self, runner: JobRunner, document: Document, notifications: Notifications, parent: QObject) -> None:
        super().__init__(parent)
        self._runner, self._document, self._notifications = runner, document, notifications
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self._job: Job | None = None
        self._all = False

    @property
    def running(self) -> bool:
        """True while a run is going on."""
        return self.current is not None

    @property
    def waiting(self) -> list[Task]:
        """The tasks that have not begun."""
        return [task for task in self.tasks if task.state == "waiting"]

    def add(self, task: Task) -> None:
        """Put a task at the end of the list, in the place of one that waits to write into the same folder."""
        self.tasks = [t for t in self.tasks if t.state != "waiting" or t.session != task.session] + [task]
        self.changed.emit()

    def remove(self, task: Task) -> None:
        """Take a task off the list."""
        if task is not self.current:
            self.tasks.remove(task)
            self.changed.emit()

    def clear_finished(self) -> None:
        """Take off the list what has ended."""
        self.tasks = [task for task in self.tasks if task.state in ("waiting", "running")]
        self.changed.emit()

    def start_all(self) -> None:
        """Run everything that waits, one after another."""
        self._all = True
        if not self.running and self.waiting:
            self.start(self.waiting[0])

    def cancel(self) -> None:
        """Stop the run that is going on; what waits stays waiting."""
        self._all = False

    def start(self, task: Task) -> None:
        """Begin a run."""
        if task not in self.tasks:
            self.add(task)
        task.state, task.text, task.fraction = "running", "Starting", 0.0
        self.current = task
        if task.cube == self._document.cube_path:
            self._document.follow(task.session)  # before the thread is there, which imports much
        stage = partial(run_stage, task.cube, task.stars, task.spectra, task.out, task.replace, task.settings)
        self._job = self._runner.start(
            "Running",
            stage,
            succeeded=self._on_succeeded,
            failed=self._on_failed,
            cancelled=self._on_cancelled,
            progressed=self._on_progressed,
        )
        self._job.ended.connect(self._on_ended)
        self._notifications.info(f"Run of {task.name} started; the results go to {task.out}.")
        self.changed.emit()

    @Slot(float, str)
    def _on_progressed(self, fraction: float, text: str) -> None:
        if self.current is not None:
            self.current.fraction, self.current.text = fraction, text
            self._document.look_again()
            self.progressed.emit(self.current)

    @Slot(object)
    def _on_succeeded(self, result: object) -> None:
        from processing.pipeline import RunResult

        assert isinstance(result, RunResult)
        for note in result.notes:
            self._notifications.info(note)
        seconds = sum(result.seconds.values())
        self._notifications.info(f"{len(result.catalogue):n} stars done in {duration(seconds)}.")
        words = summary(result.catalogue)
        self._notifications.info(words)
        self._end("done", words)
        task = self.current
        if task is not None and task.cube == self._document.cube_path:
            self._document.show_run(result.session, self._notifications.failure)

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        self._notifications.failure(failure)
        self._end("failed", failure.sentence)

    @Slot()
    def _on_cancelled(self) -> None:
        self._notifications.info(
            "Cancelled. What was finished is kept: a new run into the same folder goes on from there."
        )
        self._end("cancelled", "Cancelled; what was finished is kept.")

    def _end(self, state: State, text: str) -> None:
        if self.current is not None:
            self.current.state, self.current.text = state, text
        self._document.stop_following()

    @Slot()
    def _on_ended(self) -> None:
        self.current = self._job = None
        if self._all and self.waiting:
            self.start(self.waiting[0])
        else:
            self._all = False
            self.changed.emit()
