"""From logits to posteriors over a hierarchy's cities.

A joint posterior is p(country) · p(region | country) · p(city | region), a greedy one is that of
the best country's largest cities. Everything works on arrays of a block of photos; nothing loops
over photos.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.logits import Logits
from geoclip.ranking.prior import NO_PRIOR, CityPrior
from geoclip.ranking.segments import (
    cells_of_segments,
    log_softmax,
    log_softmax_in_segments,
    logsumexp_of_segments,
)
from geoclip.ranking.settings import GREEDY_CITIES, RankingSettings, Temperatures

_PLAIN = Temperatures()


@dataclass(frozen=True)
class Posterior:
    """Probabilities of a hierarchy's cities given each of N photos.

    A city's probability is that of its group (its region, see `Hierarchy`) times its share within:
    `log_groups` (N, G) are the groups' log probabilities, and the softmax of a group's part of
    `city_logits` (N, Q) gives the shares; -inf excludes a city. `allowed` (Q,) marks the cities
    with any probability. `country_logits` (N, K) are given where their softmax is p(country), as in
    a greedy posterior; else p(country) sums up the country's cities.
    """

    log_groups: np.ndarray
    city_logits: np.ndarray
    hierarchy: Hierarchy
    allowed: np.ndarray
    country_logits: np.ndarray | None = None

    @classmethod
    def of_cities(
        cls, cities: np.ndarray, probabilities: np.ndarray, hierarchy: Hierarchy
    ) -> "Posterior":
        """A posterior that lists some cities (N, m), by position, with their probabilities.

        All other cities have none: the rest to 1 belongs to no city.
        """
        dense = np.zeros((len(cities), len(hierarchy.cities)))
        np.add.at(dense, (np.arange(len(cities))[:, None], cities), probabilities)
        groups = np.add.reduceat(dense, hierarchy.group_starts, axis=1)
        with np.errstate(divide="ignore"):
            return cls(
                np.log(groups), np.log(dense), hierarchy, np.asarray((dense > 0).any(axis=0))
            )

    @cached_property
    def groups(self) -> np.ndarray:
        """Probabilities of the groups, (N, G)."""
        return np.asarray(np.exp(self.log_groups))

    @cached_property
    def countries(self) -> np.ndarray:
        """Probabilities of the countries, (N, K)."""
        if self.country_logits is not None:
            return np.asarray(np.exp(log_softmax(self.country_logits)))
        return np.asarray(np.add.reduceat(self.groups, self.hierarchy.country_starts, axis=1))

    def of_level(self, level: int) -> np.ndarray:
        """Probabilities (N, n) of the places of a level, as in `Hierarchy.levels`."""
        if level == 0:
            return self.countries
        if level == len(self.hierarchy.levels) - 1:
            return np.asarray(np.exp(self.log_cities))
        own = self.hierarchy.between[level - 1]
        found = np.zeros((len(self.groups), len(own.rows) + 1), self.groups.dtype)
        np.add.at(found.T, own.of_group, self.groups.T)  # groups without one are at -1
        return found[:, :-1]

    @cached_property
    def log_cities(self) -> np.ndarray:
        """Log probabilities of all cities, (N, Q)."""
        return self.cities_in(np.ones(self.log_groups.shape, dtype=bool))[1]

    def cities_in(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cities (N, w) of some groups, by a mask (N, G), and their log probabilities.

        A row's cities are in order of their position; -inf pads shorter rows. A city's value does
        not depend on which other groups are in the mask.
        """
        in_row = groups @ self.hierarchy.group_sizes
        listed = np.arange(in_row.max(initial=1)) < in_row[:, None]
        cities = np.zeros(listed.shape, dtype=np.int64)
        log_p = np.full(listed.shape, -np.inf, dtype=self.city_logits.dtype)
        if groups.any():
            starts = self.hierarchy.group_starts
            cells, first = cells_of_segments(starts, self.city_logits.shape[1], groups)
            cities[listed] = cells[1]
            log_p[listed] = _log_p(self.city_logits[cells], first, self.log_groups[groups])
        return cities, log_p


