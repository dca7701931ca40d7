"""A view saved as a picture: PNG at twice the size on screen, or SVG."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QPoint, QRect, QSize
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from processing.errors import StellacubeError

PICTURES = "Picture (*.png);;Drawing (*.svg)"
SCALE = 2


def save_picture(widget: QWidget, path: Path) -> Path:
    """Save what a widget shows; a path without a suffix gets ``.png``.

    Raises
    ------
    StellacubeError
        If the file cannot be written.
    """
    path = path if path.suffix.lower() in (".png", ".svg") else path.with_name(f"{path.name}.png")
    size = widget.size()
    if path.suffix.lower() == ".svg":
        drawing = QSvgGenerator()
        drawing.setFileName(str(path))
        drawing.setSize(size)
        drawing.setViewBox(QRect(0, 0, size.width(), size.height()))
        drawing.setTitle(widget.accessibleName())
        painter = QPainter()
        done = painter.begin(drawing)
        if done:
            QWidget.render(widget, painter, QPoint())
            painter.end()
    else:
        picture = QPixmap(QSize(size.width(), size.height()) * SCALE)
        picture.setDevicePixelRatio(SCALE)
        QWidget.render(widget, picture)  # a graphics view's own render draws its scene alone
        done = picture.save(str(path))
    if not done:
        raise StellacubeError(f"The picture could not be written to {path}.", "Choose another folder.")
    return path
