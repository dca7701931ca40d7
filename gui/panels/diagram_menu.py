"""What is chosen behind "More" of the diagram: other axes, colours, density, the training set."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from gui.diagram_data import Axes, chosen_axes, error_of, magnitude_of, plain_columns
from gui.document import Document

QUALITY = ""
"""Points are coloured by quality unless a column is chosen."""


class DiagramMenu(QObject):
    """A button whose menu is filled from the columns that there are when it opens."""

    axes_chosen = Signal(object)
    """`Axes`."""
    changed = Signal()
    """Colours, density or the training set."""
    save_wanted = Signal()

    def __init__(self, document: Document, parent: QWidget) -> None:
        super().__init__(parent)
        self._document = document
        self.axes = Axes("teff", "logg", True, True)
        self.colour = QUALITY
        self.density = False
        self.training = True
        self.button = QToolButton(popupMode=QToolButton.ToolButtonPopupMode.InstantPopup)
        self.button.setText("More")
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.button.setToolTip("Other axes, colours, density, training set")
        self.button.setAccessibleName("More diagrams")
        self.menu = QMenu(self.button)
        self.menu.aboutToShow.connect(self.fill)
        self.button.setMenu(self.menu)

    def fill(self) -> None:
        """Offer what the columns allow."""
        self.menu.clear()
        rows = self._document.rows
        if rows is None:
            return
        magnitude, error = magnitude_of(rows), error_of(rows, self._label())
        if magnitude and error:
            self._item(self.menu, "Error against magnitude", partial(self.choose, magnitude, error))
        self._item(self.menu, "Histogram", partial(self.choose, self.axes.x, ""), checked=not self.axes.y)
        self.menu.addSeparator()
        for title, place in (("Horizontal axis", "x"), ("Vertical axis", "y"), ("Colour", "colour")):
            self._branch(title, place)
        self.menu.addSeparator()
        self._item(self.menu, "Density", partial(self._toggle, "density"), checked=self.density)
        self._item(self.menu, "Training set behind", partial(self._toggle, "training"), checked=self.training)
        self.menu.addSeparator()
        self._item(self.menu, "Save diagram…", self.save_wanted.emit)

    def _label(self) -> str:
        """Return the label whose error is asked for: that of the vertical axis, else of the horizontal one."""
        rows = self._document.rows
        names = (name for name in (self.axes.y, self.axes.x) if name and rows is not None and error_of(rows, name))
        return next(names, "fe_h")

    def _branch(self, title: str, place: str) -> None:
        """Offer all columns for an axis or for the colour."""
        rows = self._document.rows
        assert rows is not None
        branch = self.menu.addMenu(title)
        current = self.colour if place == "colour" else getattr(self.axes, place)
        if place == "colour":
            self._item(branch, "Quality", partial(self._set, place, QUALITY), checked=current == QUALITY)
            branch.addSeparator()
        shown, errors = plain_columns(rows)
        for column in shown:
            self._item(branch, column.title, partial(self._set, place, column.name), checked=column.name == current)
        if errors:
            more = branch.addMenu("Errors")
            for column in errors:
                self._item(more, column.title, partial(self._set, place, column.name), checked=column.name == current)

    @staticmethod
    def _item(menu: QMenu, text: str, slot: object, checked: bool | None = None) -> QAction:
        action = menu.addAction(text)
        if checked is not None:
            action.setCheckable(True)
            action.setChecked(checked)
        action.triggered.connect(slot)
        return action

    def choose(self, x: str, y: str, checked: bool = True) -> None:
        """Choose both axes; without y a histogram of x."""
        rows = self._document.rows
        if rows is not None:
            self.axes_chosen.emit(chosen_axes(rows, x, y))

    def _set(self, place: str, name: str, checked: bool = True) -> None:
        if place == "x":
            self.choose(name, self.axes.y)
        elif place == "y":
            self.choose(self.axes.x, name)
        else:
            self.set_colour(name)

    def set_colour(self, name: str) -> None:
        """Colour the points by a column, or by quality ("")."""
        self.colour = name
        self.changed.emit()

    def _toggle(self, name: str, checked: bool) -> None:
        setattr(self, name, checked)
        self.changed.emit()
