"""Collect astropy without its tests and plots.

Stands in for the community's hook, which imports `astropy.visualization.wcsaxes`: that raises pytest's ``Skipped``
where pytest is installed and Matplotlib is not, and the build ends.
"""

from __future__ import annotations

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

LEFT_OUT = ("wcsaxes", "tests", "conftest", "samp", "scripts", "sphinxext")


def wanted(name: str) -> bool:
    """Tell whether the program can need a module."""
    return not set(name.split(".")).intersection(LEFT_OUT)


hiddenimports = [*collect_submodules("astropy", filter=wanted), "numpy.lib.recfunctions"]
datas = collect_data_files("astropy", excludes=["**/tests/**", "**/*.c", "**/*.h", "**/*.pyx"])
# PLY reads the tables of the unit parsers as files.
datas += [
    (source, target)
    for source, target in collect_data_files("astropy", include_py_files=True)
    if source.endswith(("_parsetab.py", "_lextab.py"))
]
datas += copy_metadata("astropy") + copy_metadata("numpy")
