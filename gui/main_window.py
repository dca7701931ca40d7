"""The window: panels in docks, one workspace per step, and what the commands of the menus do."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Slot
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QGuiApplication,
)
from PySide6.QtWidgets import QFileDialog, QLineEdit, QMainWindow, QMenu

from gui.actions import ACTIONS, build_actions
from gui.dialogs import DetailsDialog, RunDialog, ShortcutSheet
from gui.document import Document
from gui.jobs import Job, JobRunner
from gui.notifications import Notification, Notifications
from gui.opening import FITS, LISTS, SESSION
from gui.overlays import DropSign, NoticeBar
from gui.running import FORMATS, export_path, export_stage, run_stage
from gui.selection import Selection
from gui.settings import Preferences
from gui.theme import GRID, Theme, ThemeManager, application_icon, icon
from gui.tool_bar import ProgressView, StatusLine, build_tool_bar
from gui.workspaces import Workspaces

OPENABLE = "Everything that opens ({});;All files (*)".format(" ".join(f"*{end}" for end in (*FITS, *LISTS, SESSION)))


class MainWindow(QMainWindow):
    """Stellacube's window."""

    def __init__(self, themes: ThemeManager, preferences: Preferences, notifications: Notifications) -> None:
        super().__init__()
        self.themes, self.preferences, self.notifications = themes, preferences, notifications
        self.runner = JobRunner(self)
        self.document = Document(self.runner, self)
        self.selection = Selection(self)
        self._run_job: Job | None = None
        self._closed = False
        self.setWindowIcon(application_icon())
        self.setContentsMargins(GRID, 0, GRID, 0)
        self.setAcceptDrops(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFocus()  # no button is marked before the keyboard is used
        self.setUnifiedTitleAndToolBarOnMac(True)
        self.workspaces = Workspaces(self)
        self.actions_by_id, menus = build_actions(self, self._slots())
        self._build_menus(menus)
        self.progress = ProgressView(self.runner)
        self.tool_bar = build_tool_bar(self, self.actions_by_id, self.workspaces.segments, self.progress)
        self.status = StatusLine(self.statusBar())
        self.notice = NoticeBar(self, themes)
        self.drop_sign = DropSign(self, themes)
        self._connect()
        self._on_theme(themes.theme)
        self._restore()
        self._update_state()

    # Building

    def _slots(self) -> dict:
        """Return what every action of the table calls."""
        image, stars = self.workspaces.image, self.workspaces.stars
        return {
            "open": self.choose_files, "open_folder": self.choose_folder, "export": self.choose_export,
            "close_field": self.close_field, "quit": self.close, "run": self.ask_run, "cancel": self.cancel,
            "look": partial(self.workspaces.show, "look"), "explore": partial(self.workspaces.show, "explore"),
            "plan": partial(self.workspaces.show, "plan"), "white": partial(image.show_picture, "white"),
            "slice": partial(image.show_picture, "slice"), "residual": partial(image.show_picture, "residual"),
            "next": partial(image.step, 1), "previous": partial(image.step, -1), "whole": image.view.show_all,
            "undo": self.workspaces.spectrum.undo.undo, "redo": self.workspaces.spectrum.undo.redo,
            "mask": self.workspaces.spectrum.masking.button.toggle, "refit": self.workspaces.spectrum.masking.start,
            "aperture": image.aperture.button.toggle, "lines": self.workspaces.spectrum.lines_button.setChecked,
            "next_star": partial(stars.step, 1),
            "previous_star": partial(stars.step, -1), "nothing": self.selection.clear, "filter": stars.go_to_filter,
            "reset_layout": self.workspaces.reset, "shortcuts": self.show_shortcuts, "about": self.show_about,
        }  # fmt: skip

    def _build_menus(self, menus: dict[str, QMenu]) -> None:
        self.recent_menu = QMenu("Open &recent", self)
        self.recent_menu.aboutToShow.connect(self._fill_recent)
        file_menu, view_menu = menus["&File"], menus["&View"]
        file_menu.insertMenu(self.actions_by_id["export"], self.recent_menu)
        panels = view_menu.addMenu("&Panels")
        for dock in self.workspaces.docks.values():
            panels.addAction(dock.toggleViewAction())
        appearance = view_menu.addMenu("&Appearance")
        group = QActionGroup(self)
        for name, text in (("system", "As the &system"), ("light", "&Light"), ("dark", "&Dark")):
            action = QAction(text, self, checkable=True, checked=self.preferences.appearance == name)
            action.triggered.connect(partial(self.set_appearance, name))
            group.addAction(action)
            appearance.addAction(action)
        group2 = QActionGroup(self)
        for name in ("look", "explore", "plan"):
            group2.addAction(self.actions_by_id[name])
        lines = self.actions_by_id["lines"]
        lines.setChecked(True)
        self.workspaces.spectrum.lines_button.toggled.connect(lines.setChecked)

    def _connect(self) -> None:
        undo = self.workspaces.spectrum.undo
        undo.canUndoChanged.connect(self.actions_by_id["undo"].setEnabled)
        undo.canRedoChanged.connect(self.actions_by_id["redo"].setEnabled)
        self.themes.changed.connect(self._on_theme)
        self.document.cube_changed.connect(self._update_state)
        self.document.rows_changed.connect(self._update_state)
        self.document.results_changed.connect(self._update_state)
        self.document.noted.connect(self._on_note)
        self.document.read_failed.connect(self.notifications.failure)
        self.runner.started.connect(self._update_state)
        self.runner.ended.connect(self._update_state)
        self.notifications.posted.connect(self.notice.show_notification)
        self.notifications.posted.connect(self.status.show_notification)
        self.notice.details_requested.connect(self.show_details)
        self.status.clicked.connect(self.workspaces.show_log)
        self.workspaces.image.cursor_text.connect(self.status.show_cursor)
        self.workspaces.changed.connect(self._on_workspace)
        self.progress.cancel_requested.connect(self.cancel)
        for button in self.workspaces.empty_buttons():
            button.clicked.connect(self.choose_files)
        for edit in self.findChildren(QLineEdit):
            edit.setAcceptDrops(False)  # a file dropped on a box is meant for the window
        for dock in self.workspaces.docks.values():
            dock.setAcceptDrops(True)
            dock.installEventFilter(self)

    @Slot(object)
    def _on_theme(self, theme: Theme) -> None:
        icons = {spec.id: spec.icon for spec in ACTIONS if spec.icon}
        for name, picture in icons.items():
            self.actions_by_id[name].setIcon(icon(picture, theme))
        self.progress.set_theme(theme)

    def _restore(self) -> None:
        """Take up the size and the arrangement of the last time."""
        if not self.restoreGeometry(self.preferences.state("window/geometry")):
            screen = QGuiApplication.primaryScreen().availableGeometry()
            self.resize(QSize(1440, 900).boundedTo(screen.size() * 0.96))
        self.workspaces.start(self.preferences)

    @Slot()
    def _update_state(self) -> None:
        """Let title and commands say what can be done now."""
        document, actions = self.document, self.actions_by_id
        title = document.title
        self.setWindowTitle(f"{title} – Stellacube" if title else "Stellacube")
        self.progress.set_title(title)
        running = self._run_job is not None
        actions["run"].setEnabled((document.cube is not None or bool(document.spectra)) and not running)
        actions["export"].setEnabled(document.catalogue is not None)
        actions["close_field"].setEnabled(not document.empty and not running)
        actions["cancel"].setEnabled(bool(self.runner.jobs))
        for name in ("white", "slice", "whole", "aperture", "next", "previous"):
            actions[name].setEnabled(document.cube is not None)
        actions["residual"].setEnabled(document.residual is not None)
        actions["undo"].setEnabled(self.workspaces.spectrum.undo.canUndo())
        actions["redo"].setEnabled(self.workspaces.spectrum.undo.canRedo())
        for name in ("mask", "refit"):
            actions[name].setEnabled(document.session is not None)
        for name in ("next_star", "previous_star", "filter"):
            actions[name].setEnabled(document.rows is not None)

    @Slot(str)
    def _on_workspace(self, name: str) -> None:
        self.actions_by_id[name].setChecked(True)

    # Opening

    @Slot()
    def choose_files(self) -> None:
        """Ask which files to open."""
        names, _ = QFileDialog.getOpenFileNames(self, "Open", str(self.preferences.folder), OPENABLE)
        if names:
            self.open_paths([Path(name) for name in names])

    @Slot()
    def choose_folder(self) -> None:
        """Ask which folder of spectra to open."""
        name = QFileDialog.getExistingDirectory(self, "Folder of spectra", str(self.preferences.folder))
        if name:
            self.open_paths([Path(name)])

    def open_paths(self, paths: list[Path]) -> None:
        """Open cubes, lists, spectra or a session."""
        if self._closed:
            return
        if self._run_job is not None:
            self.notifications.warning("A run is going on.", "Wait for it, or cancel it first.")
            return
        self.preferences.folder = paths[0].parent
        for path in reversed(paths):
            self.preferences.add_recent(path)
        self.document.open(paths, self.notifications.failure)

    @Slot()
    def _fill_recent(self) -> None:
        self.recent_menu.clear()
        for path in self.preferences.recent:
            action = self.recent_menu.addAction(f"{path.name}    {path.parent}")
            action.triggered.connect(partial(self.open_paths, [path]))
        if self.recent_menu.isEmpty():
            self.recent_menu.addAction("Nothing yet").setEnabled(False)

    @Slot()
    def close_field(self) -> None:
        """Close the cube, the stars and the results."""
        self.selection.clear()
        self.document.close()

    @Slot(str)
    def _on_note(self, sentence: str) -> None:
        self.notifications.info(sentence)

    # Drag and drop

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Welcome files."""
        if _local_paths(event):
            event.acceptProposedAction()
            self.drop_sign.appear()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Take the sign away."""
        self.drop_sign.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        self.drop_sign.hide()
        paths = _local_paths(event)
        if paths:
            event.acceptProposedAction()
            self.open_paths(paths)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take drops on panels that float as windows of their own."""
        if isinstance(event, QDropEvent) and _local_paths(event):
            event.acceptProposedAction()
            if event.type() == QEvent.Type.Drop:
                self.dropEvent(event)
            elif event.type() == QEvent.Type.DragEnter:
                self.drop_sign.appear()
            return True
        return super().eventFilter(watched, event)

    # Running

    @Slot()
    def ask_run(self) -> None:
        """Ask where the results go, then run."""
        dialog = RunDialog(self.document, self)
        dialog.chosen.connect(self.start_run)
        dialog.open()

    @Slot(object, bool)
    def start_run(self, out: Path, replace: bool = False) -> None:
        """Run the whole way on what is open."""
        document = self.document
        stage = partial(run_stage, document.cube_path, document.stars_path, document.spectra, out, replace)
        self._run_job = self.runner.start(
            "Running",
            stage,
            succeeded=self._on_run_succeeded,
            failed=self._on_run_failed,
            cancelled=self._on_run_cancelled,
        )
        self._run_job.ended.connect(self._on_run_ended)
        self.notifications.info(f"Run started; the results go to {out}.")
        self._update_state()

    @Slot(object)
    def _on_run_succeeded(self, result: object) -> None:
        from processing.pipeline import RunResult

        assert isinstance(result, RunResult)
        for note in result.notes:
            self.notifications.info(note)
        seconds = sum(result.seconds.values())
        self.notifications.info(f"{len(result.catalogue):n} stars done in {_duration(seconds)}.")
        self.document.show_run(result.session, self.notifications.failure)

    @Slot(object)
    def _on_run_failed(self, failure: object) -> None:
        self.notifications.failure(failure)  # type: ignore[arg-type]

    @Slot()
    def _on_run_cancelled(self) -> None:
        self.notifications.info(
            "Cancelled. What was finished is kept: a new run into the same folder goes on from there."
        )

    @Slot()
    def _on_run_ended(self) -> None:
        self._run_job = None
        self._update_state()

    @Slot()
    def cancel(self) -> None:
        """Stop what is going on."""
        self.runner.cancel_all()
        self.progress.show_stopping()

    @Slot()
    def choose_export(self) -> None:
        """Ask where to save the catalogue, then save it."""
        start = self.preferences.folder / f"{self.document.title}_catalogue.csv"
        name, chosen = QFileDialog.getSaveFileName(self, "Export catalogue", str(start), ";;".join(FORMATS.values()))
        if name:
            self.export(export_path(name, chosen))

    def export(self, path: Path) -> None:
        """Save the catalogue in the format of the path's suffix."""
        if self.document.catalogue is not None:
            stage = partial(export_stage, self.document.catalogue, path)
            self.runner.start("Saving", stage, succeeded=self._on_exported, failed=self.notifications.failure)

    @Slot(object)
    def _on_exported(self, path: object) -> None:
        self.notifications.info(f"Saved {path}.")

    # The rest

    def set_appearance(self, name: str, checked: bool = True) -> None:
        """Follow the system's colours, or stay light or dark."""
        self.preferences.appearance = name  # type: ignore[assignment]
        self.themes.set_appearance(self.preferences.appearance)

    @Slot(object)
    def show_details(self, notification: Notification) -> None:
        """Show what exactly went wrong."""
        DetailsDialog(notification, self).open()

    @Slot()
    def show_shortcuts(self) -> None:
        """List the shortcuts."""
        ShortcutSheet(self).open()

    @Slot()
    def show_about(self) -> None:
        """Say what this is."""
        from gui.about import AboutDialog

        AboutDialog(self).open()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the arrangement, stop what is going on, wait for every thread."""
        if not self._closed:
            self.preferences.set_state("window/geometry", self.saveGeometry())
            self.workspaces.save(self.preferences)
            self.hide()
            self.shut_down()
        event.accept()

    def shut_down(self) -> None:
        """Stop what is going on and wait for every thread; nothing is opened any more."""
        self._closed = True
        self.document.shut_down()
        self.runner.shut_down()


def _local_paths(event: QDropEvent) -> list[Path]:
    """Return the local files of a drop."""
    return [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
