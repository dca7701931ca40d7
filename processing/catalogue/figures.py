"""Figures of comparisons and repeats as PNG: differences of labels, their bias and precision, widths of repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from processing.catalogue.compare import AGAINST, CatalogueComparison, trend
from processing.catalogue.factors import Pairs
from processing.catalogue.terms import QUANTITIES
from processing.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from processing.catalogue.repeats import Repeatability, Repeats

P = ParamSpec("P")

COLOURS = ("#1a66c2", "#d98200", "#b3261e", "#00705a", "#8c3fa8")
"""Series side by side; each has a marker of its own too."""
MARKERS = ("o", "s", "D", "^", "v")
_GREY, _DARK = "#8a929c", "#3a4350"
_STYLE = {
    "font.size": 8.5, "axes.titlesize": 8.5, "axes.labelsize": 8.5, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.edgecolor": _GREY,
    "xtick.color": _DARK, "ytick.color": _DARK, "axes.labelcolor": _DARK, "text.color": "#1a1f26",
    "xtick.direction": "in", "ytick.direction": "in", "legend.frameon": False,
}  # fmt: skip
_TEFF_UNIT = 1000.0
"""K: in one figure with dex, temperatures are in thousands of kelvin."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, replacing the file only once the new one is complete."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=160)


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the house style, and leave matplotlib's own settings as they are."""

    @wraps(draw)
    def drawn(*arguments: P.args, **options: P.kwargs) -> Figure:
        from matplotlib import rc_context

        with rc_context(_STYLE):  # type: ignore[arg-type]
            return draw(*arguments, **options)

    return drawn


@_styled
def difference_figure(comparison: CatalogueComparison, against: str = "fe_h") -> Figure:
    """Draw the differences of all labels against a quantity of the first catalogue (the paper's Fig. 5).

    Parameters
    ----------
    comparison : CatalogueComparison
    against : {"fe_h", "teff", "logg", "snr"}
    """
    symbol, unit = AGAINST[against]
    figure, axes = _panels(len(comparison.rows), f"{comparison.title}, {len(comparison)} stars")
    place = comparison.against[against]
    for axis, row in zip(axes, comparison.rows, strict=False):
        label = row.label
        difference, error = comparison.differences[label.name], comparison.errors[label.name]
        shown = np.where(np.isfinite(error), error, 0.0)
        axis.axhline(0.0, color=_GREY, lw=0.7)
        axis.errorbar(place, difference, shown, fmt="none", ecolor=_GREY, elinewidth=0.5, alpha=0.45)
        axis.plot(place, difference, "o", ms=2.8, color=COLOURS[0], mec="none", alpha=0.75)
        bins = trend(comparison, label.name, against)
        if len(bins) > 1:
            middle, bias, dispersion = (
                np.array([getattr(b, k) for b in bins]) for k in ("middle", "bias", "dispersion")
            )
            axis.errorbar(middle, bias, dispersion, fmt="-", color=COLOURS[1], lw=1.3, elinewidth=0.9, capsize=2)
        reach = _reach(difference, label.bias, label.dispersion)
        axis.set_ylim(-reach, 1.35 * reach)
        decimals = QUANTITIES[label.name].decimals
        centre = round(label.bias, decimals) + 0.0  # no minus before a zero
        text = f"{centre:+.{decimals}f} ± {label.dispersion:.{decimals}f}".replace("-", "−")
        axis.text(0.03, 0.95, text, transform=axis.transAxes, va="top", fontsize=8)
        axis.set_ylabel(f"Δ{label.symbol}" + (f" ({_unit(label.unit)})" if label.unit not in ("", "dex") else ""))
    _label_below(figure, axes, symbol + (f" ({_unit(unit)})" if unit else ""))
    return figure


