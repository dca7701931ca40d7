"""The witness: physical gradients all over the range, from synthetic spectra alone, for `processing.labels.templates`.

Eight reference stars have true gradients: their spectra were synthesised anew for a small step in every label. For
all stars in between, an emulator is asked. It shares nothing with the teacher of the networks but the training
spectra: one kriging of all pixels, no principal components, no fitted amplitudes; and no real star has a part in it.

An emulator of a few hundred spectra knows the strong gradients well (Teff, logg, [Fe/H]: correlation 0.97-0.99 with
the true ones) and drowns the weak ones (Cu: 0.6) in its errors. What the reference stars show is where an element's
lines are. So each pixel's gradient with respect to an element starts from theirs, at the strength that the emulator
gives the element in this star, and follows the emulator as far as its error there is small against how much the
reference stars differ (an empirical-Bayes mean). Stars left out in turn come back with 0.93 on average
(`leave_one_out`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from processing.errors import StellacubeError
from processing.labels.datasets import Grid, SpectraFile, prepare_spectra, read_spectra
from processing.labels.model_file import LabelModel, find_model, load_model, save_model
from processing.labels.names import SYNTHETIC_ORDER, from_training_name
from processing.labels.priors import AbundancePrior
from processing.labels.real_stars import VMIC_TREND
from processing.labels.split import held_back
from processing.labels.templates import DISTANCE_UNITS, Templates
from processing.progress import CancelCheck, Progress, ignore, never, stop_if

STEPS = {"teff": 50.0, "fe_h": 0.05}
"""Steps of the gradients, K and dex; 0.1 for all other labels."""
SOURCE_LSF = "R=10000"
"""Resolution of the synthetic spectra."""
REACH = 3.0
"""No star of the training set's band is farther than this from a template (Eq. 4)."""
BAND = {"teff": (3900.0, 7100.0), "fe_h": (-2.5, 0.5)}
"""Where templates are made, K and dex."""
N_BASIS = 128
"""Common spectra of the templates."""
_DRAWS = 20_000
_ALPHA = ("o_fe", "mg_fe", "si_fe", "ca_fe", "ti_fe")
_ATMOSPHERE = ("teff", "logg", "fe_h", "vmic")


