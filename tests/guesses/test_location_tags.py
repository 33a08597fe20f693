"""A position is written where a guess justifies it, names where they are probable enough."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.guesses.location_tags import PositionRule, earned_tags
from geoclip.guesses.schema import REVIEW

P = st.one_of(st.just(np.nan), st.floats(0, 1))


def row(**values: Any) -> dict[str, Any]:
    usual = {
        "source": "model", "level": "city", "country": "France", "country_code": "FR",
        "region": "Auvergne", "city": "Lyon", "country_probability": 0.9,
        "region_probability": 0.7, "city_probability": 0.6, "probability": 0.6,
        "radius_km": 1.0, "radius_90_km": 40.0, "lat": 45.75, "lon": 4.85,
    }  # fmt: skip
    return {**usual, **values}


@pytest.mark.parametrize(
    ("values", "withheld"),
    [
        ({}, ""),
        ({"level": "spot"}, ""),
        ({"radius_90_km": 50.0}, ""),
        ({"radius_90_km": 51.0}, "the 90 % radius is more than 50 km"),
        ({"radius_90_km": np.nan}, "the 90 % radius is not known"),
        ({"probability": 0.5}, ""),
        ({"probability": 0.49}, "the place is less probable than 50 %"),
        ({"probability": np.nan}, "the place is less probable than 50 %"),
        ({"level": "region"}, "only the region can be told"),
        ({"level": "country"}, "only the country can be told"),
        ({"lat": np.nan, "lon": np.nan}, "no position was given"),
    ],
)
def test_when_a_position_is_earned(values: dict[str, Any], withheld: str) -> None:
    tags = earned_tags(row(**values), PositionRule())
    assert tags.withheld == withheld
    assert tags.position == (None if withheld else (45.75, 4.85))


def test_limits_are_the_callers() -> None:
    far = row(radius_90_km=900.0, probability=0.1, city_probability=0.1)
    assert earned_tags(far, PositionRule(1000, 0.1)).position == (45.75, 4.85)
    assert earned_tags(far, PositionRule(1000, 0.11)).position is None
    assert earned_tags(far).position == (45.75, 4.85)
    for wrong in ((-1, 0.5), (np.nan, 0.5), (50, 1.1)):
        with pytest.raises(GeoclipError):
            PositionRule(*wrong)


@given(st.lists(P, min_size=3, max_size=3), st.floats(0, 1), st.booleans())
def test_names_end_at_the_first_that_is_too_little_probable(
    p: list[float], least: float, has_region: bool
) -> None:
    """Beside the rule in words: everything above a named level that exists is named too."""
    values = dict(
        zip(("country_probability", "region_probability", "city_probability"), p, strict=True)
    )
    names = earned_tags(
        row(**values, region="Auvergne" if has_region else ""), PositionRule(50, least)
    ).names
    enough = [value >= least for value in p]
    assert ("country" in names) == enough[0] == ("country_code" in names)
    assert ("region" in names) == (has_region and enough[0] and enough[1])
    assert ("city" in names) == (enough[0] and enough[2] and (enough[1] or not has_region))


def test_what_a_person_confirmed_is_written_whole() -> None:
    nothing = {f"{name}_probability": np.nan for name in ("country", "region", "city")}
    told = row(source=REVIEW, probability=np.nan, radius_90_km=np.nan, **nothing)
    tags = earned_tags(told, PositionRule())
    assert tags.position == (45.75, 4.85)
    assert tags.names == {
        "country": "France", "country_code": "FR", "region": "Auvergne", "city": "Lyon",
    }  # fmt: skip
    assert not earned_tags({"lat": np.nan, "lon": np.nan, "country": ""})
