"""Repeats: matching by position and name, Eq. 10 against a known inflation, and errors multiplied once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.catalogue.columns import all_columns
from processing.catalogue.export import read_catalogue, write_catalogue
from processing.catalogue.factors import Pairs, multiply_errors, read_factors, spread, width
from processing.catalogue.label_table import LabelTable, of_catalogue, read_label_table
from processing.catalogue.matching import group, match
from processing.catalogue.repeat_tables import combined_table, repeatability_table
from processing.catalogue.repeats import find_repeats, remarks, repeatability
from processing.catalogue.table import Catalogue, make_table
from processing.errors import StellacubeError
from processing.provenance import Provenance
from processing.settings import Settings

ARCSEC = 1 / 3600


def catalogue(
    rng: np.random.Generator, n: int = 60, cube: str = "one.fits", inflation: float = 1.0, shift: float = 0.0
) -> Catalogue:
    """Return a catalogue of the same stars every time, with fresh noise `inflation` times its errors."""
    rows = []
    for i in range(n):
        rows.append(
            {
                "stellar_id": f"s{i}",
                "ra": 15.0 + 3 * i * ARCSEC + rng.normal(0, 0.03) * ARCSEC + shift * ARCSEC,
                "dec": -72.0 + rng.normal(0, 0.03) * ARCSEC,
                "teff": 4500.0 + 10 * i + inflation * rng.normal(0, 40.0),
                "teff_err_cal": 40.0,
                "teff_err": 20.0,
                "mg_fe": 0.2 + rng.normal(0, 0.05),
                "mg_fe_err_cal": 0.05,
                "rv": i + rng.normal(0, 2.0),
                "rv_err": 2.0,
                "corr_flux": 0.9 + 0.001 * i + rng.uniform(0, 0.05),
                "snr_muse": 50.0,
                "quality": "good",
                "cube": cube,
                "model": "a",
            }
        )
    return Catalogue(make_table(all_columns("", ("teff", "mg_fe")), rows), Provenance((), Settings(), "a", "1"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def table(rng: np.random.Generator, name: str = "one", **options: float | str | int) -> LabelTable:
    return of_catalogue(catalogue(rng, cube=f"{name}.fits", **options), name)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(12)), st.integers(2, 4))
def test_groups_do_not_depend_on_the_order_of_rows(order: list[int], copies: int) -> None:
    rng = np.random.default_rng(1)
    tables = [table(rng, f"c{i}", n=12) for i in range(copies)]
    mixed = [_taken(tables[0], np.array(order)), *tables[1:]]
    rows, groups = group(mixed)
    assert len(groups) == 12
    for members in groups:
        names = {mixed[t].star_id[row] for t, row in rows[members]}
        assert len(names) == 1
        assert len(members) == copies


def _taken(one: LabelTable, rows: np.ndarray) -> LabelTable:
    return replace(
        one, star_id=one.star_id[rows], ra=one.ra[rows], dec=one.dec[rows], snr=one.snr[rows],
        corr_flux=one.corr_flux[rows], cube=one.cube[rows],
        values={name: values[rows] for name, values in one.values.items()},
        errors={name: values[rows] for name, values in one.errors.items()},
    )  # fmt: skip


def test_stars_of_one_cube_are_never_one_star(rng) -> None:
    close = replace(table(rng), ra=np.full(60, 15.0), dec=np.full(60, -72.0))
    with pytest.raises(StellacubeError, match="more than once"):
        group([close])
    loose = replace(close, cube=np.full(60, ""))
    assert [len(members) for members in group([loose])[1]] == [60]
    assert len(group([table(rng), table(rng)], "name")[1]) == 60


def test_a_star_between_two_of_a_cube_is_left_out(rng) -> None:
    one, other = table(rng, n=2), table(rng, "two", n=1)
    one = replace(one, ra=np.array([15.0, 15.0 + 2.0 * ARCSEC]), dec=np.zeros(2))
    near = replace(other, ra=np.array([15.0 + 0.3 * ARCSEC]), dec=np.zeros(1))
    third = replace(table(rng, "three", n=1), ra=np.array([15.0 + 1.2 * ARCSEC]), dec=np.zeros(1))
    assert len(group([one, near], radius=1.0)[0]) == 2
    with pytest.raises(StellacubeError):
        group([one, near, third], radius=1.0)  # third links the second star of the cube with the first


def test_matching_by_position_and_by_name(rng) -> None:
    first, second = table(rng), table(rng, "two")
    shuffled = _taken(second, np.random.default_rng(3).permutation(60))
    found = match(first, shuffled)
    assert found.by == "position"
    assert len(found.first) == 60
    assert (first.star_id[found.first] == shuffled.star_id[found.second]).all()
    assert np.median(found.separation) < 0.1
    nowhere = replace(shuffled, ra=np.full(60, np.nan))
    assert match(first, nowhere).by == "name"
    with pytest.raises(StellacubeError, match="no star in common"):
        match(first, replace(second, dec=second.dec + 1))


@pytest.mark.parametrize("robust", [False, True])
def test_a_true_inflation_of_two_comes_out_as_two(robust: bool) -> None:
    rng = np.random.default_rng(11)
    errors = rng.uniform(0.5, 3.0, 4000)
    pairs = Pairs.of(rng.normal(0, 2 * errors), errors, np.arange(4000) // 2)
    assert spread(pairs.scaled, robust=robust) == pytest.approx(2.0, rel=0.03)
    calibrated = pairs.calibrated(robust=robust)
    assert spread(calibrated, robust=robust) == pytest.approx(1.0, abs=0.01)


def test_bootstrap_interval_covers_the_truth_and_goes_by_star() -> None:
    covered, narrow, wide = 0, [], []
    for seed in range(60):
        rng = np.random.default_rng(1000 + seed)
        star = np.arange(80) // 2
        pairs = Pairs.of(rng.normal(size=80), np.ones(80), star)
        found = width(pairs.scaled, pairs.star, robust=False, seed=1)
        covered += found.low < 1.0 < found.high
        narrow.append(found.high - found.low)
        again = width(np.tile(pairs.scaled, 4), np.tile(pairs.star, 4), robust=False, seed=1)
        wide.append(again.high - again.low)
    assert 30 <= covered <= 50  # 64 % of 60 are expected for so few stars
    assert np.mean(wide) == pytest.approx(np.mean(narrow), rel=0.1)  # pairs of a star are no new evidence


def test_an_outlier_hardly_moves_the_robust_width() -> None:
    rng = np.random.default_rng(5)
    scaled = np.append(rng.normal(size=200), 50.0)
    assert spread(scaled, robust=True) == pytest.approx(1.0, abs=0.12)
    assert spread(scaled, robust=False) > 3.0


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(9)
    scaled, times = rng.normal(size=50), rng.integers(0, 4, 50)
    for robust, tolerance in ((False, 1e-12), (True, 0.03)):
        repeated = spread(np.repeat(scaled, times), robust=robust)
        assert spread(scaled, robust=robust, weight=times.astype(float)) == pytest.approx(repeated, rel=tolerance)


def test_factors_best_and_mean_of_repeated_catalogues(rng) -> None:
    tables = [table(rng, f"c{i}", inflation=2.0) for i in range(3)]
    repeats = find_repeats(tables)
    assert repeats.n_star == 60
    found = {entry.name: entry for entry in repeatability(repeats)}
    assert found["teff"].n_pair == 180
    assert found["teff"].eq10.value == pytest.approx(2.0, rel=0.15)
    assert found["teff"].eq10_calibrated.value == pytest.approx(1.0, rel=0.02)
    assert found["mg_fe"].eq10.value == pytest.approx(1.0, rel=0.15)
    assert found["mg_fe"].scatter == pytest.approx(0.05, rel=0.15)
    assert found["rv"].error == 2.0
    assert found["teff"].planner is None
    combined = combined_table(repeats)
    assert len(combined) == 60
    row = combined[0]
    members = repeats.members()[0]
    best = members[repeats.corr_flux[members].argmax()]
    assert row["teff_best"] == repeats.values["teff"][best]
    assert row["teff_mean"] == pytest.approx(repeats.values["teff"][members].mean())
    assert row["teff_mean_err"] == pytest.approx(40 / np.sqrt(3))
    assert np.mean(combined["teff_chi2"]) == pytest.approx(4.0, rel=0.25)
    assert np.mean(combined["mg_fe_chi2"]) == pytest.approx(1.0, rel=0.25)
    assert not remarks(repeats, tuple(found.values()))


def test_rows_that_are_not_to_be_used_and_missing_errors(rng) -> None:
    poor = catalogue(rng)
    poor.table["quality"][:10] = "poor"
    repeats = find_repeats([of_catalogue(poor, "one"), table(rng, "two")])
    assert repeats.n_star == 50
    assert "s3" not in repeats.star_id
    bare = replace(table(rng, "two"), errors={})
    found = repeatability(find_repeats([table(rng), bare]))
    assert all(entry.eq10 is None for entry in found)
    assert found[0].scatter == pytest.approx(40, rel=0.3)
    assert "no errors" in " ".join(remarks(repeats, found))


def test_factors_go_into_the_errors_once_and_into_the_provenance(rng, tmp_path: Path) -> None:
    found = repeatability(find_repeats([table(rng, f"c{i}", inflation=2.0) for i in range(2)]))
    path = tmp_path / "field_repeatability.ecsv"
    repeatability_table(found).write(path, format="ascii.ecsv")
    factors = read_factors(path, "factor_eq10")
    assert factors["teff"] == pytest.approx(found[0].eq10.value)
    one = catalogue(rng)
    calibrated = multiply_errors(one, factors, path.name)
    assert np.asarray(calibrated.table["teff_err_cal"]) == pytest.approx(40 * factors["teff"])
    assert (calibrated.table["teff_err"] == 20).all()
    assert (one.table["teff_err_cal"] == 40).all()
    assert np.asarray(calibrated.table["rv_err"]) == pytest.approx(2 * factors["rv"])
    for fmt, suffix in (("fits", ".fits"), ("ecsv", ".ecsv")):
        write_catalogue(calibrated, tmp_path / f"c{suffix}", fmt)
        back = read_catalogue(tmp_path / f"c{suffix}")
        assert path.name in back.provenance.history[0]
        assert back.table.colnames == calibrated.table.colnames
        np.testing.assert_allclose(back.table["teff_err_cal"], calibrated.table["teff_err_cal"])
        assert back.table["quality"][0] == "good"
        with pytest.raises(StellacubeError, match="calibrated already"):
            multiply_errors(back, factors, "again")
    one.table["teff_err_model"][:] = 24.0
    noise = 32.0  # 40 without 24, in quadrature
    with_own = multiply_errors(one, {"teff": 2.0}, "repeats")
    assert np.asarray(with_own.table["teff_err_cal"]) == pytest.approx(np.hypot(2 * noise, 24.0))
    assert of_catalogue(one, "one").noise_errors()["teff"] == pytest.approx(noise)
    with pytest.raises(StellacubeError, match="None of the factors"):
        multiply_errors(one, {"fe_h": 2.0}, "other")


@pytest.mark.parametrize("suffix", ["csv", "fits", "ecsv", "vot"])
def test_labels_are_read_from_every_form_of_a_catalogue(rng, tmp_path: Path, suffix: str) -> None:
    one = catalogue(rng)
    one.table["quality"][0] = "poor"
    one.table["teff_flag"][:] = np.arange(60) % 2
    one.table["teff_info"][:] = 1
    path = tmp_path / f"field_catalogue.{suffix}"
    write_catalogue(one, path, {"vot": "votable"}.get(suffix, suffix))
    read = read_label_table(path)
    assert read.name == "field"
    assert read.labels == ("teff", "mg_fe", "rv")
    assert np.isnan(read.values["teff"][0])
    np.testing.assert_allclose(read.values["teff"][1:], one.table["teff"][1:])
    assert read.errors["teff"][1] == 40.0
    assert (read.cube == "one.fits").all()
    assert read.model == "a"
    assert np.isfinite(read_label_table(path, trusted=True).values["teff"]).sum() == 30


def test_columns_of_other_catalogues_are_recognised_or_mapped(tmp_path: Path) -> None:
    path = tmp_path / "survey.csv"
    path.write_text(
        "ID,RAJ2000,DEJ2000,e_Teff,Teff,logg,[Fe/H],e_[Fe/H],MG_FE,my_ca\nx1,10.5,-3,50,4800,2.5,-0.3,0.1,0.2,0.1\n"
    )
    read = read_label_table(path, {"ca_fe": "my_ca"})
    assert read.labels == ("teff", "logg", "fe_h", "mg_fe", "ca_fe")
    assert read.errors["teff"][0] == 50
    assert read.errors["fe_h"][0] == pytest.approx(0.1)
    assert read.ra[0] == 10.5
    assert read.star_id[0] == "x1"
    assert read.columns["fe_h"] == "[Fe/H]"
    with pytest.raises(StellacubeError, match="no column nothing"):
        read_label_table(path, {"ca_fe": "nothing"})
    path.write_text("a,b\n1,2\n")
    with pytest.raises(StellacubeError, match="No label"):
        read_label_table(path)
