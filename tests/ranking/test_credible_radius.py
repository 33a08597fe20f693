"""Radius and far mass of a posterior against nested loops over its cities."""

import numpy as np
import pytest
from hypothesis import example as always
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ranking import Example, example, examples

from geoclip.places.sphere import EARTH_RADIUS_KM, great_circle_km, unit_vectors
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.logits import Logits
from geoclip.ranking.point_estimate import credible_radius_km, mass_within
from geoclip.ranking.posterior import Posterior, joint_posterior
from geoclip.ranking.prior import CityPrior
from geoclip.ranking.ranking import rank
from geoclip.ranking.settings import PointEstimate, RankingSettings


def slow_group_km(case: Example, lat: float, lon: float) -> list[float]:
    """Root mean square chord from a point to each group's open cities, as great-circle km."""
    h = case.hierarchy
    prior = np.zeros(len(h.cities)) if case.log_prior is None else case.log_prior[h.cities]
    point = unit_vectors(lat, lon)
    result = []
    for group in range(len(h.group_starts)):
        total = weight = 0.0
        for city in np.flatnonzero((h.city_group == group) & np.isfinite(prior)):
            w = max(h.population[city], 1) ** 0.5
            total += w * float(np.sum((point - unit_vectors(h.lat[city], h.lon[city])) ** 2))
            weight += w
        half = min((total / weight) ** 0.5 / 2, 1.0) if weight else np.nan
        result.append(2 * EARTH_RADIUS_KM * float(np.arcsin(half)))
    return result


def posterior_of_case(case: Example) -> Posterior:
    return joint_posterior(case.logits, case.hierarchy, prior=case.prior)


@settings(max_examples=60, deadline=None)
@given(examples, st.sampled_from([0.1, 0.5, 0.9]))
@always(example(822), 0.5)  # half of it adds up to 0.4999999999999998
def test_the_radius_is_the_smallest_that_holds_the_share(case, share):
    posterior, h = posterior_of_case(case), case.hierarchy
    cities = np.arange(len(posterior.groups)) % len(h.cities)
    for i, radius in enumerate(credible_radius_km(posterior, cities, share)[0]):
        km = slow_group_km(case, h.lat[cities[i]], h.lon[cities[i]])
        within = [d for d in km if sum_within(posterior.groups[i], km, d) >= share - 1e-9]
        if np.isnan(radius):  # a city alone
            assert min(within) < 0.5
        else:
            assert radius == pytest.approx(min(within), rel=1e-6, abs=0.5)


def sum_within(groups: np.ndarray, km: list[float], radius: float) -> float:
    return sum(float(p) for p, d in zip(groups, km, strict=True) if d <= radius)


@settings(max_examples=60, deadline=None)
@given(examples, st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 20000))
def test_the_mass_within_is_what_lies_no_further(case, lat, lon, limit):
    posterior = posterior_of_case(case)
    n = len(posterior.groups)
    near = mass_within(posterior, np.full(n, lat), np.full(n, lon), limit)
    km = slow_group_km(case, lat, lon)
    for i in range(n):
        sums = [sum_within(posterior.groups[i], km, limit + e) for e in (-0.5, 0.5)]
        assert sums[0] - 1e-6 <= near[i] <= sums[1] + 1e-6


def test_a_point_that_is_not_known_has_no_mass_near_it():
    case = example(3)
    near = mass_within(posterior_of_case(case), np.array([0, np.nan, 0]), np.zeros(3), 100.0)
    assert np.isnan(near).tolist() == [False, True, False]


def test_a_region_is_as_wide_as_its_cities_lie_apart(world):
    h = Hierarchy.of(world)
    rng = np.random.default_rng(0)
    logits = Logits(
        *(rng.normal(size=(4, len(x))) * 50 for x in (h.countries, h.regions, h.cities))
    )
    ranking = rank(
        logits, h, RankingSettings(point=PointEstimate.expected_score_regions(), radius_share=0.5)
    )
    group = h.city_group[ranking.points]
    for radius, point, own in zip(ranking.radius, ranking.points, group, strict=True):
        others = np.flatnonzero(h.city_group == own)
        km = great_circle_km(h.lat[point], h.lon[point], h.lat[others], h.lon[others])
        if len(others) == 1:
            assert np.isnan(radius)
        else:
            assert 0 < radius <= km.max() * 1.01  # nearly all is in one region


def test_no_radius_is_stated_without_a_share():
    case = example(5)
    assert np.isnan(rank(case.logits, case.hierarchy, RankingSettings()).radius).all()


def test_the_radius_of_a_narrowed_world_ends_at_its_borders(world):
    h = Hierarchy.of(world)
    rng = np.random.default_rng(1)
    logits = Logits(*(rng.normal(size=(6, len(x))) for x in (h.countries, h.regions, h.cities)))
    centre = int(np.argmax(h.population))
    km = great_circle_km(h.lat[centre], h.lon[centre], h.lat, h.lon)
    prior = np.where(km <= np.sort(km)[2], 0.0, -np.inf)  # three cities, whatever their regions
    asked = RankingSettings(point=PointEstimate.expected_score_regions(), radius_share=0.9)
    ranking = rank(logits, h, asked, prior=CityPrior(prior))
    inside = np.flatnonzero(np.isfinite(prior))
    for radius, point in zip(ranking.radius, ranking.points, strict=True):
        farthest = great_circle_km(h.lat[point], h.lon[point], h.lat[inside], h.lon[inside]).max()
        assert np.isnan(radius) or radius <= farthest + 0.5
    assert np.isfinite(ranking.radius).any()
