"""Posteriors against nested loops, greedy choice against the procedure, the reported point."""

import math
from dataclasses import dataclass, fields

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special
from small_world import place_table

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.geoscore import geoscore
from geoclip.places.sphere import great_circle_km, spherical_mean
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.logits import LevelEmbeddings, Logits
from geoclip.ranking.point_estimate import expected_score_city, expected_score_group
from geoclip.ranking.posterior import greedy_posterior, joint_posterior
from geoclip.ranking.prior import NO_PRIOR, CityPrior
from geoclip.ranking.ranking import rank, rank_embeddings
from geoclip.ranking.segments import log_softmax, log_softmax_in_segments, top_columns
from geoclip.ranking.settings import (
    UNCALIBRATED,
    PointEstimate,
    Prior,
    RankingSettings,
    Temperatures,
)
from geoclip.ranking.top_cities import group_cities, top_cities

GREEDY = RankingSettings(method="greedy", point=PointEstimate.city())
PLAIN = RankingSettings(point=PointEstimate.city())


@dataclass
class Example:
    """A small world, logits by gazetteer row for `n` photos, and a log prior by row."""

    gazetteer: Gazetteer
    by_row: np.ndarray  # (N, P)
    log_prior: np.ndarray | None  # (P,)

    @property
    def hierarchy(self) -> Hierarchy:
        return Hierarchy.of(self.gazetteer)

    @property
    def logits(self) -> Logits:
        h = self.hierarchy
        return Logits(*(self.by_row[:, rows] for rows in (h.countries, h.regions, h.cities)))

    @property
    def prior(self) -> CityPrior:
        own = None if self.log_prior is None else self.log_prior[self.hierarchy.cities]
        return CityPrior(own)


def random_gazetteer(rng: np.random.Generator) -> Gazetteer:
    """One to four countries; each city in a region of its country or in none."""
    countries, regions, cities = [], [], []
    for k in range(rng.integers(1, 5)):
        code = f"{'ABCD'[k]}X"
        countries.append((code, code, "EU", code))
        parents = [code, *(f"{code}.{r}" for r in range(rng.integers(0, 3)))]
        regions += [(parent, parent) for parent in parents[1:]]
        for parent in rng.choice(parents, size=rng.integers(1, 5)):
            lat, lon = rng.uniform(-90, 90), rng.uniform(-180, 180)
            people = int(rng.integers(0, 10**6))
            cities.append((f"c{len(cities)}", "name", str(parent), lat, lon, people))
    order = rng.permutation(len(cities))
    return Gazetteer(place_table(countries, regions, [cities[i] for i in order]))


def example(seed: int, prior: str = "none", scale: float = 3.0, n: int = 3) -> Example:
    rng = np.random.default_rng(seed)
    gazetteer = random_gazetteer(rng)
    logits = scale * rng.normal(size=(n, len(gazetteer)))
    log_prior = None if prior == "none" else rng.normal(size=len(gazetteer))
    if log_prior is not None and prior == "closed":
        codes = sorted(set(gazetteer.country_codes))
        closed = np.isin(gazetteer.country_codes, codes[1:]) | (rng.random(len(gazetteer)) < 0.3)
        closed[gazetteer.level_rows("city")[0]] = False
        log_prior[closed] = -np.inf
    return Example(gazetteer, logits, log_prior)


