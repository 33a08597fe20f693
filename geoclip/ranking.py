"""From scores to ranked cities and the reported point.

Everything works on arrays of a block of photos; nothing loops over photos.
"""

from dataclasses import dataclass

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.hierarchy import Hierarchy
from geoclip.metrics import geoscore
from geoclip.place import LEVELS
from geoclip.posterior import (
    Scores,
    country_posterior,
    greedy_log_posterior,
    joint_log_posterior,
)
from geoclip.sphere import chord_to_km, unit_vectors

__all__ = [
    "Ranking",
    "RankingSettings",
    "Scores",
    "expected_score_city",
    "greedy_log_posterior",
    "joint_log_posterior",
    "rank",
    "top_cities",
]

METHODS = ("joint", "greedy")
POINTS = ("city", "expected_score")
RANKED_COUNTRIES = 5


@dataclass(frozen=True)
class RankingSettings:
    """How places are ranked and which point is reported.

    `method`: "joint" multiplies p(country), p(region | country) and p(city | region), each a
    softmax of logits divided by its level's temperature; "greedy" takes the best country, then
    the best of its `greedy_cities` most populous cities (StreetCLIP's procedure). `point`: "city"
    reports the best city's coordinates; "expected_score" the city that maximises the expected
    GeoScore over the `point_cities` most probable ones.
    """

    method: str = "joint"
    point: str = "expected_score"
    temperatures: tuple[float, float, float] = (1.0, 1.0, 1.0)
    greedy_cities: int = 30
    point_cities: int = 100

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
        if min(self.greedy_cities, self.point_cities) < 1:
            raise GeoclipError(
                f"greedy_cities {self.greedy_cities} and point_cities {self.point_cities} must be "
                "1 or more."
            )


def top_cities(log_posterior: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, k) of the k most probable cities, best first, and their probabilities.

    Of equally probable cities the first goes first. A probability of 0 marks an excluded city.
    """
    k = min(k, log_posterior.shape[1])
    least = np.partition(log_posterior, -k, axis=1)[:, [-k]]
    above, level = log_posterior > least, log_posterior == least
    # A partition alone would leave it to chance which of the places tied for the last rank is in.
    vacant = k - above.sum(axis=1, keepdims=True)
    chosen = above | (level & (np.cumsum(level, axis=1) <= vacant))
    best = np.nonzero(chosen)[1].reshape(-1, k)
    values = np.take_along_axis(log_posterior, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best, values = (np.take_along_axis(a, order, axis=1) for a in (best, values))
    # In float32 a far-off but allowed city would come to 0 as well.
    return best, np.exp(values.astype(np.float64))


def expected_score_city(
    candidates: np.ndarray, probabilities: np.ndarray, hierarchy: Hierarchy
) -> tuple[np.ndarray, np.ndarray]:
    """Of each photo's candidates with probability above 0, the one of largest expected GeoScore.

    `candidates` and `probabilities` (N, m) come from `top_cities`. Returns the city positions
    (N,) and the posterior mass (N,) that the m candidates cover.
    """
    xyz = unit_vectors(hierarchy.lat[candidates], hierarchy.lon[candidates])  # (N, m, 3)
    squared = 2 - 2 * np.clip(xyz @ xyz.transpose(0, 2, 1), -1, 1)
    gain = np.einsum("nij,nj->ni", geoscore(chord_to_km(np.sqrt(squared))), probabilities)
    best = np.where(probabilities > 0, gain, -np.inf).argmax(axis=1)
    return candidates[np.arange(len(candidates)), best], probabilities.sum(axis=1)


@dataclass(frozen=True)
class Ranking:
    """Ranked places of N photos, as positions in a Hierarchy's cities.

    `cities` (N, k) with `probabilities` (N, k), best first, 0 for an excluded city; `countries`
    (N, 5), or fewer where there are fewer, are the most probable countries' positions with
    `country_probabilities`, and `regions` (N,) the most probable region's (-1 where a group of
    cities without a region is more probable); `points` (N,) are the reported cities, `point_mass`
    (N,) the posterior mass behind them. A greedy ranking's country probabilities are the softmax
    of the country logits.
    """

    cities: np.ndarray
    probabilities: np.ndarray
    countries: np.ndarray
    country_probabilities: np.ndarray
    regions: np.ndarray
    points: np.ndarray
    point_mass: np.ndarray


def rank(
    scores: Scores,
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
    if settings.method == "greedy":
        log_p = greedy_log_posterior(scores, hierarchy, settings.greedy_cities, log_prior)
    else:
        log_p = joint_log_posterior(scores, hierarchy, settings.temperatures, log_prior)
    cities, probabilities = top_cities(log_p, max(top_k, settings.point_cities))
    points, mass = cities[:, 0], probabilities[:, 0]
    if settings.point == "expected_score":
        m = settings.point_cities
        points, mass = expected_score_city(cities[:, :m], probabilities[:, :m], hierarchy)
    group_p = np.add.reduceat(np.exp(log_p), hierarchy.group_starts, axis=1)
    country_p = country_posterior(scores, hierarchy, settings.method, group_p, log_prior)
    countries = np.argsort(-country_p, axis=1, kind="stable")[:, :RANKED_COUNTRIES]
    return Ranking(
        cities=cities[:, :top_k],
        probabilities=probabilities[:, :top_k],
        countries=countries,
        country_probabilities=np.take_along_axis(country_p, countries, axis=1),
        regions=hierarchy.group_region[group_p.argmax(axis=1)],
        points=points,
        point_mass=mass,
    )
