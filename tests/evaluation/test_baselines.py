import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.evaluation import baselines
from geoclip.evaluation.baselines import Truth, best_constant, chance, thin
from geoclip.evaluation.metrics import split_report
from geoclip.places.sphere import great_circle_km

THRESHOLDS = (1, 25, 200, 750, 2500)


def scattered(n: int, seed: int) -> Truth:
    """Points in clumps, so that all thresholds matter; each clump has a country and a continent."""
    rng = np.random.default_rng(seed)
    clump = rng.integers(0, 6, n)
    lat, lon = rng.uniform(-60, 60, 6)[clump], rng.uniform(-180, 180, 6)[clump]
    spread = 10 ** rng.uniform(-3, 1, n)
    lat, lon = lat + spread * rng.normal(size=n), lon + spread * rng.normal(size=n)
    countries = np.array(["FR", "DE", "NA", "US", "CA", ""], dtype=object)[clump]
    continents = np.array(["EU", "EU", "AF", "NA", "NA", ""], dtype=object)[clump]
    return Truth(np.clip(lat, -90, 90), (lon + 180) % 360 - 180, countries, continents)


def distances_of(truth: Truth, lat: float, lon: float) -> np.ndarray:
    return great_circle_km(lat, lon, truth.lat, truth.lon)


def figures_of_a_constant(truth: Truth, lat: float, lon: float) -> dict:
    n = len(truth)
    km = distances_of(truth, lat, lon)
    return split_report(km, truth.country, truth.continent, [["FR"] * 5] * n, ["EU"] * n)


@pytest.mark.parametrize("chunk", [1, 700, 10**6])
def test_every_figure_is_the_best_of_all_candidates(monkeypatch, chunk):
    monkeypatch.setattr(baselines, "CHUNK_PAIRS", chunk)
    train, cities = scattered(60, 1), scattered(40, 2)
    constant = best_constant(train, cities.lat, cities.lon)
    report = constant.report(train)
    candidates = [
        figures_of_a_constant(train, lat, lon)
        for lat, lon in zip(
            np.concatenate([train.lat, cities.lat]),
            np.concatenate([train.lon, cities.lon]),
            strict=True,
        )
    ]
    for t in map(str, THRESHOLDS):
        for name in ("within_km", "within_km_by_country"):
            assert report[name][t] == pytest.approx(max(c[name][t] for c in candidates))
    for name in ("geoscore", "geoscore_by_country"):
        assert report[name] == pytest.approx(max(c[name] for c in candidates))
    for name in ("median_km", "mean_km"):
        assert report[name] == pytest.approx(min(c[name] for c in candidates))


def test_the_constant_is_chosen_on_training_photos_and_judged_on_others():
    train = Truth([10.0, 10.0, 50.0], [0.0, 0.0, 0.0], ["FR", "FR", "DE"], ["EU", "EU", "EU"])
    test = Truth([50.0, -33.0], [0.0, 151.0], ["DE", "AU"], ["EU", "OC"])
    constant = best_constant(train, [-33.0], [151.0])
    assert constant.points["within_km 25"] == (10.0, 0.0)
    report = constant.report(test)
    assert report["n"] == 2
    assert report["within_km"]["25"] == 0
    assert (report["country_top1"], report["country_top5"]) == (0, 50)
    assert report["continent_top1"] == 50
    assert (constant.countries, constant.continent) == (("FR", "DE"), "EU")


def test_photos_known_by_country_alone_count_for_the_country_only():
    train = Truth(
        [1.0, math.nan, math.nan], [2.0, math.nan, math.nan], ["FR", "NA", "NA"], [""] * 3
    )
    constant = best_constant(train, [], [])
    assert constant.countries == ("NA", "FR")
    assert set(constant.points.values()) == {(1.0, 2.0)}
    with pytest.raises(GeoclipError, match="No training photo has coordinates"):
        best_constant(Truth([math.nan], [math.nan], ["FR"], ["EU"]), [1.0], [1.0])


@pytest.mark.parametrize("chunk", [1, 500, 10**6])
def test_chance_is_the_mean_over_all_cities(monkeypatch, chunk):
    monkeypatch.setattr(baselines, "CHUNK_PAIRS", chunk)
    test, cities = scattered(30, 3), scattered(50, 4)
    report = chance(test, cities)
    km = np.array([distances_of(test, a, b) for a, b in zip(cities.lat, cities.lon, strict=True)])
    constants = [
        split_report(
            row,
            test.country,
            test.continent,
            [[country]] * len(test),
            [continent] * len(test),
        )
        for row, country, continent in zip(km, cities.country, cities.continent, strict=True)
    ]
    for name in ("within_km", "within_km_by_country"):
        for t in map(str, THRESHOLDS):
            assert report[name][t] == pytest.approx(np.mean([c[name][t] for c in constants]))
    means = ("mean_km", "geoscore", "geoscore_by_country", "country_top1", "continent_top1")
    for name in means:
        assert report[name] == pytest.approx(np.mean([c[name] for c in constants]))
    assert report["median_km"] == pytest.approx(np.median(km), abs=1)
    assert list(report) == list(constants[0])


def test_chance_of_five_draws():
    test = Truth([0.0, 0.0], [0.0, 0.0], ["FR", "AU"], ["EU", "OC"])
    cities = Truth([0.0] * 4, [0.0] * 4, ["FR", "DE", "DE", "DE"], ["EU"] * 4)
    report = chance(test, cities)
    assert report["country_top1"] == pytest.approx(12.5)
    assert report["country_top5"] == pytest.approx(100 * (1 - 0.75**5) / 2)
    assert report["continent_top1"] == pytest.approx(50)
    with pytest.raises(GeoclipError, match="at least one photo and one city"):
        chance(test, Truth([], [], [], []))


def test_antipodes_have_a_place_in_the_histogram():
    test, cities = Truth([0.0], [0.0], ["FR"], ["EU"]), Truth([0.0], [180.0], ["KI"], ["OC"])
    report = chance(test, cities)
    assert report["mean_km"] == pytest.approx(math.pi * 6371)
    assert report["median_km"] == pytest.approx(math.pi * 6371, abs=1)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=40),
    st.integers(8, 40),
)
def test_thinning_keeps_given_points_within_the_limit(points, limit):
    lat, lon = map(list, zip(*points, strict=True))
    kept = list(zip(*thin(lat, lon, limit), strict=True))
    assert 1 <= len(kept) <= limit
    assert set(kept) <= set(points)


def test_thinning_drops_only_equal_points_while_it_can():
    lat, lon = thin([1.0, 2.0, 1.0, 3.0], [5.0, 5.0, 5.0, 5.0], limit=3)
    assert (lat.tolist(), lon.tolist()) == ([1, 2, 3], [5, 5, 5])
    assert thin([1.0, 2.0, 1.0, 3.0], [5.0, 5.0, 5.0, 5.0], limit=2)[0].tolist() == [1, 3]
