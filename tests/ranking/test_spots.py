"""Spots of galleries, beside loops that follow their description."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gallery_mixture import PHOTOS, evidence_of, gallery_at, near_cities, unit_rows

from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.gallery.mixture import GalleryTerms, Mixture
from geoclip.ranking.gallery.spots import SPOT_KM, Spots, credible_radii_km
from geoclip.ranking.gallery_weights import GalleryWeights
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.point_estimate import group_km
from geoclip.ranking.ranker import PlaceRanker


@pytest.fixture(scope="module")
def ranker(small_gazetteer: Gazetteer) -> PlaceRanker:
    index = PlaceIndex(unit_rows(len(small_gazetteer), 0), "key")
    return PlaceRanker(index, small_gazetteer, 3.0)


def asked(ranker: PlaceRanker, seed: int, rows: int) -> tuple[GalleryTerms, Mixture]:
    gallery = gallery_at(unit_rows(rows, seed), *near_cities(ranker, rows, seed))
    photos = unit_rows(PHOTOS, seed + 5000)
    text = ranker.posterior(photos)
    terms = evidence_of(ranker, gallery).terms(photos, text)
    return terms, terms.mixture(text, GalleryWeights(-1, 4, 0.3, 0.7))


def km_between(terms: GalleryTerms, photo: int, i: int, j: int) -> float:
    lat, lon = terms.lat[photo], terms.lon[photo]
    return float(great_circle_km(lat[i], lon[i], lat[j], lon[j]))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 45))
def test_spots_are_gallery_photos_with_what_lies_about_them(ranker, seed, rows) -> None:
    terms, mixture = asked(ranker, seed, rows)
    spots = Spots.of(terms, mixture, 3)
    for photo in range(PHOTOS):
        left = [i for i in range(terms.rows.shape[1]) if mixture.near[photo, i] > 0]
        for rank in range(spots.probabilities.shape[1]):
            mass = {
                i: sum(
                    mixture.near[photo, j]
                    for j in range(terms.rows.shape[1])
                    if km_between(terms, photo, i, j) <= SPOT_KM
                )
                for i in left
            }
            got = spots.probabilities[photo, rank]
            if not left:
                assert got == 0
                continue
            middle = int(spots.which[photo, rank])
            assert middle in left
            assert got == pytest.approx(mass[middle])
            if not spots.same_scene[photo]:
                assert got == pytest.approx(max(mass.values()))
            assert spots.lat[photo, rank] == terms.lat[photo, middle]
            left = [i for i in left if km_between(terms, photo, middle, i) > SPOT_KM]
        deciding = [row for row in spots.decided[photo] if row >= 0]
        assert deciding
        for row in deciding:
            at = int(np.flatnonzero(terms.rows[photo] == row)[0])
            assert km_between(terms, photo, int(spots.which[photo, 0]), at) <= SPOT_KM


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), share=st.sampled_from([0.1, 0.5, 0.9]))
def test_the_radius_is_the_smallest_that_holds_the_share(ranker, seed, share) -> None:
    terms, mixture = asked(ranker, seed, 20)
    lat, lon = near_cities(ranker, PHOTOS, seed)
    np.testing.assert_allclose(mixture.near.sum(axis=1) + mixture.rest.sum(axis=1), 1, atol=1e-6)
    groups = group_km(mixture.posterior, lat, lon)
    for photo, radius in enumerate(credible_radii_km(terms, mixture, lat, lon, share)[0]):
        atoms = [
            (float(great_circle_km(lat[photo], lon[photo], a, b)), p)
            for a, b, p in zip(terms.lat[photo], terms.lon[photo], mixture.near[photo], strict=True)
        ]
        atoms += list(zip(groups[photo], mixture.rest[photo], strict=True))
        enough = [
            km for km, _ in atoms if sum(p for d, p in atoms if d <= km + 1e-6) >= share - 1e-9
        ]
        assert radius == pytest.approx(min(enough), rel=1e-6, abs=0.01)


def test_a_photo_of_the_same_scene_is_the_first_spot(small_gazetteer: Gazetteer) -> None:
    """Forty others lie together elsewhere; but it alone shows the same."""
    width = 64
    index = PlaceIndex(unit_rows(len(small_gazetteer), 0, width), "key")
    ranker, photo = PlaceRanker(index, small_gazetteer, 3.0), unit_rows(1, 3, width)
    values = np.vstack([unit_rows(40, 9, width), photo + 0.1 * unit_rows(1, 8, width)])
    values[-1] /= np.linalg.norm(values[-1])
    lat, lon = np.full(41, 22.3), np.full(41, 114.2)
    lat[-1], lon[-1] = 45.8, 4.95
    text = ranker.posterior(photo)
    terms = evidence_of(ranker, gallery_at(values, lat, lon)).terms(photo, text)
    crowd = terms.mixture(text, GalleryWeights(offset=0, slope=0, agreement=0, near_share=1))
    spots = Spots.of(terms, crowd, 2)
    assert spots.same_scene[0] and spots.decided[0].tolist() == [40, -1, -1]
    assert (spots.lat[0, 0], spots.lon[0, 0]) == (45.8, 4.95)
    assert spots.lat[0, 1] == 22.3 and spots.probabilities[0, 1] > spots.probabilities[0, 0]


def test_one_of_many_photos_of_a_spot_is_named(ranker: PlaceRanker) -> None:
    """Each of forty that are alike has less than a tenth of the spot."""
    photo = unit_rows(1, 3)
    gallery = gallery_at(unit_rows(40, 9), np.full(40, 45.8), np.full(40, 4.95))
    text = ranker.posterior(photo)
    terms = evidence_of(ranker, gallery).terms(photo, text)
    even = terms.mixture(text, GalleryWeights(offset=0, slope=0, agreement=0, near_share=1))
    spots = Spots.of(terms, even, 1)
    assert spots.probabilities[0, 0] == pytest.approx(30 / 31)
    assert (spots.decided[0] >= 0).tolist() == [True, False, False]
