"""Stars that were observed more than once: how well every label repeats, and what that says of its errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtWidgets import QCheckBox, QFileDialog, QPushButton, QSplitter, QVBoxLayout

from gui.comparing import EDGES, ShownRepeats, repeats_stage, save_repeats_stage
from gui.document import Document
from gui.jobs import JobRunner
from gui.notifications import Notifications
from gui.panels.label_list import LabelList, number, title_of, tool_button
from gui.panels.panel import Elided, EmptyState, Panel
from gui.panels.plot_items import faded, set_legend_colour, style_plot
from gui.theme import GRID, Theme, ThemeManager
from processing.catalogue.terms import QUANTITIES

COLUMNS = (
    ("Label", ""),
    ("Pairs", "Pairs of measurements of the same star"),
    ("Scatter", "Robust standard deviation of one measurement, from the pairs"),
    ("Error", "Median error of one measurement, without the network's own error"),
    ("Factor", "Robust width of the differences over their errors, by which the errors are too small"),
    ("68 %", "Interval of the factor, from drawing the stars again"),
    ("Eq. 10", "The same as a standard deviation, as in the paper"),
)
FILES = "Sessions and catalogues (*.stellacube *.fits *.ecsv *.csv *.vot)"


class RepeatsPanel(Panel):
    """Shows how well the labels of repeated observations agree."""

    name = "repeats"
    title = "Repeats"
    factors_wanted = Signal(object)
    """Factors on Cramer-Rao bounds by label, for the planner."""

    def __init__(
        self, document: Document, themes: ThemeManager, runner: JobRunner, notifications: Notifications
    ) -> None:
        empty = EmptyState(
            "stars", "No repeats yet", "Choose sessions or catalogues that hold the same stars: the one that is open "
            "counts too.",
        )  # fmt: skip
        super().__init__(themes, empty)
        self._document, self._runner, self._notifications = document, runner, notifications
        self.shown: ShownRepeats | None = None
        self.joint = QCheckBox("Fit the spectra of each star together")
        self.joint.setToolTip("One set of labels from all spectra of a star; needs sessions, and takes longer")
        self.button = QPushButton("Choose …")
        self.button.clicked.connect(self.choose)
        empty.buttons.addWidget(self.joint)
        empty.buttons.addWidget(self.button)
        self._build_header()
        self._build_body()
        self.finish()

    def _build_header(self) -> None:
        self.subtitle = Elided()
        self.subtitle.setObjectName("muted")
        self.header.tools.addWidget(self.subtitle, 1)
        self.planner = tool_button(
            "To planner", "Let the planner multiply the network's bounds by the factors measured here"
        )
        self.again = tool_button("Other …", "Choose other sessions or catalogues")
        self.save = tool_button("Save …", "Save the tables and the figure; the factors are for `calibrate`")
        for button, slot in (
            (self.planner, self._on_planner), (self.again, self.choose), (self.save, self.choose_folder),
        ):  # fmt: skip
            button.clicked.connect(slot)
            self.header.tools.addWidget(button)
        self.header.optional = [self.subtitle]

    def _build_body(self) -> None:
        self.view = pg.PlotWidget(enableMenu=False)
        self.view.setAccessibleName("Differences over their errors")
        plot = self.view.getPlotItem()
        plot.layout.setContentsMargins(6, 4, 12, 4)
        plot.setLabel("bottom", "Difference / error")
        plot.setLabel("left", "Pairs")
        plot.getAxis("left").setWidth(44)
        self.legend = plot.addLegend(offset=(-8, 4))
        self.bars = pg.BarGraphItem(x=EDGES[:1], height=[0.0], width=EDGES[1] - EDGES[0])
        self.right = pg.PlotDataItem(antialias=True, name="right errors")
        self.scaled = pg.PlotDataItem(antialias=True, name="these, times the factor")
        for item in (self.bars, self.right, self.scaled):
            self.view.addItem(item)
        self.view.setXRange(EDGES[0], EDGES[-1], padding=0)
        self.view.setMouseEnabled(False, False)
        self.table = LabelList(COLUMNS)
        self.table.setAccessibleName("How well every label repeats")
        self.table.chosen.connect(self._draw)
        both = QSplitter(Qt.Orientation.Vertical)
        both.setChildrenCollapsible(False)
        both.addWidget(self.view)
        both.addWidget(self.table)
        both.setSizes([5000, 6000])
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, GRID // 2)
        column.addWidget(both)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self.view.setBackground(theme.panel)
        self.bars.setOpts(brush=faded(theme.accent, 0.45), pen=pg.mkPen(None))
        self.right.setPen(pg.mkPen(theme.muted, width=1.4))
        self.scaled.setPen(pg.mkPen(theme.fit, width=1.4, style=Qt.PenStyle.DashLine))
        set_legend_colour(self.legend, theme.text)
        style_plot(self.view.getPlotItem(), theme, self.themes.small_font)
        self.table.set_theme(theme)

    # What is looked at

    @Slot()
    def choose(self) -> None:
        """Ask which sessions or catalogues hold repeats."""
        names, _ = QFileDialog.getOpenFileNames(self, "Sessions or catalogues of the same stars", "", FILES)
        if names:
            self.look_at([Path(name) for name in names])

    def look_at(self, paths: Sequence[Path]) -> None:
        """Look for stars that these files, and the open session, measured more than once."""
        session = self._document.session
        own = [Path(session.path)] if session is not None else []
        files = list(dict.fromkeys(path.resolve() for path in (*own, *paths)))
        stage = partial(repeats_stage, files, self.joint.isChecked())
        failed = self._notifications.failure
        self._runner.start("Looking for repeats", stage, succeeded=self._on_found, failed=failed)

    @Slot()
    def choose_folder(self) -> None:
        """Ask where tables and figure go, and write them."""
        name = QFileDialog.getExistingDirectory(self, "Folder for tables and figure")
        if name and self.shown is not None:
            stage = partial(save_repeats_stage, self.shown.study, Path(name))
            failed = self._notifications.failure
            self._runner.start("Saving the repeats", stage, succeeded=self._on_saved, failed=failed)

    @Slot(object)
    def _on_saved(self, files: tuple[Path, ...]) -> None:
        self._notifications.info(f"Saved {', '.join(path.name for path in files)} in {files[0].parent}.")

    @Slot()
    def _on_planner(self) -> None:
        if self.shown is not None:
            self.factors_wanted.emit(self.shown.study.planner_factors)

    @Slot(object)
    def _on_found(self, shown: ShownRepeats) -> None:
        self.shown = shown
        study = shown.study
        self.subtitle.set_text(f"{study.repeats.n_star} stars, {len(study.repeats.star)} measurements")
        self.planner.setEnabled(bool(study.planner_factors))
        rows = []
        for entry in study.found:
            info = QUANTITIES[entry.name]
            digits = info.decimals + (info.unit == "dex")
            widths = ("–", "–", "–")
            if entry.robust is not None and entry.eq10 is not None:
                interval = f"{number(entry.robust.low, 2)}–{number(entry.robust.high, 2)}"
                widths = (f"× {number(entry.robust.value, 2)}", interval, f"× {number(entry.eq10.value, 2)}")
            sizes = (number(entry.scatter, digits), number(entry.error, digits))
            rows.append((title_of(entry.name), str(entry.n_pair), *sizes, *widths))
        self.table.set_rows([entry.name for entry in study.found], rows)
        for note in study.notes:
            self._notifications.info(note)
        self.show_body(True)
        self._draw()

    @Slot()
    def _draw(self, _: str = "") -> None:
        """Draw the differences of the chosen label over their errors."""
        label = self.table.current
        if self.shown is None or label not in self.shown.counts:
            self.bars.setOpts(x=EDGES[:1], height=[0.0])
            self.right.clear()
            self.scaled.clear()
            return
        counts, entry = self.shown.counts[label], self.shown.study[label]
        step = EDGES[1] - EDGES[0]
        self.bars.setOpts(x=EDGES[:-1] + step / 2, height=counts, width=step)
        x = np.linspace(EDGES[0], EDGES[-1], 241)
        factor = entry.robust.value if entry.robust is not None else 1.0
        for curve, width in ((self.right, 1.0), (self.scaled, factor)):
            curve.setData(x, counts.sum() * step * np.exp(-0.5 * (x / width) ** 2) / (width * np.sqrt(2 * np.pi)))
        top = max(counts.max(), counts.sum() * step / np.sqrt(2 * np.pi) / min(factor, 1.0))
        self.view.setYRange(0, 1.15 * top, padding=0)

    def sizeHint(self) -> QSize:
        """About square."""
        return QSize(420, 420)
