"""Several stars in the spectrum's plot, one above the other at rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QFont

from gui.document import ShownSpectrum
from gui.panels.plot_items import faded
from gui.star_rows import StarRows
from gui.theme import SERIES, Theme
from processing.preparation.air import in_frame, shifted
from processing.spectrum import Frame

AT_MOST = 8
"""Stars in the plot; of more only a blur would be seen."""
STEP = 0.5
"""Of the continuum, from one star to the next."""


class Several:
    """Curves with names, the first star lowest."""

    def __init__(self, plot: pg.PlotItem) -> None:
        self.curves = [pg.PlotDataItem(connect="finite", antialias=True) for _ in range(AT_MOST)]
        self.names = [pg.TextItem(anchor=(1, 1)) for _ in range(AT_MOST)]
        for item in (*self.curves, *self.names):
            plot.addItem(item, ignoreBounds=True)
        self._box: pg.ViewBox = plot.getViewBox()
        self._box.sigXRangeChanged.connect(self._place_names)
        self.clear()

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        for n, (curve, name) in enumerate(zip(self.curves, self.names, strict=True)):
            colour = SERIES[theme.name][n]
            curve.setPen(pg.mkPen(colour, width=1))
            name.setColor(colour)
            name.setFont(font)
            name.fill = pg.mkBrush(faded(theme.panel, 0.85))

    def clear(self) -> None:
        """Show none."""
        for curve, name in zip(self.curves, self.names, strict=True):
            curve.setData([], [])
            name.setVisible(False)

    def show(self, stars: Sequence[ShownSpectrum], rows: StarRows | None, frame: Frame) -> None:
        """Show stars; those without a spectrum are left out."""
        self.clear()
        known = [star for star in stars if star.observed is not None]
        for n, star in enumerate(known[:AT_MOST]):
            wave, flux = at_rest(star, frame)
            self.curves[n].setData(wave, flux + STEP * n)
            self.names[n].setText(_name(star, rows))
            self.names[n].setVisible(True)
        self._place_names()

    def _place_names(self) -> None:
        """Write the names above the right ends of what is in sight."""
        right = self._box.viewRange()[0][1]
        for n, (curve, name) in enumerate(zip(self.curves, self.names, strict=True)):
            wave = curve.getOriginalDataset()[0]
            if name.isVisible() and wave is not None:
                name.setPos(min(right, float(wave[-1])), 1.0 + STEP * (n + 0.1))


def at_rest(star: ShownSpectrum, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Return wavelengths at rest and flux over the continuum; over the median where no fit tells the continuum."""
    spectrum, fit = star.observed, star.fit
    assert spectrum is not None
    if fit is not None and np.isfinite(fit.rv):
        return in_frame(fit.wave, fit.frame, frame), np.asarray(fit.flux, float)
    flux = np.where(spectrum.good, spectrum.flux, np.nan).astype(float)
    return shifted(spectrum.wave, spectrum.frame, 0.0, frame), flux / np.nanmedian(flux)


def _name(star: ShownSpectrum, rows: StarRows | None) -> str:
    if rows is None or star.fit is None or star.title not in rows.index:
        return star.title
    row = rows.index[star.title]
    values = [column.text(row) for name in ("teff", "logg", "fe_h") if (column := rows.column(name)) is not None]
    return f"{star.title}   {'  '.join(values)}"
