"""The open catalogue against another: differences of every label, their bias and dispersion."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtWidgets import QFileDialog, QPushButton, QSplitter, QVBoxLayout

from gui.comparing import ShownComparison, compare_stage, save_comparison_stage
from gui.document import Document
from gui.jobs import JobRunner
from gui.notifications import Notifications
from gui.panels.label_list import LabelList, number, title_of, tool_button
from gui.panels.panel import Elided, EmptyState, Panel, Segments
from gui.panels.plot_items import faded, point_at, style_plot
from gui.selection import Selection
from gui.theme import GRID, Theme, ThemeManager
from processing.catalogue.terms import QUANTITIES

COLUMNS = (
    ("Label", ""),
    ("n", "Stars that both catalogues have the label of"),
    ("Bias", "Median of the differences, this catalogue minus the other"),
    ("±", "Its standard deviation, from drawing the stars again"),
    ("Dispersion", "Half the 15.87–84.13 percentile range of the differences"),
    ("Width", "Width of the differences over their errors: 1 where the errors explain the dispersion"),
)
CHOICES = (
    ("fe_h", "[Fe/H]", "Differences against [Fe/H]"),
    ("teff", "Teff", "Differences against effective temperature"),
    ("snr", "S/N", "Differences against signal-to-noise"),
)
AXES = {"fe_h": "[Fe/H]", "teff": "Teff (K)", "snr": "S/N"}


class ComparePanel(Panel):
    """Shows how the open catalogue agrees with another."""

    name = "compare"
    title = "Comparison"

    def __init__(
        self,
        document: Document,
        selection: Selection,
        themes: ThemeManager,
        runner: JobRunner,
        notifications: Notifications,
    ) -> None:
        empty = EmptyState(
            "diagram", "Nothing to compare yet",
            "The labels of this catalogue against those of any other: a survey's, or another run's.",
        )  # fmt: skip
        super().__init__(themes, empty)
        self._document, self._selection = document, selection
        self._runner, self._notifications = runner, notifications
        self._theme = themes.theme
        self.shown: ShownComparison | None = None
        self._rows = np.empty(0, int)
        self._x = self._y = np.empty(0)
        self.button = QPushButton("Compare with …")
        self.button.clicked.connect(self.choose)
        empty.buttons.addWidget(self.button)
        self._build_header()
        self._build_body()
        document.results_changed.connect(self._on_results)
        selection.star_changed.connect(self._on_star)
        self.finish()
        self._on_results()

    def _build_header(self) -> None:
        self.subtitle = Elided()
        self.subtitle.setObjectName("muted")
        self.choice = Segments(CHOICES)
        self.choice.choose("fe_h")
        self.choice.chosen.connect(self._draw)
        self.again = tool_button("Other …", "Compare with another catalogue")
        self.again.clicked.connect(self.choose)
        self.save = tool_button("Save …", "Save the table and the figures of all labels")
        self.save.clicked.connect(self.choose_folder)
        self.header.tools.addWidget(self.subtitle, 1)
        for widget in (self.choice, self.again, self.save):
            self.header.tools.addWidget(widget)
        self.header.optional = [self.subtitle]

    def _build_body(self) -> None:
        self.view = pg.PlotWidget(enableMenu=False)
        self.view.setAccessibleName("Differences of a label")
        self.view.setToolTip("Click on a star to select it")
        self.view.getPlotItem().layout.setContentsMargins(6, 4, 12, 4)
        self.zero = pg.InfiniteLine(pos=0.0, angle=0)
        self.errors = pg.ErrorBarItem(x=np.empty(0), y=np.empty(0))
        self.points = pg.ScatterPlotItem(pxMode=True, size=6)
        self.mark = pg.ScatterPlotItem(pxMode=True, size=14, brush=None)
        self.bins = pg.ErrorBarItem(x=np.empty(0), y=np.empty(0))
        self.curve = pg.PlotDataItem(antialias=True)
        for item in (self.zero, self.errors, self.points, self.bins, self.curve, self.mark):
            self.view.addItem(item, ignoreBounds=item is not self.points)
        self.view.scene().sigMouseClicked.connect(self._on_clicked)
        self.table = LabelList(COLUMNS)
        self.table.setAccessibleName("Bias and dispersion of every label")
        self.table.chosen.connect(self._draw)
        both = QSplitter(Qt.Orientation.Vertical)
        both.setChildrenCollapsible(False)
        both.addWidget(self.view)
        both.addWidget(self.table)
        both.setSizes([5000, 4000])
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, GRID // 2)
        column.addWidget(both)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self._theme = theme
        self.view.setBackground(theme.panel)
        self.zero.setPen(pg.mkPen(theme.line, width=1))
        self.points.setPen(None)
        self.points.setBrush(faded(theme.accent, 0.75))
        self.mark.setPen(pg.mkPen(theme.text, width=2))
        self.errors.setData(pen=pg.mkPen(faded(theme.muted, 0.35)))
        self.bins.setData(pen=pg.mkPen(theme.fit, width=1.4))
        self.curve.setPen(pg.mkPen(theme.fit, width=1.4))
        style_plot(self.view.getPlotItem(), theme, self.themes.small_font)
        self.table.set_theme(theme)

    # What is compared

    @Slot()
    def choose(self) -> None:
        """Ask which catalogue to compare with."""
        name, _ = QFileDialog.getOpenFileName(self, "Compare with", "", "Catalogues and sessions (*)")
        if name:
            self.compare_with(Path(name))

    def compare_with(self, path: Path) -> None:
        """Compare the open catalogue with another."""
        catalogue = self._document.catalogue
        if catalogue is not None:
            stage = partial(compare_stage, catalogue, self._document.title, path)
            failed = self._notifications.failure
            self._runner.start(f"Comparing with {path.name}", stage, succeeded=self._on_compared, failed=failed)

    @Slot()
    def choose_folder(self) -> None:
        """Ask where table and figures go, and write them."""
        name = QFileDialog.getExistingDirectory(self, "Folder for table and figures")
        if name and self.shown is not None:
            stage = partial(save_comparison_stage, self.shown.comparison, Path(name))
            failed = self._notifications.failure
            self._runner.start("Saving the comparison", stage, succeeded=self._on_saved, failed=failed)

    @Slot(object)
    def _on_saved(self, files: tuple[Path, ...]) -> None:
        self._notifications.info(f"Saved {len(files)} files in {files[0].parent}.")

    @Slot()
    def _on_results(self) -> None:
        self.shown = None
        self.button.setEnabled(self._document.catalogue is not None)
        self.show_body(False)

    @Slot(object)
    def _on_compared(self, shown: ShownComparison) -> None:
        self.shown = shown
        found = shown.comparison
        how = "by position" if found.by == "position" else "by name"
        self.subtitle.set_text(f"{found.title}: {len(found)} stars in common, matched {how}")
        rows = []
        for row in found.rows:
            info = QUANTITIES[row.label.name]
            digits = info.decimals + (info.unit == "dex")
            rows.append(
                (title_of(row.label.name), str(row.label.n), number(row.label.bias, digits, sign=True),
                 number(row.bias_error, digits), number(row.label.dispersion, digits), number(row.width, 2))
            )  # fmt: skip
        self.table.set_rows([row.label.name for row in found.rows], rows)
        for name, _, _ in CHOICES:
            self.choice.button(name).setEnabled(name in found.against)
        if self.choice.current not in found.against:
            self.choice.choose(next((name for name, _, _ in CHOICES if name in found.against), ""))
        self.show_body(True)
        self._draw()

    # What is drawn

    @Slot()
    def _draw(self, _: str = "") -> None:
        """Draw the differences of the chosen label."""
        label, against = self.table.current, self.choice.current
        if self.shown is None or not label or not against:
            return
        found = self.shown.comparison
        x, y, error = found.against[against], found.differences[label], found.errors[label]
        known = np.isfinite(x) & np.isfinite(y)
        self._rows, self._x, self._y = np.flatnonzero(known), x[known], y[known]
        self.points.setData(self._x, self._y)
        height = 2 * np.nan_to_num(error[known])
        self.errors.setData(x=self._x, y=self._y, height=height)
        bins = self.shown.trends[label, against]
        middle, bias, dispersion = (np.array([getattr(b, k) for b in bins]) for k in ("middle", "bias", "dispersion"))
        self.curve.setData(middle, bias)
        self.bins.setData(x=middle, y=bias, height=2 * dispersion, beam=0)
        plot = self.view.getPlotItem()
        plot.setLabel("bottom", AXES[against])
        plot.setLabel("left", f"Δ{title_of(label)}")
        plot.getAxis("left").setWidth(56)
        self.view.invertX(against == "teff")
        row = found[label].label
        reach = 1.15 * max(min(np.abs(self._y).max(initial=0.0), abs(row.bias) + 6 * row.dispersion), 1e-3)
        self.view.setYRange(-reach, reach, padding=0)
        self.view.enableAutoRange(axis="x")
        self._on_star(self._selection.star)

    @Slot(str)
    def _on_star(self, star_id: str) -> None:
        if self.shown is not None:
            here = np.flatnonzero(self.shown.comparison.star_id[self._rows] == star_id)
            self.mark.setData(self._x[here], self._y[here])

    def _on_clicked(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        if self.shown is None or not len(self._x):
            return
        nearest = point_at(self.view.getViewBox(), event.scenePos(), self._x, self._y)
        if nearest is not None:
            self._selection.set_star(str(self.shown.comparison.star_id[self._rows[nearest]]))

    def sizeHint(self) -> QSize:
        """About square."""
        return QSize(420, 420)
