"""A gazetteer's parents as arrays over which a ranking can sum."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.geoscore import geoscore
from geoclip.places.place import COUNTRY
from geoclip.places.sphere import chord_to_km, unit_vectors

_CACHED = 32
"""Rows of groups whose distances to all groups fit the CPU's cache."""


@dataclass(frozen=True)
class Between:
    """A level between the first and the deepest one, such as regions.

    `rows` (R,) are gazetteer rows in order of their parents, `starts` cuts them by parent, for
    parents that have any. `of_group` (G,) is the position of each group's place, -1 for none.
    `log_share` (G,) is the log share of the parent's probability open to its places of this level,
    or to its descendants without one.
    """

    rows: np.ndarray
    starts: np.ndarray
    of_group: np.ndarray
    log_share: np.ndarray

    @classmethod
    def of(cls, chains: np.ndarray) -> "Between":
        """The last level of the groups' chains (G, l) of gazetteer rows, groups in order."""
        new = np.r_[True, (chains[1:] != chains[:-1]).any(axis=1)]
        new_above = np.r_[True, (chains[1:, :-1] != chains[:-1, :-1]).any(axis=1)]
        above, real = np.cumsum(new_above) - 1, chains[:, -1] >= 0
        position = np.cumsum(new & real) - 1
        of_row = above[new & real]
        count = np.bincount(of_row, minlength=above[-1] + 1)[above]
        mixed = (count > 0) & np.isin(above, above[~real])
        share = np.where(real, count, 1) / (count + 1)
        return cls(
            rows=chains[new & real, -1],
            starts=np.flatnonzero(np.r_[True, np.diff(of_row) > 0][: len(of_row)]),
            of_group=np.where(real, position, -1),
            log_share=np.log(np.where(mixed, share, 1.0)),
        )


