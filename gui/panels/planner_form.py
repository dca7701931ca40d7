"""The planner's widgets and their places; what they mean is in `planner`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from PySide6.QtCore import QModelIndex, Qt, Signal, Slot
from PySide6.QtGui import QColor, QPalette, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QBoxLayout,
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from gui.panels.panel import Segments
from gui.panels.planner_canvas import PlannerPlot
from gui.panels.planner_fields import FIELD, caption, explain, line_of, note, number_field
from gui.panels.planner_plots import MagnitudePlot, SnrPlot, TimePlot
from gui.panels.planner_table import MEAN, NETWORK, SYMBOL, PrecisionTable
from gui.panels.planner_yields import CutsPlot, StarsPlot
from gui.theme import GRID, Theme
from processing.errors import StellacubeError
from processing.planning.information import PAPER_FACTOR, RANGES
from processing.planning.questions import parse_exposure

WIDTHS = (100, 88, 106, 72, 76, 70, 82, 84)
LEFT = sum(WIDTHS) + 4
PLOT_WIDTH, PLOT_HEIGHT = 420, 400
"""Least size of the plots beside and below the table."""
QWIDGETSIZE_MAX = (1 << 24) - 1
"""Qt's own constant, which PySide6 does not hand on: no limit."""
QUESTIONS = (
    ("precision", "How precise?", "From magnitude and exposure: the error of every label"),
    ("time", "How long?", "From magnitude and targets: the exposure"),
    ("magnitude", "How faint?", "From exposure and targets: the magnitude limit"),
)
PLOTS = (
    ("snr", "σ – SNR", "Error against SNR (the paper's Fig. 13)"),
    ("magnitude", "SNR, σ – V", "SNR and error against magnitude (Fig. 14)"),
    ("time", "Time – V", "Exposure time against magnitude"),
    ("stars", "Star list", "Stars that reach the targets against time"),
    ("cuts", "Wavelengths", "What each cut of the wavelength range costs (Fig. 8)"),
)


