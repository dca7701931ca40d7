"""Draw the program's icons in the formats that desktops want: ``python installer/icons.py build/icons``."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

PICTURE = Path(__file__).resolve().parent.parent / "resources" / "icons" / "stellacube.svg"
ICO_SIZES = (16, 24, 32, 48, 64, 128, 256)
ICNS_TYPES = {b"icp4": 16, b"icp5": 32, b"icp6": 64, b"ic07": 128, b"ic08": 256, b"ic09": 512, b"ic10": 1024}
"""Apple's names of the sizes, each a PNG."""


def png(size: int) -> bytes:
    """Return the icon as a PNG of `size` x `size` pixels."""
    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    QSvgRenderer(str(PICTURE)).render(painter)
    painter.end()
    held = QByteArray()
    buffer = QBuffer(held)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return held.data()


def ico() -> bytes:
    """Return the icon file for Windows: a directory of PNGs."""
    pictures = [png(size) for size in ICO_SIZES]
    offset = 6 + 16 * len(pictures)
    entries = b""
    for size, picture in zip(ICO_SIZES, pictures, strict=True):
        entries += struct.pack("<4B2H2I", size % 256, size % 256, 0, 0, 1, 32, len(picture), offset)
        offset += len(picture)
    return struct.pack("<3H", 0, 1, len(pictures)) + entries + b"".join(pictures)


def icns() -> bytes:
    """Return the icon file for macOS."""
    blocks = b""
    for kind, size in ICNS_TYPES.items():
        picture = png(size)
        blocks += kind + struct.pack(">I", len(picture) + 8) + picture
    return b"icns" + struct.pack(">I", len(blocks) + 8) + blocks


def write_icons(folder: Path) -> None:
    """Write ``stellacube.ico``, ``stellacube.icns`` and a PNG for Linux."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stellacube.ico").write_bytes(ico())
    (folder / "stellacube.icns").write_bytes(icns())
    (folder / "stellacube.png").write_bytes(png(256))


if __name__ == "__main__":
    write_icons(Path(sys.argv[1]))
