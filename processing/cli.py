"""The command line: what the window does, without it."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

import processing
from processing.catalogue import cli as catalogue_commands
from processing.catalogue import cuts_cli as cut_commands
from processing.console import Console, guarded
from processing.errors import StellacubeError
from processing.extraction.cli import subtract, wcs
from processing.labels.cli import models, validate
from processing.labels.posterior_cli import posterior
from processing.paths import installed
from processing.planning.cli import plan
from processing.preparation import cli as mask_commands
from processing.report.cli import methods, report
from processing.settings import Settings, read_settings, to_dict
from processing.survey_cli import collect, survey

app = typer.Typer(
    name="stellacube",
    help="From a MUSE data cube and a star list to a catalogue of stellar labels.\n\n"
    "Without a command the window opens; with files alone (python main.py cube.fits stars.csv) it opens on them.\n\n"
    "Begin with `python main.py demo`: it simulates a small field, runs the whole program on it and compares the "
    "result with the truth. Then `python main.py info CUBE` tells what your own cube holds, and "
    "`python main.py run CUBE --stars LIST --out results` makes its catalogue.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)
SOURCE = "python main.py"
"""How the help texts call the program, which is right in a checkout."""

Cube = Annotated[Path, typer.Argument(help="MUSE cube: a FITS file with extensions DATA and STAT.")]
Stars = Annotated[
    Path | None,
    typer.Option(
        "--stars", help="Star list with ra, dec (or x, y) and a magnitude: CSV, ECSV, FITS, VOTable, text. "
        "Without one, stars are detected on the white-light image.",
    ),
]  # fmt: skip
Out = Annotated[Path, typer.Option("--out", help="Folder of the results; made where it does not exist.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings; what it leaves out keeps its default.")
]
Model = Annotated[str, typer.Option("--model", help="Model file, or the name of one that ships (see `model list`).")]
Name = Annotated[str, typer.Option("--name", help="First part of the results' names; default: the cube's.")]
Engine = Annotated[
    Literal["stellacube", "pampelmuse"] | None,
    typer.Option("--engine", help="What extracts the spectra; PampelMUSE must be installed. [default: stellacube]"),
]
Combine = Annotated[
    bool,
    typer.Option("--combine", help="Combine several exposures' spectra of the same star before the fit."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of a different run of that name.")]


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show warnings and the program's own log.")] = False,
    check: Annotated[bool, typer.Option("--self-check", help="Check this installation with a small cube.")] = False,
) -> None:
    """Set what holds for every command."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.CRITICAL, format="%(levelname)s %(name)s: %(message)s"
    )
    if not verbose:
        warnings.simplefilter("ignore")  # about odd FITS headers; what matters to the user comes as a note
    if version:
        typer.echo(f"Stellacube {processing.__version__}")
        raise typer.Exit
    if check:
        raise typer.Exit(_self_check())


@app.command()
def run(
    cube: Annotated[list[Path], typer.Argument(help="MUSE cube: FITS with DATA and STAT; several with --combine.")],
    stars: Stars = None,
    out: Out = Path("stellacube"),
    config: Config = None,
    model: Model = "",
    name: Name = "",
    engine: Engine = None,
    masks: mask_commands.MasksOption = None,
    cuts: cut_commands.CutsOption = "",
    combine: Combine = False,
    overwrite: Overwrite = False,
) -> None:
    """Take a cube and a star list to a catalogue of stellar labels.

    Writes NAME_catalogue.csv and .fits, NAME_sources.csv (what became of every star of the list), the spectra, and the
    session NAME.stellacube, which the window opens and from which an interrupted run goes on: give the same command
    again.

    Several exposures of one field get a session each, and one catalogue from their combined spectra.

    Examples: python main.py run cube.fits --stars hst.csv --out results

    python main.py run night1.fits night2.fits --combine --stars hst.csv --out results
    """
    from processing.exposures import run_exposures
    from processing.pipeline import RunInputs
    from processing.pipeline import run as pipeline_run

    if len(cube) > 1 and not combine:
        raise StellacubeError(
            f"{len(cube)} cubes were given.", "Say --combine if they show the same field; run different fields singly."
        )
    settings = cut_commands.with_named_cuts(mask_commands.with_masks(_settings(config, model, engine), masks), cuts)
    carry_out = partial(pipeline_run, RunInputs(cube[0], stars, out=out, name=name), settings)
    if combine:
        carry_out = partial(run_exposures, cube, stars, out, settings, name=name)
    with Console() as console:
        result = carry_out(overwrite=overwrite, progress=console.progress, cancelled=console.cancelled)
        console.result(result)


