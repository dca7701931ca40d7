"""The planner's table: one row per label, with the wanted error to type and a tick for the labels that decide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QPainter, QPen, QPixmap

from gui.theme import Theme
from processing.labels.names import LABELS
from processing.planning import report
from processing.planning.questions import Plan

Index = QModelIndex | QPersistentModelIndex

COLUMNS = ("label", "target", "SNR needed", "error", "network", "V limit", "time", "mean")
TIPS = (
    "Ticked labels decide; their curves are drawn",
    "Wanted 1σ error; double-click to change it",
    "SNR per 1.25 Å pixel at which the target is reached",
    "1σ error of this star after this exposure",
    "What the network's own information allows at this SNR (Cramér–Rao bound times the factor)",
    "Faintest V that reaches the target in this exposure",
    "Exposure after which this star reaches the target",
    "Error of the mean over the stars of the list that reach the target",
)
SYMBOL, TARGET, NEEDED, ERROR, NETWORK, LIMIT, TIME, MEAN = range(len(COLUMNS))
EXTRAPOLATED = "Extrapolated: outside V = 14–22 or SNR = 10–300, where the formulas are trusted"

_LIGHT = ("#1a1f26", "#d55e00", "#0072b2", "#009e73", "#aa4499", "#b8860b", "#3aa0d8")
_DARK = ("#e8ebef", "#ff8a4c", "#4aa8ff", "#2fc79a", "#e58fc4", "#e6b82e", "#7fd0ff")
_DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
_ORDER = ("fe_h", "mg_fe", "teff", "c_fe", "logg", "si_fe", "cr_fe", "ca_fe", "ti_fe", "ni_fe")


@cache
def curve_pen(label: str, theme: Theme, width: float = 2.0) -> QPen:
    """Return the line of a label: seven colours that the colour-blind tell apart, solid, dashed, then dotted."""
    place = _ORDER.index(label) if label in _ORDER else len(_ORDER) + list(LABELS).index(label)
    colours = _DARK if theme.name == "dark" else _LIGHT
    pen = QPen(QColor(colours[place % len(colours)]), width)
    pen.setStyle(_DASHES[place // len(colours) % len(_DASHES)])
    pen.setCosmetic(True)
    return pen


@dataclass(frozen=True)
class TableContent:
    """What the table shows beside the plan itself.

    Attributes
    ----------
    plan : Plan
    network : ndarray, shape (n_label,)
        Errors that the network allows, NaN where it knows none.
    mean, mean_count : ndarray, shape (n_label,)
        Error of a list's mean and stars used; NaN and 0 without a list.
    """

    plan: Plan
    network: np.ndarray
    mean: np.ndarray
    mean_count: np.ndarray


class PrecisionTable(QAbstractTableModel):
    """A `Plan` as a table; ticks and targets are edited in place."""

    target_changed = Signal(str, float)
    """Label and its new wanted error."""
    counted_changed = Signal(str, bool)
    """Label and whether it decides."""

    def __init__(self) -> None:
        super().__init__()
        self._content: TableContent | None = None
        self._labels: tuple[str, ...] = ()
        self._samples: dict[str, QPixmap] = {}
        self._muted = self._missed = QColor("grey")
        self._bold = QFont()
        self._bold.setWeight(QFont.Weight.DemiBold)

    def show(self, content: TableContent) -> None:
        """Show another plan."""
        if content.plan.labels != self._labels:
            self.beginResetModel()
            self._content, self._labels = content, content.plan.labels
            self.endResetModel()
            return
        self._content = content
        self.dataChanged.emit(self.index(0, 0), self.index(len(self._labels) - 1, len(COLUMNS) - 1))

    def set_theme(self, theme: Theme, ratio: float) -> None:
        """Take on a theme; the samples of the curves are drawn anew, sharp at a screen's pixel ratio."""
        self._muted, self._missed = QColor(theme.muted), QColor(theme.fit)
        self._samples = {name: _line_sample(curve_pen(name, theme, 2.5), ratio) for name in LABELS}

    def label(self, row: int) -> str:
        """Return the label of a row."""
        return self._labels[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of labels."""
        return 0 if parent.isValid() else len(self._labels)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return a column's title, its explanation, or its alignment."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return TIPS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Labels are ticked, targets edited, the rest is read."""
        flags = super().flags(index)
        if index.column() == SYMBOL:
            return flags | Qt.ItemFlag.ItemIsUserCheckable
        if index.column() == TARGET:
            return flags | Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return what a cell shows."""
        content = self._content
        if content is None or not index.isValid():
            return None
        row, column = index.row(), index.column()
        name, plan = self._labels[row], content.plan
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.EditRole and column == TARGET:
            return float(plan.targets[row])
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == Qt.ItemDataRole.CheckStateRole and column == SYMBOL:
            return Qt.CheckState.Checked if plan.counted[row] else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.DecorationRole and column == SYMBOL:
            return self._samples.get(name)
        if role == Qt.ItemDataRole.FontRole and name == plan.worst and column in (SYMBOL, NEEDED):
            return self._bold
        if role == Qt.ItemDataRole.ForegroundRole:
            if self._outside(row, column) or not plan.counted[row]:
                return self._muted
            return self._missed if column == ERROR and not plan.met[row] else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row, column)
        return None

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Take a tick or a typed target; refuse a target that is no positive number."""
        name = self._labels[index.row()]
        if role == Qt.ItemDataRole.CheckStateRole:
            self.counted_changed.emit(name, Qt.CheckState(value) == Qt.CheckState.Checked)
            return True
        try:
            target = float(str(value).replace(",", ".").split()[0])
        except (ValueError, IndexError):
            return False
        if not 0 < target < np.inf:
            return False
        self.target_changed.emit(name, target)
        return True

    def _text(self, row: int, column: int) -> str:
        content = self._content
        assert content is not None
        name, plan = self._labels[row], content.plan
        if column == SYMBOL:
            return LABELS[name].symbol
        if column == TARGET:
            return report.format_target(name, float(plan.targets[row]))
        if column == NEEDED:
            return f"{plan.snr_needed[row]:.1f}" if np.isfinite(plan.snr_needed[row]) else "–"
        if column == LIMIT:
            return report.format_mag(float(plan.mag_limit[row]))
        if column == TIME:
            return report.format_time(float(plan.times[row]))
        values = {ERROR: plan.sigma, NETWORK: content.network, MEAN: content.mean}[column]
        return report.format_sigma(name, float(values[row]), unit=False)

    def _outside(self, row: int, column: int) -> bool:
        """Return True for numbers outside the band in which the formulas are trusted."""
        assert self._content is not None
        plan = self._content.plan
        if column == LIMIT:
            return bool(plan.limit_extrapolated[row])
        if column == TIME:
            return bool(plan.time_extrapolated[row])
        return column in (ERROR, NETWORK) and plan.extrapolated

    def _tip(self, row: int, column: int) -> str | None:
        assert self._content is not None
        name = self._labels[row]
        if self._outside(row, column):
            return EXTRAPOLATED
        if column == SYMBOL:
            info = LABELS[name]
            sentences = [f"{info.description[0].upper()}{info.description[1:]}, {info.unit.replace(' ', '')}."]
            if name == "teff":
                sentences.append("Table 3 of the paper counts Teff in units of 100 K; all is kelvin here.")
            if name in report.LESS_CERTAIN:
                sentences.append(report.LESS_CERTAIN[name])
            if name == self._content.plan.worst:
                sentences.append("It needs the highest SNR of the ticked labels.")
            return " ".join(sentences)
        if column == MEAN and self._content.mean_count[row]:
            return f"Over {self._content.mean_count[row]} stars that reach the target; measurement error alone"
        return TIPS[column]


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignLeft if column == SYMBOL else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter


def _line_sample(pen: QPen, ratio: float) -> QPixmap:
    """Draw a short piece of a curve: the table is the plots' legend."""
    image = QPixmap(round(22 * ratio), round(14 * ratio))
    image.setDevicePixelRatio(ratio)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(pen)
    painter.drawLine(QRectF(1, 7, 20, 0).topLeft(), QRectF(1, 7, 20, 0).topRight())
    painter.end()
    return image
