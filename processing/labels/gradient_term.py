"""The gradient term of a training's loss: how spectra change with each label is held to what physics says.

In the Galaxy [Mg/Fe] follows [Fe/H], so that a network which only sees spectra of stars may read magnesium from the
lines of iron. The loss therefore has a second term (Ting et al. 2017, ApJ 849, L9; Xiang et al. 2019, ApJS 245, 34)

    mean over labels of  < |df_NN/dl - df_phys/dl|^2 > / < |df_phys/dl|^2 >

with averages over stars drawn in the range of the training set: relative for each label, so that copper's few lines
count as much as what the temperature does. The physical gradients are the exact Jacobian of a label model that rests
on synthetic spectra. All is done in the space of the bottleneck's few coefficients; the student's own Jacobian is
carried forward through its layers by hand (``torch.func`` is slower and fails in a frozen bundle).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import StellacubeError
from processing.labels.role import RoleSettings, for_role
from processing.labels.student import draw_labels
from processing.labels.templates import Templates
from processing.preparation.lsf import degrading_resampler

if TYPE_CHECKING:
    import torch

    from processing.labels.datasets import Grid
    from processing.labels.model_file import LabelModel

LEFT_OUT = 0.01
"""Share of any label's physical gradients that the basis may leave out."""
FAINTEST = 3e-3
"""Of the strongest label's gradient: what is weaker counts as if it were as strong as this."""
FEWEST = 0.2
"""Share of the drawn stars that must lie within the gradient model's range, and of the pixels that it must cover."""
BEYOND = 0.05
"""How far stars may lie beyond that range, of its width: their gradients are those at its border."""


@dataclass(frozen=True)
class GradientSettings:
    """The gradient term of a training: physical gradients, and how much they count."""

    model: str = ""
    """Label model whose gradients are the physical ones: a file, relative to the configuration's, or the short name of
    a shipped model; empty: no gradient term."""
    labels: tuple[str, ...] = ()
    """Labels that the term acts on; empty: all that both have."""
    weight: float = 0.3
    """Of the term, over the loss of the spectra: both are 1 for a network that has learned nothing."""
    every: int = 2
    """Steps from one evaluation of the term to the next."""
    stars: int = 24
    """Stars of one evaluation."""
    draws: int = 4000
    """Label vectors, drawn in the range of the training set, from which those stars are taken."""
    reach: float = 0.3
    """How far beyond those of the training set abundances are drawn, dex, within the range of the
    gradient model; the network may then be used as far."""
    components: int = 40
    """At most so many spectra join the principal components of the data, which may lack what a single element does."""


