"""Ranked places and the reported point of photos, from their logits or embeddings.

Everything works on arrays of a block of photos; nothing loops over photos.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.ranking.confidence import Level, LevelProbabilities, LevelRule
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.level_ranking import (
    LevelRanking,
    ancestors_of_cities,
    probabilities_of,
    rank_at_level,
    regions_of,
)
from geoclip.ranking.logits import LevelEmbeddings, Logits
from geoclip.ranking.point_estimate import (
    expected_score_city,
    expected_score_group,
    stated_radii_km,
)
from geoclip.ranking.posterior import Posterior, posterior_of
from geoclip.ranking.prior import CityPrior
from geoclip.ranking.segments import top_columns
from geoclip.ranking.settings import RankingSettings
from geoclip.ranking.top_cities import country_groups, group_cities, top_cities

RANKED_COUNTRIES = 30
BLOCK = 1024
"""Photos whose logits are computed at a time: bounds the (photos, places) array to some 140 MB."""
CACHE_ROWS = 128
"""Photos ranked at a time: their arrays over all regions fit the CPU's cache."""


@dataclass(frozen=True)
class Ranking:
    """Ranked places of N photos, as positions in a Hierarchy's cities.

    Attributes:
        cities, probabilities: (N, k) best first, probability 0 for an excluded city. Where the
            point is chosen by region: the reported city, one of each further country, then others.
        countries, country_probabilities: (N, 30) the most probable countries, or all where there
            are fewer. A greedy ranking's probabilities are the softmax of the country logits.
        regions: (N,) the most probable region, -1 where a group of cities without a region is
            more probable.
        points: (N,) the reported cities.
        radius, radius_90: (N,) credible radii about the points in km, of the share that the
            settings state and of 90 %; NaN where none is stated.
        level_probabilities: (N, k, 4) of the continent, country, region and city of each listed
            city, see `LevelRanking`.
    """

    cities: np.ndarray
    probabilities: np.ndarray
    countries: np.ndarray
    country_probabilities: np.ndarray
    regions: np.ndarray
    points: np.ndarray
    radius: np.ndarray
    radius_90: np.ndarray
    level_probabilities: np.ndarray

    def at_city_level(self, hierarchy: Hierarchy) -> LevelRanking:
        """The listed cities and the point unchanged, whatever level is probable enough."""
        return LevelRanking(
            np.full(len(self.points), Level.city),
            regions_of(ancestors_of_cities(self.cities, hierarchy), hierarchy),
            self.level_probabilities,
            listed=self.probabilities > 0,
            points=self.points,
            radius=self.radius,
            radius_90=self.radius_90,
        )


def rank(
    logits: Logits,
    hierarchy: Hierarchy,
    settings: RankingSettings,
    top_k: int = 5,
    prior: CityPrior | None = None,
) -> Ranking:
    """Rank the cities for each photo and choose the reported point.

    `prior` defaults to that of the settings. Raises GeoclipError for `top_k` below 1.
    """
    if top_k < 1:
        raise GeoclipError(f"top_k is {top_k}; ask for at least 1 place.")
    prior = CityPrior.of(settings.prior, hierarchy) if prior is None else prior
    posterior = posterior_of(logits, hierarchy, settings, prior)
    countries = top_columns(posterior.countries, RANKED_COUNTRIES)
    candidates = settings.point.cities or 1
    cities, probabilities = top_cities(posterior, max(top_k, candidates))
    points = cities[:, 0]
    if settings.point.rule == "expected_score":
        listed = cities[:, :candidates], probabilities[:, :candidates]
        points = expected_score_city(*listed, hierarchy)
    elif settings.point.rule == "expected_score_regions":
        group = expected_score_group(posterior, settings.point.temperature or 1.0)
        cities, probabilities = _group_first(
            posterior, group, countries[:, :top_k], cities, probabilities
        )
        points = cities[:, 0]
    radius, radius_90 = stated_radii_km(posterior, points, settings)
    cities, probabilities = cities[:, :top_k], probabilities[:, :top_k]
    levels = LevelProbabilities.of(posterior, probabilities)
    return Ranking(
        cities=cities,
        probabilities=probabilities,
        countries=countries,
        country_probabilities=np.take_along_axis(posterior.countries, countries, axis=1),
        regions=hierarchy.group_region[posterior.groups.argmax(axis=1)],
        points=points,
        radius=radius,
        radius_90=radius_90,
        level_probabilities=probabilities_of(ancestors_of_cities(cities, hierarchy), levels),
    )


