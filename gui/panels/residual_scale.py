"""What the unit of the residuals is worth: the errors as the fit rescaled them, drawn and said in the plot."""

from __future__ import annotations

import math

import pyqtgraph as pg
from PySide6.QtCore import QObject, Qt, Slot
from PySide6.QtGui import QFont

from gui.panels.plot_items import faded
from gui.theme import Theme

LOW = 56.0
"""Height of a plot, in pixels, that is left to the residuals alone."""
RIGHT = 0.1
"""Factors this close to 1 call for no lines."""


class ResidualScale(QObject):
    """Dashed lines at the rescaled error, and a sentence above: shorter, or only a tooltip, where room is scarce."""

    def __init__(self, plot: pg.PlotItem) -> None:
        super().__init__()
        self._plot = plot
        self.lines = tuple(pg.InfiniteLine(angle=0) for _ in range(2))
        for line in self.lines:
            line.setZValue(5)
            plot.addItem(line, ignoreBounds=True)
        self.text = pg.TextItem(anchor=(0, 0))
        self.text.setParentItem(plot.getViewBox())
        self.text.setPos(6, 0)
        self._sentences = ("", "")
        plot.getViewBox().sigResized.connect(self.fit)
        self.show(math.nan)

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        for line in self.lines:
            line.setPen(pg.mkPen(theme.fit, width=1, style=Qt.PenStyle.DashLine))
        self.text.setColor(theme.text)
        self.text.setFont(font)
        self.fit()
        self.text.fill = pg.mkBrush(faded(theme.panel, 0.8))

    def show(self, scale: float) -> None:
        """Say by what factor the pipeline's errors are wrong; NaN: nothing is said.

        Parameters
        ----------
        scale : float
            Rescaled over formal error, as the fit found it.
        """
        wrong = math.isfinite(scale) and abs(scale - 1.0) > RIGHT
        for line, side in zip(self.lines, (-1, 1), strict=True):
            line.setVisible(wrong)
            if wrong:
                line.setPos(side * scale)
        text = "Residual over the pipeline's error" if math.isfinite(scale) else ""
        short = text
        if wrong:
            amount = f"{scale:.1f} times too small" if scale > 1 else f"{1 / scale:.1f} times too large"
            text += f", which is {amount} (dashed: the rescaled one)"
            short = f"Errors {amount}"
        self._sentences = (text, short)
        self._plot.setToolTip(text)
        self.fit()

    @Slot()
    def fit(self) -> None:
        """Say as much as there is room for."""
        box = self._plot.getViewBox()
        for text in self._sentences:
            self.text.setText(text)
            fits = 6 + self.text.boundingRect().width() <= box.width()
            if fits:
                break
        self.text.setVisible(bool(text) and fits and box.height() >= LOW)