@dataclass(frozen=True)
class PhysicalGradients:
    """Gradients of a physical model on a training's wavelengths, as combinations of a few spectra.

    Parameters
    ----------
    settings : GradientSettings
    label_min, label_max : ndarray, shape (n_label,)
        Range of the training set, that of abundances widened as far as they are drawn: where its network may be used.
    labels : ndarray, shape (n, n_label)
        Where they hold, in the training's labels.
    columns : ndarray of int, shape (m,)
        Which of the training's labels they belong to.
    coefficients : ndarray, shape (m, n, k)
        Per half of the label's range, as all gradients here.
    spectra : ndarray, shape (n_pix, k)
        What the coefficients multiply; 0 in pixels that are not known.
    known : ndarray of bool, shape (n_pix,)
        Pixels for which the model has gradients and the training has data.
    templates : Templates
        The model's gradient templates in the training's labels; none where they do not cover all its pixels.
    """

    settings: GradientSettings
    label_min: np.ndarray
    label_max: np.ndarray
    labels: np.ndarray
    columns: np.ndarray
    coefficients: np.ndarray
    spectra: np.ndarray
    known: np.ndarray
    templates: Templates

    @classmethod
    def of(
        cls,
        model: LabelModel,
        settings: GradientSettings,
        names: tuple[str, ...],
        grid: Grid,
        training: np.ndarray,
        used: np.ndarray,
        rng: np.random.Generator,
    ) -> PhysicalGradients:
        """Take a model's gradients at labels drawn as the training set has them.

        Parameters
        ----------
        model : LabelModel
        settings : GradientSettings
        names : tuple of str
            Labels of the training.
        grid : Grid
            Of the training.
        training : ndarray, shape (n_star, n_label)
            Labels of its stars.
        used : ndarray of bool, shape (n_pix,)
            Pixels in which any of its spectra has data.

        Raises
        ------
        StellacubeError
            If the model cannot say anything about such a training.
        """
        acting = _acting(model, settings, names)
        # What the training does not know is solar, and vmic follows Teff and log g.
        model = for_role(model, RoleSettings(tied=tuple(name for name in model.labels if name not in names)))
        matrix, covered = _onto(grid, model)
        places = draw_labels(training, names, settings.draws, rng)
        places = places[_within(places, names, model)]
        if len(places) < FEWEST * settings.draws:
            raise StellacubeError(
                f"Only {len(places) / settings.draws:.0%} of the training's stars lie within the range of the gradient "
                f"model {model.name}.",
                "Choose a model that was made for such stars, or leave the section [gradient] out.",
            )
        low, high = training.min(axis=0), training.max(axis=0)
        for name in (name for name in acting if name.endswith("_fe")):
            i, j = names.index(name), model.labels.index(name)
            low[i] = min(low[i], max(low[i] - settings.reach, model.label_min[j]))
            high[i] = max(high[i], min(high[i] + settings.reach, model.label_max[j]))
            places[:, i] += rng.uniform(-settings.reach, settings.reach, len(places))
            places[:, i] = np.clip(places[:, i], low[i], high[i])
        asked = np.zeros((len(places), len(model.labels)))
        for i, name in enumerate(model.labels):
            asked[:, i] = np.clip(places[:, names.index(name)], model.label_min[i], model.label_max[i])
        columns = np.array([names.index(name) for name in acting])
        slopes = model.network.hidden(asked)[1][:, :, [model.labels.index(name) for name in acting]].astype(float)
        slopes *= ((high - low) / 2)[columns]
        known = covered & used
        return cls(
            settings=settings,
            label_min=low,
            label_max=high,
            labels=places,
            columns=columns,
            coefficients=slopes.transpose(2, 0, 1),
            spectra=np.where(known[:, None], matrix @ model.network.basis.astype(float), 0.0),
            known=known,
            templates=_templates(model, names, matrix) if covered.all() else Templates.none(len(names), len(used)),
        )

    def missing(self, basis: np.ndarray) -> np.ndarray:
        """Find the orthonormal spectra that hold best what a basis leaves out of the gradients.

        Parameters
        ----------
        basis : ndarray, shape (n_pix, n)
            Orthonormal.

        Returns
        -------
        ndarray, shape (n_pix, n_more)
            Orthonormal, and to the basis too; as many as leave no more than `LEFT_OUT` out of any label, within the
            settings' limit.
        """
        q, r = np.linalg.qr(self.spectra - basis @ (basis.T @ self.spectra))
        moments = self.coefficients.transpose(0, 2, 1) @ self.coefficients / len(self.labels)
        # Each label alike, however weak its lines.
        left = r @ moments @ r.T / self._sizes()[:, None, None] ** 2
        turn = np.linalg.eigh(left.sum(axis=0))[1][:, ::-1]
        shares = np.einsum("kj,mkl,lj->mj", turn, left, turn, optimize=True)
        # What each label lacks with no, one, two.. of these spectra.
        lacks = shares.sum(axis=1, keepdims=True) - np.pad(np.cumsum(shares, axis=1), ((0, 0), (1, 0)))
        enough = int(np.argmax(lacks.max(axis=0) < LEFT_OUT))
        return q @ turn[:, : min(enough, self.settings.components)]

    def scales(self) -> np.ndarray:
        """Return units of all labels (n_label,) in which a step in any of them changes the spectrum as much.

        Otherwise a network must learn first how little copper does, and to a hundredth of what the temperature does.
        """
        units, sizes = (self.label_max - self.label_min) / 2, self._sizes()
        units[self.columns] *= sizes.max() / sizes
        return units

    def loss(self, basis: np.ndarray, centre: np.ndarray, scale: np.ndarray, level: float) -> GradientLoss:
        """Return the term for a student of spectra on a basis.

        Parameters
        ----------
        basis : ndarray, shape (n_pix, n_unit)
        centre, scale : ndarray, shape (n_label,)
            The student sees ``(labels - centre) / scale``.
        level : float
            What it takes as one unit of the coefficients on the basis.
        """
        # Differences in the known pixels alone: |B x - g| there is |R x - Q^T g| and a constant, with Q R = B there.
        q, r = np.linalg.qr(np.where(self.known[:, None], basis, 0.0))
        units = 2 * scale / (self.label_max - self.label_min) / level
        weight = 1 / (self._sizes() * units[self.columns])[:, None, None]
        target = self.coefficients @ (self.spectra.T @ q) / self._sizes()[:, None, None]
        return GradientLoss(self.settings, (self.labels - centre) / scale, self.columns, target, r.T, weight)

    def _sizes(self) -> np.ndarray:
        """Rms length over the stars of each label's gradients, shape (m,)."""
        lengths = np.linalg.norm(self.coefficients @ np.linalg.qr(self.spectra)[1].T, axis=2)
        sizes = np.sqrt(np.square(lengths).mean(axis=1))
        return np.maximum(sizes, FAINTEST * sizes.max())


class GradientLoss:
    """The term as a training evaluates it, in torch and in the units of the student.

    Parameters
    ----------
    settings : GradientSettings
    x : ndarray, shape (n, n_label)
        Scaled labels.
    columns : ndarray of int, shape (m,)
        Those that are varied.
    target : ndarray, shape (m, n, k)
        Physical gradients times `weight`.
    turn : ndarray, shape (n_unit, k)
        Takes the student's units to those of the target.
    weight : ndarray, shape (m, 1, 1)
    """

    def __init__(
        self,
        settings: GradientSettings,
        x: np.ndarray,
        columns: np.ndarray,
        target: np.ndarray,
        turn: np.ndarray,
        weight: np.ndarray,
    ) -> None:
        import torch

        self.settings, self.columns = settings, torch.tensor(columns)
        self.x, self.target, self.turn, self.weight = (
            torch.tensor(array, dtype=torch.float32) for array in (x, target, turn, weight)
        )

    def of(self, parameters: list[torch.Tensor], stars: torch.Tensor | slice) -> torch.Tensor:
        """Return the mean over labels and some stars of the relative squared difference, to be differentiated."""
        found = jacobian(parameters, self.x[stars], self.columns, self.turn) * self.weight
        return (found - self.target[:, stars]).square().sum(2).mean()


