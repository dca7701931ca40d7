"""How long the planner takes to answer: run by hand, ``python -m tests.benchmarks.bench_planner``.

The panel answers while you type, on the GUI thread, so that one recomputation must stay below 5 ms. Processor time is
shown, so that a busy machine gives the same numbers.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from PySide6.QtWidgets import QApplication

from gui.panels.planner import PlannerPanel
from processing.labels.model_file import list_models, load_model
from processing.planning.information import model_law
from processing.planning.questions import Exposure, plan


def milliseconds(work: Callable[[int], object], repeats: int = 200) -> str:
    times = []
    for i in range(repeats):
        start = time.process_time()
        work(i)
        times.append(1e3 * (time.process_time() - start))
    return f"median {statistics.median(times):6.2f} ms   95 % {sorted(times)[int(0.95 * repeats)]:6.2f} ms"


def main() -> None:
    application = QApplication([])
    print("functions, how precise   ", milliseconds(lambda i: plan(16.0 + i / 100, Exposure())))
    print("functions, how long      ", milliseconds(lambda i: plan(16.0 + i / 100)))
    panel = PlannerPanel()
    panel.resize(1340, 640)
    if list_models():
        model = load_model("")
        print("network's information    ", milliseconds(lambda i: model_law(model, 4500.0 + i)))
        panel.set_model(model)
    else:
        panel.set_model(None)
    panel.show()
    for name in panel.plots:
        panel.show_plot(name)
        application.processEvents()
        print(f"panel, V, {name:15s}", milliseconds(lambda i: panel.mag.setValue(16.0 + i / 100)))
        print(f"panel, time, {name:12s}", milliseconds(lambda i: panel.count.setValue(1 + i)))
    if list_models():
        panel.show_plot("magnitude")
        print("panel, the network's star", milliseconds(lambda i: panel.teff.setValue(4500.0 + i)))
    panel.set_stars(np.random.default_rng(1).uniform(15.0, 22.0, 10000))
    print("panel, time, 10 000 stars", milliseconds(lambda i: panel.count.setValue(1 + i)))
    print("panel, SNR scale, 10 000 ", milliseconds(lambda i: panel.scale.setValue(0.5 + i / 100)))
    panel.set_stars(None)

    def painted(i: int) -> None:
        panel.mag.setValue(16.0 + i / 100)
        application.processEvents()

    panel.show_plot("magnitude")
    print("panel and painting       ", milliseconds(painted, 50))


if __name__ == "__main__":
    main()
