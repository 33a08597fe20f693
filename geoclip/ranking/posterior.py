"""From scores to posteriors over a hierarchy's cities.

Everything works on arrays of a block of photos; nothing loops over photos.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.ranking.hierarchy import Hierarchy

_SAFE_SUM = 1e-34
"""A sum of exponentials above this has all of float32's digits."""


@dataclass(frozen=True)
class Logits:
    """Logits of N photos: `country` (N, K), `region` (N, R), `city` (N, Q), as in a Hierarchy."""

    country: np.ndarray
    region: np.ndarray
    city: np.ndarray

    def rows(self, part: slice) -> "Logits":
        """The logits of some of the photos."""
        return Logits(self.country[part], self.region[part], self.city[part])


@dataclass(frozen=True)
class LevelEmbeddings:
    """Embeddings of a hierarchy's countries (K, d), regions (R, d) and cities (Q, d).

    Taken out of an index once: float32, or float64 where the index is.
    """

    country: np.ndarray
    region: np.ndarray
    city: np.ndarray

    @classmethod
    def of(cls, places: np.ndarray, hierarchy: Hierarchy) -> "LevelEmbeddings":
        """Choose the hierarchy's rows from place embeddings (P, d) by gazetteer row."""
        kind = np.promote_types(places.dtype, np.float32)
        rows = (hierarchy.countries, hierarchy.regions, hierarchy.cities)
        return cls(*(np.asarray(places[level], dtype=kind) for level in rows))

    def scores(self, photos: np.ndarray, logit_scale: float) -> Logits:
        """Logits of photo embeddings (N, d)."""
        photos = photos * np.float32(logit_scale)
        return Logits(*(photos @ level.T for level in (self.country, self.region, self.city)))


@dataclass(frozen=True)
class Posterior:
    """Probabilities of a hierarchy's cities: a city has its share of what its group has.

    `log_groups` (N, G) are log probabilities; a share is the softmax of a group's part of `logits`
    (N, Q), of which -inf excludes a city. `allowed` (Q,) says which cities may have any at all.
    """

    log_groups: np.ndarray
    logits: np.ndarray
    hierarchy: Hierarchy
    allowed: np.ndarray

    @cached_property
    def groups(self) -> np.ndarray:
        """Probabilities of the groups, (N, G)."""
        return np.exp(self.log_groups)

    @cached_property
    def log_cities(self) -> np.ndarray:
        """Log probabilities of all cities, (N, Q)."""
        return shared_out(self.log_groups, self.logits, self.hierarchy.group_starts)

    def rows(self, some: np.ndarray) -> "Posterior":
        """Those of some of the photos."""
        return replace(self, log_groups=self.log_groups[some], logits=self.logits[some])


def joint_posterior(
    scores: Logits,
    hierarchy: Hierarchy,
    temperatures: tuple[float, float, float] = (1.0, 1.0, 1.0),
    log_prior: np.ndarray | None = None,
    size_power: float = 0.0,
) -> Posterior:
    """Log p(country) + log p(region | country) + log p(city | region).

    In a country without regions p(region | country) is 1; cities without a region in a country
    that has some are one more region, of mean probability (`Hierarchy.group_log_share`).
    p(country) is weighed by the country's number of cities to `size_power` inside its continent.
    `log_prior` (Q,) is added before the posterior is normalised over all cities; -inf excludes a
    city. Raises GeoclipError for a prior that excludes all of them.
    """
    allowed = _allowed(hierarchy, log_prior)
    warm = temperatures[2] != 1  # a division by 1 is a pass over all cities for nothing
    cities = scores.city / temperatures[2] if warm else scores.city
    groups = _group_log_posterior(scores, hierarchy, temperatures, size_power)
    if log_prior is not None:
        before = _segment_logsumexp(cities, hierarchy.group_starts)
        cities = cities + log_prior.astype(cities.dtype)
        groups += _segment_logsumexp(cities, hierarchy.group_starts) - before
        groups = _log_softmax(groups)
    return Posterior(groups, cities, hierarchy, allowed)


def _group_log_posterior(
    scores: Logits,
    hierarchy: Hierarchy,
    temperatures: tuple[float, float, float],
    size_power: float,
) -> np.ndarray:
    """Log p(country) + log p(region | country) of each group of cities, (N, G)."""
    countries = _log_softmax(scores.country / temperatures[0])
    if size_power:
        countries = _weighed_by_size(countries, hierarchy, size_power)
    share = hierarchy.group_log_share().astype(countries.dtype)
    groups = np.take(countries, hierarchy.group_country, axis=1) + share
    if not len(hierarchy.regions):
        return groups
    regions = shared_out(0.0, scores.region / temperatures[1], hierarchy.region_starts)
    none = np.zeros((len(regions), 1), regions.dtype)  # a group without a region is at -1
    return groups + np.take(np.hstack([regions, none]), hierarchy.group_region, axis=1)


