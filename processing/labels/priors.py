"""What is known of a star before its spectrum: abundances where the Galaxy has them, photometric Teff and log g."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.labels.names import LABELS
from processing.spectrum import MetaValue, StarSpectrum

if TYPE_CHECKING:
    from processing.settings import FitSettings

PHOTOMETRIC = {"teff": ("teff_phot", "teff_phot_err"), "logg": ("logg_phot", "logg_phot_err")}
"""Columns of a star list, and keys of `StarSpectrum.meta`, that hold a label known beforehand and its error."""

ALPHA_TREND: dict[str, float] = {"o_fe": 1.1, "mg_fe": 1.0, "si_fe": 0.9, "ca_fe": 0.8, "ti_fe": 0.8}
"""Share of each alpha element in the enhancement of metal-poor stars."""
_PLATEAU, _MIDDLE, _WIDTH = 0.35, -0.55, 0.5


def alpha_enhancement(fe_h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the usual [alpha/Fe] at an iron abundance, and its slope.

    A smooth form of -0.3 [Fe/H] between 0 and 0.35 dex: 0.04 at the Sun's, 0.16 at -0.5, 0.30 at -1.
    """
    rise = np.tanh((_MIDDLE - np.asarray(fe_h, float)) / _WIDTH)
    return 0.5 * _PLATEAU * (1 + rise), -0.5 * _PLATEAU / _WIDTH * (1 - rise**2)


@dataclass(frozen=True)
class AbundancePrior:
    """Gaussian prior of one width on every [X/Fe], about the usual value at the star's [Fe/H].

    Parameters
    ----------
    labels : tuple of str
        Machine names, in the model's order.
    width : float
        Standard deviation in dex; 0 for no prior.
    """

    labels: tuple[str, ...]
    width: float

    @property
    def abundances(self) -> np.ndarray:
        """Indices of the [X/Fe] among the labels."""
        return np.array([i for i, name in enumerate(self.labels) if name.endswith("_fe")], int)

    def expected(self, labels: np.ndarray) -> np.ndarray:
        """Labels (n, n_label) with every [X/Fe] at its usual value."""
        expected = np.array(labels, float)
        expected[:, self.abundances] = 0.0
        if "fe_h" in self.labels:
            alpha, _ = alpha_enhancement(expected[:, self.labels.index("fe_h")])
            for name, share in ALPHA_TREND.items():
                if name in self.labels:
                    expected[:, self.labels.index(name)] = share * alpha
        return expected

    def take(self, index: np.ndarray) -> AbundancePrior:
        """Return the prior of some of the stars."""
        return self

    def terms(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Contribution to chi2 and to the normal equations.

        Parameters
        ----------
        labels : ndarray, shape (n, n_label)

        Returns
        -------
        cost : ndarray, shape (n,)
            Sum of squared deviations over the width.
        pull : ndarray, shape (n, n_label)
            Minus half the gradient of the cost.
        precision : ndarray, shape (n, n_label, n_label)
            Half its (Gauss-Newton) second derivative.
        """
        n, n_label = labels.shape
        slopes = np.zeros((n, n_label, n_label))
        deviation = np.zeros((n, n_label))
        if self.width > 0:
            index = self.abundances
            deviation[:, index] = (labels - self.expected(labels))[:, index] / self.width
            slopes[:, index, index] = 1.0 / self.width
            if "fe_h" in self.labels:
                iron = self.labels.index("fe_h")
                _, rising = alpha_enhancement(labels[:, iron])
                for name, share in ALPHA_TREND.items():
                    if name in self.labels:
                        slopes[:, self.labels.index(name), iron] = -share * rising / self.width
        transposed = slopes.transpose(0, 2, 1)
        pull = -(transposed @ deviation[:, :, None])[:, :, 0]
        return np.square(deviation).sum(axis=1), pull, transposed @ slopes


@dataclass(frozen=True)
class StarPriors(AbundancePrior):
    """The prior on abundances, and Gaussian ones on labels of single stars.

    Parameters
    ----------
    mean, precision : ndarray, shape (n, n_label)
        Of each star's labels, in their units; precision, 1 / sigma^2, is 0 where nothing is known.
    """

    mean: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, metas: Sequence[Mapping[str, MetaValue]], labels: tuple[str, ...], settings: FitSettings) -> StarPriors:
        """Gather the settings' priors and the stars' own, which replace them.

        Raises
        ------
        StellacubeError
            If the settings have a prior on no label of the model, or of no width.
        """
        for name, _, sigma in settings.priors:
            if name not in labels or not sigma > 0:
                raise StellacubeError(
                    f"The prior on {name} with a standard deviation of {sigma:g} cannot be used.",
                    f"Name one of the model's labels, {', '.join(labels)}, and a positive width.",
                )
        mean, precision = np.zeros((2, len(metas), len(labels)))
        for row, meta in enumerate(metas):
            for name, value, sigma in (*settings.priors, *known_labels(meta)):
                if name in labels:
                    column = labels.index(name)
                    mean[row, column], precision[row, column] = value, sigma**-2
        return cls(labels, settings.abundance_prior, mean, precision)

    def take(self, index: np.ndarray) -> StarPriors:
        """Return the prior of some of the stars."""
        return replace(self, mean=self.mean[index], precision=self.precision[index])

    def terms(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Contribution to chi2 and to the normal equations, as that of the abundances alone."""
        cost, pull, precision = super().terms(labels)
        deviation = self.precision * (self.mean - labels)
        diagonal = self.precision[:, :, None] * np.eye(labels.shape[1])
        return cost + (deviation * (self.mean - labels)).sum(axis=1), pull + deviation, precision + diagonal

    def describe(self, i: int) -> str:
        """Say what is known of a star, as ``teff 5200+-100``; nothing where that is abundances alone."""
        return ", ".join(
            f"{name} {mean:.{LABELS[name].decimals}f}+-{precision**-0.5:.{LABELS[name].decimals}f}"
            for name, mean, precision in zip(self.labels, self.mean[i], self.precision[i], strict=True)
            if precision > 0
        )


def known_labels(meta: Mapping[str, MetaValue]) -> list[tuple[str, float, float]]:
    """Return name, value and error of the labels that are known of a star beforehand."""
    found = []
    for name, keys in PHOTOMETRIC.items():
        value, sigma = (_number(meta.get(key)) for key in keys)
        if np.isfinite(value) and np.isfinite(sigma) and sigma > 0:
            found.append((name, value, sigma))
    return found


def _number(value: MetaValue | None) -> float:
    try:
        return float(value) if value is not None else np.nan
    except ValueError:
        return np.nan


def sharing_known(star: Sequence[StarSpectrum]) -> list[StarSpectrum]:
    """Return the spectra of one star, each with what any of them knows beforehand."""
    known = {
        key: value
        for spectrum in reversed(star)
        for name, *values in known_labels(spectrum.meta)
        for key, value in zip(PHOTOMETRIC[name], values, strict=True)
    }
    return [replace(spectrum, meta={**spectrum.meta, **known}) for spectrum in star]
