"""The command line's part about label models: list, show, import, and make gradient templates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from processing.console import Console, in_lines
from processing.errors import StellacubeError

models = typer.Typer(
    help="List and describe label models.\n\nExample: python main.py model list",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@models.command("list")
def model_list() -> None:
    """List the models that ship; the first is the default."""
    from processing.labels.model_file import list_models, load_model

    with Console() as console:
        rows = []
        for name, path in list_models().items():
            model = load_model(path)
            span = f"{model.wave[model.mask][0]:.0f}-{model.wave[model.mask][-1]:.0f} A"
            rows.append((name, model.name, model.version, model.role, str(len(model.labels)), span))
        if not rows:
            raise StellacubeError("No models are shipped with this installation.", "Train one, or name a model file.")
        console.table(("name", "model", "version", "role", "labels", "fits"), rows)


@models.command("templates")
def model_templates(
    model: Annotated[Path, typer.Argument(help="Model file; it is written in place.")],
    data: Annotated[Path, typer.Argument(help="Folder with synthetic/train_*.npz and gradients/*.npz.")],
) -> None:
    """Make a model's gradient templates anew, from physical spectra alone; a training does so at its end.

    Example: python main.py model templates my_model.npz spectra/
    """
    from processing.labels.witness import add_templates

    with Console() as console:
        made = add_templates(model, data, progress=console.progress, cancelled=console.cancelled)
        console.facts({str(key): in_lines(value) for key, value in made.card["gradient templates"].items()})


@models.command("import")
def model_import(
    weights: Annotated[Path, typer.Argument(help="The .npz of The Payne: w_array_0.., b_array_0.., x_min, x_max.")],
    page: Annotated[Path, typer.Argument(help="TOML page with labels, wavelengths, lsf, licence and so on.")],
    out: Annotated[Path, typer.Argument(help="Model file to write.")],
) -> None:
    """Import weights in The Payne's layout; the page says what they lack (`processing.labels.payne_file`).

    Example: python main.py model import payne.npz payne.toml my_model.npz
    """
    from processing.labels.payne_file import import_payne

    with Console() as console:
        made = import_payne(weights, page, out)
        console.say(f"Model {made.name}: {len(made.labels)} labels, {made.wave[0]:.0f}-{made.wave[-1]:.0f} A.")
        console.files([out])


@models.command("show")
def model_show(
    model: Annotated[str, typer.Argument(help="Model file, or the name of one that ships.")],
) -> None:
    """Describe a model: labels with their ranges, wavelengths, training, validation, licence.

    Example: python main.py model show a
    """
    from processing.labels.model_file import load_model
    from processing.labels.names import LABELS

    with Console() as console:
        loaded = load_model(model)
        fits = loaded.wave[loaded.mask]
        console.facts(
            {
                "model": f"{loaded.name}, version {loaded.version}, role {loaded.role}",
                "wavelengths": f"{fits[0]:.1f}-{fits[-1]:.1f} A in {loaded.frame}, {fits.size} pixels fitted",
                "resolution": f"FWHM {loaded.lsf_fwhm.min():.2f}-{loaded.lsf_fwhm.max():.2f} A",
                **{str(key): in_lines(value) for key, value in loaded.card.items()},
            }
        )
        console.table(
            ("label", "from", "to", "unit"),
            [
                (LABELS[name].symbol, f"{low:.2f}", f"{high:.2f}", LABELS[name].unit)
                for name, low, high in zip(loaded.labels, loaded.label_min, loaded.label_max, strict=True)
            ],
        )


def validate(
    model: Annotated[str, typer.Argument(help="Model file, or the name of one that ships; a+a-mp for the pair.")],
    data: Annotated[str, typer.Argument(help="Spectra with labels: .npz, FITS table, or an index (ECSV, CSV).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the table and the figure.")] = Path("validation"),
    lsf: Annotated[str, typer.Option("--lsf", help="Resolution of the spectra: 2.5, R=1800, lamost, a table.")] = "",
    config: Annotated[Path | None, typer.Option("--config", help="Settings in TOML.")] = None,
) -> None:
    """Compare a model's labels with known ones: bias, dispersion, pulls, gradients, for giants, dwarfs and by [Fe/H].

    Example: python main.py validate a my_stars.ecsv --lsf lamost --out validation
    """
    from processing.labels.model_file import load_model
    from processing.labels.validate import read_sample, summary, validate_model, write_validation
    from processing.settings import Settings, read_settings

    with Console() as console:
        loaded = load_model(model)
        settings = read_settings(config) if config else Settings()
        sample = read_sample(data, lsf)
        found = validate_model(loaded, sample, settings, progress=console.progress, cancelled=console.cancelled)
        console.table(("stars", "n", "label", "bias", "dispersion", "pull", "gradient"), summary(found))
        console.files(write_validation(found, out))
