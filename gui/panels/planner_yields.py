"""The planner's two other plots: what a star list yields with time, and what a cut of the spectrum costs (Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QColor

from gui.panels.planner_canvas import LogAxis, PlannerPlot, Scene, TimeAxis
from gui.panels.planner_table import curve_pen
from gui.panels.plot_items import set_legend_colour
from gui.theme import Theme
from processing.labels.names import LABELS
from processing.planning import formulas, report
from processing.planning.information import PAPER_BULGE_COST, PAPER_BULGE_MEAN
from processing.planning.yields import star_yield

DROP_HINT = "Drop a star list with V magnitudes here"


class StarsPlot(PlannerPlot):
    """Number of stars of the list that reach the targets against time: all targets bold, each label thin."""

    title = "stars"

    def __init__(self) -> None:
        super().__init__()
        self.plot = self.add_plot("stars that reach the target", "exposure time", {"bottom": TimeAxis("bottom")},
                                  (np.log10(10.0), np.log10(720000.0), 0.0, 1.0))  # fmt: skip
        self.exposure = self.add_line(self.plot, 90)
        self.hint = pg.TextItem(DROP_HINT, anchor=(0.5, 0.5))
        self.plot.addItem(self.hint, ignoreBounds=True)
        self.hint.setPos(np.log10(2700.0), 0.5)
        self._sample_shown: object = None

    def take_theme(self, theme: Theme) -> None:
        """Draw the words in a quiet colour."""
        self.hint.setColor(QColor(theme.muted))
        self.hint.setFont(self.font())

    def draw(self, scene: Scene) -> None:
        """Draw one staircase per counted label and a bold one for all of them."""
        plan, sample = scene.plan, scene.sample
        self.mark(self.exposure, np.log10(plan.exposure.time), report.format_time(plan.exposure.time))
        self.hint.setVisible(sample is None)
        total = self.curve(self.plot, "all")
        total.setVisible(sample is not None)
        if sample is None or not self.differs(scene.style, sample, plan.snr_needed, plan.wishes.scale):
            return
        if sample is not self._sample_shown:
            self._sample_shown = sample
            self.plot.setYRange(0.0, 1.05 * len(sample), padding=0)
        # A star counts from its own time on; a thousand times are as fine as the screen.
        times = np.geomspace(1.0, 1e6, 1000)
        unit = star_yield(sample, 1.0, plan.wishes.scale)
        with np.errstate(divide="ignore"):
            counts = np.array([unit.count(times / needed**2) for needed in plan.snr_needed])
        self.draw_labels(self.plot, np.log10(times), counts.T.astype(float), scene, width=1.0)
        total.setData(
            np.log10(times), counts[plan.counted].min(0).astype(float), pen=pg.mkPen(scene.theme.text, width=3)
        )

    def read_out(self, x: float) -> str:
        """Return how many stars reach all targets in the cursor's time."""
        scene, time = self.scene_shown, 10.0**x
        assert scene is not None
        if scene.sample is None:
            return DROP_HINT
        plan, sample = scene.plan, scene.sample
        needed = plan.snr_needed[plan.labels.index(plan.worst)]
        count = int(star_yield(sample, needed, plan.wishes.scale).count(time))
        faint = formulas.magnitude_for_snr(needed, time, plan.wishes.scale)
        return (
            f"{report.format_time(time)}   {count} of {len(sample)} stars ({100 * count / len(sample):.0f} %) "
            f"reach all targets, down to V {faint:.2f}"
        )


@dataclass(frozen=True)
class CutCosts:
    """By how much cuts of the range raise the errors of a star's labels.

    Attributes
    ----------
    labels : tuple of str
    costs : mapping of str to ndarray, shape (n_label,)
        Error after the cut over error before it, by the cut's name.
    star : str
        The star, in words.
    """

    labels: tuple[str, ...]
    costs: Mapping[str, np.ndarray]
    star: str


