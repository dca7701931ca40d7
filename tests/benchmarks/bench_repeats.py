"""How well repeated LAMOST spectra of 40 stars agree: widths of pair differences over their errors, and their causes.

Run by hand from the repository's root, ``python -m tests.benchmarks.bench_repeats [MODEL]``; needs ../shared/data.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from processing.catalogue.factors import Pairs, Width
from processing.catalogue.repeats import Repeatability, Repeats, repeatability
from processing.labels.fit import LabelFit, fit_labels
from processing.labels.gradients import check_gradients
from processing.labels.joint import JointFit, fit_joint
from processing.labels.model_file import load_model
from processing.settings import FitSettings, PreparationSettings, Settings
from processing.spectrum import StarSpectrum

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "stars" / "lamost.npz"
SHOWN = ("teff", "logg", "fe_h", "mg_fe", "ca_fe", "na_fe")
ARMS = 5900.0
"""Angstrom, where LAMOST's blue arm ends."""
FIRST_NIGHT = "55859"
"""Of the pilot survey: 42 of the 50 pairs hold one of its spectra."""


def main() -> None:
    model = load_model(sys.argv[1] if len(sys.argv) > 1 else "")
    data = np.load(DATA)
    chosen = np.flatnonzero(data["gid"] >= 0)
    star, night = data["gid"][chosen].astype(int), np.array([name.split("-")[1] for name in data["fname"][chosen]])
    spectra = [
        StarSpectrum(str(i), data["wave_vac"], flux, ivar, frame="vacuum", meta={"instrument": "LAMOST"})
        for i, flux, ivar in zip(chosen, data["flux"][chosen], data["ivar"][chosen], strict=True)
    ]
    shipped, gap = Settings(), Settings(preparation=PreparationSettings(mask_dichroic=True))
    fits = check_gradients(fit_labels(spectra, model, shipped), model, shipped)
    in_scope = np.array([fit.in_scope and fit.converged for fit in fits])
    print(f"{in_scope.sum()} of {len(spectra)} spectra are in the scope of model {model.name} {model.version}\n")
    show("as a run does", collect(fits, star, in_scope))
    single = fit_labels(spectra, model, Settings(fit=FitSettings(velocity_per_arm=False)))
    show(".. with one velocity and one error scale for both arms", collect(single, star, in_scope))
    show(".. over X_err_cal, which holds the network's own error too", collect(fits, star, in_scope, total=True))
    arms = [[part(s, 0, ARMS), part(s, ARMS, np.inf)] for s in spectra]
    by_arm = collect(fit_joint(arms, model, gap), star, in_scope)
    show(".. with the arms as two spectra of one star, without the gap between them", by_arm)
    show("   and with one factor per label from the other stars", by_arm, calibrated=True)
    show(
        "as a run does, with one factor per label from the other stars", collect(fits, star, in_scope), calibrated=True
    )
    velocities(fits, [fit_labels([arm[k] for arm in arms], model, gap) for k in (0, 1)], night, in_scope)
    first_night(by_arm, night)


def part(spectrum: StarSpectrum, low: float, high: float) -> StarSpectrum:
    """Return the spectrum with nothing but a range of wavelengths."""
    inside = (spectrum.wave > low) & (spectrum.wave < high)
    return replace(spectrum, ivar=np.where(inside, spectrum.ivar, 0).astype(np.float32))


