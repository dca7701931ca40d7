"""The network: from labels to a pseudo-normalised spectrum, with the exact Jacobian, in plain NumPy.

The last layer is linear and is reached through a linear bottleneck of about 64 units, so that
``flux = offset + basis @ z(labels)``. A fit that knows this works with the few ``z`` instead of the thousands of
pixels, and a convolution of the model is a convolution of `Network.basis`: both exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Activation = Literal["silu", "leaky_relu"]
LEAK = 0.01
"""Slope of the leaky rectifier below zero, as in The Payne."""


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron with a linear bottleneck and a linear last layer.

    Parameters
    ----------
    label_center, label_scale : ndarray, shape (n_label,)
        The first layer sees ``(labels - label_center) / label_scale``.
    weights : tuple of ndarray, each shape (n_out, n_in), float32
        Layer by layer; an activation follows each but the last, which is the bottleneck of k units.
    biases : tuple of ndarray, each shape (n_out,), float32
    basis : ndarray, shape (n_pix, k), float32
        Spectra that the bottleneck's units multiply.
    offset : ndarray, shape (n_pix,), float32
        Spectrum where all units of the bottleneck are zero.
    activation : {"silu", "leaky_relu"}
        SiLU, x / (1 + exp(-x)), in networks trained here (smooth: a fit sees no kinks); the leaky rectifier in
        networks of The Payne's layout.
    """

    label_center: np.ndarray
    label_scale: np.ndarray
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    basis: np.ndarray
    offset: np.ndarray
    activation: Activation = "silu"

    @property
    def n_label(self) -> int:
        """Number of labels."""
        return self.weights[0].shape[1]

    @property
    def n_unit(self) -> int:
        """Number of units k of the bottleneck."""
        return self.basis.shape[1]

    @property
    def n_pix(self) -> int:
        """Number of pixels of a spectrum."""
        return self.basis.shape[0]

    def bottleneck(self, labels: np.ndarray) -> np.ndarray:
        """Return the bottleneck's values z without their derivatives.

        Parameters
        ----------
        labels : ndarray, shape (n, n_label)
            In the labels' own units.

        Returns
        -------
        ndarray, shape (n, k), float32
        """
        z = self._scaled(labels)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            z, _ = _activate(z @ weight.T + bias, self.activation)
        return z @ self.weights[-1].T + self.biases[-1]

    def hidden(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bottleneck's values and their exact derivatives.

        The derivatives are carried forward through the layers: there are fewer labels than units.

        Parameters
        ----------
        labels : ndarray, shape (n, n_label)
            In the labels' own units.

        Returns
        -------
        z : ndarray, shape (n, k), float32
        dz : ndarray, shape (n, k, n_label), float32
            Derivative with respect to each label, per unit of the label.
        """
        z = self._scaled(labels)
        # One matrix product a layer for all labels and spectra, label by label in the rows (n_label * n, units).
        first = (self.weights[0] / self.label_scale).T.astype(np.float32)
        slopes = np.repeat(first, len(z), axis=0)
        for weight, bias, following in zip(self.weights[:-1], self.biases[:-1], self.weights[1:], strict=True):
            z, slope = _activate(z @ weight.T + bias, self.activation)
            slopes.reshape(-1, *slope.shape)[:] *= slope
            slopes = slopes @ following.T
        z = z @ self.weights[-1].T + self.biases[-1]
        return z, slopes.reshape(self.n_label, *z.shape).transpose(1, 2, 0)

    def flux(self, labels: np.ndarray) -> np.ndarray:
        """Return pseudo-normalised spectra, shape (n, n_pix), float32, of labels (n, n_label)."""
        return self.bottleneck(labels) @ self.basis.T + self.offset

    def flux_and_jacobian(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return spectra (n, n_pix) and their derivatives (n, n_pix, n_label) per unit of each label."""
        z, dz = self.hidden(labels)
        return z @ self.basis.T + self.offset, self.basis @ dz

    def gradients(self, labels: np.ndarray) -> np.ndarray:
        """Return the derivatives of spectra per unit of each label, shape (n, n_label, n_pix), float32."""
        slopes = self.hidden(labels)[1].transpose(0, 2, 1).reshape(-1, self.n_unit)
        return (slopes @ self.basis.T).reshape(-1, self.n_label, self.n_pix)

    def with_basis(self, basis: np.ndarray, offset: np.ndarray) -> Network:
        """Return this network with other spectra behind the bottleneck, for instance convolved or resampled ones."""
        return replace(self, basis=basis.astype(np.float32), offset=offset.astype(np.float32))

    def plus(self, other: Network, columns: list[int]) -> Network:
        """Return the network whose spectra are the sum of this one's and of another's that sees some of the labels.

        Both must have the same number of layers and the same activation; the bottleneck gets the units of both.

        Parameters
        ----------
        other : Network
        columns : list of int
            Which of this network's labels the other one takes, in its order.
        """
        first = np.zeros((len(other.biases[0]), self.n_label))
        first[:, columns] = other.weights[0] * (self.label_scale[columns] / other.label_scale)
        shift = other.weights[0] @ ((self.label_center[columns] - other.label_center) / other.label_scale)
        weights = [np.vstack([self.weights[0], first])]
        for one, two in zip(self.weights[1:], other.weights[1:], strict=True):
            weights.append(
                np.block([[one, np.zeros((len(one), two.shape[1]))], [np.zeros((len(two), one.shape[1])), two]])
            )
        biases = [
            np.concatenate(pair) for pair in zip(self.biases, (other.biases[0] + shift, *other.biases[1:]), strict=True)
        ]
        return replace(
            self,
            weights=tuple(weight.astype(np.float32) for weight in weights),
            biases=tuple(bias.astype(np.float32) for bias in biases),
            basis=np.hstack([self.basis, other.basis]),
            offset=self.offset + other.offset,
        )

    def relabelled(self, keep: list[int], matrix: np.ndarray, constant: np.ndarray) -> Network:
        """Return the network of fewer labels, the others being linear functions of those that are kept.

        Parameters
        ----------
        keep : list of int
            Labels that are kept.
        matrix : ndarray, shape (n_label, n_kept)
        constant : ndarray, shape (n_label,)
            All labels are ``matrix @ kept + constant``.
        """
        centre, scale = self.label_center[keep], self.label_scale[keep]
        first = self.weights[0] / self.label_scale
        shift = first @ (matrix @ centre + constant - self.label_center)
        return replace(
            self,
            label_center=centre,
            label_scale=scale,
            weights=((first @ matrix * scale).astype(np.float32), *self.weights[1:]),
            biases=((self.biases[0] + shift).astype(np.float32), *self.biases[1:]),
        )

    def compressed(self, labels: np.ndarray, n_unit: int) -> Network:
        """Return this network with the `n_unit` orthonormal basis spectra that hold its spectra at `labels` best."""
        z = self.bottleneck(labels).astype(float)
        middle = z.mean(0)
        q, r = np.linalg.qr(self.basis.astype(float))
        directions = np.linalg.svd((z - middle) @ r.T, full_matrices=False)[2][:n_unit]
        turn = directions @ r
        return replace(
            self,
            weights=(*self.weights[:-1], (turn @ self.weights[-1]).astype(np.float32)),
            biases=(*self.biases[:-1], (turn @ (self.biases[-1] - middle)).astype(np.float32)),
            basis=(q @ directions.T).astype(np.float32),
            offset=(self.offset + self.basis @ middle).astype(np.float32),
        )

    def _scaled(self, labels: np.ndarray) -> np.ndarray:
        return ((np.atleast_2d(labels) - self.label_center) / self.label_scale).astype(np.float32)


def _activate(x: np.ndarray, kind: Activation) -> tuple[np.ndarray, np.ndarray]:
    """Return the activation of `x` and its derivative."""
    if kind == "leaky_relu":
        slope = np.where(x > 0, np.float32(1), np.float32(LEAK))
        return x * slope, slope
    # exp of a clipped argument: float32 overflows beyond 88, where the sigmoid is 0 anyway.
    sigmoid = 1.0 / (1.0 + np.exp(-np.maximum(x, np.float32(-80))))
    return x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid))
