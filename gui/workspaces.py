"""The panels in their docks, and the workspaces: one arrangement of panels per step of the work."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QObject, Qt, Signal, Slot
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QDockWidget, QFrame, QPushButton, QScrollArea, QWidget

from gui.panels.diagrams import DiagramsPanel
from gui.panels.image import ImagePanel
from gui.panels.labels import LabelsPanel
from gui.panels.log import LogPanel
from gui.panels.panel import Panel, Segments
from gui.panels.queue import QueuePanel
from gui.panels.spectrum import SpectrumPanel
from gui.panels.stars import StarsPanel
from gui.settings import Preferences

if TYPE_CHECKING:
    from gui.main_window import MainWindow
    from gui.panels.compare import ComparePanel
    from gui.panels.cuts import CutsPanel
    from gui.panels.planner import PlannerPanel
    from gui.panels.psf import PsfPanel
    from gui.panels.repeats import RepeatsPanel

STATE_VERSION = 5
SHOWN = {
    "look": ("image", "spectrum", "stars", "diagrams"),
    "explore": ("diagrams", "spectrum", "stars", "labels"),
    "plan": ("planner",),
}
LATE = {"compare": "Comparison", "repeats": "Repeats", "cuts": "Cuts", "psf": "PSF"}
"""Panels that are made when they are first looked at: the window is there sooner."""
CHOICES = (
    ("look", "Look", "Image, spectrum, stars and diagrams (Ctrl+1)"),
    ("explore", "Explore", "Diagrams, spectrum, stars and labels (Ctrl+2)"),
    ("plan", "Plan", "What an exposure will give (Ctrl+3)"),
)


class Workspaces(QObject):
    """Owns the docks and arranges them."""

    changed = Signal(str)

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        document, selection, themes = window.document, window.selection, window.themes
        self.undo = QUndoStack(self)
        self.image = ImagePanel(document, selection, themes, window.preferences, self.undo)
        self.spectrum = SpectrumPanel(document, selection, themes, window.runner, window.preferences, self.undo)
        self.stars = StarsPanel(document, selection, themes)
        self.diagrams = DiagramsPanel(document, selection, themes)
        self.labels = LabelsPanel(document, selection, themes)
        self.image.preview_ended.connect(self.spectrum.end_preview)
        self.queue = QueuePanel(window.runs, themes)
        self.log = LogPanel(window.notifications, themes)
        self.docks: dict[str, QDockWidget] = {}
        window.setDockNestingEnabled(True)
        for panel in (self.image, self.spectrum, self.stars, self.diagrams, self.labels):
            self._add_panel(panel)
        for name, title in LATE.items():
            self._dock(name, title, QWidget()).visibilityChanged.connect(partial(self._on_visible, name))
        for other in (self.queue, self.log):
            self._add_panel(other)
        self._add_planner()
        self.segments = Segments(CHOICES)
        self.segments.chosen.connect(self.show)
        self.current = "look"
        self._states: dict[str, QByteArray] = {}
        self._alone: tuple[str, QByteArray] | None = None

    # Docks

    def _add_panel(self, panel: Panel) -> None:
        dock = self.docks.get(panel.name) or self._dock(panel.name, panel.title, panel)
        if (place := dock.widget()) is not panel:
            dock.setWidget(panel)
            place.deleteLater()
        dock.setTitleBarWidget(panel.header)
        panel.maximise.connect(self._on_maximise)

    @cached_property
    def compare(self) -> ComparePanel:
        """The open catalogue against another."""
        from gui.panels.compare import ComparePanel

        window = self._window
        panel = ComparePanel(window.document, window.selection, window.themes, window.runner, window.notifications)
        self._add_panel(panel)
        return panel

    @cached_property
    def repeats(self) -> RepeatsPanel:
        """Stars that were observed more than once."""
        from gui.panels.repeats import RepeatsPanel

        panel = RepeatsPanel(
            self._window.document, self._window.themes, self._window.runner, self._window.notifications
        )
        panel.factors_wanted.connect(self._use_factors)
        self._add_panel(panel)
        return panel

    @cached_property
    def cuts(self) -> CutsPanel:
        """What each cut leaves of the catalogue."""
        from gui.panels.cuts import CutsPanel

        window = self._window
        panel = CutsPanel(window.document, window.selection, window.themes, window.notifications)
        self._add_panel(panel)
        return panel

    @cached_property
    def psf(self) -> PsfPanel:
        """The PSF that was fitted."""
        from gui.panels.psf import PsfPanel

        panel = PsfPanel(self._window.document, self._window.themes)
        self._add_panel(panel)
        return panel

    def _on_visible(self, name: str, visible: bool) -> None:
        """Make a panel that is looked at for the first time."""
        if visible:
            _ = getattr(self, name)

    def _add_planner(self) -> None:
        """Put a place for the planner; the planner itself is made when it is first looked at."""
        dock = self._dock("planner", "Planner", QWidget())
        dock.setFeatures(QDockWidget.DockWidgetFeature.NoDockWidgetFeatures)
        dock.setTitleBarWidget(QWidget())  # it is alone in its workspace: the tool bar says its name
        self._planner: PlannerPanel | None = None

    def _dock(self, name: str, title: str, widget: QWidget) -> QDockWidget:
        dock = QDockWidget(title, self._window)
        dock.setObjectName(name)
        dock.setWidget(widget)
        self.docks[name] = dock
        dock.toggleViewAction().triggered.connect(partial(self._on_toggled, name))
        return dock

    def _on_toggled(self, name: str) -> None:
        if not self.docks[name].isHidden():
            self.bring(name)

    def bring(self, name: str) -> None:
        """Show a panel in this workspace, before those it shares its place with."""
        self.docks[name].show()
        self.docks[name].raise_()

    def _make_planner(self) -> None:
        if self._planner is None:
            from gui.panels.planner import PlannerPanel

            self._planner = PlannerPanel()
            room = QScrollArea()
            room.setAccessibleName("Planner")
            room.setFrameShape(QFrame.Shape.NoFrame)
            room.setWidgetResizable(True)
            room.setWidget(self._planner)  # else a small window would grow to hold it, and stay so
            self.docks["planner"].setWidget(room)
            self._window.document.results_changed.connect(self._feed_planner)
            self._feed_planner()

    @Slot()
    def _feed_planner(self) -> None:
        """Let the planner check its formula on the stars of the catalogue that is open."""
        document = self._window.document
        if self._planner is not None:
            time = document.cube.exptime if document.cube is not None else float("nan")
            self._planner.set_catalogue(document.catalogue, time)

    def empty_buttons(self) -> list[QPushButton]:
        """Put a button that opens files into the empty image panel, and return it."""
        button = QPushButton("Open …")
        self.image.empty.buttons.addWidget(button)
        return [button]

    # Workspaces

    def start(self, preferences: Preferences) -> None:
        """Take up the arrangements of the last time, or the default ones."""
        self._arrange("look")
        for name in SHOWN:
            state = preferences.state(f"workspace/{name}")
            if not state.isEmpty():
                self._states[name] = state
        self.segments.choose("look")
        if "look" in self._states:
            self._window.restoreState(self._states["look"], STATE_VERSION)

    def save(self, preferences: Preferences) -> None:
        """Remember the arrangements."""
        self._leave()
        for name, state in self._states.items():
            preferences.set_state(f"workspace/{name}", state)

    @Slot(str)
    def show(self, name: str, checked: bool = True) -> None:
        """Change to a workspace."""
        if name != self.current:
            self._leave()
            self.current = name
            if name == "plan":
                self._make_planner()
            if name not in self._states or not self._window.restoreState(self._states[name], STATE_VERSION):
                self._arrange(name)
        self.segments.choose(name)
        self._window.setFocus()
        self.changed.emit(name)

    @Slot()
    def reset(self) -> None:
        """Put all panels back into their places."""
        self._states.clear()
        self._alone = None
        self._arrange(self.current)

    def _leave(self) -> None:
        if self._alone is not None:
            self._window.restoreState(self._alone[1], STATE_VERSION)
            self._alone = None
        self._states[self.current] = self._window.saveState(STATE_VERSION)

    def _arrange(self, name: str) -> None:
        """Lay out the panels of a workspace in the default way."""
        window, docks = self._window, self.docks
        across, down = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
        top, bottom = Qt.DockWidgetArea.TopDockWidgetArea, Qt.DockWidgetArea.BottomDockWidgetArea
        window.setUpdatesEnabled(False)
        for dock in docks.values():
            dock.setFloating(False)
            window.removeDockWidget(dock)
        width, height = window.width(), window.height() - 110
        first, second, low = {
            "look": ("image", "spectrum", ("stars", "diagrams")),
            "explore": ("diagrams", "spectrum", ("stars", "labels")),
            "plan": ("planner", "", ()),
        }[name]
        window.addDockWidget(top, docks[first])
        if second:
            window.addDockWidget(top, docks[second])
            window.splitDockWidget(docks[first], docks[second], across)
            window.addDockWidget(bottom, docks[low[0]])
            window.splitDockWidget(docks[low[0]], docks[low[1]], across)
            for other in ("psf", "queue", "log"):  # side by side they would need a wider screen than many have
                window.tabifyDockWidget(docks[low[1]], docks[other])
            for other in ("compare", "repeats", "cuts"):
                window.tabifyDockWidget(docks["diagrams"], docks[other])
        for rest in docks:
            if window.dockWidgetArea(docks[rest]) == Qt.DockWidgetArea.NoDockWidgetArea:
                window.addDockWidget(bottom, docks[rest])
        for panel, dock in docks.items():
            dock.setVisible(panel in SHOWN[name])
        if second:
            share = 0.39 if name == "look" else 0.42
            window.resizeDocks([docks[first], docks[second]], [int(share * width), int((1 - share) * width)], across)
            window.resizeDocks([docks[first], docks[low[0]]], [int(0.62 * height), int(0.38 * height)], down)
            window.resizeDocks([docks[low[0]], docks[low[1]]], [int(0.64 * width), int(0.36 * width)], across)
        window.setUpdatesEnabled(True)

    @Slot(str)
    def reveal(self, name: str, checked: bool = True) -> None:
        """Show a panel that stands behind the diagrams of the Explore workspace."""
        self.show("explore")
        self.bring(name)

    @Slot(object)
    def _use_factors(self, factors: dict[str, float]) -> None:
        """Let the planner use what repeated observations say of real errors."""
        self.show("plan")
        if self._planner is not None:
            self._planner.set_factors(factors)

    @Slot()
    def show_log(self) -> None:
        """Show the log, or put it away."""
        if self.docks["log"].isVisible():
            self.docks["log"].hide()
        else:
            self.bring("log")

    @Slot()
    def _on_maximise(self) -> None:
        """Show one panel alone, or all of them again."""
        panel = self.sender()
        if not isinstance(panel, Panel):
            return
        if self._alone is not None:
            self._window.restoreState(self._alone[1], STATE_VERSION)
            self._alone = None
            return
        self._alone = (panel.name, self._window.saveState(STATE_VERSION))
        for name, dock in self.docks.items():
            dock.setVisible(name == panel.name)
