"""Diagrams of the fitted labels: Kiel diagram and abundances; click and lasso select stars everywhere."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QSize, Qt, Slot
from PySide6.QtGui import QColor, QPolygonF
from PySide6.QtWidgets import QVBoxLayout

from gui.document import Document
from gui.panels.drag_box import DragBox
from gui.panels.panel import EmptyState, Panel, Segments
from gui.panels.plot_items import faded, style_plot
from gui.selection import Selection
from gui.star_rows import Column
from gui.theme import Theme, ThemeManager

DIAGRAMS = {
    "kiel": ("teff", "logg", True, True),
    "mg": ("fe_h", "mg_fe", False, False),
    "rv": ("fe_h", "rv", False, False),
}
"""Columns of both axes, and whether they run backwards."""
CHOICES = (
    ("kiel", "Kiel", "Gravity against temperature"),
    ("mg", "[Mg/Fe]", "[Mg/Fe] against [Fe/H]"),
    ("rv", "RV", "Radial velocity against [Fe/H]"),
)
REACH = 10.0


class DiagramsPanel(Panel):
    """Shows one label against another."""

    name = "diagrams"
    title = "Diagram"

    def __init__(self, document: Document, selection: Selection, themes: ThemeManager) -> None:
        super().__init__(themes, EmptyState("diagram", "No labels yet", "After a run, the Kiel diagram of the stars."))
        self._document, self._selection = document, selection
        self._theme = themes.theme
        self._x = self._y = np.empty(0)
        self._rows = np.empty(0, int)
        self.choice = Segments(CHOICES)
        self.choice.choose("kiel")
        self.choice.chosen.connect(self.show_diagram)
        self.header.tools.addStretch(1)
        self.header.tools.addWidget(self.choice)
        self.box = DragBox(lasso=True)
        self.box.lasso_drawn.connect(self._on_lasso)
        self.view = pg.PlotWidget(viewBox=self.box)
        self.view.setToolTip("Click on a star, or draw around several with Shift held")
        self.view.setAccessibleName("Diagram")
        self.view.getPlotItem().layout.setContentsMargins(6, 4, 12, 4)
        self.errors = pg.ErrorBarItem(x=np.empty(0), y=np.empty(0))
        self.points = pg.ScatterPlotItem(pxMode=True, size=8, hoverable=True, hoverSize=11)
        self.mark = pg.ScatterPlotItem(pxMode=True, size=15, brush=None)
        self.chosen = pg.ScatterPlotItem(pxMode=True, size=13, brush=None)
        for item in (self.errors, self.points, self.chosen, self.mark):
            self.view.addItem(item, ignoreBounds=item is not self.points)
        self.view.scene().sigMouseClicked.connect(self._on_clicked)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 4)
        column.addWidget(self.view)
        document.rows_changed.connect(self._on_rows)
        selection.star_changed.connect(self._on_star)
        selection.chosen_changed.connect(self._on_chosen)
        self.finish()

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self._theme = theme
        self.view.setBackground(theme.panel)
        self.box.set_colour(QColor(theme.accent))
        style_plot(self.view.getPlotItem(), theme, self.themes.small_font)
        self._draw()

    @Slot()
    def _on_rows(self) -> None:
        self._draw()
        self.view.autoRange()

    @Slot(str)
    def show_diagram(self, name: str = "") -> None:
        """Show the chosen diagram, or the one called `name`."""
        if name:
            self.choice.choose(name)
        self._draw()
        self.view.autoRange()

    def _columns(self) -> tuple[Column, Column] | None:
        rows = self._document.rows
        if rows is None:
            return None
        x, y = (rows.column(name) for name in DIAGRAMS[self.choice.current or "kiel"][:2])
        return (x, y) if x is not None and y is not None else None

    def _draw(self) -> None:
        columns, rows = self._columns(), self._document.rows
        there = columns is not None and bool(np.isfinite(columns[0].values).any())
        self.show_body(there)
        if columns is None or rows is None or not there:
            return
        x, y = columns
        _, _, back_x, back_y = DIAGRAMS[self.choice.current]
        known = np.isfinite(x.values) & np.isfinite(y.values)
        self._rows = np.flatnonzero(known)
        self._x, self._y = x.values[known], y.values[known]
        theme = self._theme
        colours = {"good": theme.accent, "warn": theme.warn, "bad": theme.bad, "none": theme.muted}
        symbols = {"good": "o", "warn": "t1", "bad": "x", "none": "o"}
        quality = [rows.quality[row] for row in self._rows]
        self.points.setData(
            x=self._x, y=self._y, data=rows.star_id[self._rows], tip=_tip, symbol=[symbols[q] for q in quality],
            brush=[faded(colours[q], 0.75) for q in quality],
            pen=[pg.mkPen(theme.panel if q != "bad" else colours[q], width=0.8) for q in quality],
        )  # fmt: skip
        self._draw_errors(x, y, known)
        plot = self.view.getPlotItem()
        for side, column in (("bottom", x), ("left", y)):
            unit = f" ({column.unit})" if column.unit not in ("", "dex") else ""
            plot.setLabel(side, column.title + unit)
        plot.getAxis("left").setWidth(50)
        self.view.invertX(back_x)
        self.view.invertY(back_y)
        self._on_star(self._selection.star)
        self._on_chosen(self._selection.chosen)

    def _draw_errors(self, x: Column, y: Column, known: np.ndarray) -> None:
        rows = self._document.rows
        assert rows is not None
        sizes = []
        for column in (x, y):
            error = rows.column(f"{column.name}_err_cal") or rows.column(f"{column.name}_err")
            values = error.values[known] if error is not None else np.zeros(int(known.sum()))
            sizes.append(2 * np.where(np.isfinite(values), values, 0.0))
        self.errors.setData(
            x=self._x, y=self._y, width=sizes[0], height=sizes[1], pen=pg.mkPen(faded(self._theme.muted, 0.35))
        )

    @Slot(str)
    def _on_star(self, star_id: str) -> None:
        rows = self._document.rows
        row = rows.index.get(star_id, -1) if rows is not None else -1
        found = np.flatnonzero(self._rows == row)
        self.mark.setData(self._x[found], self._y[found], pen=pg.mkPen(self._theme.fit, width=2.2))

    @Slot(object)
    def _on_chosen(self, star_ids: tuple[str, ...]) -> None:
        rows = self._document.rows
        wanted = [rows.index[name] for name in star_ids if name in rows.index] if rows is not None else []
        found = np.flatnonzero(np.isin(self._rows, wanted))
        self.chosen.setData(self._x[found], self._y[found], pen=pg.mkPen(self._theme.text, width=1.4))

    @Slot(object)
    def _on_lasso(self, polygon: QPolygonF) -> None:
        """Choose the stars that were drawn around."""
        rows = self._document.rows
        rule = Qt.FillRule.OddEvenFill
        inside = [
            row
            for row, x, y in zip(self._rows, self._x, self._y, strict=True)
            if polygon.containsPoint(QPointF(x, y), rule)
        ]
        if rows is not None and inside:
            self._selection.set_chosen(tuple(str(rows.star_id[row]) for row in inside))

    def _on_clicked(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        rows = self._document.rows
        if rows is None or not len(self._x):
            return
        if event.double():
            self.view.autoRange()
            return
        box = self.view.getViewBox()
        place: QPointF = box.mapSceneToView(event.scenePos())
        width, height = (abs(size) or 1.0 for size in box.viewPixelSize())
        distance = np.hypot((self._x - place.x()) / width, (self._y - place.y()) / height)
        nearest = int(np.argmin(distance))
        if distance[nearest] <= REACH:
            self._selection.set_star(str(rows.star_id[self._rows[nearest]]))

    def sizeHint(self) -> QSize:
        """About square."""
        return QSize(420, 260)


def _tip(x: float, y: float, data: str) -> str:
    """Return what the tooltip of a point says."""
    return str(data)
