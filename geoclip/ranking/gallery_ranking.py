"""Ranked places of photos by their posterior and a gallery, with points between cities."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import torch

from geoclip.errors import GeoclipError
from geoclip.ranking.confidence import Level, LevelProbabilities, LevelRule
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.mixture import GalleryTerms, Mixture
from geoclip.ranking.gallery.spots import Spots, credible_radii_km
from geoclip.ranking.gallery_weights import GallerySettings
from geoclip.ranking.hierarchy import Hierarchy
from geoclip.ranking.level_ranking import (
    LevelRanking,
    ancestors_of_cities,
    probabilities_of,
    rank_at_level,
    regions_of,
)
from geoclip.ranking.point_estimate import HALF_SHARE, WIDE_SHARE
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.ranking import joined
from geoclip.ranking.settings import RankingSettings
from geoclip.ranking.top_cities import top_cities

Part = TypeVar("Part")
PART = 32
"""Photos at a time: the gallery's evidence takes some 0.7 MB each."""
LEAST_SPOT = 0.3
"""From this probability on the point lies at the likeliest spot, if that is in the named place.

On halves of 263 places, a lower threshold gains 2 % within 25 km where the gallery covers a place,
and loses as much within 750 km where it does not.
"""


@dataclass(frozen=True)
class GalleryAnswers:
    """Ranked places of N photos, as a `LevelRanking`, with the gallery's additions.

    Attributes:
        ranking: at level spot each place is the nearest city to a spot, and the probabilities have
            a fifth column, that of the spot.
        lat, lon: (N,) the reported point in degrees.
        spot_lat, spot_lon: (N, k) the spots that the places of level spot stand for, else NaN.
        decided: (N, 3) rows of the gallery photos that the point is due to, -1 for none.
        same_scene: (N,) whether one of these shows the same scene.
    """

    ranking: LevelRanking
    lat: np.ndarray
    lon: np.ndarray
    spot_lat: np.ndarray
    spot_lon: np.ndarray
    decided: np.ndarray
    same_scene: np.ndarray

    @property
    def by_gallery(self) -> np.ndarray:
        """Mask (N,) of points that gallery photos decided."""
        return np.asarray(self.decided[:, 0] >= 0)


def gallery_settings(settings: RankingSettings) -> GallerySettings:
    """The weights of a gallery; raises GeoclipError where the settings have none."""
    if settings.gallery is None:
        raise GeoclipError(
            "This ranking has no weights for a gallery: leave out --method greedy, or fit them "
            "with geoclip calibrate MODEL --photos photos.csv --gallery self."
        )
    return settings.gallery


