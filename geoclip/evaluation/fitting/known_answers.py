"""A ranking's answers for photos of known place, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoclip.evaluation.fitting.known_photos import Columns, KnownPhotos, TruePlaces
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.confidence import Level, LevelProbabilities, LevelRule
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.level_ranking import (
    LevelRanking,
    ancestors_of_cities,
    rank_at_level,
    regions_of,
)
from geoclip.ranking.posterior import Posterior
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import CACHE_ROWS
from geoclip.ranking.settings import RankingSettings

RULE = LevelRule()


@dataclass(frozen=True)
class Answers(Columns):
    """Answers for N photos at each one's answer level.

    Attributes: km: (N,) from the reported point to the true one, NaN if unknown. radius, radius_90:
    (N,) km, as stated. probability: (N, 2) of the most probable continent and of the most probable
    country. right: (N, 2) whether these are right. level: (N,) a `Level`. named: (N,) whether the
    named place is right; False at none and where the true region or city is unknown.
    """

    km: np.ndarray
    radius: np.ndarray
    radius_90: np.ndarray
    probability: np.ndarray
    right: np.ndarray
    level: np.ndarray
    named: np.ndarray


def answers_of(
    ranker: PlaceRanker, photos: KnownPhotos, true: TruePlaces, settings: RankingSettings
) -> Answers:
    """Answers for photos by a ranker with some settings."""
    ranker = ranker.with_settings(settings)
    parts = []
    for start in range(0, len(photos), CACHE_ROWS):
        part = slice(start, start + CACHE_ROWS)
        posterior = ranker.posterior(photos.embeddings[part])
        parts.append(_answers(posterior, settings, photos.take(part), true.take(part)))
    return Answers.joined(parts)


def _answers(
    posterior: Posterior, settings: RankingSettings, photos: KnownPhotos, true: TruePlaces
) -> Answers:
    h, p = posterior.hierarchy, LevelProbabilities.of(posterior)
    ranking = rank_at_level(posterior, settings, RULE, top_k=1)
    best = np.stack([p.continents.argmax(axis=1), p.countries.argmax(axis=1)], axis=1)
    continent = np.where(true.country < 0, -1, h.country_continent[true.country])
    return Answers(
        great_circle_km(h.lat[ranking.points], h.lon[ranking.points], photos.lat, photos.lon),
        ranking.radius,
        ranking.radius_90,
        np.stack([p.continents.max(axis=1), p.countries.max(axis=1)], axis=1),
        best == np.stack([continent, true.country], axis=1),
        ranking.level,
        _named(ranking, true, h),
    )


def _named(ranking: LevelRanking, true: TruePlaces, hierarchy: Hierarchy) -> np.ndarray:
    places = regions_of(ancestors_of_cities(true.city[:, None], hierarchy), hierarchy)[:, 0]
    only_country = np.where(true.country < 0, -1, hierarchy.country_continent[true.country])
    bare = np.full((len(true.city), 4), -1)
    bare[:, 0], bare[:, 1] = only_country, true.country
    places = np.where(true.city[:, None] < 0, bare, places)
    at = np.maximum(ranking.level, Level.continent) - 1
    rows = np.arange(len(at))
    same = (ranking.places[rows, 0, at] == places[rows, at]) & (places[rows, at] >= 0)
    return np.asarray(same & (ranking.level != Level.none))
