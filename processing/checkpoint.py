"""Where a long stage keeps its finished blocks, so that a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

Block = Mapping[str, np.ndarray]
"""Named arrays: one finished piece of work."""


class Checkpoint(Protocol):
    """A store of finished blocks; the session file is one, a dictionary another.

    Keys say the stage and the block, as ``"solve/0064-0128"``. A block is stored whole or not at all.
    """

    def load(self, key: str) -> Block | None:
        """Return the block stored under `key`, or None."""

    def save(self, key: str, block: Block) -> None:
        """Store a finished block under `key`, replacing an older one."""


class MemoryCheckpoint:
    """Blocks kept in memory: for runs without a session file, and for tests."""

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}

    def load(self, key: str) -> Block | None:
        """Return the block stored under `key`, or None."""
        return self.blocks.get(key)

    def save(self, key: str, block: Block) -> None:
        """Store a finished block under `key`."""
        self.blocks[key] = dict(block)
