"""The link to other programs, against a real hub and a second client."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from astropy.table import Table
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

import gui.samp
from gui.main_window import MainWindow
from processing.errors import StellacubeError

samp = pytest.importorskip("pyvo.samp", reason="the extra 'samp' is not installed")


class Peer:
    """Another program: it remembers what it hears."""

    def __init__(self) -> None:
        samp.conf.use_internet = False
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.client = samp.SAMPIntegratedClient(name="Peer", addr="127.0.0.1")
        self.client.connect()
        for mtype in (gui.samp.TABLE, gui.samp.IMAGE, gui.samp.HIGHLIGHT, gui.samp.SELECT):
            self.client.bind_receive_message(mtype, self._hear)

    def _hear(self, key: str, sender: str, number: object, mtype: str, parameters: Any, extra: Any) -> None:
        self.heard.append((mtype, dict(parameters)))

    def got(self, mtype: str) -> list[dict[str, Any]]:
        return [parameters for kind, parameters in list(self.heard) if kind == mtype]

    def say(self, mtype: str, **parameters: Any) -> None:
        self.client.notify_all({"samp.mtype": mtype, "samp.params": parameters})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run a hub of the test's own."""
    lock = tmp_path / "hub.lock"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{lock.as_uri()}")
    samp.conf.use_internet = False
    server = samp.SAMPHubServer(lockfile=str(lock), web_profile=False, addr="127.0.0.1")
    server.start()
    yield server
    if server.is_running:
        server.stop()


@pytest.fixture
def peer(hub: Any) -> Iterator[Peer]:
    other = Peer()
    yield other
    if hub.is_running:
        other.client.disconnect()


@pytest.fixture
def linked(finished: MainWindow, peer: Peer, qtbot: QtBot) -> MainWindow:
    """Return the window on a finished run, connected, its catalogue sent."""
    menu = finished.samp
    menu.connecting.trigger()
    qtbot.waitUntil(lambda: menu.link.connected, timeout=WAIT)
    menu.send_table()
    qtbot.waitUntil(lambda: bool(peer.got(gui.samp.TABLE)), timeout=WAIT)
    settled(finished, qtbot)
    return finished


def test_the_catalogue_arrives_whole(linked, peer, field) -> None:
    sent = peer.got(gui.samp.TABLE)[0]
    path = Path(urllib.parse.urlsplit(sent["url"]).path)
    table = Table.read(path, format="votable")
    assert [str(name) for name in table["stellar_id"]] == list(field.names[:-1])
    assert "to 1 program" in linked.notifications.history[-1].sentence
    folder = path.parent
    linked.samp.shut_down()
    assert not folder.exists()


def test_stars_are_highlighted_both_ways(linked, peer, field, qtbot: QtBot) -> None:
    table = peer.got(gui.samp.TABLE)[0]["table-id"]
    linked.selection.set_star(field.names[2])
    qtbot.waitUntil(lambda: bool(peer.got(gui.samp.HIGHLIGHT)), timeout=WAIT)
    assert peer.got(gui.samp.HIGHLIGHT)[-1] == {"table-id": table, "url": "", "row": "2"}
    peer.say(gui.samp.HIGHLIGHT, **{"table-id": table, "url": "", "row": "0"})
    qtbot.waitUntil(lambda: linked.selection.star == field.names[0], timeout=WAIT)
    peer.say(gui.samp.SELECT, **{"table-id": table, "url": "", "row-list": ["1", "3", "99"]})
    qtbot.waitUntil(lambda: linked.selection.chosen == (field.names[1], field.names[3]), timeout=WAIT)
    linked.selection.set_chosen((field.names[0], field.names[4]))
    qtbot.waitUntil(lambda: bool(peer.got(gui.samp.SELECT)), timeout=WAIT)
    assert peer.got(gui.samp.SELECT)[-1]["row-list"] == ["0", "4"]
    assert len(peer.got(gui.samp.SELECT)) == 1  # what was heard is not told again


def test_messages_about_other_tables_and_nonsense_change_nothing(linked, peer, field, qtbot: QtBot) -> None:
    table = peer.got(gui.samp.TABLE)[0]["table-id"]
    peer.say(gui.samp.HIGHLIGHT, **{"table-id": "another", "url": "", "row": "1"})
    peer.say(gui.samp.HIGHLIGHT, **{"table-id": table, "url": "", "row": "none"})
    peer.say(gui.samp.HIGHLIGHT, **{"table-id": table, "url": "", "row": "400"})
    peer.say(gui.samp.HIGHLIGHT, **{"table-id": table, "url": "", "row": "3"})
    qtbot.waitUntil(lambda: linked.selection.star == field.names[3], timeout=WAIT)


def test_a_cube_offered_by_another_program_is_opened(window, peer, field, qtbot: QtBot) -> None:
    window.samp.link.connect_hub()
    qtbot.waitUntil(lambda: window.samp.link.connected, timeout=WAIT)
    peer.say(gui.samp.IMAGE, url=field.cube.as_uri(), name="cube")
    qtbot.waitUntil(lambda: window.document.overview is not None, timeout=WAIT)
    assert window.document.cube_path == field.cube
    settled(window, qtbot)
    window.samp.send_image()
    qtbot.waitUntil(lambda: bool(peer.got(gui.samp.IMAGE)), timeout=WAIT)
    settled(window, qtbot)
    peer.say(gui.samp.TABLE, url="http://example.org/a.vot")
    qtbot.waitUntil(lambda: "another computer" in window.notifications.history[-1].sentence, timeout=WAIT)


def test_the_end_of_the_hub_is_noticed(linked, hub, qtbot: QtBot) -> None:
    hub.stop()
    qtbot.waitUntil(lambda: not linked.samp.link.connected, timeout=WAIT)
    assert not linked.samp.connecting.isChecked()
    linked.selection.set_star("")


def test_without_a_hub_a_sentence_says_what_to_start(window, tmp_path, monkeypatch, qtbot: QtBot) -> None:
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'none').as_uri()}")
    window.samp.connecting.trigger()
    qtbot.waitUntil(lambda: any("No SAMP hub" in note.sentence for note in window.notifications.history), timeout=WAIT)
    assert not window.samp.connecting.isChecked()
    assert not any(action.isEnabled() for action in window.samp.sending)


def test_without_the_extra_a_sentence_says_how_to_install_it(monkeypatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(gui.samp.importlib, "import_module", missing)
    with pytest.raises(StellacubeError, match="not installed") as told:
        gui.samp.samp_module()
    assert "stellacube[samp]" in told.value.hint


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a.fits", "http://example.org/a.fits", "file:///nowhere/a.fits"])
def test_files_that_are_not_fetched(url, tmp_path) -> None:
    with pytest.raises(StellacubeError):
        gui.samp.fetch_stage(url, tmp_path, progress=lambda *_: None, cancelled=lambda: False)
