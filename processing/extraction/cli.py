"""The commands `wcs` (sky coordinates of a cube corrected by a star list) and `subtract` (a cube without its stars)."""

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


def subtract(
    session: Annotated[Path, typer.Argument(help="Session of a finished `run` or `extract`.")],
    out: Annotated[Path, typer.Option("--out", help="Cube to write, with DATA and STAT.")],
    keep: Annotated[list[str] | None, typer.Option("--keep", help="Name of a star that stays; repeatable.")] = None,
    cube: Annotated[Path | None, typer.Option("--cube", help="Where the cube is now, if it has been moved.")] = None,
) -> None:
    """Take the stars out of a cube: the sky stays, and nebulae, galaxies and unlisted stars.

    Example: python main.py subtract results/cube.stellacube --out residual.fits
    """
    from processing.console import Console
    from processing.extraction.subtract import subtract_stars
    from processing.files import prepare_folder

    prepare_folder(out.parent)
    with Console() as console:
        count = subtract_stars(
            session, out, keep=keep or (), cube_path=cube, progress=console.progress, cancelled=console.cancelled
        )
        console.say(f"{count} stars were taken out.")
        console.files([out])
