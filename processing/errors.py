"""The two ways a stage can end early: a sentence for the user, or the user's own wish."""

from __future__ import annotations


class StellacubeError(Exception):
    """A problem that the user can understand and act on.

    Parameters
    ----------
    message : str
        What happened, as one sentence.
    hint : str, optional
        What to do about it, as one sentence.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class Cancelled(Exception):
    """The user cancelled; what was finished before is kept."""
