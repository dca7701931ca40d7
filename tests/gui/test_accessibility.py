"""Contrast of every pair of colours that is used, a name for every control, and a focus that walks as the eye does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
from PySide6.QtGui import QAccessible, QColor, QPalette
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QDialog, QTabBar, QWidget
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.about import AboutDialog
from gui.dialogs import RunDialog, ShortcutSheet
from gui.guide import GuideDialog
from gui.main_window import MainWindow
from gui.theme import CANVAS, DARK, LIGHT, SERIES, STATUS_COLOURS, Theme, palette, style_sheet

ENOUGH = 4.5
"""Contrast ratio of WCAG 2, level AA, for text of any size; what is switched off is exempt there too."""
GROUNDS = ("window", "panel", "field")


def luminance(colour: QColor) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str | QColor, two: str | QColor) -> float:
    high, low = sorted((luminance(QColor(one)), luminance(QColor(two))), reverse=True)
    return (high + 0.05) / (low + 0.05)


def rules(theme: Theme) -> dict[str, dict[str, str]]:
    """Return the properties of every selector of the style sheet."""
    found: dict[str, dict[str, str]] = {}
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", style_sheet(theme)):
        properties = dict(re.findall(r"([\w-]+):\s*([^;]+);", body))
        for selector in selectors.split(","):
            found.setdefault(selector.strip(), {}).update(properties)
    return found


def pairs(theme: Theme) -> list[tuple[str, str, str]]:
    """Return (selector, colour, background) of all rules; a state takes from its widget what it does not set."""
    found = rules(theme)
    result = []
    for selector, own in found.items():
        if ":disabled" in selector or not {"color", "background", "selection-color"} & own.keys():
            continue
        base = found.get(re.sub(r":[\w-]+", "", selector), {})
        colour = own.get("color", base.get("color", theme.text))
        background = own.get("background", base.get("background", ""))
        grounds = [background] if background.startswith("#") else [getattr(theme, name) for name in GROUNDS]
        if not re.search(r"::(handle|groove|sub-page|chunk|separator|corner)", selector):
            result += [(selector, colour, ground) for ground in grounds]
        if "selection-color" in own:
            result.append((selector, own["selection-color"], own["selection-background-color"]))
    return result


def weak(checked: Iterable[tuple[object, QColor | str, QColor | str]]) -> dict[object, float]:
    """Return what cannot be read well, with its contrast."""
    found = {name: contrast(front, back) for name, front, back in checked}
    return {name: round(value, 2) for name, value in found.items() if value < ENOUGH}


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_of_the_style_sheet_can_be_read(theme) -> None:
    checked = [((selector, a, b), a, b) for selector, a, b in pairs(theme)]
    assert len(checked) > 40
    assert weak(checked) == {}
    assert weak([("choices in the tool bar", theme.muted, theme.pressed)]) == {}


def test_a_pale_grey_would_be_noticed() -> None:
    assert weak((name, a, b) for name, a, b in pairs(replace(LIGHT, muted="#8c96a3")))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_pair_of_palette_roles_can_be_read(theme) -> None:
    role, colours = QPalette.ColorRole, palette(theme)
    used = [
        (role.WindowText, role.Window), (role.Text, role.Base), (role.Text, role.AlternateBase),
        (role.ButtonText, role.Button), (role.HighlightedText, role.Highlight), (role.ToolTipText, role.ToolTipBase),
        (role.PlaceholderText, role.Base), (role.Link, role.Base), (role.Link, role.Window),
        (role.BrightText, role.Base),
    ]  # fmt: skip
    assert weak(((front.name, back.name), colours.color(front), colours.color(back)) for front, back in used) == {}


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_curves_and_the_names_beside_them_can_be_read(theme) -> None:
    names = ("flux", "fit", "preview", "warn", "bad", "good", "accent", "muted")
    colours = [*((name, getattr(theme, name)) for name in names), *enumerate(SERIES[theme.name])]
    assert weak((name, colour, theme.panel) for name, colour in colours) == {}


def test_rings_can_be_seen_on_dark_sky() -> None:
    assert weak((name, colour, CANVAS) for name, colour in STATUS_COLOURS.items()) == {}


def controls(parent: QWidget) -> list[QWidget]:
    """Return what is seen and takes the focus by Tab, but for the parts that Qt's own widgets are made of."""
    return [
        widget
        for widget in parent.findChildren(QWidget)
        if widget.isVisible()
        and widget.isEnabled()
        and widget.focusPolicy().value & 1
        and not widget.objectName().startswith("qt_")
        and not isinstance(widget, QTabBar)  # its tabs have the names
        and not (isinstance(area := widget.parent(), QAbstractScrollArea) and area.viewport() is widget)
    ]


def nameless(parent: QWidget) -> list[str]:
    """Return the controls whose name a screen reader would not find."""
    return [
        f"{type(widget).__name__} in {type(widget.parent()).__name__}: {widget.toolTip()}"
        for widget in controls(parent)
        if not QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name).strip()
    ]


def test_every_control_of_the_window_has_a_name(finished: MainWindow, field, qtbot: QtBot) -> None:
    finished.selection.set_star(field.names[1])
    panel = finished.workspaces.spectrum
    qtbot.waitUntil(lambda: panel.shown is not None, timeout=WAIT)
    for name in ("look", "explore", "plan"):
        finished.workspaces.show(name)
        QApplication.processEvents()
        assert len(controls(finished)) > 5
        assert nameless(finished) == []
    settled(finished, qtbot)


@pytest.mark.parametrize("kind", [AboutDialog, ShortcutSheet, RunDialog, GuideDialog])
def test_every_control_of_the_dialogs_has_a_name(opened: MainWindow, kind, qtbot: QtBot) -> None:
    first = {RunDialog: (opened.document,), GuideDialog: (opened.themes,)}.get(kind, ())
    dialog: QDialog = kind(*first, opened)
    dialog.show()
    qtbot.waitExposed(dialog)
    assert nameless(dialog) == []
    dialog.close()


def test_tab_walks_through_the_headers_from_left_to_right(finished: MainWindow, field, qtbot: QtBot) -> None:
    finished.selection.set_star(field.names[1])
    qtbot.waitUntil(lambda: finished.workspaces.spectrum.shown is not None, timeout=WAIT)
    for panel in (finished.workspaces.spectrum, finished.workspaces.image, finished.workspaces.stars):
        header = panel.header
        inside = controls(header)
        chain, widget = [], header.nextInFocusChain()
        while widget is not header and len(chain) < 5000:
            if widget in inside:
                chain.append(widget)
            widget = widget.nextInFocusChain()
        places = [w.mapTo(header, w.rect().topLeft()).x() for w in chain]
        assert len(chain) == len(inside)
        assert places == sorted(places), panel.name
    settled(finished, qtbot)
