"""From scores to ranked cities: posteriors over a hierarchy, greedy choice, reported point.

Everything works on arrays of a block of photos; nothing loops over photos.
"""

from dataclasses import dataclass

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.hierarchy import Hierarchy
from geoclip.metrics import geoscore
from geoclip.place import LEVELS
from geoclip.sphere import chord_to_km, unit_vectors

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


@dataclass(frozen=True)
class Scores:
    """Logits of N photos: `country` (N, K), `region` (N, R), `city` (N, Q), as in a Hierarchy."""

    country: np.ndarray
    region: np.ndarray
    city: np.ndarray

    @classmethod
    def of(
        cls, photos: np.ndarray, places: np.ndarray, hierarchy: Hierarchy, logit_scale: float
    ) -> "Scores":
        """Logits from photo embeddings (N, d) and place embeddings (P, d) by gazetteer row."""
        photos = photos * np.float32(logit_scale)
        rows = (hierarchy.countries, hierarchy.regions, hierarchy.cities)
        return cls(*(photos @ places[level].T for level in rows))


def joint_log_posterior(
    scores: Scores,
    hierarchy: Hierarchy,
    temperatures: tuple[float, float, float] = (1.0, 1.0, 1.0),
    log_prior: np.ndarray | None = None,
) -> np.ndarray:
    """Log p(country) + log p(region | country) + log p(city | region), (N, Q).

    A city without a region has p(region | country) = 1. `log_prior` (Q,) is added before the
    posterior is normalised over all cities; -inf excludes a city. Raises GeoclipError for a prior
    that excludes all of them.
    """
    _allowed(hierarchy, log_prior)
    t_country, t_region, t_city = temperatures
    log_p = _log_softmax(scores.country / t_country)[:, hierarchy.group_country]
    if len(hierarchy.regions):
        regions = scores.region / t_region
        regions = regions - _segment_logsumexp(regions, hierarchy.region_starts)
        with_region = hierarchy.group_region >= 0
        log_p[:, with_region] += regions[:, hierarchy.group_region[with_region]]
    cities = scores.city / t_city
    log_p -= _segment_logsumexp(cities, hierarchy.group_starts, spread=False)
    cities += log_p[:, hierarchy.city_group]
    if log_prior is not None:
        cities += log_prior
    return _log_softmax(cities)


def greedy_log_posterior(
    scores: Scores,
    hierarchy: Hierarchy,
    greedy_cities: int = 30,
    log_prior: np.ndarray | None = None,
) -> np.ndarray:
    """Log posterior (N, Q) that is 0 outside the best country's most populous cities.

    Within them it is the softmax of the city logits. `log_prior` (Q,) of -inf excludes a city,
    and a country all of whose cities are excluded. Raises GeoclipError where all are.
    """
    allowed = _allowed(hierarchy, log_prior)
    city_country = hierarchy.group_country[hierarchy.city_group]
    best = _open_countries(scores, hierarchy, allowed).argmax(axis=1)
    allowed &= _population_rank(hierarchy, allowed) < greedy_cities
    inside = (city_country == best[:, None]) & allowed
    return _log_softmax(np.where(inside, scores.city, -np.inf))


def _allowed(hierarchy: Hierarchy, log_prior: np.ndarray | None) -> np.ndarray:
    """Which cities (Q,) a prior leaves in."""
    if log_prior is None:
        return np.ones(len(hierarchy.cities), dtype=bool)
    if np.isnan(log_prior).any() or np.isposinf(log_prior).any():
        raise GeoclipError(
            "the log prior has NaN or +inf among its values; give finite ones or -inf."
        )
    allowed = np.isfinite(log_prior)
    if not allowed.any():
        raise GeoclipError("the prior excludes every city of the gazetteer; leave at least one in.")
    return allowed


def _open_countries(scores: Scores, hierarchy: Hierarchy, allowed: np.ndarray) -> np.ndarray:
    """Country logits (N, K), -inf for a country without an allowed city."""
    city_country = hierarchy.group_country[hierarchy.city_group]
    is_open = np.isin(np.arange(len(hierarchy.countries)), city_country[allowed])
    return np.where(is_open, scores.country, -np.inf)


def _population_rank(hierarchy: Hierarchy, allowed: np.ndarray) -> np.ndarray:
    """Rank (0 = largest) of each city within its country, excluded cities last."""
    country = hierarchy.group_country[hierarchy.city_group]
    order = np.lexsort((-hierarchy.population, ~allowed, country))
    starts = np.flatnonzero(np.r_[True, np.diff(country[order]) > 0])
    rank = np.empty(len(order), dtype=np.int64)
    sizes = np.diff(np.r_[starts, len(order)])
    rank[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return rank


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
    country_p = _country_posterior(scores, hierarchy, settings.method, group_p, log_prior)
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


def _country_posterior(
    scores: Scores,
    hierarchy: Hierarchy,
    method: str,
    group_p: np.ndarray,
    log_prior: np.ndarray | None,
) -> np.ndarray:
    """Probabilities (N, K) of the countries; `group_p` (N, G) is the posterior of the groups."""
    if method == "greedy":
        open_countries = _open_countries(scores, hierarchy, _allowed(hierarchy, log_prior))
        return np.exp(_log_softmax(open_countries))
    country_starts = np.flatnonzero(np.r_[True, np.diff(hierarchy.group_country) > 0])
    return np.add.reduceat(group_p, country_starts, axis=1)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _segment_logsumexp(values: np.ndarray, starts: np.ndarray, spread: bool = True) -> np.ndarray:
    """Log of the summed exponentials of slices of columns, (N, segments) or spread to (N, M)."""
    sizes = np.diff(np.r_[starts, values.shape[1]])
    top = np.maximum.reduceat(values, starts, axis=1)
    shifted = np.exp(values - np.repeat(top, sizes, axis=1))
    result = top + np.log(np.add.reduceat(shifted, starts, axis=1))
    return np.repeat(result, sizes, axis=1) if spread else result
