"""How the window looks: two colour sets, one typeface in two sizes, an 8-pixel rhythm, and icons in the text colour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from string import Template
from typing import Literal

from PySide6.QtCore import QByteArray, QObject, QRectF, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from gui.settings import Appearance
from processing.paths import resource

GRID = 8
"""The rhythm of all distances, in device-independent pixels."""
SMALL = 0.86
"""Size of the small text relative to the normal one."""
CANVAS = "#101317"
"""Behind images, in both themes: the sky is dark."""


@dataclass(frozen=True)
class Theme:
    """One colour set. Text on `panel` and on `window` has a contrast of 4.5:1 at least."""

    name: Literal["light", "dark"]
    window: str
    panel: str
    field: str
    line: str
    text: str
    muted: str
    accent: str
    on_accent: str
    hover: str
    pressed: str
    flux: str
    fit: str
    preview: str
    band: str
    warn: str
    bad: str
    good: str


LIGHT = Theme(
    "light", window="#eceef1", panel="#ffffff", field="#f4f5f7", line="#d9dde3", text="#1a1f26", muted="#596371",
    accent="#1a66c2", on_accent="#ffffff", hover="#e7ebf0", pressed="#d8e0ea", flux="#3a4350", fit="#c94f00",
    preview="#1a66c2", band="#8792a2", warn="#9a6200", bad="#b3261e", good="#00705a",
)  # fmt: skip
DARK = Theme(
    "dark", window="#14171b", panel="#1e2227", field="#272c33", line="#373e47", text="#e8ebef", muted="#9ea8b4",
    accent="#6cb2f5", on_accent="#0d1620", hover="#2c323a", pressed="#343c46", flux="#c3cbd5", fit="#ff9a4d",
    preview="#6cb2f5", band="#8b97a6", warn="#f0b64f", bad="#ff8a80", good="#4cc9a6",
)  # fmt: skip

STATUS_COLOURS: dict[str, str] = {
    "extracted": "#56b4e9",
    "listed": "#56b4e9",
    "spaxel": "#56b4e9",
    "added": "#4ed3a4",
    "moved": "#f0e442",
    "deleted": "#ff7b72",
    "merged": "#e69f00",
    "confused": "#cc79a7",
    "saturated": "#e8703a",
    "faint": "#b9c0c9",
    "contaminant": "#8f99a6",
    "outside": "#8f99a6",
}
"""Rings on the image by what became of a star: Okabe & Ito's colours, told apart by the colour-blind, on dark sky."""
SERIES: dict[str, tuple[str, ...]] = {
    "light": ("#3a4350", "#c94f00", "#1a66c2", "#00705a", "#8c3fa8", "#8a6500", "#b3261e", "#0a7a99"),
    "dark": ("#c3cbd5", "#ff9a4d", "#6cb2f5", "#4cc9a6", "#d9a0ee", "#f0d060", "#ff8a80", "#66d0ee"),
}
"""Curves that stand beside each other, by theme; each is also named in the plot."""
SELECTED = "#ffd84d"
"""The current star's ring on the image, in both themes."""


def status_colour(status: str) -> str:
    """Return the colour of a star's ring on the image."""
    return STATUS_COLOURS.get(status, "#56b4e9")


