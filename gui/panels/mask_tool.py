"""Masks drawn by hand in the spectrum, with undo, and the star fitted again with them."""

from __future__ import annotations

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QUndoCommand, QUndoStack
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QWidget

from gui.document import Document, ShownSpectrum
from gui.panels.plot_items import Bands, faded
from gui.panels.spectrum_plots import SpectrumPlots
from gui.theme import Theme
from processing.labels.refit import Range

LEAST = 1.0
"""Angstrom: a narrower range is a click, which takes away the mask under it."""


class _Change(QUndoCommand):
    """One change of a star's masks."""

    def __init__(self, text: str, tool: MaskTool, star_id: str, after: tuple[Range, ...]) -> None:
        super().__init__(f"{text} of {star_id}")
        self._tool, self._star = tool, star_id
        self._before, self._after = tool.masks(star_id), after

    def redo(self) -> None:
        """Make the change."""
        self._tool.set_masks(self._star, self._after)

    def undo(self) -> None:
        """Take it back."""
        self._tool.set_masks(self._star, self._before)


class MaskTool(QObject):
    """Two buttons, the masks of every star, and their bands in the plots."""

    def __init__(self, document: Document, plots: SpectrumPlots, undo: QUndoStack) -> None:
        super().__init__(plots)
        self._document, self._undo = document, undo
        self._masks: dict[str, tuple[Range, ...]] = {}
        self._star = ""
        self.bands = (Bands(plots.flux), Bands(plots.residual))
        for band, plot in zip(self.bands, plots.plots, strict=False):
            plot.addItem(band, ignoreBounds=True)
        self.button, self.refit = QToolButton(), QToolButton()
        self.box = QWidget()
        row = QHBoxLayout(self.box)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button)
        row.addWidget(self.refit)
        self.button.setText("Mask")
        self.button.setCheckable(True)
        self.button.toggled.connect(self._show)
        self.button.setToolTip("Draw masks with Shift held; a click with Shift takes one away (M)")
        self.refit.setText("Refit")
        self.refit.setToolTip("Fit this star again with its masks (Ctrl+Shift+R); the catalogue stays as it is")
        self.refit.clicked.connect(self.start)
        plots.box.band_chosen.connect(self._on_chosen)
        plots.box.shift_clicked.connect(self._on_clicked)
        document.results_changed.connect(self._on_results)
        self.show_star(None)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        for band in self.bands:
            band.set_colour(faded(theme.warn, 0.2))

    @property
    def drawing(self) -> bool:
        """True while a drag with Shift draws a mask."""
        return self.button.isChecked() and bool(self._star)

    def masks(self, star_id: str) -> tuple[Range, ...]:
        """Return a star's masks."""
        return self._masks.get(star_id, ())

    def set_masks(self, star_id: str, masks: tuple[Range, ...]) -> None:
        """Replace a star's masks."""
        self._masks[star_id] = masks
        self._show()

    def show_star(self, shown: ShownSpectrum | None) -> None:
        """Show the masks of the star whose fit is in the plots; None while there is none."""
        self._star = shown.fit.star_id if shown is not None and shown.fit is not None else ""
        self.button.setVisible(bool(self._star))
        self._show()

    def _show(self) -> None:
        masks = self.masks(self._star)
        for band in self.bands:
            band.set_bands(masks)
        self.refit.setVisible(bool(self._star) and (bool(masks) or self.button.isChecked()))

    @Slot(float, float)
    def _on_chosen(self, low: float, high: float) -> None:
        """Add a mask, joined with those it touches."""
        if not self.drawing or high - low < LEAST:
            return
        apart = []
        for a, b in self.masks(self._star):
            if a <= high and b >= low:
                low, high = min(a, low), max(b, high)
            else:
                apart.append((a, b))
        self._push("Mask", (*apart, (low, high)))

    @Slot(float)
    def _on_clicked(self, wavelength: float) -> None:
        """Take away the mask under the mouse."""
        masks = self.masks(self._star)
        left = tuple((a, b) for a, b in masks if not a <= wavelength <= b)
        if self.drawing and left != masks:
            self._push("Unmask", left)

    def _push(self, text: str, masks: tuple[Range, ...]) -> None:
        self._undo.push(_Change(text, self, self._star, tuple(sorted(masks))))

    @Slot()
    def start(self) -> None:
        """Fit the star again."""
        if self._star:
            self._document.refit(self._star, self.masks(self._star))

    @Slot()
    def _on_results(self) -> None:
        self._masks.clear()
        self._undo.clear()
        self._show()
