"""Every command of the window in one table: menus, tool bar, shortcuts and the shortcut sheet are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenu


@dataclass(frozen=True)
class ActionSpec:
    """One command."""

    id: str
    menu: str
    text: str
    shortcut: str = ""
    tip: str = ""
    icon: str = ""
    checkable: bool = False
    line: bool = False
    """A separating line goes before it in its menu."""


ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec("open", "&File", "&Open…", "Ctrl+O", "Open a cube, a star list, spectra or a session", "open"),
    ActionSpec("open_folder", "&File", "Open &folder of spectra…", "Ctrl+Shift+O", "Open all spectra of a folder"),
    ActionSpec("restore", "&File", "Open &last again", "Ctrl+Shift+T", "Open what was open last, as it was shown"),
    ActionSpec("export", "&File", "&Export catalogue…", "Ctrl+E", "Save the catalogue as CSV, FITS, VOTable or ECSV",
               "export", line=True),
    ActionSpec("save_stars", "&File", "Save &star list…", "Ctrl+S", "Save the stars as they were changed by hand"),
    ActionSpec("save_image", "&File", "Save &image…", "", "Save the image as PNG, SVG or FITS"),
    ActionSpec("close_field", "&File", "&Close field", "Ctrl+W", "Close cube, stars and results", line=True),
    ActionSpec("quit", "&File", "&Quit", "Ctrl+Q", "Leave Stellacube"),
    ActionSpec("undo", "&Edit", "&Undo", "Ctrl+Z", "Take back the last change of a mask or a star"),
    ActionSpec("redo", "&Edit", "&Redo", "Ctrl+Shift+Z", "Do again what was taken back"),
    ActionSpec("edit_stars", "&Edit", "&Edit stars", "E", "Add, move and delete stars on the image", line=True),
    ActionSpec("delete_star", "&Edit", "&Delete star", "Del", "Delete the current star while stars are edited"),
    ActionSpec("mask", "&Edit", "&Mask pixels", "M", "Draw masks in the spectrum with Shift held", line=True),
    ActionSpec("refit", "&Edit", "Re&fit star", "Ctrl+Shift+R", "Fit this star again with its masks"),
    ActionSpec("run", "&Run", "&Run…", "Ctrl+R", "Extract all stars and fit their labels", "run"),
    ActionSpec("compare", "&Run", "&Compare catalogues", "Ctrl+Shift+C", "This catalogue's labels against another's",
               line=True),
    ActionSpec("repeats", "&Run", "Re&peated observations", "Ctrl+Shift+P", "How well labels of the same stars repeat"),
    ActionSpec("cuts", "&Run", "C&uts", "Ctrl+Shift+U", "Choose stars by cuts, and see what each of them takes"),
    ActionSpec("cancel", "&Run", "&Cancel", "Ctrl+.", "Stop what is going on; what is finished is kept"),
    ActionSpec("look", "&View", "&Look", "Ctrl+1", "Image, spectrum and stars", checkable=True),
    ActionSpec("explore", "&View", "&Explore", "Ctrl+2", "Diagrams, stars and spectrum", checkable=True),
    ActionSpec("plan", "&View", "&Plan", "Ctrl+3", "What an exposure will give", checkable=True),
    ActionSpec("white", "&View", "&White light", "W", "Show the mean over all wavelengths", line=True),
    ActionSpec("slice", "&View", "&Slice", "S", "Show one wavelength"),
    ActionSpec("residual", "&View", "&Residual", "R", "Show what the extraction left over"),
    ActionSpec("snr", "&View", "Signal-to-&noise", "N", "Show flux over noise of one wavelength"),
    ActionSpec("noise", "&View", "N&oise", "", "Show the noise of one wavelength, from the cube's variances"),
    ActionSpec("colour", "&View", "&Colour", "C", "Show three bands as red, green and blue"),
    ActionSpec("bands", "&View", "&Bands of the colour image…", "", "Choose the wavelengths of red, green and blue"),
    ActionSpec("blink", "&View", "&Blink", "B", "Show two pictures in turn"),
    ActionSpec("play", "&View", "&Play", "P", "Play through the slices"),
    ActionSpec("next", "&View", "&Next layer", "Ctrl+Right", "One layer towards the red"),
    ActionSpec("previous", "&View", "&Previous layer", "Ctrl+Left", "One layer towards the blue"),
    ActionSpec("whole", "&View", "Whole &field", "Home", "Show the whole image"),
    ActionSpec("aperture", "&View", "&Aperture", "A", "The spectrum in a circle on the image"),
    ActionSpec("lines", "&View", "Line &names", "L", "Mark strong stellar lines", checkable=True),
    ActionSpec("next_star", "&View", "Next s&tar", "Ctrl+Down", "The next row of the table", line=True),
    ActionSpec("previous_star", "&View", "Previous st&ar", "Ctrl+Up", "The row before"),
    ActionSpec("nothing", "&View", "Select &nothing", "Escape", "Let go of the star or spaxel"),
    ActionSpec("filter", "&View", "F&ilter stars", "Ctrl+F", "Go to the filter box"),
    ActionSpec("reset_layout", "&View", "Reset la&yout", "", "Put all panels back into their places", line=True),
    ActionSpec("guide", "&Help", "User &guide", "Shift+F1", "What each step does, what every word and sign means"),
    ActionSpec("methods", "&Help", "Copy &methods and citations", "", "What a paper says of this run, in numbers"),
    ActionSpec("shortcuts", "&Help", "&Keyboard shortcuts", "F1", "List all shortcuts"),
    ActionSpec("about", "&Help", "&About Stellacube", "", "Version, licences, citation, diagnostics"),
)  # fmt: skip


def build_actions(
    window: QMainWindow, slots: Mapping[str, Callable[..., object]]
) -> tuple[dict[str, QAction], dict[str, QMenu]]:
    """Make the actions of the table, connect them, and put them into the window's menus.

    Parameters
    ----------
    window : QMainWindow
    slots : mapping
        By the action's id, a bound method of an object in the GUI thread. Every action needs one.

    Returns
    -------
    actions : dict of QAction, by id
    menus : dict of QMenu, by title
    """
    actions = {}
    menus = {}
    for title in ("&File", "&Edit", "&Run", "&View", "&Help"):
        menus[title] = window.menuBar().addMenu(title)
    for spec in ACTIONS:
        action = QAction(spec.text, window, checkable=spec.checkable)
        if spec.shortcut:
            action.setShortcut(QKeySequence(spec.shortcut))
        keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        action.setToolTip(f"{spec.tip} ({keys})" if keys else spec.tip)
        action.setStatusTip("")
        action.triggered.connect(slots[spec.id])
        if spec.line:
            menus[spec.menu].addSeparator()
        menus[spec.menu].addAction(action)
        actions[spec.id] = action
    return actions, menus


def shortcut_rows() -> list[tuple[str, str]]:
    """Return what each shortcut does, for the sheet."""
    rows = [
        (QKeySequence(spec.shortcut).toString(QKeySequence.SequenceFormat.NativeText), spec.tip)
        for spec in ACTIONS
        if spec.shortcut
    ]
    return [
        *rows,
        ("← →", "With the image in focus: one layer back or forward"),
        ("PgUp PgDn", "With the image in focus: twenty layers"),
        ("Wheel", "Zoom image or wavelength axis; drag moves, double-click shows all"),
        ("Shift + drag", "On the spectrum: the image of that band, or with Mask (M) on a mask"),
        ("Shift + drag", "In a diagram: choose stars with a lasso"),
        ("Shift + click", "On a mask in the spectrum: take it away"),
        ("Click", "On a star: select it. On the image: pin the spaxel. On the spectrum: show that slice"),
    ]
