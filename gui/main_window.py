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
from gui.document import Document
from gui.jobs import JobRunner
from gui.notifications import Notification, Notifications
from gui.opening import FITS, LISTS, SESSION
from gui.overlays import DropSign, NoticeBar
from gui.reporting import methods_stage
from gui.restoring import Restorer
from gui.running import beside
from gui.runs import Runs, Task
from gui.samp_menu import SampMenu
from gui.saving import SaveCommands
from gui.selection import Selection
from gui.settings import Preferences
from gui.theme import GRID, Theme, ThemeManager, application_icon, icon
from gui.tool_bar import ProgressView, StatusLine, build_tool_bar
from gui.workspaces import Workspaces
from processing.settings import Settings

OPENABLE = "Everything that opens ({});;All files (*)".format(" ".join(f"*{end}" for end in (*FITS, *LISTS, SESSION)))


class MainWindow(QMainWindow):
    """Stellacube's window."""

    def __init__(self, themes: ThemeManager, preferences: Preferences, notifications: Notifications) -> None:
        super().__init__()
        self.themes, self.preferences, self.notifications = themes, preferences, notifications
        self.runner = JobRunner(self)
        self.document = Document(self.runner, self)
        self.selection = Selection(self)
        self.runs = Runs(self.runner, self.document, self.notifications, self)
        self._closed = False
        self.setWindowIcon(application_icon())
        self.setContentsMargins(GRID, 0, GRID, 0)
        self.setAcceptDrops(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFocus()  # no button is marked before the keyboard is used
        self.setUnifiedTitleAndToolBarOnMac(True)
        self.workspaces = Workspaces(self)
        self.commands = SaveCommands(self)
        self.restorer = Restorer(self, preferences)
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
            "open": self.choose_files, "open_folder": self.choose_folder, "restore": self.restorer.restore_last,
            "export": self.commands.choose_export,
            "close_field": self.close_field, "quit": self.close, "run": self.ask_run, "cancel": self.cancel,
            "look": partial(self.workspaces.show, "look"), "explore": partial(self.workspaces.show, "explore"),
            "plan": partial(self.workspaces.show, "plan"), "white": partial(image.show_picture, "white"),
            "slice": partial(image.show_picture, "slice"), "residual": partial(image.show_picture, "residual"),
            "snr": partial(image.show_picture, "snr"), "noise": partial(image.show_picture, "noise"),
            "colour": partial(image.show_picture, "colour"), "bands": self.choose_bands,
            "blink": image.comparison.toggle_blink, "play": image.wave_bar.play.toggle,
            "edit_stars": image.editor.button.toggle, "delete_star": image.editor.delete,
            "save_stars": self.commands.save_stars, "save_image": self.commands.save_image,
            "next": partial(image.step, 1), "previous": partial(image.step, -1), "whole": image.view.show_all,
            "undo": self.workspaces.spectrum.undo.undo, "redo": self.workspaces.spectrum.undo.redo,
            "mask": self.workspaces.spectrum.masking.button.toggle, "refit": self.workspaces.spectrum.masking.start,
            "aperture": image.aperture.button.toggle, "lines": self.workspaces.spectrum.lines_button.setChecked,
            "next_star": partial(stars.step, 1),
            "previous_star": partial(stars.step, -1), "nothing": self.selection.clear, "filter": stars.go_to_filter,
            "compare": partial(self.workspaces.reveal, "compare"),
            "repeats": partial(self.workspaces.reveal, "repeats"), "cuts": partial(self.workspaces.reveal, "cuts"),
            "reset_layout": self.workspaces.reset, "guide": self.show_guide, "methods": self.copy_methods,
            "shortcuts": self.show_shortcuts, "about": self.show_about,
        }  # fmt: skip

    def _build_menus(self, menus: dict[str, QMenu]) -> None:
        self.recent_menu = QMenu("Open &recent", self)
        self.recent_menu.aboutToShow.connect(self._fill_recent)
        file_menu, view_menu = menus["&File"], menus["&View"]
        file_menu.insertMenu(self.actions_by_id["export"], self.recent_menu)
        self.samp = SampMenu(self)
        file_menu.insertMenu(self.actions_by_id["close_field"], self.samp.menu)
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
        self.runs.changed.connect(self._update_state)
        self.document.queue_given.connect(self.queue_cubes)
        self.workspaces.queue.wanted.connect(self.show_task)
        self.workspaces.image.editor.begun.connect(self._on_editing)
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
        running = self.runs.running
        actions["run"].setEnabled((document.cube is not None or bool(document.spectra)) and not running)
        for name in ("export", "methods"):
            actions[name].setEnabled(document.catalogue is not None)
        actions["close_field"].setEnabled(not document.empty and not running)
        actions["cancel"].setEnabled(bool(self.runner.jobs))
        for name in ("white", "slice", "snr", "noise", "colour", "bands", "blink", "play", "whole", "aperture", "next",
                     "previous", "edit_stars", "save_image"):  # fmt: skip
            actions[name].setEnabled(document.cube is not None)
        actions["residual"].setEnabled(document.residual is not None)
        actions["save_stars"].setEnabled(document.edited is not None)
        actions["delete_star"].setEnabled(self.workspaces.image.editor.active)
        actions["undo"].setEnabled(self.workspaces.spectrum.undo.canUndo())
        actions["redo"].setEnabled(self.workspaces.spectrum.undo.canRedo())
        for name in ("mask", "refit"):
            actions[name].setEnabled(document.session is not None)
        for name in ("next_star", "previous_star", "filter"):
            actions[name].setEnabled(document.rows is not None)

    @Slot(str)
    def _on_editing(self, help_text: str) -> None:
        """Say how stars are edited."""
        self._update_state()
        if help_text:
            self.notifications.info(help_text)

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
        self.restorer.remember()
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
        from gui.dialogs import RunDialog

        dialog = RunDialog(self.document, self)
        dialog.chosen.connect(self.start_run)
        dialog.open()

    @Slot(object, bool, object)
    def start_run(self, out: Path, replace: bool = False, settings: Settings | None = None) -> None:
        """Run the whole way on what is open; stars that were changed by hand go in as they are now."""
        document = self.document
        stars = document.edited or document.stars_path
        self.runs.start(Task(document.cube_path, stars, document.spectra, out, replace, settings))

    @Slot(object)
    def queue_cubes(self, pairs: tuple[tuple[Path, Path | None], ...]) -> None:
        """Put cubes with their lists into the queue, each to write into a folder beside it."""
        for cube, stars in pairs:
            self.runs.add(Task(cube, stars, (), beside(cube)))
        self.workspaces.bring("queue")

    @Slot(object)
    def show_task(self, task: Task) -> None:
        """Show the results of a run in the queue, or its cube where there are none yet."""
        paths = [path for path in (task.cube, task.stars) if isinstance(path, Path)]
        self.open_paths([task.session] if task.session.is_file() else paths)

    @Slot()
    def cancel(self) -> None:
        """Stop what is going on."""
        self.runs.cancel()
        self.runner.cancel_all()
        self.progress.show_stopping()

    # The rest

    def set_appearance(self, name: str, checked: bool = True) -> None:
        """Follow the system's colours, or stay light or dark."""
        self.preferences.appearance = name  # type: ignore[assignment]
        self.themes.set_appearance(self.preferences.appearance)

    @Slot(object)
    def show_details(self, notification: Notification) -> None:
        """Show what exactly went wrong."""
        from gui.dialogs import DetailsDialog

        DetailsDialog(notification, self).open()

    @Slot()
    def choose_bands(self) -> None:
        """Ask which bands are shown as red, green and blue."""
        from gui.bands_dialog import BandsDialog

        BandsDialog(self.document, self.selection, self.workspaces.image, self).open()

    @Slot()
    def show_shortcuts(self) -> None:
        """List the shortcuts."""
        from gui.dialogs import ShortcutSheet

        ShortcutSheet(self).open()

    @Slot()
    def show_guide(self) -> None:
        """Show the guide beside the window."""
        from gui.guide import GuideDialog

        GuideDialog(self.themes, self).show()

    @Slot()
    def copy_methods(self) -> None:
        """Copy what a paper says about this run."""
        if self.document.catalogue is not None:
            stage, failed = partial(methods_stage, self.document.catalogue), self.notifications.failure
            self.runner.start("Writing the methods", stage, succeeded=self._on_methods, failed=failed)

    @Slot(object)
    def _on_methods(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.notifications.info("Copied the methods paragraph and the citations.")

    @Slot()
    def show_about(self) -> None:
        """Say what this is."""
        from gui.about import AboutDialog

        AboutDialog(self).open()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the arrangement, stop what is going on, wait for every thread."""
        if not self._closed:
            self.restorer.remember()
            self.preferences.set_state("window/geometry", self.saveGeometry())
            self.workspaces.save(self.preferences)
            self.hide()
            self.shut_down()
        event.accept()

    def shut_down(self) -> None:
        """Stop what is going on and wait for every thread; nothing is opened any more."""
        self._closed = True
        self.samp.shut_down()
        self.document.shut_down()
        self.runner.shut_down()


def _local_paths(event: QDropEvent) -> list[Path]:
    """Return the local files of a drop."""
    return [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
