"""Cut lists: the paper's, what each condition removes, and what a user may write."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from test_catalogue import ORIGIN

from processing.catalogue.columns import all_columns
from processing.catalogue.cuts import CutList, apply_cuts, find_cuts, list_cuts, read_cuts, with_cuts, write_cuts
from processing.catalogue.export import from_fits_bytes, read_catalogue, to_fits_bytes, write_catalogue
from processing.catalogue.expressions import Condition
from processing.catalogue.table import Catalogue, make_table
from processing.cli import main
from processing.errors import StellacubeError
from processing.labels.names import SYNTHETIC_ORDER


@pytest.fixture
def table() -> Table:
    return Table(
        {
            "stellar_id": ["a", "b", "c", "d", "e"],
            "snr_red": [100.0, 70.0, 90.0, np.nan, 200.0],
            "corr_flux": [0.9, 0.95, 0.8, 0.9, 0.99],
            "rv": [10.0, 12.0, 400.0, 11.0, 13.0],
            "multistar": [False, False, False, False, True],
            "quality": ["good", "check", "poor", "good", "good"],
        }
    )


def test_equation_6_and_what_each_part_of_it_removes(table):
    selection = apply_cuts(table, find_cuts("bulge").cuts)
    np.testing.assert_array_equal(selection.kept, [True, False, False, False, True])
    first, second = selection.steps
    assert (first.alone, first.missing, first.removed, first.left) == (2, 1, 2, 3)
    assert (second.alone, second.missing, second.removed, second.left) == (1, 0, 1, 2)


def test_equation_8_is_the_papers():
    assert find_cuts("bulge-abundances").cuts[2:] == (
        "fe_h > -1.5",
        "teff > 4300",
        "mg_fe_gradcorr > 0.65",
        "red_chi2 < 20",
    )


def test_every_list_that_ships_fits_a_catalogue():
    table = make_table(all_columns("", SYNTHETIC_ORDER), [])
    assert {"cross-validation", "bulge", "bulge-abundances", "beside-a-galaxy", "globular-cluster"} <= set(list_cuts())
    for name in list_cuts():
        cuts = find_cuts(name)
        assert cuts.description
        assert all(step.left == 0 for step in apply_cuts(table, cuts.cuts).steps)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("not multistar", "abcd"),
        ('quality in ("good", "check") and snr_red >= 100', "ae"),
        ("abs(rv - median(rv)) < 5", "abde"),
        ("80 < snr_red < 150", "ac"),
        ("-rv / 2 > -5.5 or corr_flux > 0.98", "ae"),
        ("not (snr_red > 80)", "b"),
        ('quality != "good"', "bc"),
    ],
)
def test_what_conditions_mean(table, text, kept):
    assert "".join(table["stellar_id"][apply_cuts(table, [text]).kept]) == kept


def test_medians_are_those_of_the_stars_left(table):
    steps = ["snr_red > 80", "rv <= median(rv)"]  # 10, 400, 13 are left: their median is 13
    assert "".join(table["stellar_id"][apply_cuts(table, steps).kept]) == "ae"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("snr_red >", "cannot be read"),
        ("snr_red", "true or false of no star"),
        ("snr_red + 1", "no condition"),
        ("1 < 2", "names no column"),
        ("__import__('os').system('x') == 0", "cannot be used here"),
        ("rv.dtype == 1", "cannot be used here"),
        ("max(rv) > 3", "cannot be used here"),
        ("snr_rod > 3", "Did you mean snr_red"),
        ("quality > 3", "compares a text with a number"),
    ],
)
def test_a_mistake_is_named(table, text, words):
    with pytest.raises(StellacubeError, match=words):
        apply_cuts(table, [text])


def test_cuts_are_saved_with_the_catalogue(table, tmp_path):
    for column in table.itercols():
        column.description = "as made"
    mine = CutList("mine", "what I want", ("snr_red > 80", 'quality == "good"'))
    write_cuts(mine, tmp_path / "mine.toml")
    assert read_cuts(tmp_path / "mine.toml") == mine
    chosen = from_fits_bytes(to_fits_bytes(with_cuts(Catalogue(table, ORIGIN), find_cuts(str(tmp_path / "mine.toml")))))
    np.testing.assert_array_equal(chosen.table["selected"], [True, False, False, False, True])
    assert chosen.provenance.history[-1] == (
        'cuts mine on 5 stars: snr_red > 80 removes 2, 3 left; quality == "good" removes 1, 2 left'
    )
    assert Condition.parse(mine.cuts[0]).columns == ("snr_red",)


def test_the_command_tells_what_each_cut_removes(table, tmp_path, capsys):
    for column in table.itercols():
        column.description = "as made"
    path, chosen = tmp_path / "c.fits", tmp_path / "chosen.ecsv"
    write_catalogue(Catalogue(table, ORIGIN), path, "fits")
    assert main(["cuts", str(path), "--preset", "bulge", "--cut", "rv < 5", "--out", str(chosen)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["snr_red", ">", "80", "2", "1", "2", "3"]
    assert "0 of 5 stars are left." in lines
    assert not read_catalogue(chosen).table["selected"].any()
    assert main(["cuts", str(path)]) == 2
    assert main(["cuts"]) == 0
    assert "bulge-abundances" in capsys.readouterr().out
