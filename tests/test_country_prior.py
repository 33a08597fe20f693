"""Weights of countries before a photo is looked at."""

import numpy as np
import pytest

from geoclip.country_prior import country_log_prior
from geoclip.errors import GeoclipError
from geoclip.gazetteer import Gazetteer
from geoclip.hierarchy import Hierarchy
from geoclip.ranking import RankingSettings


def weights(settings: RankingSettings) -> dict[str, float]:
    """The weight of each country of the world's gazetteer by its code."""
    gazetteer = Gazetteer.default()
    hierarchy = Hierarchy.of(gazetteer)
    log_weights = country_log_prior(hierarchy, gazetteer, settings)
    assert log_weights is not None and log_weights.shape == hierarchy.cities.shape
    codes = gazetteer.country_codes[hierarchy.cities]
    found: dict[str, float] = {}
    for code, weight in zip(codes, np.exp(log_weights), strict=True):
        assert found.setdefault(code, weight) == weight
    return found


def test_countries_weigh_by_their_number_of_cities_within_their_continent():
    gazetteer = Gazetteer.default()
    found = weights(RankingSettings(size_power=0.5))
    cities = gazetteer.country_codes[gazetteer.level_rows("city")]
    counts = dict(zip(*np.unique(cities, return_counts=True), strict=True))
    assert found["DE"] / found["VA"] == pytest.approx((counts["DE"] / counts["VA"]) ** 0.5)
    continents = dict(zip(gazetteer.country_codes, gazetteer.continents, strict=True))
    for continent in set(continents.values()):
        inside = [weight for code, weight in found.items() if continents[code] == continent]
        assert np.mean(inside) == pytest.approx(1)


def test_countries_trained_on_weigh_less():
    plain = weights(RankingSettings(size_power=0.2))
    settings = RankingSettings(size_power=0.2, seen_countries=("FR", "US"), seen_penalty=0.7)
    held = weights(settings)
    ratios = {code: held[code] / plain[code] for code in ("FR", "US", "DE")}
    assert ratios == pytest.approx({"FR": np.exp(-0.7), "US": np.exp(-0.7), "DE": 1})


def test_equal_weights_are_none_at_all(small_gazetteer):
    hierarchy = Hierarchy.of(small_gazetteer)
    for settings in (RankingSettings(), RankingSettings(seen_penalty=1.0)):
        assert country_log_prior(hierarchy, small_gazetteer, settings) is None
    with pytest.raises(GeoclipError, match="size_power"):
        RankingSettings(size_power=np.nan)
