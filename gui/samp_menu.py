"""The menu that connects the window with other programs through SAMP, and the selection linked both ways."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu

from gui.samp import SampLink, fetch_stage

if TYPE_CHECKING:
    from gui.main_window import MainWindow


class SampMenu(QObject):
    """Connect, send catalogue, image or spectrum; what others highlight or offer is taken up."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._hearing = False
        self.link = SampLink(window.runner, self)
        self.menu = QMenu("Other &programs (SAMP)", window)
        self.menu.setToolTipsVisible(True)
        self.connecting = self._add("&Connect", self._on_connect, "To TOPCAT, Aladin, DS9 and others on this computer")
        self.connecting.setCheckable(True)
        self.menu.addSeparator()
        self.sending = (
            self._add("Send c&atalogue", self.send_table, "As a table; rows are then highlighted both ways"),
            self._add("Send &image", self.send_image, "The white-light image with its coordinates"),
            self._add("Send &spectrum", self.send_spectrum, "The spectrum that is shown"),
        )
        self.menu.aboutToShow.connect(self._update)
        link, selection = self.link, window.selection
        link.changed.connect(self._update)
        link.said.connect(window.notifications.info)
        link.failed.connect(self._on_failed)
        link.star_highlighted.connect(self._on_highlighted)
        link.stars_chosen.connect(self._on_stars_chosen)
        link.file_offered.connect(self._on_file)
        selection.star_changed.connect(self._on_star)
        selection.chosen_changed.connect(self._on_chosen)

    def _add(self, text: str, slot: object, tip: str) -> QAction:
        action = self.menu.addAction(text)
        action.setToolTip(tip)
        action.triggered.connect(slot)
        return action

    def shut_down(self) -> None:
        """Leave the hub."""
        self.link.shut_down()

    @Slot()
    def _update(self) -> None:
        document, connected = self._window.document, self.link.connected
        self.connecting.setChecked(connected)
        shown = self._window.workspaces.spectrum.shown
        there = (
            document.catalogue is not None,
            document.overview is not None,
            shown is not None and shown.observed is not None,
        )
        for action, possible in zip(self.sending, there, strict=True):
            action.setEnabled(connected and possible)

    @Slot(bool)
    def _on_connect(self, wanted: bool) -> None:
        if wanted:
            self.link.connect_hub()
        else:
            self.link.disconnect_hub()
        self._update()

    # Sending

    @Slot()
    def send_table(self) -> None:
        """Offer the catalogue."""
        document = self._window.document
        if document.catalogue is not None:
            self.link.send_table(document.catalogue, document.title)

    @Slot()
    def send_image(self) -> None:
        """Offer the white-light image."""
        document = self._window.document
        if document.overview is not None:
            self.link.send_image(document.overview.white, document.cube, document.title)

    @Slot()
    def send_spectrum(self) -> None:
        """Offer the spectrum that is shown."""
        shown = self._window.workspaces.spectrum.shown
        if shown is not None and shown.observed is not None:
            self.link.send_spectrum(shown.observed, shown.title)

    def _rows(self) -> list[str]:
        """Return the names of the stars in the order of the catalogue that is sent."""
        catalogue = self._window.document.catalogue
        return [] if catalogue is None else [str(name) for name in catalogue.table["stellar_id"]]

    @Slot(str)
    def _on_star(self, star_id: str) -> None:
        if self.link.connected and not self._hearing and star_id in (rows := self._rows()):
            self.link.highlight(rows.index(star_id))

    @Slot(object)
    def _on_chosen(self, star_ids: tuple[str, ...]) -> None:
        if self.link.connected and not self._hearing and star_ids:
            place = {name: row for row, name in enumerate(self._rows())}
            self.link.choose([place[name] for name in star_ids if name in place])

    # Hearing

    @Slot(int)
    def _on_highlighted(self, row: int) -> None:
        rows = self._rows()
        if 0 <= row < len(rows):
            self._hearing = True  # what was heard is not told again
            self._window.selection.set_star(rows[row])
            self._hearing = False

    @Slot(object)
    def _on_stars_chosen(self, chosen: list[int]) -> None:
        rows = self._rows()
        self._hearing = True
        self._window.selection.set_chosen(tuple(rows[row] for row in chosen if 0 <= row < len(rows)))
        self._hearing = False

    @Slot(str)
    def _on_file(self, url: str) -> None:
        stage = partial(fetch_stage, url, self.link.folder)
        self._window.runner.start("Fetching a file", stage, succeeded=self._on_fetched, failed=self._on_failed)

    @Slot(object)
    def _on_fetched(self, path: Path) -> None:
        self._window.open_paths([path])

    @Slot(object)
    def _on_failed(self, failure: object) -> None:
        self._window.notifications.failure(failure)  # type: ignore[arg-type]
        self._update()
