"""Which picture of the cube is shown: white light, slice, residual, and behind "More" noise, S/N and colour."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QToolButton

from gui.panels.panel import Segments
from gui.reading import Picture

SEGMENTS = (
    ("white", "White", "White light: the mean over all wavelengths (W)"),
    ("slice", "Slice", "One wavelength (S)"),
    ("residual", "Residual", "What the extraction left over, after a run (R)"),
    ("more", "More", "Signal-to-noise, noise, three bands in colour; two pictures side by side or blinking"),
)
TITLES: dict[Picture, str] = {
    "white": "White light", "slice": "Slice", "band": "Band", "residual": "Residual", "snr": "Signal-to-noise",
    "noise": "Noise", "colour": "Colour",
}  # fmt: skip
SHORT: dict[Picture, str] = {"snr": "S/N", "noise": "Noise", "colour": "Colour"}
"""What the segment "More" says while one of its pictures is shown."""
TIPS: dict[Picture, str] = {
    "snr": "Flux over noise of the slice (N)",
    "noise": "1 sigma of the slice, from the variances in the cube (STAT)",
    "colour": "Three bands as red, green and blue (C)",
}
BY_LAYER: tuple[Picture, ...] = ("slice", "snr", "noise")
"""Pictures that follow the wavelength."""


class PictureChoice(Segments):
    """Segments for the usual pictures, and a menu for the others."""

    picked = Signal(str)
    """The `Picture` that the user asks for."""

    def __init__(self) -> None:
        super().__init__(SEGMENTS)
        self.picture: Picture = "white"
        self.choose("white")
        self.button("residual").setEnabled(False)
        self.chosen.connect(self._on_chosen)
        more = self.button("more")
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(more)
        self.menu.setToolTipsVisible(True)
        group = QActionGroup(self.menu)
        self.actions_by_picture: dict[Picture, QAction] = {}
        for picture, tip in TIPS.items():
            action = self.menu.addAction(TITLES[picture])
            action.setToolTip(tip)
            action.setCheckable(True)
            action.triggered.connect(partial(self._pick, picture))
            group.addAction(action)
            self.actions_by_picture[picture] = action
        more.setMenu(self.menu)

    def available(self, picture: Picture) -> bool:
        """Tell whether a picture can be shown now."""
        return self.button(picture).isEnabled() if picture in ("white", "slice", "residual") else True

    def show_picture(self, picture: Picture) -> None:
        """Mark a picture as the one that is shown."""
        self.picture = picture
        self.choose("more" if picture in SHORT else picture)
        self.button("more").setText(SHORT.get(picture, "More"))
        for other, action in self.actions_by_picture.items():
            action.setChecked(other == picture)

    def _pick(self, picture: Picture, checked: bool = True) -> None:
        self.picked.emit(picture)

    def _on_chosen(self, name: str) -> None:
        if name == "more":
            self.show_picture(self.picture)  # the click opened the menu and chose nothing yet
        else:
            self.picked.emit(name)