@app.command()
def extract(
    cube: Cube,
    stars: Stars = None,
    out: Out = Path("stellacube"),
    config: Config = None,
    name: Name = "",
    engine: Engine = None,
    layout: Annotated[
        Literal["stellacube", "pampelmuse"] | None,
        typer.Option(
            "--layout",
            help="Files of single stars: with all that is known, or for readers of PampelMUSE's. [default: stellacube]",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Extract the spectra of a cube's stars, and stop there.

    A later `run` with the same cube, list and folder starts from these spectra.

    Example: python main.py extract cube.fits --stars hst.csv --out results
    """
    from processing.pipeline import RunInputs, extract_only

    inputs = RunInputs(cube, stars, out=out, name=name)
    settings = _settings(config, "", engine)
    if layout:
        settings = replace(settings, catalogue=replace(settings.catalogue, spectra_layout=layout))
    with Console() as console:
        result = extract_only(
            inputs, settings, overwrite=overwrite, progress=console.progress, cancelled=console.cancelled
        )
        console.result(result)


@app.command()
def fit(
    spectra: Annotated[
        list[Path],
        typer.Argument(
            help="Files or folders: spectra of PampelMUSE, LAMOST, SDSS, Stellacube (or its session), tables with "
            "wavelength, flux and error, FITS images of one dimension."
        ),
    ],
    out: Out = Path("stellacube"),
    config: Config = None,
    model: Model = "",
    name: Name = "",
    masks: mask_commands.MasksOption = None,
    cuts: cut_commands.CutsOption = "",
    combine: Combine = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit labels to spectra that exist already.

    Examples: python main.py fit spectra/ --out results

    python main.py fit spec-55859-F5902_sp05-234.fits.gz star2.csv --out results
    """
    from processing.pipeline import RunInputs, fit_only

    inputs = RunInputs(spectra=tuple(spectra), out=out, name=name)
    settings = cut_commands.with_named_cuts(mask_commands.with_masks(_settings(config, model), masks), cuts)
    if combine:
        settings = replace(settings, exposures=replace(settings.exposures, combine=True))
    with Console() as console:
        result = fit_only(inputs, settings, overwrite=overwrite, progress=console.progress, cancelled=console.cancelled)
        console.result(result)


@app.command()
def simulate(
    out: Out = Path("simulation"),
    name: Annotated[str, typer.Option("--name", help="First part of the files' names.")] = "field",
    n_stars: Annotated[int, typer.Option("--n-stars", help="Number of stars.", min=1)] = 40,
    size: Annotated[int, typer.Option("--size", help="Side of the field in spaxels.", min=20)] = 60,
    mode: Annotated[
        Literal["WFM-NOAO-N", "WFM-NOAO-E", "WFM-AO-N", "WFM-AO-E", "NFM-AO-N"],
        typer.Option(
            "--mode", help="Instrument mode: sampling, wavelength range, and the gap of the laser guide stars."
        ),
    ] = "WFM-NOAO-N",
    exptime: Annotated[float, typer.Option("--exptime", help="Exposure time, s.", min=1.0)] = 900.0,
    fwhm: Annotated[
        float | None, typer.Option("--fwhm", help="FWHM at 7000 A, arcsec; default: the mode's.", min=0.01)
    ] = None,
    layout: Annotated[
        Literal["uniform", "king"], typer.Option("--layout", help="How the stars are spread.")
    ] = "uniform",
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random number.")] = 1,
) -> None:
    """Make a MUSE cube of a field with known stars, its star list, and the truth.

    Example: python main.py simulate --out mock --n-stars 200 --size 150 --mode WFM-AO-N
    """
    from processing.files import prepare_folder
    from processing.simulate import sample_library, simulate_field
    from processing.simulation.modes import mode_settings

    prepare_folder(out)
    seeing = {"fwhm": fwhm} if fwhm else {}
    field = mode_settings(
        mode, n_stars=n_stars, nx=size, ny=size, exptime=exptime, layout=layout, seed=seed, **seeing
    )  # fmt: skip
    cube, stars, truth = out / f"{name}.fits", out / f"{name}_stars.csv", out / f"{name}_truth.npz"
    with Console() as console:
        simulated = simulate_field(
            sample_library(), field, cube, stars, progress=console.progress, cancelled=console.cancelled
        )
        simulated.save(truth)
        console.say(f"{len(simulated)} stars in a field of {size} x {size} spaxels.")
        console.files([cube, stars, truth])


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option("--out", help="Folder of all files; default: a temporary one.")] = None,
    window: Annotated[bool, typer.Option(help="Open the window on the result where there is a display.")] = True,
) -> None:
    """Simulate a small field, run the whole program on it, and compare the labels with the truth.

    Ends with exit code 1 when the comparison is not good enough.

    Example: python main.py demo --out demo --no-window
    """
    from processing.demo import demo as make_demo

    with Console() as console:
        report = make_demo(out, progress=console.progress, cancelled=console.cancelled)
        console.result(report.result)
        console.comparison(report.comparison)
        seconds = report.seconds
        console.say(f"The demo took {seconds['total']:.0f} s; the catalogue is {report.catalogue}")
    for failure in report.failures:
        console.warn(failure)
    if window and _has_display():
        from gui.app import main as open_window

        open_window([report.result.session])
    raise typer.Exit(1 if report.failures else 0)


@app.command()
def train(
    config: Annotated[
        Path, typer.Argument(help="TOML file of a training; those of the shipped models lie in resources/models.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Model file; default: beside the TOML file.")] = None,
) -> None:
    """Train a label model on spectra with known labels; an interrupted training goes on with the same command.

    Example: python main.py train resources/models/a.toml
    """
    from processing.labels.training import train_from_config
    from processing.selfcheck import version_of

    if not version_of("torch"):
        raise StellacubeError("Training needs PyTorch, which this installation lacks.", "Train from a checkout.")
    with Console() as console:
        model = train_from_config(config, out, progress=console.progress, cancelled=console.cancelled)
        console.say(f"Model {model.name}, version {model.version}: {len(model.labels)} labels.")
        console.files([out or config.resolve().parent / f"{model.name}.npz"])


@app.command()
def info(cube: Cube) -> None:
    """Tell what a cube holds: size, wavelengths, units, sky coordinates, variances, and what a model can use of it.

    Example: python main.py info cube.fits
    """
    from processing.cube_info import describe_cube

    with Console() as console:
        console.facts(describe_cube(cube))


@app.command("settings")
def show_settings(config: Config = None) -> None:
    """Write all settings as TOML: the defaults, or those of a file completed with the defaults.

    Example: python main.py settings > my.toml
    """
    import tomli_w

    with Console() as console:
        console.say(tomli_w.dumps(to_dict(read_settings(config) if config else Settings())).rstrip())


app.add_typer(models, name="model")
others: tuple[Callable[..., None], ...] = (
    plan, validate, report, methods, posterior, subtract, wcs,
    mask_commands.masks, mask_commands.zap, cut_commands.cuts, survey, collect,
)  # fmt: skip
for command in others:
    app.command(command.__name__)(command)
catalogue_commands.add_to(app)


def _settings(config: Path | None, model: str, engine: str | None = None) -> Settings:
    settings = read_settings(config) if config else Settings()
    if engine:
        settings = replace(settings, pampelmuse=replace(settings.pampelmuse, use=engine == "pampelmuse"))
    return replace(settings, fit=replace(settings.fit, model=model)) if model else settings


def _self_check() -> int:
    """Check everything, say what was found, and return the exit code."""
    import tempfile

    from processing.selfcheck import Check, carry_out, engine_checks

    def window() -> str:
        from gui.selfcheck import check_window

        return check_window(folder / "demo.stellacube")

    with tempfile.TemporaryDirectory(prefix="stellacube-check-") as name, Console() as console:
        folder = Path(name)
        console.say(f"Stellacube {processing.__version__}")
        engine = engine_checks(folder, progress=console.progress, cancelled=console.cancelled)
        checks: dict[str, Check] = {**engine, "window": window}
        findings = []
        for finding in carry_out(checks):
            findings.append(finding)
            console.say(f"{'ok    ' if finding.passed else 'FAILED'}  {finding.name:9s} {finding.text}")
    failed = [finding.name for finding in findings if not finding.passed]
    console.say(f"Not in order: {', '.join(failed)}." if failed else "All is in order.")
    return 1 if failed else 0


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _speak_as_installed() -> None:
    """Let the help texts name the installed program."""
    groups = (app, *(group.typer_instance for group in app.registered_groups if group.typer_instance))
    for group in groups:
        group.info.help = str(group.info.help).replace(SOURCE, "stellacube")
        for command in group.registered_commands:
            command.help = inspect.cleandoc(command.callback.__doc__ or "").replace(SOURCE, "stellacube")


def main(arguments: list[str]) -> int:
    """Carry out a command; return the exit code: 0 done, 2 bad input, 130 interrupted, 1 a fault of the program."""

    def command() -> None:
        if arguments and Path(arguments[0]).suffix and not Path(arguments[0]).exists():
            raise StellacubeError(
                f"There is no file {arguments[0]}.", "Check the path, or see --help for the commands."
            )
        if installed():
            _speak_as_installed()
        app(args=arguments, prog_name="stellacube" if installed() else "main.py")

    return guarded(command, arguments)
