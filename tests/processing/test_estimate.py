"""The estimate of a run against the runs that were measured, and the time that is left."""

from __future__ import annotations

import pytest

from processing.estimate import estimate_run, rounded, time_left


@pytest.mark.parametrize(("side", "stars", "seconds", "memory"), [(60, 39, 6.2, 0.4), (300, 628, 110.0, 0.7)])
def test_measured_runs_are_met_within_a_third(side: int, stars: int, seconds: float, memory: float) -> None:
    found = estimate_run((3681, side, side), stars)
    assert found.seconds == pytest.approx(seconds, rel=0.34)
    assert found.memory == pytest.approx(memory, abs=0.1)


def test_more_takes_longer_and_spectra_alone_are_quick() -> None:
    assert estimate_run((3681, 300, 300), None).stars == 900
    assert estimate_run((3681, 300, 300), 900).seconds > estimate_run((3681, 300, 300), 100).seconds
    assert estimate_run(None, 100).seconds < 10
    assert "2 min" in str(estimate_run((3681, 300, 300), 628))


def test_time_left_is_what_the_pace_so_far_says() -> None:
    assert time_left(30.0, 0.25) == pytest.approx(90.0)
    assert time_left(30.0, 0.01) is None
    assert time_left(0.2, 0.5) is None
    assert time_left(9.0, 1.0) is None
    assert [rounded(s) for s in (2.0, 33.0, 80.0, 7200.0)] == ["5 s", "35 s", "1 min", "2.0 h"]
