"""The menu of the spectrum panel: further views, lines, fits, masks, and what is saved."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QMenu, QToolButton, QWidget, QWidgetAction

from gui.panels.line_marks import GROUPS
from gui.theme import GRID
from processing.labels.names import LABELS

if TYPE_CHECKING:
    from gui.panels.spectrum import SpectrumPanel

MORE_VIEWS = (
    ("stages", "Four stages", "Observed, normalised, fitted, left over"),
    ("scatter", "Scatter of residuals", "Residuals over their errors with a Gaussian"),
    ("pair", "Two compared", "Two stars, or the run's fit and a refit, with residual and error band"),
)


class SpectrumMenu(QToolButton):
    """A button whose menu is made when it is opened, for what is shown then."""

    view_chosen = Signal(str)
    velocity_changed = Signal(float)

    def __init__(self, panel: SpectrumPanel) -> None:
        super().__init__()
        self._panel = panel
        self.setText("More")
        self.setCheckable(True)
        self.setAccessibleName("More about this spectrum")
        self.setToolTip("More views, lines, fits, masks; save and report")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.velocity = float("nan")
        """Velocity of the line marks that the user chose, km/s; NaN: the star's."""
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        menu.aboutToShow.connect(self._fill)
        self.setMenu(menu)

    @Slot()
    def _fill(self) -> None:
        menu, panel = self.menu(), self._panel
        menu.clear()
        shown = panel.shown
        fitted = shown is not None and shown.fit is not None
        group = QActionGroup(menu)
        for name, text, tip in MORE_VIEWS:
            action = menu.addAction(text, partial(self.view_chosen.emit, name))
            action.setToolTip(tip)
            action.setCheckable(True)
            action.setChecked(panel.view == name)
            action.setEnabled(fitted and (name != "pair" or panel.pair_possible))
            group.addAction(action)
        menu.addSeparator()
        self._add_lines(menu.addMenu("Lines"))
        self._add_labels(menu.addMenu("Pixels of a label"))
        self._add_fits(menu.addMenu("Fits"))
        self._add_masks(menu.addMenu("Masks"))
        refit = menu.addAction("Refit with choices…", panel.commands.ask_refit)
        refit.setEnabled(fitted)
        menu.addSeparator()
        menu.addAction("Save picture…", panel.commands.ask_picture)
        menu.addAction("Save data…", panel.commands.ask_data)
        menu.addAction("PDF report…", panel.commands.ask_report).setEnabled(fitted)
        panel.extend_menu.emit(menu)

    def _add_lines(self, menu: QMenu) -> None:
        lines = self._panel.plots.lines
        for group, text, tip in GROUPS:
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setChecked(lines.is_visible(group))
            action.setToolTip(tip)
            action.toggled.connect(partial(self._panel.show_lines, group))
        menu.addSeparator()
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(12, 2, 12, 2)
        row.setSpacing(GRID)
        spin = QDoubleSpinBox(decimals=1, minimum=-3000.0, maximum=3000.0, singleStep=10.0, suffix=" km/s")
        spin.setAccessibleName("Velocity of the stellar lines")
        spin.setValue(self.velocity if math.isfinite(self.velocity) else self._panel.velocity)
        spin.valueChanged.connect(self._on_velocity)
        row.addWidget(QLabel("Velocity"))
        row.addWidget(spin, 1)
        action = QWidgetAction(menu)
        action.setDefaultWidget(box)
        menu.addAction(action)
        menu.addAction("As the star's", partial(self._on_velocity, float("nan")))

    def _add_labels(self, menu: QMenu) -> None:
        """Offer every label whose gradient can be shown."""
        shown, selection = self._panel.shown, self._panel.selection
        names = shown.fit.labels if shown is not None and shown.fit is not None else ()
        menu.setEnabled(bool(names))
        group = QActionGroup(menu)
        for name in ("", *names):
            action = menu.addAction(LABELS[name].symbol if name else "None", partial(selection.set_label, name))
            action.setCheckable(True)
            action.setChecked(selection.label == name)
            group.addAction(action)

    @Slot(float)
    def _on_velocity(self, velocity: float) -> None:
        self.velocity = velocity
        self.velocity_changed.emit(velocity)

    def _add_fits(self, menu: QMenu) -> None:
        refitter = self._panel.refitter
        menu.setEnabled(bool(refitter.refits))
        group = QActionGroup(menu)
        fits = [(0, "The run's")] + [
            (refit.number, f"{refit.number if refit.number > 0 else '–'}   {refit.recipe}   {refit.created[:16]}")
            for refit in refitter.refits
        ]
        for number, text in fits:
            action = menu.addAction(text, partial(refitter.show, number))
            action.setCheckable(True)
            action.setChecked(number == refitter.number)
            group.addAction(action)
        menu.addSeparator()
        if refitter.number > 0:
            menu.addAction("Delete this refit", refitter.delete)

    def _add_masks(self, menu: QMenu) -> None:
        masking, panel = self._panel.masking, self._panel
        menu.setEnabled(masking.has_star)
        for name in masking.presets:
            menu.addAction(f"Add '{name}'", partial(panel.commands.add_preset, name))
        menu.addSeparator()
        actions: list[QAction] = [
            menu.addAction("Save as preset…", panel.commands.ask_preset_name),
            menu.addAction("Take all away", masking.clear),
        ]
        for action in actions:
            action.setEnabled(masking.has_masks)
        menu.addAction("Import preset…", panel.commands.ask_preset_file)
