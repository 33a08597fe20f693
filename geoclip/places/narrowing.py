"""Narrow the world to countries, a box or a circle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoclip.errors import GeoclipError
from geoclip.places.country_names import advice, codes_of, comparable
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.named_places import circle_about, region_row
from geoclip.places.sphere import great_circle_km, wrap_longitude

Mask = NDArray[np.bool_]


def prior(
    gazetteer: Gazetteer,
    countries: Sequence[str] | None = None,
    bbox: tuple[float, float, float, float] | None = None,
    near: tuple[float, float, float] | str | None = None,
    territories: bool = False,
    polygon: Any = None,
) -> NDArray[np.float64]:
    """Weights (P,) over places: 1 inside all given areas, 0 outside.

    A place is inside when any place below it is, so a country that a box cuts keeps its cities
    within the box and loses the others. Without any area all are 1.

    Args:
        gazetteer: the places.
        countries: codes or names of country entries, or of regions such as England. A territory
            with an entry of its own, such as Réunion, is outside unless it is named too or
            `territories` is set.
        bbox: west, south, east, north in degrees; west > east crosses the date line.
        near: latitude, longitude, radius in km; or a city as `named_places.circle_about` takes it.
        territories: take in the territories of the countries that are named.
        polygon: an area as `areas.read_area` takes it: a shapely geometry, a GeoDataFrame, GeoJSON,
            or the path of a file of these.

    Raises:
        GeoclipError: an unknown country or city, a name of several, impossible numbers, what is no
            polygon, no place left, or a table of classes, which lie nowhere.
    """
    gazetteer.check_has_positions()
    inside = np.ones(len(gazetteer), dtype=bool)
    if countries is not None:
        inside &= _in_countries(gazetteer, countries, territories)
    if bbox is not None:
        inside &= _in_box(gazetteer, *bbox)
    if near is not None:
        circle = circle_about(gazetteer, near) if isinstance(near, str) else near
        inside &= _in_circle(gazetteer, *circle)
    if polygon is not None:
        from geoclip.places.areas import in_area, read_area  # noqa: PLC0415 - slow to import

        inside &= in_area(read_area(polygon), gazetteer.lat, gazetteer.lon)
    inside = _with_ancestors(gazetteer, inside & ~_has_children(gazetteer))
    if not inside.any():
        asked = {"countries": countries, "bbox": bbox, "near": near}
        asked["polygon"] = None if polygon is None else "given"
        told = ", ".join(f"{name} {value}" for name, value in asked.items() if value is not None)
        raise GeoclipError(f"no place of the gazetteer is left ({told}); widen the area.")
    return inside.astype(np.float64)


def country_code(gazetteer: Gazetteer, word: str) -> str:
    """Code of a country from a code or a name, of the gazetteer or of `country_names`.

    Raises GeoclipError with the cure for a word that names no country or several.

    >>> country_code(Gazetteer.default(), "reunion"), country_code(Gazetteer.default(), "UK")
    ('RE', 'GB')
    """
    by_word = _codes_by_word(gazetteer)
    if comparable(word) in by_word:
        return by_word[comparable(word)]
    codes = codes_of(word)
    if len(codes) == 1 and codes[0] in by_word.values():
        return codes[0]
    what = f"the gazetteer has no country {word.strip()!r}; "
    if len(codes) == 1:
        some = ", ".join(gazetteer.ids[gazetteer.level_rows("country")[:5]])
        raise GeoclipError(f"{what}name one that it has: {some}, …")
    raise GeoclipError(what + advice(word))


def _codes_by_word(gazetteer: Gazetteer) -> dict[str, str]:
    rows = gazetteer.level_rows("country")
    by_word: dict[str, str] = {}
    for names in (gazetteer.ascii_names, gazetteer.names, gazetteer.ids):  # a code wins
        by_word |= {comparable(names[row]): gazetteer.ids[row] for row in rows}
    return by_word


def _in_countries(gazetteer: Gazetteer, countries: Sequence[str], territories: bool) -> Mask:
    words = [countries] if isinstance(countries, str) else countries
    inside = np.zeros(len(gazetteer), dtype=bool)
    for word in words:
        inside |= _in_country(gazetteer, word, territories)
    return inside


def _in_country(gazetteer: Gazetteer, word: str, territories: bool) -> Mask:
    """Places of a country or, where the word names none, of a region."""
    if not codes_of(word) and comparable(word) not in _codes_by_word(gazetteer):
        region = region_row(gazetteer, word)
        if region is not None:
            return np.asarray((gazetteer.ancestors == region).any(axis=1))
    code = country_code(gazetteer, word)
    inside = gazetteer.country_codes == code
    if territories:
        inside |= gazetteer.sovereigns == code
    return np.asarray(inside)


def _in_box(gazetteer: Gazetteer, west: float, south: float, east: float, north: float) -> Mask:
    numbers = np.array([west, south, east, north], dtype=np.float64)
    if not np.isfinite(numbers).all() or not -90 <= south <= north <= 90:
        raise GeoclipError(
            f"the box {(west, south, east, north)} is invalid; give west, south, east, north in "
            f"degrees, with south not above north."
        )
    rows = (gazetteer.lat >= south) & (gazetteer.lat <= north)
    if east - west >= 360:
        return rows
    # Measured eastwards from the western edge, a box across the date line is like any other.
    width = (east - west) % 360
    return rows & ((gazetteer.lon - west) % 360 <= width)


def _in_circle(gazetteer: Gazetteer, lat: float, lon: float, km: float) -> Mask:
    if not (np.isfinite([lat, lon, km]).all() and abs(lat) <= 90 and km > 0):
        raise GeoclipError(
            f"the circle {(lat, lon, km)} is invalid; give latitude, longitude and a radius in "
            f"km above 0."
        )
    away = great_circle_km(lat, wrap_longitude(lon), gazetteer.lat, gazetteer.lon)
    return np.asarray(away <= km)


def _has_children(gazetteer: Gazetteer) -> Mask:
    has = np.zeros(len(gazetteer), dtype=bool)
    has[gazetteer.parents[gazetteer.parents >= 0]] = True
    return has


def _with_ancestors(gazetteer: Gazetteer, inside: Mask) -> Mask:
    above = gazetteer.ancestors[inside]
    marked = inside.copy()
    marked[above[above >= 0]] = True
    return marked