def collect(
    fits: Sequence[LabelFit | JointFit | None], star: np.ndarray, usable: np.ndarray, *, total: bool = False
) -> Repeats:
    """Put fits into the form that repeats have; errors are those of the noise, or of noise and network in `total`."""
    found = [i for i in np.flatnonzero(usable) if fits[i] is not None]
    again = [i for i in found if np.sum(star[found] == star[i]) > 1]
    kept = [fit for i in again if (fit := fits[i]) is not None]
    names = kept[0].labels
    values = np.array([fit.values for fit in kept])
    noise = np.sqrt([np.diag(fit.covariance_scaled)[: len(names)] for fit in kept])
    errors = np.array([fit.errors_scaled() for fit in kept]) if total else noise
    bounds = [fit.bound if isinstance(fit, LabelFit) and fit.bound is not None else np.full(len(names), np.nan)
              for fit in kept]  # fmt: skip
    unknown = np.full(len(kept), np.nan)
    _, number = np.unique(star[again], return_inverse=True)
    return Repeats(
        star=number,
        source=np.array(again).astype(str),
        star_id=star[again].astype(str),
        rows=np.column_stack([np.zeros(len(again), int), again]),
        ra=unknown,
        dec=unknown,
        snr=unknown,
        corr_flux=unknown,
        values=dict(zip(names, values.T, strict=True)),
        errors=dict(zip(names, errors.T, strict=True)),
        model_errors={},
        bounds=dict(zip(names, np.array(bounds).T, strict=True)),
    )


def show(title: str, repeats: Repeats, *, calibrated: bool = False) -> None:
    """Print scatter and widths of the labels."""
    found = {entry.name: entry for entry in repeatability(repeats)}
    print(f"{title}: {repeats.n_star} stars, {found['teff'].n_pair} pairs")
    for name in SHOWN:
        entry = found[name]
        planner = f"  x bound {text(entry.planner)}" if entry.planner and not calibrated else ""
        print(
            f"  {name:6} scatter {entry.scatter:7.3f}  error {entry.error:7.3f}  {widths(entry, calibrated)}{planner}"
        )
    print()


def widths(entry: Repeatability, calibrated: bool) -> str:
    """Return both widths with their 68 % intervals."""
    pair = (entry.eq10_calibrated, entry.robust_calibrated) if calibrated else (entry.eq10, entry.robust)
    return f"Eq. 10 {text(pair[0])}  robust {text(pair[1])}"


def text(width: Width | None) -> str:
    """Return a width and its interval."""
    return f"{width.value:.2f} ({width.low:.2f}-{width.high:.2f})" if width else "-"


def velocities(
    whole: Sequence[LabelFit], arms: Sequence[Sequence[LabelFit]], night: np.ndarray, usable: np.ndarray
) -> None:
    """Print by how much the velocities of the arms differ, night by night."""
    blue, red = (np.array([fit.rv for fit in fits]) for fits in arms)
    difference = (red - blue)[usable]
    low, middle, high = np.nanpercentile(difference, (15.87, 50, 84.13))
    print(f"velocity of the red arm minus the blue: {middle:+.1f} km/s, {low:+.1f} to {high:+.1f}; night by night:")
    for name in np.unique(night[usable]):
        here = difference[night[usable] == name]
        if len(here) > 2:
            print(f"  {name}: {np.nanmedian(here):+.1f} ({len(here)} spectra)")
    formal = np.median([fit.rv_err for fit, ok in zip(whole, usable, strict=True) if ok])
    print(f"  (median error of a velocity: {formal:.1f} km/s)\n")


def first_night(repeats: Repeats, night: np.ndarray) -> None:
    """Print how the labels of the first night differ from later ones, and the widths about that."""
    early = night[repeats.rows[:, 1]] == FIRST_NIGHT
    print(f"night {FIRST_NIGHT} minus later ones:")
    for name in SHOWN:
        values, errors = repeats.values[name], repeats.errors[name]
        sign = Pairs.of(early.astype(float), errors, repeats.star).difference
        pairs = Pairs.of(values, errors, repeats.star)
        mixed = sign != 0
        difference = sign[mixed] * pairs.difference[mixed]
        shift = np.median(difference)
        left = np.percentile(np.abs(difference - shift) / pairs.error[mixed], 68.27)
        rest = np.percentile(np.abs(pairs.scaled[~mixed]), 68.27)
        doubt = 1.25 * np.std(difference) / np.sqrt(len(difference))
        print(
            f"  {name:6} {shift:+8.3f} +- {doubt:.3f}, robust width about it {left:.2f}; of all other pairs {rest:.2f}"
        )


if __name__ == "__main__":
    main()
