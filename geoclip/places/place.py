"""A place of a gazetteer and the three levels of places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geoclip.errors import GeoclipError

LEVELS = ("country", "region", "city")
COUNTRY, REGION, CITY = range(len(LEVELS))

CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
"""English names of the continents by GeoNames' codes."""


def level_number(level: str, levels: Sequence[str] = LEVELS) -> int:
    """Index of a level's name in `levels`; GeoclipError for any other word.

    >>> level_number("region")
    1
    """
    if level not in levels:
        raise GeoclipError(f"{level!r} is not a level of a gazetteer; use one of {tuple(levels)}.")
    return list(levels).index(level)


@dataclass(frozen=True)
class Place:
    """One entry of a gazetteer; `lat` and `lon` in degrees.

    A country's or region's coordinates are those of one of its cities. `parent_id` is None for a
    country, the country for a region, and the region for a city (the country where it has none).

    >>> print(Place("2996944", "city", "Lyon", 45.75, 4.85, "FR", "FR.84", 520_774))
    Lyon (city 2996944, FR)
    """

    place_id: str
    level: str
    name: str
    lat: float
    lon: float
    country_code: str
    parent_id: str | None
    population: int

    def __str__(self) -> str:
        return f"{self.name} ({self.level} {self.place_id}, {self.country_code})"
