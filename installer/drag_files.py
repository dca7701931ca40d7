"""A window at X, Y to drag files from, for `test_deb.sh`: ``python installer/drag_files.py X Y FILE...``."""

from __future__ import annotations

import sys

from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QDrag, QMouseEvent
from PySide6.QtWidgets import QApplication, QLabel


class Source(QLabel):
    """Starts a drag where it is pressed."""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Drag the files that were named on the command line."""
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(name) for name in sys.argv[3:]])
        drag = QDrag(self)
        drag.setMimeData(data)
        drag.exec(Qt.DropAction.CopyAction)


application = QApplication(sys.argv[:1])
source = Source("Drag me")
source.setWindowTitle("drag source")
source.setGeometry(int(sys.argv[1]), int(sys.argv[2]), 120, 60)
source.show()
sys.exit(application.exec())
