"""The one place where threads are made: stage functions run in QThreads, quick reads in a "latest wins" reader."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from PySide6.QtCore import QObject, Qt, QThread, Signal, Slot

from processing.errors import Cancelled, StellacubeError
from processing.progress import CancelCheck, Progress

REPORT_INTERVAL = 0.05
"""Seconds between two progress reports at least; more often would only repaint."""


class Stage(Protocol):
    """A stage function whose inputs are already bound."""

    def __call__(self, *, progress: Progress, cancelled: CancelCheck) -> Any:
        """Do the work."""


@dataclass(frozen=True)
class Failure:
    """Why a job ended early: a sentence, what to do, and the traceback for who wants it."""

    sentence: str
    hint: str
    details: str


def explain(error: BaseException) -> Failure:
    """Turn any exception into a sentence with the traceback as its details."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, StellacubeError):
        return Failure(error.message, error.hint, details)
    if isinstance(error, MemoryError):
        return Failure(
            "The computer has not enough free memory for this.", "Close other programs and try again.", details
        )
    if isinstance(error, OSError):
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return Failure(
            f"A file could not be read or written ({what}).", "Check that it is there and try again.", details
        )
    sentence = f"Something unexpected went wrong ({type(error).__name__}: {error})."
    return Failure(sentence, "The details say where; please send them to the developers.", details)


class _Worker(QObject):
    """Runs one stage function; lives in the job's thread."""

    progressed = Signal(float, str)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    ended = Signal()

    def __init__(self, stage: Stage, stop: threading.Event) -> None:
        super().__init__()
        self._stage = stage
        self._stop = stop
        self._reported = (0.0, "")

    @Slot()
    def run(self) -> None:
        """Run the stage and say how it ended."""
        try:
            result = self._stage(progress=self._report, cancelled=self._stop.is_set)
        except Cancelled:
            self.cancelled.emit()
        except Exception as error:  # noqa: BLE001 -- nothing may escape into Qt's event loop
            self.failed.emit(explain(error))
        else:
            self.succeeded.emit(result)
        self.ended.emit()

    def _report(self, fraction: float, text: str) -> None:
        now = time.monotonic()
        last, last_text = self._reported
        if text != last_text or now - last >= REPORT_INTERVAL:
            self._reported = (now, text)
            self.progressed.emit(fraction, text)


class Job(QObject):
    """One stage function at work in a thread of its own; its signals arrive in the GUI thread.

    Cancelling sets an event by a direct call: a signal would reach the busy worker only after its work.
    """

    progressed = Signal(float, str)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    ended = Signal()

    def __init__(self, title: str, stage: Stage, parent: QObject) -> None:
        super().__init__(parent)
        self.title = title
        self.began = 0.0
        """Seconds of the monotonic clock at the start."""
        self._stop = threading.Event()
        self._thread = QThread(self)
        self._worker: _Worker | None = _Worker(stage, self._stop)
        self._worker.moveToThread(self._thread)
        self._thread.started.connect(self._worker.run)
        queued = Qt.ConnectionType.QueuedConnection
        self._worker.progressed.connect(self._on_progressed, queued)
        self._worker.succeeded.connect(self._on_succeeded, queued)
        self._worker.failed.connect(self._on_failed, queued)
        self._worker.cancelled.connect(self._on_cancelled, queued)
        self._worker.ended.connect(self._on_ended, queued)

    @property
    def running(self) -> bool:
        """True until the job has ended and its thread is gone."""
        return self._worker is not None

    @property
    def stopping(self) -> bool:
        """True once the job was asked to stop."""
        return self._stop.is_set()

    def start(self) -> None:
        """Start the work."""
        self.began = time.monotonic()
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop; it does so at its next check."""
        self._stop.set()

    def shut_down(self) -> None:
        """Stop the work, wait for the thread, tell nobody."""
        self.blockSignals(True)
        self.cancel()
        self._release()

    def _release(self) -> None:
        self._thread.quit()
        self._thread.wait()
        self._worker = None  # the only owner lets go after the thread has ended

    @Slot(float, str)
    def _on_progressed(self, fraction: float, text: str) -> None:
        self.progressed.emit(fraction, text)

    @Slot(object)
    def _on_succeeded(self, result: object) -> None:
        self.succeeded.emit(result)

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        self.failed.emit(failure)

    @Slot()
    def _on_cancelled(self) -> None:
        self.cancelled.emit()

    @Slot()
    def _on_ended(self) -> None:
        if self.running:
            self._release()
            self.ended.emit()


class JobRunner(QObject):
    """Starts jobs, knows which are running, and waits for all of them at the end."""

    started = Signal(object)
    """The `Job` that just started."""
    ended = Signal(object)
    """The `Job` whose thread is gone."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs: list[Job] = []

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The running jobs, oldest first."""
        return tuple(self._jobs)

    def start(self, title: str, stage: Stage, **slots: Callable[..., None]) -> Job:
        """Run a stage function in a thread.

        Parameters
        ----------
        title : str
            What the user is told is going on.
        stage : callable
            Called with `progress` and `cancelled`; its result arrives with the job's ``succeeded`` signal.
        **slots : callable
            Bound methods of objects of the GUI thread, by the job's signal: succeeded, failed, cancelled, progressed.

        Returns
        -------
        Job
        """
        job = Job(title, stage, self)
        for name, slot in slots.items():
            getattr(job, name).connect(slot)
        job.ended.connect(self._on_ended)
        self._jobs.append(job)
        self.started.emit(job)
        job.start()
        return job

    def cancel_all(self) -> None:
        """Ask every job to stop."""
        for job in self._jobs:
            job.cancel()

    def drop(self, job: Job) -> None:
        """End a job whose result nobody wants any more, and forget it."""
        job.shut_down()
        self._forget(job)

    def shut_down(self) -> None:
        """Cancel every job and wait until the last thread is gone."""
        self.cancel_all()
        for job in self._jobs:
            job.shut_down()
        self._jobs.clear()

    @Slot()
    def _on_ended(self) -> None:
        job = self.sender()
        if isinstance(job, Job):
            self._forget(job)

    def _forget(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.remove(job)
            self.ended.emit(job)
            job.deleteLater()


@dataclass(frozen=True)
class _Ticket:
    """What a request is called, and which it is."""

    number: int
    generation: int
    key: object


class _Mailbox:
    """Holds the newest request only; shared by the two threads under a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._request: tuple[_Ticket, Callable[[], Any]] | None = None
        self.reading = threading.Lock()
        self.answered = -1
        """Number of the newest request that has been answered."""

    def put(self, ticket: _Ticket, read: Callable[[], Any]) -> None:
        with self._lock:
            self._request = (ticket, read)

    def take(self) -> tuple[_Ticket, Callable[[], Any]] | None:
        with self._lock:
            request, self._request = self._request, None
            return request


