"""Which star, spaxel, label and wavelength are current: every panel listens to this object and sets it."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

Spaxel = tuple[int, int]


class Selection(QObject):
    """The one current star or spaxel, and the current wavelength.

    Setting what is already set tells nobody, so panels can set each other without echo.
    """

    star_changed = Signal(str)
    """The star's name, or "" when none is selected."""
    spaxel_changed = Signal(object)
    """0-based (x, y) of the pinned spaxel, or None."""
    wavelength_changed = Signal(float)
    """Angstrom, in the frame of the cube."""
    label_changed = Signal(str)
    """Machine name of the label whose evidence is shown, or ""."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._star = self._label = ""
        self._spaxel: Spaxel | None = None
        self._wavelength = float("nan")

    @property
    def star(self) -> str:
        """Name of the current star, or ""."""
        return self._star

    @property
    def spaxel(self) -> Spaxel | None:
        """The pinned spaxel, or None."""
        return self._spaxel

    @property
    def wavelength(self) -> float:
        """The current wavelength in Angstrom; NaN before a cube is open."""
        return self._wavelength

    def set_star(self, star_id: str) -> None:
        """Make a star current; it takes the place of a pinned spaxel."""
        if star_id == self._star:
            return
        self._star = star_id
        if star_id:
            self.set_spaxel(None)
        self.star_changed.emit(star_id)

    def set_spaxel(self, spaxel: Spaxel | None) -> None:
        """Pin a spaxel; it takes the place of the current star."""
        if spaxel == self._spaxel:
            return
        self._spaxel = spaxel
        if spaxel is not None:
            self.set_star("")
        self.spaxel_changed.emit(spaxel)

    def set_wavelength(self, wavelength: float) -> None:
        """Make a wavelength current, in Angstrom."""
        if wavelength != self._wavelength:
            self._wavelength = wavelength
            self.wavelength_changed.emit(wavelength)

    @property
    def label(self) -> str:
        """Machine name of the current label, or ""."""
        return self._label

    def set_label(self, label: str) -> None:
        """Make a label current: its gradient is shown."""
        if label != self._label:
            self._label = label
            self.label_changed.emit(label)

    def clear(self) -> None:
        """Select nothing."""
        self.set_label("")
        self.set_star("")
        self.set_spaxel(None)
