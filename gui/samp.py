"""The link to TOPCAT, Aladin, DS9 and other programs through a SAMP hub; optional, and never outside this computer."""

from __future__ import annotations

import importlib
import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QObject, Signal, Slot

import processing
from gui.jobs import Failure, JobRunner, LatestReader
from processing.errors import StellacubeError
from processing.progress import CancelCheck, Progress

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue
    from processing.cube import MuseCube
    from processing.spectrum import StarSpectrum

log = logging.getLogger(__name__)
TABLE, IMAGE, SPECTRUM = "table.load.votable", "image.load.fits", "spectrum.load.ssa-generic"
HIGHLIGHT, SELECT = "table.highlight.row", "table.select.rowList"
SHUTDOWN = "samp.hub.event.shutdown"
HEARD = (HIGHLIGHT, SELECT, IMAGE, TABLE, SHUTDOWN)
LOCAL = ("127.0.0.1", "localhost", "::1", "")


def samp_module() -> ModuleType:
    """Return the SAMP client that is installed: pyvo's, or astropy's of old.

    Raises
    ------
    StellacubeError
        If there is none.
    """
    for name in ("pyvo.samp", "astropy.samp"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # astropy's own is deprecated in favour of pyvo's
                return importlib.import_module(name)
        except ImportError:
            continue
    raise StellacubeError(
        "Other programs cannot be reached: the optional part for SAMP is not installed.",
        "Install it with: pip install 'stellacube[samp]'",
    )


class SampLink(QObject):
    """One connection to a hub: what is sent, and what is heard, in threads of their own."""

    changed = Signal()
    """Connected, or not any more."""
    said = Signal(str)
    failed = Signal(object)
    """A `Failure`."""
    star_highlighted = Signal(int)
    """Row of the catalogue that was sent."""
    stars_chosen = Signal(object)
    """Rows of the catalogue that was sent."""
    file_offered = Signal(str)
    """URL of a table or an image."""
    _message = Signal(str, object)

    def __init__(self, runner: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runner = runner
        self._client: Any = None
        self._table = ""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._speakers = {HIGHLIGHT: LatestReader(self), SELECT: LatestReader(self)}
        self._message.connect(self._on_message)

    @property
    def connected(self) -> bool:
        """True while there is a hub."""
        return self._client is not None

    @property
    def folder(self) -> Path:
        """Folder of the files that are sent; it goes when the link ends."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="stellacube-samp-")
        return Path(self._folder.name)

    def connect_hub(self) -> None:
        """Look for a hub."""
        if not self.connected:
            stage = partial(connect_stage, self._hear)
            self._runner.start("Looking for a SAMP hub", stage, succeeded=self._on_connected, failed=self._on_failed)

    def disconnect_hub(self) -> None:
        """Leave the hub."""
        client, self._client = self._client, None
        self._table = ""
        for speaker in self._speakers.values():
            speaker.forget()
        if client is not None:
            _leave(client)
            self.changed.emit()

    def shut_down(self) -> None:
        """Leave the hub, end the threads and remove the files."""
        self.blockSignals(True)
        self.disconnect_hub()
        for speaker in self._speakers.values():
            speaker.shut_down()
        if self._folder is not None:
            self._folder.cleanup()

    # Sending

    def send_table(self, catalogue: Catalogue, name: str) -> None:
        """Offer the catalogue to all programs; from now on rows are highlighted both ways."""
        self._table = f"stellacube:{name}"
        self._send(
            "Sending the catalogue", partial(send_table, self._client, catalogue, name, self._table, self.folder)
        )

    def send_image(self, pixels: np.ndarray, cube: MuseCube | None, name: str) -> None:
        """Offer an image with its sky coordinates."""
        self._send("Sending the image", partial(send_image, self._client, pixels, cube, name, self.folder))

    def send_spectrum(self, spectrum: StarSpectrum, name: str) -> None:
        """Offer a spectrum."""
        self._send("Sending the spectrum", partial(send_spectrum, self._client, spectrum, name, self.folder))

    def _send(self, title: str, stage: Any) -> None:
        if self.connected:
            self._runner.start(title, stage, succeeded=self._on_sent, failed=self._on_failed)

    def highlight(self, row: int) -> None:
        """Tell which row of the catalogue is current."""
        self._tell(HIGHLIGHT, {"row": str(row)})

    def choose(self, rows: Sequence[int]) -> None:
        """Tell which rows of the catalogue are chosen."""
        self._tell(SELECT, {"row-list": [str(row) for row in rows]})

    def _tell(self, mtype: str, parameters: dict[str, Any]) -> None:
        if self.connected and self._table:
            message = {"samp.mtype": mtype, "samp.params": {"table-id": self._table, "url": ""} | parameters}
            self._speakers[mtype].request(mtype, partial(self._client.notify_all, message))

    # Hearing

    def _hear(self, key: str, sender: str, number: str | None, mtype: str, parameters: Any, extra: Any) -> None:
        """Take a message in the client's own thread; a signal carries it to the window's."""
        if number is not None and self._client is not None:
            self._client.reply(number, {"samp.status": "samp.ok", "samp.result": {}})
        self._message.emit(mtype, dict(parameters))

    @Slot(str, object)
    def _on_message(self, mtype: str, parameters: Mapping[str, Any]) -> None:
        if mtype == SHUTDOWN:
            self.disconnect_hub()
            self.said.emit("The SAMP hub has ended.")
        elif mtype in (IMAGE, TABLE):
            self.file_offered.emit(str(parameters.get("url", "")))
        elif self._table and parameters.get("table-id") == self._table:
            try:
                if mtype == HIGHLIGHT:
                    self.star_highlighted.emit(int(parameters["row"]))
                else:
                    self.stars_chosen.emit([int(row) for row in parameters["row-list"]])
            except (KeyError, ValueError, TypeError):
                log.warning("A SAMP message without usable rows was left alone: %s", dict(parameters))

    @Slot(object)
    def _on_connected(self, client: object) -> None:
        self._client = client
        self.changed.emit()
        self.said.emit("Connected to other programs through SAMP.")

    @Slot(object)
    def _on_sent(self, sentence: str) -> None:
        self.said.emit(sentence)

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        self.failed.emit(failure)


def connect_stage(hear: Any, *, progress: Progress, cancelled: CancelCheck) -> Any:
    """Register with the running hub, and say what is understood.

    Raises
    ------
    StellacubeError
        If SAMP is not installed, or no hub is running.
    """
    samp = samp_module()
    samp.conf.use_internet = False
    about = {
        "samp.name": "Stellacube",
        "samp.description.text": "Stellar spectra and labels from MUSE cubes",
        "stellacube.version": processing.__version__,
    }
    client = samp.SAMPIntegratedClient(metadata=about, addr="127.0.0.1")
    try:
        client.connect()
        for mtype in HEARD:
            client.bind_receive_message(mtype, hear)
    except (samp.SAMPHubError, samp.SAMPProxyError, OSError) as error:
        raise StellacubeError(
            "No SAMP hub is running.", "Start TOPCAT or Aladin, which have one, and try again."
        ) from error
    return client


def _leave(client: Any) -> None:
    samp = samp_module()
    try:
        client.disconnect()
    except (samp.SAMPHubError, samp.SAMPProxyError, samp.SAMPClientError, OSError) as error:
        log.info("The SAMP hub was gone already: %s", error)


def _offer(client: Any, mtype: str, path: Path, name: str, **more: Any) -> str:
    """Tell all programs that understand it about a file; return a sentence."""
    samp = samp_module()
    try:
        listeners = client.get_subscribed_clients(mtype)
        client.notify_all({"samp.mtype": mtype, "samp.params": {"url": path.as_uri(), "name": name, **more}})
    except (samp.SAMPHubError, samp.SAMPProxyError, OSError) as error:
        raise StellacubeError("The SAMP hub does not answer.", "Connect again.") from error
    if not listeners:
        return f"No program that is connected takes {name}."
    return f"Sent {name} to {len(listeners)} program{'s' * (len(listeners) != 1)}."


def send_table(
    client: Any,
    catalogue: Catalogue,
    name: str,
    table: str,
    folder: Path,
    *,
    progress: Progress,
    cancelled: CancelCheck,
) -> str:
    """Write the catalogue as VOTable and offer it."""
    from processing.catalogue.export import write_catalogue

    path = folder / "catalogue.vot"
    write_catalogue(catalogue, path, "votable")
    return _offer(client, TABLE, path, name, **{"table-id": table})


def send_image(
    client: Any,
    pixels: np.ndarray,
    cube: MuseCube | None,
    name: str,
    folder: Path,
    *,
    progress: Progress,
    cancelled: CancelCheck,
) -> str:
    """Write an image as FITS and offer it."""
    from astropy.io import fits

    header = cube.wcs.to_header() if cube is not None and cube.wcs is not None else None
    path = folder / "image.fits"
    fits.PrimaryHDU(np.asarray(pixels, np.float32), header).writeto(path, overwrite=True)
    return _offer(client, IMAGE, path, name, **{"image-id": f"stellacube:{name}"})


def send_spectrum(
    client: Any, spectrum: StarSpectrum, name: str, folder: Path, *, progress: Progress, cancelled: CancelCheck
) -> str:
    """Write a spectrum as FITS and offer it."""
    from processing.spectra_io.write import write_spectrum

    path = folder / "spectrum.fits"
    write_spectrum(spectrum, path)
    meta = {"Access.Reference": path.as_uri(), "Access.Format": "application/fits", "vox:spectrum_units": "Angstrom"}
    return _offer(client, SPECTRUM, path, name, meta=meta, **{"spectrum-id": f"stellacube:{name}"})


def fetch_stage(url: str, folder: Path, *, progress: Progress, cancelled: CancelCheck) -> Path:
    """Return the file behind a URL: where it lies, or copied from a server on this computer.

    Raises
    ------
    StellacubeError
        If the URL leads to another computer, or there is no file.
    """
    import urllib.parse
    import urllib.request

    parts = urllib.parse.urlsplit(url)
    if (parts.hostname or "") not in LOCAL or parts.scheme not in ("file", "http"):
        raise StellacubeError(
            f"The file {url} lies on another computer, and Stellacube does not use the network.",
            "Save it here with the other program, and drop it on the window.",
        )
    if parts.scheme == "file":
        path = Path(urllib.request.url2pathname(parts.path))
        if not path.exists():
            raise StellacubeError(f"There is no file {path}.", "The other program may have removed it.")
        return path
    suffix = "".join(Path(parts.path).suffixes) or ".vot"
    path = folder / f"received{suffix}"
    with urllib.request.urlopen(url, timeout=20) as answer:  # on this computer, as checked above
        path.write_bytes(answer.read())
    return path
