"""Jobs: results, errors and cancelling across threads, and the leaks and traps of PySide6 that shaped them."""

from __future__ import annotations

import sys
import threading

import pytest
from PySide6.QtCore import QObject, QThread, Signal, Slot
from pytestqt.qtbot import QtBot
from waiting import WAIT

from gui.jobs import Failure, Job, JobRunner, LatestReader, explain
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress, stop_if


class Listener(QObject):
    """Keeps what arrives, and in which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[object] = []
        self.threads: list[QThread] = []

    @Slot(object)
    def take(self, value: object = None) -> None:
        self.got.append(value)
        self.threads.append(QThread.currentThread())


class Emitter(QObject):
    fired = Signal()


@pytest.fixture
def runner(qapp: object) -> JobRunner:
    return JobRunner()


def ended(job: Job) -> bool:
    return not job.running


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="True is immortal from Python 3.12 on")
def test_emitting_leaves_the_references_of_true_alone(qapp: object) -> None:
    emitter, before = Emitter(), sys.getrefcount(True)
    for _ in range(2000):
        emitter.fired.emit()
    assert sys.getrefcount(True) >= before - 10


def test_a_result_arrives_in_the_gui_thread(runner: JobRunner, qtbot: QtBot) -> None:
    listener, worker_thread = Listener(), []

    def stage(*, progress: Progress, cancelled: CancelCheck) -> int:
        worker_thread.append(QThread.currentThread())
        progress(0.5, "half")
        return 42

    job = runner.start("Counting", stage, succeeded=listener.take)
    qtbot.waitUntil(lambda: ended(job), timeout=WAIT)
    assert listener.got == [42]
    assert listener.threads == [QThread.currentThread()]
    assert worker_thread[0] is not QThread.currentThread()
    assert runner.jobs == ()


def test_an_error_arrives_as_a_sentence_with_details(runner: JobRunner, qtbot: QtBot) -> None:
    listener = Listener()

    def stage(*, progress: Progress, cancelled: CancelCheck) -> None:
        raise StellacubeError("The file is truncated.", "Copy it again.")

    job = runner.start("Reading", stage, failed=listener.take)
    qtbot.waitUntil(lambda: ended(job), timeout=WAIT)
    (failure,) = listener.got
    assert isinstance(failure, Failure)
    assert (failure.sentence, failure.hint) == ("The file is truncated.", "Copy it again.")
    assert "Traceback" in failure.details


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), OSError(28, "No space left", "a.fits"), KeyError(0)])
def test_any_exception_becomes_a_sentence(error: Exception) -> None:
    failure = explain(error)
    assert failure.sentence.endswith(".")
    assert failure.hint.endswith(".")
    assert "Traceback" not in failure.sentence


def test_cancelling_reaches_a_busy_worker(runner: JobRunner, qtbot: QtBot) -> None:
    listener, begun, never_set = Listener(), threading.Event(), threading.Event()

    def stage(*, progress: Progress, cancelled: CancelCheck) -> None:
        begun.set()
        while True:
            stop_if(cancelled)
            never_set.wait(0.005)

    job = runner.start("Working", stage, cancelled=listener.take)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    job.cancel()
    qtbot.waitUntil(lambda: ended(job), timeout=WAIT)
    assert listener.got == [None]


def test_shutting_down_waits_and_tells_nobody(runner: JobRunner, qtbot: QtBot) -> None:
    listener, begun, done = Listener(), threading.Event(), threading.Event()

    def stage(*, progress: Progress, cancelled: CancelCheck) -> str:
        begun.set()
        while not cancelled():
            done.wait(0.005)
        done.set()
        return "late"

    runner.start("Working", stage, succeeded=listener.take)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    runner.shut_down()
    assert done.is_set()
    assert not any(thread.isRunning() for thread in runner.findChildren(QThread))
    qtbot.wait(1)
    assert listener.got == []


def test_a_dropped_job_is_forgotten(runner: JobRunner, qtbot: QtBot) -> None:
    entered, listener = threading.Event(), Listener()

    def wait(*, progress: Progress, cancelled: CancelCheck) -> None:
        entered.set()
        while not cancelled():
            pass

    job = runner.start("Waiting", wait, succeeded=listener.take, cancelled=listener.take)
    assert entered.wait(WAIT / 1000)
    with qtbot.waitSignal(runner.ended, timeout=WAIT) as told:
        runner.drop(job)
    assert told.args == [job]
    assert runner.jobs == ()
    with qtbot.waitSignal(job.destroyed, timeout=WAIT):
        pass
    assert listener.got == []


def test_progress_is_reported_but_not_for_every_step(runner: JobRunner, qtbot: QtBot) -> None:
    reports: list[tuple[float, str]] = []

    class Counter(QObject):
        @Slot(float, str)
        def take(self, fraction: float, text: str) -> None:
            reports.append((fraction, text))

    def stage(*, progress: Progress, cancelled: CancelCheck) -> None:
        for n in range(5000):
            progress(n / 5000, "first" if n < 2500 else "second")

    counter = Counter()
    job = runner.start("Counting", stage, progressed=counter.take)
    qtbot.waitUntil(lambda: ended(job), timeout=WAIT)
    assert {text for _, text in reports} == {"first", "second"}
    assert len(reports) < 200


def test_of_a_storm_of_requests_few_are_read_and_the_last_wins(qtbot: QtBot) -> None:
    reader, gate, read, got = LatestReader(), threading.Event(), [], []

    class Keeper(QObject):
        @Slot(object, object)
        def take(self, key: object, answer: object) -> None:
            got.append((key, answer))

    def read_one(n: int) -> int:
        gate.wait()
        read.append(n)
        return n * n

    keeper = Keeper()
    reader.answered.connect(keeper.take)
    for n in range(500):
        reader.request(n, lambda n=n: read_one(n))
    gate.set()
    qtbot.waitUntil(lambda: bool(got) and got[-1] == (499, 499 * 499), timeout=WAIT)
    assert len(read) <= 3
    reader.shut_down()


def test_what_belongs_to_a_closed_file_is_forgotten(qtbot: QtBot) -> None:
    reader, gate, begun, got = LatestReader(), threading.Event(), threading.Event(), []

    class Keeper(QObject):
        @Slot(object, object)
        def take(self, key: object, answer: object) -> None:
            got.append(key)

    def slow() -> None:
        begun.set()
        gate.wait()

    keeper = Keeper()
    reader.answered.connect(keeper.take)
    reader.request("old", slow)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    gate.set()
    reader.forget()
    reader.request("new", lambda: None)
    qtbot.waitUntil(lambda: "new" in got, timeout=WAIT)
    assert got == ["new"]
    reader.shut_down()
