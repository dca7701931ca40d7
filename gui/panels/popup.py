"""A small frame that opens at a control and closes by a click elsewhere or Escape."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFrame, QWidget


class Popup(QFrame):
    """What belongs to a control but has no room in the panel."""

    def __init__(self, parent: QWidget, name: str) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("notice")
        self.setAccessibleName(name)

    def open_at(self, control: QWidget) -> None:
        """Open below a control, right edge at right edge; above it where the screen ends."""
        self.adjustSize()
        corner = control.mapToGlobal(QPoint(control.width() - self.width(), control.height() + 2))
        room = control.screen().availableGeometry()
        if corner.y() + self.height() > room.bottom():
            corner.setY(max(room.top(), control.mapToGlobal(QPoint(0, 0)).y() - self.height() - 2))
        corner.setX(min(max(corner.x(), room.left()), room.right() - self.width()))
        self.move(corner)
        self.show()
