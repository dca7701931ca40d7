"""The split by star: the same star falls on the same side in every library, whatever its spelling there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from processing.labels.split import RESERVED_STARS, held_back, real_held_out, reserved, star_key


def test_spellings_of_one_star():
    assert {star_key(name) for name in ("HD095128", "HD95128", "95128", " HD095128 ", "HD095128A")} == {"HD95128"}
    assert star_key("M71 1-09          Cl") == "M71 1-09 Cl"
    assert star_key("BD+191234") != star_key("HD191234")


def test_held_back_is_a_fixed_eighth():
    chosen = held_back(620)
    assert chosen.sum() == 77
    assert np.array_equal(chosen, held_back(620))


def test_real_split_is_a_third_and_follows_the_star():
    names = [f"HD{number:06d}" for number in range(1, 3000)]
    out = real_held_out(names)
    assert 0.30 < out.mean() < 0.37
    assert np.array_equal(out, real_held_out([str(number) for number in range(1, 3000)]))
    assert np.array_equal(out[::-1], real_held_out(names[::-1]))


def test_reserved_stars_are_in_their_libraries(shared: Path):
    for library, column in (("stelib", "name"), ("indous", "id")):
        data = np.load(shared / "data" / "stars" / f"{library}.npz")
        found = reserved(data[column])
        assert {star_key(name) for name in data[column][found]} >= {star_key(n) for n in RESERVED_STARS[library]}
        wave = data["wave_air"] if "wave_air" in data else data["wave_vac"]
        chosen = np.isin([star_key(n) for n in data[column]], [star_key(n) for n in RESERVED_STARS[library]])
        assert np.isfinite(data["flux"][np.ix_(chosen, (wave > 4750) & (wave < 8750))]).all()
        assert np.isfinite(data["teff"][chosen]).all()


def test_reserved_stars_are_found_in_miles(shared: Path):
    names = np.load(shared / "data" / "stars" / "miles.npz")["name"]
    assert {star_key(n) for n in names[reserved(names)]} >= {"HD95128", "HD16673", "HD157214", "HD163993"}