def _log_p(logits: np.ndarray, first: np.ndarray, log_groups: np.ndarray) -> np.ndarray:
    """Log probabilities (C,) of the cities of M consecutive groups, each starting at `first` (M,).

    The logits of each group are shifted by their own maximum, so that rounding does not depend on
    the other groups.
    """
    top = np.maximum.reduceat(logits, first)
    top[np.isneginf(top)] = 0
    shifted = logits - np.repeat(top, np.diff(first, append=len(logits)))
    return np.asarray(log_softmax_in_segments(shifted[None], first, log_groups[None])[0])


def posterior_of(
    logits: Logits, hierarchy: Hierarchy, settings: RankingSettings, prior: CityPrior
) -> Posterior:
    """The posterior that the settings define."""
    if settings.method == "greedy":
        most = settings.greedy_cities or GREEDY_CITIES
        return greedy_posterior(logits, hierarchy, most, prior)
    return joint_posterior(logits, hierarchy, settings.temperatures, prior)


def joint_posterior(
    logits: Logits,
    hierarchy: Hierarchy,
    temperatures: Temperatures = _PLAIN,
    prior: CityPrior = NO_PRIOR,
) -> Posterior:
    """Log p(country) + log p(region | country) + log p(city | region), or of any other levels.

    In a country without regions p(region | country) is 1. Cities without a region, in a country
    with regions, count as one more region, of mean probability (`Hierarchy.group_log_share`). The
    prior's weights are added before the posterior is normalised over all cities.
    """
    warm = temperatures.city != 1  # a division by 1 would waste a pass over all cities
    cities = logits.city / temperatures.city if warm else logits.city
    groups = _group_log_posterior(logits, hierarchy, temperatures, prior)
    if prior.log_weights is not None:
        weights = prior.log_weights.astype(cities.dtype)
        groups, cities = _weighed(groups, cities, hierarchy, weights)
    return Posterior(groups, cities, hierarchy, prior.allowed(hierarchy))


