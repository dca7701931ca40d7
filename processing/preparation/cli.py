"""The command line's part about masks: list the presets, and take them into a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from processing.console import Console
from processing.settings import Settings

MasksOption = Annotated[
    list[str] | None,
    typer.Option("--masks", help="Mask preset: a name (see `masks`) or a TOML file; may be repeated."),
]


def with_masks(settings: Settings, names: Sequence[str] | None) -> Settings:
    """Return settings with mask presets added, by name or file."""
    from processing.preparation.presets import find_preset, with_preset

    preparation = settings.preparation
    for name in names or ():
        preparation = with_preset(preparation, find_preset(name))
    return replace(settings, preparation=preparation)


def masks() -> None:
    """List the mask presets that ship; `run` and `fit` take them with --masks.

    Example: python main.py masks
    """
    from processing.preparation.presets import find_preset, list_presets

    with Console() as console:
        rows = []
        for name in list_presets():
            preset = find_preset(name)
            spans = ", ".join(f"{low:.0f}-{high:.0f}" for low, high in preset.regions)
            rows.append((name, preset.frame if spans else "", spans or "-", preset.description))
        console.table(("name", "frame", "regions, A", "what for"), rows)
