"""The most probable cities of a posterior: of all, of a group, of a country."""

import numpy as np

from geoclip.ranking.posterior import Posterior
from geoclip.ranking.segments import best_in_segments, top_columns

Cities = tuple[np.ndarray, np.ndarray]
"""Positions in a hierarchy's cities and their probabilities, of one shape."""


def top_cities(posterior: Posterior, k: int) -> Cities:
    """The k most probable cities (N, k), best first.

    Of equally probable cities the first goes first. A probability of 0 marks an excluded city.
    """
    return _with_probabilities(posterior, top_columns(posterior.log_cities, k))


def group_cities(posterior: Posterior, groups: np.ndarray) -> Cities:
    """The best city of each of some groups (N, m)."""
    starts = posterior.hierarchy.group_starts
    return _with_probabilities(posterior, best_in_segments(posterior.log_cities, starts, groups))


def country_groups(posterior: Posterior, countries: np.ndarray) -> np.ndarray:
    """The likeliest group of each of some countries (N, m), by their position."""
    starts = posterior.hierarchy.country_starts
    return best_in_segments(posterior.log_groups, starts, countries)


def _with_probabilities(posterior: Posterior, cities: np.ndarray) -> Cities:
    log_p = np.take_along_axis(posterior.log_cities, cities, axis=1)
    # In float32 a far-off but allowed city would come to 0 as well.
    return cities, np.exp(log_p.astype(np.float64))