class GalleryRanker:
    """Ranks the places of photos by a ranker's posterior mixed with a gallery.

    Raises GeoclipError for an empty gallery and for a ranker without gallery weights.
    """

    def __init__(self, ranker: PlaceRanker, lookup: GalleryLookup) -> None:
        self.ranker = ranker
        self.settings = gallery_settings(ranker.settings)
        self.evidence = ranker.gallery_evidence(lookup)
        self.gallery = lookup.gallery

    def rank_at_level(
        self, values: np.ndarray, photo_ids: np.ndarray, rule: LevelRule, top_k: int
    ) -> GalleryAnswers:
        """Rank the places of the level chosen by a rule, for embeddings (N, d).

        `photo_ids` (N, V) are those of `GalleryLookup.neighbours`.
        """

        def answers(terms: GalleryTerms, mixture: Mixture) -> GalleryAnswers:
            return self.answers_of(terms, mixture, rule, top_k)

        parts = self._by_part(values, photo_ids, answers)
        columns = {
            field.name: [getattr(part, field.name) for part in parts]
            for field in fields(GalleryAnswers)
        }
        ranking = joined(columns.pop("ranking"))
        return GalleryAnswers(ranking, **{k: np.concatenate(v) for k, v in columns.items()})

    def top_cities(
        self, values: np.ndarray, photo_ids: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k most probable cities (N, k) of embeddings (N, d) and their probabilities."""
        parts = self._by_part(
            values, photo_ids, lambda _, mixture: top_cities(mixture.posterior, k)
        )
        cities, probabilities = zip(*parts, strict=True)
        return np.concatenate(cities), np.concatenate(probabilities)

    def _by_part(
        self,
        values: np.ndarray,
        photo_ids: np.ndarray,
        of_part: Callable[[GalleryTerms, Mixture], Part],
    ) -> list[Part]:
        """Apply `of_part` to some photos at a time, in threads; neighbours are found at once."""
        found = self.evidence.neighbours(values, photo_ids)

        def of_rows(rows: slice) -> Part:
            text = self.ranker.posterior(values[rows])
            terms = self.evidence.terms_of(values[rows], text, found.take(rows))
            return of_part(terms, terms.mixture(text, self.settings.weights))

        parts = [slice(start, start + PART) for start in range(0, max(len(values), 1), PART)]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return list(pool.map(of_rows, parts))

    def answers_of(
        self, terms: GalleryTerms, mixture: Mixture, rule: LevelRule, top_k: int
    ) -> GalleryAnswers:
        """The answers for some photos, from their gallery terms and mixture."""
        h, spots = self.ranker.hierarchy, Spots.of(terms, mixture, top_k)
        plain = self.ranker.settings.without_radius()
        ranking = rank_at_level(mixture.posterior, plain, rule, top_k)
        likely = spots.probabilities[:, 0]
        at_spot = (likely >= rule.confidence) & (likely > 0) & (rule.level == "auto")
        inside = at_spot | _inside(spots.cities[:, 0], ranking, h)
        by_gallery = (at_spot | (likely >= LEAST_SPOT)) & inside
        lat = np.where(by_gallery, spots.lat[:, 0], h.lat[ranking.points])
        lon = np.where(by_gallery, spots.lon[:, 0], h.lon[ranking.points])
        radius, radius_90 = self._radii_km(terms, mixture, lat, lon)
        ranking = _with_spots(ranking, spots, at_spot, mixture)
        only_spots = at_spot[:, None] & (spots.probabilities > 0)
        return GalleryAnswers(
            replace(ranking, radius=radius, radius_90=radius_90),
            lat,
            lon,
            np.where(only_spots, spots.lat, np.nan),
            np.where(only_spots, spots.lon, np.nan),
            np.where(by_gallery[:, None], spots.decided, -1),
            by_gallery & spots.same_scene,
        )

    def _radii_km(
        self, terms: GalleryTerms, mixture: Mixture, lat: np.ndarray, lon: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        calibration = self.settings.calibration
        if calibration is None:
            return np.full(len(lat), np.nan), np.full(len(lat), np.nan)
        half, most = credible_radii_km(terms, mixture, lat, lon, HALF_SHARE, WIDE_SHARE)
        return calibration.radii_of(half, most)


def _inside(cities: np.ndarray, ranking: LevelRanking, hierarchy: Hierarchy) -> np.ndarray:
    """Mask (N,) of cities inside the first place of their row; all where there is none."""
    chains = regions_of(ancestors_of_cities(cities[:, None], hierarchy), hierarchy)[:, 0]
    named = ranking.places[:, 0]
    agree = ((named < 0) | (named == chains)).all(axis=1)
    return np.asarray(agree | (ranking.level == Level.none))


def _with_spots(
    ranking: LevelRanking, spots: Spots, at_spot: np.ndarray, mixture: Mixture
) -> LevelRanking:
    """The ranking with spots as the places of the photos (N,) answered by them."""
    posterior, h = mixture.posterior, mixture.posterior.hierarchy
    groups = ancestors_of_cities(spots.cities, h)
    of_cities = np.exp(np.take_along_axis(posterior.log_cities, spots.cities, axis=1))
    p = probabilities_of(groups, LevelProbabilities.of(posterior, of_cities))
    own = spots.probabilities[:, :, None]
    p = np.concatenate([np.where(np.isnan(p), np.nan, np.fmax(p, own)), own], axis=2)
    width = max(spots.cities.shape[1], ranking.places.shape[1])
    chosen = at_spot[:, None, None]
    places = np.where(
        chosen, _wide(regions_of(groups, h), width, -1), _wide(ranking.places, width, -1)
    )
    before = np.pad(ranking.probabilities, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
    return replace(
        ranking,
        level=np.where(at_spot, Level.spot, ranking.level),
        places=places,
        probabilities=np.where(chosen, _wide(p, width, np.nan), _wide(before, width, np.nan)),
        listed=np.where(
            at_spot[:, None],
            _wide(spots.probabilities > 0, width, False),
            _wide(ranking.listed, width, False),
        ),
    )


def _wide(columns: np.ndarray, width: int, filling: float) -> np.ndarray:
    """Columns (N, k, …) padded to (N, width, …)."""
    missing = [(0, 0), (0, width - columns.shape[1])] + [(0, 0)] * (columns.ndim - 2)
    return np.pad(columns, missing, constant_values=filling)
