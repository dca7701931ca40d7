"""What is known of a star before its spectrum: abundances near solar, or where the Galaxy has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
