import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.evaluation.metrics import (
    class_mean_accuracy,
    distance_figures,
    geoscore,
    geoscore_by_country,
    gzsl_accuracy,
    mean_over_classes,
    split_report,
    within_km,
    within_km_by_country,
)

distances = st.lists(st.one_of(st.floats(0, 20016), st.just(math.inf)), min_size=1, max_size=30)
classes = st.sampled_from(["", "FR", "DE", "NA", "US"])


def slow_mean_over_classes(hits, names):
    means = []
    for name in sorted({n for n in names if n}):
        inside = [hit for hit, n in zip(hits, names, strict=True) if n == name]
        means.append(sum(inside) / len(inside))
    return 100 * sum(means) / len(means) if means else None


def test_thresholds_are_inclusive():
    figures = within_km([0, 1, 25, 200, 750, 2500, 2500.0001, math.inf])
    assert figures == {"1": 25.0, "25": 37.5, "200": 50.0, "750": 62.5, "2500": 75.0}


@given(distances)
def test_within_km_counts(km):
    figures = within_km(km)
    assert list(figures) == ["1", "25", "200", "750", "2500"]
    for threshold, percent in figures.items():
        assert percent == pytest.approx(100 * sum(d <= int(threshold) for d in km) / len(km))


def test_geoscore_of_known_distances():
    assert geoscore(0) == 5000
    assert geoscore([1492.7, math.inf]) == pytest.approx([5000 / math.e, 0])


@given(distances)
def test_distance_figures(km):
    figures = distance_figures(km)
    answered = [d for d in km if d < math.inf]
    ordered, half = sorted(km), len(km) // 2
    median = ordered[half] if len(km) % 2 else (ordered[half - 1] + ordered[half]) / 2
    assert figures["median_km"] == (None if median == math.inf else pytest.approx(median))
    mean = pytest.approx(sum(answered) / len(answered)) if answered else None
    assert figures["mean_km"] == mean
    score = sum(5000 * math.exp(-d / 1492.7) for d in km) / len(km)
    assert figures["geoscore"] == pytest.approx(score)


@pytest.mark.parametrize("km", [[], [math.nan], [-1.0], 5.0])
def test_impossible_distances_are_refused(km):
    with pytest.raises(ValueError, match="distances must be"):
        within_km(km)


@given(st.lists(st.tuples(st.booleans(), classes), max_size=30))
def test_mean_over_classes(rows):
    hits, names = [hit for hit, _ in rows], [name for _, name in rows]
    expected = slow_mean_over_classes(hits, names)
    result = mean_over_classes(hits, names)
    assert result == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.tuples(distances.map(lambda km: km[0]), classes), min_size=1, max_size=30))
def test_geoscore_by_country(rows):
    km, names = [d for d, _ in rows], [name for _, name in rows]
    expected = slow_mean_over_classes([5000 * math.exp(-d / 1492.7) / 100 for d in km], names)
    assert geoscore_by_country(km, names) == (None if expected is None else pytest.approx(expected))


def test_countries_weigh_the_same_however_many_photos():
    km = [0, 0, 0, 3000]
    assert within_km_by_country(km, ["US", "US", "US", "NA"])["25"] == 50
    assert within_km_by_country(km, ["", "", "", ""])["25"] is None


def test_class_mean_accuracy_looks_at_the_first_k():
    truth = ["FR", "FR", "DE", ""]
    ranked = [["FR", "DE"], ["DE", "FR"], ["US", "US"], ["", "FR"]]
    assert class_mean_accuracy(truth, ranked) == 25
    assert class_mean_accuracy(truth, ranked, k=2) == 50
    assert class_mean_accuracy(truth, ["FR", "FR", "DE", "FR"]) == 100
    with pytest.raises(ValueError, match="4 true classes but 1 predictions"):
        class_mean_accuracy(truth, ["FR"])


@given(st.lists(st.tuples(classes, classes), max_size=30), st.sets(classes))
def test_gzsl_against_a_slow_loop(rows, seen):
    truth, prediction = [t for t, _ in rows], [p for _, p in rows]
    result = gzsl_accuracy(truth, prediction, sorted(seen))
    for name, number, of_seen in (("S", "n_seen", True), ("U", "n_unseen", False)):
        group = [(t, p) for t, p in rows if t and (t in seen) == of_seen]
        expected = slow_mean_over_classes([t == p for t, p in group], [t for t, _ in group])
        assert result[name] == (None if expected is None else pytest.approx(expected))
        assert result[number] == len(group)
        assert result["classes_" + number[2:]] == len({t for t, _ in group})


@pytest.mark.parametrize(
    ("prediction", "seen", "expected"),
    [
        (["FR", "DE"], ["FR"], 100.0),
        (["US", "US"], ["FR"], 0.0),
        (["FR", "US"], ["FR"], 0.0),
        (["FR", "DE"], ["FR", "DE"], None),
        (["FR", "DE"], [], None),
    ],
)
def test_harmonic_mean_at_its_edges(prediction, seen, expected):
    assert gzsl_accuracy(["FR", "DE"], prediction, seen)["H"] == expected


def test_harmonic_mean():
    truth = ["FR", "FR", "DE", "DE", "DE", "DE"]
    result = gzsl_accuracy(truth, ["FR", "FR", "DE", "FR", "FR", "FR"], ["FR"])
    assert (result["S"], result["U"], result["H"]) == (100, 25, pytest.approx(40))


def test_split_report_has_the_keys_of_the_contract():
    report = split_report(
        [0.5, 100, math.inf],
        ["FR", "FR", "NA"],
        ["EU", "EU", "AF"],
        [["FR", "DE"], ["DE", "FR"], ["NA", "ZA"]],
        ["EU", "EU", "EU"],
    )
    assert list(report) == [
        "n",
        "within_km",
        "within_km_by_country",
        "median_km",
        "mean_km",
        "geoscore",
        "geoscore_by_country",
        "continent_top1",
        "country_top1",
        "country_top5",
    ]
    assert report["n"] == 3
    assert report["within_km_by_country"]["200"] == 50
    assert report["within_km"]["200"] == pytest.approx(200 / 3)
    assert (report["median_km"], report["mean_km"]) == (100, 50.25)
    scores = [5000 * math.exp(-km / 1492.7) for km in (0.5, 100)]
    assert report["geoscore_by_country"] == pytest.approx((sum(scores) / 2 + 0) / 2)
    assert report["continent_top1"] == 50
    assert (report["country_top1"], report["country_top5"]) == (75, 100)
