"""The line under the image: wavelength slider, play, and the layer in Angstrom and by number."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QHBoxLayout, QSlider, QSpinBox, QToolButton, QWidget

from gui.theme import GRID, Theme, icon

FRAME = 60
"""Milliseconds between two slices while playing."""


class WaveBar(QWidget):
    """Chooses a wavelength; shows the one that was chosen elsewhere."""

    chosen = Signal(float)
    """Wavelength in Angstrom that the user asks for."""

    def __init__(self) -> None:
        super().__init__()
        self._wave = np.empty(0)
        self.play = QToolButton()
        self.play.setCheckable(True)
        self.play.setToolTip("Play through the slices (P)")
        self.play.setAccessibleName("Play")
        self.play.toggled.connect(self._on_play)
        self._timer = QTimer(self, interval=FRAME)
        self._timer.timeout.connect(self._on_frame)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Wavelength")
        self.slider.setToolTip("Wavelength of the slice (arrow keys: one layer; page keys: twenty)")
        self.slider.setPageStep(20)
        self.slider.valueChanged.connect(self._on_layer)
        self.angstrom = QDoubleSpinBox(suffix=" Å", decimals=2)
        self.angstrom.setAccessibleName("Wavelength in Angstrom")
        self.angstrom.setToolTip("Wavelength of the slice in Angstrom")
        self.angstrom.valueChanged.connect(self.chosen)
        self.layer = QSpinBox()
        self.layer.setAccessibleName("Layer")
        self.layer.setToolTip("Layer of the cube, counted from 0")
        self.layer.valueChanged.connect(self._on_layer)
        for spin in (self.angstrom, self.layer):
            spin.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            spin.setKeyboardTracking(False)
            spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.angstrom.setFixedWidth(104)
        self.layer.setFixedWidth(60)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 12, 0)
        row.setSpacing(GRID)
        row.addWidget(self.play)
        row.addWidget(self.slider, 1)
        row.addWidget(self.angstrom)
        row.addWidget(self.layer)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self.play.setIcon(icon("play", theme))

    def set_wave(self, wave: np.ndarray) -> None:
        """Take the wavelengths of a cube, in Angstrom."""
        self.play.setChecked(False)
        self._wave = wave
        self._block(True)
        for control in (self.slider, self.layer):
            control.setRange(0, len(wave) - 1)
        self.angstrom.setRange(float(wave[0]), float(wave[-1]))
        self.angstrom.setSingleStep(float(np.median(np.diff(wave))) if len(wave) > 1 else 1.0)
        self._block(False)

    def show_layer(self, index: int) -> None:
        """Show a layer, and tell nobody."""
        self._block(True)
        self.slider.setValue(index)
        self.layer.setValue(index)
        self.angstrom.setValue(float(self._wave[index]))
        self._block(False)

    def step(self, layers: int) -> None:
        """Go some layers forward or back."""
        self.slider.setValue(self.slider.value() + layers)

    def _block(self, blocked: bool) -> None:
        for control in (self.slider, self.layer, self.angstrom):
            control.blockSignals(blocked)

    @Slot(int)
    def _on_layer(self, index: int) -> None:
        if index < len(self._wave):
            self.chosen.emit(float(self._wave[index]))

    @Slot(bool)
    def _on_play(self, playing: bool) -> None:
        if playing:
            self._timer.start()
        else:
            self._timer.stop()

    @Slot()
    def _on_frame(self) -> None:
        """Show the next slice; after the last comes the first."""
        if self.isVisible() and len(self._wave):
            self.slider.setValue((self.slider.value() + 1) % len(self._wave))
