"""The command `plan`: the planner without the window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processing.errors import StellacubeError
from processing.labels.names import LABELS

if TYPE_CHECKING:
    from rich.console import Console

    from processing.planning.formulas import PrecisionLaw
    from processing.planning.information import InformationLaw
    from processing.planning.questions import Plan
    from processing.planning.yields import StarSample

LABEL_HELP = "Names are teff, logg, fe_h, mg_fe, ... as in the catalogue."


def plan(
    mag: Annotated[float | None, typer.Option("--mag", "-m", help="V magnitude; leave out to ask for it.")] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", "-t", help='Exposure as "6x600s", "45min" or "2.5h"; leave out to ask for it.'),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="LABEL=ERROR wanted (1 sigma, K or dex), as mg_fe=0.05, or LABEL alone for the default error (75 K, "
            f"0.15 in logg, 0.1 dex). May be repeated; the labels named decide, by default all. {LABEL_HELP}"
        ),
    ] = None,
    dit: Annotated[float | None, typer.Option(help="Length of a single exposure, s (600 when time is asked).")] = None,
    scale: Annotated[float, typer.Option(help="Factor on every SNR for other conditions than the paper's.")] = 1.0,
    floor: Annotated[
        list[str] | None, typer.Option(help="LABEL=ERROR, a systematic error added in quadrature; may be repeated.")
    ] = None,
    stars: Annotated[Path | None, typer.Option(help="Star list with V magnitudes: how many reach the targets?")] = None,
    mag_column: Annotated[str | None, typer.Option(help="Column of the star list that holds V.")] = None,
    count: Annotated[int | None, typer.Option(help="Number of stars of the list that must reach the targets.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Show beside the formula what this model allows: a file or a shipped name.")
    ] = None,
    network: Annotated[bool, typer.Option("--network", help="Answer with the model instead of the formula.")] = False,
    teff: Annotated[float, typer.Option(help="Star for the model: effective temperature, K.")] = 4800.0,
    logg: Annotated[float, typer.Option(help="Star for the model: log g.")] = 2.5,
    feh: Annotated[float, typer.Option(help="Star for the model: [Fe/H].")] = 0.0,
    wave_range: Annotated[
        str, typer.Option("--range", help="Wavelengths for the model: nominal, extended, ao, dichroic, bulge.")
    ] = "nominal",
    flat: Annotated[
        bool, typer.Option("--flat", help="The same SNR at all wavelengths, not that of a cool star.")
    ] = False,
    prior: Annotated[float, typer.Option(help="Prior on every [X/Fe] for the model, dex; 0: none.")] = 0.0,
    factor: Annotated[float, typer.Option(help="Real errors over the model's Cramer-Rao bound.")] = 1.5,
    csv: Annotated[Path | None, typer.Option(help="Write the table to this CSV file.")] = None,
) -> None:
    """Plan an exposure: of magnitude, time and precision give two, and get the third.

    plan --mag 18.5 --time 6x600s           how precise does every label get?

    plan --mag 18.5 --target mg_fe=0.05     how long must we expose?

    plan --time 2h --target fe_h=0.1        how faint can we go?
    """
    from rich.console import Console

    from processing.planning import questions, report
    from processing.planning.formulas import TABLE_3

    wishes = questions.Wishes(
        targets={name: value for name, value in pairs(target) if value is not None},
        counted=tuple(name for name, _ in pairs(target)) or None,
        floors=_floors(floor),
        scale=scale,
    )
    exposure = questions.parse_exposure(time, dit) if time is not None else None
    step = dit if dit is not None else questions.DEFAULT_DIT
    information, source = None, report.CITATION
    if model is not None or network:
        from processing.labels.model_file import load_model
        from processing.planning.information import abundance_priors, model_law

        loaded = load_model(model or "")
        information = model_law(
            loaded, teff, logg, feh, wave_range=wave_range, shape="flat" if flat else "photons",
            priors=abundance_priors(loaded.labels, prior), factor=factor,
        )  # fmt: skip
        if network:
            source = report.network_source(loaded, teff, logg, feh, wave_range, factor)
    console = Console(highlight=False)
    sample = None
    if stars is not None:
        from processing.planning.yields import read_magnitudes

        sample = read_magnitudes(stars, mag_column)
        if mag is None and exposure is None:
            mag = sample.nth(count if count is not None else (len(sample) + 1) // 2)
    law: PrecisionLaw = information if network and information else TABLE_3
    answer = questions.plan(mag, exposure, wishes, dit=step, law=law)
    _show(console, answer, None if network else information)
    if sample is not None:
        _show_yield(console, answer, sample, law)
    if information is not None and information.note:
        console.print(information.note, style="yellow")
    console.print()
    console.print(report.sentence(answer, source), soft_wrap=True)
    if csv is not None:
        report.write_csv(answer, csv, source, None if network else information)


def pairs(texts: list[str] | None) -> list[tuple[str, float | None]]:
    """Read "label=value" and "label", several to a text with commas between.

    Raises
    ------
    StellacubeError
        If a label is unknown or a value is no number.
    """
    result: list[tuple[str, float | None]] = []
    for part in ",".join(texts or []).split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if name.lower() not in LABELS:
            raise StellacubeError(f"There is no label called {name!r}.", LABEL_HELP)
        try:
            result.append((name.lower(), float(value) if value else None))
        except ValueError as error:
            raise StellacubeError(f"{value!r} is no error for {name}.", "Write for example mg_fe=0.05.") from error
    return result


def _floors(texts: list[str] | None) -> dict[str, float]:
    floors = {}
    for name, value in pairs(texts):
        if value is None:
            raise StellacubeError(f"The systematic error of {name} is missing.", "Write for example fe_h=0.03.")
        floors[name] = value
    return floors


def _show(console: Console, answer: Plan, network: InformationLaw | None) -> None:
    """Print the answer as one line and a table; values outside the band of trust are dim."""
    from rich.table import Table

    from processing.planning import report
    from processing.planning.questions import beside

    console.print(report.headline(answer), style="bold")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("label")
    for title in ("target", "SNR needed", "error", *(["network"] * (network is not None)), "V limit", "time", ""):
        table.add_column(title, justify="right")
    bound = beside(answer, network)
    for i, name in enumerate(answer.labels):

        def dim(text: str, outside: bool) -> str:
            return f"[dim]{text} *[/dim]" if outside else f"{text}  "

        table.add_row(
            LABELS[name].symbol.replace("[", "\\["),
            report.format_target(name, answer.targets[i]),
            f"{answer.snr_needed[i]:.1f}",
            dim(report.format_sigma(name, answer.sigma[i]), answer.extrapolated),
            *([report.format_sigma(name, bound[i])] * (network is not None)),
            dim(report.format_mag(answer.mag_limit[i]), bool(answer.limit_extrapolated[i])),
            dim(report.format_time(answer.times[i]), bool(answer.time_extrapolated[i])),
            "" if not answer.counted[i] else "decides" if name == answer.worst else "",
        )
    console.print(table)
    if answer.extrapolated or answer.limit_extrapolated.any() or answer.time_extrapolated.any():
        console.print("* extrapolated: outside V = 14–22 or SNR = 10–300, where the formulas are trusted", style="dim")


def _show_yield(console: Console, answer: Plan, sample: StarSample, law: PrecisionLaw) -> None:
    """Print how many stars of a list reach the targets, when, and how well their means are known."""
    from processing.planning import report
    from processing.planning.yields import mean_errors, star_yield

    stars = star_yield(sample, answer.snr_needed[answer.labels.index(answer.worst)], answer.wishes.scale)
    left_out = f" ({sample.n_unusable} without a magnitude are left out)" if sample.n_unusable else ""
    console.print()
    console.print(
        f"{stars.count(answer.exposure.time)} of {len(sample)} stars reach the targets in {answer.exposure}{left_out}; "
        f"{sample.column} of {sample.source} is taken as V."
    )
    for part in (0.25, 0.5, 0.75, 0.9, 1.0):
        number = max(round(part * len(sample)), 1)
        console.print(f"  {number:6d} stars ({100 * part:3.0f} %) need {report.format_time(stars.time_for(number))}")
    count, error = mean_errors(
        sample, answer.exposure.time, law, answer.targets, scale=answer.wishes.scale, floor=answer.floors
    )
    console.print("Error of the mean of the stars that reach each label's target:")
    for name, number, value in zip(answer.labels, count, error, strict=True):
        console.print(
            f"  {LABELS[name].symbol:8s} {report.format_sigma(name, value):>10s}  ({number} stars)", markup=False
        )
