"""Finished catalogues compared, calibrated and merged: against known biases, slopes and gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processing.catalogue.calibrate import Trend, add_offset, measure_trend, parse_offset, remove_trend
from processing.catalogue.columns import all_columns
from processing.catalogue.compare import compare_catalogues, compare_tables, comparison_table, trend, write_comparison
from processing.catalogue.export import read_catalogue, write_catalogue
from processing.catalogue.label_table import LabelTable, of_catalogue
from processing.catalogue.merge import counts, merge
from processing.catalogue.table import Catalogue, make_table
from processing.cli import main
from processing.errors import StellacubeError
from processing.provenance import InputFile, Provenance
from processing.settings import Settings

N = 400
LABELS = ("teff", "logg", "fe_h", "mg_fe")
NOISE = {"teff": 50.0, "logg": 0.1, "fe_h": 0.05, "mg_fe": 0.04}


def truth(n: int = N) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "teff": rng.uniform(4000, 6500, n), "logg": rng.uniform(1, 5, n), "fe_h": rng.uniform(-0.79, 0.59, n),
        "mg_fe": rng.normal(0.1, 0.1, n),
    }  # fmt: skip


def catalogue(seed: int, model: str = "a", n: int = N, labels: tuple[str, ...] = LABELS, **changes: float) -> Catalogue:
    """Return a catalogue of the true labels, with noise by their errors and a bias on some."""
    rng = np.random.default_rng(seed)
    true = truth()
    rows = []
    for i in range(n):
        row = {
            "stellar_id": f"s{i}", "ra": 100.0 + i / 1000, "dec": 10.0, "snr_muse": 20.0 + i, "quality": "good",
            "corr_flux": 0.9, "red_chi2": seed, "rv": rng.normal(0, 1), "rv_err": 1.0, "model": model,
        }  # fmt: skip
        for name in labels:
            row[name] = true[name][i] + rng.normal(0, NOISE[name]) + changes.get(name, 0.0)
            row |= {f"{name}_err_cal": NOISE[name], f"{name}_err": NOISE[name] / 2}
            row |= {f"{name}_gradcorr": rng.uniform(0, 1), f"{name}_flag": 1, f"{name}_info": 1}
        rows.append(row)
    file = InputFile("cube", f"{model}.fits", 1, model)
    return Catalogue(make_table(all_columns("", labels), rows), Provenance((file,), Settings(), model, "1"))


def table(seed: int, **changes: float) -> LabelTable:
    return of_catalogue(catalogue(seed, **changes), f"run {seed}")


def test_bias_dispersion_and_their_errors_are_those_that_went_in() -> None:
    found = compare_tables(table(1, teff=30.0), table(2))
    teff, iron = found["teff"], found["fe_h"]
    assert teff.label.n == N
    assert teff.label.bias == pytest.approx(30.0, abs=4 * teff.bias_error)
    assert teff.bias_error == pytest.approx(1.253 * 50 * np.sqrt(2) / np.sqrt(N), rel=0.35)
    assert teff.label.dispersion == pytest.approx(50 * np.sqrt(2), abs=4 * teff.dispersion_error)
    assert teff.expected == pytest.approx(50 * np.sqrt(2))
    assert iron.width == pytest.approx(1.0, abs=0.12)
    assert iron.label.bias == pytest.approx(0.0, abs=4 * iron.bias_error)


def test_a_bias_that_grows_with_metallicity_is_seen_in_its_bins() -> None:
    tilted = catalogue(1)
    tilted.table["mg_fe"] += 0.2 * np.asarray(tilted.table["fe_h"])
    found = compare_tables(of_catalogue(tilted, "tilted"), table(2))
    bins = trend(found, "mg_fe", "fe_h")
    assert sum(part.n for part in bins) == N
    slope = np.polyfit([part.middle for part in bins], [part.bias for part in bins], 1)[0]
    assert slope == pytest.approx(0.2, abs=0.05)
    flat = trend(found, "mg_fe", "snr")
    assert np.ptp([part.bias for part in flat]) < 0.06
    rows = comparison_table([found])
    whole = rows[(rows["label"] == "mg_fe") & (rows["against"] == "")]
    assert len(whole) == 1
    assert whole["dispersion"][0] == found["mg_fe"].label.dispersion


def test_too_few_stars_and_nothing_in_common_are_said() -> None:
    few = compare_tables(of_catalogue(catalogue(1, n=3), "few"), table(2))
    assert few["teff"].label.n == 3
    assert np.isnan(few["teff"].bias_error)
    assert trend(few, "teff", "fe_h") == ()
    other = replace(table(2), values={"na_fe": np.zeros(N)})
    with pytest.raises(StellacubeError, match="no label in common"):
        compare_tables(table(1), other)


def test_figures_and_tables_are_written(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 2), ("three", 3)):
        write_catalogue(catalogue(seed, n=40, labels=("fe_h", "mg_fe")), tmp_path / f"{name}.fits", "fits")
    found = compare_catalogues([tmp_path / "one.fits", tmp_path / "two.fits"], tmp_path / "three.fits")
    files = write_comparison(found, tmp_path / "out")
    assert [path.name for path in files[2:]] == [f"comparison_{n}_{x}.png" for n in (1, 2) for x in ("fe_h", "snr")]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in files[1:])


def test_each_label_comes_from_the_model_with_the_larger_gradient_correlation() -> None:
    first, second = catalogue(1, "a"), catalogue(2, "g", n=300, labels=("teff", "mg_fe"))
    merged = merge(first, second)
    assert len(merged) == N
    for i in (0, 57, 299):
        for name in ("teff", "mg_fe"):
            here, there = first.table[f"{name}_gradcorr"][i], second.table[f"{name}_gradcorr"][i]
            best, model = (first, "a") if here > there else (second, "g")
            assert merged.table[name][i] == best.table[name][i]
            assert merged.table[f"{name}_err_cal"][i] == NOISE[name]
            assert merged.table[f"{name}_gradcorr"][i] == max(here, there)
            assert merged.table[f"{name}_model"][i] == model
    assert (merged.table["fe_h_model"] == "a").all()
    assert (merged.table["teff_model"][300:] == "a").all()
    assert counts(merged)["teff"]["g"] == pytest.approx(150, abs=45)
    assert merged.provenance.model == "a + g"
    assert "larger gradient correlation" in merged.provenance.history[-1]
    assert {file.name for file in merged.provenance.inputs} == {"a.fits", "g.fits"}


def test_a_poor_row_gives_no_label_while_there_is_a_better_one() -> None:
    first, second = catalogue(1, "a"), catalogue(2, "g")
    first.table["quality"][:10] = "poor"
    first.table["teff"][10] = np.nan
    second.table["corr_flux"][:] = 0.8
    merged = merge(first, second).table
    assert (merged["teff_model"][:11] == "g").all()
    assert merged["red_chi2"][0] == 2  # of the whole fit: the better row's
    assert merged["red_chi2"][20] == 1
    assert merged["quality"][0] == "good"
    order = np.random.default_rng(4).permutation(N)
    again = merge(first, replace(second, table=second.table[order])).table
    assert (again["teff"] == merged["teff"]).all()


def test_two_runs_of_one_model_are_told_apart() -> None:
    first = catalogue(1, "a", n=30)
    second = catalogue(2, "a", n=30)
    assert set(merge(first, second).table["teff_model"]) == {"first", "second"}


def test_merged_catalogues_survive_every_format(tmp_path: Path) -> None:
    merged = merge(catalogue(1, "a", n=30), catalogue(2, "g", n=30))
    for fmt, ending in (("fits", "fits"), ("ecsv", "ecsv")):
        write_catalogue(merged, tmp_path / f"m.{ending}", fmt)
        back = read_catalogue(tmp_path / f"m.{ending}")
        assert back.table.colnames == merged.table.colnames
        assert (back.table["teff_model"] == merged.table["teff_model"]).all()
        assert back.provenance.history == merged.provenance.history


def test_the_slope_of_clusters_comes_back_whatever_their_zero_points() -> None:
    rng = np.random.default_rng(3)
    clusters = []
    for number, zero in enumerate((0.0, 0.25, -0.1)):
        teff = rng.uniform(4200, 6500, 60)
        mg_fe = zero - 0.082 * (teff - 5000) / 1000 + rng.normal(0, 0.03, 60)
        mg_fe[:3] += 1.0  # no members
        unknown = np.full(60, np.nan)
        clusters.append(
            replace(table(1), name=f"cluster {number}", values={"teff": teff, "mg_fe": mg_fe}, ra=unknown, dec=unknown)
        )
    found = measure_trend(clusters)
    assert found.slopes["giants"][0] == pytest.approx(-0.082, abs=4 * found.error)
    assert found.error == pytest.approx(0.03 / (0.66 * np.sqrt(177)), rel=0.5)
    assert "cluster 2" in found.source
    with pytest.raises(StellacubeError, match="too few"):
        measure_trend([replace(clusters[0], values={k: v[:4] for k, v in clusters[0].values.items()})])


def test_the_papers_slopes_are_taken_by_metallicity_and_gravity() -> None:
    slopes = Trend.of_paper("dd-payne-a")
    assert slopes.at(np.array([-0.7, 0.1, 0.1, -2.0, 1.0]), np.array([2.0, 2.0, 4.5, 2.0, 4.5])).tolist() == [
        -0.117, -0.064, -0.104, -0.117, -0.154,
    ]  # fmt: skip
    with pytest.raises(StellacubeError, match="apogee-payne or dd-payne-a"):
        Trend.of_paper("galah")


def test_calibrated_labels_stand_beside_the_raw_ones() -> None:
    one = catalogue(1)
    slopes = Trend.of_paper("apogee-payne")
    made = remove_trend(one, slopes, 4500.0)
    expected = (
        np.asarray(one.table["mg_fe"])
        - slopes.at(np.asarray(one.table["fe_h"]), np.asarray(one.table["logg"]))
        * (np.asarray(one.table["teff"]) - 4500)
        / 1000
    )
    np.testing.assert_allclose(made.table["mg_fe_cal"], expected)
    np.testing.assert_array_equal(made.table["mg_fe"], one.table["mg_fe"])
    assert "mg_fe_cal" not in one.table.colnames
    moved = add_offset(made, *parse_offset("mg_fe=0.08"))
    np.testing.assert_allclose(moved.table["mg_fe_cal"], expected + 0.08)
    assert len(moved.provenance.history) == 2
    for again in (lambda: remove_trend(moved, slopes, 4500.0), lambda: add_offset(moved, "mg_fe", 0.08)):
        with pytest.raises(StellacubeError, match="made before"):
            again()
    with pytest.raises(StellacubeError, match="no offset"):
        parse_offset("mg_fe")


def test_the_commands_from_catalogues_to_a_final_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, labels = [], ("teff", "logg", "fe_h", "mg_fe")
    for number, model in enumerate("ag"):
        paths.append(str(tmp_path / f"{model}.fits"))
        write_catalogue(catalogue(number, model, n=40, labels=labels), Path(paths[-1]), "fits")
    assert main(["repeats", *paths, "--out", str(tmp_path / "r")]) == 0
    said = capsys.readouterr()
    assert "40 stars with 80 measurements" in said.out
    assert "different models (a, g)" in said.err
    assert "share its noise" not in said.err
    assert main(["repeats", *paths, "--joint", "--out", str(tmp_path / "r")]) == 2
    assert "holds no spectra" in capsys.readouterr().err
    assert main(["compare", *paths, "--out", str(tmp_path / "c"), "--by", "name"]) == 0
    assert "a − g: 40 stars in common, matched by name" in capsys.readouterr().out
    factors, calibrated = tmp_path / "r" / "repeats_repeatability.ecsv", str(tmp_path / "cal.ecsv")
    command = ["calibrate", paths[0], "--factors", str(factors), "--trend", "dd-payne-a", "--out", calibrated]
    assert main(command) == 0
    assert "Table A1" in capsys.readouterr().out
    assert main(["calibrate", calibrated, "--factors", str(factors), "--out", str(tmp_path / "again.fits")]) == 2
    assert "calibrated already" in capsys.readouterr().err
    assert main(["calibrate", paths[0], "--out", str(tmp_path / "x.fits")]) == 2
    assert main(["merge", calibrated, paths[1], "--out", str(tmp_path / "final.fits")]) == 0
    assert "labels from each model" in capsys.readouterr().out
    final = read_catalogue(tmp_path / "final.fits")
    assert any("errors multiplied" in entry for entry in final.provenance.history)
    assert main(["merge", *paths, "--out", str(tmp_path / "final.txt")]) == 2
    csv = tmp_path / "a.csv"
    write_catalogue(catalogue(0, n=5), csv, "csv")
    assert main(["merge", str(csv), paths[1], "--out", str(tmp_path / "final.fits")]) == 2
    assert ".fits file beside it" in capsys.readouterr().err
