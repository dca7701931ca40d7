"""The About box: version, citation, licences of everything bundled, and what a report of a problem should contain."""

from __future__ import annotations

import platform
from html import escape
from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Slot, qVersion
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QDialog, QFrame, QHBoxLayout, QLabel, QPushButton, QTextBrowser, QVBoxLayout, QWidget

import processing
from gui.theme import GRID, application_icon
from processing.logfile import log_path
from processing.paths import installed, resource
from processing.report.methods import citations
from processing.selfcheck import components, version_of

QT_NOTICE = (
    "This program uses Qt and Qt for Python under the GNU Lesser General Public License, version 3. They are shared "
    "libraries in a folder of their own: you may exchange them for versions of yours. Their source is at "
    '<a href="https://download.qt.io/official_releases/">download.qt.io/official_releases</a>; both licences, LGPL '
    "and GPL, are among the licence texts. Nothing in Stellacube forbids reverse engineering in order to debug such "
    "changes."
)
NO_NETWORK = (
    "Stellacube never uses the network; only the links here do, in your browser, when you click them. SAMP, if you "
    "connect it, talks to programs on this computer alone."
)


def licence_folder() -> Path:
    """Return where the licence texts lie."""
    bundled = resource().parent / "licences"
    return bundled if bundled.is_dir() else resource("licences")


def diagnostics() -> str:
    """Return what helps to find a fault: versions, the display and the log's path, but nothing of the user's files."""
    from processing.labels.model_file import list_models

    screen = QGuiApplication.primaryScreen()
    size = screen.size()
    lines = [
        f"Stellacube {processing.__version__}, {'installed' if installed() else 'from source'}",
        f"Python {platform.python_version()} on {platform.platform()}",
        f"Qt {qVersion()} through '{QGuiApplication.platformName()}', "
        f"{size.width()} x {size.height()} at scale {screen.devicePixelRatio():g}",
        f"Models: {', '.join(list_models()) or 'none'}",
        f"Log: {log_path()}",
    ]
    names = [entry["distribution"] for entry in components() if "distribution" in entry]
    versions = [f"{name} {version_of(name)}" for name in names if version_of(name)]
    return "\n".join([*lines, f"Packages: {', '.join(versions)}"])


def about_text() -> str:
    """Return the text of the box as HTML."""
    cite = "".join(f"<p><b>{escape(entry['use'])}</b><br>{escape(entry['text'])}</p>" for entry in citations())
    rows = "".join(
        f'<tr><td><a href="{entry["source"]}">{escape(entry["name"])}</a></td>'
        f"<td>{_version(entry)}</td>"
        f"<td>{escape(entry['licence'])}</td></tr>"
        for entry in components()
    )
    return (
        f"<h3>Please cite</h3>{cite}<h3>Built from</h3>"
        f'<table cellspacing="0" cellpadding="3">{rows}</table><p>{QT_NOTICE}</p><h3>Network</h3><p>{NO_NETWORK}</p>'
    )


def _version(entry: dict[str, str]) -> str:
    """Return the version of a component where it is known."""
    if entry["name"] == "Python":
        return platform.python_version()
    return version_of(entry["distribution"]) if "distribution" in entry else ""


class AboutDialog(QDialog):
    """Says what this program is and what it is made of."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About Stellacube")
        self.resize(720, 560)
        picture = QLabel()
        picture.setPixmap(application_icon().pixmap(64, 64))
        headline = QLabel(f"Stellacube {processing.__version__}")
        headline.setObjectName("headline")
        text = QLabel("From a MUSE data cube and a star list to a catalogue of stellar labels. BSD 3-clause licence.")
        text.setObjectName("muted")
        words = QVBoxLayout()
        words.addStretch(1)
        words.addWidget(headline)
        words.addWidget(text)
        words.addStretch(1)
        top = QHBoxLayout()
        top.setSpacing(2 * GRID)
        top.addWidget(picture)
        top.addLayout(words, 1)
        self.browser = QTextBrowser(openExternalLinks=True)
        self.browser.setFrameShape(QFrame.Shape.NoFrame)
        self.browser.document().setDocumentMargin(2 * GRID)
        self.browser.setHtml(about_text())
        self.browser.setAccessibleName("Citation and licences")
        self.copied = QLabel("")
        self.copied.setObjectName("muted")
        copy = QPushButton("Copy diagnostic information", autoDefault=False)
        copy.clicked.connect(self.copy)
        licences = QPushButton("Licence texts", autoDefault=False)
        licences.clicked.connect(self.show_licences)
        close = QPushButton("Close", default=True)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.setSpacing(GRID)
        buttons.addWidget(copy)
        buttons.addWidget(licences)
        buttons.addWidget(self.copied, 1)
        buttons.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        column.setSpacing(2 * GRID)
        column.addLayout(top)
        column.addWidget(self.browser, 1)
        column.addLayout(buttons)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

    @Slot()
    def copy(self) -> None:
        """Copy what a report of a problem should contain."""
        QGuiApplication.clipboard().setText(diagnostics())
        self.copied.setText("Copied")

    @Slot()
    def show_licences(self) -> None:
        """Open the folder of the licence texts."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(licence_folder())))
