"""Two pictures of the same field: side by side in linked views, or blinking in one."""

from __future__ import annotations

from functools import partial
from typing import Literal

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu

from gui.panels.picture_choice import TITLES
from gui.panels.sky_view import SkyView
from gui.reading import Picture, ShownImage

Mode = Literal["off", "side", "blink"]
MODES: dict[Mode, str] = {"off": "One picture", "side": "Side by side", "blink": "Blink"}
OTHERS: tuple[Picture, ...] = ("white", "slice", "residual", "snr", "noise", "colour")
PERIOD = 700
"""Milliseconds for which a picture is shown while blinking."""


class Comparison(QObject):
    """The second picture, how it is shown, and the menu that says so."""

    changed = Signal()
    """The second picture or the mode was chosen: it must be asked for."""
    turned = Signal(bool)
    """While blinking, whether the second picture is to be shown now."""

    def __init__(self, menu: QMenu, view: SkyView) -> None:
        super().__init__(view)
        self.mode: Mode = "off"
        self.picture: Picture = "slice"
        self.image: ShownImage | None = None
        self._first = view
        self.view = SkyView()
        self.view.setAccessibleName("Second image of the field")
        self.view.hide()
        self.view.box.setXLink(view.box)
        self.view.box.setYLink(view.box)
        self._second = False
        self._timer = QTimer(self, interval=PERIOD)
        self._timer.timeout.connect(self._on_tick)
        menu.addSeparator()
        self._modes = {mode: self._action(menu, text, partial(self.set_mode, mode)) for mode, text in MODES.items()}
        self._group(menu, self._modes, "off")
        branch = menu.addMenu("Compare with")
        self.actions_by_picture = {
            picture: self._action(branch, TITLES[picture], partial(self.set_picture, picture)) for picture in OTHERS
        }
        self._group(branch, self.actions_by_picture, "slice")

    @staticmethod
    def _action(menu: QMenu, text: str, slot: partial) -> QAction:
        action = menu.addAction(text)
        action.setCheckable(True)
        action.triggered.connect(slot)
        return action

    @staticmethod
    def _group(menu: QMenu, actions: dict, current: str) -> None:
        group = QActionGroup(menu)
        for name, action in actions.items():
            group.addAction(action)
            action.setChecked(name == current)

    @property
    def second(self) -> bool:
        """True while the second picture blinks up."""
        return self._second

    def set_mode(self, mode: Mode, checked: bool = True) -> None:
        """Show one picture, two side by side, or two in turn."""
        if self.mode == "side" != mode:
            QTimer.singleShot(0, self._first, self._first.show_all)  # it has the whole room again
        self.mode = mode
        self._modes[mode].setChecked(True)
        self.view.setVisible(mode == "side")
        self._second = False
        if mode == "blink":
            self._timer.start()
        else:
            self._timer.stop()
        if mode == "off":
            self.image = None
        self.turned.emit(False)
        self.changed.emit()

    def set_picture(self, picture: Picture, checked: bool = True) -> None:
        """Choose what to compare with; with one picture alone, this puts both side by side."""
        self.picture = picture
        self.actions_by_picture[picture].setChecked(True)
        self.image = None
        if self.mode == "off":
            self.set_mode("side")
        else:
            self.changed.emit()

    def toggle_blink(self) -> None:
        """Blink, or stop it."""
        self.set_mode("off" if self.mode == "blink" else "blink")

    @Slot()
    def _on_tick(self) -> None:
        if self.image is not None:
            self._second = not self._second
            self.turned.emit(self._second)
