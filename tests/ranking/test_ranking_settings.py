"""Settings of a ranking: invalid and ignored ones are refused."""

from dataclasses import replace

import numpy as np
import pytest

from geoclip.errors import GeoclipError
from geoclip.ranking.settings import PointEstimate, Prior, RankingSettings, Temperatures

NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (RankingSettings, {"method": "best"}),
        (RankingSettings, {"point": "mean"}),
        (RankingSettings, {"point": "city"}),
        (RankingSettings, {"temperatures": (1, 1)}),
        (RankingSettings, {"prior": None}),
        (RankingSettings, {"method": "greedy", "greedy_cities": 0}),
        (RankingSettings, {"radius_share": 1}),
        (RankingSettings, {"radius_share": -0.1}),
        (RankingSettings, {"radius_share": NAN}),
        (Temperatures, {"region": 0}),
        (Temperatures, {"region": NAN}),
        (Temperatures, {"city": np.inf}),
        (PointEstimate, {"rule": "mean"}),
        (PointEstimate.of, {"rule": "mean"}),
        (PointEstimate.expected_score, {"cities": 0}),
        (PointEstimate.expected_score_regions, {"temperature": 0}),
        (PointEstimate.expected_score_regions, {"temperature": NAN}),
    ],
)
def test_wrong_settings_are_refused(make, wrong):
    with pytest.raises(GeoclipError):
        make(**wrong)


@pytest.mark.parametrize(
    ("make", "ignored", "message"),
    [
        (
            RankingSettings,
            {"method": "greedy", "temperatures": Temperatures(city=2)},
            "a greedy ranking has no temperatures",
        ),
        (
            RankingSettings,
            {"method": "greedy", "prior": Prior(country_size_exponent=0.1)},
            "a greedy ranking has no country_size_exponent",
        ),
        (RankingSettings, {"greedy_cities": 30}, "a joint ranking has no greedy_cities"),
        (Prior, {"stacking_factor": 0.1}, "only together"),
        (Prior, {"seen_countries": ("FR",)}, "only together"),
        (PointEstimate, {"rule": "city", "cities": 9}, "is no point estimate"),
        (PointEstimate, {"rule": "expected_score"}, "is no point estimate"),
        (
            PointEstimate,
            {"rule": "expected_score", "cities": 9, "temperature": 2},
            "is no point estimate",
        ),
        (PointEstimate.of, {"rule": "city", "cities": 9}, "'city' has no cities"),
        (
            PointEstimate.of,
            {"rule": "expected_score_regions", "cities": 9},
            "'expected_score_regions' has no cities",
        ),
    ],
)
def test_a_setting_without_an_effect_is_refused(make, ignored, message):
    with pytest.raises(GeoclipError, match=message):
        make(**ignored)


def test_a_greedy_ranking_takes_the_rest():
    prior, point = Prior(("FR",), 0.2), PointEstimate.expected_score(7)
    RankingSettings("greedy", Temperatures(), point, prior, greedy_cities=3, radius_share=0.5)
    with pytest.raises(GeoclipError, match="has no temperatures"):
        replace(RankingSettings(temperatures=Temperatures(2, 2, 2)), method="greedy")


def test_point_estimates_by_name():
    assert PointEstimate.of("city") == PointEstimate.city()
    assert PointEstimate.of("expected_score") == PointEstimate.expected_score(100)
    assert PointEstimate.of("expected_score", cities=7) == PointEstimate.expected_score(7)
    regions = PointEstimate.expected_score_regions(1.7)
    assert PointEstimate.of("expected_score_regions", temperature=1.7) == regions


def test_another_method_drops_what_it_would_ignore():
    own = RankingSettings(
        temperatures=Temperatures(2, 2, 2),
        point=PointEstimate.expected_score_regions(1.7),
        prior=Prior(("FR",), 0.2, country_size_exponent=0.1),
        radius_share=0.5,
    )
    greedy = own.overridden("greedy")
    assert greedy == RankingSettings("greedy", point=own.point, prior=Prior(("FR",), 0.2))
    published = own.overridden("greedy", "city")
    assert published == replace(greedy, point=PointEstimate.city())
    assert replace(published, greedy_cities=3).overridden("joint").greedy_cities is None


def test_what_is_the_models_own_keeps_its_options():
    own = RankingSettings(
        temperatures=Temperatures(2, 2, 2),
        point=PointEstimate.expected_score_regions(1.7),
        radius_share=0.5,
    )
    assert own.overridden() is own.overridden("joint", "expected_score_regions") is own
    other = own.overridden(point="expected_score")
    assert other == replace(own, point=PointEstimate.expected_score(100))
    for unknown in ({"method": "best"}, {"point": "mean"}):
        with pytest.raises(GeoclipError, match="is unknown; use"):
            own.overridden(**unknown)
