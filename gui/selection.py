"""Which star, spaxel, aperture, label and wavelength are current: every panel listens to this object and sets it."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

Spaxel = tuple[int, int]
Band = tuple[float, float]


@dataclass(frozen=True)
class Aperture:
    """A circle on the image with its sky annulus, in 0-based spaxels."""

    x: float
    y: float
    radius: float
    annulus: tuple[float, float] | None

    @classmethod
    def around(cls, x: float, y: float, radius: float, sky: bool = True) -> Aperture:
        """Put a sky annulus of three spaxels two spaxels outside of a circle."""
        return cls(x, y, radius, (radius + 2.0, radius + 5.0) if sky else None)

    def __str__(self) -> str:
        sky = f"sky {self.annulus[0]:.1f}–{self.annulus[1]:.1f}" if self.annulus else "sky not subtracted"
        return f"Aperture x {self.x:.1f}, y {self.y:.1f}, radius {self.radius:.1f}, {sky} spaxels"


class Selection(QObject):
    """The one current star, spaxel or aperture, and the current wavelength or band.

    Setting what is already set tells nobody, so panels can set each other without echo.
    """

    star_changed = Signal(str)
    """The star's name, or "" when none is selected."""
    chosen_changed = Signal(object)
    """Names of several chosen stars, the current one among them; empty while there is one or none."""
    spaxel_changed = Signal(object)
    """0-based (x, y) of the pinned spaxel, or None."""
    wavelength_changed = Signal(float)
    """Angstrom, in the frame of the cube."""
    aperture_changed = Signal(object)
    """The `Aperture`, or None."""
    band_changed = Signal(object)
    """Lowest and highest wavelength of the band whose image is shown, or None."""
    label_changed = Signal(str)
    """Machine name of the label whose evidence is shown, or ""."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._star = self._label = ""
        self._chosen: tuple[str, ...] = ()
        self._spaxel: Spaxel | None = None
        self._aperture: Aperture | None = None
        self._band: Band | None = None
        self._wavelength = float("nan")

    @property
    def star(self) -> str:
        """Name of the current star, or ""."""
        return self._star

    @property
    def chosen(self) -> tuple[str, ...]:
        """Several chosen stars; empty while there is one or none."""
        return self._chosen

    def set_chosen(self, star_ids: tuple[str, ...]) -> None:
        """Choose several stars; the current one stays if it is among them, else the first becomes current."""
        chosen = star_ids if len(star_ids) > 1 else ()
        if chosen != self._chosen:
            self._chosen = chosen
            self.chosen_changed.emit(chosen)
        if star_ids and self._star not in star_ids:
            self.set_star(star_ids[0])

    @property
    def spaxel(self) -> Spaxel | None:
        """The pinned spaxel, or None."""
        return self._spaxel

    @property
    def wavelength(self) -> float:
        """The current wavelength in Angstrom; NaN before a cube is open."""
        return self._wavelength

    def set_star(self, star_id: str) -> None:
        """Make a star current; it takes the place of a pinned spaxel, and of several stars it is not one of."""
        if star_id == self._star:
            return
        self._star = star_id
        if star_id not in self._chosen:
            self.set_chosen(())
        if star_id:
            self.set_spaxel(None)
            self.set_aperture(None)
        self.star_changed.emit(star_id)

    def set_spaxel(self, spaxel: Spaxel | None) -> None:
        """Pin a spaxel; it takes the place of the current star."""
        if spaxel == self._spaxel:
            return
        self._spaxel = spaxel
        if spaxel is not None:
            self.set_star("")
            self.set_aperture(None)
        self.spaxel_changed.emit(spaxel)

    def set_wavelength(self, wavelength: float) -> None:
        """Make a wavelength current, in Angstrom."""
        if wavelength != self._wavelength:
            self.set_band(None)
            self._wavelength = wavelength
            self.wavelength_changed.emit(wavelength)

    @property
    def aperture(self) -> Aperture | None:
        """The circle on the image, or None."""
        return self._aperture

    @property
    def band(self) -> Band | None:
        """The band whose image is shown, or None."""
        return self._band

    @property
    def nothing(self) -> bool:
        """True while neither star nor spaxel nor aperture is current."""
        return not self._star and self._spaxel is None and self._aperture is None

    def set_aperture(self, aperture: Aperture | None) -> None:
        """Put a circle on the image; it takes the place of star and spaxel."""
        if aperture == self._aperture:
            return
        self._aperture = aperture
        if aperture is not None:
            self.set_star("")
            self.set_spaxel(None)
        self.aperture_changed.emit(aperture)

    def set_band(self, band: Band | None) -> None:
        """Show the image of a band in place of a slice."""
        if band != self._band:
            self._band = band
            self.band_changed.emit(band)

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
        self.set_band(None)
        self.set_aperture(None)
        self.set_star("")
        self.set_spaxel(None)
