"""Ranked places by gazetteer ids, for programs without a hierarchy."""

from dataclasses import dataclass

import numpy as np

from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.ranking import Ranking


@dataclass(frozen=True)
class RankedPlaces:
    """Ranked places of N photos by id (object arrays of str); `Gazetteer` defines ids.

    Attributes:
        city_ids, probabilities: (N, k) best first, probability 0 for an excluded city.
        country_ids, country_probabilities: (N, 30) the most probable countries, or all where there
            are fewer.
        region_ids: (N,) the most probable region, "" where cities without one are more probable.
        point_ids: (N,) the reported city, `lat` and `lon` (N,) its coordinates in degrees.
        radius, radius_90: (N,) km about the points; NaN where none is stated.
    """

    city_ids: np.ndarray
    probabilities: np.ndarray
    country_ids: np.ndarray
    country_probabilities: np.ndarray
    region_ids: np.ndarray
    point_ids: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    radius: np.ndarray
    radius_90: np.ndarray

    @classmethod
    def of(cls, ranking: Ranking, hierarchy: Hierarchy, gazetteer: Gazetteer) -> "RankedPlaces":
        """The ids of a ranking's positions."""
        h, ids = hierarchy, gazetteer.ids
        regions = np.append(ids[h.regions], "")  # -1, no region, is the last
        return cls(
            city_ids=ids[h.cities[ranking.cities]],
            probabilities=ranking.probabilities,
            country_ids=ids[h.countries[ranking.countries]],
            country_probabilities=ranking.country_probabilities,
            region_ids=regions[ranking.regions],
            point_ids=ids[h.cities[ranking.points]],
            lat=h.lat[ranking.points],
            lon=h.lon[ranking.points],
            radius=ranking.radius,
            radius_90=ranking.radius_90,
        )
