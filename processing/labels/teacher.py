"""The teacher: Gaussian processes that learn a few hundred physical spectra better than any network can.

Spectra are scarce and have some twenty labels, but the labels act in a simple way: Teff, logg, [Fe/H] and vmic set
the atmosphere, each element adds its own lines on top, and elements interact little. The covariance says just that:
a sum of linear terms, a term in the atmosphere's labels, one term per element in (Teff, logg, [Fe/H], [X/H]), and a
weak term in everything for what is left (molecules, blends). Each principal component of the spectra has its own
process. A network then learns from as many spectra as the teacher can be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processing.progress import CancelCheck, Progress, ignore, never, stop_if

if TYPE_CHECKING:
    import torch

ATMOSPHERE = ("teff", "logg", "fe_h", "vmic")
ALPHA = ("o_fe", "mg_fe", "si_fe", "ca_fe", "ti_fe")
_JITTER = 1e-6
_SHRINKAGE = 0.02
"""Weight of a Gaussian prior on the logarithms of all length scales and amplitudes."""


@dataclass(frozen=True)
class Features:
    """How labels become the coordinates that the covariance works in, each scaled to unit spread.

    The columns are: 5040 / Teff and the other atmosphere labels; [X/Fe] of each element; the mean of the alpha
    elements; [X/H] of each element, since lines follow the number of absorbers.
    """

    labels: tuple[str, ...]
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, labels: np.ndarray, names: tuple[str, ...]) -> Features:
        """Scale the features to the spread of a training set."""
        raw = _raw_features(labels, names)
        return cls(names, raw.mean(0), np.maximum(raw.std(0), 1e-9))

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Return the features, shape (n, n_feature)."""
        return (_raw_features(labels, self.labels) - self.centre) / self.spread

    @property
    def n_atmosphere(self) -> int:
        """Number of labels that describe the atmosphere; they come first."""
        return sum(name in ATMOSPHERE for name in self.labels)

    @property
    def n_element(self) -> int:
        """Number of elements."""
        return len(self.labels) - self.n_atmosphere


