"""A tiny random model that is valid in every part: for tests that need one, not a particular one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from processing.labels.model_file import LabelModel
from processing.labels.names import SYNTHETIC_ORDER
from processing.labels.network import Network
from processing.labels.templates import Templates
from processing.preparation.continuum import ContinuumOperator

LABEL_MIN = np.array([3800.0, 0.0, -2.5, 0.5] + [-0.5] * 15)
LABEL_MAX = np.array([7200.0, 5.0, 0.5, 2.5] + [0.5] * 15)


def tiny_network(n_pix: int = 300, n_hidden: int = 24, n_unit: int = 8, n_label: int = 19, seed: int = 1) -> Network:
    """Return a network with random weights whose spectra scatter by a few per cent around 1."""
    rng = np.random.default_rng(seed)
    sizes = (n_label, n_hidden, n_hidden, n_unit)
    centres = np.linspace(0, n_pix, 4 * n_unit, endpoint=False) + n_pix / (8 * n_unit)
    lines = np.exp(-0.5 * ((np.arange(n_pix)[:, None] - centres) / 2.5) ** 2)
    return Network(
        label_center=((LABEL_MIN + LABEL_MAX) / 2)[:n_label],
        label_scale=(LABEL_MAX - LABEL_MIN)[:n_label],
        weights=tuple((rng.normal(size=(o, i)) / np.sqrt(i) * 1.5).astype(np.float32) for i, o in pairwise(sizes)),
        biases=tuple(rng.normal(size=o, scale=0.5).astype(np.float32) for o in sizes[1:]),
        basis=(lines @ rng.normal(size=(4 * n_unit, n_unit), scale=0.03)).astype(np.float32),
        offset=(1.0 - lines @ rng.uniform(0.02, 0.2, 4 * n_unit)).astype(np.float32),
    )


def tiny_model(wave_min: float = 5000.0, wave_max: float = 5360.0, n_label: int = 19, seed: int = 1) -> LabelModel:
    """Return a valid model of random weights on a grid of 1e-4 dex."""
    wave = 10 ** np.arange(np.log10(wave_min), np.log10(wave_max), 1e-4)
    rng = np.random.default_rng(seed)
    network = tiny_network(len(wave), n_label=n_label, seed=seed)
    low, high = LABEL_MIN[:n_label], LABEL_MAX[:n_label]
    labels = rng.uniform(low, high, (200, n_label))
    stars = labels[:2]
    return LabelModel(
        name="tiny",
        version="0",
        role="test",
        labels=SYNTHETIC_ORDER[:n_label],
        label_min=low,
        label_max=high,
        wave=wave,
        frame="air",
        lsf_fwhm=wave / 1800,
        continuum=ContinuumOperator(),
        mask=np.ones(len(wave), bool),
        network=network,
        scatter=np.full(len(wave), 0.002),
        training_labels=labels.astype(np.float32),
        templates=Templates.of(("one", "two"), stars, network.flux_and_jacobian(stars)[1].transpose(0, 2, 1)),
        card={
            "description": "Random weights, for tests.",
            "training": "none",
            "validation": {"none": 0},
            "licence": "BSD-3-Clause",
            "citation": ["none"],
        },
    )
