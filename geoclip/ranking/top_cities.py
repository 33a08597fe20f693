"""The most probable cities of a posterior, without looking into every group of cities.

A city is at most as probable as its group (branch and bound, Land and Doig 1960): where the k-th
best city of the likeliest groups is more probable than every other group, no other city can be
among the k best, and the answer is exact.
"""

import numpy as np

from geoclip.ranking.posterior import Posterior, shared_out

_FEWEST_GROUPS = 24
_ROUNDING = 1e-4
"""Of log probabilities in float32: a city this close to the bound may lie on either side."""


def top_cities(posterior: Posterior, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, k) of the k most probable cities, best first, and their probabilities.

    Of equally probable cities the first goes first. A probability of 0 marks an excluded city.
    """
    log_groups = posterior.log_groups
    k = min(k, posterior.logits.shape[1])
    count = max(k, _FEWEST_GROUPS)
    if count >= log_groups.shape[1]:
        return top_columns(posterior.log_cities, k)
    floor = np.maximum(_kth_largest_at_least(log_groups, count), np.finfo(log_groups.dtype).min)
    likely = log_groups >= floor
    cities, log_p = cities_of_groups(posterior, *_nonzero(likely))
    if cities.shape[1] < k:
        return top_columns(posterior.log_cities, k)
    columns, probabilities = top_columns(log_p, k)
    best = np.take_along_axis(cities, columns, axis=1)
    bound = log_groups.max(axis=1, initial=-np.inf, where=~likely)
    unsure = np.take_along_axis(log_p, columns[:, -1:], axis=1)[:, 0] <= bound + _ROUNDING
    if unsure.any():
        best[unsure], probabilities[unsure] = top_columns(posterior.rows(unsure).log_cities, k)
    return best, probabilities


def cities_of_groups(
    posterior: Posterior, photos: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cities (N, L) of some groups of each photo, by position, and their log probabilities.

    `photos` and `groups` (M,) are pairs in order of photo, then group. Rows are filled up with
    city 0 and -inf.
    """
    city, values, sizes = _members(posterior, photos, groups)
    photo = np.repeat(photos, sizes)
    counts = np.bincount(photo, minlength=len(posterior.logits))
    column = np.arange(len(city)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = len(counts), max(counts.max(initial=0), 1)
    cities, log_p = np.zeros(shape, np.int64), np.full(shape, -np.inf, values.dtype)
    cities[photo, column], log_p[photo, column] = city, values
    return cities, log_p


def _members(
    posterior: Posterior, photos: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cities of pairs (M,) of photo and group, side by side, log probabilities and sizes (M,)."""
    hierarchy = posterior.hierarchy
    sizes = hierarchy.group_sizes()[groups]
    starts = np.cumsum(sizes) - sizes
    each = np.arange(sizes.sum())
    city = each + np.repeat(hierarchy.group_starts[groups] - starts, sizes)
    values = posterior.logits[np.repeat(photos, sizes), city]
    if len(each):
        values = shared_out(posterior.log_groups[photos, groups][None], values[None], starts)[0]
    return city, values, sizes


def country_cities(posterior: Posterior, countries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best city (N, k) of the likeliest region of some countries (N, k), and probabilities.

    `countries` are positions in the hierarchy.
    """
    n, k = countries.shape
    firsts = np.searchsorted(posterior.hierarchy.group_country, countries)
    lasts = np.searchsorted(posterior.hierarchy.group_country, countries, side="right")
    photos = np.repeat(np.arange(n), k)
    first, size = firsts.reshape(-1), (lasts - firsts).reshape(-1)
    group = _largest(posterior.log_groups, photos, first, size)
    cities, probabilities = group_cities(posterior, photos, group)
    return cities.reshape(n, k), probabilities.reshape(n, k)


def group_cities(
    posterior: Posterior, photos: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best city (M,) of the group in each pair (M,) of photo and group, and probabilities."""
    city, log_p, sizes = _members(posterior, photos, groups)
    starts = np.cumsum(sizes) - sizes
    best = _largest(log_p[None], np.zeros_like(photos), starts, sizes)
    return city[best], np.exp(log_p[best].astype(np.float64))


def _largest(
    values: np.ndarray, rows: np.ndarray, starts: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Columns (M,) of the largest of `values[rows, starts : starts + sizes]`, ties to the first."""
    before = np.cumsum(sizes) - sizes
    column = np.arange(sizes.sum()) + np.repeat(starts - before, sizes)
    segment = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((-values[np.repeat(rows, sizes), column], segment))
    return column[order[before]]


def top_columns(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns (N, k) of each row's k largest values, largest first, and their exponentials.

    Of equal values the first goes first.
    """
    n, columns = values.shape
    k = min(k, columns)
    floor = _kth_largest_at_least(values, k)
    candidate = values >= np.maximum(floor, np.finfo(values.dtype).min)
    candidate[:, :k] = True  # where fewer than k are finite, others fill up by position
    rows, best = _nonzero(candidate)
    chosen_values = values[rows, best]
    # Candidates come by row and position, and the sort is stable: so ties go by position.
    order = np.lexsort((-chosen_values, rows))
    first = np.searchsorted(rows, np.arange(n))
    chosen = order[first[:, None] + np.arange(k)]
    # In float32 a far-off but allowed city would come to 0 as well.
    return best[chosen], np.exp(chosen_values[chosen].astype(np.float64))


def _nonzero(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`mask.nonzero()` of a matrix, several times as fast."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return rows, columns


def _kth_largest_at_least(values: np.ndarray, k: int) -> np.ndarray:
    """A lower bound (N, 1) of each row's k-th largest value, close to it where k is small.

    The k-th largest of the maxima of k or more disjoint sets of columns; that takes one pass,
    where a partition of all columns takes dozens.
    """
    sets = min(values.shape[1], max(8 * k, 1024))
    size = values.shape[1] // sets
    maxima = values[:, : sets * size].reshape(len(values), size, sets).max(axis=1)
    return np.partition(maxima, -k, axis=1)[:, [-k]]