def _group_first(
    posterior: Posterior,
    group: np.ndarray,
    countries: np.ndarray,
    cities: np.ndarray,
    probabilities: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The best city of `group` (N,), one of each further country (N, k), then `cities` (N, m).

    The first m different ones are listed, those of probability 0 last.
    """
    groups = np.hstack([group[:, None], country_groups(posterior, countries)])
    firsts, of_firsts = group_cities(posterior, groups)
    point = firsts[:, :1]
    # The point represents its own country: a further city of it is dropped as a repetition.
    own = countries == posterior.hierarchy.city_country[point]
    listed = np.hstack([point, np.where(own, point, firsts[:, 1:]), cities])
    of_listed = np.hstack([of_firsts, probabilities])
    last = np.where(_listed_before(listed), 2, of_listed == 0)
    order = np.argsort(last, axis=1, kind="stable")[:, : cities.shape[1]]
    return np.take_along_axis(listed, order, axis=1), np.take_along_axis(of_listed, order, axis=1)


def _listed_before(cities: np.ndarray) -> np.ndarray:
    """Mask of cities (N, m) that occur further left in their row."""
    by_city = np.argsort(cities, axis=1, kind="stable")
    in_order = np.take_along_axis(cities, by_city, axis=1)
    again = np.zeros(cities.shape, dtype=bool)
    np.put_along_axis(again, by_city[:, 1:], in_order[:, 1:] == in_order[:, :-1], axis=1)
    return again


def rank_embeddings(
    photos: np.ndarray,
    levels: LevelEmbeddings,
    hierarchy: Hierarchy,
    logit_scale: float,
    settings: RankingSettings,
    top_k: int = 5,
    prior: CityPrior | None = None,
    threads: int = 1,
) -> Ranking:
    """Rank the cities for photo embeddings (N, d); see `rank`."""

    def of_logits(part: Logits) -> Ranking:
        return rank(part, hierarchy, settings, top_k, prior)

    return _in_parts(photos, levels, logit_scale, threads, of_logits)


def rank_embeddings_at_level(
    photos: np.ndarray,
    levels: LevelEmbeddings,
    hierarchy: Hierarchy,
    logit_scale: float,
    settings: RankingSettings,
    rule: LevelRule,
    top_k: int,
    prior: CityPrior,
    threads: int = 1,
) -> LevelRanking:
    """Rank the places of each photo's level for embeddings (N, d); see `rank_at_level`."""

    def of_logits(part: Logits) -> LevelRanking:
        return rank_at_level(posterior_of(part, hierarchy, settings, prior), settings, rule, top_k)

    return _in_parts(photos, levels, logit_scale, threads, of_logits)


def rank_cities_at_level(
    cities: np.ndarray,
    probabilities: np.ndarray,
    hierarchy: Hierarchy,
    settings: RankingSettings,
    rule: LevelRule,
    top_k: int,
) -> LevelRanking:
    """Rank the places of each photo's level for posteriors that list cities (N, m).

    Unlisted cities count for nothing, so no radius is stated.
    """
    parts = []
    for start in range(0, max(len(cities), 1), CACHE_ROWS):
        part = slice(start, start + CACHE_ROWS)
        posterior = Posterior.of_cities(cities[part], probabilities[part], hierarchy)
        parts.append(rank_at_level(posterior, settings.without_radius(), rule, top_k))
    return joined(parts)


Part = TypeVar("Part", Ranking, LevelRanking)


def _in_parts(
    photos: np.ndarray,
    levels: LevelEmbeddings,
    logit_scale: float,
    threads: int,
    rank_part: Callable[[Logits], Part],
) -> Part:
    """Apply `rank_part` to the logits of some photos at a time, and join the results.

    A matrix product is fastest for many photos at a time. The next steps are fastest for so few
    that their arrays fit the CPU's cache; such parts run in parallel in `threads` threads.
    """

    def of_rows(start: int) -> Part:
        return rank_part(logits.rows(slice(start, start + CACHE_ROWS)))

    parts: list[Part] = []
    logits: Logits
    with ThreadPoolExecutor(threads) as pool:
        for block in range(0, max(len(photos), 1), BLOCK):  # without photos: one empty block
            logits = levels.logits(photos[block : block + BLOCK], logit_scale)
            parts += pool.map(of_rows, range(0, max(len(logits.city), 1), CACHE_ROWS))
    return joined(parts)


def joined(parts: list[Part]) -> Part:
    """Rankings of several parts of the photos as one."""
    names = [field.name for field in fields(parts[0])]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return type(parts[0])(**columns)
