"""Photos of known place: views averaged, folds that leave whole groups out, true places."""

import numpy as np
import pytest
from calibration_world import known_world

from geoclip.evaluation.fitting.known_photos import (
    FOLD_KINDS,
    MOST_SOURCES,
    KnownPhotos,
    TruePlaces,
)
from geoclip.ranking.settings import RankingSettings


def some_photos(n: int, sources: int, seed: int = 0) -> KnownPhotos:
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(-3, 3, n), rng.uniform(-3, 3, n)
    lat[::7] = lon[::7] = np.nan
    return KnownPhotos(
        rng.normal(size=(n, 3)),
        lat,
        lon,
        rng.choice(["FR", "NL", "CN"], n).astype(object),
        rng.choice([f"s{i}" for i in range(sources)], n).astype(object),
        rng.choice([f"place {i}" for i in range(n // 2)], n).astype(object),
    )


def test_views_of_a_location_become_one_row():
    photos = some_photos(40, 3)
    places = photos.by_location()
    assert sorted(places.location_ids) == sorted(set(photos.location_ids))
    for i, location in enumerate(places.location_ids):
        views = np.flatnonzero(photos.location_ids == location)
        mean = photos.embeddings[views].sum(axis=0)
        np.testing.assert_allclose(places.embeddings[i], mean / np.linalg.norm(mean))
        assert places.sources[i] == photos.sources[views[0]]


@pytest.mark.parametrize("sources", [2, 30])
@pytest.mark.parametrize("kind", FOLD_KINDS)
def test_folds_leave_whole_groups_out(kind, sources):
    photos = some_photos(300, sources)
    folds = list(photos.folds(kind, photos.country_codes))
    assert (np.sum(folds, axis=0) == 1).all()
    assert len(folds) <= MOST_SOURCES
    blocks = [
        (np.floor(a), np.floor(b)) if np.isfinite(a) else location
        for a, b, location in zip(photos.lat, photos.lon, photos.location_ids, strict=True)
    ]
    groups = {"block": blocks, "country": photos.country_codes, "source": photos.sources}[kind]
    for group in set(groups):
        of_group = np.array([own == group for own in groups])
        assert sum((fold & of_group).any() for fold in folds) == 1
    if kind == "source" and sources == 2:
        assert len(folds) == 2


def test_many_sources_are_joined_into_groups_of_about_one_size():
    photos = some_photos(600, 40)
    sizes = [fold.sum() for fold in photos.folds("source", photos.country_codes)]
    assert len(sizes) == MOST_SOURCES
    assert max(sizes) - min(sizes) < 30


def test_true_places_are_the_cities_that_photos_lie_at():
    ranker, photos = known_world(0, 60, RankingSettings())
    h = ranker.hierarchy
    photos.lat[5] = photos.lon[5] = np.nan
    true = TruePlaces.of(photos, ranker)
    assert true.city[5] == -1
    np.testing.assert_array_equal(h.country_codes[true.country], photos.country_codes)
    others = np.arange(60) != 5
    np.testing.assert_array_equal(h.lat[true.city[others]], photos.lat[others])