def add_templates(
    model_path: str | Path,
    data_dir: str | Path,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> LabelModel:
    """Give a model file its gradient templates, replacing those it has.

    Parameters
    ----------
    model_path : str or Path
        Model file, or short name of a shipped model; written in place.
    data_dir : str or Path
        Folder with ``synthetic/train_*.npz`` and ``gradients/*.npz``.
    """
    folder = Path(data_dir).expanduser()
    model = with_templates(
        load_model(model_path),
        folder / "synthetic" / "train_*.npz",
        folder / "gradients" / "*.npz",
        progress=progress,
        cancelled=cancelled,
    )
    save_model(model, find_model(model_path))
    return model


def with_templates(
    model: LabelModel,
    spectra: Path,
    gradients: Path,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> LabelModel:
    """Return a model with gradient templates on its own grid, resolution and pseudo-continuum.

    Parameters
    ----------
    model : LabelModel
    spectra, gradients : Path
        Synthetic training spectra and reference stars, with wildcards. Spectra held back from training stay out.
    """
    progress(0.0, "Preparing the physical spectra")
    grid = Grid(model.wave, model.lsf_fwhm, model.continuum, model.frame)
    turn = _own_labels(model.labels)
    prepared = prepare_spectra(read_spectra(spectra), grid, SOURCE_LSF, SYNTHETIC_ORDER, {})
    prepared = prepared.take(~held_back(len(prepared)))
    stars = reference_gradients(gradients, grid, SYNTHETIC_ORDER)
    stop_if(cancelled)
    emulator = Emulator.fit(prepared.labels, SYNTHETIC_ORDER, prepared.flux)
    witness = Witness.of(emulator, stars)
    labels = template_labels(prepared.labels, SYNTHETIC_ORDER)
    labels = labels[_within_reach(labels, model)]
    dense = []
    for i, star in enumerate(labels):
        stop_if(cancelled)
        dense.append(turn.T @ witness.gradients(star))
        progress(0.1 + 0.7 * i / len(labels), f"Gradients of template {i + 1} of {len(labels)}")
    core = labels[:, [SYNTHETIC_ORDER.index(name) for name in DISTANCE_UNITS]]
    names = (*stars.names, *(f"{teff:.0f} K, {logg:.1f}, {iron:+.1f}" for teff, logg, iron in core))
    progress(0.8, "Compressing the templates")
    templates = Templates.of(
        names,
        np.vstack([stars.labels, labels])[:, [SYNTHETIC_ORDER.index(name) for name in model.labels]],
        np.concatenate([turn.T @ stars.gradients(), np.array(dense)]),
        N_BASIS,
    )
    agreement = dict(zip(SYNTHETIC_ORDER, leave_one_out(witness).mean(axis=0), strict=True))
    card = {
        "reference stars": f"{', '.join(stars.names)}: true gradients of the physical model, by finite differences",
        "other stars": f"{len(labels)}, from an emulator of {len(prepared)} synthetic spectra; no real star has a part",
        "independence": "no gradient of these stars had a part in the training of the network",
        "correlation with the true gradient, each reference star left out": {
            name: round(float(agreement[name]), 3) for name in model.labels
        },
    }
    progress(1.0, "Templates are ready")
    return replace(model, templates=templates, card={**model.card, "gradient templates": card})


def _own_labels(names: tuple[str, ...]) -> np.ndarray:
    """Return d(synthetic labels)/d(a model's labels), shape (19, n_label).

    An abundance that the model lacks stays solar; a vmic that it lacks follows Teff and log g, as in its training.
    """
    turn = np.eye(len(SYNTHETIC_ORDER))[:, [SYNTHETIC_ORDER.index(name) for name in names]]
    if "vmic" not in names:
        row = SYNTHETIC_ORDER.index("vmic")
        turn[row, names.index("teff")], turn[row, names.index("logg")] = VMIC_TREND[1:]
    return turn


def _within_reach(labels: np.ndarray, model: LabelModel) -> np.ndarray:
    """Return True for the stars (n, 19) that can be nearest to one within the model's range."""
    near = np.ones(len(labels), bool)
    for name, unit in DISTANCE_UNITS.items():
        values, own = labels[:, SYNTHETIC_ORDER.index(name)], model.labels.index(name)
        near &= (values >= model.label_min[own] - REACH * unit) & (values <= model.label_max[own] + REACH * unit)
    return near


def reference_gradients(pattern: Path, grid: Grid, labels: tuple[str, ...]) -> Templates:
    """Prepare the gradient spectra of physical reference stars as spectra are prepared.

    Each file holds ``base`` (labels) with ``names``, ``flux`` and ``dflux`` (derivatives per unit of each label) on
    ``wave_air``. The gradient of the pseudo-normalised flux follows from the spectrum with and without a small step.

    Raises
    ------
    StellacubeError
        If there are no such files.
    """
    files = sorted(pattern.parent.glob(pattern.name))
    if not files:
        raise StellacubeError(f"There are no gradient spectra at {pattern}.")
    places, gradients = [], []
    steps = _steps(labels)[:, None]
    for file in files:
        with np.load(file, allow_pickle=False) as data:
            names = [from_training_name(str(name)) for name in data["names"]]
            order = [names.index(name) for name in labels]
            flux, slopes = data["flux"].astype(float), data["dflux"][order].astype(float)
            places.append(data["base"][order])
            wave = data["wave_air"]
        moved = np.vstack([flux, flux + steps * slopes])
        source = SpectraFile(("",) * len(moved), {}, {}, wave, "air", moved, np.ones(moved.shape, np.float32))
        prepared = prepare_spectra(source, grid, SOURCE_LSF, labels, {}).flux.astype(float)
        gradients.append((prepared[1:] - prepared[0]) / steps)
    return Templates.of(tuple(file.stem for file in files), np.array(places), np.array(gradients))


def template_labels(training: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Choose stars so that none in the training set's band is farther than `REACH` from one (Eq. 4).

    The band is the training stars with a jitter of 15 % of their spread; the next template is always the star that
    is farthest from all before. Abundances and vmic are what is usual there.

    Parameters
    ----------
    training : ndarray, shape (n, n_label)

    Returns
    -------
    ndarray, shape (n_template, n_label)
    """
    rng = np.random.default_rng(0)
    core = [names.index(name) for name in DISTANCE_UNITS]
    stars = training[rng.integers(len(training), size=_DRAWS)][:, core]
    stars = stars + 0.15 * training[:, core].std(axis=0) * rng.normal(size=stars.shape)
    for column, name in enumerate(DISTANCE_UNITS):
        low, high = BAND.get(name, (-np.inf, np.inf))
        stars = stars[(stars[:, column] >= low) & (stars[:, column] <= high)]
    place = stars / np.array(list(DISTANCE_UNITS.values()))
    chosen = [0]
    distance = np.linalg.norm(place - place[0], axis=1)
    while distance.max() > REACH:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(place - place[chosen[-1]], axis=1))
    labels = np.zeros((len(chosen), len(names)))
    labels[:, core] = stars[chosen]
    labels = AbundancePrior(names, 0.0).expected(labels)
    if "vmic" in names:  # Holtzman et al. 2015
        labels[:, names.index("vmic")] = 2.478 - 0.325 * labels[:, names.index("logg")]
    return np.clip(labels, training.min(axis=0), training.max(axis=0))


@dataclass(frozen=True)
class Emulator:
    """Kriging of pseudo-normalised spectra, all pixels with one covariance.

    The covariance is a sum: linear in all labels; smooth in the atmosphere's labels; for each element smooth in
    (Teff, logg, [Fe/H], [X/H]); and a weak smooth term in everything. Its scales are round values near the maximum
    of the likelihood of the training spectra, where that is flat.

    Parameters
    ----------
    names : tuple of str
    centre, spread : ndarray, shape (n_feature,)
    inputs : ndarray, shape (n, n_feature)
    solution : ndarray, shape (n, n_pix)
        Inverse covariance times the spectra.
    """

    names: tuple[str, ...]
    centre: np.ndarray
    spread: np.ndarray
    inputs: np.ndarray
    solution: np.ndarray

    @classmethod
    def fit(cls, labels: np.ndarray, names: tuple[str, ...], flux: np.ndarray) -> Emulator:
        """Learn spectra (n, n_pix) of labels (n, n_label)."""
        raw = _features(labels, names)
        centre, spread = raw.mean(axis=0), raw.std(axis=0)
        inputs = (raw - centre) / spread
        covariance = _covariance(inputs, inputs, names) + _NOISE**2 * np.eye(len(inputs))
        return cls(names, centre, spread, inputs, np.linalg.solve(covariance, flux - flux.mean(axis=0, dtype=float)))

    def gradients(self, labels: np.ndarray) -> np.ndarray:
        """Return the gradient spectra at one star's labels (n_label,) by central differences: (n_label, n_pix)."""
        steps = _steps(self.names)
        moved = labels + np.vstack([np.diag(steps), -np.diag(steps)])
        inputs = (_features(moved, self.names) - self.centre) / self.spread
        up, down = np.split(_covariance(inputs, self.inputs, self.names), 2)
        return ((up - down) / (2 * steps[:, None])) @ self.solution


_NOISE = 0.11
_LINEAR_ATMOSPHERE, _LINEAR_ELEMENT = 0.3, 0.1
_ATMOSPHERE_AMPLITUDE, _ELEMENT_AMPLITUDE, _REST_AMPLITUDE = 1.2, 0.2, 0.27
_ATMOSPHERE_LENGTHS = (1.2, 1.6, 1.35, 1.7, 2.4)
"""Of Teff, logg, [Fe/H], vmic and mean alpha, in units of the training set's spread, as all lengths."""
_ELEMENT_LENGTHS = (1.06, 1.35, 1.35, 1.35)
_REST_LENGTH = 2.5


def _features(labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Coordinates of the covariance: 5040 / Teff and the atmosphere's other labels, [X/Fe], mean alpha, [X/H]."""
    column = dict(zip(names, np.asarray(labels, float).T, strict=True))
    atmosphere = [5040.0 / column[name] if name == "teff" else column[name] for name in _ATMOSPHERE]
    elements = [column[name] for name in names if name not in _ATMOSPHERE]
    alpha = np.mean([column[name] for name in _ALPHA], axis=0)
    return np.column_stack([*atmosphere, *elements, alpha, *(x + column["fe_h"] for x in elements)])


def _covariance(a: np.ndarray, b: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Covariance of the points a (n, n_feature) with b (m, n_feature); shape (n, m)."""
    n = len(_ATMOSPHERE)
    own = len(names)
    slopes = np.where(np.arange(own) < n, _LINEAR_ATMOSPHERE, _LINEAR_ELEMENT)
    total = (a[:, :own] * slopes**2) @ b[:, :own].T
    total += _ATMOSPHERE_AMPLITUDE * _bell(a, b, [*range(n), own], _ATMOSPHERE_LENGTHS)
    total += _REST_AMPLITUDE * _bell(a, b, list(range(own)), (_REST_LENGTH,) * own)
    for element in range(own - n):
        total += _ELEMENT_AMPLITUDE * _bell(a, b, [0, 1, 2, own + 1 + element], _ELEMENT_LENGTHS)
    return np.asarray(total)


def _bell(a: np.ndarray, b: np.ndarray, columns: list[int], lengths: tuple[float, ...]) -> np.ndarray:
    x, y = a[:, columns] / np.array(lengths), b[:, columns] / np.array(lengths)
    return np.exp(x @ y.T - 0.5 * np.square(x).sum(axis=1)[:, None] - 0.5 * np.square(y).sum(axis=1))


@dataclass(frozen=True)
class Witness:
    """Reference stars and emulator together.

    Parameters
    ----------
    labels : tuple of str
    emulator : Emulator
    stars : ndarray, shape (n_star, n_label)
    true, emulated : ndarray, shape (n_star, n_label, n_pix)
        Gradients of the reference stars by synthesis, and as the emulator gives them.
    """

    labels: tuple[str, ...]
    emulator: Emulator
    stars: np.ndarray
    true: np.ndarray
    emulated: np.ndarray

    @classmethod
    def of(cls, emulator: Emulator, stars: Templates) -> Witness:
        """Compare the emulator with reference stars."""
        emulated = np.array([emulator.gradients(star) for star in stars.labels])
        return cls(emulator.names, emulator, stars.labels, stars.gradients().astype(float), emulated)

    def gradients(self, star: np.ndarray) -> np.ndarray:
        """Return the gradient spectra (n_label, n_pix) at one star's labels (n_label,)."""
        return self._combined(star, self.emulator.gradients(star), np.ones(len(self.stars), bool))

    def _combined(self, star: np.ndarray, emulated: np.ndarray, use: np.ndarray) -> np.ndarray:
        """Start from the reference stars in `use`, the nearer the more, and follow the emulator where it is sure."""
        apart = (_place(self.stars[use], self.labels) - _place(star[None], self.labels)) / _NEAR
        weight = np.exp(-0.5 * np.square(apart).sum(axis=1)) + 1e-6
        weight /= weight.sum()
        true = self.true[use]
        strength = (true * emulated).sum(axis=2) / np.maximum(np.square(true).sum(axis=2), 1e-30)
        scaled = true * np.clip(strength, 0.05, 3.0)[:, :, None]
        usual = np.einsum("s,slp->lp", weight, scaled)
        variety = np.einsum("s,slp->lp", weight, np.square(scaled - usual) + _OWN * np.square(scaled))
        error = np.einsum("s,slp->lp", weight, np.square(self.emulated[use] - true).mean(axis=2, keepdims=True))
        trust = variety / (variety + error + 1e-30)
        trust[[name in DISTANCE_UNITS for name in self.labels]] = 1.0
        return np.asarray(usual + trust * (emulated - usual))


_NEAR = np.array([0.12, 1.5, 0.9])
"""Reference stars speak for others within this much of 5040 / Teff, logg, [Fe/H]."""
_OWN = 0.3
"""Square of the part of a reference star's gradient by which a star like it may differ in any pixel."""


def leave_one_out(witness: Witness) -> np.ndarray:
    """Return how each reference star's gradients, had from the others, correlate with the true: (n_star, n_label)."""
    found = []
    for star in range(len(witness.stars)):
        others = np.arange(len(witness.stars)) != star
        guess = witness._combined(witness.stars[star], witness.emulated[star], others)
        found.append([np.corrcoef(one, two)[0, 1] for one, two in zip(guess, witness.true[star], strict=True)])
    return np.array(found)


def _place(labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    teff, logg, iron = (labels[:, names.index(name)] for name in ("teff", "logg", "fe_h"))
    return np.column_stack([5040.0 / teff, logg, iron])


def _steps(labels: tuple[str, ...]) -> np.ndarray:
    return np.array([STEPS.get(name, 0.1) for name in labels])
