"""Diagrams of the fitted labels: Kiel, abundances, any column against any other, histograms; lasso and click select."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Slot
from PySide6.QtGui import QColor, QPolygonF
from PySide6.QtWidgets import QFileDialog, QVBoxLayout

from gui.diagram_data import DIAGRAMS, Axes, bins, density, scaled
from gui.document import Document
from gui.jobs import LatestReader, explain
from gui.panels.colour_legend import ColourLegend
from gui.panels.diagram_menu import QUALITY, DiagramMenu
from gui.panels.drag_box import DragBox
from gui.panels.panel import EmptyState, Panel, Segments
from gui.panels.plot_items import faded, point_at, style_plot
from gui.picture import save_picture
from gui.selection import Selection
from gui.star_rows import Column, StarRows
from gui.theme import Theme, ThemeManager
from processing.errors import StellacubeError

CHOICES = (
    ("kiel", "Kiel", "Gravity against temperature"),
    ("mg", "[Mg/Fe]", "[Mg/Fe] against [Fe/H]"),
    ("rv", "RV", "Radial velocity against [Fe/H]"),
)
FORMATS = "Picture (*.png);;Drawing (*.svg);;Data (*.csv)"


class DiagramsPanel(Panel):
    """Shows one column against another."""

    name = "diagrams"
    title = "Diagram"

    def __init__(self, document: Document, selection: Selection, themes: ThemeManager) -> None:
        super().__init__(themes, EmptyState("diagram", "No labels yet", "After a run, the Kiel diagram of the stars."))
        self._document, self._selection = document, selection
        self._theme = themes.theme
        self._x = self._y = np.empty(0)
        self._rows = np.empty(0, int)
        self._cloud: tuple[str, dict[str, np.ndarray]] = ("", {})
        self._reader = LatestReader(document)
        self._reader.answered.connect(self._on_cloud)
        self.menu = DiagramMenu(document, self)
        self.menu.axes_chosen.connect(self.show_axes)
        self.menu.changed.connect(self._draw)
        self.menu.save_wanted.connect(self.choose_file)
        self.choice = Segments(CHOICES)
        self.choice.choose("kiel")
        self.choice.chosen.connect(self.show_diagram)
        self.header.tools.addStretch(1)
        self.header.tools.addWidget(self.choice)
        self.header.tools.addWidget(self.menu.button)
        self._build_view()
        document.rows_changed.connect(self._on_rows)
        selection.star_changed.connect(self._on_star)
        selection.chosen_changed.connect(self._on_chosen)
        self.finish()

    def _build_view(self) -> None:
        self.box = DragBox(lasso=True)
        self.box.lasso_drawn.connect(self._on_lasso)
        self.view = pg.PlotWidget(viewBox=self.box, enableMenu=False)
        self.view.setToolTip("Click on a star, or draw around several with Shift held")
        self.view.setAccessibleName("Diagram")
        self.view.getPlotItem().layout.setContentsMargins(6, 4, 12, 4)
        self.density = pg.ImageItem(axisOrder="row-major")
        self.training = pg.ScatterPlotItem(pxMode=True, size=4, pen=None)
        self.bars = pg.BarGraphItem(x=[], height=[], width=1.0)
        self.errors = pg.ErrorBarItem(x=np.empty(0), y=np.empty(0))
        self.points = pg.ScatterPlotItem(pxMode=True, size=8, hoverable=True, hoverSize=11)
        self.mark = pg.ScatterPlotItem(pxMode=True, size=15, brush=None)
        self.chosen = pg.ScatterPlotItem(pxMode=True, size=13, brush=None)
        for item in (self.density, self.training, self.bars, self.errors, self.points, self.chosen, self.mark):
            self.view.addItem(item, ignoreBounds=item is not self.points and item is not self.bars)
        self.view.scene().sigMouseClicked.connect(self._on_clicked)
        self.legend = ColourLegend()
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 4)
        column.setSpacing(0)
        column.addWidget(self.legend)
        column.addWidget(self.view)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self._theme = theme
        self.view.setBackground(theme.panel)
        self.box.set_colour(QColor(theme.accent))
        self.legend.set_theme(theme)
        self.training.setBrush(pg.mkBrush(faded(theme.muted, 0.28)))
        style_plot(self.view.getPlotItem(), theme, self.themes.small_font)
        self._draw()

    # What is shown

    @property
    def axes(self) -> Axes:
        """The columns of both axes."""
        return self.menu.axes

    @Slot()
    def _on_rows(self) -> None:
        fresh = self.is_empty
        self._draw()
        if fresh:
            self.view.autoRange()  # stars that come later do not move the view

    @Slot(str)
    def show_diagram(self, name: str = "") -> None:
        """Show the chosen diagram, or the one called `name`."""
        self.show_axes(DIAGRAMS[name or self.choice.current or "kiel"])

    @Slot(object)
    def show_axes(self, axes: Axes) -> None:
        """Show one column against another, or the histogram of one."""
        self.menu.axes = axes
        known = next((name for name, known in DIAGRAMS.items() if known == axes), "")
        self.choice.choose(known)
        self._draw()
        self.view.autoRange()

    def _column(self, name: str) -> Column | None:
        rows = self._document.rows
        return rows.column(name) if rows is not None and name else None

    @Slot()
    def _draw(self) -> None:
        rows, x, y = self._document.rows, self._column(self.axes.x), self._column(self.axes.y)
        there = x is not None and bool(np.isfinite(x.values).any()) and (y is not None or not self.axes.y)
        self.show_body(there)
        if rows is None or x is None or not there:
            return
        known = np.isfinite(x.values) & (np.isfinite(y.values) if y is not None else True)
        self._rows = np.flatnonzero(known)
        self._x = x.values[known]
        self._y = y.values[known] if y is not None else np.empty(0)
        for item in (self.points, self.errors, self.mark, self.chosen, self.training, self.density):
            item.setVisible(y is not None)
        self.bars.setVisible(y is None)
        if y is None:
            self._draw_bars()
        else:
            self._draw_points(rows)
            self._draw_errors(x, y, known)
            self._draw_density()
            self._draw_training()
        self._name_axes(x, y)
        self._on_star(self._selection.star)
        self._on_chosen(self._selection.chosen)

    def _name_axes(self, x: Column, y: Column | None) -> None:
        plot = self.view.getPlotItem()
        for side, column in (("bottom", x), ("left", y)):
            unit = f" ({column.unit})" if column is not None and column.unit not in ("", "dex") else ""
            plot.setLabel(side, column.title + unit if column is not None else "Stars")
        plot.getAxis("left").setWidth(50)
        self.view.invertX(self.axes.back_x)
        self.view.invertY(self.axes.back_y)

    def _draw_points(self, rows: StarRows) -> None:
        theme = self._theme
        colours = {"good": theme.accent, "warn": theme.warn, "bad": theme.bad, "none": theme.muted}
        symbols = {"good": "o", "warn": "t1", "bad": "x", "none": "o"}
        quality = [rows.quality[row] for row in self._rows]
        brushes = self._brushes() or [faded(colours[q], 0.75) for q in quality]
        plain = self.menu.colour == QUALITY
        self.points.setData(
            x=self._x, y=self._y, data=rows.star_id[self._rows], tip=_tip,
            symbol=[symbols[q] if plain else "o" for q in quality], brush=brushes,
            pen=[pg.mkPen(theme.panel if q != "bad" or not plain else colours[q], width=0.8) for q in quality],
        )  # fmt: skip

    def _brushes(self) -> list[QColor]:
        """Return the colours of the points by the chosen column; none where quality says them."""
        column = self._column(self.menu.colour)
        if column is None:
            self.menu.colour = QUALITY
            self.legend.hide()
            return []
        share, low, high = scaled(np.asarray(column.values, float)[self._rows])
        table = pg.colormap.get("viridis").getLookupTable(0.0, 1.0, 256)[:, :3]
        self.legend.show_scale(column.title, low, high, table[::16])
        unknown = faded(self._theme.muted, 0.5)
        return [QColor(*table[round(255 * s)].tolist()) if np.isfinite(s) else unknown for s in share]

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

    def _draw_density(self) -> None:
        found = density(self._x, self._y) if self.menu.density else None
        self.density.setVisible(found is not None)
        if found is not None:
            accent = QColor(self._theme.accent)
            table = np.tile(np.array([accent.red(), accent.green(), accent.blue(), 0], np.uint8), (256, 1))
            table[:, 3] = np.linspace(0, 110, 256)
            self.density.setImage(found[0], levels=(0.0, 1.0), lut=table)
            self.density.setRect(QRectF(*found[1]))

    def _draw_bars(self) -> None:
        counts, edges = bins(self._x)
        self.bars.setOpts(
            x0=edges[:-1], x1=edges[1:], y0=np.zeros(len(counts)), y1=counts, x=None, height=None, width=None,
            brush=faded(self._theme.accent, 0.6), pen=pg.mkPen(self._theme.panel, width=1),
        )  # fmt: skip
        self.legend.hide()

    # The training set

    def _draw_training(self) -> None:
        """Draw the stars that the network has learned as a pale cloud; ask for them where they are not known yet."""
        session = self._document.session
        model = session.settings.fit.model if session is not None else None
        if model is None or not self.menu.training:
            self.training.setData([], [])
            return
        name, cloud = self._cloud
        if name != f"model {model}":
            self._reader.request(f"model {model}", partial(_training, model))
        there = name == f"model {model}" and {self.axes.x, self.axes.y} <= cloud.keys()
        self.training.setData(*((cloud[self.axes.x], cloud[self.axes.y]) if there else ([], [])))

    @Slot(object, object)
    def _on_cloud(self, name: str, cloud: dict[str, np.ndarray]) -> None:
        self._cloud = (name, cloud)
        self._draw()

    # Selection

    @Slot(str)
    def _on_star(self, star_id: str) -> None:
        rows = self._document.rows
        row = rows.index.get(star_id, -1) if rows is not None and len(self._y) else -1
        found = np.flatnonzero(self._rows == row)
        self.mark.setData(self._x[found], self._y[found], pen=pg.mkPen(self._theme.fit, width=2.2))

    @Slot(object)
    def _on_chosen(self, star_ids: tuple[str, ...]) -> None:
        rows = self._document.rows if len(self._y) else None
        wanted = [rows.index[name] for name in star_ids if name in rows.index] if rows is not None else []
        found = np.flatnonzero(np.isin(self._rows, wanted))
        self.chosen.setData(self._x[found], self._y[found], pen=pg.mkPen(self._theme.text, width=1.4))

    def _choose(self, inside: np.ndarray) -> None:
        """Choose the stars of some points everywhere."""
        rows = self._document.rows
        if rows is not None and inside.size:
            self._selection.set_chosen(tuple(str(rows.star_id[row]) for row in self._rows[inside]))

    @Slot(object)
    def _on_lasso(self, polygon: QPolygonF) -> None:
        """Choose the stars that were drawn around; of a histogram, those between the ends of the line."""
        if not len(self._y):
            box = polygon.boundingRect()
            self._choose(np.flatnonzero((self._x >= box.left()) & (self._x <= box.right())))
            return
        rule = Qt.FillRule.OddEvenFill
        inside = [polygon.containsPoint(QPointF(x, y), rule) for x, y in zip(self._x, self._y, strict=True)]
        self._choose(np.flatnonzero(inside))

    def _on_clicked(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        rows = self._document.rows
        if rows is None or not len(self._x):
            return
        if event.double():
            self.view.autoRange()
            return
        if not len(self._y):
            return
        nearest = point_at(self.view.getViewBox(), event.scenePos(), self._x, self._y)
        if nearest is not None:
            self._selection.set_star(str(rows.star_id[self._rows[nearest]]))

    # Saving

    @Slot()
    def choose_file(self) -> None:
        """Ask where to save the diagram, then save it."""
        name, chosen = QFileDialog.getSaveFileName(self, "Save diagram", "diagram.png", FORMATS)
        if name:
            suffix = ".csv" if "csv" in chosen else ".svg" if "svg" in chosen else ".png"
            try:
                self.save(Path(name) if Path(name).suffix else Path(name).with_suffix(suffix))
            except (StellacubeError, OSError) as error:
                self._document.read_failed.emit(explain(error))

    def save(self, path: Path) -> None:
        """Save the diagram as a picture, or its points as CSV."""
        rows = self._document.rows
        if rows is None or path.suffix.lower() != ".csv":
            save_picture(self.body, path)
            return
        names = [name for name in ("stellar_id", self.axes.x, self.axes.y, self.menu.colour) if name]
        columns = [column for column in map(rows.column, dict.fromkeys(names)) if column is not None]
        lines = [",".join(column.name for column in columns)]
        lines += [",".join(str(column.values[row]) for column in columns) for row in self._rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def sizeHint(self) -> QSize:
        """About square."""
        return QSize(420, 260)


def _training(model: str) -> dict[str, np.ndarray]:
    """Return the training labels that come with a network, by name."""
    from processing.labels.model_file import find_model, load_model

    loaded = load_model(find_model(model))
    return dict(zip(loaded.labels, loaded.training_labels.T.astype(float), strict=True))


def _tip(x: float, y: float, data: str) -> str:
    """Return what the tooltip of a point says."""
    return str(data)