def _weighed(
    groups: np.ndarray, cities: np.ndarray, hierarchy: Hierarchy, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log p (N, G) of groups and logits (N, Q) of cities after adding the cities' log weights (Q,).

    Where all cities of a group have one weight, so has the group, and their shares stay.
    """
    starts = hierarchy.group_starts
    lightest = np.minimum.reduceat(weights, starts)
    uneven = lightest != np.maximum.reduceat(weights, starts)
    gains = np.tile(lightest, (len(groups), 1))
    if uneven.any():
        (_, inside), first = cells_of_segments(starts, len(weights), uneven[None])
        before = logsumexp_of_segments(cities[:, inside], first)
        cities = cities + weights
        gains[:, uneven] = logsumexp_of_segments(cities[:, inside], first) - before
    return log_softmax(groups + gains), cities


def _group_log_posterior(
    logits: Logits,
    hierarchy: Hierarchy,
    temperatures: Temperatures,
    prior: CityPrior,
) -> np.ndarray:
    """Log p(country) + log p(region | country) of each group of cities, (N, G)."""
    countries = log_countries(logits.country, hierarchy, temperatures, prior)
    share = hierarchy.group_log_share().astype(countries.dtype)
    groups: np.ndarray = np.take(countries, hierarchy.group_country, axis=1) + share
    for level, own in zip(hierarchy.between, logits.levels[1:-1], strict=True):
        if not len(level.rows):
            continue
        regions = log_softmax_in_segments(own / temperatures.region, level.starts)
        none = np.zeros((len(regions), 1), regions.dtype)  # a group without a region is at -1
        groups += np.take(np.hstack([regions, none]), level.of_group, axis=1)
    return groups


def log_countries(
    logits: np.ndarray, hierarchy: Hierarchy, temperatures: Temperatures, prior: CityPrior
) -> np.ndarray:
    """Log p (N, K) of the countries by their logits, before the prior's city weights."""
    countries = log_softmax(logits / temperatures.country)
    if prior.country_size_exponent:
        countries = _weighed_by_size(countries, hierarchy, prior.country_size_exponent)
    if prior.population_exponent:
        people = hierarchy.country_log_population.astype(countries.dtype)
        countries = log_softmax(countries + prior.population_exponent * people)
    if temperatures.continent != 1:
        countries = _with_softer_continents(countries, hierarchy, temperatures.continent)
    return np.asarray(countries)


def _weighed_by_size(log_p: np.ndarray, hierarchy: Hierarchy, exponent: float) -> np.ndarray:
    """Log p (N, K) of the countries plus `exponent` times their log number of cities.

    A continent keeps its probability: photos tell continents apart, while most territories of one
    city are islands with few photos.
    """
    of_country = exponent * np.log(np.bincount(hierarchy.city_country)).astype(log_p.dtype)
    return _with_continents(log_p + of_country, hierarchy, _log_continents(log_p, hierarchy))


def _with_softer_continents(
    log_p: np.ndarray, hierarchy: Hierarchy, temperature: float
) -> np.ndarray:
    """Log p (N, K) of the countries, with the continents' log p divided by `temperature`."""
    continents = log_softmax(_log_continents(log_p, hierarchy) / temperature)
    return _with_continents(log_p, hierarchy, continents)


def _log_continents(log_p: np.ndarray, hierarchy: Hierarchy) -> np.ndarray:
    """Log p (N, C) of the continents: sums over their countries (N, K)."""
    order, starts = hierarchy.countries_by_continent
    return logsumexp_of_segments(log_p[:, order], starts)


def _with_continents(log_p: np.ndarray, hierarchy: Hierarchy, continents: np.ndarray) -> np.ndarray:
    """Log p(country | continent) of logits (N, K) plus log p (N, C) of the continents."""
    order, starts = hierarchy.countries_by_continent
    joined = np.empty_like(log_p)
    joined[:, order] = log_softmax_in_segments(log_p[:, order], starts, continents)
    return joined


def greedy_posterior(
    logits: Logits,
    hierarchy: Hierarchy,
    greedy_cities: int = GREEDY_CITIES,
    prior: CityPrior = NO_PRIOR,
) -> Posterior:
    """A posterior that is 0 outside the best country's most populous cities.

    Within them it is the softmax of the city logits. The prior's weights are added to these; a
    country's logit gets the largest weight of its cities, so that a country without allowed cities
    is excluded. The country sizes and populations of a prior have no effect.
    """
    country_logits = _country_logits(logits, hierarchy, prior)
    allowed = prior.allowed(hierarchy)
    allowed &= _population_rank(hierarchy, allowed) < greedy_cities
    best = country_logits.argmax(axis=1)
    inside = hierarchy.group_country == best[:, None]
    cities = np.full_like(logits.city, -np.inf)
    groups = np.full(inside.shape, -np.inf, cities.dtype)
    if inside.any():
        cells, first = cells_of_segments(hierarchy.group_starts, cities.shape[1], inside)
        values = np.where(allowed[cells[1]], prior.add_to(logits.city)[cells], -np.inf)
        cities[cells] = values
        groups[inside] = logsumexp_of_segments(values[None], first)[0]
    groups = log_softmax(groups)
    return Posterior(groups, cities, hierarchy, allowed, country_logits)


def _country_logits(logits: Logits, hierarchy: Hierarchy, prior: CityPrior) -> np.ndarray:
    """Country logits (N, K) plus the prior of each country's most favoured city."""
    if prior.log_weights is None:
        return logits.country
    of_country = np.full(len(hierarchy.countries), -np.inf)
    np.maximum.at(of_country, hierarchy.city_country, prior.log_weights)
    return np.asarray(logits.country + of_country.astype(logits.country.dtype))


def _population_rank(hierarchy: Hierarchy, allowed: np.ndarray) -> np.ndarray:
    """Rank (0 = largest) of each city within its country, excluded cities last."""
    country = hierarchy.city_country
    order = np.lexsort((-hierarchy.population, ~allowed, country))
    starts = np.flatnonzero(np.r_[True, np.diff(country[order]) > 0])
    rank = np.empty(len(order), dtype=np.int64)
    sizes = np.diff(np.r_[starts, len(order)])
    rank[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return rank
