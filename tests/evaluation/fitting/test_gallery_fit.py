"""The weights of a gallery: large where it is informative, zero where not."""

from dataclasses import replace

import numpy as np
import pytest
from calibration_world import WIDTH, known_world

from geoclip.evaluation.fitting.gallery_fit import (
    KnownTerms,
    calibrate_gallery,
    fit_gallery,
    gallery_of,
)
from geoclip.evaluation.fitting.known_photos import KnownPhotos, TruePlaces
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.confidence import LevelRule
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery_ranking import GalleryRanker
from geoclip.ranking.gallery_weights import GalleryWeights
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import RankingSettings

PHOTOS = 160


@pytest.fixture(scope="module")
def world() -> tuple[PlaceRanker, KnownPhotos]:
    return known_world(3, PHOTOS, RankingSettings())


def of_scenes(photos: KnownPhotos, likeness: float, seed: int = 0) -> KnownPhotos:
    """The same places, whose embeddings identify their neighbours: as in one street."""
    rng = np.random.default_rng(seed)
    _, place = np.unique(np.round(photos.lat, 3), return_inverse=True)
    scenes = rng.normal(size=(place.max() + 1, WIDTH))
    values = likeness * scenes[place] + rng.normal(size=(len(photos), WIDTH))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return replace(photos, embeddings=values.astype(np.float32))


def part_and_gain(
    ranker: PlaceRanker, photos: KnownPhotos, gallery: KnownPhotos, weights: GalleryWeights
) -> tuple[float, float]:
    """Mean part of the gallery in the answers, and the gain in the log probability of the truth."""
    text = ranker.posterior(photos.embeddings)
    evidence = ranker.gallery_evidence(GalleryLookup(gallery_of(gallery)))
    terms = evidence.terms(photos.embeddings, text)
    e = terms.evidence(weights).sum(axis=1)
    true, rows = TruePlaces.of(photos, ranker).city, np.arange(len(photos))
    mixed = terms.mixture(text, weights).posterior
    gain = mixed.log_cities[rows, true] - text.log_cities[rows, true]
    return float((e / (1 + e)).mean()), float(gain.mean())


def halved(photos: KnownPhotos) -> tuple[KnownPhotos, KnownPhotos]:
    first = np.arange(len(photos)) % 2 == 0
    return photos.take(first), photos.take(~first)


def test_a_gallery_that_tells_places_speaks(world: tuple[PlaceRanker, KnownPhotos]) -> None:
    ranker, photos = world
    gallery, others = halved(of_scenes(photos, likeness=2.5))
    part, gain = part_and_gain(ranker, others, gallery, fit_gallery(ranker, gallery))
    assert part > 0.3 and gain > 0.5


def test_a_gallery_that_tells_nothing_is_silent(world: tuple[PlaceRanker, KnownPhotos]) -> None:
    """Its embeddings are random, while the posterior is right: no weight is best."""
    ranker, photos = world
    gallery, others = halved(photos)
    weights = fit_gallery(ranker, gallery)
    part, gain = part_and_gain(ranker, others, gallery, weights)
    assert part < 0.15 and gain > -0.1


def test_it_falls_silent_where_it_does_not_cover(world: tuple[PlaceRanker, KnownPhotos]) -> None:
    """Photos of countries outside the gallery, with weights fitted inside it."""
    ranker, photos = world
    photos = of_scenes(photos, likeness=2.5)
    country = TruePlaces.of(photos, ranker).country
    gallery, others = photos.take(country % 2 == 0), photos.take(country % 2 == 1)
    weights = fit_gallery(ranker, gallery)
    inside = part_and_gain(ranker, gallery, gallery, weights)[0]
    part, gain = part_and_gain(ranker, others, gallery, weights)
    assert part < inside / 3 and part < 0.1
    assert gain > -0.2


def test_the_likelihood_is_that_of_the_mixture(world: tuple[PlaceRanker, KnownPhotos]) -> None:
    ranker, photos = world
    gallery, others = halved(of_scenes(photos, 1.0))
    others = others.take(np.arange(20))
    text = ranker.posterior(others.embeddings)
    true = TruePlaces.of(others, ranker).city
    terms = ranker.gallery_evidence(GalleryLookup(gallery_of(gallery))).terms(
        others.embeddings, text
    )
    share = np.exp(text.log_cities[np.arange(20), true]).astype(float)
    known = KnownTerms.of(terms, share, true, ranker.hierarchy.city_group[true])
    x = np.array([-1.0, 4.0, 0.7, 0.4])
    weights = GalleryWeights(x[0], x[1], x[2], 1 / (1 + np.exp(-x[3])))
    mixed = terms.mixture(text, weights).posterior.log_cities[np.arange(20), true]
    np.testing.assert_allclose(known.log_likelihood(x), mixed, atol=1e-4)


def test_photos_without_a_position_are_left_out(world: tuple[PlaceRanker, KnownPhotos]) -> None:
    ranker, photos = world
    some = photos.take(np.arange(60))
    lost = replace(some, lat=np.where(np.arange(60) < 20, np.nan, some.lat))
    assert fit_gallery(ranker, lost) == fit_gallery(ranker, some.take(np.arange(20, 60)))


def test_radii_hold_what_they_say_with_a_gallery(world: tuple[PlaceRanker, KnownPhotos]) -> None:
    """They hold on the queries of the fit, with their weights."""
    ranker, photos = world
    photos = of_scenes(photos, likeness=2.5)
    found = calibrate_gallery(ranker, photos)
    assert found.weights == fit_gallery(ranker, photos)
    assert found.calibration is not None and found.calibration.photos == len(photos)
    by_gallery = GalleryRanker(
        ranker.with_settings(replace(ranker.settings, gallery=found)),
        GalleryLookup(gallery_of(photos)),
    )
    ids = np.arange(len(photos)).astype(str).astype(object)[:, None]
    answers = by_gallery.rank_at_level(photos.embeddings, ids, LevelRule(), 1)
    km = great_circle_km(answers.lat, answers.lon, photos.lat, photos.lon)
    assert (km <= answers.ranking.radius).mean() > 0.45
    assert (km <= answers.ranking.radius_90).mean() > 0.85


def test_a_given_gallery_leaves_out_the_place_itself(
    world: tuple[PlaceRanker, KnownPhotos],
) -> None:
    """Photos that are also in the gallery must not teach it that likeness decides everything."""
    ranker, photos = world  # their embeddings are random
    asked = photos.take(np.arange(0, PHOTOS, 2))
    weights = fit_gallery(ranker, asked, gallery_of(photos))
    halves = halved(photos)
    part, _ = part_and_gain(ranker, halves[1], halves[0], weights)
    assert part < 0.15
    scenes = of_scenes(photos, likeness=2.5)
    moved = replace(scenes, lat=scenes.lat + 0.01)  # other places of the same scenes
    loud = fit_gallery(ranker, scenes.take(np.arange(0, PHOTOS, 2)), gallery_of(moved))
    part, _ = part_and_gain(ranker, *halved(scenes)[::-1], loud)
    assert part > 0.3
