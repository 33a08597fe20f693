import numpy as np
import pandas as pd
import pytest

from geoclip.evaluation.bootstrap import (
    Clusters,
    bootstrap,
    class_mean_of,
    mean_of,
    median_of,
)
from geoclip.evaluation.intervals import interval
from geoclip.evaluation.metrics import mean_over_classes


def table(n: int = 60, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"lat": np.zeros(n), "lon": np.arange(n, dtype=float), **columns})


def weights_of(clusters: Clusters, draws: int) -> np.ndarray:
    """How often each photo is drawn, (draws, n)."""
    seen: list[np.ndarray] = []

    def keep(weights: np.ndarray) -> np.ndarray:
        seen.append(weights.copy())
        return weights[:, 0]

    bootstrap(clusters, {"w": keep}, draws)
    return np.concatenate(seen)[:, clusters.codes]


def test_statistics_are_those_of_the_drawn_photos():
    """Slow and independent: each draw is written out photo by photo."""
    random = np.random.default_rng(3)
    n = 60
    truth = table(n, author=random.choice(list("abcdefghijk"), n))
    km = random.exponential(900, n)
    km[:7] = np.inf
    country = random.choice(["FR", "DE", "PE", ""], n).astype(object)
    clusters = Clusters.of(truth)
    hits = km <= 750
    some = np.where(random.random(n) < 0.8, np.nan, km <= 750)
    found = bootstrap(
        clusters,
        {
            "mean": mean_of(hits, clusters),
            "some": mean_of(some, clusters),
            "by": class_mean_of(hits, country, clusters),
            "some by": class_mean_of(some, country, clusters),
            "median": median_of(km, clusters),
        },
        draws=50,
    )
    for draw, weights in enumerate(weights_of(clusters, 50)):
        drawn = [i for i in range(n) for _ in range(int(weights[i]))]
        assert found["mean"][draw] == pytest.approx(np.mean([hits[i] for i in drawn]))
        kept = [i for i in drawn if not np.isnan(some[i])]
        assert found["some"][draw] == pytest.approx(np.mean(some[kept]))
        some_by_country = mean_over_classes(some[kept], country[kept])
        assert 100 * found["some by"][draw] == pytest.approx(some_by_country)
        by_country = mean_over_classes(hits[drawn], country[drawn])
        assert 100 * found["by"][draw] == pytest.approx(by_country)
        assert found["median"][draw] == pytest.approx(np.median(km[drawn]))


def test_whole_clusters_are_drawn():
    truth = table(6, author=["a", "a", "b", "b", "b", "c"])
    weights = weights_of(Clusters.of(truth), 200)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 5]].sum(axis=1) == 3).all()


def test_copies_of_a_photo_do_not_narrow_the_interval():
    """Ten views of a place tell no more than one; drawing photos one by one ignores this."""
    random = np.random.default_rng(5)
    values = random.normal(size=200)
    alone = table(200, location_id=[str(i) for i in range(200)])
    views = pd.concat([alone] * 10)
    once, ten = (
        interval(bootstrap(clusters, {"m": mean_of(np.resize(values, n), clusters)})["m"])
        for clusters, n in ((Clusters.of(alone), 200), (Clusters.of(views), 2000))
    )
    assert ten == pytest.approx(once)
    # The normal approximation: ± 1.96 standard errors.
    assert once is not None
    half = 1.96 * values.std() / np.sqrt(200)
    assert once == pytest.approx([values.mean() - half, values.mean() + half], abs=0.1 * half)


def test_the_interval_holds_the_mean_as_often_as_it_says():
    random = np.random.default_rng(7)
    held = 0
    for trial in range(200):
        authors = np.repeat(np.arange(40), 5)
        values = random.normal(size=40)[authors] + random.normal(scale=0.3, size=200)
        clusters = Clusters.of(table(200, author=authors.astype(str)))
        ends = interval(bootstrap(clusters, {"m": mean_of(values, clusters)}, 300, seed=trial)["m"])
        assert ends is not None
        held += ends[0] <= 0 <= ends[1]
    assert 0.89 <= held / 200 <= 0.98


def test_draws_depend_on_the_seed_alone(monkeypatch):
    clusters = Clusters.of(table(50))
    statistic = {"m": mean_of(np.arange(50), clusters)}
    whole = bootstrap(clusters, statistic, 100)["m"]
    monkeypatch.setattr("geoclip.evaluation.bootstrap.CHUNK_WEIGHTS", 500)
    np.testing.assert_array_equal(bootstrap(clusters, statistic, 100)["m"], whole)
    assert not np.array_equal(bootstrap(clusters, statistic, 100, seed=1)["m"], whole)


def test_clusters_are_authors_else_locations_else_blocks():
    columns = {"author": ["x", "x", "", ""], "location_id": ["1", "2", "2", "2"]}
    by_author = Clusters.of(table(4, **columns))
    assert (by_author.by, len(by_author)) == ("author", 3)
    by_location = Clusters.of(table(4, location_id=columns["location_id"]))
    assert (by_location.by, len(by_location)) == ("location_id", 2)
    blocks = pd.DataFrame({"lat": [-0.5, -0.1, 0.1], "lon": [10.2, 10.9, 10.2]})
    assert Clusters.of(blocks).codes.tolist() == [0, 0, 1]


def test_an_interval_without_a_value_or_with_an_infinite_end():
    assert interval(np.full(10, np.nan)) is None
    assert interval(np.array([1.0] * 90 + [np.inf] * 10)) == [1.0, None]
