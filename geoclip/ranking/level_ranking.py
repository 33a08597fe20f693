"""Ranked places of photos at each photo's answer level, and the reported point.

Everything works on arrays of a block of photos; nothing loops over photos.
"""

from dataclasses import dataclass, replace

import numpy as np

from geoclip.ranking.confidence import Level, LevelProbabilities, LevelRule
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.point_estimate import expected_scores, stated_radii_km
from geoclip.ranking.posterior import Posterior
from geoclip.ranking.segments import best_in_segments, logsumexp_of_segments, top_columns
from geoclip.ranking.settings import RankingSettings
from geoclip.ranking.top_cities import top_cities

_FAR_BELOW = -1e6
"""Log probability of an allowed city that a posterior does not cover."""


@dataclass(frozen=True)
class LevelRanking:
    """Ranked places of N photos, each photo's k at one level.

    Attributes:
        level: (N,) a `Level`. Where it is none, the places are continents.
        places: (N, k, 4) the continent, country, region and city of each place, as positions in a
            Hierarchy; -1 below its level, and for a city without a region.
        probabilities: (N, k, 4) theirs, NaN where there is none. A place has at least the
        probability of a place inside it. listed: (N, k) which places there are; others fill up the
        rows. points: (N,) the reported city, which lies in the first place. radius, radius_90: (N,)
        km about the points, NaN where none is stated.
    """

    level: np.ndarray
    places: np.ndarray
    probabilities: np.ndarray
    listed: np.ndarray
    points: np.ndarray
    radius: np.ndarray
    radius_90: np.ndarray


def rank_at_level(
    posterior: Posterior, settings: RankingSettings, rule: LevelRule, top_k: int
) -> LevelRanking:
    """Choose each photo's level, list its k most probable places and choose the point.

    The point is the city inside the first place (or of all, if the level is none) with the largest
    expected GeoScore over the whole posterior; for settings whose point is the most probable city,
    the most probable one inside.
    """
    cities, of_cities = top_cities(posterior, top_k)
    p = LevelProbabilities.of(posterior, of_cities)
    level = rule.levels(p)
    best = [top_columns(x, top_k) for x in (p.continents, p.countries, p.regions)] + [cities]
    width = max(found.shape[1] for found in best)
    padded = [_padded(found, width) for found in best]
    places = np.stack([padded[0], *padded])[level, np.arange(len(level))]
    groups = _with_ancestors(places, level, posterior.hierarchy)
    probabilities = probabilities_of(groups, p)
    own = np.maximum(level, Level.continent) - 1
    of_own = np.take_along_axis(probabilities, own[:, None, None], axis=2)[:, :, 0]
    named = np.where(level[:, None] == Level.none, -1, groups[:, 0])
    points = _points(posterior, settings, named)
    return LevelRanking(
        level,
        regions_of(groups, posterior.hierarchy),
        probabilities,
        listed=of_own > 0,
        points=points,
        **_named_radii(posterior, points, settings),
    )


def _named_radii(
    posterior: Posterior, points: np.ndarray, settings: RankingSettings
) -> dict[str, np.ndarray]:
    radii = stated_radii_km(posterior, points, settings)
    return dict(zip(("radius", "radius_90"), radii, strict=True))


def _padded(places: np.ndarray, width: int) -> np.ndarray:
    return np.pad(places, ((0, 0), (0, width - places.shape[1])), constant_values=-1)


def _with_ancestors(places: np.ndarray, level: np.ndarray, hierarchy: Hierarchy) -> np.ndarray:
    """Continents, countries, groups and cities (N, k, 4) of places (N, k) at each row's level."""
    h, at = hierarchy, np.broadcast_to(level[:, None], places.shape)
    city = np.where(at == Level.city, places, -1)
    group = np.where(at == Level.city, h.city_group[city], places)
    group = np.where(at >= Level.region, group, -1)
    country = np.where(at >= Level.region, h.group_country[group], places)
    country = np.where(at >= Level.country, country, -1)
    continent = np.where(at >= Level.country, h.country_continent[country], places)
    chains = np.stack([continent, country, group, city], axis=2)
    return np.where(places[:, :, None] < 0, -1, chains)


