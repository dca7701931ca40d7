"""What the command line shows: progress, tables and sentences; and how a command ends."""

from __future__ import annotations

import logging
import platform
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import processing
from processing.errors import Cancelled, StellacubeError

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from processing.pipeline import RunResult
    from processing.simulation.compare import Comparison

BAD_INPUT, FAULT, INTERRUPTED = 2, 1, 130


class Console:
    """Progress on the error stream, results on the output; Ctrl-C asks the work to stop.

    On a terminal the progress is a bar, elsewhere a line for every new step and every tenth of the way.
    """

    def __init__(self) -> None:
        from rich.console import Console as RichConsole

        self._out = RichConsole(highlight=False, soft_wrap=True)
        self._error = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        self._stop = threading.Event()
        self._bar: Any = None
        self._last: tuple[str, int] = ("", -1)

    def __enter__(self) -> Console:
        self._handler = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_bar()
        signal.signal(signal.SIGINT, self._handler)

    def cancelled(self) -> bool:
        """Tell whether Ctrl-C was pressed."""
        return self._stop.is_set()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ask for a clean stop; the second time, stop at once."""
        if self._stop.is_set():
            raise Cancelled
        self._stop.set()

    def progress(self, fraction: float, text: str) -> None:
        """Show how far the work has come."""
        if not self._error.is_terminal:
            step = ("".join(c for c in text if not c.isdigit()), int(10 * fraction))
            if step != self._last:
                self._last = step
                self._error.print(f"{fraction:4.0%}  {text}", markup=False)
            return
        if self._bar is None:
            self._bar = _bar(self._error)
            self._bar.start()
            self._bar.add_task("", total=1.0)
        self._bar.update(self._bar.task_ids[0], completed=fraction, description=text)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """Print a line of result."""
        self._end_bar()
        self._out.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a line that the user should know of."""
        self._end_bar()
        self._error.print(f"Note: {text}", markup=False, style="yellow")

    def files(self, paths: Sequence[Path]) -> None:
        """Print where results lie."""
        for path in paths:
            self.say(f"  {path}")

    def facts(self, facts: Mapping[str, str]) -> None:
        """Print names and values in two columns; the lines of a longer value stand below each other."""
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            self.say(f"{name:{width}s}  " + value.replace("\n", "\n" + " " * (width + 2)))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; columns of numbers are right-aligned."""
        from rich.table import Table
        from rich.text import Text

        self._end_bar()
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column, title in enumerate(header):
            numbers = all(row[column].strip().lstrip("+-").replace(".", "").isdigit() for row in rows)
            table.add_column(title, justify="right" if numbers else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        self._out.print(table)

    def comparison(self, comparison: Comparison) -> None:
        """Print recovered against true values."""
        low, middle, high = comparison.snr
        self.say(
            f"\n{comparison.n_found} of {comparison.n_true} stars extracted, {comparison.n_used} with usable labels; "
            f"signal-to-noise {middle:.0f} ({low:.0f}-{high:.0f})\n\nFound minus true:"
        )
        rows = [(r.symbol, str(r.n), f"{r.bias:+.3g}", f"{r.dispersion:.3g}", r.unit) for r in comparison.rows]
        self.table(("quantity", "stars", "median", "dispersion", "unit"), rows)

    def result(self, result: RunResult) -> None:
        """Say what a run made: notes, how many stars are of which quality, and the files."""
        for note in result.notes:
            self.warn(note)
        took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
        self.say(f"{result.catalogue.summary}. ({took})")
        self.files([*(path for path in result.files if path.parent.name != "spectra"), result.session])


def _bar(console: RichConsole) -> Any:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    return Progress(*columns, console=console, transient=True)


def in_lines(entry: Any) -> str:
    """Write an entry of a model card for reading: a line per item, (median, dispersion) as a +- b."""
    if isinstance(entry, dict):
        if not any(isinstance(value, dict) for value in entry.values()):
            return ", ".join(f"{name} {in_lines(value)}" for name, value in entry.items())
        return "\n".join(f"{name}: {in_lines(value)}".replace("\n", "\n  ") for name, value in entry.items())
    if isinstance(entry, list | tuple):
        if len(entry) == 2 and all(isinstance(value, int | float) for value in entry):
            return f"{entry[0]:+g} +- {entry[1]:g}"
        return "\n".join(map(in_lines, entry))
    return str(entry)


def guarded(command: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Carry out a command and turn however it ends into an exit code; nobody sees a traceback."""
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAULT if end.code else 0
    except StellacubeError as error:
        return _end(BAD_INPUT, str(error))
    except (Cancelled, KeyboardInterrupt):
        return _end(INTERRUPTED, "Interrupted. What was finished is kept: the same command goes on from there.")
    except Exception as error:  # noqa: BLE001 the top-level hook
        path = _crash_log(arguments)
        name = type(error).__name__
        return _end(FAULT, f"Stellacube failed: {name}: {error}. This is a fault of the program; details are in {path}")
    return 0


def _end(code: int, text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return code


def _crash_log(arguments: Sequence[str]) -> Path:
    """Write what is needed to find a fault, and return where."""
    path = Path(tempfile.gettempdir()) / f"stellacube-{time.strftime('%Y%m%d-%H%M%S')}.log"
    lines = (
        f"Stellacube {processing.__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"Arguments: {list(arguments)}",
        traceback.format_exc(),
    )
    path.write_text("\n".join(lines), encoding="utf-8")
    logging.getLogger(__name__).exception("A command failed")
    return path
