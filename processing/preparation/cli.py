"""The command line's part about masks and cleaning: list the presets, take them into a run; ZAP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
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


def zap(
    cube: Annotated[Path, typer.Argument(help="MUSE cube.")],
    out: Annotated[Path, typer.Option("--out", help="The cleaned cube.")],
) -> None:
    """Take sky residuals out of a cube with ZAP, its sources masked; optional, and no part of a run.

    Example: python main.py zap cube.fits --out clean.fits
    """
    from processing.errors import StellacubeError
    from processing.files import prepare_folder
    from processing.preparation.zap import WARNING, clean_with_zap

    if out.exists() and out.samefile(cube):
        raise StellacubeError("The cleaned cube would take the cube's place.", "Choose another name for --out.")
    prepare_folder(out.parent)
    with Console() as console:
        console.say(WARNING)
        share = clean_with_zap(cube, out, progress=console.progress, cancelled=console.cancelled)
        console.facts({"learnt from": f"{100 * share:.0f} % of the field"})
        console.files([out])
