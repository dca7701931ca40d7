"""The command `posterior`: Markov chains for one star, and a corner plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from processing.console import Console


def posterior(
    session: Annotated[Path, typer.Argument(help="Session of a finished run (.stellacube).")],
    star: Annotated[str, typer.Argument(help="Name of a star as in the catalogue.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the figure and the samples.")] = Path("posterior"),
    labels: Annotated[str, typer.Option("--labels", help="What the figure shows, with commas between.")] = (
        "teff,logg,fe_h,vmic,mg_fe,rv"
    ),
) -> None:
    """Walk through one star's posterior with Markov chains: the shape of its errors, and which labels go together.

    Writes STAR_posterior.png (corner plot beside the catalogue's errors) and STAR_posterior.fits (all samples). The
    chains know the noise and the prior; the catalogue's errors hold the network's own error as well.

    Example: python main.py posterior results/field.stellacube S024 --out posterior
    """
    from processing.errors import StellacubeError
    from processing.files import prepare_folder
    from processing.labels.model_file import load_model
    from processing.labels.names import LABELS
    from processing.labels.posterior import sample_posterior, write_posterior
    from processing.session import Session

    with Console() as console:
        with Session.open(session, read_only=True) as opened:
            if star not in opened.star_ids():
                raise StellacubeError(f"{session.name} has no star {star}.", "The catalogue has the names.")
            spectrum, settings = opened.spectrum(star), opened.settings
        prepare_folder(out)
        found = sample_posterior(
            spectrum, load_model(settings.fit.model), settings, progress=console.progress, cancelled=console.cancelled
        )
        files = write_posterior(found, [name.strip() for name in labels.split(",")], out)
        low, middle, high = found.percentiles()
        rows = []
        for i, name in enumerate(found.names):
            symbol, digits = (LABELS[name].symbol, LABELS[name].decimals + 1) if name in LABELS else ("rv", 2)
            cells = (f"{x:.{digits}f}" for x in (middle[i], high[i] - middle[i], middle[i] - low[i]))
            error = float(found.fit.covariance_total[i, i]) ** 0.5
            rows.append((symbol, *cells, f"{error:.{digits}f}", f"{found.spread[i]:.2f}"))
        console.table(("label", "median", "up", "down", "catalogue's error", "chains' spread"), rows)
        console.say(f"{found.accepted:.0%} of the steps were taken.")
        console.files(files)
