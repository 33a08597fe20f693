"""The posterior mixed with a gallery, beside a slow version that follows the formula."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import great_circle_km, to_lat_lon
from geoclip.ranking.gallery.likeness import Likeness
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.mixture import GalleryEvidence, GalleryTerms
from geoclip.ranking.gallery.photo_gallery import Gallery
from geoclip.ranking.gallery_weights import GalleryWeights
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.posterior import Posterior
from geoclip.ranking.ranker import PlaceRanker

WIDTH, PHOTOS = 8, 6


def unit_rows(number: int, seed: int, width: int = WIDTH) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(number, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def gallery_at(values: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> Gallery:
    told = {"photo_id": [str(i) for i in range(len(lat))], "lat": lat, "lon": lon}
    return Gallery.in_memory(values, pd.DataFrame(told))


@pytest.fixture(scope="module")
def ranker(small_gazetteer: Gazetteer) -> PlaceRanker:
    index = PlaceIndex(unit_rows(len(small_gazetteer), 0), "key")
    return PlaceRanker(index, small_gazetteer, 3.0)


def evidence_of(ranker: PlaceRanker, gallery: Gallery) -> GalleryEvidence:
    return ranker.gallery_evidence(GalleryLookup(gallery))


def near_cities(ranker: PlaceRanker, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions within some km of cities, by chance."""
    rng, h = np.random.default_rng(seed), ranker.hierarchy
    city = rng.integers(0, len(h.cities), number)
    return h.lat[city] + rng.normal(0, 0.1, number), h.lon[city] + rng.normal(0, 0.1, number)


def probabilities(posterior: Posterior) -> np.ndarray:
    return np.exp(posterior.log_cities)


def slow_mixture(
    terms: GalleryTerms,
    text: np.ndarray,
    before: np.ndarray,
    gallery: Gallery,
    ranker: PlaceRanker,
    w: GalleryWeights,
) -> np.ndarray:
    """The mixture (N, Q), city by city."""
    h = ranker.hierarchy
    centres = [to_lat_lon(mean) for mean in h.group_means]
    found = []
    for photo, p in enumerate(text):
        mixed, total = p.copy(), 1.0
        of_group = [p[h.city_group == g].sum() for g in range(len(centres))]
        for row, likeness in zip(terms.rows[photo], terms.likeness[photo], strict=True):
            if row < 0:
                continue
            lat, lon = gallery.lat[row], gallery.lon[row]
            to_group = [float(great_circle_km(lat, lon, *centre)) for centre in centres]
            about = [math.exp(-km / 300) for km in to_group]
            now = sum(a * q for a, q in zip(about, of_group, strict=True))
            usual = sum(a * q for a, q in zip(about, before, strict=True))
            log_e = w.offset + w.slope * likeness
            log_e += w.agreement * (math.log(now + 1e-12) - math.log(usual + 1e-12))
            e = math.exp(min(log_e, 20))
            total += e
            near = [
                math.exp(-float(great_circle_km(lat, lon, a, b)) / 10)
                for a, b in zip(h.lat, h.lon, strict=True)
            ]
            far = [math.exp(-to_group[g] / 600) * q for g, q in zip(h.city_group, p, strict=True)]
            for city in range(len(p)):
                mixed[city] += e * w.near_share * near[city] / sum(near)
                mixed[city] += e * (1 - w.near_share) * far[city] / sum(far)
        found.append(mixed / total)
    return np.array(found)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    offset=st.floats(-6, 4),
    slope=st.floats(0, 20),
    agreement=st.floats(0, 2),
    near=st.floats(0, 1),
    rows=st.integers(1, 45),
)
def test_the_mixture_is_its_formula(ranker, seed, offset, slope, agreement, near, rows) -> None:
    gallery = gallery_at(unit_rows(rows, seed), *near_cities(ranker, rows, seed))
    photos = unit_rows(PHOTOS, seed + 5000)
    text, weights = ranker.posterior(photos), GalleryWeights(offset, slope, agreement, near)
    terms = evidence_of(ranker, gallery).terms(photos, text)
    before = ranker._before.groups[0]
    mixed = probabilities(terms.mixture(text, weights).posterior)
    slow = slow_mixture(terms, probabilities(text), before, gallery, ranker, weights)
    np.testing.assert_allclose(mixed, slow, rtol=2e-4, atol=1e-7)
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)


def test_a_gallery_photo_between_cities_speaks_for_those_about_it(ranker: PlaceRanker) -> None:
    """Lyon and the Saint-Denis 25 km from it, and no city of another country."""
    photo = unit_rows(1, 3)
    values = np.vstack([unit_rows(40, 9), photo + 0.05 * unit_rows(1, 8)])
    values[-1] /= np.linalg.norm(values[-1])
    lat, lon = near_cities(ranker, 41, 1)
    lat[:-1], lon[:-1] = 22.3, 114.2  # all others are of Hong Kong
    lat[-1], lon[-1] = 45.8, 4.95
    evidence = evidence_of(ranker, gallery_at(values.astype(np.float32), lat, lon))
    text = ranker.posterior(photo)
    terms = evidence.terms(photo, text)
    assert terms.rows[0, 0] == 40
    mixed = terms.mixture(
        text, GalleryWeights(offset=-4, slope=12, agreement=0, near_share=1)
    ).posterior
    gain = (probabilities(mixed) - probabilities(text))[0]
    ids = ranker.gazetteer.ids[ranker.hierarchy.cities]
    assert set(ids[np.argsort(-gain)[:2]]) == {"lyon", "denis2"}
    assert probabilities(mixed)[0, np.isin(ids, ["lyon", "denis2"])].sum() > 0.5


