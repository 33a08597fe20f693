"""The layers below the photos on a map: land, borders, and names of countries and large cities."""

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from geoclip.places.place import CITY, CONTINENTS, COUNTRY

if TYPE_CHECKING:
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.places.outlines import Outlines

# Outlines are thinned to the resolution of a map on a screen.
TOLERANCE_DEGREES = 0.12
STEPS_PER_DEGREE = 20
SMALLEST_RING = 0.02
"""Square degrees; if all rings of a country are smaller, the largest stays."""
LARGE_CITY = 500_000
"""People of a named city."""


def basemap(
    outlines: "Outlines | None" = None, gazetteer: "Gazetteer | None" = None
) -> dict[str, Any]:
    """The map's data: `countries` and `codes` side by side, and names with their places.

    `country_names` are [name, lat, lon, width in degrees], the widest first, `city_names` [name,
    lat, lon], the most populous first.
    """
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415  (pandas)

    return {**_land(outlines), **_names(outlines, gazetteer or Gazetteer.default())}


@lru_cache(maxsize=1)
def _land(outlines: "Outlines | None") -> dict[str, Any]:
    frame = _frame(outlines)
    rings = list(_rings(frame.geometry))
    return {"steps": STEPS_PER_DEGREE, "countries": rings, "codes": frame["country_code"].tolist()}


def _names(outlines: "Outlines | None", world: "Gazetteer") -> dict[str, Any]:
    frame = _frame(outlines)
    codes = frame["country_code"].tolist()
    is_country = world.levels == COUNTRY
    names = dict(zip(world.ids[is_country], world.names[is_country], strict=True))
    continents = dict(zip(world.ids[is_country], world.continents[is_country], strict=True))
    return {
        "continents": [CONTINENTS.get(continents.get(code, ""), "") for code in codes],
        "country_names": sorted(_country_names(frame.geometry, codes, names), key=lambda n: -n[3]),
        "city_names": _city_names(world),
    }


def _frame(outlines: "Outlines | None") -> Any:
    from geoclip.places.outlines import Outlines  # noqa: PLC0415  (geopandas, only for a map)

    return (outlines or Outlines.default()).frame


def _rings(geometries: Any) -> Iterator[list[list[int]]]:
    """The thinned rings of each country, as steps from vertex to vertex: lon, lat, lon, lat…"""
    for geometry in geometries.simplify(TOLERANCE_DEGREES):
        parts = _parts(geometry)
        kept = parts[:1] + [part for part in parts[1:] if part.area >= SMALLEST_RING]
        yield [_steps(ring.coords) for part in kept for ring in (part.exterior, *part.interiors)]


def _parts(geometry: Any) -> list[Any]:
    """Polygons, the largest first."""
    return sorted(getattr(geometry, "geoms", [geometry]), key=lambda part: -part.area)


def _country_names(
    geometries: Any, codes: list[str], names: dict[str, str]
) -> Iterator[tuple[str, float, float, float]]:
    """Names are placed in the middle of the largest part."""
    for geometry, code in zip(geometries, codes, strict=True):
        if code in names and not geometry.is_empty:
            largest = _parts(geometry)[0]
            west, _, east, _ = largest.bounds
            point = largest.representative_point()
            yield names[code], round(point.y, 1), round(point.x, 1), round(east - west, 1)


def _city_names(world: "Gazetteer") -> list[tuple[str, float, float]]:
    large = np.flatnonzero((world.levels == CITY) & (world.population >= LARGE_CITY))
    rows = large[np.argsort(-world.population[large], kind="stable")]
    return [(world.names[r], round(world.lat[r], 2), round(world.lon[r], 2)) for r in rows]


def _steps(vertices: Any) -> list[int]:
    steps: list[int] = []
    last = (0, 0)
    for lon, lat in vertices:
        here = (round(lon * STEPS_PER_DEGREE), round(lat * STEPS_PER_DEGREE))
        if not steps or here != last:
            steps += [here[0] - last[0], here[1] - last[1]]
            last = here
    return steps