def best_columns(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`top_columns` of log probabilities, and the probabilities there."""
    columns = top_columns(values, k)
    return columns, np.exp(np.take_along_axis(values, columns, axis=1).astype(float))


examples = st.builds(example, st.integers(0, 10**6), st.sampled_from(["none", "soft", "closed"]))
temperature = st.floats(0.1, 10)


def softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    weights = [math.exp(value - top) for value in logits]
    return [weight / sum(weights) for weight in weights]


def slow_joint(
    gazetteer: Gazetteer, logits: np.ndarray, temperatures=(1, 1, 1), log_prior=None
) -> dict[str, float]:
    """Posterior of one photo by city id: a product of softmaxes, loop within loop."""
    places = list(gazetteer)
    row = {place.place_id: i for i, place in enumerate(places)}
    cities = [place for place in places if place.level == "city"]

    def shares(ids: list[str], level: int) -> dict[str, float]:
        return dict(
            zip(ids, softmax([logits[row[i]] / temperatures[level] for i in ids]), strict=True)
        )

    used = {ancestor for city in cities for ancestor in gazetteer.parents_of(city.place_id)}
    weights = {}
    p_country = shares(
        [p.place_id for p in places if p.level == "country" and p.place_id in used], 0
    )
    for country, p in p_country.items():
        below = gazetteer.children(country)
        regions = [i for i in below if gazetteer[i].level == "region" and i in used]
        bare = [i for i in below if gazetteer[i].level == "city"]
        parts = len(regions) + bool(bare)  # bare cities count as one more, average region
        groups = [(p / parts, bare)]
        if regions:
            p_region = shares(regions, 1)
            in_regions = len(regions) / parts
            groups += [(p * p_region[r] * in_regions, gazetteer.children(r)) for r in regions]
        for p_group, members in groups:
            for city, p_city in (shares(members, 2) if members else {}).items():
                prior = 1.0 if log_prior is None else math.exp(log_prior[row[city]])
                weights[city] = p_group * p_city * prior
    total = sum(weights.values())
    return {city: weight / total for city, weight in weights.items()}


@settings(max_examples=150, deadline=None)
@given(examples, st.tuples(temperature, temperature, temperature))
def test_joint_equals_nested_loops(case, temperatures):
    log_p = joint_posterior(
        case.logits, case.hierarchy, Temperatures(*temperatures), case.prior
    ).log_cities
    ids = case.gazetteer.ids[case.hierarchy.cities]
    assert np.exp(log_p).sum(axis=1) == pytest.approx(1)
    for photo in range(len(log_p)):
        slow = slow_joint(case.gazetteer, case.by_row[photo], temperatures, case.log_prior)
        expected = [slow[place_id] for place_id in ids]
        assert np.exp(log_p[photo]) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_the_random_worlds_hold_the_hard_cases():
    worlds = [example(seed).hierarchy for seed in range(60)]
    sizes = [np.bincount(h.group_country[h.city_group]) for h in worlds]
    assert any((s == 1).any() and len(s) > 1 for s in sizes)  # one-city countries
    mixed = [len(np.unique(h.group_country)) < len(h.group_country) for h in worlds]
    assert sum(mixed) > 5
    assert any((h.group_region < 0).any() and (h.group_region >= 0).any() for h in worlds)
    assert any(len(h.regions) == 0 for h in worlds)


def test_joint_by_hand():
    countries = [("AX", "A", "EU", "AX"), ("BX", "B", "EU", "BX")]
    cities = [("a1", "", "AX.1", 0.0, 0.0, 1), ("a2", "", "AX.1", 0.0, 1.0, 1)]
    cities += [("a3", "", "AX.2", 0.0, 2.0, 1), ("b", "", "BX", 0.0, 3.0, 1)]
    g = Gazetteer(place_table(countries, [("AX.1", "1"), ("AX.2", "2")], cities))
    logits = np.log([[3, 1, 1, 4, 1, 9, 1, 1]])  # countries 3:1, regions 1:4, cities 1:9
    log_p = joint_posterior(Example(g, logits, None).logits, Hierarchy.of(g)).log_cities
    assert np.exp(log_p[0]) == pytest.approx([0.015, 0.135, 0.6, 0.25])


@settings(max_examples=60, deadline=None)
@given(examples, st.integers(0, 10**6), st.sampled_from(["joint", "greedy"]))
def test_order_of_the_gazetteer_does_not_matter(case, seed, method):
    g, rng = case.gazetteer, np.random.default_rng(seed)
    # Two cities alone in their groups may be equally probable; then the first goes first.
    p = rank(case.logits, case.hierarchy, PLAIN, len(g), case.prior).probabilities
    assume((-np.diff(p, axis=1) > 1e-9 * p[:, :-1]).all(where=p[:, 1:] > 0))
    frame = place_frame(g)
    shuffled = np.concatenate(
        [rng.permutation(g.level_rows(x)) for x in ("country", "region", "city")]
    )
    other = Example(
        Gazetteer(frame.iloc[shuffled].reset_index(drop=True)),
        case.by_row[:, shuffled],
        None if case.log_prior is None else case.log_prior[shuffled],
    )
    answers, probabilities = [], []
    for one in (case, other):
        how = RankingSettings(method=method, point=PointEstimate.expected_score(4))
        ranking = rank(one.logits, one.hierarchy, how, 3, one.prior)
        ids = one.gazetteer.ids
        listed = ranking.probabilities > 0
        answers.append(
            (
                np.where(listed, ids[one.hierarchy.cities[ranking.cities]], "").tolist(),
                ids[one.hierarchy.cities[ranking.points]].tolist(),
                ids[one.hierarchy.countries[ranking.countries[:, 0]]].tolist(),
            )
        )
        probabilities.append(ranking.probabilities)
    assert answers[0] == answers[1]
    assert probabilities[0] == pytest.approx(probabilities[1], rel=1e-9, abs=1e-15)


def place_frame(g: Gazetteer):
    """The table that would build this gazetteer again."""
    countries = [(g.ids[r], "", "EU", g.ids[r]) for r in g.level_rows("country")]
    regions = [(g.ids[r], "") for r in g.level_rows("region")]
    cities = [
        (g.ids[r], "", g.ids[g.parents[r]], g.lat[r], g.lon[r], int(g.population[r]))
        for r in g.level_rows("city")
    ]
    return place_table(countries, regions, cities)


def slow_greedy(case: Example, photo: int, most: int) -> str:
    """StreetCLIP's procedure: the best country, then the best of its most populous cities.

    A prior is added to the cities' logits, and that of its most favoured city to a country's.
    """
    g, logits = case.gazetteer, case.by_row[photo]
    prior = np.zeros(len(g)) if case.log_prior is None else case.log_prior
    allowed = [(p, row) for row, p in enumerate(g) if p.level == "city" and prior[row] > -np.inf]
    favour: dict[str, float] = {}
    for p, row in allowed:
        favour[p.country_code] = max(favour.get(p.country_code, -np.inf), prior[row])
    country = max(favour, key=lambda code: logits[g.rows([code])[0]] + favour[code])
    inside = [(p, row) for p, row in allowed if p.country_code == country]
    inside.sort(key=lambda pair: -pair[0].population)
    return max(inside[:most], key=lambda pair: logits[pair[1]] + prior[pair[1]])[0].place_id


@settings(max_examples=100, deadline=None)
@given(examples, st.integers(1, 4))
def test_greedy_equals_the_procedure(case, most):
    h = case.hierarchy
    log_p = greedy_posterior(case.logits, h, most, case.prior).log_cities
    best, probabilities = best_columns(log_p, 1)
    expected = [slow_greedy(case, photo, most) for photo in range(len(log_p))]
    assert case.gazetteer.ids[h.cities[best[:, 0]]].tolist() == expected
    assert np.exp(log_p).sum(axis=1) == pytest.approx(1)
    assert ((np.exp(log_p) > 0).sum(axis=1) <= most).all()
    assert (probabilities > 0).all()


def test_greedy_ranks_the_countries_by_their_own_logits():
    case = example(7, n=20)
    assert len(case.hierarchy.countries) == 4
    ranking = rank(case.logits, case.hierarchy, GREEDY)
    expected = np.argsort(-case.logits.country, axis=1)[:, :5]
    assert np.array_equal(ranking.countries, expected)
    cities = case.hierarchy.city_group[ranking.cities[:, 0]]
    assert np.array_equal(case.hierarchy.group_country[cities], ranking.countries[:, 0])


@settings(max_examples=60, deadline=None)
@given(examples, st.integers(1, 6))
def test_expected_score_equals_brute_force(case, m):
    h = case.hierarchy
    log_p = joint_posterior(case.logits, h, prior=case.prior).log_cities
    candidates, probabilities = best_columns(log_p, m)
    points = expected_score_city(candidates, probabilities, h)
    for i, (chosen, cities, p) in enumerate(zip(points, candidates, probabilities, strict=True)):
        gains = {
            a: sum(
                q * float(geoscore(great_circle_km(h.lat[a], h.lon[a], h.lat[b], h.lon[b])))
                for b, q in zip(cities, p, strict=True)
            )
            for a in cities
            if log_p[i, a] > -np.inf
        }
        assert chosen in gains
        assert gains[chosen] == pytest.approx(max(gains.values()), rel=1e-6)


def test_the_point_lies_within_the_narrowed_world():
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = [(f"r{i}", "", "AX", 5 * np.sin(t), 5 * np.cos(t), 1) for i, t in enumerate(turns)]
    countries = [("AX", "A", "EU", "AX"), ("BX", "B", "EU", "BX")]
    g = Gazetteer(place_table(countries, [], [*ring, ("middle", "", "BX", 0.0, 0.0, 1)]))
    h, settings = Hierarchy.of(g), RankingSettings()
    logits = Example(g, np.log([[1000.0, 1.0, *[1.0] * 13]]), None).logits
    is_middle = g.ids[h.cities] == "middle"
    assert is_middle[rank(logits, h, settings).points[0]]  # hardly probable, yet the best hedge
    ranking = rank(logits, h, settings, 13, CityPrior(np.where(is_middle, -np.inf, 0.0)))
    assert not is_middle[ranking.points[0]]
    assert ranking.probabilities[0] == pytest.approx([*[1 / 12] * 12, 0])


@given(
    st.lists(st.sampled_from([-1.0, -2.0, -3.0, -np.inf]), min_size=1, max_size=12),
    st.integers(1, 12),
)
def test_top_columns_break_ties_by_position(values, k):
    table = np.array([values, values[::-1]])
    best, probabilities = best_columns(table, k)
    for row, found, p in zip(table, best, probabilities, strict=True):
        expected = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
        assert found.tolist() == expected
        assert p == pytest.approx(np.exp(row[expected]))


def test_marginals_of_a_ranking():
    case = example(3, "soft", n=40)
    h, g = case.hierarchy, case.gazetteer
    ranking = rank(case.logits, h, PLAIN, 2, case.prior)
    p = np.exp(joint_posterior(case.logits, h, prior=case.prior).log_cities)
    country = h.group_country[h.city_group]
    by_country = np.stack([p[:, country == k].sum(axis=1) for k in range(len(h.countries))], axis=1)
    assert np.array_equal(ranking.countries, np.argsort(-by_country, axis=1)[:, :5])
    assert ranking.country_probabilities == pytest.approx(-np.sort(-by_country)[:, :5])
    chains = g.ancestors[h.cities]
    for i, region in enumerate(ranking.regions):
        sums: dict[tuple[int, int], float] = {}
        for chain, share in zip(chains, p[i], strict=True):
            key = (chain[0], chain[1])
            sums[key] = sums.get(key, 0.0) + share
        best = max(sums, key=lambda key: sums[key])[1]
        assert (h.regions[region] if region >= 0 else -1) == best
    assert ranking.cities.shape == ranking.probabilities.shape == (40, 2)
    assert np.array_equal(ranking.points, ranking.cities[:, 0])


def test_top_k_above_the_number_of_cities_gives_all_of_them():
    case = example(1)
    regions = RankingSettings(point=PointEstimate.expected_score_regions())
    for how in (PLAIN, GREEDY, RankingSettings(), regions):
        ranking = rank(case.logits, case.hierarchy, how, top_k=1000)
        assert ranking.cities.shape == (3, len(case.hierarchy.cities))
        assert all(len(set(row)) == len(row) for row in ranking.cities)


def test_no_photos():
    case = example(2, n=0)
    for how in (PLAIN, GREEDY, RankingSettings()):
        ranking = rank(case.logits, case.hierarchy, how)
        assert len(ranking.cities) == len(ranking.points) == len(ranking.countries) == 0


@pytest.mark.parametrize("method", ["joint", "greedy"])
@pytest.mark.parametrize(
    ("value", "message"), [(-np.inf, "excludes every city"), (np.nan, "NaN"), (np.inf, r"\+inf")]
)
def test_impossible_priors_are_refused(method, value, message):
    case = example(4)
    settings, weights = RankingSettings(method=method), np.full(len(case.hierarchy.cities), value)
    with pytest.raises(GeoclipError, match=message):
        rank(case.logits, case.hierarchy, settings, 5, CityPrior(weights))


def test_top_k_below_one_is_refused():
    case = example(4)
    with pytest.raises(GeoclipError, match="top_k is 0"):
        rank(case.logits, case.hierarchy, PLAIN, 0)


def test_float32_is_stable_at_a_logit_scale_of_100(world):
    rng, h, n, d = np.random.default_rng(0), Hierarchy.of(world), 4, 64
    photos, places = (rng.normal(size=(k, d)).astype(np.float32) for k in (n, len(world)))
    photos, places = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (photos, places))
    single = LevelEmbeddings.of(places, h).logits(photos, 100.0)
    double = LevelEmbeddings.of(places.astype(float), h).logits(photos.astype(float), 100.0)
    assert single.city.dtype == np.float32
    narrow, wide = (joint_posterior(s, h).log_cities for s in (single, double))
    assert narrow.dtype == np.float32
    assert np.isfinite(narrow).all()
    assert abs(narrow - wide).max() < 2e-3
    assert np.exp(narrow.astype(float)).sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert np.array_equal(top_columns(narrow, 5), top_columns(wide, 5))


def test_logits_are_scaled_dot_products(small_gazetteer):
    rng, h = np.random.default_rng(0), Hierarchy.of(small_gazetteer)
    photos, places = rng.normal(size=(3, 4)), rng.normal(size=(len(small_gazetteer), 4))
    logits = LevelEmbeddings.of(places, h).logits(photos, 7.0)
    for values, rows in zip(
        (logits.country, logits.region, logits.city),
        (h.countries, h.regions, h.cities),
        strict=True,
    ):
        expected = [[7 * float(photo @ places[row]) for row in rows] for photo in photos]
        assert values == pytest.approx(np.array(expected))


def share_of_single_cities(world: Gazetteer, settings=PLAIN, log_prior=None) -> float:
    """How often meaningless logits put a country with one listed city first."""
    h, rng = Hierarchy.of(world), np.random.default_rng(1)
    sizes = (len(h.countries), len(h.regions), len(h.cities))
    logits = Logits(*(rng.normal(size=(100, size)).astype(np.float32) for size in sizes))
    first = rank(logits, h, settings, 1, CityPrior(log_prior)).cities[:, 0]
    country = h.group_country[h.city_group]
    return float((np.bincount(country)[country[first]] == 1).mean())


def test_joint_favours_countries_with_one_listed_city(world):
    plain = share_of_single_cities(world)
    assert plain > 0.6  # of 48 countries among 244, 48 cities among 34,006
    sharper = RankingSettings(point=PointEstimate.city(), temperatures=Temperatures(1, 0.3, 0.3))
    assert share_of_single_cities(world, sharper) < 0.7 * plain
    population = np.log1p(Hierarchy.of(world).population)
    assert share_of_single_cities(world, PLAIN, population) < 0.1 * plain


@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_and_threads_change_nothing(world, monkeypatch, threads):
    rng, h = np.random.default_rng(2), Hierarchy.of(world)
    photos, places = rng.normal(size=(11, 8)), rng.normal(size=(len(world), 8))
    levels = LevelEmbeddings.of(places, h)
    settings = RankingSettings(radius_share=0.5)
    whole = rank(levels.logits(photos, 2.0), h, settings, 3)
    monkeypatch.setattr("geoclip.ranking.ranking.BLOCK", 5)
    monkeypatch.setattr("geoclip.ranking.ranking.CACHE_ROWS", 2)
    parts = rank_embeddings(photos, levels, h, 2.0, settings, 3, threads=threads)
    for field in fields(whole):
        assert getattr(parts, field.name) == pytest.approx(
            getattr(whole, field.name), rel=1e-9, nan_ok=True
        )


def test_half_precision_embeddings_are_ranked_in_single(small_gazetteer):
    h = Hierarchy.of(small_gazetteer)
    half = np.random.default_rng(0).normal(size=(len(small_gazetteer), 4)).astype(np.float16)
    levels = LevelEmbeddings.of(half, h)
    assert levels.city.dtype == levels.country.dtype == levels.region.dtype == np.float32
    assert np.array_equal(levels.city, half[h.cities].astype(np.float32))


@pytest.mark.parametrize("scale", [1.0, 30.0, 3000.0])
def test_groups_far_below_the_best_keep_their_order_in_float32(world, scale):
    """Exponentials of their logits vanish beside the best one's, but not their cities' shares."""
    h, rng = Hierarchy.of(world), np.random.default_rng(0)
    sizes = (len(h.countries), len(h.regions), len(h.cities))
    wide = Logits(*(scale * rng.normal(size=(2, size)) for size in sizes))
    narrow = Logits(*(x.astype(np.float32) for x in (wide.country, wide.region, wide.city)))
    log_p, exact = (joint_posterior(s, h).log_cities for s in (narrow, wide))
    assert log_p.dtype == np.float32
    assert log_p == pytest.approx(exact, rel=1e-5, abs=2e-3)


LOGITS = st.floats(-300, 300, width=32) | st.just(-np.inf)


@given(arrays(st.sampled_from([np.float32, np.float64]), (3, 200), elements=LOGITS))
@settings(max_examples=50, deadline=None)
def test_the_log_softmax_of_rows_is_scipys_to_the_last_bit(logits):
    np.testing.assert_array_equal(log_softmax(logits), special.log_softmax(logits, axis=1))


def test_shares_of_groups_far_below_and_of_excluded_ones_in_float32():
    low, none = -200.0, -np.inf
    logits = np.array(
        [[0, low, low, none, none], [0, none, none, none, none], [none] * 5], np.float32
    )
    found = log_softmax_in_segments(logits, np.array([0, 1, 3]), np.zeros((3, 3), np.float32))
    half = math.log(0.5)
    expected = [[0, half, half, none, none], [0, none, none, none, none], [none] * 5]
    assert found == pytest.approx(np.array(expected), abs=1e-5)


@pytest.mark.parametrize("k", [1, 7, 100, 5000])
def test_top_columns_of_many_columns_with_ties(k):
    table = np.random.default_rng(k).integers(-900, 0, (5, 5003)).astype(np.float32)
    table[3] = 0
    table[4, 10:] = -np.inf
    best, probabilities = best_columns(table, k)
    for row, found, p in zip(table, best, probabilities, strict=True):
        expected = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
        assert found.tolist() == expected
        assert p == pytest.approx(np.exp(row[expected].astype(float)))


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("k", [1, 5, 100])
@pytest.mark.parametrize("prior", ["none", "soft", "few"])
def test_the_top_cities_are_those_of_the_whole_posterior(world, scale, k, prior):
    h, rng = Hierarchy.of(world), np.random.default_rng(k)
    sizes = (len(h.countries), len(h.regions), len(h.cities))
    logits = Logits(*((scale * rng.normal(size=(9, n))).astype(np.float32) for n in sizes))
    log_prior = None
    if prior != "none":
        log_prior = rng.normal(size=len(h.cities)).astype(np.float32)
    if prior == "few":
        log_prior[rng.permutation(len(h.cities))[3:]] = -np.inf
    posterior = joint_posterior(logits, h, prior=CityPrior(log_prior))
    best, probabilities = top_cities(posterior, k)
    expected = np.argsort(-posterior.log_cities, axis=1, kind="stable")[:, :k]
    expected_p = np.exp(np.take_along_axis(posterior.log_cities, expected, axis=1).astype(float))
    np.testing.assert_allclose(probabilities, expected_p, rtol=1e-4)
    p = np.exp(posterior.log_cities.astype(float))
    np.testing.assert_allclose(np.take_along_axis(p, best, axis=1), expected_p, rtol=1e-4)
    assert all(len(set(row)) == min(k, len(h.cities)) for row in best.tolist())
    assert best.tolist() == expected.tolist()


@settings(max_examples=60, deadline=None)
@given(examples, st.sampled_from([0.5, 1.0, 1.4, 3.0]))
def test_the_region_point_equals_nested_loops(case, temperature):
    h = case.hierarchy
    posterior = joint_posterior(case.logits, h, prior=case.prior)
    groups = expected_score_group(posterior, temperature)
    points, of_points = (x[:, 0] for x in group_cities(posterior, groups[:, None]))
    members = [np.flatnonzero(h.city_group == group) for group in range(len(h.group_starts))]
    centres = [
        spherical_mean(h.lat[rows], h.lon[rows], np.sqrt(np.maximum(h.population[rows], 1)))
        for rows in members
    ]
    for photo, point in enumerate(points):
        p = np.exp(posterior.log_cities[photo])
        p_group = [p[rows].sum() for rows in members]
        gains = [
            sum(
                q ** (1 / temperature)
                * 5000
                * math.exp(-float(great_circle_km(*here, *there)) / 1492.7)
                for q, there in zip(p_group, centres, strict=True)
            )
            if own > 0
            else -1.0
            for here, own in zip(centres, p_group, strict=True)
        ]
        chosen = h.city_group[point]
        assert gains[chosen] == pytest.approx(max(gains), rel=1e-4)
        assert p[point] == p[members[chosen]].max()
        assert of_points[photo] == pytest.approx(p[point])


def test_the_region_point_sees_what_lies_beyond_the_best_cities():
    """One city of 30 % far away against 70 % spread over a cluster of ten regions."""
    regions = [("AX.0", "AX"), *((f"BX.{i}", "BX") for i in range(10))]
    cities = [("far", "n", "AX.0", 0.0, 0.0, 10)]
    cities += [(f"b{i}", "n", f"BX.{i}", 40.0 + i / 10, 100.0, 10) for i in range(10)]
    countries = [("AX", "AX", "EU", "AX"), ("BX", "BX", "AS", "BX")]
    h = Hierarchy.of(Gazetteer(place_table(countries, regions, cities)))
    logits = Logits(np.log([[0.3, 0.7]]), np.zeros((1, 11)), np.zeros((1, 11)))
    by_cities = rank(logits, h, RankingSettings(point=PointEstimate.expected_score(1)))
    by_regions = rank(logits, h, RankingSettings(point=PointEstimate.expected_score_regions()))
    assert h.lat[by_cities.points[0]] == 0
    assert 40 <= h.lat[by_regions.points[0]] <= 41


@settings(max_examples=60, deadline=None)
@given(examples, st.integers(1, 6))
def test_the_region_point_is_named_first_then_a_city_of_each_country(case, top_k):
    h = case.hierarchy
    ranking = rank(
        case.logits,
        h,
        RankingSettings(point=PointEstimate.expected_score_regions()),
        top_k,
        case.prior,
    )
    posterior = joint_posterior(case.logits, h, prior=case.prior)
    by_probability = top_columns(posterior.log_cities, len(h.cities))
    for photo, cities in enumerate(ranking.cities):
        p = np.exp(posterior.log_cities[photo].astype(np.float64))
        expected = [ranking.points[photo]]
        for country in ranking.countries[photo][:top_k]:
            groups = np.flatnonzero(h.group_country == country)
            likeliest = groups[posterior.log_groups[photo, groups].argmax()]
            inside = np.flatnonzero(h.city_group == likeliest)
            if country != h.city_country[expected[0]] and p[inside].max() > 0:
                expected.append(inside[posterior.log_cities[photo, inside].argmax()])
        expected += [city for city in by_probability[photo] if city not in expected]
        possible = [city for city in expected if p[city] > 0][: len(cities)]
        assert list(cities[: len(possible)]) == possible
        np.testing.assert_allclose(ranking.probabilities[photo], p[cities], rtol=1e-5, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(examples, st.floats(-0.5, 1.5))
def test_countries_weigh_by_their_size_inside_their_continent(case, power):
    h = case.hierarchy
    starts = np.flatnonzero(np.r_[True, np.diff(h.group_country) > 0])

    def by_country(exponent: float) -> np.ndarray:
        prior = CityPrior(country_size_exponent=exponent)
        posterior = joint_posterior(case.logits, h, prior=prior)
        return np.add.reduceat(np.exp(posterior.log_groups.astype(np.float64)), starts, axis=1)

    plain, found = by_country(0.0), by_country(power)
    continents = case.gazetteer.continents[h.countries]
    sizes = [np.count_nonzero(h.city_country == country) for country in range(len(h.countries))]
    for photo in range(len(plain)):
        for continent in set(continents):
            inside = np.flatnonzero(continents == continent)
            weights = np.array([plain[photo, c] * sizes[c] ** power for c in inside])
            share = weights / weights.sum() * plain[photo, inside].sum()
            np.testing.assert_allclose(found[photo, inside], share, rtol=1e-3, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    case=examples,
    temperature=st.sampled_from([0.5, 1.0, 2.5]),
    by_country=st.sampled_from([1.0, 3.0]),
)
def test_a_continent_temperature_keeps_what_lies_inside(case, temperature, by_country):
    h = case.hierarchy
    plain = joint_posterior(case.logits, h, Temperatures(by_country))
    softer = joint_posterior(case.logits, h, Temperatures(by_country, continent=temperature))
    for before, after in zip(plain.countries, softer.countries, strict=True):
        inside = [np.flatnonzero(h.country_continent == c) for c in range(len(h.continents))]
        raised = [before[i].sum() ** (1 / temperature) for i in inside]
        for countries, own in zip(inside, raised, strict=True):
            share = before[countries] / before[countries].sum()
            np.testing.assert_allclose(after[countries], share * own / sum(raised), rtol=1e-5)
    within = softer.groups / softer.countries[:, h.group_country]
    np.testing.assert_allclose(
        within, plain.groups / plain.countries[:, h.group_country], rtol=1e-5
    )


def test_a_country_size_exponent_is_finite():
    with pytest.raises(GeoclipError, match="country_size_exponent"):
        Prior(country_size_exponent=np.nan)


def test_the_prior_of_the_settings_joins_the_users(small_gazetteer):
    h = Hierarchy.of(small_gazetteer)
    codes = small_gazetteer.country_codes[h.cities]
    own = np.where(codes == "NL", -np.inf, 0.5)
    joined = CityPrior.of(Prior(("FR", "NL"), 0.25, country_size_exponent=0.1), h, own)
    expected = np.select([codes == "NL", codes == "FR"], [-np.inf, 0.25], 0.5)
    assert joined.log_weights.tolist() == expected.tolist()
    assert joined.country_size_exponent == 0.1
    assert np.array_equal(joined.allowed(h), codes != "NL")
    alone = CityPrior.of(Prior(("FR",), 0.25), h)
    assert alone.log_weights.tolist() == np.where(codes == "FR", -0.25, 0.0).tolist()
    assert CityPrior.of(Prior(), h) == NO_PRIOR
    assert CityPrior.of(Prior(), h, own).log_weights is own


def test_a_ranking_has_the_prior_of_its_settings(small_gazetteer):
    h = Hierarchy.of(small_gazetteer)
    flat = Logits(*(np.zeros((1, len(rows))) for rows in (h.countries, h.regions, h.cities)))
    held = RankingSettings(prior=Prior(tuple(h.country_codes[1:]), stacking_factor=50.0))
    assert rank(flat, h, held).country_probabilities[0, 0] == pytest.approx(1)
    assert rank(flat, h, held).countries[0, 0] == 0


def territories(ranking, hierarchy: Hierarchy) -> float:
    """Percent of the reported points in countries with at most two listed cities."""
    small = np.bincount(hierarchy.city_country) <= 2
    return 100 * float(small[hierarchy.city_country[ranking.points]].mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_uncalibrated_model_does_not_favour_territories(seed, world):
    rng, h, d = np.random.default_rng(seed), Hierarchy.of(world), 512
    places = rng.normal(size=(len(world), d)).astype(np.float32)
    photos = rng.normal(size=(300, d)).astype(np.float32)
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    levels = LevelEmbeddings.of(places, h)
    shares = {}
    for scale in (100.0, 1 / 0.07):  # of hub models; of a new CLIP
        for how in (UNCALIBRATED, RankingSettings()):
            found = rank_embeddings(photos, levels, h, scale, how)
            shares[scale, how.prior.population_exponent] = territories(found, h)
    assert shares[100.0, 1.0] <= 2 and shares[1 / 0.07, 1.0] <= 2
    assert shares[100.0, 0.0] > 15 and shares[1 / 0.07, 0.0] > 15


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(-2, 2))
def test_the_population_prior_equals_nested_loops(seed, exponent):
    case = example(seed)
    g, h = case.gazetteer, case.hierarchy
    log_p = joint_posterior(case.logits, h, prior=CityPrior(population_exponent=exponent))
    for photo, found in enumerate(log_p.log_cities):
        weights = {}
        for city, share in slow_joint(g, case.by_row[photo]).items():
            country = g[city].country_code
            listed = [p for p in g if p.level == "city" and p.country_code == country]
            people = sum(max(p.population, 1) for p in listed)
            weights[city] = share * people**exponent
        total = sum(weights.values())
        expected = [weights[place_id] / total for place_id in g.ids[h.cities]]
        assert np.exp(found) == pytest.approx(expected, rel=1e-9, abs=1e-15)
