"""What the installers say of the program agrees with the program, and what they leave out it does not use."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata as metadata
import re
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import main
import processing
from gui.opening import SESSION
from processing.logfile import start_log
from processing.selfcheck import components

ROOT = Path(__file__).resolve().parents[1]
LINUX = ROOT / "installer" / "linux"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SPEC = ast.parse((ROOT / "installer" / "stellacube.spec").read_text(encoding="utf-8"))
METAINFO = ElementTree.parse(LINUX / "io.github.stellacube.metainfo.xml").getroot()
NSIS = (ROOT / "installer" / "windows" / "stellacube.nsi").read_text(encoding="utf-8")


def constants(name: str) -> set[str]:
    """Return the texts in an assignment of the spec."""
    (node,) = (n for n in ast.walk(SPEC) if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == name)
    return {item.value for item in node.value.elts if isinstance(item, ast.Constant)}


def desktop() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read(LINUX / "stellacube.desktop", encoding="utf-8")
    return parser["Desktop Entry"]


def test_one_version_everywhere():
    release = METAINFO.find("releases/release")
    assert PROJECT["version"] == processing.__version__ == release.get("version")
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", release.get("date"))


def test_desktop_entry_and_metadata_agree():
    entry = desktop()
    assert entry["Exec"] == "stellacube %F"
    assert METAINFO.findtext("launchable") == "stellacube.desktop"
    assert METAINFO.findtext("project_license") == PROJECT["license"]
    provided = {node.text for node in METAINFO.findall("provides/mediatype")}
    assert provided == set(entry["MimeType"].strip(";").split(";"))
    assert 'setDesktopFileName("stellacube")' in (ROOT / "gui" / "app.py").read_text(encoding="utf-8")


def test_sessions_are_of_a_type_of_their_own():
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    (kind,) = ElementTree.parse(LINUX / "stellacube-mime.xml").getroot()
    assert kind.get("type") in desktop()["MimeType"]
    assert kind.find(f"{space}glob").get("pattern") == f"*{SESSION}"
    assert f'"${{CLASSES}}\\{SESSION}"' in NSIS
    assert f'["{SESSION[1:]}"]' in (ROOT / "installer" / "stellacube.spec").read_text(encoding="utf-8")


def test_the_manual_knows_every_command():
    page = (LINUX / "stellacube.1").read_text(encoding="utf-8")
    assert all(f".B {command}\n" in page for command in main.COMMANDS)
    for option in ("self-check", "version", "verbose", "help"):
        assert option.replace("-", "\\-") in page


def imports() -> set[str]:
    """Return every module that the program names in an import."""
    names = set()
    for path in (ROOT / "main.py", *(ROOT / "processing").rglob("*.py"), *(ROOT / "gui").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_nothing_that_is_left_out_is_used():
    left_out = constants("EXCLUDED")
    assert {"numba", "pytest", "PySide6.QtQml", "PySide6.QtWebEngineCore", "torch._inductor"} <= left_out
    used = {name for name in imports() if any(name == item or name.startswith(f"{item}.") for item in left_out)}
    assert used == {"zap"}  # an extra: where it is missing, its command says so


def normal(name: str) -> str:
    """Return a distribution's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed() -> set[str]:
    """Return the distributions that the program depends on, and what those depend on, by normalised name."""
    found: set[str] = set()
    queue = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["samp"]  # the bundle can exchange
    while queue:
        requirement, _, condition = queue.pop().partition(";")
        name = normal(re.match(r"[\w.-]+", requirement)[0])
        if name not in found and "extra" not in condition and "win32" not in condition:
            found.add(name)
            try:
                queue += metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                found.discard(name)  # for another system or another Python
    return found


def test_every_bundled_package_is_on_the_list_of_licences():
    listed = {normal(entry["distribution"]) for entry in components() if "distribution" in entry}
    left_out = {normal(name) for name in constants("EXCLUDED")}
    assert needed() - listed - left_out == set()
    assert listed <= needed()


def test_every_component_says_its_licence_and_source():
    for entry in components():
        assert entry["licence"], entry
        assert entry["source"].startswith("https://"), entry
    for name in ("LGPL-3.0.txt", "GPL-3.0.txt", "Inter-OFL.txt"):
        assert len((ROOT / "resources" / "licences" / name).read_text(encoding="utf-8")) > 4000


def test_debian_dependencies_are_named_once():
    lines = [line for line in (LINUX / "depends").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines))
    assert all(re.fullmatch(r"lib[\w.+-]+( \(>= [\d.]+\))?( \| [\w.+-]+)?", line) for line in lines)


def test_scripts_name_no_machine():
    for path in (ROOT / "installer").rglob("*"):
        if path.is_file() and path.suffix not in (".pyc", ".md"):
            text = path.read_text(encoding="utf-8")
            assert f"{ROOT}/" not in text, path
            assert f"{Path.home()}/" not in text, path


@pytest.mark.skipif(sys.platform != "linux", reason="the folder is another")
def test_the_log_goes_to_the_state_folder_and_a_read_only_home_is_no_fault(tmp_path, monkeypatch):
    import faulthandler
    import logging

    handlers = logging.getLogger().handlers
    before = list(handlers)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "Éva"))
    monkeypatch.setattr(faulthandler, "enable", lambda *_: None)
    path = start_log()
    (handler,) = [item for item in handlers if item not in before]
    handler.close()
    handlers.remove(handler)
    assert path == tmp_path / "Éva" / "stellacube" / "stellacube.log"
    assert f"Stellacube {processing.__version__}" in path.read_text(encoding="utf-8")
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    assert start_log() is None
    assert handlers == before
