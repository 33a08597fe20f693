"""A point on land that stands for a region or a country."""

from __future__ import annotations

import numpy as np
import pandas as pd

from geoclip.places.sphere import great_circle_km, spherical_mean


def representative_points(cities: pd.DataFrame, by: str) -> pd.DataFrame:
    """lat, lon and population of each group of cities, indexed by the column `by`.

    The point is the population-weighted spherical mean of the group's cities, moved to the nearest
    of those cities so that it is on land. The population is the sum over the cities.
    """
    groups = cities.groupby(by, sort=True)
    rows = {key: _representative(group) for key, group in groups}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["lat", "lon", "population"])
    table.index.name = by
    return table.astype({"lat": "float64", "lon": "float64", "population": "int64"})


def _representative(group: pd.DataFrame) -> tuple[float, float, int]:
    lat, lon = group["lat"].to_numpy(), group["lon"].to_numpy()
    population = group["population"].to_numpy()
    weights = np.maximum(population, 1)  # some cities are listed without a population
    middle = spherical_mean(lat, lon, weights)
    nearest = int(np.argmin(great_circle_km(*middle, lat, lon)))
    return float(lat[nearest]), float(lon[nearest]), int(population.sum())
