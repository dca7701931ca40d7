"""How a stage reports progress and asks whether it should stop, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

from processing.errors import Cancelled

Progress = Callable[[float, str], None]
"""Takes the finished fraction (0..1) and a short text for the user."""

CancelCheck = Callable[[], bool]
"""True once the user wants the work to stop; asked at least every half second of work."""


def ignore(fraction: float, text: str) -> None:
    """Report progress to nobody."""


def never() -> bool:
    """Never cancel."""
    return False


def stop_if(cancelled: CancelCheck) -> None:
    """Raise `Cancelled` when the user wants to stop."""
    if cancelled():
        raise Cancelled


def part(progress: Progress, start: float, stop: float) -> Progress:
    """Give a sub-stage the share ``start..stop`` of the whole progress bar."""

    def report(fraction: float, text: str) -> None:
        progress(start + (stop - start) * min(max(fraction, 0.0), 1.0), text)

    return report
