"""The commands `report` and `methods`: one page about a star, one paragraph about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from processing.console import Console
from processing.progress import stop_if


def report(
    session: Annotated[Path, typer.Argument(help="Session of a finished run (.stellacube).")],
    stars: Annotated[list[str], typer.Argument(help="Names of stars as in the catalogue.")],
    out: Annotated[
        Path, typer.Option("--out", help="A PDF for all stars together, or a folder for one PDF each.")
    ] = Path("reports"),
    number: Annotated[
        int, typer.Option("--refit", help="Report a star's refit of this number in place of the run's own fit.")
    ] = 0,
) -> None:
    """Write a page about each star: image, labels with errors and evidence, spectrum, fit, residuals, provenance.

    Examples: python main.py report results/demo.stellacube S024 --out S024.pdf

    python main.py report results/demo.stellacube S024 S031 --out reports
    """
    from processing.errors import StellacubeError
    from processing.files import prepare_folder
    from processing.report.star import StarReport, read_star, write_report, write_reports
    from processing.session import Session
    from processing.spectra_io.write import file_name

    with Console() as console, Session.open(session, read_only=True) as opened:

        def read(star: str) -> StarReport:
            refits = {refit.number: refit for refit in opened.refits(star)} if number else {}
            if number and number not in refits:
                known = ", ".join(map(str, refits)) or "none"
                raise StellacubeError(f"{star} has no refit {number}.", f"Its refits are: {known}.")
            return read_star(opened, star, refit=refits.get(number))

        pages = [read(star) for star in stars]
        if out.suffix.lower() == ".png" and len(pages) > 1:
            raise StellacubeError("A picture holds one star only.", "Give a .pdf or a folder for several.")
        if out.suffix.lower() in (".pdf", ".png"):
            prepare_folder(out.parent)
            console.say(f"Wrote {write_report(pages[0], out) if len(pages) == 1 else write_reports(pages, out)}")
            return
        prepare_folder(out)
        for n, page in enumerate(pages):
            stop_if(console.cancelled)
            console.progress(n / len(pages), f"Report of {page.spectrum.star_id}")
            name = Path(file_name("", page.spectrum.star_id)).stem.removeprefix("_id")
            console.say(f"Wrote {write_report(page, out / f'{name}_report.pdf')}")


def methods(
    session: Annotated[Path, typer.Argument(help="Session of a finished run (.stellacube).")],
) -> None:
    """Print a paragraph for a paper's methods section, with the numbers of a run, and the works to cite.

    Example: python main.py methods results/demo.stellacube
    """
    from processing.errors import StellacubeError
    from processing.report.methods import methods as paragraph
    from processing.session import Session

    with Console() as console, Session.open(session, read_only=True) as opened:
        catalogue = opened.catalogue()
        if catalogue is None:
            raise StellacubeError(f"{session} holds no catalogue yet.", "Finish the run first.")
        console.say(paragraph(catalogue))
