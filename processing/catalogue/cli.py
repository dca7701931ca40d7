"""The command line's part about finished catalogues: repeats, compare, calibrate, merge."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processing.catalogue.terms import QUANTITIES, RADIUS, By
from processing.console import Console
from processing.errors import StellacubeError
from processing.settings import Settings

if TYPE_CHECKING:
    from processing.catalogue.compare import CatalogueComparison
    from processing.catalogue.factors import Width
    from processing.catalogue.repeats import Repeatability

Catalogues = Annotated[
    list[Path], typer.Argument(help="Sessions (.stellacube), or catalogues: FITS, ECSV, CSV, VOTable, text.")
]
ByOption = Annotated[
    By, typer.Option("--by", help="How the same star is told: by position, by name, or auto: by position where known.")
]
RadiusOption = Annotated[float, typer.Option("--radius", help="Arcsec within which two entries are one star.")]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="LABEL=COLUMN of another catalogue, where it is not recognised; may be repeated."),
]
Folder = Annotated[Path, typer.Option("--out", help="Folder of the results; made where it does not exist.")]


def repeats(
    catalogues: Catalogues,
    out: Folder = Path("repeats"),
    name: Annotated[str, typer.Option(help="First part of the results' names.")] = "repeats",
    by: ByOption = "auto",
    radius: RadiusOption = RADIUS,
    joint: Annotated[
        bool, typer.Option("--joint", help="Fit the spectra of each star together as well; needs sessions.")
    ] = False,
    model: Annotated[str, typer.Option(help="Model of the joint fit; default: that of the sessions.")] = "",
) -> None:
    """Find stars that were observed more than once, combine them, and measure how well their labels repeat.

    Writes NAME_stars.ecsv (best, mean and joint fit of every star), NAME_repeatability.ecsv (scatter, and the factor
    by which errors must be multiplied: give it to `calibrate`) and NAME.png.

    Example: python main.py repeats night1.stellacube night2.stellacube --joint --out repeats
    """
    from processing.catalogue.repeat_study import study_repeats, write_study

    settings = Settings()
    settings = replace(settings, fit=replace(settings.fit, model=model))
    with Console() as console:
        study = study_repeats(
            catalogues, settings, by, radius, joint=joint, progress=console.progress, cancelled=console.cancelled
        )
        files = write_study(study, out, name)
        console.say(f"{study.repeats.n_star} stars with {len(study.repeats.star)} measurements.")
        header = ("label", "pairs", "scatter", "error", "Eq. 10", "robust", "68 %", "calibrated", "planner")
        console.table(header, [_repeatability(entry) for entry in study.found])
        for note in study.notes:
            console.warn(note)
        console.files(files)


def compare(
    catalogue: Annotated[Path, typer.Argument(help="Session or catalogue.")],
    other: Annotated[Path, typer.Argument(help="Any other catalogue with labels of the same stars.")],
    also: Annotated[
        list[Path] | None, typer.Option("--also", help="A further catalogue, compared with OTHER too; may be repeated.")
    ] = None,
    out: Folder = Path("comparison"),
    name: Annotated[str, typer.Option(help="First part of the results' names.")] = "comparison",
    by: ByOption = "auto",
    radius: RadiusOption = RADIUS,
    columns: MapOption = None,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Only labels whose flag and info are 1, where a catalogue has them.")
    ] = False,
) -> None:
    """Compare a catalogue with another: bias and dispersion of every label, and how they go with S/N, Teff, [Fe/H].

    Writes NAME.ecsv, NAME.png (bias and dispersion of all labels) and NAME_fe_h.png, NAME_teff.png, .. (differences).
    Bias is the median, dispersion half the 15.87-84.13 percentile range of CATALOGUE - OTHER.

    Example: python main.py compare field_catalogue.fits apogee.fits --out comparison
    """
    from processing.catalogue.compare import compare_catalogues, write_comparison

    mapped = dict(_assignment(text) for text in columns or ())
    with Console() as console:
        found = compare_catalogues(
            [catalogue, *(also or ())], other, by, radius, columns=mapped, trusted=trusted,
            progress=console.progress, cancelled=console.cancelled,
        )  # fmt: skip
        files = write_comparison(found, out, name)
        for one in found:
            console.say(f"\n{_matched(one)}")
            header = ("label", "stars", "bias", "±", "dispersion", "±", "expected", "width", "unit")
            console.table(header, [_row(one, n) for n in range(len(one.rows))])
        console.files(files)


def calibrate(
    catalogue: Annotated[Path, typer.Argument(help="Session, or catalogue that Stellacube wrote as FITS or ECSV.")],
    out: Annotated[Path, typer.Option("--out", help="Catalogue to write: .fits, .ecsv, .csv or .vot.")],
    factors: Annotated[
        Path | None, typer.Option(help="NAME_repeatability.ecsv of `repeats`: multiplies X_err_cal, once.")
    ] = None,
    eq10: Annotated[
        bool, typer.Option("--eq10", help="Take the factors of Eq. 10 from it, not the robust ones.")
    ] = False,
    trend: Annotated[
        str, typer.Option(help="Remove the paper's [Mg/Fe]-Teff trend (Table A1): apogee-payne or dd-payne-a.")
    ] = "",
    cluster: Annotated[
        list[Path] | None,
        typer.Option(help="Catalogue of the members of a cluster, to measure that trend on; may be repeated."),
    ] = None,
    teff: Annotated[float, typer.Option(help="Temperature at which [Mg/Fe] stays as it is, K.")] = 4500.0,
    offset: Annotated[
        list[str] | None, typer.Option(help="LABEL=VALUE to add, as mg_fe=0.08; may be repeated.")
    ] = None,
) -> None:
    """Calibrate a catalogue: errors by factors from repeats, [Mg/Fe] for its trend with Teff, labels by offsets.

    Calibrated labels are new columns (mg_fe_cal) beside the raw ones. What was done stands in the provenance.

    Example: python main.py calibrate field_catalogue.fits --factors repeats_repeatability.ecsv --out field_cal.fits
    """
    from processing.catalogue import calibrate as calibration
    from processing.catalogue.export import format_of, read_catalogue, write_catalogue
    from processing.catalogue.factors import multiply_errors, read_factors
    from processing.catalogue.label_table import read_label_table

    fmt = format_of(out)
    if trend and cluster:
        raise StellacubeError("The trend is either the paper's or measured.", "Give --trend or --cluster, not both.")
    with Console() as console:
        made = read_catalogue(catalogue)
        before = len(made.provenance.history)
        if factors:
            column = "factor_eq10" if eq10 else "factor_robust"
            made = multiply_errors(made, read_factors(factors, column), factors.name)
        if cluster:
            slope = calibration.measure_trend([read_label_table(path) for path in cluster])
            value = slope.slopes["giants"][0]
            console.say(f"[Mg/Fe] goes with Teff by {value:+.3f} ± {slope.error:.3f} dex per 1000 K ({slope.n} stars).")
            made = calibration.remove_trend(made, slope, teff)
        elif trend:
            made = calibration.remove_trend(made, calibration.Trend.of_paper(trend), teff)
        for text in offset or ():
            made = calibration.add_offset(made, *calibration.parse_offset(text))
        if len(made.provenance.history) == before:
            raise StellacubeError("Nothing was to be calibrated.", "Give --factors, --trend, --cluster or --offset.")
        write_catalogue(made, out, fmt)
        for entry in made.provenance.history[before:]:
            console.say(f"{entry[0].upper()}{entry[1:]}.")
        console.files([out])


def merge(
    first: Annotated[Path, typer.Argument(help="Session or catalogue (FITS, ECSV), say of model a.")],
    second: Annotated[Path, typer.Argument(help="The same stars with another model, say g.")],
    out: Annotated[Path, typer.Option("--out", help="Catalogue to write: .fits, .ecsv, .csv or .vot.")],
    by: ByOption = "auto",
    radius: RadiusOption = RADIUS,
) -> None:
    """Make one catalogue of two models: each label from the one with the larger gradient correlation.

    A column X_model beside every label says which model it came from.

    Example: python main.py merge a_catalogue.fits g_catalogue.fits --out final.fits
    """
    from processing.catalogue.export import format_of, read_catalogue, write_catalogue
    from processing.catalogue.merge import counts
    from processing.catalogue.merge import merge as merged_of

    fmt = format_of(out)
    with Console() as console:
        made = merged_of(read_catalogue(first), read_catalogue(second), by, radius)
        write_catalogue(made, out, fmt)
        found = counts(made)
        models = sorted({model for entry in found.values() for model in entry})
        rows = [(QUANTITIES[name].symbol, *(str(found[name].get(model, 0)) for model in models)) for name in found]
        console.say(f"{len(made)} stars; labels from each model:")
        console.table(("label", *models), rows)
        console.files([out])


def add_to(app: typer.Typer) -> None:
    """Give the command line these commands."""
    for command in (repeats, compare, calibrate, merge):
        app.command(command.__name__)(command)


def _assignment(text: str) -> tuple[str, str]:
    label, _, column = (part.strip() for part in text.partition("="))
    if label.removesuffix("_err") not in QUANTITIES or not column:
        raise StellacubeError(f"{text} names no label and column.", "Write LABEL=COLUMN, as teff=TEFF_SPEC.")
    return label, column


def _matched(one: CatalogueComparison) -> str:
    distance = sorted(one.separation.tolist())[len(one) // 2]
    how = f"by position (median separation {distance:.2f} arcsec)" if one.by == "position" else "by name"
    return f"{one.title}: {len(one)} stars in common, matched {how}, of {one.n_first} and {one.n_second}."


def _row(one: CatalogueComparison, number: int) -> tuple[str, ...]:
    row = one.rows[number]
    label = row.label
    digits = QUANTITIES[label.name].decimals + (label.unit == "dex")
    numbers = (label.bias, row.bias_error, label.dispersion, row.dispersion_error, row.expected)
    signed = [_number(value, digits, sign=n == 0) for n, value in enumerate(numbers)]
    return label.symbol, str(label.n), *signed, _number(row.width, 2), label.unit


def _repeatability(entry: Repeatability) -> tuple[str, ...]:
    info = QUANTITIES[entry.name]
    digits = info.decimals + (info.unit == "dex")
    sizes = (_number(entry.scatter, digits), _number(entry.error, digits))
    interval = f"{entry.robust.low:.2f}-{entry.robust.high:.2f}" if entry.robust else ""
    widths = (
        _width(entry.eq10),
        _width(entry.robust),
        interval,
        *map(_width, (entry.robust_calibrated, entry.planner)),
    )
    return info.symbol, str(entry.n_pair), *sizes, *widths


def _width(width: Width | None) -> str:
    return f"{width.value:.2f}" if width else ""


def _number(value: float, digits: int, *, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.{digits}f}" if math.isfinite(value) else ""
