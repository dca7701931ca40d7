"""The few dialogs: start a run, details of a problem, the shortcut sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.actions import shortcut_rows
from gui.document import Document
from gui.notifications import Notification
from gui.run_choices import RunChoices
from gui.running import beside
from gui.theme import GRID
from processing.errors import StellacubeError
from processing.estimate import Estimate, estimate_run


def default_output(document: Document) -> Path:
    """Return the folder that results go to unless the user says otherwise: beside the input, named after it."""
    if document.session is not None:
        return Path(document.session.path).parent
    if document.cube_path is not None:
        return beside(document.cube_path)
    if document.spectra:
        first = document.spectra[0]
        return first.parent / f"{first.stem}_stellacube"
    return Path.home() / "stellacube"


def _column(dialog: QDialog) -> QVBoxLayout:
    """Give a dialog its margins."""
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    column = QVBoxLayout(dialog)
    column.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
    column.setSpacing(2 * GRID)
    return column


def _headline(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("headline")
    return label


class RunDialog(QDialog):
    """Says what will be done and asks only where the results go."""

    chosen = Signal(object, bool, object)
    """The folder, whether another run's results in it may be replaced, and the `Settings`."""

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Run")
        self.setMinimumWidth(560)
        form = QFormLayout()
        form.setHorizontalSpacing(2 * GRID)
        form.setVerticalSpacing(GRID)
        if document.cube_path is not None:
            form.addRow(_muted("Cube"), QLabel(document.cube_path.name))
            form.addRow(_muted("Stars"), QLabel(_stars_text(document)))
        else:
            form.addRow(_muted("Spectra"), QLabel(f"{len(document.loaded):n}"))
        self.folder = QLineEdit(str(default_output(document)))
        self.folder.setAccessibleName("Folder for the results")
        self.folder.textChanged.connect(self._on_folder)
        browse = QPushButton("Choose…", autoDefault=False)
        browse.clicked.connect(self._on_browse)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        form.addRow(_muted("Results in"), row)
        form.addRow(_muted("Takes"), QLabel(str(_estimate(document))))
        listed = document.stars_path is not None or document.edited is not None
        self.choices = RunChoices(cube=document.cube_path is not None, stars=listed)
        self.choices.failed.connect(self._on_failed)
        self.choices.hide()
        self.folded = QScrollArea(widgetResizable=True)
        self.folded.setFrameShape(QFrame.Shape.NoFrame)
        self.folded.setWidget(self.choices)
        self.folded.hide()
        self.fold = QToolButton()
        self.fold.setCheckable(True)
        self.fold.setText("Advanced")
        self.fold.setToolTip("Stars, labels, and a file for all other settings")
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.setArrowType(Qt.ArrowType.RightArrow)
        self.fold.toggled.connect(self._on_fold)
        self.replace = QCheckBox("Replace the results of another run in this folder")
        self.note = QLabel(
            "The session, the catalogue (CSV and FITS) and one FITS file per spectrum. "
            "A run that was interrupted goes on where it stopped.",
            wordWrap=True,
        )
        self.note.setObjectName("muted")
        self.start = QPushButton("Run", default=True)
        self.start.setObjectName("primary")
        self.start.clicked.connect(self._on_start)
        cancel = QPushButton("Cancel", autoDefault=False)
        cancel.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.setSpacing(GRID)
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(self.start)
        column = _column(self)
        title = "Extract all stars and fit their labels" if document.cube_path else "Fit the labels of all spectra"
        column.addWidget(_headline(title))
        column.addLayout(form)
        column.addWidget(self.fold, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.folded, 1)
        column.addWidget(self.replace)
        column.addWidget(self.note)
        column.addLayout(buttons)
        self.start.setFocus()

    @property
    def output(self) -> Path:
        """The folder for the results."""
        return Path(self.folder.text().strip()).expanduser()

    @Slot()
    def _on_start(self) -> None:
        try:
            settings = self.choices.settings
        except StellacubeError as error:  # a preset of the user's own that is broken
            self._on_failed(str(error))
            return
        self.chosen.emit(self.output, self.replace.isChecked(), settings)
        self.accept()

    @Slot(bool)
    def _on_fold(self, unfolded: bool) -> None:
        self.fold.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self.choices.setVisible(unfolded)
        self.folded.setVisible(unfolded)
        self.folded.setMinimumHeight(120 if unfolded else 0)
        if (layout := self.layout()) is not None:
            layout.activate()
        room = self.screen().availableGeometry()
        width, height = self.minimumWidth(), self.sizeHint().height()
        if unfolded:
            wanted, given = self.choices.sizeHint(), self.folded.sizeHint()
            bar = self.folded.verticalScrollBar().sizeHint().width()
            width = max(width, wanted.width() + bar + 6 * GRID)  # and the margins
            height += wanted.height() - given.height()
        x = self.x() + (self.width() - width) // 2
        self.resize(min(width, room.width() - 2 * GRID), min(height, room.height() - 5 * GRID))
        self.move(max(room.left(), x), max(room.top(), min(self.y(), room.bottom() - self.height() - 4 * GRID)))

    @Slot(str)
    def _on_failed(self, sentence: str) -> None:
        self.note.setText(sentence)

    @Slot(str)
    def _on_folder(self, text: str) -> None:
        self.start.setEnabled(bool(text.strip()))

    @Slot()
    def _on_browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder for the results", str(self.output.parent))
        if folder:
            self.folder.setText(folder)


