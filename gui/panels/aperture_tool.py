"""The button that puts a circular aperture on the image, and what happens when its circle is dragged."""

from __future__ import annotations

import math

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QToolButton

from gui.document import Document
from gui.panels.sky_view import SkyView
from gui.selection import Aperture, Selection

RADIUS = 3.0
"""Of a new aperture, in spaxels: 0.6 arcsec, about the seeing."""


class ApertureTool(QObject):
    """Connects button, circle and selection."""

    def __init__(self, document: Document, selection: Selection, view: SkyView, sky: QAction) -> None:
        super().__init__(view)
        self._document, self._selection, self._view, self._sky = document, selection, view, sky
        self.button = QToolButton()
        self.button.setCheckable(True)
        self.button.setToolTip("Spectrum in a circle with a sky annulus around it (A)")
        self.button.setAccessibleName("Aperture")
        self.button.toggled.connect(self._on_toggled)
        sky.setCheckable(True)
        sky.setChecked(True)
        sky.toggled.connect(self._on_sky)
        view.aperture_moved.connect(self._on_moved)
        selection.aperture_changed.connect(self._on_aperture)

    @Slot(bool)
    def _on_toggled(self, shown: bool) -> None:
        """Put the circle on the current star or spaxel, else into the middle of what is seen."""
        if not shown:
            self._selection.set_aperture(None)
        elif self._selection.aperture is None and self._document.cube is not None:
            self._set(*self._place(), RADIUS)

    def _place(self) -> tuple[float, float]:
        rows, star, spaxel = self._document.rows, self._selection.star, self._selection.spaxel
        if star and rows is not None and math.isfinite(rows.x[rows.index[star]]):
            return float(rows.x[rows.index[star]]), float(rows.y[rows.index[star]])
        if spaxel is not None:
            return float(spaxel[0]), float(spaxel[1])
        middle = self._view.box.viewRect().center()
        return float(middle.x()), float(middle.y())

    def _set(self, x: float, y: float, radius: float) -> None:
        """Keep the centre on the image."""
        cube = self._document.cube
        if cube is not None:
            _, ny, nx = cube.shape
            x, y = min(max(x, 0.0), nx - 1.0), min(max(y, 0.0), ny - 1.0)
            self._selection.set_aperture(Aperture.around(x, y, max(radius, 0.5), self._sky.isChecked()))

    @Slot(float, float, float)
    def _on_moved(self, x: float, y: float, radius: float) -> None:
        self._set(x, y, radius)

    @Slot(bool)
    def _on_sky(self, subtracted: bool) -> None:
        old = self._selection.aperture
        if old is not None:
            self._set(old.x, old.y, old.radius)

    @Slot(object)
    def _on_aperture(self, aperture: Aperture | None) -> None:
        self.button.setChecked(aperture is not None)
        self._view.mark_aperture(aperture)
