"""Gather the licence texts of everything that is bundled, and stop a build that bundles what is not listed."""

from __future__ import annotations

import importlib.metadata as metadata
import re
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "resources" / "licences" / "components.toml"
TEXTS = re.compile(r"(licen[cs]e|copying|notice|authors)", re.IGNORECASE)


def components() -> list[dict[str, str]]:
    """Return the entries of the list."""
    return tomllib.loads(LIST.read_text(encoding="utf-8"))["component"]


def distributions() -> list[str]:
    """Return the names of the listed Python distributions."""
    return [entry["distribution"] for entry in components() if "distribution" in entry]


def normal(name: str) -> str:
    """Return a distribution's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def unlisted(modules: Iterable[str]) -> set[str]:
    """Return the distributions that own any of the top-level `modules` and are not on the list."""
    owners = metadata.packages_distributions()
    found = {normal(owner) for name in set(modules) for owner in owners.get(name, ())}
    return found - {normal(name) for name in distributions()} - {"stellacube"}


def gather(folder: Path) -> None:
    """Write all texts: ``folder/NAME/...`` as the distributions bring them, and Python's own."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in distributions():
        for file in metadata.files(name) or ():
            parts = file.parts[1:] if file.parts[0].endswith(".dist-info") else ()
            if parts and TEXTS.search(file.as_posix()) and file.suffix not in (".py", ".pyc"):
                target = folder / name / Path(*(part for part in parts if part != "licenses"))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
    for path in (Path(sysconfig.get_path("stdlib")) / "LICENSE.txt", Path(sys.base_prefix) / "LICENSE.txt"):
        if path.exists():
            (folder / "Python").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / "Python" / "LICENSE.txt")
    for path in LIST.parent.glob("*.txt"):
        shutil.copyfile(path, folder / path.name)
    shutil.copyfile(ROOT / "LICENSE", folder / "Stellacube.txt")


def debian_copyright() -> str:
    """Return the text of a Debian package's `copyright` file."""
    licence = "\n".join(f" {line}" if line else " ." for line in (ROOT / "LICENSE").read_text("utf-8").splitlines()[4:])
    lines = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
        "Upstream-Name: Stellacube",
        "Comment:",
        " The package brings what Stellacube is built from. The full texts of their licences are in",
        " /usr/lib/stellacube/_internal/licences; LGPL-3 also in /usr/share/common-licenses/LGPL-3 and",
        " Apache-2.0 in /usr/share/common-licenses/Apache-2.0.",
        *(f"  {entry['name']}: {entry['licence']}; source: {entry['source']}" for entry in components()),
        "",
        "Files: *",
        "Copyright: 2026, the Stellacube developers",
        "License: BSD-3-Clause",
        licence,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(debian_copyright())
