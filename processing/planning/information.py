"""The least error that the light itself allows (Cramer-Rao), from the gradients of a network.

The question is the one of `formulas`, asked of the program's own models: for a star of given Teff, logg and [Fe/H],
a wavelength range and an SNR curve, how precise can each label be when all of them are fitted at once? As in
Chem-I-Calc (Sandford et al. 2020), the Fisher matrix is F = sum over pixels (df/dl)(df/dl)^T / sigma^2 and the
error of label l is sqrt((F^-1)_ll).

Conventions. The gradients are those of the model's spectrum: its resolution (R about 1800), its pseudo-continuum.
The noise is white, 1 / SNR per 1.25 A of continuum. A spectrum fitted at R = 1800 was degraded from R = 3000, which
takes noise away together with line depth, so that a real fit can do a little better than this bound; systematic
errors of models and data make it do worse, which is what the paper's factor 1.5 stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from processing.errors import StellacubeError
from processing.labels.errors import inverse_root
from processing.labels.names import LABELS
from processing.planning.formulas import Values, positive, without_floor
from processing.planning.photons import PIXEL, SnrShape, snr_shape
from processing.preparation.air import in_frame

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel

PAPER_FACTOR = 1.5
"""Errors of real fits over the Cramer-Rao bound (section 5.1, after Sandford et al. 2020, Fig. 21)."""

PAPER_BULGE_COST: Mapping[str, float] = {"cr_fe": 2.66, "n_fe": 4.30, "na_fe": 4.02, "c_fe": 3.53}
"""Fig. 8: by how much errors grow when 4750-5991 A is lost as well (K giant)."""
PAPER_BULGE_MEAN = 2.16
"""Fig. 8: the same, averaged over all labels."""


@dataclass(frozen=True)
class WaveRange:
    """What an instrument or a cut leaves of the spectrum: pieces (first, last) in A, in air."""

    title: str
    pieces: tuple[tuple[float, float], ...]

    def contains(self, wave: np.ndarray) -> np.ndarray:
        """Return True for the wavelengths inside, shape (n_pix,)."""
        return np.any([(wave >= first) & (wave <= last) for first, last in self.pieces], axis=0)

    @property
    def length(self) -> float:
        """Total length in A."""
        return sum(last - first for first, last in self.pieces)


RANGES: Mapping[str, WaveRange] = {
    "nominal": WaveRange("MUSE nominal", ((4750.0, 9350.0),)),
    "extended": WaveRange("MUSE extended", ((4650.0, 9350.0),)),
    "ao": WaveRange("MUSE with AO (gap at Na D)", ((4750.0, 5803.0), (5966.0, 9350.0))),
    "dichroic": WaveRange("LAMOST dichroic masked", ((4750.0, 5720.0), (6060.0, 9350.0))),
    "bulge": WaveRange("MUSE, high extinction (above 5991 Å)", ((5991.0, 9350.0),)),
    "lamost": WaveRange("LAMOST", ((3700.0, 9100.0),)),
    "bluemuse": WaveRange("BlueMUSE", ((3500.0, 5800.0),)),
}
"""Wavelength ranges by name; BlueMUSE as its consortium announces it."""

REACH_LEAST = 0.6
"""Part of a range that a model must cover before its answer is worth giving."""


DOUBTFUL = 2.0
"""Physical bound over the network's above which the network's promise is doubted."""


@dataclass(frozen=True)
class InformationLaw:
    """Label errors as a function of SNR: sigma_l^2 = sum_k mode_lk^2 / (SNR^2 / factor_l^2 + pole_k).

    The Fisher matrix grows as SNR^2 and the priors do not; both are diagonal in the same basis, so the whole
    dependence on SNR is this sum. Without priors all poles are 0 and sigma is proportional to 1 / SNR.

    Attributes
    ----------
    labels : tuple of str
        Machine names.
    modes : ndarray, shape (n_label, n_mode)
        Errors of each label along each mode at SNR 1, K, dex or km/s.
    poles : ndarray, shape (n_mode,)
        The priors' weight along each mode.
    factor : ndarray, shape (n_label,)
        By how much real errors exceed the bound.
    note : str
        What the answer leaves out, as a sentence; empty when nothing.
    """

    labels: tuple[str, ...]
    modes: np.ndarray
    poles: np.ndarray
    factor: np.ndarray
    note: str = ""

    def sigma(self, snr: ArrayLike, floor: ArrayLike = 0.0) -> Values:
        """Return the 1-sigma errors at a median SNR per 1.25 A pixel, shape (..., n_label)."""
        effective = (positive("The SNR", snr, zero=True)[..., None] / self.factor) ** 2
        with np.errstate(divide="ignore"):
            noise = (self.modes**2 / (effective[..., None] + self.poles)).sum(-1)
        return np.hypot(np.sqrt(noise), positive("The systematic floor", floor, zero=True))

    def snr(self, sigma: ArrayLike, floor: ArrayLike = 0.0) -> Values:
        """Return the SNR at which each error is reached: 0 where a prior suffices, infinite where a floor forbids."""
        noise = without_floor(sigma, floor)
        square = self.modes**2
        # 1 / sigma^2 is concave in SNR^2: Newton's steps from 0 never overshoot, and without priors one is exact.
        wanted = np.where(noise > 0, noise, 1.0) ** -2.0
        power = np.full(np.broadcast_shapes(wanted.shape, self.factor.shape), 1e-12)
        for _ in range(60):
            terms = square / (power[..., None] + self.poles)
            total, slope = terms.sum(-1), (terms / (power[..., None] + self.poles)).sum(-1)
            step = (wanted - 1.0 / total) * total**2 / slope
            power = np.maximum(power + step, 1e-12)
            if np.all(np.abs(step) <= 1e-13 * power):
                break
        power = np.where(noise > 0, np.where(power > 1e-12, power, 0.0), np.inf)
        return self.factor * np.sqrt(power)


def information_law(
    gradient: np.ndarray,
    labels: Sequence[str],
    wave: np.ndarray,
    use: np.ndarray,
    *,
    shape: SnrShape = "photons",
    teff: float = 4800.0,
    priors: Mapping[str, float] | None = None,
    factor: float | Mapping[str, float] = PAPER_FACTOR,
) -> InformationLaw:
    """Turn gradient spectra into label errors.

    Parameters
    ----------
    gradient : ndarray, shape (n_pix, n_label)
        df/dlabel of the normalised spectrum, per K, dex, km/s.
    labels : sequence of str
        Machine names, in the order of the columns.
    wave : ndarray, shape (n_pix,)
        Wavelength in A.
    use : ndarray of bool, shape (n_pix,)
        Pixels that are observed and fitted.
    shape, teff
        The SNR along the spectrum, as in `snr_shape`.
    priors : mapping of str to float, optional
        1-sigma widths of Gaussian priors by label.
    factor : float or mapping of str to float
        Real errors over the bound: one number, or one per label (Eq. 10; labels without one get the paper's 1.5).

    Raises
    ------
    StellacubeError
        If fewer pixels are left than there are labels.
    """
    if use.sum() <= len(labels):
        raise StellacubeError(
            f"{use.sum()} pixels are too few to tell {len(labels)} labels apart.", "Choose a longer wavelength range."
        )
    weight = np.where(use, snr_shape(wave, shape, teff) ** 2 * np.gradient(wave) / PIXEL, 0.0)
    fisher = gradient.T @ (gradient * weight[:, None])
    factors = factor if isinstance(factor, Mapping) else dict.fromkeys(labels, factor)
    scale = positive("The factor", [factors.get(name, PAPER_FACTOR) for name in labels])
    widths = {name: positive(f"The prior on {name}", width) for name, width in (priors or {}).items()}
    prior = np.diag([widths[name] ** -2.0 if name in widths else 0.0 for name in labels])
    white = inverse_root(fisher)
    poles, rotation = np.linalg.eigh(white.T @ prior @ white)
    return InformationLaw(tuple(labels), white @ rotation, np.maximum(poles, 0.0), scale)


def star_labels(model: LabelModel, teff: float, logg: float, fe_h: float) -> np.ndarray:
    """Return a full label vector: the star asked for, scaled-solar, vmic = 2.478 - 0.325 logg (Holtzman et al. 2015).

    Raises
    ------
    StellacubeError
        If the star lies outside the range in which the model was trained.
    """
    asked = {"teff": teff, "logg": logg, "fe_h": fe_h, "vmic": 2.478 - 0.325 * logg}
    for name in ("teff", "logg", "fe_h"):
        low, high = (float(limit[model.labels.index(name)]) for limit in (model.label_min, model.label_max))
        if not low <= asked[name] <= high:
            info = LABELS[name]
            raise StellacubeError(
                f"{info.symbol} = {asked[name]:g} lies outside the model {model.name}.",
                f"Choose a value from {low:.{info.decimals}f} to {high:.{info.decimals}f} {info.unit}.",
            )
    values = np.array([asked.get(name, 0.0) for name in model.labels], float)
    return np.clip(values, model.label_min, model.label_max)


def model_reach(model: LabelModel, wave_range: WaveRange) -> tuple[np.ndarray, str]:
    """Return which of a model's pixels lie in a range, and a sentence on what the model does not reach.

    Returns
    -------
    use : ndarray of bool, shape (n_pix,)
    note : str
        Empty when the model covers the range.

    Raises
    ------
    StellacubeError
        If the model covers less than 60 % of the range: no network reaches that instrument yet.
    """
    wave = in_frame(model.wave, model.frame, "air")
    first, last = float(wave[0]), float(wave[-1])
    covered = sum(max(min(b, last) - max(a, first), 0.0) for a, b in wave_range.pieces) / wave_range.length
    reach = f"the model {model.name} covers {first:.0f}-{last:.0f} Å"
    if covered < REACH_LEAST:
        raise StellacubeError(
            f"No network reaches {wave_range.title} yet: {reach}, {100 * covered:.0f} % of its range.",
            "Choose a range of MUSE.",
        )
    use = np.asarray(model.mask, bool) & wave_range.contains(wave)
    missing = []
    if wave_range.pieces[0][0] < first - 25.0:
        missing.append(f"below {first:.0f} Å")
    if wave_range.pieces[-1][1] > last + 25.0:
        missing.append(f"above {last:.0f} Å")
    return use, f"No model reaches {wave_range.title} {' and '.join(missing)}: that light is left out." * bool(missing)


def model_law(
    model: LabelModel,
    teff: float = 4800.0,
    logg: float = 2.5,
    fe_h: float = 0.0,
    *,
    wave_range: str = "nominal",
    shape: SnrShape = "photons",
    priors: Mapping[str, float] | None = None,
    factor: float | Mapping[str, float] = PAPER_FACTOR,
) -> InformationLaw:
    """Return the label errors that a model allows for a star and a wavelength range of `RANGES`.

    Raises
    ------
    StellacubeError
        If the star lies outside the model, or the model does not reach the range.
    """
    if wave_range not in RANGES:
        raise StellacubeError(f"There is no wavelength range called {wave_range!r}.", f"Known: {', '.join(RANGES)}.")
    use, note = model_reach(model, RANGES[wave_range])
    star = star_labels(model, teff, logg, fe_h)
    wave = in_frame(model.wave, model.frame, "air")
    law = partial(
        information_law, labels=model.labels, wave=wave, use=use, shape=shape, teff=teff, priors=priors, factor=factor
    )
    network = law(np.asarray(model.network.flux_and_jacobian(star[None])[1][0], float))
    return replace(network, note=" ".join(filter(None, [note, _doubts(model, star, network, law)])))


def _doubts(
    model: LabelModel, star: np.ndarray, network: InformationLaw, law: Callable[[np.ndarray], InformationLaw]
) -> str:
    """Name the labels of which the nearest physical template (Eq. 4) says that the network promises too much.

    A network may read a label from lines of others that went with it in training; physics knows better.
    """
    templates = model.templates
    if not templates.names:
        return ""
    nearest = int(templates.nearest(star, model.labels)[0][0])
    physical = law(templates.gradients([nearest])[0].T.astype(float))
    with np.errstate(invalid="ignore"):
        ratio = physical.sigma(100.0) / network.sigma(100.0)
    symbols = [LABELS[name].symbol for name, value in zip(model.labels, ratio, strict=True) if value > DOUBTFUL]
    teff, logg, fe_h = (templates.labels[nearest, model.labels.index(name)] for name in ("teff", "logg", "fe_h"))
    return (
        f"Physical gradients at {teff:.0f} K, {logg:.1f}, {fe_h:.1f} carry much less of {', '.join(symbols)} than the "
        "network claims."
    ) * bool(symbols)


def abundance_priors(labels: Sequence[str], width: float) -> dict[str, float]:
    """Return a Gaussian prior of `width` dex on every [X/Fe], as the fit uses it; none when the width is 0."""
    return {name: width for name in labels if name.endswith("_fe")} if width else {}


def cut_costs(
    gradient: np.ndarray,
    labels: Sequence[str],
    wave: np.ndarray,
    use: np.ndarray,
    cuts: Mapping[str, np.ndarray],
    **options: SnrShape | float,
) -> dict[str, np.ndarray]:
    """Return by how much each cut of the wavelength range raises the error of each label (Fig. 8).

    Parameters
    ----------
    gradient, labels, wave, use
        As in `information_law`; `use` is the range before any cut.
    cuts : mapping of str to ndarray of bool, shape (n_pix,)
        Pixels that each cut leaves.

    Returns
    -------
    dict of str to ndarray, shape (n_label,)
        Error after the cut over error before it, 1 or more.
    """
    whole = information_law(gradient, labels, wave, use, **options).sigma(1.0)  # type: ignore[arg-type]
    return {
        name: information_law(gradient, labels, wave, use & left, **options).sigma(1.0) / whole  # type: ignore[arg-type]
        for name, left in cuts.items()
    }


def repeat_factor(first: ArrayLike, second: ArrayLike, first_error: ArrayLike, second_error: ArrayLike) -> np.ndarray:
    """Return by how much repeated observations scatter more than their errors say (Eq. 10, with its square root).

    Parameters
    ----------
    first, second : array_like, shape (n_pair, n_label)
        Labels of the same stars from two observations.
    first_error, second_error : array_like, shape (n_pair, n_label)
        Their errors: 1.5 times the Cramer-Rao bound of each spectrum gives the paper's f_corr.

    Returns
    -------
    ndarray, shape (n_label,)

    Raises
    ------
    StellacubeError
        If there are fewer than three pairs.
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    if difference.shape[0] < 3:
        raise StellacubeError("A scatter needs at least three pairs of repeated observations.")
    return np.std(difference / np.hypot(first_error, second_error), axis=0, ddof=1)
