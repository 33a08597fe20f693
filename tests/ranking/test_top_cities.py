"""The most probable cities against a posterior summed up in nested loops, in float64."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ranking import Example, example, slow_greedy, slow_joint

from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.logits import Logits
from geoclip.ranking.posterior import Posterior, greedy_posterior, joint_posterior
from geoclip.ranking.top_cities import group_cities, top_cities

PRIORS = ("none", "soft", "closed", "by country", "some")


@st.composite
def cases(draw: st.DrawFn) -> Example:
    """Worlds with ties, wide and narrow logits, and priors that are even or uneven in a group."""
    prior = draw(st.sampled_from(PRIORS))
    own = prior if prior in ("none", "soft", "closed") else "soft"
    case = example(draw(st.integers(0, 10**6)), own, draw(st.sampled_from([0.0, 1.0, 40.0])))
    by_row = case.by_row.round() if draw(st.booleans()) else case.by_row
    log_prior, codes = case.log_prior, case.gazetteer.country_codes
    if prior == "by country":
        log_prior = np.where(codes == codes[0], 0.0, draw(st.sampled_from([-0.5, -np.inf])))
    elif prior == "some":  # at least one city is left
        log_prior = np.where(np.arange(len(codes)) % 3 == len(codes) % 3, -np.inf, 0.0)
        log_prior[case.gazetteer.level_rows("city")[-1]] = 0.0
    return Example(case.gazetteer, by_row, log_prior)


def slow(case: Example) -> np.ndarray:
    """Probabilities (N, Q) by position in the hierarchy."""
    ids = case.gazetteer.ids[case.hierarchy.cities]
    rows = (slow_joint(case.gazetteer, x, log_prior=case.log_prior) for x in case.by_row)
    return np.array([[p[place_id] for place_id in ids] for p in rows])


def in_float32(logits: Logits) -> Logits:
    return Logits(*(x.astype(np.float32) for x in (logits.country, logits.region, logits.city)))


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(1, 25), st.booleans())
def test_top_cities_equal_nested_loops(case: Example, k: int, single: bool) -> None:
    h, expected = case.hierarchy, slow(case)
    logits = in_float32(case.logits) if single else case.logits
    found, probabilities = top_cities(joint_posterior(logits, h, prior=case.prior), k)
    close = 2e-5 if single else 1e-12
    k = min(k, len(h.cities))
    assert found.shape == probabilities.shape == (len(expected), k)
    assert -np.sort(-expected, axis=1)[:, :k] == pytest.approx(probabilities, abs=close)
    assert np.take_along_axis(expected, found, axis=1) == pytest.approx(probabilities, abs=close)
    assert (np.diff(probabilities, axis=1) <= 0).all()
    own = np.zeros(len(h.cities)) if case.prior.log_weights is None else case.prior.log_weights
    for row, values in zip(found, logits.city + own, strict=True):
        assert len(set(row)) == k
        alike = [(h.city_group[i], values[i]) for i in row]
        for i, (a, b) in enumerate(pairwise(row)):
            assert a < b or alike[i] != alike[i + 1]  # of equal cities the first comes first


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 4), st.integers(1, 25))
def test_a_greedy_list_starts_with_the_procedures_answer(case: Example, most: int, k: int) -> None:
    h, countries = case.hierarchy, case.gazetteer.level_rows("country")
    case.by_row[:, countries] += 1e-3 * np.arange(len(countries))  # of two as good either may go
    posterior = greedy_posterior(case.logits, h, most, case.prior)
    found, probabilities = top_cities(posterior, k)
    assert all(len(set(row)) == min(k, len(h.cities)) for row in found)
    for photo, (row, p) in enumerate(zip(found, probabilities, strict=True)):
        best = slow_greedy(case, photo, most)
        values = case.by_row[photo] + (0 if case.log_prior is None else case.log_prior)
        wanted, given_back = case.gazetteer.rows([best])[0], h.cities[row[0]]
        assert values[given_back] == values[wanted]  # the same, or one as good
        inside = values[h.cities[row[p > 0]]]
        weights = np.exp(inside - inside.max())
        if (p > 0).sum() < k:
            assert p[p > 0] == pytest.approx(weights / weights.sum())


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_best_city_of_each_group(case: Example) -> None:
    h, expected = case.hierarchy, slow(case)
    posterior = joint_posterior(case.logits, h, prior=case.prior)
    groups = np.tile(np.arange(len(h.group_starts))[::-1], (len(expected), 1))
    cities, probabilities = group_cities(posterior, groups)
    assert (h.city_group[cities] == groups).all()
    for group, found, p in zip(groups[0], cities.T, probabilities.T, strict=True):
        members = np.flatnonzero(h.city_group == group)
        best = expected[:, members].max(axis=1)
        assert p == pytest.approx(best, abs=1e-12)
        assert expected[np.arange(len(found)), found] == pytest.approx(best, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 10**6))
def test_a_citys_probability_is_the_same_in_any_company(case: Example, seed: int) -> None:
    h = case.hierarchy
    posterior = joint_posterior(in_float32(case.logits), h, prior=case.prior)
    asked = np.random.default_rng(seed).random(posterior.log_groups.shape) < 0.5
    cities, log_p = posterior.cities_in(asked)
    for photo, of_photo in enumerate(asked[:, h.city_group]):
        expected = np.flatnonzero(of_photo)
        assert cities[photo, : len(expected)].tolist() == expected.tolist()
        every = posterior.log_cities[photo, expected]
        np.testing.assert_array_equal(log_p[photo, : len(expected)], every)
        assert np.isneginf(log_p[photo, len(expected) :]).all()


def test_a_flat_posterior_lists_every_city(world) -> None:
    """No group is too improbable to hold one of the k best cities."""
    h = Hierarchy.of(world)
    each = np.full((1, len(h.cities)), 1 / len(h.cities))
    posterior = Posterior.of_cities(np.arange(len(h.cities))[None], each, h)
    for k in (1, 100, len(h.cities)):
        found, probabilities = top_cities(posterior, k)
        assert probabilities[0] == pytest.approx(each[0, :k])
        assert len(set(found[0].tolist())) == k
