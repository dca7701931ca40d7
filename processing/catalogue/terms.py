"""What is compared, and how the same star is told: words and numbers that need no arrays."""

from __future__ import annotations

from typing import Literal

from processing.labels.names import LABELS, LabelInfo

QUANTITIES: dict[str, LabelInfo] = {**LABELS, "rv": LabelInfo("rv", "velocity", "km / s", "radial velocity", 1)}
"""What is compared: the labels, and the radial velocity."""
By = Literal["auto", "position", "name"]
"""How the same star is told: by position, by name, or by position where it is known."""
RADIUS = 0.5
"""Arcsec within which two entries are one star unless the user says otherwise: half the seeing of a good night."""
