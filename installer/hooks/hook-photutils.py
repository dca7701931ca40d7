"""Collect photutils: it asks for its own version on import, and its compiled modules import each other unseen."""

from __future__ import annotations

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

hiddenimports = collect_submodules("photutils", filter=lambda name: "tests" not in name and "conftest" not in name)
datas = copy_metadata("photutils") + collect_data_files("photutils", excludes=["**/tests/**"])