def _raw_features(labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    column = dict(zip(names, np.asarray(labels, float).T, strict=True))
    atmosphere = [5040.0 / column[name] if name == "teff" else column[name] for name in names if name in ATMOSPHERE]
    elements = [column[name] for name in names if name not in ATMOSPHERE]
    alpha = [column[name] for name in ALPHA if name in column] or [np.zeros(len(labels))]
    return np.column_stack([*atmosphere, *elements, np.mean(alpha, axis=0), *(x + column["fe_h"] for x in elements)])


@dataclass(frozen=True)
class Teacher:
    """Gaussian processes of the principal components of spectra.

    Parameters
    ----------
    features : Features
    inputs : ndarray, shape (n_train, n_feature)
    mean : ndarray, shape (n_pix,)
        Mean of the pseudo-normalised training spectra.
    components : ndarray, shape (n_component, n_pix)
    scale : ndarray, shape (n_component,)
        Standard deviation of each component's coefficients.
    parameters : dict of str to ndarray, first axis n_component
        Logarithms of length scales and amplitudes (see `_start`).
    solution : ndarray, shape (n_train, n_component)
        Inverse covariance times coefficients.
    """

    features: Features
    inputs: np.ndarray
    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray
    parameters: dict[str, np.ndarray]
    solution: np.ndarray

    def coefficients(
        self, labels: np.ndarray, *, progress: Progress = ignore, cancelled: CancelCheck = never
    ) -> np.ndarray:
        """Return the expected coefficients, shape (n, n_component), of labels (n, n_label)."""
        import torch

        where = torch.tensor(self.features(labels), dtype=torch.float32)
        inputs = torch.tensor(self.inputs, dtype=torch.float32)
        out = np.empty((len(labels), len(self.scale)))
        block = 4096
        with torch.no_grad():
            for k in range(len(self.scale)):
                one = {name: torch.tensor(values[k], dtype=torch.float32) for name, values in self.parameters.items()}
                weight = torch.tensor(self.solution[:, k], dtype=torch.float32)
                for start in range(0, len(where), block):
                    stop_if(cancelled)
                    covariance = _covariance(one, where[start : start + block], inputs, self.features)
                    out[start : start + block, k] = (covariance @ weight).numpy() * self.scale[k]
                progress((k + 1) / len(self.scale), "drawing spectra from the teacher")
        return out

    def left_out(self, flux: np.ndarray, *, cancelled: CancelCheck = never) -> np.ndarray:
        """Return the training spectra (n_train, n_pix) minus what the processes say without the spectrum at hand.

        Leaving a point out of a Gaussian process has a closed form (Rasmussen & Williams 2006, Eq. 5.12).
        """
        import torch

        deviation = flux - self.mean
        residual = deviation - deviation @ self.components.T @ self.components
        inputs = torch.tensor(self.inputs)
        for k, component in enumerate(self.components):
            stop_if(cancelled)
            one = {name: torch.tensor(values[k]) for name, values in self.parameters.items()}
            inverse = torch.linalg.inv(_noisy(one, inputs, self.features)).diagonal().numpy()
            residual += self.scale[k] * (self.solution[:, k] / inverse)[:, None] * component
        return np.asarray(residual, np.float32)

    def flux(self, coefficients: np.ndarray) -> np.ndarray:
        """Turn coefficients into pseudo-normalised spectra, shape (n, n_pix), float32."""
        return (coefficients @ self.components + self.mean).astype(np.float32)


def train_teacher(
    labels: np.ndarray,
    names: tuple[str, ...],
    flux: np.ndarray,
    *,
    n_component: int = 50,
    steps: int = 20,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Teacher:
    """Fit the processes by maximum marginal likelihood.

    Parameters
    ----------
    labels : ndarray, shape (n, n_label)
    names : tuple of str
        Machine names of the labels; ``teff`` and ``fe_h`` must be among them.
    flux : ndarray, shape (n, n_pix)
        Pseudo-normalised spectra without gaps.
    n_component : int
        Principal components that get a process.
    steps : int
        Steps of the optimiser per component; each starts at the one before.
    """
    import torch

    features = Features.fit(labels, names)
    inputs = features(labels)
    mean = flux.mean(0, dtype=float)
    components = np.linalg.svd(flux - mean, full_matrices=False)[2][:n_component]
    coefficients = (flux - mean) @ components.T
    scale = coefficients.std(0)
    where = torch.tensor(inputs)
    current = _start(features)
    found: dict[str, list[np.ndarray]] = {name: [] for name in current}
    solutions = []
    for k in range(len(components)):
        target = torch.tensor(coefficients[:, k] / scale[k])
        current, solution = _fit_component(current, where, target, features, steps * (3 if k == 0 else 1), cancelled)
        for name, value in current.items():
            found[name].append(value.numpy())
        solutions.append(solution)
        progress((k + 1) / len(components), f"teacher: component {k + 1} of {len(components)}")
    parameters = {name: np.array(values) for name, values in found.items()}
    return Teacher(features, inputs, mean, components, scale, parameters, np.array(solutions).T)


def _start(features: Features) -> dict[str, torch.Tensor]:
    """First guess of the logarithms of all length scales (in units of the features' spread) and amplitudes."""
    import torch

    kind = torch.float64
    atmosphere, element = features.n_atmosphere, features.n_element
    return {
        "linear": torch.full((atmosphere + element,), -1.5, dtype=kind),
        "atmosphere_length": torch.full((atmosphere + 1,), 1.0, dtype=kind),
        "atmosphere": torch.tensor(0.0, dtype=kind),
        "element_base_length": torch.full((element, 3), 1.0, dtype=kind),
        "element_length": torch.full((element,), 1.2, dtype=kind),
        "element": torch.full((element,), -2.5, dtype=kind),
        "rest_length": torch.full((atmosphere + element,), 1.8, dtype=kind),
        "rest": torch.tensor(-2.0, dtype=kind),
        "noise": torch.tensor(-3.0, dtype=kind),
    }


def _fit_component(
    start: dict[str, torch.Tensor],
    inputs: torch.Tensor,
    target: torch.Tensor,
    features: Features,
    steps: int,
    cancelled: CancelCheck,
) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """Maximise the marginal likelihood of one component; returns its parameters and the solution vector."""
    import torch

    from processing.labels.adam import Adam

    parameters = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimiser = Adam(list(parameters.values()), rate=0.06)
    for step in range(steps + 1):
        stop_if(cancelled)
        factor = torch.linalg.cholesky(_noisy(parameters, inputs, features))
        solution = torch.cholesky_solve(target[:, None], factor)[:, 0]
        if step == steps:
            break
        loss = 0.5 * target @ solution + factor.diagonal().log().sum()
        loss = loss + _SHRINKAGE * sum((value**2).sum() for value in parameters.values())
        optimiser.step(torch.autograd.grad(loss, list(parameters.values())))
    return {name: value.detach() for name, value in parameters.items()}, solution.detach().numpy()


def _noisy(parameters: dict[str, torch.Tensor], inputs: torch.Tensor, features: Features) -> torch.Tensor:
    """Covariance of the training points with one another, their noise included; shape (n, n)."""
    import torch

    noise = torch.exp(2 * parameters["noise"]) + _JITTER
    return _covariance(parameters, inputs, inputs, features) + noise * torch.eye(len(inputs), dtype=inputs.dtype)


def _covariance(
    parameters: dict[str, torch.Tensor], a: torch.Tensor, b: torch.Tensor, features: Features
) -> torch.Tensor:
    """Covariance of the points `a` (n, n_feature) with `b` (m, n_feature); shape (n, m)."""
    import torch

    atmosphere, element = features.n_atmosphere, features.n_element
    own = atmosphere + element
    slope = torch.exp(parameters["linear"])
    total = (a[:, :own] * slope) @ (b[:, :own] * slope).T

    def bell(columns: list[int], length: torch.Tensor) -> torch.Tensor:
        scale = torch.exp(-length)
        x, y = a[:, columns] * scale, b[:, columns] * scale
        exponent = x @ y.T - 0.5 * (x**2).sum(1)[:, None] - 0.5 * (y**2).sum(1)[None, :]
        return torch.exp(exponent)

    total = total + torch.exp(parameters["atmosphere"]) * bell(
        [*range(atmosphere), own], parameters["atmosphere_length"]
    )
    total = total + torch.exp(parameters["rest"]) * bell(list(range(own)), parameters["rest_length"])
    for x in range(element):
        length = torch.cat([parameters["element_base_length"][x], parameters["element_length"][x : x + 1]])
        total = total + torch.exp(parameters["element"][x]) * bell([0, 1, 2, own + 1 + x], length)
    return total
