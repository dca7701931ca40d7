"""The command `wcs`: sky coordinates of a cube corrected by a star list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def wcs(
    cube: Annotated[Path, typer.Argument(help="MUSE cube with sky coordinates.")],
    stars: Annotated[Path, typer.Option("--stars", help="Star list with ra and dec, as Gaia's or Hubble's.")],
    out: Annotated[Path, typer.Option("--out", help="FITS file to write; a picture of the match lies beside it.")],
    whole: Annotated[bool, typer.Option("--whole", help="Write a copy of the whole cube, not of its header.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")] = None,
) -> None:
    """Correct the sky coordinates of a cube by a star list.

    Reports offset, rotation and scale, and writes the corrected coordinates as a FITS header, or the cube with them.

    Example: python main.py wcs cube.fits --stars gaia.csv --out corrected.fits --whole
    """
    from processing.console import Console
    from processing.errors import StellacubeError
    from processing.extraction.wcs import correct_wcs, write_corrected_cube, write_header
    from processing.files import prepare_folder
    from processing.reference import read_star_list
    from processing.settings import Settings, read_settings

    settings = read_settings(config) if config else Settings()
    if out.exists() and out.samefile(cube):
        raise StellacubeError("The corrected file would take the cube's place.", "Choose another name for --out.")
    prepare_folder(out.parent)
    picture = out.with_suffix(".png")
    with Console() as console:
        corrected = correct_wcs(
            cube, read_star_list(stars), settings.registration, picture=picture, progress=console.progress,
            cancelled=console.cancelled,
        )  # fmt: skip
        if whole:
            write_corrected_cube(cube, corrected, out)
        else:
            write_header(corrected, out)
        console.facts(corrected.facts())
        console.files([out, picture])
