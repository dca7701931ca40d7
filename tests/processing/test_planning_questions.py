"""The planner's three questions, its star lists, its words and its command."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from processing.errors import StellacubeError
from processing.planning import report
from processing.planning.cli import pairs
from processing.planning.cli import plan as command
from processing.planning.formulas import TABLE_3, snr
from processing.planning.questions import Exposure, Wishes, parse_exposure, plan
from processing.planning.yields import mean_errors, read_magnitudes, round_up, star_sample, star_yield

STEADY = settings(deadline=None, derandomize=True)
"""A busy machine fails no test, and every run tries the same examples."""

HOUR = Exposure(6, 600.0)


def test_how_precise():
    answer = plan(18.5, HOUR)
    assert answer.question == "precision"
    assert answer.snr == pytest.approx(82.638569, rel=1e-6)
    assert answer.worst == "ca_fe"
    assert answer.met.all()
    assert answer.sigma[answer.labels.index("teff")] == pytest.approx(57.38, abs=0.01)
    assert not plan(18.6, HOUR).met[answer.labels.index("ca_fe")]


def test_how_long():
    answer = plan(18.5, wishes=Wishes(counted=["mg_fe", "fe_h"], targets={"mg_fe": 0.05}))
    assert answer.worst == "mg_fe"
    assert answer.exposure == Exposure(4, 600.0)
    assert answer.time_needed == pytest.approx(3600 * (10 ** ((np.log10(0.05) - 0.4486) / -0.9862) / 82.638569) ** 2)
    assert answer.exposure.time >= answer.time_needed
    assert answer.met[answer.counted].all()


def test_how_faint():
    answer = plan(None, HOUR, Wishes(counted=["fe_h"]))
    assert answer.mag == pytest.approx(19.820, abs=5e-4)
    assert answer.sigma[answer.labels.index("fe_h")] == pytest.approx(0.1)
    assert plan(None, HOUR).mag == pytest.approx(18.583, abs=5e-4)


@STEADY
@given(mag=st.floats(12.0, 24.0), scale=st.floats(0.3, 2.0), floor=st.floats(0.0, 0.05))
def test_the_questions_invert_each_other(mag, scale, floor):
    wishes = Wishes(scale=scale, floors={"ca_fe": floor})
    time = plan(mag, wishes=wishes).time_needed
    assert plan(None, Exposure(1, time), wishes).mag == pytest.approx(mag, rel=1e-9)
    there = plan(mag, Exposure(1, time), wishes)
    worst = there.labels.index(there.worst)
    assert there.sigma[worst] == pytest.approx(there.targets[worst], rel=1e-9)


def test_band_of_trust():
    assert not plan(18.5, HOUR).extrapolated
    assert plan(13.0, HOUR).extrapolated
    bright = plan(15.0, Exposure(10, 3600.0))
    assert bright.snr > 300
    assert bright.extrapolated
    assert any("Extrapolated" in note for note in report.remarks(bright))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plan(), "Neither a magnitude nor an exposure"),
        (lambda: plan(np.nan, HOUR), "V = nan"),
        (lambda: plan(18.5, Exposure(0, 600.0)), "no exposure"),
        (lambda: plan(18.5, Exposure(1, -600.0)), "cannot be -600"),
        (lambda: plan(18.5, Exposure(1, np.inf)), "no exposure"),
        (lambda: plan(18.5, dit=0.0), "single exposure cannot be 0"),
        (lambda: plan(18.5, wishes=Wishes(counted=[])), "No label counts"),
        (lambda: plan(18.5, wishes=Wishes(targets={"fe_h": 0.0})), r"target for \[Fe/H\] cannot be 0"),
        (lambda: plan(18.5, wishes=Wishes(targets={"eu_fe": 0.1})), r"no precision for \[Eu/Fe\]"),
        (lambda: plan(18.5, wishes=Wishes(floors={"fe_h": 0.2})), "systematic floor alone is 0.2"),
        (lambda: plan(None, Exposure(1, 1e-9)), "No star reaches these targets"),
        (lambda: plan(18.5, HOUR, Wishes(scale=-1.0)), "SNR scale cannot be -1"),
        (lambda: parse_exposure("soon"), "'soon' is no exposure time"),
        (lambda: parse_exposure("0s"), "exposure time cannot be 0"),
        (lambda: parse_exposure("-1h"), "no exposure time"),
        (lambda: star_sample([]), "None of the 0 stars"),
        (lambda: star_sample([np.nan, 99.0, -99.99]), "None of the 3 stars"),
        (lambda: star_sample([18.0]).nth(2), "2 stars cannot be had from a list of 1"),
        (lambda: pairs(["iron=0.1"]), "no label called 'iron'"),
        (lambda: pairs(["fe_h=low"]), "'low' is no error"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(call, words):
    with pytest.raises(StellacubeError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6x600s", Exposure(6, 600.0)), ("6 × 10 min", Exposure(6, 600.0)), ("1h", Exposure(1, 3600.0)),
        ("45 min", Exposure(1, 2700.0)), ("1800", Exposure(1, 1800.0)), ("2*0.5h", Exposure(2, 1800.0)),
    ],
)  # fmt: skip
def test_exposures_are_read(text, expected):
    assert parse_exposure(text) == expected


def test_a_total_is_made_of_single_exposures():
    assert parse_exposure("1h", 700.0) == Exposure(6, 700.0)
    assert round_up(3600.0, 600.0) == 6
    assert round_up(0.0, 600.0) == 1


def test_words():
    assert [report.format_time(t) for t in (457.2, 1869.0, 7214.0, 45000.0, np.inf)] == [
        "457 s", "31.1 min", "2.00 h", "12.5 h", "never",
    ]  # fmt: skip
    assert [report.format_sigma("fe_h", s) for s in (0.0517, 1.234, 0.00042, np.nan)] == [
        "0.052 dex", "1.23 dex", "0.00042 dex", "–",
    ]  # fmt: skip
    assert report.format_sigma("teff", 57.4) == "57 K"
    text = report.sentence(plan(18.5, wishes=Wishes(counted=["mg_fe", "teff"])))
    assert "75 K in Teff, and 0.1 dex in [Mg/Fe] (1σ)" in text
    assert "Eqs 11–13" in text
    assert "overheads" in text
    assert "0.8 for the expected conditions" in report.sentence(plan(18.5, HOUR, Wishes(scale=0.8)))
    assert "systematic error of 0.030 dex" in report.sentence(plan(18.5, HOUR, Wishes(floors={"fe_h": 0.03})))


def test_stars_that_reach_the_targets():
    rng = np.random.default_rng(5)
    mags = rng.uniform(16.0, 21.0, 300)
    sample = star_sample(np.concatenate([mags, [np.nan, 99.99]]))
    assert len(sample) == 300
    assert sample.n_unusable == 2
    stars = star_yield(sample, 79.347, scale=0.9)
    for time in (60.0, 3600.0, 40000.0):
        assert stars.count(time) == np.count_nonzero(snr(mags, time, 0.9) >= 79.347)
    assert (np.diff(stars.count(np.geomspace(1, 1e6, 50))) >= 0).all()
    for count in (1, 150, 300):
        assert stars.count(stars.time_for(count)) >= count
        assert stars.count(stars.time_for(count) * (1 - 1e-9)) < count


def test_mean_of_a_cluster():
    sample = star_sample(np.full(100, 18.0))
    sigma = TABLE_3.sigma(snr(18.0, 3600.0))
    count, error = mean_errors(sample, 3600.0, TABLE_3, 1000.0)
    assert (count == 100).all()
    assert error == pytest.approx(sigma / 10.0)
    assert mean_errors(sample, 3600.0, TABLE_3, 1000.0, floor=0.05)[1] == pytest.approx(np.hypot(sigma / 10.0, 0.05))
    count, error = mean_errors(sample, 3600.0, TABLE_3, 1e-4)
    assert (count == 0).all()
    assert np.isnan(error).all()


def test_magnitudes_of_a_file(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("id,Vmag\n1,18.2\n2,\n3,17.1\n", encoding="utf-8")
    sample = read_magnitudes(path)
    assert sample.mags.tolist() == [17.1, 18.2]
    assert (sample.n_unusable, sample.column) == (1, "Vmag")
    with pytest.raises(StellacubeError, match="no column 'Gmag'"):
        read_magnitudes(path, "Gmag")
    path.write_text("id,name\n1,a\n2,b\n", encoding="utf-8")
    with pytest.raises(StellacubeError, match="has no magnitudes"):
        read_magnitudes(path)


def test_table_of_numbers(tmp_path):
    answer = plan(18.5, HOUR)
    rows = list(csv.DictReader(report.write_csv(answer, tmp_path / "plan.csv").open(encoding="utf-8")))
    assert [row["label"] for row in rows] == list(TABLE_3.labels)
    assert [float(row["sigma"]) for row in rows] == answer.sigma.tolist()
    assert [float(row["time_needed_s"]) for row in rows] == answer.times.tolist()
    assert rows[0]["unit"] == "K"
    with pytest.raises(StellacubeError, match="cannot be written"):
        report.write_csv(answer, tmp_path / "none" / "plan.csv")


def run(*arguments):
    app = typer.Typer()
    app.command("plan")(command)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=False)


def test_command_answers_the_three_questions(tmp_path):
    table = tmp_path / "plan.csv"
    for arguments, expected in (
        (("--mag", "18.5", "--time", "6x600s"), plan(18.5, HOUR)),
        (("--mag", "18.5", "--target", "mg_fe=0.05,fe_h"),
         plan(18.5, wishes=Wishes(targets={"mg_fe": 0.05}, counted=["mg_fe", "fe_h"]))),
        (("--time", "2h", "--dit", "900", "--floor", "fe_h=0.02", "--scale", "0.9"),
         plan(None, Exposure(8, 900.0), Wishes(floors={"fe_h": 0.02}, scale=0.9))),
    ):  # fmt: skip
        result = run(*arguments, "--csv", str(table))
        assert result.exit_code == 0
        assert report.sentence(expected) in result.output
        rows = list(csv.DictReader(table.open(encoding="utf-8")))
        assert [float(row["sigma"]) for row in rows] == expected.sigma.tolist()
        assert float(rows[0]["v_mag"]) == expected.mag
        assert float(rows[0]["time_s"]) == expected.exposure.time


def test_command_marks_what_is_extrapolated():
    assert "* extrapolated" in run("--mag", "12", "--time", "60").output
    assert "* extrapolated" not in run("--mag", "18.5", "--time", "1h").output


def test_command_with_a_star_list(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("Vmag\n" + "\n".join(str(v) for v in np.linspace(16, 20, 41)) + "\n", encoding="utf-8")
    output = run("--stars", str(path), "--time", "1h").output
    assert "26 of 41 stars reach the targets" in output
    assert "need" in output
    output = run("--stars", str(path), "--count", "26").output
    assert "26 of 41 stars reach the targets" in output
    with pytest.raises(StellacubeError, match="cannot be had"):
        run("--stars", str(path), "--count", "0")