@_styled
def precision_figure(comparisons: Sequence[CatalogueComparison]) -> Figure:
    """Draw bias and dispersion of all labels, best first (the paper's Figs 6 and 7); one series per comparison.

    Teff is drawn in 1000 K and the velocity is left out, so that one scale serves all.
    """
    figure = _figure(7.2, 4.6)
    top, bottom = figure.subplots(2, 1, sharex=True)
    names = [
        row.label.name
        for row in sorted(comparisons[0].rows, key=lambda row: row.label.dispersion * _scale(row.label.name))
    ]
    names = [name for name in names if name not in ("rv", "vmic")]
    step = 0.12
    for number, one in enumerate(comparisons):
        rows = {row.label.name: row for row in one.rows}
        there = [i for i, name in enumerate(names) if name in rows]
        x = np.array(there) + step * (number - 0.5 * (len(comparisons) - 1))
        style: dict[str, Any] = {"color": COLOURS[number % 5], "marker": MARKERS[number % 5], "ms": 4.5, "lw": 1.0,
                                 "elinewidth": 0.8}  # fmt: skip
        for axis, kind in ((top, "bias"), (bottom, "dispersion")):
            scale = np.array([_scale(names[i]) for i in there])
            values = np.array([getattr(rows[names[i]].label, kind) for i in there]) * scale
            errors = np.array([getattr(rows[names[i]], f"{kind}_error") for i in there]) * scale
            axis.errorbar(x, values, np.nan_to_num(errors), label=f"{one.title} ({len(one)} stars)", **style)
    top.axhline(0.0, color=_GREY, lw=0.7)
    for level in (-0.1, 0.1):
        top.axhline(level, color=_GREY, lw=0.7, ls=":")
    bottom.axhline(0.1, color=_GREY, lw=0.7, ls=":")
    bottom.set_ylim(bottom=0.0)
    top.set_ylabel("bias µ (dex, 1000 K)")
    bottom.set_ylabel("dispersion σ (dex, 1000 K)")
    bottom.set_xticks(range(len(names)), [QUANTITIES[name].symbol for name in names], rotation=60)
    top.legend(loc="upper left", fontsize=7.5)
    low, high = top.get_ylim()
    top.set_ylim(low, high + 0.12 * len(comparisons) * (high - low))
    return figure


@_styled
def repeats_figure(repeats: Repeats, found: Sequence[Repeatability]) -> Figure:
    """Draw how the differences of repeated measurements are spread over their errors, label by label.

    The line is what right errors would give, the dashed one what these errors give once multiplied by the factor.
    """
    drawn = [entry for entry in found if entry.robust is not None]
    figure, axes = _panels(len(drawn), f"Repeats of {repeats.n_star} stars: differences over their errors")
    edges = np.linspace(-6, 6, 25)
    smooth = np.linspace(-6, 6, 241)
    for axis, entry in zip(axes, drawn, strict=False):
        assert entry.robust is not None
        scaled = Pairs.of(repeats.values[entry.name], repeats.errors[entry.name], repeats.star).scaled
        both = np.concatenate([scaled, -scaled])  # which of a pair is the first means nothing
        counts, _ = np.histogram(np.clip(both, -5.99, 5.99), edges)
        axis.stairs(counts / 2, edges, fill=True, color=COLOURS[0], alpha=0.35)
        for factor, style in ((1.0, "-"), (entry.robust.value, "--")):
            density = np.exp(-0.5 * (smooth / factor) ** 2) / (factor * np.sqrt(2 * np.pi))
            axis.plot(smooth, len(scaled) * (edges[1] - edges[0]) * density, style, color=_DARK, lw=1.0)
        width = entry.robust
        axis.set_title(f"{QUANTITIES[entry.name].symbol}   × {width.value:.2f} ({width.low:.2f}–{width.high:.2f})")
        axis.set_xlim(-6, 6)
        axis.set_yticks([])
    _label_below(figure, axes, "difference / error")
    return figure


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
    """Return a figure with a grid of panels; those without a label are not there."""
    across = min(count, 4)
    down = -(-count // across)
    figure = _figure(2.3 * across + 0.4, 1.55 * down + 0.7)
    grid = figure.subplots(down, across, sharex=True, squeeze=False)
    axes = grid.ravel().tolist()
    for axis in axes[count:]:
        axis.set_visible(False)
    figure.suptitle(title, fontsize=9.5)
    return figure, axes[:count]


def _label_below(figure: Figure, axes: Sequence[Axes], text: str) -> None:
    """Name the horizontal axis below the lowest panel of every column."""
    figure.supxlabel(text, fontsize=8.5)
    figure.align_ylabels()
    across = axes[0].get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]
    for axis in axes[-across:]:
        axis.tick_params(labelbottom=True)


def _reach(values: np.ndarray, bias: float, dispersion: float) -> float:
    """Return the half-height of a panel: nearly all differences, outliers cut off."""
    known = np.abs(values[np.isfinite(values)])
    return float(max(min(known.max(initial=0.0), abs(bias) + 6 * dispersion), 1e-3)) * 1.1


def _scale(name: str) -> float:
    return 1 / _TEFF_UNIT if name == "teff" else 1.0


def _unit(unit: str) -> str:
    return unit.replace(" / ", "/")
