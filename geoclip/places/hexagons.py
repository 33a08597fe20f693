"""Places between cities: the inhabited cells of H3, each named by its nearest city.

A city's people are assumed to live in a disc about it; the settings give its density. Cells of H3
(Uber's hexagons, h3geo.org) with their centre in a city's disc and on land become places beside the
cities, with the name, region and country of the nearest city. A cell with a city in it is that
city. The only input is the gazetteer's own cities and their population.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.gazetteer_writing import places_table
from geoclip.places.sphere import great_circle_km

FINEST = 15
CELL_SHARE = 0.5
"""Share of a city's people counted in its cells, so that no cell is larger than its city."""
SMALLEST_EDGE = 0.7
"""The smallest cell edge, in average edges of a resolution: at the icosahedron's corners."""
OnLand = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Latitudes and longitudes (n,) → which of the points are on land (n,)."""


@dataclass(frozen=True)
class CellSettings:
    """Which cells are places; GeoclipError for an invalid value.

    Attributes:
        resolution: of H3: at 5 the cells are 10 km from centre to corner, at 6 4 km, at 7 1.4 km.
        density: people a km²; the fewer, the larger the discs about cities.
        least_km: radius of the smallest discs.
    """

    resolution: int = 6
    density: float = 1000.0
    least_km: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.resolution <= FINEST:
            raise GeoclipError(f"resolution is {self.resolution}; use one from 0 to {FINEST}.")
        if not self.density > 0:
            raise GeoclipError(f"density is {self.density:g}; use a number above 0.")
        if not self.least_km >= 0:
            raise GeoclipError(f"least_km is {self.least_km:g}; use 0 or more.")

    def radii_km(self, population: np.ndarray) -> np.ndarray:
        """The radius (n,) of the disc that holds this many people (n,)."""
        return np.maximum(np.sqrt(population / (np.pi * self.density)), self.least_km)


def with_cells(
    gazetteer: Gazetteer, settings: CellSettings | None = None, on_land: OnLand | None = None
) -> Gazetteer:
    """The gazetteer with cells beside its cities, as places of the level "city".

    Their ids are those of H3. A city divides half of its people among its cells. `on_land` says
    which points are on land; without it all are. Raises GeoclipError where the library h3 is
    missing.
    """
    settings, cities = settings or CellSettings(), gazetteer.level_rows("city")
    ids, lat, lon = _inhabited(gazetteer, settings)
    if on_land is not None:
        kept = on_land(lat, lon)
        ids, lat, lon = ids[kept], lat[kept], lon[kept]
    rows, _ = gazetteer.nearest_rows(lat, lon)
    cells = np.bincount(rows - cities[0], minlength=len(cities))
    shares = np.floor(CELL_SHARE * gazetteer.population[cities] / np.maximum(cells, 1))
    shares = shares.astype(np.int64)
    places = places_table(gazetteer)
    places.loc[cities, "population"] -= shares * cells
    own = places.iloc[rows].assign(
        place_id=ids, lat=lat, lon=lon, population=shares[rows - cities[0]]
    )
    return Gazetteer(pd.concat([places, own], ignore_index=True), gazetteer.alternate_names())


def _inhabited(
    gazetteer: Gazetteer, settings: CellSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids and centres of the cells within a city's disc and without a city, by id."""
    h3, cities = _h3(), gazetteer.level_rows("city")
    step = SMALLEST_EDGE * 1.5 * h3.average_hexagon_edge_length(settings.resolution, "km")
    found: dict[str, tuple[float, float]] = {}
    holding = set()
    for row, radius in zip(cities, settings.radii_km(gazetteer.population[cities]), strict=True):
        lat, lon = gazetteer.lat[row], gazetteer.lon[row]
        own = h3.latlng_to_cell(lat, lon, settings.resolution)
        holding.add(own)
        disk = h3.grid_disk(own, ceil(radius / step) + 1)
        centres = np.array([h3.cell_to_latlng(cell) for cell in disk])
        near = great_circle_km(lat, lon, centres[:, 0], centres[:, 1]) <= radius
        found |= {disk[i]: (centres[i, 0], centres[i, 1]) for i in np.flatnonzero(near)}
    ids = sorted(found.keys() - holding - set(gazetteer.ids))
    centres = np.array([found[cell] for cell in ids]).reshape(-1, 2)
    return np.array(ids, dtype=object), centres[:, 0], centres[:, 1]


def _h3() -> Any:
    if find_spec("h3") is None:
        raise GeoclipError("Cells need the library h3: pip install 'geoclip-gzsl[cells]'.")
    return import_module("h3")
