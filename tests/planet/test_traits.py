import numpy as np
import pytest

from pipelines.planet.climate import generator
from pipelines.planet.facts import read_facts
from pipelines.planet.traits import (
    COUNTRY_DEVIATION,
    NAMES,
    REGION_DEVIATION,
    country_offsets,
    style_of_places,
)

FACTS = read_facts()


def test_country_offset_is_half_its_own_half_the_mean_of_its_neighbours():
    own = generator(3, "country", "PT").normal(size=len(NAMES))
    spain = generator(3, "country", "ES").normal(size=len(NAMES))
    expected = COUNTRY_DEVIATION * (0.5 * own + 0.5 * spain)  # Portugal has one neighbour
    assert country_offsets("PT", FACTS, 3) == pytest.approx(expected)


def test_neighbours_share_offsets_more_than_strangers_do():
    codes = [code for code, facts in FACTS.items() if facts.neighbours]
    offsets = {code: country_offsets(code, FACTS, 0) for code in codes}
    near = [(a, b) for a in codes for b in FACTS[a].neighbours if a < b]
    far = [(a, b) for a in codes[::3] for b in codes[1::3] if b not in FACTS[a].neighbours]

    def agreement(pairs):
        return np.mean([np.corrcoef(offsets[a], offsets[b])[0, 1] for a, b in pairs])

    assert agreement(near) > agreement(far) + 0.25


def test_regions_of_one_country_differ_a_little():
    args = ([45.0] * 3, [5.0] * 3, ["FR"] * 3)
    styles = style_of_places(*args, ["FR.84", "FR.93", ""], facts=FACTS)
    assert styles.shape == (3, len(NAMES))
    assert 0 < np.std(styles[0] - styles[2]) < 2 * REGION_DEVIATION
    assert not np.allclose(styles[0], styles[1])


def test_style_does_not_depend_on_the_company():
    lat, lon = [48.9, -33.9, 35.7], [2.4, 151.2, 139.7]
    codes, regions = ["FR", "AU", "JP"], ["FR.11", "AU.02", "JP.40"]
    together = style_of_places(lat, lon, codes, regions, facts=FACTS, seed=1)
    alone = style_of_places(lat[1:2], lon[1:2], codes[1:2], regions[1:2], facts=FACTS, seed=1)
    assert alone[0] == pytest.approx(together[1])
    assert not np.allclose(style_of_places(lat, lon, codes, regions, facts=FACTS, seed=2), together)


def test_style_tells_how_far_apart_places_are():
    rng = np.random.default_rng(1)
    lat, lon = rng.uniform(-60, 60, 300), rng.uniform(-180, 180, 300)

    def mean_gap(degrees):
        there = style_of_places(lat + degrees, lon, ["FR"] * 300, [""] * 300, facts=FACTS)
        here = style_of_places(lat, lon, ["FR"] * 300, [""] * 300, facts=FACTS)
        return np.linalg.norm(there - here, axis=1).mean()

    gaps = [mean_gap(degrees) for degrees in (0.5, 2, 8, 25)]
    assert gaps == sorted(gaps) and gaps[0] < 0.5 * gaps[2]
