"""What the planner's plots share: axes, cursor, the greyed band, and what they are given to draw."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal, Slot
from PySide6.QtGui import QColor, QGuiApplication, QPen
from PySide6.QtWidgets import QWidget

from gui.panels.planner_table import curve_pen
from gui.theme import DARK, LIGHT, Theme
from processing.labels.names import LABELS
from processing.planning import formulas
from processing.planning.formulas import PrecisionLaw
from processing.planning.questions import Plan
from processing.planning.yields import StarSample

TIMES = (1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0, 360000.0)


@dataclass(frozen=True)
class Measured:
    """Stars that the program has measured: SNR and magnitude, errors by label, and their exposure in s (or NaN)."""

    snr: np.ndarray
    mag: np.ndarray
    time: float = float("nan")
    errors: dict[str, np.ndarray] = field(default_factory=dict)
    band: str = "V"

    def snr_ratio(self) -> float:
        """Return the median of measured over predicted SNR; NaN when the exposure or all magnitudes are unknown."""
        low, high = formulas.MAG_POSSIBLE
        good = (self.mag > low) & (self.mag < high) & (self.snr > 0)
        if not (self.time > 0 and good.any()):
            return float("nan")
        return float(np.median(self.snr[good] / formulas.snr(self.mag[good], self.time)))


@dataclass(frozen=True)
class Scene:
    """All that the plots draw."""

    plan: Plan
    law: PrecisionLaw
    theme: Theme
    measured: Measured | None = None
    sample: StarSample | None = None
    chosen: str = ""
    """The label whose curve is drawn strongly."""

    @property
    def style(self) -> tuple[object, ...]:
        """What decides which curves are drawn and how."""
        return self.theme.name, self.chosen, self.plan.labels, self.plan.counted.tobytes()


def current_theme() -> Theme:
    """Return the theme that the application is in."""
    return DARK if QGuiApplication.palette().window().color().lightness() < 128 else LIGHT


class LogAxis(pg.AxisItem):
    """An axis of logarithms with round numbers at 1, 2, 5 of every decade."""

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """Return where numbers and small ticks stand."""
        decades = range(int(np.floor(minVal)), int(np.ceil(maxVal)) + 1)
        steps = (1, 2, 5) if maxVal - minVal < 4 and size > 60 * (maxVal - minVal) else (1,)
        major = [d + np.log10(s) for d in decades for s in steps]
        minor = [d + np.log10(s) for d in decades for s in range(1, 10)]
        inside = [[v for v in values if minVal <= v <= maxVal] for values in (major, minor)]
        return [(1.0, inside[0]), (0.1, [v for v in inside[1] if v not in inside[0]])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Write the numbers themselves, not their logarithms."""
        return [f"{10.0**v:.4g}" if spacing == 1.0 else "" for v in values]


