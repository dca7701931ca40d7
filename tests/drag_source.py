"""A small window out of which files are dragged, as from a file manager: ``python tests/drag_source.py FILE...``."""

from __future__ import annotations

import sys

from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDrag, QMouseEvent
from PySide6.QtWidgets import QApplication, QLabel


class DragSource(QLabel):
    """Press on it, and its files hang on the mouse. It must live on: the target asks for the data after the drop."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__("\n".join(paths), None, Qt.WindowType.WindowStaysOnTopHint | Qt.WindowType.FramelessWindowHint)
        self.setWindowTitle("Files to drag")
        self._paths = paths

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Start to drag."""
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(path) for path in self._paths])
        drag = QDrag(self)
        drag.setMimeData(data)
        drag.setHotSpot(QPoint(-8, -8))
        drag.exec(Qt.DropAction.CopyAction)
        self.hide()


if __name__ == "__main__":
    application = QApplication(sys.argv[:1])
    application.setQuitOnLastWindowClosed(False)
    source = DragSource(sys.argv[1:])
    source.setGeometry(0, 0, 220, 40)
    source.show()
    sys.exit(application.exec())
