import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from pipelines.planet.facts import CountryFacts
from pipelines.planet.sampling import VAST, hold_out_countries, shares

# A ring of twelve countries, each with two neighbours, half of them on either continent.
CODES = [f"C{letter}" for letter in "ABCDEFGHIJKL"]
RING = {
    code: CountryFacts(code, neighbours=(CODES[i - 1], CODES[(i + 1) % 12]))
    for i, code in enumerate(CODES)
}
CONTINENTS = {code: "EA"[i % 2] for i, code in enumerate(CODES)}
SIZES = dict.fromkeys(CODES, 5)


@given(st.integers(0, 50), st.integers(0, 5))
def test_every_country_held_out_keeps_a_trained_neighbour(seed, count):
    held = hold_out_countries(SIZES, CONTINENTS, RING, count, seed)
    assert len(held) == count and list(held) == sorted(set(held))
    assert all(set(RING[code].neighbours) - set(held) for code in held)


def test_the_continents_take_turns():
    for seed in range(10):
        held = hold_out_countries(SIZES, CONTINENTS, RING, 4, seed)
        assert sum(CONTINENTS[code] == "E" for code in held) == 2


def test_the_seed_decides():
    choices = {hold_out_countries(SIZES, CONTINENTS, RING, 4, seed) for seed in range(8)}
    assert len(choices) > 3


def test_giants_dwarfs_and_islands_are_always_trained_on():
    sizes = {**SIZES, "CA": 500, "CB": 2, "CC": 5, "US": 5}
    facts = {**RING, "CC": CountryFacts("CC")}
    held = hold_out_countries(sizes, {**CONTINENTS, "US": "NA"}, facts, 4, 0)
    assert not {"CA", "CB", "CC", "US"} & set(held) and "US" in VAST


def test_too_many_is_one_clear_sentence():
    with pytest.raises(GeoclipError, match="set held_out_countries to"):
        hold_out_countries(SIZES, CONTINENTS, RING, 12, 0)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30), st.integers(0, 900))
def test_shares_give_what_was_asked_for(sizes, total):
    given_ = shares(np.array(sizes), total)
    assert given_.sum() == min(total, sum(sizes))
    assert (given_ >= 0).all() and (given_ <= sizes).all()
    countries = sum(size > 0 for size in sizes)
    if total >= countries:
        assert (given_[np.array(sizes) > 0] > 0).all()


def test_shares_go_by_the_square_root():
    assert shares(np.array([100, 400, 1600, 2]), 72).tolist() == [10, 20, 40, 2]
