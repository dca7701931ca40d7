"""What was open and how it was shown: remembered per file, saved as the window is used, brought back after a crash."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QLockFile, QObject, QTimer, Signal, Slot

from gui.composite import Ranges
from gui.diagram_data import Axes
from gui.selection import Aperture

if TYPE_CHECKING:
    from gui.main_window import MainWindow
    from gui.settings import Preferences
    from processing.star_edits import EditedStars

State = dict[str, Any]
INTERVAL = 10_000
"""Milliseconds between two looks whether something has changed."""
MAX_VIEWS = 30
LAST, VIEWS = "last/open", "last/views"


def capture(window: MainWindow) -> State:
    """Return what is open and how it is shown, as JSON can hold it; empty where nothing is open."""
    document, selection = window.document, window.selection
    paths = [str(path) for path in open_paths(window)]
    if not paths:
        return {}
    image, stars, spectrum = window.workspaces.image, window.workspaces.stars, window.workspaces.spectrum
    return {
        "paths": paths,
        "edited": _pack_edited(document.edited),
        "star": selection.star, "chosen": list(selection.chosen), "spaxel": selection.spaxel,
        "aperture": asdict(selection.aperture) if selection.aperture else None,
        "label": selection.label, "band": selection.band,
        "wavelength": selection.wavelength if math.isfinite(selection.wavelength) else None,
        "workspace": window.workspaces.current,
        "picture": image.pictures.picture, "limits": image.limits, "colour_ranges": document.colour_ranges,
        "compare": [image.comparison.mode, image.comparison.picture],
        "field": image.view.box.targetRange(),  # what is seen of it follows from the size of the panel
        "filter": stars.filter.text(), "columns": stars.shown_columns, "sorted": stars.sorted_by,
        "spectrum": spectrum.flux.getViewBox().viewRange()[0],
        "axes": asdict(window.workspaces.diagrams.axes), "colour": window.workspaces.diagrams.menu.colour,
    }  # fmt: skip


def open_paths(window: MainWindow) -> list[Path]:
    """Return the files that bring back what is open."""
    document = window.document
    if document.session is not None:
        return [Path(document.session.path)]
    given = (document.cube_path, document.stars_path, *document.spectra)
    return [path for path in given if path is not None]


def apply(window: MainWindow, state: State) -> None:
    """Show what is open as it was shown; what does not fit any more is left out."""
    document, selection, work = window.document, window.selection, window.workspaces
    image, stars, diagrams = work.image, work.stars, work.diagrams
    edited = _unpack_edited(state.get("edited"))
    if edited is not None and document.cube is not None:
        document.set_edited(edited)
    work.show(state["workspace"])
    diagrams.menu.colour = state["colour"]
    diagrams.show_axes(Axes(**state["axes"]))
    stars.filter.setText(state["filter"])
    stars.show_columns(state["columns"])
    stars.sort_by(*state["sorted"])
    if document.cube is not None:
        document.colour_ranges = _ranges(state["colour_ranges"])
        if state["wavelength"] is not None:
            selection.set_wavelength(state["wavelength"])
        if state["band"] is not None:
            selection.set_band(tuple(state["band"]))
        image.restore(state["picture"], state["limits"])
        mode, picture = state["compare"]
        image.comparison.picture = picture
        image.comparison.set_mode(mode)
        if state["aperture"] is not None:
            annulus = state["aperture"]["annulus"]
            selection.set_aperture(Aperture(**(state["aperture"] | {"annulus": tuple(annulus) if annulus else None})))
        if state["spaxel"] is not None:
            selection.set_spaxel(tuple(state["spaxel"]))
    if document.rows is not None:
        selection.set_chosen(tuple(name for name in state["chosen"] if name in document.rows.index))
        if state["star"] in document.rows.index:
            selection.set_star(state["star"])
    selection.set_label(state["label"])


def place(window: MainWindow, state: State) -> None:
    """Show the parts of image and spectrum that were shown, once there are an image and a spectrum."""
    x, y = state["field"]
    window.workspaces.image.view.box.setRange(xRange=x, yRange=y, padding=0)
    window.workspaces.spectrum.flux.getViewBox().setXRange(*state["spectrum"], padding=0)


def _ranges(value: Any) -> Ranges | None:
    return tuple(tuple(pair) for pair in value) if value else None  # type: ignore[return-value]


def _pack_edited(edited: EditedStars | None) -> State | None:
    if edited is None:
        return None
    stars = {f.name: getattr(edited.stars, f.name) for f in fields(edited.stars)}
    packed = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in stars.items()}
    return {"stars": packed, "changes": dict(edited.changes)}


def _unpack_edited(packed: State | None) -> EditedStars | None:
    if packed is None:
        return None
    from processing.star_edits import EditedStars
    from processing.star_list import StarList

    stars: dict[str, Any] = dict(packed["stars"])
    stars |= {name: np.array(value) for name, value in stars.items() if isinstance(value, list) and name != "notes"}
    return EditedStars(StarList(**(stars | {"notes": tuple(stars["notes"])})), packed["changes"])


class Restorer(QObject):
    """Remembers how each file was shown, and shows it so again."""

    restored = Signal()
    """A file that was open before is shown as it was."""

    def __init__(self, window: MainWindow, preferences: Preferences) -> None:
        super().__init__(window)
        self._window, self._preferences = window, preferences
        self._pending: State | None = None
        self._saved: State = {}
        window.document.opened.connect(self._on_opened)
        window.document.image_ready.connect(self._on_image)

    @property
    def last(self) -> State:
        """What was open last; empty where nothing is known."""
        return _loaded(self._preferences.text(LAST)) or {}

    def remember(self) -> bool:
        """Save what is open and how it is shown; return whether there was anything new."""
        state = capture(self._window)
        if not state or state == self._saved:
            return False
        self._saved = state
        self._preferences.set_text(LAST, json.dumps(state))
        views = _loaded(self._preferences.text(VIEWS)) or {}
        views.pop(state["paths"][0], None)
        views[state["paths"][0]] = state
        kept = dict(list(views.items())[-MAX_VIEWS:])
        self._preferences.set_text(VIEWS, json.dumps(kept))
        return True

    @Slot()
    def restore_last(self) -> None:
        """Open again what was open last."""
        paths = [Path(path) for path in self.last.get("paths", ())]
        if paths:
            self._window.open_paths(paths)

    @Slot()
    def _on_opened(self) -> None:
        """Show a file as it was shown, where that is known."""
        paths = [str(path) for path in open_paths(self._window)]
        views = _loaded(self._preferences.text(VIEWS)) or {}
        state = views.get(paths[0]) if paths else None
        if state is None or state["paths"] != paths:
            return
        try:
            apply(self._window, state)
        except (KeyError, TypeError, ValueError):
            return  # remembered by another version of the program
        self._pending = state
        if self._window.document.cube is None:
            self._on_image()

    @Slot()
    def _on_image(self) -> None:
        """Show the part of the image that was shown, now that there is one."""
        if self._pending is not None:
            state, self._pending = self._pending, None
            place(self._window, state)
            self.restored.emit()


class Autosave(QObject):
    """Saves every few seconds what is open, and tells at the start whether a window did not end properly.

    Every program that runs holds a lock file of its own; one that nobody holds any more was left by a crash.
    """

    def __init__(self, restorer: Restorer, preferences: Preferences, parent: QObject, folder: Path) -> None:
        super().__init__(parent)
        self._restorer, self._preferences = restorer, preferences
        with suppress(OSError):  # a home that is read-only is no fault: nothing is noticed then
            folder.mkdir(parents=True, exist_ok=True)
        left = [_let_go(path) for path in folder.glob("*.lock")]
        self.crashed = any(left) and bool(restorer.last)
        self._lock = QLockFile(str(folder / f"{os.getpid()}.lock"))
        self._lock.setStaleLockTime(0)
        self._lock.tryLock(0)
        self._timer = QTimer(self, interval=INTERVAL)
        self._timer.timeout.connect(self.save)
        self._timer.start()

    @Slot()
    def save(self) -> None:
        """Save what is open, on the disk."""
        if self._restorer.remember():
            self._preferences.sync()

    def end(self) -> None:
        """Note that the window was closed properly."""
        self._timer.stop()
        self._lock.unlock()
        self._preferences.sync()


def _let_go(path: Path) -> bool:
    """Remove a lock file whose program has ended without doing so; True if that was so."""
    lock = QLockFile(str(path))
    lock.setStaleLockTime(0)  # only that its program has ended counts, never its age
    free = lock.tryLock(0)
    lock.unlock()
    return free


def _loaded(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
