"""The tags that a guess justifies beside a photo: names of places, and a position."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.guesses.schema import REVIEW

POINT_LEVELS = ("city", "spot")
"""Levels precise enough to write the point as a position."""
NAMED_LEVELS = ("country", "region", "city")


@dataclass(frozen=True)
class PositionRule:
    """When a guess is written as a position, and the least probability of a written name.

    `max_radius_km` limits the 90 % radius: a photo manager shows a position as a dot, without its
    radius. Raises GeoclipError for a number out of range.

    >>> PositionRule(max_radius_km=10).min_probability
    0.5
    """

    max_radius_km: float = 50.0
    min_probability: float = 0.5

    def __post_init__(self) -> None:
        if not self.max_radius_km >= 0:
            raise GeoclipError(f"max_radius_km is {self.max_radius_km}; use 0 or more.")
        if not 0 <= self.min_probability <= 1:
            raise GeoclipError(f"min_probability is {self.min_probability}; use 0 to 1.")


@dataclass(frozen=True)
class LocationTags:
    """The written parts of a guess.

    `names` are texts by column of the table (country, country_code, region, city), `position` is
    latitude and longitude in degrees or None, and `withheld` says why there is none.
    """

    names: dict[str, str]
    position: tuple[float, float] | None
    withheld: str = ""

    def __bool__(self) -> bool:
        return bool(self.names) or self.position is not None


def earned_tags(guess: Mapping[Any, Any], rule: PositionRule | None = None) -> LocationTags:
    """The tags of a row of guesses; without a rule, and for a reviewed row, all its values.

    >>> row = {"level": "city", "country": "France", "country_probability": 0.9, "city": "Lyon",
    ...        "city_probability": 0.6, "probability": 0.6, "radius_90_km": 300.0,
    ...        "lat": 45.8, "lon": 4.8}
    >>> earned_tags(row, PositionRule()).names
    {'country': 'France', 'city': 'Lyon'}
    >>> earned_tags(row, PositionRule()).withheld
    'the 90 % radius is more than 50 km'
    """
    judged = None if guess.get("source") == REVIEW else rule
    point = (float(guess["lat"]), float(guess["lon"]))
    if not np.isfinite(point).all():
        return LocationTags(_names(guess, judged), None, "no position was given")
    withheld = "" if judged is None else _shortfall(guess, judged)
    return LocationTags(_names(guess, judged), None if withheld else point, withheld)


def _shortfall(guess: Mapping[Any, Any], rule: PositionRule) -> str:
    """Why a guess gets no position; "" if it does."""
    level, radius = guess.get("level"), _number(guess, "radius_90_km")
    if level not in POINT_LEVELS:
        return f"only the {level} can be told"
    if not _number(guess, "probability") >= rule.min_probability:
        return f"the place is less probable than {rule.min_probability:.0%}".replace("%", " %")
    if np.isnan(radius):
        return "the 90 % radius is not known"
    if radius > rule.max_radius_km:
        return f"the 90 % radius is more than {rule.max_radius_km:g} km"
    return ""


def _names(guess: Mapping[Any, Any], rule: PositionRule | None) -> dict[str, str]:
    """Names by column, from the country down to the last probable enough level."""
    names: dict[str, str] = {}
    for level in NAMED_LEVELS:
        name = guess.get(level)
        if rule and not _number(guess, f"{level}_probability") >= rule.min_probability:
            if name:
                break
            continue
        if isinstance(name, str) and name:
            names[level] = name
    if "country" in names and guess.get("country_code"):
        names["country_code"] = str(guess["country_code"])
    return names


def _number(guess: Mapping[Any, Any], name: str) -> float:
    value = guess.get(name)
    return float("nan") if value is None else float(value)
