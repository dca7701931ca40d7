"""The exposure formulas against the paper's printed numbers, their own inverses, and nonsense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.errors import StellacubeError
from processing.planning.formulas import (
    TABLE_3,
    extrapolated,
    magnitude_for_snr,
    snr,
    snr_one_hour,
    time_for_snr,
)

STEADY = settings(deadline=None, derandomize=True)
"""A busy machine fails no test, and every run tries the same examples."""

ONE_HOUR = {
    14.0: 677.229911, 14.83: 461.825351, 16.0: 268.870766, 18.0: 105.236524, 18.5: 82.638569,
    19.0: 64.492798, 19.7: 44.850039, 20.0: 38.074889, 21.0: 20.967656, 22.0: 10.464185,
}  # fmt: skip
PRINTED = {"c_fe": 39.00, "fe_h": 42.02, "si_fe": 59.54, "ca_fe": 79.35, "ti_fe": 74.62, "ni_fe": 76.24,
           "cr_fe": 65.39, "mg_fe": 29.44}  # fmt: skip
LIMITS = {  # V for 0.1 in 1, 2, 4, 10 h; seconds for 0.1 at V = 18.5 and 19.7; sigma at SNR 100
    "mg_fe": (20.449, 21.01, 21.53, 22.16, 457, 1551, 0.02994),
    "c_fe": (19.957, 20.56, 21.11, 21.78, 802, 2722, 0.03940),
    "fe_h": (19.820, 20.43, 21.00, 21.67, 931, 3161, 0.04296),
    "si_fe": (19.158, 19.82, 20.43, 21.17, 1869, 6345, 0.05990),
    "cr_fe": (18.973, 19.64, 20.27, 21.02, 2253, 7650, 0.06584),
    "ti_fe": (18.708, 19.39, 20.04, 20.81, 2935, 9965, 0.07482),
    "ni_fe": (18.664, 19.35, 20.00, 20.78, 3065, 10404, 0.07640),
    "ca_fe": (18.583, 19.27, 19.93, 20.71, 3319, 11268, 0.07965),
    "logg": (17.778, 18.50, 19.19, 20.05, 7214, 24493, 0.11684),
}
SIGMA = {  # at V = 18.5 and V = 19.7 after one hour, K and dex
    "fe_h": (0.0517, 0.0939), "mg_fe": (0.0361, 0.0660), "si_fe": (0.0723, 0.1323), "ca_fe": (0.0961, 0.1752),
    "ti_fe": (0.0904, 0.1656), "c_fe": (0.0476, 0.0871), "ni_fe": (0.0923, 0.1693), "cr_fe": (0.0794, 0.1449),
    "logg": (0.1412, 0.2589), "teff": (57.38, 104.93),
}  # fmt: skip

MAGS = st.floats(10.0, 25.0)
TIMES = st.floats(1.0, 1e6)
SNRS = st.floats(0.1, 5000.0)
SCALES = st.floats(0.1, 3.0)


def column(name: str) -> int:
    return TABLE_3.labels.index(name)


@pytest.mark.parametrize(("mag", "expected"), ONE_HOUR.items())
def test_snr_of_one_hour(mag, expected):
    assert snr_one_hour(mag) == pytest.approx(expected, rel=1e-6 / 2)


def test_thresholds_of_the_text():
    needed = TABLE_3.snr(0.1)
    for name, printed in PRINTED.items():
        assert needed[column(name)] == pytest.approx(printed, rel=5e-4)
    order = sorted(PRINTED, key=lambda name: needed[column(name)])
    assert order == ["mg_fe", "c_fe", "fe_h", "si_fe", "cr_fe", "ti_fe", "ni_fe", "ca_fe"]


@pytest.mark.parametrize("name", LIMITS)
def test_limits_times_and_errors(name):
    v1, v2, v4, v10, bright, faint, sigma = LIMITS[name]
    needed = TABLE_3.snr(0.1)[column(name)]
    limits = magnitude_for_snr(needed, 3600.0 * np.array([1, 2, 4, 10]))
    assert limits == pytest.approx([v1, v2, v4, v10], abs=0.0051)
    assert limits[0] == pytest.approx(v1, abs=0.0006)
    assert time_for_snr([18.5, 19.7], needed) == pytest.approx([bright, faint], abs=0.51)
    assert TABLE_3.sigma(100.0)[column(name)] == pytest.approx(sigma, abs=0.51e-5)


@pytest.mark.parametrize("name", SIGMA)
def test_errors_after_one_hour(name):
    sigma = TABLE_3.sigma(snr([18.5, 19.7], 3600.0))[:, column(name)]
    assert sigma == pytest.approx(SIGMA[name], abs=0.006 if name == "teff" else 0.6e-4)


def test_temperature_is_in_kelvin():
    needed = [TABLE_3.snr(kelvin)[column("teff")] for kelvin in (100.0, 75.0, 50.0, 10.0)]
    assert needed == pytest.approx([47.09, 63.01, 95.01, 484.81], abs=0.006)


def test_what_the_text_says_of_magnitudes():
    abundances = [i for i, name in enumerate(TABLE_3.labels) if name not in ("teff", "logg")]
    assert (TABLE_3.sigma(snr(18.5, 3600.0))[abundances] < 0.1).all()
    assert TABLE_3.sigma(snr(18.5, 3600.0))[column("logg")] > 0.1
    at_19_7, at_19_9 = TABLE_3.sigma(snr([19.7, 19.9], 3600.0))
    assert all(at_19_7[column(name)] < 0.1 for name in ("mg_fe", "c_fe", "fe_h"))
    assert at_19_9[column("fe_h")] == pytest.approx(0.1043, abs=1e-4)


@STEADY
@given(mag=MAGS, time=TIMES, scale=SCALES)
def test_round_trip_through_the_snr(mag, time, scale):
    value = snr(mag, time, scale)
    assert magnitude_for_snr(value, time, scale) == pytest.approx(mag, rel=1e-9)
    assert time_for_snr(mag, value, scale) == pytest.approx(time, rel=1e-9)


@STEADY
@given(value=SNRS, floor=st.floats(0.0, 0.05))
def test_round_trip_through_the_errors(value, floor):
    wanted = TABLE_3.sigma(value, floor)
    assert np.diag(TABLE_3.sigma(TABLE_3.snr(wanted, floor), floor)) == pytest.approx(wanted, rel=1e-9)
    assert TABLE_3.snr(TABLE_3.sigma(value)) == pytest.approx(value, rel=1e-9)


@STEADY
@given(mag=MAGS, time=TIMES, more=st.floats(1.0, 100.0), fainter=st.floats(0.0, 5.0))
def test_longer_is_never_worse_and_fainter_never_better(mag, time, more, fainter):
    assert snr(mag, time * more) >= snr(mag, time)
    assert snr(mag + fainter, time) <= snr(mag, time)
    assert (TABLE_3.sigma(snr(mag, time * more)) <= TABLE_3.sigma(snr(mag, time))).all()
    assert time_for_snr(mag + fainter, 50.0) >= time_for_snr(mag, 50.0)
    assert magnitude_for_snr(50.0, time * more) >= magnitude_for_snr(50.0, time)


def test_floor_adds_in_quadrature_and_makes_targets_unreachable():
    assert TABLE_3.sigma(80.0, 0.03) == pytest.approx(np.sqrt(TABLE_3.sigma(80.0) ** 2 + 0.03**2))
    assert np.isinf(TABLE_3.snr(0.05, 0.05)).all()
    assert np.isinf(time_for_snr(18.0, np.inf))
    assert magnitude_for_snr([np.inf, 0.0], 3600.0).tolist() == [-np.inf, np.inf]


def test_arrays_broadcast():
    assert snr(np.array([[14.0], [18.0]]), np.array([60.0, 3600.0, 7200.0])).shape == (2, 3)
    assert TABLE_3.sigma(np.ones((2, 3))).shape == (2, 3, 10)


def test_band_of_trust():
    assert extrapolated([13.9, 14.0, 22.0, 22.1, 18, 18], [100, 100, 100, 100, 9.9, 301]).tolist() == [
        True, False, False, True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: snr(18.0, -60.0), "exposure time cannot be -60"),
        (lambda: snr(18.0, 0.0), "exposure time cannot be 0"),
        (lambda: snr(np.nan, 60.0), "V = nan"),
        (lambda: snr(-300.0, 60.0), "V = -300"),
        (lambda: snr([], 60.0), "list is empty"),
        (lambda: snr("bright", 60.0), "not a number"),
        (lambda: snr(18.0, 60.0, 0.0), "SNR scale cannot be 0"),
        (lambda: TABLE_3.snr(-0.1), "precision cannot be -0.1"),
        (lambda: TABLE_3.sigma(-5.0), "SNR cannot be -5"),
        (lambda: TABLE_3.sigma(50.0, -0.1), "floor cannot be -0.1"),
        (lambda: magnitude_for_snr(-1.0, 60.0), "SNR cannot be -1"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(call, words):
    with pytest.raises(StellacubeError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")