class TimeAxis(LogAxis):
    """A logarithmic axis of times in seconds, minutes and hours."""

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """Return the round times."""
        return [(1.0, [v for v in np.log10(TIMES) if minVal <= v <= maxVal])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Write "10 min", "1 h"."""
        words = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 36000: "10 h", 360000: "100 h"}
        return [words[round(10.0**v)] for v in values]


class PlannerPlot(pg.GraphicsLayoutWidget):
    """One or two plots over the same axis, with a cursor, the band of trust, and a line of text under the cursor."""

    read = Signal(str)
    """What the cursor points at."""
    title = ""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.title)
        self.ci.layout.setContentsMargins(0, 8, 8, 0)
        self.scene_shown: Scene | None = None
        self.plots: list[pg.PlotItem] = []
        self._texts: list[tuple[pg.TextItem, pg.PlotItem, float]] = []
        self._greys: list[pg.LinearRegionItem] = []
        self._curves: dict[tuple[int, str], pg.PlotCurveItem] = {}
        self._cursors: list[pg.InfiniteLine] = []
        self._drawn: tuple[list[object], tuple[object, ...]] | None = None
        self.scene().sigMouseMoved.connect(self._on_moved)

    def add_plot(self, left: str, bottom: str, axes: dict[str, pg.AxisItem], ranges: tuple[float, ...]) -> pg.PlotItem:
        """Add a plot below the others; `ranges` are x from, to, y from, to in the plot's own coordinates."""
        plot = self.addPlot(row=len(self.plots), col=0, axisItems=axes, enableMenu=False)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setLabel("left", left)
        plot.setLabel("bottom", bottom)
        plot.getAxis("left").setWidth(62)
        for side in ("left", "bottom"):
            plot.getAxis(side).enableAutoSIPrefix(False)
        x0, x1, y0, y1 = ranges
        plot.setXRange(x0, x1, padding=0)
        plot.setYRange(y0, y1, padding=0)
        cursor = pg.InfiniteLine(angle=90)
        cursor.hide()
        plot.addItem(cursor, ignoreBounds=True)
        self._cursors.append(cursor)
        self.plots.append(plot)
        return plot

    def grey_out(self, plot: pg.PlotItem, x0: float, x1: float) -> None:
        """Cover what lies below x0 and above x1: the formulas are not trusted there."""
        for low, high in ((x0 - 1000.0, x0), (x1, x1 + 1000.0)):
            region = pg.LinearRegionItem((low, high), movable=False, pen=QPen(Qt.PenStyle.NoPen))
            region.setZValue(20)
            plot.addItem(region, ignoreBounds=True)
            self._greys.append(region)
        for x, anchor in ((x0, (1, 0)), (x1, (0, 0))):
            text = pg.TextItem("extrapolated", anchor=anchor)
            text.setZValue(30)
            plot.addItem(text, ignoreBounds=True)
            self._texts.append((text, plot, x))
        plot.getViewBox().sigRangeChanged.connect(self._on_range)

    def add_line(self, plot: pg.PlotItem, angle: int) -> pg.InfiniteLine:
        """Add a line that marks the star, the exposure or a target."""
        line = pg.InfiniteLine(angle=angle)
        plot.addItem(line, ignoreBounds=True)
        return line

    def mark(self, line: pg.InfiniteLine, value: float, text: str) -> None:
        """Move a line that marks the star or the exposure, and write beside it what it means."""
        line.setValue(value)
        if not hasattr(line, "label"):
            place, side = (0.04, (0, 0.5)) if line.angle % 180 else (0.25, (0.5, 1))
            line.label = pg.InfLineLabel(line, position=place, anchors=[side, side])
            line.setZValue(25)
        line.label.setFormat(text)
        if self.scene_shown is not None:
            line.label.setColor(QColor(self.scene_shown.theme.text))
            line.setPen(pg.mkPen(self.scene_shown.theme.text, width=1.2))

    def curve(self, plot: pg.PlotItem, name: str) -> pg.PlotCurveItem:
        """Return the curve of a name in a plot, made when it is first asked for."""
        key = (self.plots.index(plot), name)
        if key not in self._curves:
            self._curves[key] = pg.PlotCurveItem(antialias=True)
            plot.addItem(self._curves[key], ignoreBounds=True)
        return self._curves[key]

    def differs(self, *drawn: object) -> bool:
        """Return True when what would be drawn is not what was drawn last, and remember it."""
        # Laws, lists and measured stars are never changed in place: the same object is the same content. Keeping them
        # keeps their identity from being given to another object.
        key: list[object] = [
            part.tobytes() if isinstance(part, np.ndarray) else part if isinstance(part, float | tuple) else id(part)
            for part in drawn
        ]
        same = self._drawn is not None and self._drawn[0] == key
        self._drawn = (key, drawn)
        return not same

    def draw_labels(self, plot: pg.PlotItem, x: np.ndarray, y: np.ndarray, scene: Scene, width: float = 2.0) -> None:
        """Draw the counted labels' curves, y of shape (n_x, n_label), and hide all others."""
        number = self.plots.index(plot)
        counted = [name for name, counts in zip(scene.plan.labels, scene.plan.counted, strict=True) if counts]
        for i, name in enumerate(scene.plan.labels):
            if name in counted:
                pen = curve_pen(name, scene.theme, width + 1.5 * (name == scene.chosen))
                self.curve(plot, name).setData(x, y[:, i], pen=pen, connect="finite")
        for (where, name), curve in self._curves.items():
            if where == number and name in LABELS:
                curve.setVisible(name in counted)

    def show_scene(self, scene: Scene) -> None:
        """Draw a plan; subclasses draw their curves in `draw`."""
        if self.scene_shown is None or self.scene_shown.theme is not scene.theme:
            self._take_theme(scene.theme)
        self.scene_shown = scene
        self.draw(scene)
        self._on_range()

    def draw(self, scene: Scene) -> None:
        """Draw the curves."""
        raise NotImplementedError

    def read_out(self, x: float) -> str:
        """Return what the plot says at a place on its axis."""
        raise NotImplementedError

    def _take_theme(self, theme: Theme) -> None:
        self.setBackground(theme.panel)
        faint = QColor(theme.panel)
        faint.setAlpha(185)
        for plot in self.plots:
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(pg.mkPen(theme.line))
                axis.setTextPen(pg.mkPen(theme.muted))
                axis.setTickFont(self.font())
                axis.label.setFont(self.font())
        for region in self._greys:
            region.setBrush(faint)
            region.setHoverBrush(faint)
        for text, _, _ in self._texts:
            text.setColor(QColor(theme.muted))
            text.setFont(self.font())
        for line in self._cursors:
            line.setPen(pg.mkPen(theme.muted, width=1, style=Qt.PenStyle.DotLine))
        self.take_theme(theme)

    def take_theme(self, theme: Theme) -> None:
        """Take on the colours of what a subclass has added."""

    @Slot()
    def _on_range(self) -> None:
        for text, plot, x in self._texts:
            text.setPos(x, plot.getViewBox().viewRange()[1][1])

    @Slot(object)
    def _on_moved(self, position: QPointF) -> None:
        inside = next((p for p in self.plots if p.getViewBox().sceneBoundingRect().contains(position)), None)
        for cursor in self._cursors:
            cursor.setVisible(inside is not None)
        if inside is None or self.scene_shown is None:
            self.read.emit("")
            return
        x = float(inside.getViewBox().mapSceneToView(position).x())
        for cursor in self._cursors:
            cursor.setValue(x)
        self.read.emit(self.read_out(x))

    def leaveEvent(self, event: object) -> None:
        """Take the cursor away with the mouse."""
        self._on_moved(QPointF(-1, -1))
        super().leaveEvent(event)
