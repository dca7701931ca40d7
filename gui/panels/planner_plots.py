"""The planner's plots: precision against SNR and magnitude, time against magnitude (Figs 13 and 14)."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QBrush, QColor

from gui.panels.planner_canvas import LogAxis, Measured, PlannerPlot, Scene, TimeAxis
from gui.panels.planner_table import curve_pen
from gui.theme import Theme
from processing.labels.names import LABELS
from processing.planning import formulas, report

MAGS = np.linspace(10.0, 25.0, 151)
SNRS = np.geomspace(1.0, 3000.0, 141)


def errors_text(scene: Scene, sigma: np.ndarray) -> str:
    """Write the counted labels' errors in one line."""
    return "   ".join(
        f"{LABELS[name].symbol} {report.format_sigma(name, float(value), unit=name == 'teff')}"
        for name, value, counts in zip(scene.plan.labels, sigma, scene.plan.counted, strict=True)
        if counts
    )


def in_hundreds(labels: tuple[str, ...]) -> np.ndarray:
    """Return what each label's error is divided by to share an axis in dex: 100 K for Teff, as in Fig. 13."""
    return np.array([100.0 if name == "teff" else 1.0 for name in labels])


SHARED_AXIS = "1σ error  (dex; Teff in 100 K)"


class TargetLines:
    """Dashed lines at the targets of the counted labels, one for each different value."""

    def __init__(self, view: PlannerPlot, plot: pg.PlotItem) -> None:
        self._view, self._plot = view, plot
        self._lines: list[pg.InfiniteLine] = []

    def show(self, values: np.ndarray, theme: Theme) -> None:
        """Draw lines at the different ones of `values` (plot coordinates)."""
        wanted = sorted(set(np.round(values[np.isfinite(values)], 6)))
        while len(self._lines) < len(wanted):
            self._lines.append(self._view.add_line(self._plot, 0))
        pen = pg.mkPen(theme.muted, width=1, style=Qt.PenStyle.DashLine)
        for i, line in enumerate(self._lines):
            line.setVisible(i < len(wanted))
            if i < len(wanted):
                line.setValue(wanted[i])
                line.setPen(pen)


class SnrPlot(PlannerPlot):
    """Error against SNR (Fig. 13): circles where each label reaches its target, a line at this star's SNR."""

    title = "error – SNR"

    def __init__(self) -> None:
        super().__init__()
        self.plot = self.add_plot(
            SHARED_AXIS, "SNR per 1.25 Å pixel", {"left": LogAxis("left"), "bottom": LogAxis("bottom")},
            (np.log10(4.0), np.log10(1000.0), np.log10(0.005), np.log10(4.0)),
        )  # fmt: skip
        self.grey_out(self.plot, *np.log10(formulas.SNR_VALID))
        self.targets = TargetLines(self, self.plot)
        self.here = self.add_line(self.plot, 90)
        self.reached = pg.ScatterPlotItem(size=9)
        self.stars = pg.ScatterPlotItem(size=5, pen=None)
        for item in (self.stars, self.reached):
            self.plot.addItem(item, ignoreBounds=True)

    def draw(self, scene: Scene) -> None:
        """Draw errors at all SNR."""
        plan, unit = scene.plan, in_hundreds(scene.plan.labels)
        self.mark(self.here, np.log10(plan.snr), f"SNR {plan.snr:.3g}")
        if not self.differs(scene.style, plan.targets, plan.floors, scene.law, scene.measured):
            return
        self.draw_labels(self.plot, np.log10(SNRS), np.log10(scene.law.sigma(SNRS, plan.floors) / unit), scene)
        self.targets.show(np.log10(plan.targets / unit)[plan.counted], scene.theme)
        shown = plan.counted & np.isfinite(plan.snr_needed) & (plan.snr_needed > 0)
        names = [name for name, use in zip(plan.labels, shown, strict=True) if use]
        pens = [pg.mkPen(curve_pen(name, scene.theme).color(), width=2) for name in names]
        self.reached.setData(
            np.log10(plan.snr_needed[shown]), np.log10((plan.targets / unit)[shown]), pen=pens,
            brush=pg.mkBrush(scene.theme.panel),
        )  # fmt: skip
        self._draw_stars(scene)

    def _draw_stars(self, scene: Scene) -> None:
        places: list[np.ndarray] = []
        colours: list[QBrush] = []
        measured = scene.measured or Measured(np.empty(0), np.empty(0))
        for name, divisor in zip(scene.plan.labels, in_hundreds(scene.plan.labels), strict=True):
            errors = measured.errors.get(name)
            if errors is None or not scene.plan.counted[scene.plan.labels.index(name)]:
                continue
            good = (errors > 0) & (measured.snr > 0)
            places.append(np.log10([measured.snr[good], errors[good] / divisor]).T)
            colour = curve_pen(name, scene.theme).color()
            colour.setAlpha(110)
            colours += [QBrush(colour)] * int(good.sum())
        if places:
            self.stars.setData(*np.concatenate(places).T, brush=colours)
        else:
            self.stars.clear()

    def read_out(self, x: float) -> str:
        """Return the errors at the cursor's SNR."""
        scene, snr = self.scene_shown, 10.0**x
        assert scene is not None
        return f"SNR {snr:.3g}   {errors_text(scene, scene.law.sigma(snr, scene.plan.floors))}"


