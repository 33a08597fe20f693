"""Fitted temperatures and priors: those that made the data, and no worse than a search."""

import math
from dataclasses import replace

import numpy as np
import pytest
from calibration_world import known_world

from geoclip.evaluation.fitting.chain_fit import KnownLogits, Siblings
from geoclip.ranking.settings import Prior, RankingSettings, Temperatures

MADE = RankingSettings(
    temperatures=Temperatures(country=2.0, region=0.5, city=3.0, continent=1.6),
    prior=Prior(country_size_exponent=0.6),
)


def uniform(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


def slow_loss(ranker, photos, settings: RankingSettings) -> float:
    """Mean negative log likelihood of the true cities, through the ranking itself."""
    h = ranker.hierarchy
    log_p = ranker.with_settings(settings).posterior(photos.embeddings).log_cities
    total = 0.0
    for row, lat, lon in zip(log_p, photos.lat, photos.lon, strict=True):
        [city] = np.flatnonzero((h.lat == lat) & (h.lon == lon))
        total -= float(row[city])
    return total / len(log_p)


def test_the_settings_that_made_the_data_are_found():
    ranker, photos = known_world(1, 6000, MADE)
    temperatures, prior = KnownLogits.of(ranker, photos).fit(uniform(6000))
    assert temperatures.region == pytest.approx(0.5, rel=0.1)
    assert temperatures.city == pytest.approx(3.0, rel=0.25)
    assert temperatures.country == pytest.approx(2.0, rel=0.15)
    assert temperatures.continent == pytest.approx(1.6, rel=0.3)
    assert prior.country_size_exponent == pytest.approx(0.6, abs=0.15)
    assert prior.population_exponent == pytest.approx(0.0, abs=0.15)


def test_no_neighbour_is_likelier():
    ranker, photos = known_world(2, 400, MADE)
    temperatures, prior = KnownLogits.of(ranker, photos).fit(uniform(400))
    fitted = RankingSettings(temperatures=temperatures, prior=prior)
    best = slow_loss(ranker, photos, fitted)
    assert best <= slow_loss(ranker, photos, MADE) + 1e-4
    for name in ("country", "region", "city", "continent"):
        for factor in (0.9, 1.1):
            value = factor * getattr(temperatures, name)
            other = replace(fitted, temperatures=replace(temperatures, **{name: value}))
            assert slow_loss(ranker, photos, other) > best - 1e-4
    for name in ("country_size_exponent", "population_exponent"):
        for step in (-0.1, 0.1):
            value = getattr(prior, name) + step
            if value >= 0:  # the bound of the search
                other = replace(fitted, prior=replace(prior, **{name: value}))
                assert slow_loss(ranker, photos, other) > best - 1e-4


def test_the_stacking_factor_is_fitted_or_given():
    seen = ("AX", "BX", "CX", "DX", "EX", "FX")
    made = RankingSettings(prior=Prior(seen, 1.5))
    ranker, photos = known_world(3, 3000, made)
    known = KnownLogits.of(ranker, photos)
    assert known.fit(uniform(3000), seen)[1].stacking_factor == pytest.approx(1.5, abs=0.25)
    assert known.fit(uniform(3000), seen, 0.4)[1] == replace(
        known.fit(uniform(3000), seen, 0.4)[1], stacking_factor=0.4, seen_countries=seen
    )
    assert known.fit(uniform(3000))[1].seen_countries == ()
    everywhere = tuple(ranker.hierarchy.country_codes)
    assert known.fit(uniform(3000), everywhere)[1].stacking_factor == 0


def test_given_exponents_stay_and_the_rest_fits_them():
    ranker, photos = known_world(1, 6000, MADE)
    known = KnownLogits.of(ranker, photos)
    temperatures, prior = known.fit(uniform(6000), exponents=(0.6, 0.0))
    assert (prior.country_size_exponent, prior.population_exponent) == (0.6, 0.0)
    assert temperatures.country == pytest.approx(2.0, rel=0.15)


def test_places_without_weight_or_coordinates_take_no_part():
    ranker, photos = known_world(4, 300, MADE)
    half = np.arange(300) < 150
    whole = KnownLogits.of(ranker, photos).fit(np.where(half, 1 / 150, 0.0))
    alone = KnownLogits.of(ranker, photos.take(half)).fit(uniform(150))
    assert whole == alone
    photos.lat[:] = photos.lon[:] = np.nan
    temperatures, _ = KnownLogits.of(ranker, photos).fit(uniform(300))
    assert (temperatures.region, temperatures.city) == (1.0, 1.0)
    assert temperatures.country != 1.0


def test_siblings_equal_a_loop():
    rng = np.random.default_rng(5)
    logits, starts = rng.normal(size=(30, 11)), np.array([0, 1, 5, 9])
    true = rng.integers(-1, 11, 30)
    found = Siblings.of(logits, starts, true)
    assert found.photo.tolist() == [i for i in range(30) if true[i] >= 0]
    for row, at, photo in zip(found.logits, found.true, found.photo, strict=True):
        first = max(start for start in starts if start <= true[photo])
        last = min([start for start in starts if start > true[photo]], default=11)
        assert row[np.isfinite(row)].tolist() == logits[photo, first:last].tolist()
        assert row[at] == logits[photo, true[photo]]


def test_a_block_at_a_time_is_all_at_once(monkeypatch):
    ranker, photos = known_world(6, 90, MADE)
    whole = KnownLogits.of(ranker, photos)
    monkeypatch.setattr("geoclip.evaluation.fitting.chain_fit.BLOCK", 13)
    parts = KnownLogits.of(ranker, photos)
    for one, other in ((whole.region, parts.region), (whole.city, parts.city)):
        np.testing.assert_array_equal(one.photo, other.photo)
        np.testing.assert_array_equal(one.true, other.true)
        np.testing.assert_allclose(one.logits, other.logits, rtol=1e-5)
    assert math.isclose(whole.country.sum(), parts.country.sum(), rel_tol=1e-4)