class _Server(QObject):
    """Answers the newest request; lives in the reader's thread."""

    answered = Signal(object, object)
    failed = Signal(object, object)

    def __init__(self, mailbox: _Mailbox) -> None:
        super().__init__()
        self._mailbox = mailbox

    @Slot()
    def serve(self) -> None:
        """Answer the newest request; of a storm of wake-ups all but a few find the mailbox empty."""
        with self._mailbox.reading:
            request = self._mailbox.take()
            if request is not None:
                self._answer(*request)

    def _answer(self, ticket: _Ticket, read: Callable[[], Any]) -> None:
        try:
            answer = read()
        except Exception as error:  # noqa: BLE001 -- nothing may escape into Qt's event loop
            self.failed.emit(ticket, explain(error))
        else:
            self._mailbox.answered = ticket.number
            self.answered.emit(ticket, answer)


class LatestReader(QObject):
    """A thread for quick reads of which only the newest matters (slices under a slider, spaxels under the mouse)."""

    answered = Signal(object, object)
    """The request's key and its answer."""
    failed = Signal(object, object)
    """The request's key and a `Failure`."""
    _wake = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._mailbox = _Mailbox()
        self._thread = QThread(self)
        self._server: _Server | None = _Server(self._mailbox)
        self._server.moveToThread(self._thread)
        queued = Qt.ConnectionType.QueuedConnection
        self._wake.connect(self._server.serve, queued)
        self._server.answered.connect(self._on_answered, queued)
        self._server.failed.connect(self._on_failed, queued)
        self._generation = self._number = 0

    def request(self, key: object, read: Callable[[], Any]) -> None:
        """Ask for a read; an older request that has not begun is dropped."""
        if self._server is None:
            return
        if not self._thread.isRunning():
            self._thread.start()
        self._number += 1
        self._mailbox.put(_Ticket(self._number, self._generation, key), read)
        self._wake.emit()

    def drop(self) -> None:
        """Drop what is asked for, and what is being read as soon as it has been read."""
        self._mailbox.take()
        self._generation += 1

    def forget(self) -> None:
        """Drop what is asked for and wait for what is being read: the file may be closed after this."""
        self.drop()
        with self._mailbox.reading:
            pass

    def shut_down(self) -> None:
        """End the thread; later requests are ignored."""
        self.forget()
        self.blockSignals(True)
        self._thread.quit()
        self._thread.wait()
        self._server = None

    @Slot(object, object)
    def _on_answered(self, ticket: _Ticket, answer: object) -> None:
        overtaken = ticket.number < self._mailbox.answered  # a newer answer waits in the queue behind this one
        if ticket.generation == self._generation and not overtaken:
            self.answered.emit(ticket.key, answer)

    @Slot(object, object)
    def _on_failed(self, ticket: _Ticket, failure: Failure) -> None:
        if ticket.generation == self._generation:
            self.failed.emit(ticket.key, failure)
