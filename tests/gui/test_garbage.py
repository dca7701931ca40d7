"""Collecting garbage: in the GUI thread, and without a look through all modules."""

from __future__ import annotations

import gc
import sys
import types
import weakref

import pytest
from PySide6.QtCore import QObject

from gui.garbage import MODULES, GarbageKeeper


class Ring:
    """Refers to itself, so that counting references never frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def keeper(qapp):
    made = GarbageKeeper(QObject(qapp))
    yield made
    made.stop()
    made.parent().deleteLater()
    gc.disable()  # as all tests of the window have it


def test_rings_are_collected_when_their_time_has_come(keeper: GarbageKeeper) -> None:
    assert not gc.isenabled()
    keeper.collect()  # the modules are set aside
    ring = weakref.ref(Ring())
    rest = [Ring() for _ in range(gc.get_threshold()[0] + 1)]
    keeper.collect()
    assert ring() is None
    assert rest


def test_modules_are_set_aside_once_many_have_come(keeper: GarbageKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper.collect()
    before = gc.get_freeze_count()
    assert before > 50_000  # among them all that modules are made of
    keeper.collect()
    assert gc.get_freeze_count() <= before
    for n in range(MODULES):
        monkeypatch.setitem(sys.modules, f"made_up_{n}", types.ModuleType(f"made_up_{n}"))
    kept = Ring()
    keeper.collect()
    assert not any(one is kept for one in gc.get_objects())
    keeper.stop()
    assert gc.get_freeze_count() == 0
