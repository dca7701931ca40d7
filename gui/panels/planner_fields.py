"""Small widgets that the planner is made of: captions, number fields, rows; and what may be dropped on it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QMimeData, Qt
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QWidget

from gui.theme import GRID

FIELD = 80
"""Width of a number field."""
W = TypeVar("W", bound=QWidget)


def explain(widget: W, text: str) -> W:
    """Give a widget its tooltip, which is also what a screen reader says."""
    widget.setToolTip(text)
    widget.setAccessibleName(text)
    return widget


def number_field(
    tip: str, value: float, steps: tuple[float, float, float], decimals: int, suffix: str = ""
) -> QDoubleSpinBox:
    """Return a number field; `steps` are the lowest and highest value and the step of the arrow keys and the wheel."""
    spin = explain(QDoubleSpinBox(), tip)
    spin.setDecimals(decimals)
    spin.setRange(*steps[:2])
    spin.setSingleStep(steps[2])
    spin.setValue(value)
    spin.setSuffix(suffix)
    spin.setAlignment(Qt.AlignmentFlag.AlignRight)
    spin.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    spin.setFixedWidth(FIELD)
    return spin


def note(kind: str) -> QLabel:
    """Return an empty text that wraps, in one of the theme's styles."""
    label = QLabel()
    label.setObjectName(kind)
    label.setWordWrap(True)
    return label


def caption(text: str, narrow: bool = False) -> QLabel:
    """Return what stands before a field, as wide as the widest unless narrow."""
    label = QLabel(text)
    label.setObjectName("muted")
    if not narrow:
        label.setMinimumWidth(label.fontMetrics().horizontalAdvance("N × DIT") + GRID)
    return label


def line_of(*widgets: QWidget) -> QHBoxLayout:
    """Return widgets side by side."""
    line = QHBoxLayout()
    line.setSpacing(GRID)
    for widget in widgets:
        line.addWidget(widget)
    return line


LARGEST_LIST = 300e6
"""Bytes; a larger file is a cube."""


def table_of(mime: QMimeData) -> Path | None:
    """Return the one file that is dragged when it may be a star list."""
    paths = [Path(url.toLocalFile()) for url in mime.urls()]
    if len(paths) != 1 or not paths[0].is_file() or paths[0].suffix == ".stellacube":
        return None
    return paths[0] if paths[0].stat().st_size < LARGEST_LIST else None
