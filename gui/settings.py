"""What the window remembers between starts: one typed wrapper around QSettings, one place that opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from PySide6.QtCore import QByteArray, QSettings

Appearance = Literal["system", "light", "dark"]
MAX_RECENT = 10


def store() -> QSettings:
    """Open the user's settings; tests put a file of their own in this function's place."""
    return QSettings("Stellacube", "Stellacube")


class Preferences:
    """The remembered choices, each with its type and default."""

    def __init__(self, settings: QSettings | None = None) -> None:
        self._store = store() if settings is None else settings

    def text(self, key: str, default: str = "") -> str:
        """Return a remembered text."""
        value = self._store.value(key, default)
        return value if isinstance(value, str) else default

    def set_text(self, key: str, value: str) -> None:
        """Remember a text."""
        self._store.setValue(key, value)

    def state(self, key: str) -> QByteArray:
        """Return a remembered window state, empty where there is none."""
        value = self._store.value(key)
        return value if isinstance(value, QByteArray) else QByteArray()

    def set_state(self, key: str, value: QByteArray) -> None:
        """Remember a window state."""
        self._store.setValue(key, value)

    def sync(self) -> None:
        """Write to the disk what is remembered."""
        self._store.sync()

    def forget(self, key: str) -> None:
        """Forget one key and everything below it."""
        self._store.remove(key)

    @property
    def appearance(self) -> Appearance:
        """Whether the window follows the system or stays light or dark."""
        value = self.text("appearance", "system")
        return value if value in ("light", "dark") else "system"  # type: ignore[return-value]

    @appearance.setter
    def appearance(self, value: Appearance) -> None:
        self.set_text("appearance", value)

    @property
    def folder(self) -> Path:
        """The folder in which file dialogs start."""
        folder = Path(self.text("folder", str(Path.home())))
        return folder if folder.is_dir() else Path.home()

    @folder.setter
    def folder(self, value: Path) -> None:
        self.set_text("folder", str(value))

    @property
    def recent(self) -> list[Path]:
        """Files opened lately, newest first."""
        value = self._store.value("recent", [])
        names = [value] if isinstance(value, str) else value
        return [Path(name) for name in names] if isinstance(names, list) else []

    def add_recent(self, path: Path) -> None:
        """Put a file at the top of the recent files."""
        others = [p for p in self.recent if p != path]
        self._store.setValue("recent", [str(p) for p in [path, *others][:MAX_RECENT]])
