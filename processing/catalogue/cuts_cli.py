"""The command line's part about cut lists: list them, apply one, and take one into a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from processing.console import Console
from processing.errors import StellacubeError
from processing.settings import Settings

CutsOption = Annotated[
    str, typer.Option("--cuts", help="Cut list for the column `selected`: a name (see `cuts`) or a TOML file.")
]


def with_named_cuts(settings: Settings, name: str) -> Settings:
    """Return settings with the conditions of a cut list, by name or file; as they are without a name."""
    from processing.catalogue.cuts import find_cuts

    return replace(settings, catalogue=replace(settings.catalogue, cuts=find_cuts(name).cuts)) if name else settings


def cuts(
    catalogue: Annotated[
        Path | None, typer.Argument(help="Session (.stellacube), or a catalogue as FITS or ECSV; none: list the lists.")
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="A list that ships, or a TOML file.")] = "",
    cut: Annotated[
        list[str] | None, typer.Option("--cut", help='A further condition, as "teff < 5000"; may be repeated.')
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Catalogue with the column `selected`: .csv, .ecsv, .fits or .vot.")
    ] = None,
) -> None:
    """Apply a list of cuts to a catalogue, and tell how many stars each of them removes.

    A star without a number that a condition needs fails it. `median` and `scatter` are those of the stars left so far.

    Examples: python main.py cuts

    python main.py cuts results/field.stellacube --preset bulge --cut "rv_err < 5" --out selected.fits
    """
    from processing.catalogue.cuts import CutList, apply_cuts, find_cuts, list_cuts, with_cuts
    from processing.catalogue.export import format_of, read_catalogue, write_catalogue

    with Console() as console:
        if catalogue is None:
            rows = [(name, "; ".join(find_cuts(name).cuts), find_cuts(name).description) for name in list_cuts()]
            console.table(("name", "cuts", "what for"), rows)
            return
        chosen = find_cuts(preset) if preset else CutList("", "", ())
        chosen = replace(chosen, cuts=(*chosen.cuts, *(cut or ())))
        if not chosen.cuts:
            raise StellacubeError(
                "There is no cut to apply.", "Give --preset or --cut; `cuts` alone lists the presets."
            )
        fmt = format_of(out) if out else ""
        read = read_catalogue(catalogue)
        steps = apply_cuts(read.table, chosen.cuts).steps
        console.table(
            ("cut", "fail it", "of these without a value", "removed", "left"),
            [(s.text, str(s.alone), str(s.missing), str(s.removed), str(s.left)) for s in steps],
        )
        console.say(f"{steps[-1].left} of {len(read)} stars are left.")
        if out:
            write_catalogue(with_cuts(read, chosen), out, fmt)
            console.files([out])
