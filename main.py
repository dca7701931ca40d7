"""Start Stellacube: the window, or with a command the program without it (``python main.py --help``)."""

from __future__ import annotations

import faulthandler
import multiprocessing
import sys
from pathlib import Path

COMMANDS = (
    "run", "extract", "fit", "simulate", "demo", "train", "validate", "info", "settings", "model", "plan", "report",
    "methods", "subtract", "wcs", "masks", "zap", "cuts", "posterior", "repeats", "compare", "calibrate", "merge",
    "survey", "collect",
)  # fmt: skip
"""Words that start the command line; paths alone open the window on them, as drag and drop onto an icon does."""


def main() -> int:
    """Open the window or carry out a command; return the exit code."""
    multiprocessing.freeze_support()
    if sys.stderr is None:  # a bundle without a console, on Windows
        from os import devnull

        sys.stdout = sys.stderr = Path(devnull).open("w", encoding="utf-8")  # noqa: SIM115
    faulthandler.enable()
    arguments = sys.argv[1:]
    if not arguments or (arguments[0] not in COMMANDS and all(Path(word).exists() for word in arguments)):
        from gui.preflight import why_no_window

        reason = why_no_window()
        if reason:
            sys.stderr.write(f"{reason}\n")
            return 2
        from gui.app import main as window

        return window([Path(word) for word in arguments])
    from processing.cli import main as command_line

    return command_line(arguments)


if __name__ == "__main__":
    sys.exit(main())
