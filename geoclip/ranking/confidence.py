"""The level of each photo's answer, by the probabilities of each level's places."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.posterior import Posterior
from geoclip.ranking.top_cities import top_cities


class Level(IntEnum):
    """How precise a row of guesses is; a spot is the place of a gallery photo."""

    none = 0
    continent = 1
    country = 2
    region = 3
    city = 4
    spot = 5


AskedLevel = Literal["auto", "city", "region", "country", "continent"]


@dataclass(frozen=True)
class LevelProbabilities:
    """Probabilities of all places of each level given each of N photos.

    `continents` (N, C), `countries` (N, K) and `groups` (N, G) are in the hierarchy's order,
    `cities` (N, k) holds only the most probable, best first. A map that calibrates a level belongs
    into `of`: all statements about a level, and the choice of level, follow from here.
    """

    continents: np.ndarray
    countries: np.ndarray
    groups: np.ndarray
    cities: np.ndarray
    hierarchy: Hierarchy

    @classmethod
    def of(cls, posterior: Posterior, cities: np.ndarray | None = None) -> "LevelProbabilities":
        """Sum a posterior up by country and continent.

        `cities` (N, k) are the posterior's probabilities of some cities, those of `top_cities`;
        without them the best city's is computed.

        A greedy posterior holds within its best country; its cities and groups are multiplied by
        that country's probability.
        """
        h = posterior.hierarchy
        countries, groups = posterior.countries, posterior.groups
        cities = top_cities(posterior, 1)[1] if cities is None else cities
        if posterior.country_logits is not None:
            best = countries.max(axis=1, keepdims=True)
            groups, cities = groups * best, cities * best
        continents = countries @ np.eye(len(h.continents))[h.country_continent]
        return cls(continents, countries, groups, cities, h)

    @property
    def regions(self) -> np.ndarray:
        """Probabilities (N, G) of the groups that are regions; 0 for groups without a region."""
        return np.where(self.hierarchy.group_region >= 0, self.groups, 0.0)


@dataclass(frozen=True)
class LevelRule:
    """Answer at `level`, or with "auto" at the deepest level of enough probability.

    With "auto": the deepest of city, region, country and continent whose most probable place has at
    least the probability `confidence`, else none. Where the likeliest group of cities lies in no
    region, the country is the answer instead of a region. Raises GeoclipError for a setting out of
    range.
    """

    level: AskedLevel = "auto"
    confidence: float = 0.5

    def __post_init__(self) -> None:
        if self.level not in get_args(AskedLevel):
            raise GeoclipError(
                f"level is {self.level!r}; use one of {', '.join(get_args(AskedLevel))}."
            )
        if not 0 <= self.confidence <= 1:
            raise GeoclipError(f"confidence is {self.confidence}; use a number from 0 to 1.")

    def levels(self, probabilities: LevelProbabilities) -> np.ndarray:
        """The `Level` (N,) of each photo's answer."""
        p = probabilities
        in_region = p.hierarchy.group_region[p.groups.argmax(axis=1)] >= 0
        if self.level != "auto":
            level = np.full(len(in_region), Level[self.level])
            return np.where((level == Level.region) & ~in_region, Level.country, level)
        all_levels = (p.continents, p.countries, p.groups, p.cities)
        reached = np.stack([one.max(axis=1) >= self.confidence for one in all_levels], axis=1)
        reached[:, Level.region - 1] &= in_region
        depth = reached.shape[1] - reached[:, ::-1].argmax(axis=1)
        return np.where(reached.any(axis=1), depth, Level.none)
