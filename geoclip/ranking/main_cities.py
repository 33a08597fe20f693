"""The most populous city of each place, where the map shows a larger place."""

from dataclasses import dataclass

import numpy as np

from geoclip.ranking.hierarchy import Hierarchy


@dataclass(frozen=True)
class MainCities:
    """Positions of cities by continent (C,), country (K,) and region (R,) of a hierarchy.

    A place whose cities are all excluded has the most populous of them.
    """

    of_level: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def of(cls, hierarchy: Hierarchy, allowed: np.ndarray) -> "MainCities":
        """The main cities among the `allowed` (Q,) ones."""
        h = hierarchy
        order = np.lexsort((-h.population, ~allowed))
        region = h.group_region[h.city_group]
        with_region = order[region[order] >= 0]
        return cls(
            (
                _first_of_each(h.country_continent[h.city_country], order),
                _first_of_each(h.city_country, order),
                _first_of_each(region, with_region),
            )
        )

    def of_places(self, places: np.ndarray) -> np.ndarray:
        """Positions (...) of the main cities of places (..., 4): see `LevelRanking.places`."""
        cities = places[..., 3]
        for level in (2, 1, 0):
            main = self.of_level[level]
            of_level = main[places[..., level]] if len(main) else cities
            cities = np.where((cities < 0) & (places[..., level] >= 0), of_level, cities)
        return cities


def _first_of_each(place: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The first city of each place (0, 1, 2, …) in a given order of the cities."""
    return np.asarray(order[np.unique(place[order], return_index=True)[1]])
