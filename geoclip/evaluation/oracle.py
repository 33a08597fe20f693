"""The upper bound of a gazetteer: figures of naming always the nearest listed city."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from geoclip.evaluation.metrics import Report, distance_figures
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.nearest import PointTree

LARGEST = {"30": 30, "100": 100, "all": None}
"""Numbers of each country's largest cities, by their names in a report."""


def oracle(
    lat: ArrayLike, lon: ArrayLike, gazetteer: Gazetteer, largest: int | None = None
) -> Report:
    """The keys of `distance_figures` for true points (n,) answered with their nearest city.

    `largest` keeps this many cities of each country, the most populous; by default all. Points are
    in degrees. Raises GeoclipError where the gazetteer has no city.

    >>> oracle([45.75, 0.0], [4.85, -30.0], Gazetteer.default())["within_km"]["25"]
    50.0
    """
    rows = listed_cities(gazetteer, largest)
    _, km = PointTree(gazetteer.lat[rows], gazetteer.lon[rows]).nearest(lat, lon)
    return distance_figures(km)


def oracle_figures(lat: ArrayLike, lon: ArrayLike, gazetteer: Gazetteer) -> dict[str, Report]:
    """`oracle` for the 30 and the 100 largest cities of each country, and for all."""
    return {name: oracle(lat, lon, gazetteer, size) for name, size in LARGEST.items()}


def listed_cities(gazetteer: Gazetteer, largest: int | None) -> NDArray[np.int64]:
    """Rows of the `largest` most populous cities of each country; of equal ones the first."""
    cities = gazetteer.level_rows("city")
    if largest is None:
        return cities
    by_population = cities[np.argsort(-gazetteer.population[cities], kind="stable")]
    countries = pd.Series(gazetteer.country_codes[by_population])
    within = countries.groupby(countries).cumcount().to_numpy() < largest
    return np.sort(by_population[within])