STYLE = Template("""
* { outline: none; }
QMainWindow, QDialog, QMainWindow::separator { background: $window; }
QMainWindow::separator { width: 8px; height: 8px; }
QMainWindow::separator:hover { background: $pressed; }
QToolTip { background: $panel; color: $text; border: 1px solid $line; padding: 4px 8px; }
QMenuBar { background: $window; padding: 2px 4px; }
QMenuBar::item { padding: 4px 8px; border-radius: 4px; }
QMenuBar::item:selected { background: $pressed; }
QMenu { background: $panel; border: 1px solid $line; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: $pressed; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $line; margin: 4px 8px; }
QMenu::indicator { width: 14px; height: 14px; margin-left: 6px; }
QToolBar { background: $window; border: none; padding: 0 8px 8px 8px; spacing: 8px; }
QStatusBar { background: $window; }
QStatusBar::item { border: none; }
QFrame#panel, QFrame#header { background: $panel; border: none; }
QFrame#header { border-top-left-radius: 6px; border-top-right-radius: 6px; }
QFrame#panel { border-bottom-left-radius: 6px; border-bottom-right-radius: 6px; }
QLabel#title { font-weight: 600; }
QLabel#muted, QLabel#small { color: $muted; }
QLabel#headline { font-weight: 600; font-size: 12pt; }
QToolButton { border: none; border-radius: 4px; padding: 4px 8px; color: $text; }
QToolButton:hover { background: $hover; }
QToolButton:pressed, QToolButton:open { background: $pressed; }
QToolButton:checked { background: $hover; color: $text; }
QToolButton:focus { border: 1px solid $accent; padding: 3px 7px; }
QToolButton:disabled { color: $muted; }
QToolButton::menu-indicator { image: none; }
QFrame#segments { background: $field; border-radius: 5px; }
QFrame#segments QToolButton { padding: 3px 10px; margin: 2px; border-radius: 4px; color: $muted; }
QFrame#segments QToolButton:focus { padding: 2px 9px; }
QFrame#segments QToolButton:checked { background: $raised; color: $text; font-weight: 600; }
QToolBar QFrame#segments { background: $pressed; }
QPushButton { background: $field; border: 1px solid $line; border-radius: 5px; padding: 5px 16px; color: $text; }
QPushButton:hover { background: $hover; }
QPushButton:pressed { background: $pressed; }
QPushButton:focus { border-color: $accent; }
QPushButton:disabled { color: $muted; }
QPushButton#primary { background: $accent; border-color: $accent; color: $on_accent; font-weight: 600; }
QPushButton#primary:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton#primary:focus { border: 2px solid $text; padding: 4px 15px; }
QPushButton#primary:disabled { background: $pressed; border-color: $pressed; color: $muted; }
QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox, QPlainTextEdit {
    background: $field; border: 1px solid $field; border-radius: 5px; padding: 3px 8px; color: $text;
    selection-background-color: $accent; selection-color: $on_accent; }
QLineEdit:hover, QAbstractSpinBox:hover, QComboBox:hover { border-color: $line; }
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus, QPlainTextEdit:focus { border-color: $accent; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { subcontrol-origin: border; width: 0; border: none; }
QAbstractSpinBox QLineEdit { background: transparent; border: none; padding: 0; }
QLineEdit[wrong="true"] { border-color: $bad; }
QAbstractSpinBox QLineEdit { background: transparent; border: none; padding: 0; }
QComboBox::drop-down { border: none; width: 22px; }
QComboBox::down-arrow { image: url("$down"); width: 12px; height: 12px; }
QComboBox QAbstractItemView { background: $panel; border: 1px solid $line; selection-background-color: $pressed;
    selection-color: $text; }
QTableView, QTreeWidget { background: $panel; border: none; gridline-color: transparent; color: $text;
    selection-background-color: $chosen; selection-color: $text; alternate-background-color: $panel; }
QTableView::item, QTreeWidget::item { padding: 2px 9px; border: none; }
QTableView::item:hover { background: $hover; }
QTableView::item:selected, QTreeWidget::item:selected { background: $chosen; color: $text; }
QListWidget { background: $panel; border: none; border-radius: 6px; padding: 4px; color: $text; }
QListWidget::item { padding: 4px 8px; border-radius: 4px; }
QListWidget::item:hover { background: $hover; }
QListWidget::item:selected { background: $chosen; color: $text; }
QHeaderView { background: $panel; }
QHeaderView::section { background: $panel; color: $muted; border: none; border-bottom: 1px solid $line;
    padding: 4px 12px; }
QHeaderView::section:hover { color: $text; }
QTableCornerButton::section { background: $panel; border: none; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: $line; border-radius: 3px; margin: 2px; min-height: 24px; min-width: 24px; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page { background: none; border: none;
    width: 0; height: 0; }
QAbstractScrollArea::corner { background: transparent; border: none; }
QScrollArea, QScrollArea > QWidget > QWidget { background: transparent; }
QSlider::groove:horizontal { height: 4px; background: $line; border-radius: 2px; }
QSlider::sub-page:horizontal { background: $accent; border-radius: 2px; }
QSlider::sub-page:horizontal:disabled { background: $line; }
QSlider::handle:horizontal { background: $panel; border: 2px solid $accent; width: 12px; height: 12px; margin: -6px 0;
    border-radius: 8px; }
QSlider::handle:horizontal:focus { background: $accent; }
QSlider::handle:horizontal:disabled { border-color: $line; }
QProgressBar { background: $line; border: none; border-radius: 3px; max-height: 6px; min-height: 6px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }
QFrame#notice { background: $panel; border: 1px solid $line; border-radius: 8px; }
QTabBar { qproperty-drawBase: 0; }
QTabBar::tab { background: transparent; color: $muted; padding: 4px 12px; border: none; }
QTabBar::tab:selected { color: $text; font-weight: 600; border-bottom: 2px solid $accent; }
QCheckBox { spacing: 8px; }
QCheckBox::indicator { width: 12px; height: 12px; border: 1px solid $muted; border-radius: 3px; background: $field; }
QCheckBox::indicator:hover { border-color: $accent; }
QCheckBox::indicator:checked { border-color: $accent; background: $accent; color: $on_accent; image: url("$tick"); }
QCheckBox::indicator:focus { width: 10px; height: 10px; border: 2px solid $text; }
QCheckBox::indicator:disabled { border-color: $line; }
QCheckBox::indicator:checked:disabled { background: $line; }
""")


