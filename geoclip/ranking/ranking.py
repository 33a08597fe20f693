"""From scores to ranked cities and the reported point.

Everything works on arrays of a block of photos; nothing loops over photos.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.places.place import LEVELS
from geoclip.ranking.expected_score import expected_score_city, expected_score_region_city
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.posterior import (
    LevelEmbeddings,
    Logits,
    Posterior,
    country_posterior,
    greedy_posterior,
    joint_posterior,
)
from geoclip.ranking.spread import radius_km
from geoclip.ranking.top_cities import country_cities, top_cities, top_columns

__all__ = [
    "BLOCK",
    "LevelEmbeddings",
    "Logits",
    "Posterior",
    "Ranking",
    "RankingSettings",
    "expected_score_city",
    "expected_score_region_city",
    "greedy_posterior",
    "joint_posterior",
    "posterior_of",
    "rank",
    "rank_embeddings",
    "top_cities",
    "top_columns",
]

METHODS = ("joint", "greedy")
POINTS = ("city", "expected_score", "expected_score_regions")
RANKED_COUNTRIES = 30
BLOCK = 1024
"""Photos scored at a time: bounds the (photos, places) array to some 140 MB."""
CACHE_ROWS = 64


@dataclass(frozen=True)
class RankingSettings:
    """How places are ranked and which point is reported.

    `method`: "joint" multiplies p(country), p(region | country) and p(city | region), each a
    softmax of logits divided by its level's temperature; "greedy" takes the best country, then
    the best of its `greedy_cities` most populous cities (StreetCLIP's procedure). `point`: "city"
    reports the best city's coordinates; "expected_score" the city that maximises the expected
    GeoScore over the `point_cities` most probable ones; "expected_score_regions" the best city of
    the region that maximises it over the whole posterior, names it first and then one city of each
    further country, the likeliest first: of a posterior spread wide the most probable cities are
    those of countries that have one city, wherever they lie; for that choice alone the log
    posterior of regions is divided by `point_temperature`. `seen_penalty` is taken from the log
    posterior of `seen_countries`, ISO codes of those trained on, which a photo of another country
    would be taken for (calibrated stacking, Chao et al. 2016, arXiv 1605.04253).
    `radius_share` is the share of the posterior within the stated radius about the point; 0 states
    none, for models of which nobody knows how often the place is inside.
    In a joint ranking countries weigh by their number of cities to the power `size_power`, inside
    their continent; 0 weighs a territory of one city like a country of thousands.
    """

    method: str = "joint"
    point: str = "expected_score"
    temperatures: tuple[float, float, float] = (1.0, 1.0, 1.0)
    greedy_cities: int = 30
    point_cities: int = 100
    point_temperature: float = 1.0
    radius_share: float = 0.0
    seen_countries: tuple[str, ...] = ()
    seen_penalty: float = 0.0
    size_power: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS or self.point not in POINTS:
            raise GeoclipError(
                f"ranking {self.method!r} with point {self.point!r} is unknown; "
                f"use one of {', '.join(METHODS)} and one of {', '.join(POINTS)}."
            )
        if len(self.temperatures) != len(LEVELS) or not all(
            0 < t < np.inf for t in self.temperatures
        ):
            raise GeoclipError(
                f"temperatures {self.temperatures} must be three numbers above 0: of country, "
                "region and city."
            )
        if not 0 < self.point_temperature < np.inf:
            raise GeoclipError(
                f"point_temperature is {self.point_temperature}; use a number above 0."
            )
        if not 0 <= self.radius_share < 1:
            raise GeoclipError(
                f"radius_share is {self.radius_share}; use a share below 1, or 0 for no radius."
            )
        for name in ("seen_penalty", "size_power"):
            if not np.isfinite(getattr(self, name)):
                raise GeoclipError(f"{name} is {getattr(self, name)}; use a finite number.")
        if min(self.greedy_cities, self.point_cities) < 1:
            raise GeoclipError(
                f"greedy_cities {self.greedy_cities} and point_cities {self.point_cities} must be "
                "1 or more."
            )


def _of_further_countries(
    posterior: Posterior, countries: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best city of each of `countries` (N, k), and their probabilities.

    The point stands for its own country: it is listed before these, and `_distinct` drops it here.
    """
    cities, probabilities = country_cities(posterior, countries)
    own = countries == posterior.hierarchy.city_country[points][:, None]
    return np.where(own, points[:, None], cities), probabilities


def _distinct(
    cities: np.ndarray, probabilities: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first k different cities of each row (N, m), those of probability 0 behind all others."""
    by_city = np.argsort(cities, axis=1, kind="stable")
    in_order = np.take_along_axis(cities, by_city, axis=1)
    again = np.zeros(cities.shape, dtype=bool)
    np.put_along_axis(again, by_city[:, 1:], in_order[:, 1:] == in_order[:, :-1], axis=1)
    place = np.argsort(np.where(again, 2, probabilities == 0), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cities, place, axis=1), np.take_along_axis(probabilities, place, 1)


@dataclass(frozen=True)
class Ranking:
    """Ranked places of N photos, as positions in a Hierarchy's cities.

    `cities` (N, k) with `probabilities` (N, k), best first, 0 for an excluded city; where the point
    is chosen by region the reported city, one of each further country, then others; `countries`
    (N, 30), or fewer where there are fewer, are the most probable countries' positions with
    `country_probabilities`, and `regions` (N,) the most probable region's (-1 where a group of
    cities without a region is more probable); `points` (N,) are the reported cities and
    `radius` (N,) what lies about them in km, NaN where none is stated. A greedy ranking's country
    probabilities are the softmax of the country logits.
    """

    cities: np.ndarray
    probabilities: np.ndarray
    countries: np.ndarray
    country_probabilities: np.ndarray
    regions: np.ndarray
    points: np.ndarray
    radius: np.ndarray


def posterior_of(
    scores: Logits,
    hierarchy: Hierarchy,
    settings: RankingSettings,
    log_prior: np.ndarray | None = None,
) -> Posterior:
    """The posterior that settings ask for; GeoclipError for a prior that excludes every city."""
    if settings.method == "greedy":
        return greedy_posterior(scores, hierarchy, settings.greedy_cities, log_prior)
    return joint_posterior(scores, hierarchy, settings.temperatures, log_prior, settings.size_power)


def rank(
    scores: Logits,
    hierarchy: Hierarchy,
    settings: RankingSettings,
    top_k: int = 5,
    log_prior: np.ndarray | None = None,
) -> Ranking:
    """Rank the cities for each photo and choose the reported point.

    Raises GeoclipError for `top_k` below 1 and for a prior that excludes every city.
    """
    if top_k < 1:
        raise GeoclipError(f"top_k is {top_k}; ask for at least 1 place.")
    posterior = posterior_of(scores, hierarchy, settings, log_prior)
    country_p = country_posterior(scores, hierarchy, settings.method, posterior.groups, log_prior)
    countries = np.argsort(-country_p, axis=1, kind="stable")[:, :RANKED_COUNTRIES]
    by_score = settings.point == "expected_score"
    wanted = max(top_k, settings.point_cities if by_score else 1)
    cities, probabilities = top_cities(posterior, wanted)
    points = cities[:, 0]
    if by_score:
        m = settings.point_cities
        points = expected_score_city(cities[:, :m], probabilities[:, :m], hierarchy)
    elif settings.point == "expected_score_regions":
        points, of_points = expected_score_region_city(posterior, settings.point_temperature)
        others, of_others = _of_further_countries(posterior, countries[:, :top_k], points)
        cities, probabilities = _distinct(
            np.hstack([points[:, None], others, cities]),
            np.hstack([of_points[:, None], of_others, probabilities]),
            min(top_k, len(hierarchy.cities)),
        )
    radius = np.full(len(points), np.nan)
    if settings.radius_share:
        radius = radius_km(posterior, points, settings.radius_share)
    return Ranking(
        cities=cities[:, :top_k],
        probabilities=probabilities[:, :top_k],
        countries=countries,
        country_probabilities=np.take_along_axis(country_p, countries, axis=1),
        regions=hierarchy.group_region[posterior.groups.argmax(axis=1)],
        points=points,
        radius=radius,
    )


def rank_embeddings(
    photos: np.ndarray,
    levels: LevelEmbeddings,
    hierarchy: Hierarchy,
    logit_scale: float,
    settings: RankingSettings,
    top_k: int = 5,
    log_prior: np.ndarray | None = None,
    threads: int = 1,
) -> Ranking:
    """Rank the cities for photo embeddings (N, d); see `rank`.

    A matrix product is fastest for many photos at a time, what follows for as few as fit the
    processor's cache: those run side by side in `threads` threads.
    """

    def of_rows(start: int) -> Ranking:
        part = scores.rows(slice(start, start + CACHE_ROWS))
        return rank(part, hierarchy, settings, top_k, log_prior)

    parts: list[Ranking] = []
    with ThreadPoolExecutor(threads) as pool:
        for block in range(0, max(len(photos), 1), BLOCK):  # also without a photo: one, empty
            scores = levels.scores(photos[block : block + BLOCK], logit_scale)
            parts += pool.map(of_rows, range(0, max(len(scores.city), 1), CACHE_ROWS))
    names = [field.name for field in fields(Ranking)]
    return Ranking(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