def _weighed_by_size(log_p: np.ndarray, hierarchy: Hierarchy, power: float) -> np.ndarray:
    """Log p (N, K) of the countries times their number of cities to a power, by continent.

    A continent's probability stays what it was: a photo tells continents apart, while most
    territories of one city are islands of which there are few photos.
    """
    order = np.argsort(hierarchy.country_continent, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(hierarchy.country_continent[order]) > 0])
    log_sizes = np.log(np.bincount(hierarchy.city_country)[order]).astype(log_p.dtype)
    before = log_p[:, order]
    continents = _segment_logsumexp(before, starts)
    weighed = np.empty_like(log_p)
    weighed[:, order] = shared_out(continents, before + power * log_sizes, starts)
    return weighed


def greedy_posterior(
    scores: Logits,
    hierarchy: Hierarchy,
    greedy_cities: int = 30,
    log_prior: np.ndarray | None = None,
) -> Posterior:
    """A posterior that is 0 outside the best country's most populous cities.

    Within them it is the softmax of the city logits. `log_prior` (Q,) is added to these, and the
    largest of a country's cities to the country's logit: -inf excludes a city, and a country all
    of whose cities are excluded. Raises GeoclipError where all are.
    """
    allowed = _allowed(hierarchy, log_prior)
    best = _country_logits(scores, hierarchy, log_prior).argmax(axis=1)
    allowed &= _population_rank(hierarchy, allowed) < greedy_cities
    inside = (hierarchy.city_country == best[:, None]) & allowed
    cities = scores.city
    if log_prior is not None:
        cities = cities + log_prior.astype(cities.dtype)
    logits = np.where(inside, cities, -np.inf)
    groups = _log_softmax(_segment_logsumexp(logits, hierarchy.group_starts))
    return Posterior(groups, logits, hierarchy, allowed)


def country_posterior(
    scores: Logits,
    hierarchy: Hierarchy,
    method: str,
    group_p: np.ndarray,
    log_prior: np.ndarray | None,
) -> np.ndarray:
    """Probabilities (N, K) of the countries; `group_p` (N, G) is the posterior of the groups."""
    if method == "greedy":
        return np.exp(_log_softmax(_country_logits(scores, hierarchy, log_prior)))
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


def _country_logits(
    scores: Logits, hierarchy: Hierarchy, log_prior: np.ndarray | None
) -> np.ndarray:
    """Country logits (N, K) with the prior of each one's most favoured city."""
    if log_prior is None:
        return scores.country
    of_country = np.full(len(hierarchy.countries), -np.inf)
    np.maximum.at(of_country, hierarchy.city_country, log_prior)
    return scores.country + of_country.astype(scores.country.dtype)


def _population_rank(hierarchy: Hierarchy, allowed: np.ndarray) -> np.ndarray:
    """Rank (0 = largest) of each city within its country, excluded cities last."""
    country = hierarchy.city_country
    order = np.lexsort((-hierarchy.population, ~allowed, country))
    starts = np.flatnonzero(np.r_[True, np.diff(country[order]) > 0])
    rank = np.empty(len(order), dtype=np.int64)
    sizes = np.diff(np.r_[starts, len(order)])
    rank[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return rank


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def shared_out(
    log_groups: np.ndarray | float, logits: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """Log probabilities (N, M) of members: their groups' (N, G), by the softmax inside a group.

    `starts` (G,) cuts the columns of `logits` (N, M) by group; -inf excludes a member.
    """
    totals = _segment_logsumexp(logits, starts)
    totals[np.isneginf(totals)] = 0  # of excluded members alone, which stay at -inf
    # All members of a group take the same step: one pass over them instead of one for each term.
    steps = np.repeat(log_groups - totals, np.diff(np.r_[starts, logits.shape[1]]), axis=1)
    steps += logits
    return steps


def _segment_logsumexp(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Log of the summed exponentials of slices of columns, (N, segments); -inf for none but -inf.

    A row is shifted by its own maximum where no segment's sum vanishes for that, which saves the
    slow search for each segment's; the sum of a segment excluded in all rows is meant to vanish.
    """
    top = values.max(axis=1, keepdims=True)
    top[np.isneginf(top)] = 0
    sums = np.add.reduceat(_exp(values, top), starts, axis=1)
    vanished = ~(sums > _SAFE_SUM)
    if vanished.any():
        open_somewhere = np.logical_or.reduceat(values.max(axis=0) > -np.inf, starts)
        vanished &= open_somewhere
    if vanished.any():
        top = np.maximum.reduceat(values, starts, axis=1)
        top[np.isneginf(top)] = 0
        shift = np.repeat(top, np.diff(np.r_[starts, values.shape[1]]), axis=1)
        sums = np.add.reduceat(_exp(values, shift), starts, axis=1)
    with np.errstate(divide="ignore"):
        return top + np.log(sums)


def _exp(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    weights = values - shift
    return np.exp(weights, out=weights)