@dataclass(frozen=True)
class Hierarchy:
    """Countries, regions and cities; the cities of one parent are adjacent.

    p(country) · p(region | country) · p(city | region) needs sums over the children of a place.
    Here these are sums over slices: regions are sorted by country, cities by group. A group is a
    region, or the cities of a country outside all regions. `region_starts` cuts `regions` by
    country, `group_starts` cuts `cities` by group.

    `countries` (K,), `regions` (R,) and `cities` (Q,) are gazetteer rows. Countries and regions
    without a city are left out.

    In a table of other levels, "countries" means the first and "cities" the deepest level;
    `between` are the levels between, of which regions are the last. A group is all classes of the
    deepest level with the same ancestors.
    """

    countries: np.ndarray
    between: tuple[Between, ...]
    cities: np.ndarray
    city_ids: np.ndarray  # (Q,) str
    continents: np.ndarray  # (C,) two letters, str
    country_codes: np.ndarray  # (K,) two letters, str
    country_continent: np.ndarray  # (K,) position in `continents`
    group_country: np.ndarray  # (G,) position in `countries`
    group_starts: np.ndarray  # (G,) start of each group in `cities`
    city_group: np.ndarray  # (Q,)
    lat: np.ndarray  # (Q,) of the cities, degrees
    lon: np.ndarray
    population: np.ndarray

    def __repr__(self) -> str:
        counts = (len(self.countries), len(self.regions), len(self.cities))
        return "Hierarchy({} countries, {} regions, {} cities)".format(*counts)

    @classmethod
    def of(cls, gazetteer: Gazetteer) -> "Hierarchy":
        """Sort a gazetteer's cities by country and region; GeoclipError without cities."""
        cities = gazetteer.leaf_rows
        if not len(cities):
            raise GeoclipError(
                f"{gazetteer!r} has no {gazetteer.level_names[-1]} to rank; add places to it."
            )
        above = gazetteer.ancestors[cities, :-1]
        order = np.lexsort((cities, *above.T[::-1]))
        cities, above = cities[order], above[order]
        countries, city_country = np.unique(above[:, COUNTRY], return_inverse=True)
        new_group = np.r_[True, (above[1:] != above[:-1]).any(axis=1)]
        group_starts = np.flatnonzero(new_group)
        groups = above[group_starts]
        continents, country_continent = np.unique(
            gazetteer.continents[countries], return_inverse=True
        )
        return cls(
            countries=countries,
            between=tuple(Between.of(groups[:, : n + 1]) for n in range(1, groups.shape[1])),
            cities=cities,
            city_ids=gazetteer.ids[cities],
            continents=continents,
            country_codes=gazetteer.country_codes[countries],
            country_continent=country_continent,
            group_country=city_country[group_starts],
            group_starts=group_starts,
            city_group=np.cumsum(new_group) - 1,
            lat=gazetteer.lat[cities],
            lon=gazetteer.lon[cities],
            population=gazetteer.population[cities],
        )

    @property
    def levels(self) -> tuple[np.ndarray, ...]:
        """The gazetteer rows of each level's places, topmost first."""
        return (self.countries, *(level.rows for level in self.between), self.cities)

    @cached_property
    def _region(self) -> Between:
        """The level above the deepest; an empty one if that is the first."""
        none, groups = np.empty(0, dtype=np.int64), len(self.group_starts)
        absent = Between(none, none, np.full(groups, -1), np.zeros(groups))
        return self.between[-1] if self.between else absent

    @property
    def regions(self) -> np.ndarray:
        """Gazetteer rows (R,)."""
        return self._region.rows

    @property
    def region_starts(self) -> np.ndarray:
        """The start of each country's regions, for countries with regions."""
        return self._region.starts

    @property
    def group_region(self) -> np.ndarray:
        """Position (G,) in `regions`, -1 for groups without a region."""
        return self._region.of_group

    @cached_property
    def region_country(self) -> np.ndarray:
        """Position (R,) in `countries`."""
        regions, first = np.unique(self.group_region, return_index=True)
        return np.asarray(self.group_country[first[regions >= 0]])

    def group_log_share(self) -> np.ndarray:
        """Log share (G,) of a country's probability open to its regions, or to its cities without
        one.

        0 where all cities of a country have a region, or none has. In a country with both, the
        cities without a region count as one more region, with 1 / (R + 1): with the whole, a few of
        them would outweigh all regions. The same holds at every level between.
        """
        none = np.zeros(len(self.group_starts))
        return np.asarray(sum((level.log_share for level in self.between), start=none))

    @cached_property
    def group_sizes(self) -> np.ndarray:
        """Number (G,) of each group's cities."""
        return np.diff(self.group_starts, append=len(self.cities))

    @cached_property
    def city_country(self) -> np.ndarray:
        """Positions (Q,) in `countries` of the cities' countries."""
        return np.asarray(self.group_country[self.city_group])

    @property
    def stacked(self) -> np.ndarray:
        """What a prior calls seen (Q,): the code of a city's country, its own id without one."""
        codes = self.country_codes[self.city_country]
        return np.asarray(np.where(codes == "", self.city_ids, codes))

    @cached_property
    def country_log_population(self) -> np.ndarray:
        """Log population (K,) of each country's cities; an unknown population counts 1."""
        return np.log(np.bincount(self.city_country, np.maximum(self.population, 1)))

    @cached_property
    def group_continent(self) -> np.ndarray:
        """Positions (G,) in `continents` of the groups' continents."""
        return np.asarray(self.country_continent[self.group_country])

    @cached_property
    def countries_by_continent(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions (K,) in `countries`, sorted by continent, and each continent's start (C,)."""
        order = np.argsort(self.country_continent, kind="stable")
        return order, np.flatnonzero(np.r_[True, np.diff(self.country_continent[order]) > 0])

    @cached_property
    def country_starts(self) -> np.ndarray:
        """Start (K,) of each country's groups."""
        return np.flatnonzero(np.r_[True, np.diff(self.group_country) > 0])

    @cached_property
    def group_means(self) -> np.ndarray:
        """`means_of` all cities."""
        return self.means_of(np.ones(len(self.cities), dtype=bool))

    def means_of(self, allowed: np.ndarray) -> np.ndarray:
        """Means (G, 3) of the unit vectors of each group's `allowed` (Q,) cities.

        The wider these are spread, the shorter the mean; NaN where there is none. A city's weight
        is the square root of its population.
        """
        sums = np.add.reduceat(allowed[:, None] * self._weighted, self.group_starts)
        vectors, weights = sums[:, :3], sums[:, 3:]
        return np.divide(vectors, weights, out=np.full_like(vectors, np.nan), where=weights > 0)

    @cached_property
    def _weighted(self) -> np.ndarray:
        """The cities' unit vectors times their weights, and the weights, (Q, 4)."""
        weights = np.sqrt(np.maximum(self.population, 1))[:, None]
        return np.hstack([weights * unit_vectors(self.lat, self.lon), weights])

    @cached_property
    def group_geoscores(self) -> np.ndarray:
        """GeoScore (G, G) float32 of one group's centre as the answer for another's.

        A centre is the direction of the mean of the group's cities.
        """
        xyz = self.group_means
        xyz = xyz / np.maximum(np.linalg.norm(xyz, axis=1, keepdims=True), 1e-12)
        scores = np.empty((len(xyz), len(xyz)), dtype=np.float32)
        cosines = xyz @ xyz.T
        for start in range(0, len(xyz), _CACHED):
            part = slice(start, start + _CACHED)
            squared = np.maximum(2 - 2 * cosines[part], 0).astype(np.float32)
            scores[part] = geoscore(chord_to_km(np.sqrt(squared)))
        return scores
