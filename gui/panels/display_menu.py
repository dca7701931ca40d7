"""How the image is shown: the button with stretch, limits and colours, and what belongs to every image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QAction, QActionGroup, QIcon, QImage, QPixmap
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from gui.display import COLOUR_MAPS, LIMITS, STRETCHES, colour_table
from gui.settings import Preferences

DEFAULTS = {"stretch": "asinh", "limits": "99.5 %", "colours": "grey"}
CHOICES: dict[str, Sequence[str]] = {
    "stretch": tuple(STRETCHES),
    "limits": tuple(LIMITS),
    "colours": tuple(COLOUR_MAPS),
}


class DisplayMenu(QObject):
    """Stretch, limits and colour map, remembered between starts."""

    changed = Signal(str)
    """Which of stretch, limits and colours was chosen; "invert" for dark stars on bright sky."""

    def __init__(self, parent: QWidget, preferences: Preferences) -> None:
        super().__init__(parent)
        self._preferences = preferences
        self.chosen = {key: self._remembered(key) for key in DEFAULTS}
        self.button = QToolButton(popupMode=QToolButton.ToolButtonPopupMode.InstantPopup)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        self.button.setAccessibleName("Display of the image")
        self.menu = QMenu(parent)
        self.button.setMenu(self.menu)
        self._branches: dict[str, QMenu] = {}
        self._actions: dict[tuple[str, str], QAction] = {}
        for key, names in CHOICES.items():
            self._add_branch(key, names)
        self._branches["colours"].aboutToShow.connect(self._draw_strips)
        self.menu.addSeparator()
        self.invert = self.menu.addAction("Dark stars on bright sky")
        self.invert.setCheckable(True)
        self.invert.setChecked(preferences.text("image/invert") == "yes")
        self.invert.toggled.connect(self._on_invert)

    def _remembered(self, key: str) -> str:
        value = self._preferences.text(f"image/{key}", DEFAULTS[key])
        return value if value in CHOICES[key] else DEFAULTS[key]

    def _add_branch(self, key: str, names: Sequence[str]) -> None:
        branch = self._branches[key] = self.menu.addMenu(key.capitalize())
        group = QActionGroup(branch)
        for name in names:
            action = QAction(name, branch, checkable=True, checked=name == self.chosen[key])
            action.triggered.connect(partial(self.choose, key, name))
            group.addAction(action)
            branch.addAction(action)
            self._actions[key, name] = action

    @Slot()
    def _draw_strips(self) -> None:
        """Show the colour maps beside their names; at the start of the window there is no need for that."""
        for name in COLOUR_MAPS:
            if self._actions["colours", name].icon().isNull():
                self._actions["colours", name].setIcon(_strip(name))

    @property
    def rule(self) -> str:
        """The rule for the limits, a key of `LIMITS`."""
        return self.chosen["limits"]

    def choose(self, key: str, name: str, checked: bool = True) -> None:
        """Take a stretch, a rule for the limits, or a colour map."""
        self.chosen[key] = name
        self._actions[key, name].setChecked(True)
        self._preferences.set_text(f"image/{key}", name)
        self.changed.emit(key)

    def table(self, picture: str) -> np.ndarray:
        """Return the colour table of a picture, shape (n, 3), uint8; residuals are always red, white and blue."""
        if picture == "residual":
            return colour_table(_colour_map("diverging"), "linear")
        return colour_table(_colour_map(self.chosen["colours"]), self.chosen["stretch"], self.invert.isChecked())

    def describe(self, picture: str, manual: bool) -> None:
        """Say on the button and in the menu how a picture is shown."""
        shown = dict(self.chosen)
        if picture == "residual":
            shown |= {"stretch": "linear", "colours": "diverging"}
        if manual:
            shown["limits"] = "manual"
        for key, name in shown.items():
            self._branches[key].setTitle(f"{key.capitalize()}: {name}")
        self.button.setText("Lupton" if picture == "colour" else f"{shown['stretch']}, {shown['limits']}")
        self.button.setToolTip(f"Stretch, limits and colours of the image: {self.button.text()}")

    @Slot(bool)
    def _on_invert(self, inverted: bool) -> None:
        self._preferences.set_text("image/invert", "yes" if inverted else "no")
        self.changed.emit("invert")


def _colour_map(name: str) -> np.ndarray:
    """Return a colour map, shape (256, 3), uint8."""
    return pg.colormap.get(COLOUR_MAPS[name]).getLookupTable(0.0, 1.0, 256)[:, :3].astype(np.uint8)


def _strip(name: str) -> QIcon:
    """Return a small picture of a colour map."""
    colours = np.ascontiguousarray(_colour_map(name)[None, ::8])
    image = QImage(colours.tobytes(), colours.shape[1], 1, 3 * colours.shape[1], QImage.Format.Format_RGB888).copy()
    return QIcon(QPixmap.fromImage(image.scaled(32, 16)))
