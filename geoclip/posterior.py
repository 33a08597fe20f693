"""From scores to posteriors over a hierarchy's cities.

Everything works on arrays of a block of photos; nothing loops over photos.
"""

from dataclasses import dataclass

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.hierarchy import Hierarchy


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

    In a country without regions p(region | country) is 1; cities without a region in a country
    that has some are one more region, of mean probability (`Hierarchy.group_log_share`).
    `log_prior` (Q,) is added before the posterior is normalised over all cities; -inf excludes a
    city. Raises GeoclipError for a prior that excludes all of them.
    """
    _allowed(hierarchy, log_prior)
    t_country, t_region, t_city = temperatures
    log_p = _log_softmax(scores.country / t_country)[:, hierarchy.group_country]
    log_p += hierarchy.group_log_share().astype(log_p.dtype)
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


def country_posterior(
    scores: Scores,
    hierarchy: Hierarchy,
    method: str,
    group_p: np.ndarray,
    log_prior: np.ndarray | None,
) -> np.ndarray:
    """Probabilities (N, K) of the countries; `group_p` (N, G) is the posterior of the groups."""
    if method == "greedy":
        possible = _open_countries(scores, hierarchy, _allowed(hierarchy, log_prior))
        return np.exp(_log_softmax(possible))
    country_starts = np.flatnonzero(np.r_[True, np.diff(hierarchy.group_country) > 0])
    return np.add.reduceat(group_p, country_starts, axis=1)


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