def ancestors_of_cities(cities: np.ndarray, hierarchy: Hierarchy) -> np.ndarray:
    """Continents, countries, groups and cities (N, k, 4) of cities (N, k), by position."""
    return _with_ancestors(cities, np.full(len(cities), Level.city), hierarchy)


def regions_of(groups: np.ndarray, hierarchy: Hierarchy) -> np.ndarray:
    """The same places (N, k, 4) with regions for groups, -1 for none."""
    region = np.where(groups[:, :, 2] < 0, -1, hierarchy.group_region[groups[:, :, 2]])
    return np.concatenate([groups[:, :, :2], region[:, :, None], groups[:, :, 3:]], axis=2)


def probabilities_of(groups: np.ndarray, p: LevelProbabilities) -> np.ndarray:
    """Probabilities (N, k, 4) of continents, countries, groups and cities; NaN for none.

    The cities of a row are the first of `p.cities`, or absent. Sums are rounded so that no place
    gets less than a place inside it.
    """
    found = np.empty(groups.shape)
    for i, x in enumerate((p.continents, p.countries, p.groups)):
        found[:, :, i] = np.take_along_axis(x, groups[:, :, i], axis=1)
    of_cities = p.cities[:, : groups.shape[1]]
    found[:, : of_cities.shape[1], 3] = of_cities
    without_region = p.hierarchy.group_region[groups[:, :, 2]] < 0
    found[groups < 0] = np.nan
    found[:, :, 2][without_region] = np.nan
    inside = np.fmax.accumulate(found[:, :, ::-1], axis=2)[:, :, ::-1]
    return np.where(np.isnan(found), np.nan, np.minimum(inside, 1.0))


def _points(posterior: Posterior, settings: RankingSettings, named: np.ndarray) -> np.ndarray:
    """The reported city (N,) of each photo, inside the named place (N, 4); -1 means anywhere."""
    inside = _groups_inside(posterior, named)
    everywhere = _said_everywhere(posterior)
    if settings.point.rule == "city":
        log_groups = np.where(inside, everywhere.log_groups, -np.inf)
        best = top_cities(replace(everywhere, log_groups=log_groups), 1)[0][:, 0]
    else:
        gain = expected_scores(posterior, settings.point.temperature or 1.0)
        group = np.where(inside, gain, -np.inf).argmax(axis=1)[:, None]
        starts = posterior.hierarchy.group_starts
        best = best_in_segments(everywhere.city_logits, starts, group)[:, 0]
    return np.where(named[:, 3] >= 0, named[:, 3], best)


def _groups_inside(posterior: Posterior, named: np.ndarray) -> np.ndarray:
    """Probable groups (N, G) inside the named place (N, 4); all where none is."""
    h = posterior.hierarchy
    allowed = np.logical_or.reduceat(posterior.allowed, h.group_starts)
    inside = np.tile(allowed, (len(named), 1))
    of_groups = (h.group_continent, h.group_country, np.arange(len(h.group_starts)))
    for place, of_group in zip(named.T, of_groups, strict=False):
        inside &= (place[:, None] < 0) | (of_group == place[:, None])
    probable = inside & (posterior.groups > 0)
    return np.where(probable.any(axis=1, keepdims=True), probable, inside)


def _said_everywhere(posterior: Posterior) -> Posterior:
    """A greedy posterior that prefers populous cities in the countries that it does not cover."""
    if posterior.country_logits is None:
        return posterior
    h = posterior.hierarchy
    large = np.where(posterior.allowed, _FAR_BELOW + np.log1p(h.population), -np.inf)[None]
    of_groups = logsumexp_of_segments(large, h.group_starts)
    return replace(
        posterior,
        log_groups=np.maximum(posterior.log_groups, of_groups),
        city_logits=np.maximum(posterior.city_logits, large),
    )