def jacobian(
    parameters: list[torch.Tensor], x: torch.Tensor, columns: torch.Tensor, turn: torch.Tensor
) -> torch.Tensor:
    """Exact derivatives of a SiLU network's output with respect to some of its inputs, by forward-mode tangents.

    Parameters
    ----------
    parameters : list of Tensor
        Weights (n_out, n_in) and biases (n_out,), alternating.
    x : Tensor, shape (n, n_in)
    columns : Tensor of int, shape (m,)
        Inputs that are varied.
    turn : Tensor, shape (n_out, k)
        Applied to the output.

    Returns
    -------
    Tensor, shape (m, n, k)
    """
    import torch

    tangents = parameters[0].T[columns][:, None]
    for i in range(0, len(parameters) - 2, 2):
        before = torch.addmm(parameters[i + 1], x, parameters[i].T)
        sigmoid = torch.sigmoid(before)
        if i:
            tangents = tangents @ parameters[i].T
        tangents = tangents * (sigmoid * (1 + before * (1 - sigmoid)))
        x = before * sigmoid
    return tangents @ (parameters[-2].T @ turn)


def _acting(model: LabelModel, settings: GradientSettings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels that the term acts on, in the training's order."""
    both = tuple(name for name in names if name in model.labels)
    unknown = [name for name in settings.labels if name not in both]
    if unknown:
        raise StellacubeError(
            f"The gradient term cannot act on {unknown[0]}: the training or the gradient model {model.name} lacks it.",
            f"Both have {', '.join(both)}.",
        )
    return tuple(name for name in both if not settings.labels or name in settings.labels)


def _within(places: np.ndarray, names: tuple[str, ...], model: LabelModel) -> np.ndarray:
    """Return True for labels (n, n_label) whose atmosphere lies within a model's range."""
    inside = np.ones(len(places), bool)
    for name, low, high in zip(model.labels, model.label_min, model.label_max, strict=True):
        if not name.endswith("_fe"):
            values, margin = places[:, names.index(name)], BEYOND * (high - low)
            inside &= (values >= low - margin) & (values <= high + margin)
    return inside


def _onto(grid: Grid, model: LabelModel) -> tuple[np.ndarray, np.ndarray]:
    """Return the operator (n_pix, n_model) that brings a model's spectra to a grid, and the pixels that it reaches.

    Raises
    ------
    StellacubeError
        If the model's spectra are not what the training's are: another pseudo-continuum, less resolution, too few
        of the wavelengths.
    """
    from scipy.sparse import diags_array, eye_array

    if model.continuum != grid.continuum or model.frame != grid.frame:
        raise StellacubeError(
            f"The gradient model {model.name} has another pseudo-continuum than the training, or is in vacuum.",
            f"Its section [continuum] would be: {vars(model.continuum)}.",
        )
    if np.array_equal(model.wave, grid.wave) and np.allclose(model.lsf_fwhm, grid.lsf_fwhm):
        return eye_array(grid.wave.size).tocsr(), model.mask
    resampler, _, coarser = degrading_resampler(model.wave, model.lsf_fwhm, grid.wave, grid.lsf_fwhm)
    share = resampler.matrix.sum(axis=1)
    covered = (share > 0.99) & (np.interp(grid.wave, model.wave, model.mask) == 1)
    if (coarser & covered).any():
        raise StellacubeError(
            f"The gradient model {model.name} has less resolution than the training is to have.",
            "Name a coarser line spread function in [grid], or a gradient model that is sharp enough.",
        )
    if covered.mean() < FEWEST:
        raise StellacubeError(
            f"The gradient model {model.name} covers {covered.mean():.0%} of the training's wavelengths: it has "
            f"{model.wave[0]:.0f}-{model.wave[-1]:.0f} A."
        )
    return diags_array(np.where(covered, 1 / np.maximum(share, 0.5), 0.0)) @ resampler.matrix, covered


def _templates(model: LabelModel, names: tuple[str, ...], matrix: np.ndarray) -> Templates:
    """Return a model's gradient templates on other wavelengths, 0 for labels that it does not know."""
    given, own = model.templates, [names.index(name) for name in model.labels]
    labels, coefficients = (np.zeros((len(given.names), len(names), *rest)) for rest in ((), given.basis.shape[:1]))
    labels[:, own], coefficients[:, own] = given.labels, given.coefficients
    basis = (matrix @ given.basis.T.astype(float)).T
    return Templates(given.names, labels, coefficients.astype(np.float32), basis.astype(np.float32))
