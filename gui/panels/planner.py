"""The planner: how long must we expose to get this label to this precision for these stars.

Magnitude, exposure, precision: two are given, the third answers itself while you type. The table says for every label
what its target needs and what it gets; the ticked labels decide, and the hardest of them is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, Signal, Slot
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication, QPainter, QPixmap, QShowEvent
from PySide6.QtWidgets import QFileDialog, QWidget

from gui.panels.planner_canvas import Measured, Scene, current_theme
from gui.panels.planner_fields import table_of
from gui.panels.planner_form import PlannerForm
from gui.panels.planner_table import TableContent
from gui.panels.planner_yields import CutCosts
from gui.theme import Theme
from processing.errors import StellacubeError
from processing.labels.model_file import LabelModel, list_models, load_model
from processing.planning import questions, report
from processing.planning.formulas import TABLE_3, PrecisionLaw
from processing.planning.information import (
    RANGES,
    InformationLaw,
    abundance_priors,
    cut_costs,
    model_law,
    model_reach,
    star_labels,
)
from processing.planning.questions import Exposure, Plan, Wishes
from processing.planning.yields import StarSample, mean_errors, read_magnitudes, round_up, star_sample, star_yield
from processing.preparation.air import in_frame

if TYPE_CHECKING:
    from processing.catalogue.table import Catalogue

PRIOR = 0.3
"""Width of the prior on every [X/Fe] when it is switched on, dex: that of the fit."""
CUTS = ("ao", "dichroic", "bulge")


class PlannerPanel(PlannerForm):
    """The planner's panel; it computes at once whatever is changed, on the GUI thread, in a few milliseconds."""

    answered = Signal(object)
    """The new `Plan`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.answer: Plan | None = None
        self._model: LabelModel | None = None
        self._network: InformationLaw | None = None
        self._network_fault = ""
        self._costs_known = False
        self._factors: Mapping[str, float] = {}
        self._measured: Measured | None = None
        self._sample: StarSample | None = None
        self._targets: dict[str, float] = {}
        self._unticked: set[str] = set()
        self._asked_for_model = False
        self._theme: Theme = current_theme()
        self.setAcceptDrops(True)
        self._connect()
        self._take_theme()
        self.recompute()

    # What the window hands over ------------------------------------------------------------------------------------

    def set_model(self, model: LabelModel | None) -> None:
        """Show what another network allows beside the formula; None: the formula alone."""
        self._asked_for_model = True
        self._model = model
        self._recompute_network()

    def set_factors(self, factors: Mapping[str, float]) -> None:
        """Use measured factors of real errors over the bound (Eq. 10), by label, in place of the typed one."""
        self._factors = dict(factors)
        self._recompute_network()

    def set_measured(
        self,
        snr: np.ndarray,
        mag: np.ndarray,
        time: float = float("nan"),
        errors: Mapping[str, np.ndarray] | None = None,
        band: str = "V",
    ) -> None:
        """Overlay stars that the program has measured, as a check of the formula.

        Parameters
        ----------
        snr, mag : ndarray, shape (n_star,)
            SNR per 1.25 A pixel and V magnitude.
        time : float
            Exposure time of their cube in s; NaN when unknown.
        errors : mapping of str to ndarray, shape (n_star,), optional
            1-sigma errors by label.
        band : str
            Name of the magnitudes; they are taken as V.
        """
        self._measured = Measured(np.asarray(snr, float), np.asarray(mag, float), time, dict(errors or {}), band)
        self.recompute()

    def set_catalogue(self, catalogue: Catalogue | None, time: float = float("nan")) -> None:
        """Overlay the stars of a catalogue, from a cube of `time` seconds; None: take the overlay away.

        The pipeline's errors are too small, so that the SNR is divided by each star's `error_scale`: the formula knows
        nothing of correlated pixels, and the catalogue's errors are rescaled in the same way.
        """
        self._measured = None
        if catalogue is None:
            self.recompute()
            return
        columns = {name: np.asarray(catalogue.table[name]) for name in catalogue.table.colnames}
        scale = columns["error_scale"]
        snr = columns["snr_muse"] / np.where(scale > 0, scale, 1.0)
        errors = {name: columns[f"{name}_err_cal"] for name in catalogue.labels}
        self.set_measured(snr, columns[catalogue.magnitude], time, errors, catalogue.magnitude)

    def set_stars(self, sample: StarSample | np.ndarray | None) -> None:
        """Plan for a whole list of V magnitudes; None: for one star."""
        try:
            self._sample = star_sample(sample) if isinstance(sample, np.ndarray) else sample
        except StellacubeError as error:
            self.say(str(error), wrong=True)
            return
        self.show_plot("stars")
        self.recompute()

    def open_star_list(self, path: str | Path) -> None:
        """Read the magnitudes of a star list and plan for them."""
        try:
            self.set_stars(read_magnitudes(path))
        except StellacubeError as error:
            self.say(str(error), wrong=True)

    # What the user takes away --------------------------------------------------------------------------------------

    @Slot()
    def copy_sentence(self) -> None:
        """Put the paragraph for the proposal on the clipboard."""
        if self.answer is not None:
            QGuiApplication.clipboard().setText(report.sentence(self.answer, self.source))
            self.say("Copied.")

    def export_csv(self, path: str | Path) -> None:
        """Write the table to a CSV file."""
        if self.answer is not None:
            report.write_csv(self.answer, path, self.source, None if self.uses_network else self._network)

    def export_png(self, path: str | Path) -> None:
        """Write the plot that is shown to a PNG file, at twice the screen's resolution."""
        plot = self.current_plot
        image = QPixmap(plot.size() * 2)
        image.fill(self._theme.panel)
        painter = QPainter(image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        plot.render(painter)
        painter.end()
        if not image.save(str(path), "PNG"):
            raise StellacubeError(f"The picture {path} cannot be written.", "Choose another folder.")

    @property
    def source(self) -> str:
        """Where the precision shown comes from, in words."""
        if not (self.uses_network and self._model is not None):
            return report.CITATION
        star = self.star
        return report.network_source(self._model, *star, self.wave_range, self.factor.value())

    # Computing -----------------------------------------------------------------------------------------------------

    @property
    def uses_network(self) -> bool:
        """True while the network answers instead of the formula."""
        return self.sources.current == "network" and self._network is not None

    @property
    def law(self) -> PrecisionLaw:
        """What turns SNR into errors: the formula, or the network."""
        return self._network if self.uses_network and self._network is not None else TABLE_3

    @Slot()
    def recompute(self) -> None:
        """Answer the question that the inputs ask, and show the answer."""
        law = self.law
        wishes = Wishes(
            targets={name: value for name, value in self._targets.items() if name in law.labels},
            counted=[name for name in law.labels if name not in self._unticked],
            scale=self.scale.value(),
            floors=self._floors(law),
        )
        exposure = Exposure(round(self.count.value()), self.dit.value())
        asked = self.questions.current
        try:
            answer = questions.plan(
                None if asked == "magnitude" else self.mag.value(),
                None if asked == "time" else exposure,
                wishes, dit=exposure.dit, law=law,
            )  # fmt: skip
        except StellacubeError as error:
            self.say(str(error), wrong=True)
            return
        self.answer = answer
        self._show(answer)
        self.answered.emit(answer)

    def _floors(self, law: PrecisionLaw) -> dict[str, float]:
        """Return the systematic floor by label: dex for all, and for Teff the same in units of 100 K."""
        value = self.floor.value()
        return {name: value * (100.0 if name == "teff" else 1.0) for name in law.labels} if value else {}

    def _show(self, answer: Plan) -> None:
        with self.silently():
            if answer.question == "time":
                self.count.setValue(answer.exposure.count)
            if answer.question == "magnitude":
                self.mag.setValue(answer.mag)
            self.slider.setValue(round(100 * answer.mag))
            self.total.setText(report.format_time(answer.exposure.time))
        self.headline.setText(report.headline(answer))
        self.table.show(self._content(answer))
        self.set_notes(self._notes(answer))
        self.redraw()

    def _content(self, answer: Plan) -> TableContent:
        network = questions.beside(answer, None if self.uses_network else self._network)
        mean, count = np.full(len(answer.labels), np.nan), np.zeros(len(answer.labels), int)
        if self._sample is not None:
            count, mean = mean_errors(
                self._sample, answer.exposure.time, self.law, answer.targets,
                scale=answer.wishes.scale, floor=answer.floors,
            )  # fmt: skip
        self.show_columns(network=bool(np.isfinite(network).any()), mean=self._sample is not None)
        return TableContent(answer, network, mean, count)

    def _notes(self, answer: Plan) -> list[str]:
        notes = []
        if answer.extrapolated:
            notes.append("Extrapolated: V or SNR lies outside the band in which the formulas are trusted.")
        if self._network_fault:
            notes.append(self._network_fault)
        elif self._network is not None and self._network.note:
            notes.append(self._network.note)
        if self._sample is not None:
            notes.append(self._yield_text(answer, self._sample))
        measured = self._measured
        if measured is not None and np.isfinite(ratio := measured.snr_ratio()):
            taken = "" if measured.band == "V" else f" ({measured.band} taken as V)"
            notes.append(f"{measured.snr.size} measured stars{taken} have {ratio:.2f} times the formula's SNR.")
        return notes

    def _yield_text(self, answer: Plan, sample: StarSample) -> str:
        stars = star_yield(sample, answer.snr_needed[answer.labels.index(answer.worst)], answer.wishes.scale)
        part = self.share.value() / 100.0
        time = stars.time_for(max(round(part * len(sample)), 1))
        exposure = Exposure(round_up(time, answer.exposure.dit), answer.exposure.dit) if time else None
        origin = f" ({sample.column} of {sample.source} taken as V)" if sample.source else ""
        left_out = f"; {sample.n_unusable} without a magnitude left out" if sample.n_unusable else ""
        return (
            f"{stars.count(answer.exposure.time)} of {len(sample)} stars{origin} reach the targets{left_out}. "
            f"{self.share.value():.0f} % need {report.format_time(time)}, as {exposure}."
        )

    @Slot()
    def _recompute_network(self) -> None:
        """Ask the network again, after another star, range or model."""
        self._network, self._network_fault, self._costs_known = None, "", False
        if self._model is not None:
            try:
                self._network = model_law(
                    self._model, *self.star, wave_range=self.wave_range,
                    shape="flat" if self.flat.isChecked() else "photons",
                    priors=abundance_priors(self._model.labels, PRIOR if self.prior.isChecked() else 0.0),
                    factor=self._factors or self.factor.value(),
                )  # fmt: skip
            except StellacubeError as error:
                self._network_fault = str(error)
        self.sources.button("network").setEnabled(self._model is not None)
        self.recompute()

    def _costs(self, model: LabelModel) -> CutCosts:
        """Return what each cut of the range costs the chosen star."""
        use, _ = model_reach(model, RANGES["nominal"])
        wave = in_frame(model.wave, model.frame, "air")
        gradient = model.network.flux_and_jacobian(star_labels(model, *self.star)[None])[1][0]
        left = {RANGES[name].title: RANGES[name].contains(wave) for name in CUTS}
        teff, logg, fe_h = self.star
        costs = cut_costs(
            np.asarray(gradient, float), model.labels, wave, use, left,
            shape="flat" if self.flat.isChecked() else "photons", teff=teff,
        )  # fmt: skip
        return CutCosts(model.labels, costs, f"Teff {teff:.0f} K, log g {logg:g}, [Fe/H] {fe_h:g}; model {model.name}")

    # Drawing and events --------------------------------------------------------------------------------------------

    @Slot()
    def redraw(self) -> None:
        """Draw the plot that is shown; the others wait until they are."""
        if self.current_plot is self.cuts and not self._costs_known:
            self.cuts.set_costs(self._costs(self._model) if self._model is not None and self._network else None)
            self._costs_known = True
        if self.answer is not None:
            self.current_plot.show_scene(
                Scene(self.answer, self.law, self._theme, self._measured, self._sample, self.chosen_label)
            )

    def _connect(self) -> None:
        self.changed.connect(self.recompute)
        self.network_changed.connect(self._recompute_network)
        self.plot_changed.connect(self.redraw)
        self.table.target_changed.connect(self._on_target)
        self.table.counted_changed.connect(self._on_counted)
        self.copy.clicked.connect(self.copy_sentence)
        self.csv.clicked.connect(self._on_csv)
        self.png.clicked.connect(self._on_png)
        self.open_list.clicked.connect(self._on_open)

    @Slot(str, float)
    def _on_target(self, label: str, value: float) -> None:
        self._targets[label] = value
        self.recompute()

    @Slot(str, bool)
    def _on_counted(self, label: str, counts: bool) -> None:
        (self._unticked.discard if counts else self._unticked.add)(label)
        self.recompute()

    @Slot()
    def _on_csv(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the table", "plan.csv", "Table (*.csv)")
        if name:
            self._attempt(self.export_csv, name)

    @Slot()
    def _on_png(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the plot", "plan.png", "Picture (*.png)")
        if name:
            self._attempt(self.export_png, name)

    @Slot()
    def _on_open(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a star list with V magnitudes")
        if name:
            self.open_star_list(name)

    def _attempt(self, export: Callable[[str], None], name: str) -> None:
        try:
            export(name)
        except StellacubeError as error:
            self.say(str(error), wrong=True)
        else:
            self.say(f"Written: {Path(name).name}.")

    def _take_theme(self) -> None:
        self._theme = current_theme()
        self.table.set_theme(self._theme, self.devicePixelRatioF())
        self.outline_boxes(self._theme)
        self.redraw()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the application from light to dark and back."""
        super().changeEvent(event)
        changes = (QEvent.Type.PaletteChange, QEvent.Type.StyleChange)
        if event.type() in changes and getattr(self, "_theme", None) not in (None, current_theme()):
            self._take_theme()

    def showEvent(self, event: QShowEvent) -> None:
        """Take the shipped model when the panel is first seen and nobody has given it one."""
        super().showEvent(event)
        if not self._asked_for_model and list_models():
            try:
                self.set_model(load_model(""))
            except StellacubeError as error:
                self.say(str(error), wrong=True)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take a table; what is too large to be one is left to the window."""
        event.setAccepted(table_of(event.mimeData()) is not None)

    def dropEvent(self, event: QDropEvent) -> None:
        """Read a dropped table as a star list."""
        path = table_of(event.mimeData())
        if path is not None:
            event.acceptProposedAction()
            self.open_star_list(path)