class PlannerForm(QFrame):
    """Inputs and table left, plots right; signals say what kind of input has changed."""

    changed = Signal()
    network_changed = Signal()
    plot_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAccessibleName("Planner")
        self._side, self._right = QWidget(), QWidget()
        self._right.setMinimumWidth(1)  # the plots never ask for room: beside the table while there is some, else below
        left = QVBoxLayout(self._side)
        left.setContentsMargins(0, 0, 0, 0)
        left.setSpacing(GRID)
        self.questions = Segments(QUESTIONS)
        self.questions.choose("precision")
        left.addWidget(self.questions)
        left.addLayout(self._star_row())
        left.addLayout(self._exposure_row())
        self.headline = note("headline")
        self.headline.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        left.addWidget(self.headline)
        left.addWidget(self._table_view(), 1)
        self.notes = note("muted")
        left.addWidget(self.notes)
        left.addLayout(self._network_row())
        left.addLayout(self._range_row())
        left.addLayout(self._button_row())
        self._right.setLayout(self._plot_side())
        self._halves = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._halves.setContentsMargins(2 * GRID, GRID, GRID, GRID)
        self._halves.setSpacing(2 * GRID)
        self._halves.addWidget(self._side)
        self._halves.addWidget(self._right, 1)
        self._arrange()
        self.questions.chosen.connect(self._on_question)
        self._on_question()

    # Building ------------------------------------------------------------------------------------------------------

    def _star_row(self) -> QHBoxLayout:
        self.mag = number_field("V magnitude", 18.5, (0.0, 40.0, 0.1), 2)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("V magnitude")
        self.slider.setRange(1200, 2400)
        self.slider.setPageStep(50)
        self.slider.setValue(1850)
        self.mag.valueChanged.connect(self.changed)
        self.slider.valueChanged.connect(self._on_slider)
        return line_of(caption("V"), self.mag, self.slider)

    def _exposure_row(self) -> QHBoxLayout:
        self.count = number_field("Number of exposures", 6, (1, 99999999, 1), 0)
        self.dit = number_field("Single exposure", 600.0, (1.0, 36000.0, 60.0), 0, " s")
        self.total = QLineEdit()
        self.total.setFixedWidth(FIELD)
        self.total.setAlignment(Qt.AlignmentFlag.AlignRight)
        explain(self.total, "Total exposure time; type 45min, 2.5h or 6x600s")
        tip = (
            "Factor on every SNR: 1 is the paper's airmass 1.5 and 0.8″ seeing, other conditions are your own estimate"
        )
        self.scale = number_field(tip, 1.0, (0.05, 20.0, 0.05), 2)
        tip = "Systematic error added in quadrature to every label, dex (to Teff 100 K per dex)"
        self.floor = number_field(tip, 0.0, (0.0, 1.0, 0.01), 3)
        for spin in (self.count, self.dit, self.scale, self.floor):
            spin.valueChanged.connect(self.changed)
        self.total.editingFinished.connect(self._on_total)
        line = line_of(caption("N × DIT"), self.count, QLabel("×"), self.dit, QLabel("="), self.total)
        line.addStretch(1)
        for text, field in (("SNR ×", self.scale), ("floor", self.floor)):
            line.addWidget(caption(text, narrow=True))
            line.addWidget(field)
        return line

    def _table_view(self) -> QTableView:
        self.table = PrecisionTable()
        self.view = QTableView()
        self.view.setAccessibleName("Precision of every label")
        self.view.setModel(self.table)
        self.view.setShowGrid(False)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setTabKeyNavigation(False)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(3 * GRID + 1)
        header = self.view.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        for column, width in enumerate(WIDTHS):
            self.view.setColumnWidth(column, width)
        header.setSectionResizeMode(SYMBOL, QHeaderView.ResizeMode.Stretch)
        self.view.setMinimumHeight(6 * 3 * GRID)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.selectionModel().currentRowChanged.connect(self._on_row)
        self.show_columns(network=False, mean=False)
        return self.view

    def _network_row(self) -> QHBoxLayout:
        self.sources = Segments((
            ("formula", "Formula", "The paper's Eqs 11–13 and Table 3"),
            ("network", "Network", "The Cramér–Rao bound of the program's own network, times the factor"),
        ))  # fmt: skip
        self.sources.choose("formula")
        self.sources.button("network").setEnabled(False)
        self.sources.chosen.connect(self.changed)
        asked = "of the star that the network is asked about"
        self.teff = number_field(f"Effective temperature {asked}", 4800.0, (3000.0, 9000.0, 100.0), 0, " K")
        self.logg = number_field(f"Surface gravity {asked}", 2.5, (-0.5, 5.5, 0.1), 2)
        self.feh = number_field(f"[Fe/H] {asked}", 0.0, (-4.0, 1.0, 0.1), 2)
        for spin in (self.teff, self.logg, self.feh):
            spin.valueChanged.connect(self.network_changed)
        line = line_of(self.sources)
        line.addStretch(1)
        for text, spin in (("Teff", self.teff), ("log g", self.logg), ("[Fe/H]", self.feh)):
            line.addWidget(caption(text, narrow=True))
            line.addWidget(spin)
        return line

    def _range_row(self) -> QHBoxLayout:
        self.ranges = QComboBox()
        for name, wave_range in RANGES.items():
            self.ranges.addItem(wave_range.title, name)
        explain(self.ranges, "Wavelengths that the network's answer uses")
        self.ranges.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.flat, self.prior = QCheckBox("flat SNR"), QCheckBox("prior")
        explain(self.flat, "The same SNR at all wavelengths instead of a cool star's")
        explain(self.prior, "A prior of 0.3 dex on every [X/Fe], as the fit uses it")
        tip = "Real errors over the Cramér–Rao bound: 1.5 in the paper, measured from repeats where there are any"
        self.factor = number_field(tip, PAPER_FACTOR, (0.5, 10.0, 0.1), 2)
        self.ranges.currentIndexChanged.connect(self.network_changed)
        self.factor.valueChanged.connect(self.network_changed)
        for box in (self.flat, self.prior):
            box.toggled.connect(self.network_changed)
        line = line_of(self.ranges, self.flat, self.prior, caption("bound ×", narrow=True), self.factor)
        line.setStretch(0, 1)
        return line

    def _button_row(self) -> QHBoxLayout:
        self.copy, self.csv = QPushButton("Copy sentence"), QPushButton("CSV…")
        self.png, self.open_list = QPushButton("PNG…"), QPushButton("Star list…")
        explain(self.copy, "A paragraph for the proposal, to the clipboard")
        explain(self.csv, "Save the table")
        explain(self.png, "Save the plot that is shown")
        explain(self.open_list, "Plan for a list of V magnitudes; or drop one here")
        self.said = note("muted")
        line = line_of(self.copy, self.csv, self.png, self.open_list, self.said)
        line.setStretch(4, 1)
        return line

    def _plot_side(self) -> QVBoxLayout:
        self.plots: dict[str, PlannerPlot] = {
            "snr": SnrPlot(), "magnitude": MagnitudePlot(), "time": TimePlot(), "stars": StarsPlot(),
        }  # fmt: skip
        self.cuts = CutsPlot()
        self.plots["cuts"] = self.cuts
        self.stack = QStackedWidget()
        self.read_out = note("muted")
        self.read_out.setMinimumHeight(2 * self.read_out.fontMetrics().lineSpacing())
        self.read_out.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.read_out.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for plot in self.plots.values():
            plot.setFrameShape(QFrame.Shape.NoFrame)
            plot.read.connect(self.read_out.setText)
            self.stack.addWidget(plot)
        self.chosen_plot = Segments(PLOTS)
        self.chosen_plot.choose("magnitude")
        self.chosen_plot.chosen.connect(self.show_plot)
        self.share = number_field(
            "Share of the list's stars that must reach the targets", 80, (1, 100, 5), 0, " % of the stars"
        )
        self.share.setFixedWidth(2 * FIELD)
        self.share.valueChanged.connect(self.changed)
        self.share.hide()
        top = line_of(self.chosen_plot)
        top.addStretch(1)
        top.addWidget(self.share)
        side = QVBoxLayout()
        side.setContentsMargins(0, 0, 0, 0)
        side.setSpacing(GRID)
        side.addLayout(top)
        side.addWidget(self.stack, 1)
        side.addWidget(self.read_out)
        self.stack.setCurrentWidget(self.plots["magnitude"])
        return side

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the plots below the table where both do not fit side by side."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        narrow = self.width() < LEFT + PLOT_WIDTH
        directions = QBoxLayout.Direction
        self._halves.setDirection(directions.TopToBottom if narrow else directions.LeftToRight)
        self._side.setMinimumWidth(LEFT)
        self._side.setMaximumWidth(QWIDGETSIZE_MAX if narrow else LEFT)
        self._right.setMinimumHeight(PLOT_HEIGHT if narrow else 0)

    # What the panel asks and sets ----------------------------------------------------------------------------------

    @property
    def star(self) -> tuple[float, float, float]:
        """Teff in K, log g and [Fe/H] of the star that the network is asked about."""
        return self.teff.value(), self.logg.value(), self.feh.value()

    @property
    def wave_range(self) -> str:
        """Name of the chosen wavelength range."""
        return str(self.ranges.currentData())

    @property
    def current_plot(self) -> PlannerPlot:
        """The plot that is shown."""
        return next(plot for plot in self.plots.values() if plot is self.stack.currentWidget())

    @property
    def chosen_label(self) -> str:
        """The label of the table's current row, or ""."""
        row = self.view.currentIndex().row()
        return self.table.label(row) if row >= 0 else ""

    @contextmanager
    def silently(self) -> Iterator[None]:
        """Set inputs without their telling anybody."""
        inputs: Sequence[QWidget] = (self.count, self.mag, self.slider, self.total)
        for widget in inputs:
            widget.blockSignals(True)
        yield
        for widget in inputs:
            widget.blockSignals(False)

    def say(self, text: str, wrong: bool = False) -> None:
        """Say something: what is wrong in place of the answer, all else beside the buttons."""
        (self.headline if wrong else self.said).setText(text)

    def set_notes(self, notes: Sequence[str]) -> None:
        """Show the remarks under the table."""
        self.notes.setText(" ".join(notes))
        self.notes.setVisible(bool(notes))

    def outline_boxes(self, theme: Theme) -> None:
        """Make empty tick boxes visible: the style draws their outline in a darker shade of the window's colour."""
        for widget in (self.flat, self.prior, self.view):
            colours = widget.palette()
            colours.setColor(QPalette.ColorRole.Window, QColor(theme.muted))
            widget.setPalette(colours)

    def show_columns(self, *, network: bool, mean: bool) -> None:
        """Show the columns that have something to say."""
        self.view.setColumnHidden(NETWORK, not network)
        self.view.setColumnHidden(MEAN, not mean)

    @Slot(str)
    def show_plot(self, name: str) -> None:
        """Show one of the plots."""
        self.chosen_plot.choose(name)
        self.stack.setCurrentWidget(self.plots[name])
        self.share.setVisible(name == "stars")
        self.read_out.clear()
        self.plot_changed.emit()

    @Slot()
    def _on_question(self) -> None:
        """Lock the quantity that is asked: its field shows the answer."""
        asked = self.questions.current
        for widget in (self.mag, self.slider):
            widget.setEnabled(asked != "magnitude")
        for field in (self.count, self.total):
            field.setEnabled(asked != "time")
        self.changed.emit()

    @Slot(int)
    def _on_slider(self, value: int) -> None:
        self.mag.setValue(value / 100.0)

    @Slot()
    def _on_total(self) -> None:
        try:
            exposure = parse_exposure(self.total.text(), self.dit.value())
        except StellacubeError as error:
            self.say(str(error), wrong=True)
            return
        self.dit.blockSignals(True)
        self.dit.setValue(exposure.dit)
        self.dit.blockSignals(False)
        self.count.setValue(exposure.count)
        self.changed.emit()

    @Slot(QModelIndex)
    def _on_row(self) -> None:
        self.plot_changed.emit()