def _estimate(document: Document) -> Estimate:
    """Return what a run on what is open will take."""
    rows, cube = document.rows, document.cube
    known = rows is not None and (cube is None or document.stars_path is not None or document.edited is not None)
    stars = int(np.isin(rows.status, OUT_OF_FIELD, invert=True).sum()) if rows is not None and known else None
    return estimate_run(cube.shape if cube is not None else None, stars)


OUT_OF_FIELD = ("outside", "deleted")


def _muted(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("muted")
    return label


def _stars_text(document: Document) -> str:
    """Say where the stars come from."""
    if document.stars is not None and document.stars_path is not None:
        return f"{len(document.stars):n} in {document.stars_path.name}"
    if document.stars_path is not None:
        return document.stars_path.name
    return "found on the white-light image (no list is open)"


class DetailsDialog(QDialog):
    """Shows what exactly went wrong, to read and to copy."""

    def __init__(self, notification: Notification, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Details")
        self.resize(760, 420)
        sentence = QLabel(notification.text, wordWrap=True)
        sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text = f"{notification.text}\n\n{notification.details}"
        box = QPlainTextEdit(notification.details, readOnly=True)
        box.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        box.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        box.setAccessibleName("Details")
        copy = QPushButton("Copy")
        copy.clicked.connect(self.copy)
        close = QPushButton("Close", default=True)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(copy)
        buttons.addWidget(close)
        column = _column(self)
        column.addWidget(sentence)
        column.addWidget(box, 1)
        column.addLayout(buttons)

    @Slot()
    def copy(self) -> None:
        """Copy sentence and details."""
        QGuiApplication.clipboard().setText(self._text)


class ShortcutSheet(QDialog):
    """Lists all shortcuts, made from the table of actions."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        grid = QGridLayout()
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID - 2)
        rows = shortcut_rows()
        half = (len(rows) + 1) // 2
        for n, (keys, text) in enumerate(rows):
            side = 3 * (n // half)
            label = QLabel(keys)
            label.setObjectName("title")
            grid.addWidget(label, n % half, side)
            grid.addWidget(QLabel(text), n % half, side + 1)
        grid.setColumnMinimumWidth(2, 2 * GRID)
        column = _column(self)
        column.addWidget(_headline("Keyboard and mouse"))
        column.addLayout(grid)