class MagnitudePlot(PlannerPlot):
    """SNR against magnitude with the SNR that each label needs (Fig. 14), and the errors below it."""

    title = "error – V"

    def __init__(self) -> None:
        super().__init__()
        self.top = self.add_plot("SNR", "", {"left": LogAxis("left")}, (12.0, 24.0, np.log10(3.0), np.log10(1500.0)))
        self.top.getAxis("bottom").setStyle(showValues=False)
        self.bottom = self.add_plot(
            SHARED_AXIS, "V magnitude", {"left": LogAxis("left")}, (12.0, 24.0, np.log10(0.005), np.log10(4.0))
        )
        self.bottom.setXLink(self.top)
        self.ci.layout.setRowStretchFactor(0, 2)
        self.ci.layout.setRowStretchFactor(1, 3)
        self.ci.layout.setVerticalSpacing(0)
        for plot in self.plots:
            self.grey_out(plot, *formulas.MAG_VALID)
        self.targets = TargetLines(self, self.bottom)
        self.here = [self.add_line(plot, 90) for plot in self.plots]
        self.reached = pg.ScatterPlotItem(size=9)
        self.bottom.addItem(self.reached, ignoreBounds=True)
        self.stars = pg.ScatterPlotItem(size=6, pen=None)
        self.top.addItem(self.stars, ignoreBounds=True)

    def take_theme(self, theme: Theme) -> None:
        """Draw measured stars in the accent colour."""
        colour = QColor(theme.accent)
        colour.setAlpha(120)
        self.stars.setBrush(colour)

    def draw(self, scene: Scene) -> None:
        """Draw SNR and errors at all magnitudes after the plan's exposure."""
        plan, theme, unit = scene.plan, scene.theme, in_hundreds(scene.plan.labels)
        for line, words in zip(self.here, (f"SNR {plan.snr:.3g}", f"V {plan.mag:.2f}"), strict=True):
            self.mark(line, plan.mag, words)
        time, scale = plan.exposure.time, plan.wishes.scale
        if not self.differs(scene.style, plan.targets, plan.floors, scene.law, scene.measured, time, scale):
            return
        snr = formulas.snr(MAGS, time, scale)
        self.curve(self.top, "snr").setData(MAGS, np.log10(snr), pen=pg.mkPen(theme.text, width=2.5))
        needed = np.broadcast_to(plan.snr_needed, (2, len(plan.labels)))
        with np.errstate(divide="ignore"):
            self.draw_labels(self.top, np.array([10.0, 25.0]), np.log10(needed), scene)
        self.draw_labels(self.bottom, MAGS, np.log10(scene.law.sigma(snr, plan.floors) / unit), scene)
        self.targets.show(np.log10(plan.targets / unit)[plan.counted], theme)
        shown = plan.counted & np.isfinite(plan.mag_limit)
        pens = [pg.mkPen(curve_pen(n, theme).color(), width=2) for n, s in zip(plan.labels, shown, strict=True) if s]
        self.reached.setData(
            plan.mag_limit[shown], np.log10((plan.targets / unit)[shown]), pen=pens, brush=pg.mkBrush(theme.panel)
        )
        measured = scene.measured
        if measured is None:
            self.stars.clear()
            self.curve(self.top, "formula").setData([], [])
            return
        good = np.isfinite(measured.mag) & (measured.snr > 0)
        self.stars.setData(measured.mag[good], np.log10(measured.snr[good]))
        if measured.time > 0:
            dashed = pg.mkPen(theme.accent, width=2, style=Qt.PenStyle.DashLine)
            self.curve(self.top, "formula").setData(MAGS, np.log10(formulas.snr(MAGS, measured.time)), pen=dashed)

    def read_out(self, x: float) -> str:
        """Return SNR and errors at the cursor's magnitude."""
        scene = self.scene_shown
        assert scene is not None
        snr = float(formulas.snr(np.clip(x, *formulas.MAG_POSSIBLE), scene.plan.exposure.time, scene.plan.wishes.scale))
        return f"V {x:.2f}   SNR {snr:.3g}   {errors_text(scene, scene.law.sigma(snr, scene.plan.floors))}"


class TimePlot(PlannerPlot):
    """Exposure time against magnitude: lines of constant precision."""

    title = "time – V"

    def __init__(self) -> None:
        super().__init__()
        self.plot = self.add_plot(
            "exposure time to the target", "V magnitude", {"left": TimeAxis("left")},
            (12.0, 24.0, np.log10(5.0), np.log10(720000.0)),
        )  # fmt: skip
        self.grey_out(self.plot, *formulas.MAG_VALID)
        self.star, self.exposure = self.add_line(self.plot, 90), self.add_line(self.plot, 0)

    def draw(self, scene: Scene) -> None:
        """Draw the time that every magnitude needs."""
        plan = scene.plan
        self.mark(self.star, plan.mag, f"V {plan.mag:.2f}")
        self.mark(self.exposure, np.log10(plan.exposure.time), report.format_time(plan.exposure.time))
        if not self.differs(scene.style, plan.snr_needed, plan.wishes.scale):
            return
        times = formulas.time_for_snr(MAGS[:, None], plan.snr_needed, plan.wishes.scale)
        with np.errstate(divide="ignore"):
            self.draw_labels(self.plot, MAGS, np.log10(times), scene)

    def read_out(self, x: float) -> str:
        """Return the times at the cursor's magnitude."""
        scene = self.scene_shown
        assert scene is not None
        plan = scene.plan
        times = formulas.time_for_snr(np.clip(x, *formulas.MAG_POSSIBLE), plan.snr_needed, plan.wishes.scale)
        words = [
            f"{LABELS[name].symbol} {report.format_time(float(time))}"
            for name, time, counts in zip(plan.labels, times, plan.counted, strict=True)
            if counts
        ]
        return "   ".join([f"V {x:.2f}", *words])
