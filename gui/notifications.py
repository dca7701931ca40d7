"""The one place where the program speaks to the user: sentences with a hint, and details for who wants them."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Literal

from PySide6.QtCore import QObject, Signal, Slot

from gui.jobs import Failure, explain

Level = Literal["info", "warning", "error"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notification:
    """One thing the user is told."""

    level: Level
    sentence: str
    hint: str = ""
    details: str = ""
    time: datetime = field(default_factory=datetime.now)

    @property
    def text(self) -> str:
        """Sentence and hint."""
        return f"{self.sentence} {self.hint}".strip()


class Notifications(QObject):
    """Collects what is said; the window shows it in its quiet bar and in the log."""

    posted = Signal(object)
    """A `Notification`."""
    _record = Signal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.history: list[Notification] = []
        self._record.connect(self._on_record)
        self._handler = _LogHandler(self)

    def info(self, sentence: str) -> None:
        """Say something that needs no answer."""
        self._post(Notification("info", sentence))

    def warning(self, sentence: str, hint: str = "", details: str = "") -> None:
        """Say that something is not as it should be."""
        self._post(Notification("warning", sentence, hint, details))

    def error(self, sentence: str, hint: str = "", details: str = "") -> None:
        """Say that something did not work."""
        self._post(Notification("error", sentence, hint, details))

    @Slot(object)
    def failure(self, failure: Failure) -> None:
        """Say why a job failed."""
        self.error(failure.sentence, failure.hint, failure.details)

    def install(self) -> None:
        """Catch what nobody else caught, in every thread, and the warnings of the engine's log."""
        sys.excepthook = self._on_exception
        threading.excepthook = self._on_thread_exception
        logging.getLogger("processing").addHandler(self._handler)

    def uninstall(self) -> None:
        """Give the hooks back."""
        sys.excepthook = sys.__excepthook__
        threading.excepthook = threading.__excepthook__
        logging.getLogger("processing").removeHandler(self._handler)

    def _post(self, notification: Notification) -> None:
        self.history.append(notification)
        self.posted.emit(notification)

    def _on_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        failure = explain(error)
        log.error("%s", failure.details)
        self._record.emit("error", f"{failure.sentence}\n{failure.hint}\n{failure.details}")

    def _on_thread_exception(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            self._on_exception(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    @Slot(str, str)
    def _on_record(self, level: str, text: str) -> None:
        sentence, _, rest = text.partition("\n")
        hint, _, details = rest.partition("\n")
        self._post(Notification("error" if level == "error" else "warning", sentence, hint, details))


class _LogHandler(logging.Handler):
    """Carries the engine's warnings to the window; a signal takes them across threads."""

    def __init__(self, target: Notifications) -> None:
        super().__init__(logging.WARNING)
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._target._record.emit(level, record.getMessage())
