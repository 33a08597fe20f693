"""No row contradicts another: levels, places, probabilities and the point, over any posterior."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import CITIES, COUNTRIES, REGIONS, place_table

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.confidence import Level, LevelProbabilities, LevelRule
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.level_ranking import LevelRanking, rank_at_level
from geoclip.ranking.logits import Logits
from geoclip.ranking.main_cities import MainCities
from geoclip.ranking.point_estimate import credible_radius_km
from geoclip.ranking.posterior import Posterior, posterior_of
from geoclip.ranking.prior import CityPrior
from geoclip.ranking.settings import PointEstimate, RankingSettings

PLACES = Gazetteer(place_table(COUNTRIES, REGIONS, CITIES))
H = Hierarchy.of(PLACES)
N = 5
POINTS = (
    PointEstimate.city(),
    PointEstimate.expected_score(),
    PointEstimate.expected_score_regions(1.7),
)


@dataclass
class Case:
    posterior: Posterior
    settings: RankingSettings
    ranking: LevelRanking
    rule: LevelRule


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.0, 1.0, 3.0, 30.0]))
    sizes = (len(H.countries), len(H.regions), len(H.cities))
    logits = Logits(*(rng.normal(scale=scale, size=(N, m)).astype(np.float32) for m in sizes))
    weights = np.where(rng.random(len(H.cities)) < draw(st.sampled_from([0, 0.5])), -np.inf, 0.0)
    weights[rng.integers(len(weights))] = 0.0
    chosen = RankingSettings(
        method=draw(st.sampled_from(["joint", "greedy"])),
        point=draw(st.sampled_from(POINTS)),
        radius_share=draw(st.sampled_from([0.0, 0.5])),
    )
    posterior = posterior_of(logits, H, chosen, CityPrior(weights))
    if chosen.method == "joint" and draw(st.booleans()):
        few = np.argsort(-posterior.log_cities, axis=1)[:, :3]
        listed = np.exp(np.take_along_axis(posterior.log_cities, few, axis=1).astype(float))
        posterior = Posterior.of_cities(few, listed, H)
    level = draw(st.sampled_from(["auto"] * 4 + ["continent", "country", "region", "city"]))
    rule = LevelRule(level, draw(st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0])))
    k = draw(st.integers(1, 12))
    return Case(posterior, chosen, rank_at_level(posterior, chosen, rule, k), rule)


def slow_probabilities(case: Case, photo: int) -> list[dict[int, float]]:
    """Of every continent, country, region and city, by position; regions with -1 for none."""
    p = np.exp(case.posterior.log_cities[photo].astype(np.float64))
    countries = case.posterior.countries[photo].astype(np.float64)
    if case.settings.method == "greedy":
        p = p * countries.max()
    sums: list[dict[int, float]] = [{}, dict(enumerate(countries)), {}, dict(enumerate(p))]
    for country, value in enumerate(countries):
        continent = int(H.country_continent[country])
        sums[0][continent] = sums[0].get(continent, 0.0) + value
    for city, value in enumerate(p):
        group = int(H.city_group[city])
        sums[2][group] = sums[2].get(group, 0.0) + value
    return sums


@settings(max_examples=200, deadline=None)
@given(cases())
def test_levels_places_and_probabilities(case: Case) -> None:
    r = case.ranking
    for photo in range(N):
        sums = slow_probabilities(case, photo)
        best = [max(of_level.values()) for of_level in sums]
        likeliest = max(sums[2], key=lambda group: sums[2][group])
        close = 1e-5  # float32
        depth = int(r.level[photo])
        if case.rule.level == "auto":
            for deeper in range(depth + 1, 5):  # no deeper level is vouched for
                bare = deeper == Level.region and H.group_region[likeliest] < 0
                assert bare or best[deeper - 1] < case.rule.confidence + close
            assert depth == 0 or best[depth - 1] >= case.rule.confidence - close
        else:
            fallen = (case.rule.level, depth) == ("region", Level.country)
            assert Level(depth).name == case.rule.level or fallen
        own = max(depth, 1) - 1
        listed = np.flatnonzero(r.listed[photo])
        assert listed.tolist() == list(range(len(listed))) and len(listed)
        values = r.probabilities[photo, listed, own]
        assert values[0] == pytest.approx(best[own], rel=1e-4, abs=1e-6)
        assert (np.diff(values) <= 1e-6).all() and (values > 0).all() and (values <= 1).all()
        assert len({tuple(place) for place in r.places[photo, listed]}) == len(listed)
        for place, p in zip(r.places[photo, listed], r.probabilities[photo, listed], strict=True):
            assert (np.diff(p[~np.isnan(p)]) <= 0).all()  # an ancestor's is at least as much
            assert (np.isnan(p) == (place < 0)).all()
            assert (place[own + 1 :] < 0).all() and (place[:2][: own + 1] >= 0).all()


@settings(max_examples=200, deadline=None)
@given(cases())
def test_the_point_lies_inside_the_first_place_and_is_the_best_there(case: Case) -> None:
    r, posterior = case.ranking, case.posterior
    of_cities = (
        H.country_continent[H.city_country], H.city_country,
        H.group_region[H.city_group], np.arange(len(H.cities)),
    )  # fmt: skip
    for photo, point in enumerate(r.points):
        inside = np.ones(len(H.cities), bool)
        if r.level[photo] > Level.none:
            for named, of_city in zip(r.places[photo, 0], of_cities, strict=True):
                inside &= (named < 0) | (of_city == named)
        assert inside[point]
        assert posterior.allowed[point] or not (posterior.allowed & inside).any()
        candidates = inside & (posterior.groups[photo] > 0)[H.city_group]
        if not candidates.any() or r.level[photo] == Level.city:
            continue
        p = posterior.log_cities[photo]
        if case.settings.point.rule == "city":
            assert p[point] == p[candidates].max()
            continue
        weights = posterior.groups[photo] ** (1 / (case.settings.point.temperature or 1.0))
        gain = {
            group: float((weights * H.group_geoscores[:, group]).sum())
            for group in np.unique(H.city_group[candidates])
        }
        group = H.city_group[point]
        assert gain[group] == pytest.approx(max(gain.values()), rel=1e-4)
        assert p[point] == p[candidates & (H.city_group == group)].max()


@settings(max_examples=50, deadline=None)
@given(cases())
def test_both_radii_are_about_the_point(case: Case) -> None:
    r = case.ranking
    if not case.settings.radius_share:
        assert np.isnan(r.radius).all() and np.isnan(r.radius_90).all()
        return
    half, wide = credible_radius_km(case.posterior, r.points, 0.5, 0.9)
    np.testing.assert_array_equal(r.radius, half)
    np.testing.assert_array_equal(r.radius_90, wide)
    assert not (r.radius > r.radius_90).any()


def test_a_likeliest_group_without_a_region_is_answered_by_country() -> None:
    """Shenzhen lies in no region, Beijing in one."""
    position = {str(PLACES.ids[row]): i for i, row in enumerate(H.cities)}
    cities = np.array([[position["shenzhen"], position["beijing"], position["lyon"]]])
    for p, wanted in (([0.45, 0.4, 0.15], "country"), ([0.4, 0.55, 0.05], "city")):
        posterior = Posterior.of_cities(cities, np.array([p]), H)
        found = LevelRule().levels(LevelProbabilities.of(posterior))
        assert Level(found[0]).name == wanted
    posterior = Posterior.of_cities(cities, np.array([[0.5, 0.4, 0.1]]), H)
    r = rank_at_level(posterior, RankingSettings(), LevelRule("region"), 5)
    assert Level(r.level[0]).name == "country"
    codes = H.country_codes[r.places[0, r.listed[0], 1]].tolist()
    assert codes == ["CN", "FR"]
    r = rank_at_level(posterior, RankingSettings(), LevelRule("city"), 5)
    assert np.isnan(r.probabilities[0, :, 2]).tolist()[:3] == [True, False, False]
    assert r.places[0, 0].tolist()[2:] == [-1, position["shenzhen"]]


def test_main_cities() -> None:
    every = np.ones(len(H.cities), bool)
    names = lambda main, level: PLACES.ids[H.cities[main.of_level[level]]].tolist()  # noqa: E731
    main = MainCities.of(H, every)
    assert dict(zip(H.continents, names(main, 0), strict=True)) == {
        "AF": "denis3", "AS": "beijing", "EU": "paris",
    }  # fmt: skip
    assert dict(zip(H.country_codes, names(main, 1), strict=True))["FR"] == "paris"
    without = MainCities.of(H, PLACES.ids[H.cities] != "paris")
    assert dict(zip(H.country_codes, names(without, 1), strict=True))["FR"] == "lyon"
    chains = np.array([[2, 1, -1, -1], [2, -1, -1, -1], [2, 1, 0, -1], [2, 1, 0, 3]])
    found = main.of_places(chains)
    assert found.tolist()[:2] == [main.of_level[1][1], main.of_level[0][2]]
    assert found.tolist()[2:] == [main.of_level[2][0], 3]


@pytest.mark.parametrize("given", [{"level": "none"}, {"confidence": -0.1}])
def test_bad_rules(given: dict[str, object]) -> None:
    with pytest.raises(GeoclipError, match=f"{next(iter(given))} is"):
        LevelRule(**given)  # type: ignore[arg-type]
