"""A label model against spectra whose labels are known: section 4.1.1 of the paper as a tool, for any sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.files import prepare_folder, replacing
from processing.labels.datasets import SpectraFile, read_sets
from processing.labels.mixture import fit_and_check
from processing.labels.names import CORE, LABELS
from processing.labels.real_stars import GIANT, half_range
from processing.preparation.lsf import lsf_fwhm
from processing.progress import CancelCheck, Progress, ignore, never
from processing.settings import Settings
from processing.spectrum import StarSpectrum

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from processing.labels.model_file import LabelModel
    from processing.labels.result import LabelFit

FEWEST = 5
"""Stars of a group below which nothing is said of it."""
IRON_EDGES = (-np.inf, -1.5, -1.0, -0.5, 0.0, np.inf)
"""[Fe/H] at which stars are divided."""
USUAL_SNR = 100.0
"""Signal-to-noise per pixel of spectra that come without errors."""
FLAG = 0.5
"""Gradient correlation above which a label is read from its own lines."""


@dataclass(frozen=True)
class Sample:
    """Spectra of stars with known labels.

    Parameters
    ----------
    spectra : tuple of StarSpectrum, n of them
    truth, error : mapping of machine name to ndarray, shape (n,)
        NaN where unknown; errors 0 where none are given.
    """

    spectra: tuple[StarSpectrum, ...]
    truth: dict[str, np.ndarray]
    error: dict[str, np.ndarray]


@dataclass(frozen=True)
class Group:
    """How one label fares in one group of stars.

    Parameters
    ----------
    group, label : str
    n : int
    bias, dispersion : float
        Median, and half of the 15.87-84.13 % range, of (fit - given).
    pull : float
        The same half range of (fit - given) over both errors in quadrature: 1 where the errors are right.
    gradcorr : float
        Median correlation of the network's gradient with the physical one.
    flagged : float
        Share of the stars whose correlation is above 0.5.
    """

    group: str
    label: str
    n: int
    bias: float
    dispersion: float
    pull: float
    gradcorr: float
    flagged: float


@dataclass(frozen=True)
class Validation:
    """Fits of a sample, and what they say of the model.

    Parameters
    ----------
    title : str
    sample : Sample
    fits : tuple of LabelFit
    groups : tuple of Group
    stars : mapping of group to ndarray of bool, shape (n,)
        Which stars a group holds.
    """

    title: str
    sample: Sample
    fits: tuple[LabelFit, ...]
    groups: tuple[Group, ...]
    stars: Mapping[str, np.ndarray]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that are judged."""
        return tuple(dict.fromkeys(group.label for group in self.groups))

    def values(self, label: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Given label, fit - given, and the error of that, shape (n,) each."""
        i = self.fits[0].labels.index(label)
        given = self.sample.truth[label]
        error = np.hypot(self.sample.error[label], [fit.errors_scaled()[i] for fit in self.fits])
        return given, np.array([fit.values[i] for fit in self.fits]) - given, error


def read_sample(path: str | Path, lsf: str) -> Sample:
    """Read spectra with labels, in any layout that a training reads (`processing.labels.datasets`).

    Parameters
    ----------
    path : str or Path
    lsf : str
        Their resolution, as `processing.preparation.lsf.lsf_fwhm` reads it; empty: the settings' instrument.
    """
    sets = read_sets(path)
    names = [name for name in LABELS if any(name in part.labels for part in sets)]

    def column(part: SpectraFile, name: str, errors: bool) -> np.ndarray:
        unknown = np.full(len(part), 0.0 if errors else np.nan)
        found = (part.label_errors if errors else part.labels).get(name, unknown)
        return np.nan_to_num(found) if errors else found

    spectra = tuple(_spectrum(part, i, lsf) for part in sets for i in range(len(part)))
    truth, error = ({n: np.concatenate([column(p, n, e) for p in sets]) for n in names} for e in (False, True))
    return Sample(spectra, truth, error)


def _spectrum(part: SpectraFile, i: int, lsf: str) -> StarSpectrum:
    flux, ivar = part.flux[i].astype(float), part.ivar[i].astype(float)
    level = np.median(flux[ivar > 0]) if (ivar > 0).any() else 1.0
    flux, ivar = flux / level, ivar * level**2
    if set(np.unique(part.ivar[i])) <= {0.0, 1.0}:  # the file gives no errors
        ivar = np.where(ivar > 0, (USUAL_SNR / np.maximum(flux, 0.05)) ** 2, 0.0)
    width = lsf_fwhm(lsf, part.wave) if lsf else None
    name = part.stars[i] or f"spectrum {i + 1}"
    return StarSpectrum(name, part.wave, flux.astype("f4"), ivar.astype("f4"), part.frame, lsf_fwhm=width)


def validate_model(
    model: LabelModel,
    sample: Sample,
    settings: Settings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Validation:
    """Fit a sample and compare with its labels: all stars within the model's range, giants and dwarfs, and by [Fe/H].

    Raises
    ------
    StellacubeError
        If the sample gives none of the model's labels, or too few stars can be fitted.
    """
    known = [name for name in model.labels if np.isfinite(sample.truth.get(name, np.nan)).any()]
    if not known:
        raise StellacubeError(
            f"The sample gives none of the labels of {model.name}.", f"It needs one of {', '.join(model.labels[:4])}."
        )
    fits = fit_and_check(sample.spectra, model, settings, progress=progress, cancelled=cancelled)
    fitted = np.array([bool(np.isfinite(fit.values).all()) for fit in fits])
    if fitted.sum() < FEWEST:
        raise StellacubeError(f"Only {fitted.sum()} of {len(fits)} spectra could be fitted.", fits[0].note)
    divided = dict(_groups(sample, fits, model))
    blank = Validation(
        f"{model.name} on {divided['all'].sum()} spectra within its range", sample, tuple(fits), (), divided
    )
    groups = [
        row
        for title, chosen in divided.items()
        for name in known
        if (row := _judge(blank, title, name, chosen & fitted)) is not None
    ]
    if not groups:
        raise StellacubeError(f"Fewer than {FEWEST} stars have known labels and could be fitted.")
    return replace(blank, groups=tuple(groups))


def _groups(sample: Sample, fits: Sequence[LabelFit], model: LabelModel) -> list[tuple[str, np.ndarray]]:
    """Name groups of stars, by given log g and [Fe/H], or by the fitted ones where the sample gives none."""

    def of(name: str) -> np.ndarray:
        fitted = np.array([fit.values[fit.labels.index(name)] for fit in fits])
        given = sample.truth.get(name, fitted)
        return np.where(np.isfinite(given), given, fitted)

    logg, iron = of("logg"), of("fe_h")
    inside = np.ones(len(fits), bool)
    for name in CORE:
        i = model.labels.index(name)
        inside &= (of(name) >= model.label_min[i]) & (of(name) <= model.label_max[i])
    groups = [("all", inside), ("giants", inside & (logg < GIANT)), ("dwarfs", inside & (logg >= GIANT))]
    for low, high in pairwise(IRON_EDGES):
        title = f"{low:.1f} < [Fe/H] < {high:.1f}".removeprefix("-inf < ").removesuffix(" < inf")
        groups.append((title, inside & (iron >= low) & (iron < high)))
    return [*groups, ("beyond the model's range", ~inside)]


def _judge(validation: Validation, group: str, name: str, chosen: np.ndarray) -> Group | None:
    given, difference, error = validation.values(name)
    chosen = chosen & np.isfinite(given)
    if chosen.sum() < FEWEST:
        return None
    i = validation.fits[0].labels.index(name)
    unknown = np.full(len(validation.fits[0].labels), np.nan)
    correlation = np.array([(unknown if fit.gradcorr is None else fit.gradcorr)[i] for fit in validation.fits])[chosen]
    correlation = correlation[np.isfinite(correlation)]
    return Group(
        group, name, int(chosen.sum()), float(np.median(difference[chosen])), half_range(difference[chosen]),
        half_range((difference / error)[chosen]),
        float(np.median(correlation)) if correlation.size else np.nan,
        float(np.mean(correlation > FLAG)) if correlation.size else np.nan,
    )  # fmt: skip


def validation_table(validation: Validation) -> Table:
    """Return the groups as an astropy table with units and descriptions."""
    from astropy.table import Table

    table = Table(rows=[vars(group) for group in validation.groups])
    for name, text in {
        "bias": "median of fit - given", "dispersion": "half of the 15.87-84.13 per cent range of fit - given",
        "pull": "half of that range over both errors", "gradcorr": "median correlation with the physical gradient",
        "flagged": "share of the stars with a correlation above 0.5",
    }.items():  # fmt: skip
        table[name].info.description = text
        table[name].info.format = ".4g"
    table["unit"] = [LABELS[group.label].unit for group in validation.groups]
    table.meta["title"] = validation.title
    return table


def summary(validation: Validation) -> list[tuple[str, ...]]:
    """Return the rows for all stars, giants and dwarfs as texts, each number to its label's usual digits."""
    rows: list[tuple[str, ...]] = []
    for group in validation.groups:
        if group.group in ("all", "giants", "dwarfs"):
            info = LABELS[group.label]
            bias, dispersion = f"{group.bias:+.{info.decimals}f}", f"{group.dispersion:.{info.decimals}f}"
            numbers = bias, dispersion, f"{group.pull:.2f}", f"{group.gradcorr:.2f}"
            rows.append((group.group, str(group.n), info.symbol, *numbers))
    return rows


def write_validation(validation: Validation, folder: Path) -> tuple[Path, ...]:
    """Write table and figure into a folder; return their paths."""
    from processing.catalogue.figures import save

    prepare_folder(folder)
    files = folder / "validation.ecsv", folder / "validation.png"
    with replacing(files[0]) as temporary:
        validation_table(validation).write(temporary, format="ascii.ecsv", delimiter=",", overwrite=True)
    save(validation_figure(validation), files[1])
    return files


def validation_figure(validation: Validation) -> Figure:
    """Draw (fit - given) of every label for giants and dwarfs, the pulls, and the gradient correlations."""
    from matplotlib.figure import Figure

    from processing.catalogue.figures import COLOURS

    labels = validation.labels
    columns = int(np.ceil(np.sqrt(len(labels) + 2)))
    rows = -(-(len(labels) + 2) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.5 * rows), layout="constrained")
    figure.suptitle(validation.title, fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    stars = validation.stars
    series = (("giants", stars["giants"], COLOURS[2], "o"), ("dwarfs", stars["dwarfs"], COLOURS[0], "s"))
    for axis, name in zip(axes, labels, strict=False):
        _differences(axis, validation, name, series)
    axes[0].legend(fontsize=7, loc="best", frameon=False, handletextpad=0.2)
    _pulls(axes[len(labels)], validation)
    _correlations(axes[len(labels) + 1], validation)
    for axis in axes:
        axis.tick_params(labelsize=7, direction="in")
        axis.set_visible(bool(axis.has_data()))
    return figure


def _differences(
    axis: Axes, validation: Validation, name: str, series: Sequence[tuple[str, np.ndarray, str, str]]
) -> None:
    given, difference, _ = validation.values(name)
    info = LABELS[name]
    unit = f" ({info.unit})" if info.unit else ""
    for title, chosen, colour, marker in series:
        axis.plot(
            given[chosen], difference[chosen], marker, ms=3, color=colour, mec="none", alpha=0.65,
            label=title if chosen.any() else None,
        )  # fmt: skip
    axis.axhline(0, color="#8a929c", lw=0.8, zorder=0)
    overall = next(group for group in validation.groups if group.label == name)
    digits = info.decimals
    axis.set_title(f"{info.symbol}   {overall.bias:+.{digits}f} \u00b1 {overall.dispersion:.{digits}f}", fontsize=9)
    axis.set_xlabel(f"given{unit}", fontsize=8)
    axis.set_ylabel("fit \u2212 given", fontsize=8)
    known = difference[validation.stars["all"] & np.isfinite(difference)]
    reach = max(4 * overall.dispersion, float(np.percentile(np.abs(known), 95)) * 1.15)
    axis.set_ylim(-reach, reach)


def _pulls(axis: Axes, validation: Validation) -> None:
    from processing.catalogue.figures import COLOURS

    inside = validation.stars["all"]
    values = [validation.values(name) for name in validation.labels]
    pulls = np.concatenate([(difference / error)[inside] for _, difference, error in values])
    pulls = pulls[np.isfinite(pulls)]
    edges = np.linspace(-5, 5, 41)
    axis.hist(np.clip(pulls, -5, 5), edges.tolist(), density=True, color=COLOURS[0], alpha=0.35)
    axis.plot(edges, np.exp(-0.5 * edges**2) / np.sqrt(2 * np.pi), color="#3a4350", lw=1)
    axis.set_title(f"pulls of all labels   width {half_range(pulls):.2f}", fontsize=9)
    axis.set_xlabel("(fit \u2212 given) / error; the line is a unit Gaussian", fontsize=8)


def _correlations(axis: Axes, validation: Validation) -> None:
    from processing.catalogue.figures import COLOURS

    rows = [group for group in validation.groups if group.group == "all" and np.isfinite(group.gradcorr)]
    axis.bar(range(len(rows)), [row.gradcorr for row in rows], color=COLOURS[3], alpha=0.6)
    axis.set_xticks(range(len(rows)), [LABELS[row.label].symbol for row in rows], rotation=90 if len(rows) > 6 else 0)
    axis.axhline(FLAG, color="#3a4350", lw=1, ls=":")
    axis.set_ylim(0, 1)
    axis.set_title("gradient correlation with physics", fontsize=9)