class LabelAxis(pg.AxisItem):
    """An axis of label symbols."""

    labels: tuple[str, ...] = ()

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """Return one place per label."""
        return [(1.0, [float(i) for i in range(len(self.labels)) if minVal <= i <= maxVal])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Write elements short, as Fig. 8 does."""
        short = {"logg": "logg", "fe_h": "Fe"}
        names = [self.labels[int(v)] for v in values]
        return [short.get(n, LABELS[n].symbol.removesuffix("/Fe]").removeprefix("[")) for n in names]


class CutsPlot(PlannerPlot):
    """The price of losing parts of the spectrum, label by label (Fig. 8), with the paper's factors as diamonds."""

    title = "range"
    symbols = ("o", "t1", "s")

    def __init__(self) -> None:
        super().__init__()
        self.axis = LabelAxis("bottom")
        self.plot = self.add_plot(
            "error with the cut / without", "", {"left": LogAxis("left"), "bottom": self.axis},
            (-0.7, 18.7, np.log10(0.9), np.log10(12.0)),
        )  # fmt: skip
        self.plot.getViewBox().setMouseEnabled(x=False, y=False)
        self.legend = self.plot.addLegend(offset=(12, 4))
        self.points: dict[str, pg.ScatterPlotItem] = {}
        self.hint = pg.TextItem("No network is loaded: its gradients tell what each cut costs", anchor=(0.5, 0.5))
        self.plot.addItem(self.hint, ignoreBounds=True)
        self.hint.setPos(9.0, 0.5)
        self.costs: CutCosts | None = None

    def set_costs(self, costs: CutCosts | None) -> None:
        """Take the costs of another star or network."""
        self.costs = costs

    def take_theme(self, theme: Theme) -> None:
        """Draw the words in the theme's colours."""
        self.hint.setColor(QColor(theme.muted))
        self.hint.setFont(self.font())
        set_legend_colour(self.legend, theme.text)

    def draw(self, scene: Scene) -> None:
        """Draw a symbol per label and cut."""
        costs, theme = self.costs, scene.theme
        if not self.differs(costs, theme):
            return
        self.hint.setVisible(costs is None)
        self.legend.clear()
        for points in self.points.values():
            points.clear()
        if costs is None:
            return
        self.axis.labels = costs.labels
        self.plot.setXRange(-0.7, len(costs.labels) - 0.3, padding=0)
        colours = [curve_pen(name, theme).color() for name in ("c_fe", "teff", "mg_fe")]
        for (name, factor), symbol, colour in zip(costs.costs.items(), self.symbols, colours, strict=False):
            self._show(f"{name} (mean {factor.mean():.2f})", np.arange(factor.size), factor, symbol, pg.mkBrush(colour))
        known = [i for i, name in enumerate(costs.labels) if name in PAPER_BULGE_COST]
        paper = np.array([PAPER_BULGE_COST[costs.labels[i]] for i in known])
        name = f"paper, Fig. 8: 4750–5991 Å lost (mean {PAPER_BULGE_MEAN})"
        self._show(name, np.array(known), paper, "d", None, pg.mkPen(theme.text, width=1.5))
        highest = max([*(float(np.max(f)) for f in costs.costs.values()), 5.0])
        self.plot.setYRange(np.log10(0.9), np.log10(2.0 * highest), padding=0)
        self.plot.setLabel("bottom", costs.star)

    def _show(self, name: str, x: np.ndarray, y: np.ndarray, symbol: str, brush: object, pen: object = None) -> None:
        key = symbol
        if key not in self.points:
            self.points[key] = pg.ScatterPlotItem(size=12 if symbol == "d" else 9)
            self.plot.addItem(self.points[key], ignoreBounds=True)
        self.points[key].setData(x, np.log10(y), symbol=symbol, brush=brush, pen=pen)
        self.points[key].opts.update(symbol=symbol, brush=pg.mkBrush(brush), pen=pg.mkPen(pen))
        self.legend.addItem(self.points[key], name)

    def read_out(self, x: float) -> str:
        """Return the costs of the label under the cursor."""
        if self.costs is None or not 0 <= round(x) < len(self.costs.labels):
            return ""
        i = round(x)
        parts = [f"{name}: × {factor[i]:.2f}" for name, factor in self.costs.costs.items()]
        return "   ".join([LABELS[self.costs.labels[i]].symbol, *parts])
