"""The lines above and below the panels: commands, workspaces, progress with cancel, cursor and messages."""

from __future__ import annotations

import time

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QProgressBar,
    QSizePolicy,
    QStatusBar,
    QToolBar,
    QToolButton,
    QWidget,
)

from gui.jobs import Job, JobRunner
from gui.notifications import Notification
from gui.panels.panel import Elided, Segments
from gui.theme import GRID, Theme, icon
from processing.estimate import rounded, time_left


class ProgressView(QWidget):
    """What is open, and while a job runs: what it does, how far it is, and a button that stops it."""

    cancel_requested = Signal()

    def __init__(self, runner: JobRunner) -> None:
        super().__init__()
        self._runner = runner
        self._job: Job | None = None
        self.label = Elided()
        self.label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.bar = QProgressBar(textVisible=False)
        self.bar.setRange(0, 1000)
        self.bar.setFixedWidth(120)
        self.bar.setAccessibleName("Progress")
        self.percent = QLabel()
        self.percent.setFixedWidth(self.fontMetrics().horizontalAdvance("100 %") + 4)
        self.percent.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.button = QToolButton()
        self.button.setToolTip("Cancel; what is finished is kept (Ctrl+.)")
        self.button.setAccessibleName("Cancel")
        self.button.clicked.connect(self.cancel_requested)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GRID)
        row.addWidget(self.label, 1)
        row.addWidget(self.bar)
        row.addWidget(self.percent)
        row.addWidget(self.button)
        self._title = ""
        runner.started.connect(self._on_started)
        runner.ended.connect(self._on_ended)
        self._show_job(None)

    def set_theme(self, theme: Theme) -> None:
        """Take on the colours of a theme."""
        self.button.setIcon(icon("close", theme))

    def set_title(self, title: str) -> None:
        """Say what is open."""
        self._title = title
        if self._job is None:
            self.label.set_text(title)

    def show_stopping(self) -> None:
        """Say that the job was asked to stop."""
        if self._job is not None:
            self.label.set_text("Stopping …")

    @Slot(object)
    def _on_started(self, job: Job) -> None:
        job.progressed.connect(self._on_progress)
        self._show_job(job)

    @Slot(object)
    def _on_ended(self, job: Job) -> None:
        others = self._runner.jobs
        self._show_job(others[-1] if others else None)

    def _show_job(self, job: Job | None) -> None:
        self._job = job
        for widget in (self.bar, self.percent, self.button):
            widget.setVisible(job is not None)
        self.label.set_text(job.title if job is not None else self._title)
        self.bar.setValue(0)
        self.percent.setText("")

    @Slot(float, str)
    def _on_progress(self, fraction: float, text: str) -> None:
        if self._job is None or self.sender() is not self._job or self._job.stopping:
            return
        self.bar.setValue(round(1000 * fraction))
        self.percent.setText(f"{100 * fraction:.0f} %")
        left = time_left(time.monotonic() - self._job.began, fraction)
        rest = f"   {rounded(left)} left" if left is not None else ""
        self.label.set_text((text or self._job.title) + rest)


class StatusLine(QWidget):
    """Left what is under the mouse, right the last message; a click on it opens the log."""

    clicked = Signal()

    def __init__(self, bar: QStatusBar) -> None:
        super().__init__()
        self.place = QLabel()
        self.place.setObjectName("muted")
        self.place.setMinimumWidth(360)
        self.message = Elided()
        self.message.setObjectName("muted")
        self.message.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.message.setCursor(Qt.CursorShape.PointingHandCursor)
        self.message.clicked.connect(self.clicked)
        row = QHBoxLayout(self)
        row.setContentsMargins(2 * GRID - 4, 0, 2 * GRID - 4, 2)
        row.setSpacing(2 * GRID)
        row.addWidget(self.place)
        row.addWidget(self.message, 1)
        bar.setSizeGripEnabled(False)
        bar.addWidget(self, 1)

    @Slot(str)
    def show_cursor(self, text: str) -> None:
        """Say what is under the mouse."""
        self.place.setText(text)

    @Slot(object)
    def show_notification(self, notification: Notification) -> None:
        """Say the last message."""
        self.message.set_text(notification.text)


def build_tool_bar(
    window: QMainWindow, actions: dict[str, QAction], segments: Segments, progress: ProgressView
) -> QToolBar:
    """Put open, run and export to the left, the workspaces into the middle, progress to the right."""
    bar = QToolBar("Tools", window)
    bar.setObjectName("tools")
    bar.setMovable(False)
    bar.setIconSize(QSize(18, 18))
    bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
    left = QWidget()
    row = QHBoxLayout(left)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(GRID // 2)
    for name, text in (("open", "Open"), ("run", "Run"), ("export", "Export")):
        button = QToolButton()
        button.setDefaultAction(actions[name])
        button.setText(text)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setProperty("title", text)
        actions[name].setIconText(text)
        row.addWidget(button)
    row.addStretch(1)
    for widget in (left, progress):
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    middle = QWidget()
    line = QHBoxLayout(middle)
    line.setContentsMargins(0, 0, 0, 0)
    line.addWidget(left, 1)
    line.addWidget(segments)
    line.addWidget(progress, 1)
    middle.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    bar.addWidget(middle)
    window.addToolBar(bar)
    return bar
