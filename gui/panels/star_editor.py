"""Stars added, moved and deleted on the image, with undo."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtGui import QUndoCommand, QUndoStack
from PySide6.QtWidgets import QToolButton

from gui.document import Document
from gui.panels.sky_view import SkyView
from gui.selection import Selection
from processing.star_edits import EditedStars, centroid, estimate_magnitude

HELP = "Click adds a star, drag moves one, Del deletes the current one; the next run uses the changed list."


class _Change(QUndoCommand):
    """One change of the star list."""

    def __init__(self, text: str, editor: StarEditor, before: EditedStars, after: EditedStars) -> None:
        super().__init__(text)
        self._editor, self._before, self._after = editor, before, after

    def redo(self) -> None:
        """Make the change."""
        self._editor.show(self._after)

    def undo(self) -> None:
        """Take it back."""
        self._editor.show(self._before)


class StarEditor(QObject):
    """A button, and while it is down what the mouse does to stars."""

    begun = Signal(str)
    """What the mouse and the keys do now; "" when editing ends."""

    def __init__(self, document: Document, selection: Selection, view: SkyView, undo: QUndoStack) -> None:
        super().__init__(view)
        self._document, self._selection, self._view, self._undo = document, selection, view, undo
        self.button = QToolButton()
        self.button.setCheckable(True)
        self.button.setToolTip("Add, move and delete stars (E)")
        self.button.setAccessibleName("Edit stars")
        self.button.toggled.connect(self._on_toggled)
        view.star_dropped.connect(self._on_dropped)
        document.cube_changed.connect(self._on_cube)

    @property
    def active(self) -> bool:
        """True while stars are edited."""
        return self.button.isChecked()

    def show(self, edited: EditedStars) -> None:
        """Show a state of the list."""
        self._document.set_edited(edited)
        if self._selection.star not in edited.stars.star_id:
            self._selection.set_star("")

    def add(self, x: float, y: float) -> None:
        """Add a star at the centre of the light near (x, y), with the magnitude that its light says."""
        document, edited = self._document, self._document.begin_editing()
        if document.cube is None:
            return
        mag = float("nan")
        if document.overview is not None:
            white = document.overview.white
            x, y = centroid(white, x, y)
            mag = estimate_magnitude(white, edited.kept, document.cube, x, y)
        after, name = edited.added(document.cube, x, y, mag)
        self._push(f"Add {name}", edited, after)
        self._selection.set_star(name)

    def delete(self) -> None:
        """Delete the current star."""
        star, edited = self._selection.star, self._document.begin_editing()
        if self.active and star in edited.stars.star_id and edited.changes.get(star) != "deleted":
            self._push(f"Delete {star}", edited, edited.deleted(star))

    @Slot(str, float, float)
    def _on_dropped(self, star: str, x: float, y: float) -> None:
        """Move a star to where it was dragged."""
        edited = self._document.begin_editing()
        if self._document.cube is not None and star in edited.stars.star_id:
            self._push(f"Move {star}", edited, edited.moved(self._document.cube, star, x, y))
            self._selection.set_star(star)

    def _push(self, text: str, before: EditedStars, after: EditedStars) -> None:
        self._undo.push(_Change(text, self, before, after))

    @Slot(bool)
    def _on_toggled(self, active: bool) -> None:
        self._view.set_editing(active)
        self.begun.emit(HELP if active else "")

    @Slot()
    def _on_cube(self) -> None:
        self._undo.clear()
        if self._document.cube is None:
            self.button.setChecked(False)
