"""The most probable cities of a posterior: of all, of a group, of a country."""

import numpy as np

from geoclip.ranking.posterior import Posterior
from geoclip.ranking.segments import best_in_segments, kth_largest, top_columns

Cities = tuple[np.ndarray, np.ndarray]
"""Positions in a hierarchy's cities and their probabilities, of one shape."""

_ROUNDING = 0.01
"""More than the float32 rounding error of a log probability."""


def top_cities(posterior: Posterior, k: int) -> Cities:
    """The k most probable cities (N, k), best first.

    Equally probable cities keep their order. A probability of 0 marks an excluded city.
    """
    cities, log_p = posterior.cities_in(_groups_of_top_cities(posterior, k))
    return _chosen(cities, log_p, top_columns(log_p, k))


def _groups_of_top_cities(posterior: Posterior, k: int) -> np.ndarray:
    """Groups (N, G) that hold the k most probable cities of each photo, and some more.

    The best of a group's n cities has at least 1 / n of the group's probability. The k-th largest
    of these shares is at most the k-th best city's, and a city has at most its group's probability.
    """
    log_p = posterior.log_groups
    log_sizes = np.log(posterior.hierarchy.group_sizes).astype(log_p.dtype)
    least = kth_largest(log_p - log_sizes, k) - _ROUNDING
    likely = log_p >= np.maximum(least, np.finfo(log_p.dtype).min)
    likely[likely.sum(axis=1) < k, :k] = True  # the first cities fill up the list
    return likely


def group_cities(posterior: Posterior, groups: np.ndarray) -> Cities:
    """The best city of each of some groups (N, m)."""
    chosen = np.zeros(posterior.log_groups.shape, dtype=bool)
    np.put_along_axis(chosen, groups, True, axis=1)
    cities, log_p = posterior.cities_in(chosen)
    inside = posterior.hierarchy.city_group[cities][:, None] == groups[:, :, None]  # (N, m, w)
    least = np.finfo(log_p.dtype).min  # above everything outside
    best = np.where(inside, np.maximum(log_p, least)[:, None], -np.inf).argmax(axis=2)
    return _chosen(cities, log_p, best)


def country_groups(posterior: Posterior, countries: np.ndarray) -> np.ndarray:
    """The likeliest group of each of some countries (N, m), by position."""
    starts = posterior.hierarchy.country_starts
    return best_in_segments(posterior.log_groups, starts, countries)


def _chosen(cities: np.ndarray, log_p: np.ndarray, columns: np.ndarray) -> Cities:
    cities, log_p = (np.take_along_axis(x, columns, axis=1) for x in (cities, log_p))
    # In float32 a distant but allowed city would also become 0.
    return cities, np.exp(log_p.astype(np.float64))
