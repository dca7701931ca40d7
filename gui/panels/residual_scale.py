"""What the unit of the residuals is worth: the errors as the fit rescaled them, drawn and said in the plot."""

from __future__ import annotations

import math

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont

from gui.panels.plot_items import faded
from gui.theme import Theme

RIGHT = 0.1
"""Factors this close to 1 call for no lines."""


class ResidualScale:
    """Dashed lines at the rescaled error, and a sentence at the upper edge."""

    def __init__(self, plot: pg.PlotItem) -> None:
        self._plot = plot
        self.lines = tuple(pg.InfiniteLine(angle=0) for _ in range(2))
        for line in self.lines:
            line.setZValue(5)
            plot.addItem(line, ignoreBounds=True)
        self.text = pg.TextItem(anchor=(0, 0))
        self.text.setParentItem(plot.getViewBox())
        self.text.setPos(6, 0)
        self.show(math.nan)

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        for line in self.lines:
            line.setPen(pg.mkPen(theme.fit, width=1, style=Qt.PenStyle.DashLine))
        self.text.setColor(theme.text)
        self.text.setFont(font)
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
        text = "Residual over the pipeline's error"
        if wrong:
            amount = f"{scale:.1f} times too small" if scale > 1 else f"{1 / scale:.1f} times too large"
            text += f", which is {amount} (dashed: the rescaled one)"
        self.text.setText(text)
        self.text.setVisible(math.isfinite(scale))
