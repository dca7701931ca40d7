"""The whole way from sessions or catalogues to repeated observations, their tables and their figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from processing.catalogue.label_table import LabelTable, names_of, read_label_table
from processing.catalogue.repeat_tables import combined_table, repeatability_table
from processing.catalogue.repeats import Repeatability, Repeats, find_repeats, remarks, repeatability
from processing.catalogue.terms import RADIUS, By
from processing.errors import StellacubeError
from processing.files import prepare_folder, replacing
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if
from processing.session import SUFFIX, Session

if TYPE_CHECKING:
    from astropy.table import Table

    from processing.labels.joint import JointFit
    from processing.labels.model_file import LabelModel
    from processing.settings import Settings
    from processing.spectrum import StarSpectrum


@dataclass(frozen=True)
class RepeatStudy:
    """What repeated observations say.

    Parameters
    ----------
    repeats : Repeats
    found : tuple of Repeatability
        For every label.
    stars : astropy.table.Table
        A row per star (`combined_table`).
    notes : tuple of str
    """

    repeats: Repeats
    found: tuple[Repeatability, ...]
    stars: Table
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> Repeatability:
        """Return one label by its machine name."""
        return next(entry for entry in self.found if entry.name == name)

    @property
    def planner_factors(self) -> dict[str, float]:
        """What the planner multiplies Cramer-Rao bounds by, for the labels where it is known."""
        return {entry.name: entry.planner.value for entry in self.found if entry.planner is not None}


def study_repeats(
    paths: Sequence[Path],
    settings: Settings,
    by: By = "auto",
    radius: float = RADIUS,
    *,
    joint: bool = False,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> RepeatStudy:
    """Find the stars that some sessions or catalogues hold more than once, and measure how well their labels repeat.

    Parameters
    ----------
    paths : sequence of Path
        Sessions, or catalogues in any format; one is enough where it holds spectra from several observations.
    settings : Settings
        `seed`, and for the joint fit `fit` and `preparation`; its model is the sessions' unless `fit.model` names one.
    by, radius
        See `processing.catalogue.matching.match`.
    joint : bool
        Fit the spectra of each star together as well, which needs sessions.
    """
    tables, bounds = [], []
    names = names_of(paths)
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        stop_if(cancelled)
        progress(0.2 * number / len(paths), f"Reading {path.name}")
        tables.append(read_label_table(path, name=name))
        if path.suffix == SUFFIX:
            bounds.append(session_bounds(path, tables[-1]))
    repeats = find_repeats(tables, by, radius, bounds)
    progress(0.2, f"Measuring how well the labels of {repeats.n_star} stars repeat")
    found = repeatability(repeats, settings.seed)
    fits: list[JointFit | None] = []
    if joint:
        from processing.labels.model_file import load_model

        model = load_model(settings.fit.model or tables[0].model)
        fits = fit_repeats(repeats, paths, model, settings, progress=part(progress, 0.3, 1.0), cancelled=cancelled)
    models = {table.model for table in tables if table.model}
    notes = remarks(repeats, found)
    if len(models) > 1:
        notes += (f"The labels come from different models ({', '.join(sorted(models))}): they differ by these, too.",)
    if _share_a_cube(repeats, tables):
        notes += ("Some measurements of a star come from one cube and share its noise: factors come out too small.",)
    progress(1.0, "Done")
    return RepeatStudy(repeats, found, combined_table(repeats, fits), notes)


def write_study(study: RepeatStudy, folder: Path, name: str = "repeats") -> tuple[Path, ...]:
    """Write ``NAME_stars.ecsv``, ``NAME_repeatability.ecsv`` and ``NAME.png`` into a folder; return their paths."""
    from processing.catalogue.figures import repeats_figure, save

    prepare_folder(folder)
    paths = (folder / f"{name}_stars.ecsv", folder / f"{name}_repeatability.ecsv", folder / f"{name}.png")
    for table, path in ((study.stars, paths[0]), (repeatability_table(study.found), paths[1])):
        with replacing(path) as temporary:
            table.write(temporary, format="ascii.ecsv", delimiter=",", overwrite=True)
    save(repeats_figure(study.repeats, study.found), paths[2])
    return paths


def _share_a_cube(repeats: Repeats, tables: Sequence[LabelTable]) -> bool:
    """Tell whether two measurements of a star come from the same cube, analysed in two ways."""
    cubes = np.array([tables[t].cube[row] for t, row in repeats.rows])
    return any(len(set(known)) < len(known) for s in repeats.members() for known in [[c for c in cubes[s] if c]])


def session_bounds(path: Path, table: LabelTable) -> dict[str, np.ndarray]:
    """Return the Cramer-Rao bounds of a session's spectra by label, in the order of the table's rows."""
    with Session.open(path, read_only=True) as session:
        fits = {fit.star_id: fit for fit in session.fits() if fit.bound is not None}
    if not fits:
        return {}
    labels = next(iter(fits.values())).labels
    found = np.full((len(table), len(labels)), np.nan)
    for row, name in enumerate(table.star_id.tolist()):
        if name in fits:
            found[row] = fits[name].bound
    return dict(zip(labels, found.T, strict=True))


def fit_repeats(
    repeats: Repeats,
    paths: Sequence[Path],
    model: LabelModel,
    settings: Settings,
    *,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> list[JointFit | None]:
    """Fit the spectra of each repeated star together.

    Parameters
    ----------
    repeats : Repeats
    paths : sequence of Path
        The sessions, in the order in which `find_repeats` had their catalogues.

    Raises
    ------
    StellacubeError
        If one of them is no session: catalogues hold no spectra.
    """
    from processing.labels.joint import fit_joint

    spectra: dict[int, StarSpectrum] = {}
    for number, path in enumerate(paths):
        if path.suffix != SUFFIX:
            raise StellacubeError(f"{path.name} holds no spectra for a joint fit.", "Give sessions (.stellacube).")
        with Session.open(path, read_only=True) as session:
            for i in np.flatnonzero(repeats.rows[:, 0] == number).tolist():
                stop_if(cancelled)
                spectra[i] = session.spectrum(str(repeats.star_id[i]))
        progress(0.1 * (number + 1) / len(paths), "Reading the spectra")
    stars = [[spectra[i] for i in members.tolist()] for members in repeats.members()]
    return fit_joint(stars, model, settings, progress=part(progress, 0.1, 1.0), cancelled=cancelled)
