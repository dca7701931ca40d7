"""The further views of a fitted star, each made when it is first looked at: stages, scatter, two compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QStackedWidget, QWidget

from gui.theme import Theme
from processing.labels.residuals import compare, distribution

if TYPE_CHECKING:
    from gui.panels.pair_view import PairView
    from gui.panels.scatter_view import ScatterView
    from gui.panels.stage_view import StageView
    from gui.reading import ShownSpectrum

View = TypeVar("View", "StageView", "ScatterView", "PairView")


class SpectrumViews(QStackedWidget):
    """Shows one of the further views."""

    def __init__(self) -> None:
        super().__init__()
        self._theme: tuple[Theme, QFont] | None = None
        self.stages: StageView | None = None
        self.scatter: ScatterView | None = None
        self.pair: PairView | None = None

    @property
    def current(self) -> QWidget:
        """The view that is shown."""
        return self.currentWidget() or self

    def set_theme(self, theme: Theme, font: QFont) -> None:
        """Take on the colours of a theme."""
        self._theme = (theme, font)
        for view in (self.stages, self.scatter, self.pair):
            if view is not None:
                view.set_theme(theme, font)

    def draw(
        self,
        name: str,
        shown: ShownSpectrum,
        pair: tuple[ShownSpectrum, ShownSpectrum] | None,
        wave_range: tuple[float, float],
    ) -> bool:
        """Draw a view by its name; False where it is none of these, or there is nothing to draw."""
        if shown.fit is None:
            return False
        if name == "stages":
            from gui.panels.stage_view import StageView

            self.stages = self.stages or self._added(StageView())
            self.stages.show_star(shown, wave_range)
            self.setCurrentWidget(self.stages)
        elif name == "scatter":
            from gui.panels.scatter_view import ScatterView

            self.scatter = self.scatter or self._added(ScatterView())
            self.scatter.show_distribution(distribution(shown.fit))
            self.setCurrentWidget(self.scatter)
        elif name == "pair" and pair is not None:
            from gui.panels.pair_view import PairView

            one, two = pair
            assert one.fit is not None
            assert two.fit is not None
            self.pair = self.pair or self._added(PairView())
            found = compare(one.fit, two.fit)
            self.pair.show_pair((one.title, two.title), found, one.fit.frame, _within(wave_range, found.wave))
            self.setCurrentWidget(self.pair)
        else:
            return False
        return True

    def _added(self, view: View) -> View:
        if self._theme is not None:
            view.set_theme(*self._theme)
        self.addWidget(view)
        return view


def _within(wave_range: tuple[float, float], wave: np.ndarray) -> tuple[float, float]:
    """Return the part of a range where there are pixels; all of them where it holds none."""
    low, high = max(wave_range[0], float(wave[0])), min(wave_range[1], float(wave[-1]))
    return (low, high) if high > low else (float(wave[0]), float(wave[-1]))