def _mix(a: str, b: str, share: float) -> str:
    """Mix two colours; `share` is that of the second."""
    one, two = QColor(a), QColor(b)
    parts = (round((1 - share) * x + share * y) for x, y in zip(one.getRgb()[:3], two.getRgb()[:3], strict=True))  # type: ignore[index]
    return QColor(*parts).name()


def style_sheet(theme: Theme) -> str:
    """Return the application's style sheet for one theme."""
    raised = theme.panel if theme.name == "light" else "#3a424d"
    extra = {
        "raised": raised,
        "chosen": _mix(theme.panel, theme.accent, 0.16 if theme.name == "light" else 0.28),
        "accent_hover": _mix(theme.accent, theme.text, 0.15),
        "down": resource("icons", f"down_{theme.name}.svg").as_posix(),
        "tick": resource("icons", f"tick_{theme.name}.svg").as_posix(),
    }
    return STYLE.substitute(vars(theme) | extra)


def palette(theme: Theme) -> QPalette:
    """Return the palette that widgets without a style rule use."""
    role = QPalette.ColorRole
    result = QPalette()
    for key, colour in {
        role.Window: theme.window, role.WindowText: theme.text, role.Base: theme.panel, role.AlternateBase: theme.field,
        role.Text: theme.text, role.Button: theme.field, role.ButtonText: theme.text, role.BrightText: theme.bad,
        role.Highlight: theme.accent, role.HighlightedText: theme.on_accent, role.ToolTipBase: theme.panel,
        role.ToolTipText: theme.text, role.PlaceholderText: theme.muted, role.Link: theme.accent, role.Mid: theme.line,
        role.Accent: theme.accent,
    }.items():  # fmt: skip
        result.setColor(key, QColor(colour))
    for key in (role.WindowText, role.Text, role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, key, QColor(theme.muted))
    return result


@cache
def _icon_text(name: str) -> str:
    return resource("icons", f"{name}.svg").read_text(encoding="utf-8")


def pixmap(name: str, colour: str, size: int, ratio: float = 1.0) -> QPixmap:
    """Draw one of the icons in a colour, `size` device-independent pixels wide."""
    image = QPixmap(round(size * ratio), round(size * ratio))
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(QByteArray(_icon_text(name).replace("currentColor", colour).encode())).render(
        painter, QRectF(image.rect())
    )
    painter.end()
    image.setDevicePixelRatio(ratio)
    return image


def icon(name: str, theme: Theme) -> QIcon:
    """Return an icon in the theme's text colour, sharp at every scale."""
    result = QIcon()
    for mode, colour in ((QIcon.Mode.Normal, theme.text), (QIcon.Mode.Disabled, theme.muted)):
        for size in (16, 24, 32, 48):
            result.addPixmap(pixmap(name, colour, size), mode)
    return result


def application_icon() -> QIcon:
    """Return the program's own icon."""
    return QIcon(str(resource("icons", "stellacube.svg")))


class ThemeManager(QObject):
    """Keeps the application in the light or dark theme, following the system unless told otherwise."""

    changed = Signal(object)
    """The new `Theme`."""

    def __init__(self, application: QApplication, appearance: Appearance = "system") -> None:
        super().__init__()
        self._application = application
        self._appearance = appearance
        self.theme = LIGHT
        _load_typeface(application)
        application.setStyle("Fusion")
        application.styleHints().colorSchemeChanged.connect(self._on_system_changed)
        self._apply()

    @property
    def small_font(self) -> QFont:
        """The small one of the two text sizes."""
        font = QFont(self._application.font())
        font.setPointSizeF(font.pointSizeF() * SMALL)
        return font

    def set_appearance(self, appearance: Appearance) -> None:
        """Follow the system, or stay light or dark."""
        self._appearance = appearance
        self._apply()

    @Slot()
    def _on_system_changed(self) -> None:
        if self._appearance == "system":
            self._apply()

    def _apply(self) -> None:
        dark = self._appearance == "dark" or (
            self._appearance == "system"
            and self._application.styleHints().colorScheme() == Qt.ColorScheme.Dark
        )  # fmt: skip
        self.theme = DARK if dark else LIGHT
        self._application.setPalette(palette(self.theme))
        self._application.setStyleSheet(style_sheet(self.theme))
        self.changed.emit(self.theme)


def _load_typeface(application: QApplication) -> None:
    """Use the shipped typeface: its figures are tabular, and it looks alike on every system."""
    families: list[str] = []
    for path in sorted(resource("fonts").glob("*.otf")):
        families += QFontDatabase.applicationFontFamilies(QFontDatabase.addApplicationFont(str(path)))
    font = QFont(application.font())
    if families:
        font.setFamily(families[0])
    font.setPointSizeF(max(font.pointSizeF(), 10.0))
    application.setFont(font)