def test_without_a_photo_that_may_speak_nothing_changes(ranker: PlaceRanker) -> None:
    gallery = gallery_at(unit_rows(20, 1), *near_cities(ranker, 20, 1))
    photos = unit_rows(3, 2)
    text, evidence = ranker.posterior(photos), evidence_of(ranker, gallery)
    silent = evidence.terms(photos, text, allowed=np.zeros(20, dtype=bool))
    assert (silent.rows == -1).all() and not silent.evidence(GalleryWeights()).any()
    loud = evidence.terms(photos, text)
    for mixed in (
        silent.mixture(text, GalleryWeights(offset=6)).posterior,
        loud.mixture(text, GalleryWeights(offset=-60)).posterior,
    ):
        np.testing.assert_allclose(probabilities(mixed), probabilities(text), atol=1e-6)
        np.testing.assert_allclose(mixed.groups, text.groups, atol=1e-6)


def test_a_photo_and_its_copies_have_no_say(ranker: PlaceRanker) -> None:
    photos = unit_rows(2, 4)
    lat, lon = near_cities(ranker, 22, 3)
    values = np.vstack([unit_rows(20, 1), photos])
    evidence = evidence_of(ranker, gallery_at(values, lat, lon))
    terms = evidence.terms(photos, ranker.posterior(photos), ["", "21"])
    assert 20 not in terms.rows[0] and 21 not in terms.rows[1]


def test_a_narrowed_world_stays_narrow(ranker: PlaceRanker) -> None:
    narrow = ranker.narrowed(countries=["FR"])
    photos = unit_rows(4, 6)
    text = narrow.posterior(photos)
    evidence = evidence_of(narrow, gallery_at(unit_rows(30, 1), *near_cities(ranker, 30, 2)))
    mixed = probabilities(
        evidence.terms(photos, text).mixture(text, GalleryWeights(offset=3)).posterior
    )
    assert not mixed[:, ~text.allowed].any()
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)


def test_likeness_is_whitened_and_less_what_is_usual(ranker: PlaceRanker) -> None:
    values, photos = unit_rows(60, 1), unit_rows(3, 2)
    lat, lon = np.repeat([10.5, 20.5, 30.5], 20), np.full(60, 5.5)  # three 1° blocks
    rows = np.array([[4, 30], [59, 0], [-1, 7]])
    found = Likeness.of(gallery_at(values, lat, lon)).between(photos, rows)
    centred = values.astype(float) - values.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred / 60)
    turn = axes @ np.diag((variances + variances.mean()) ** -0.5)

    def white(x: np.ndarray) -> np.ndarray:
        y = (x - values.mean(axis=0)) @ turn
        return y / np.linalg.norm(y)

    for photo, some, likeness in zip(photos, rows, found, strict=True):
        for row, got in zip(some, likeness, strict=True):
            if row < 0:
                assert got == -np.inf
                continue
            own = white(values[row])
            others = [own @ white(values[i]) for i in range(60) if lat[i] != lat[row]]
            usual = max(np.mean(sorted(others)[-3:]), 0.1)  # 5 % of 60
            assert got == pytest.approx(own @ white(photo) - usual, abs=1e-5)


@pytest.mark.parametrize("places", [2, 3])
def test_a_few_photos_are_not_unusually_like_any_other(places: int) -> None:
    """Centred, two photos are opposites: every photo would resemble one more than is usual."""
    gallery = gallery_at(unit_rows(places, 1), np.arange(places) * 20.0, np.zeros(places))
    rows = np.tile(np.arange(places), (200, 1))
    found = Likeness.of(gallery).between(unit_rows(200, 2), rows)
    cosines = found + 0.1
    assert (np.abs(cosines) <= 1 + 1e-6).all() and cosines.min() < 0 < cosines.max()


def test_a_hub_is_taken_down() -> None:
    """A photo that is like all others is the nearest of none."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 256)) + 2.0  # all share a direction
    values[0] = 2.0  # and the first has nothing else
    photos = rng.normal(size=(50, 256)) + 2.0
    values, photos = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (values, photos))
    gallery = gallery_at(values.astype(np.float32), np.arange(200) % 80.0, np.zeros(200))
    assert ((photos @ values.T).argmax(axis=1) == 0).mean() > 0.9
    rows = np.tile(np.arange(200), (50, 1))
    assert (Likeness.of(gallery).between(photos.astype(np.float32), rows).argmax(axis=1) > 0).all()


def test_a_gallery_of_one_place_speaks_and_an_empty_one_is_refused(ranker: PlaceRanker) -> None:
    photos = unit_rows(2, 6)
    text = ranker.posterior(photos)
    for rows in (1, 2, 30):
        gallery = gallery_at(unit_rows(rows, 1), np.full(rows, 45.7), np.full(rows, 4.9))
        mixed = (
            evidence_of(ranker, gallery)
            .terms(photos, text)
            .mixture(text, GalleryWeights())
            .posterior
        )
        np.testing.assert_allclose(probabilities(mixed).sum(axis=1), 1, atol=1e-6)
    with pytest.raises(GeoclipError, match="no photo"):
        evidence_of(ranker, gallery_at(unit_rows(0, 1), np.empty(0), np.empty(0)))


def test_weights_that_are_none_are_refused() -> None:
    with pytest.raises(GeoclipError, match="near_share is -1"):
        GalleryWeights(near_share=-1)
    with pytest.raises(GeoclipError, match="slope is no finite number"):
        replace(GalleryWeights(), slope=math.nan)
