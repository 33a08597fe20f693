"""Retrieval both ways against a slow count, and the compositional probe on made-up embeddings."""

from collections.abc import Sequence
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import FakeEncoder, hashed_vector

from geoclip.evaluation.caption_figures import composition_figures, remembering, retrieval_figures
from geoclip.evaluation.retrieval import chance_of_recall, recall_both_ways
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer

CITIES = ["lyon", "paris", "kowloon", "beijing", "amsterdam", "denis3"]


def slow_recall(similarity: np.ndarray, true: np.ndarray, k: int) -> tuple[float, float]:
    hits, chances = [], []
    for scores, own in zip(similarity, true, strict=True):
        if own.any():
            first = sorted(range(len(scores)), key=lambda i: -scores[i])[:k]
            hits.append(any(own[i] for i in first))
            chances.append(1 - comb(len(own) - own.sum(), k) / comb(len(own), min(k, len(own))))
    return 100 * float(np.mean(hits or [0])), 100 * float(np.mean(chances or [0]))


@given(st.integers(0, 10_000))
def test_recall_is_that_of_a_slow_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 14, 2)
    similarity, true = rng.normal(size=shape), rng.random(shape) < 0.2
    found = recall_both_ways(similarity, true)
    for name, way in {
        "image_to_text": (similarity, true),
        "text_to_image": (similarity.T, true.T),
    }.items():
        for k in (1, 5, 10):
            expected = slow_recall(*way, k)
            assert found[name]["recall"][str(k)] == pytest.approx(expected[0])
            assert found[name]["chance"][str(k)] == pytest.approx(expected[1])


def test_chance_counts_the_draws_that_hold_a_true_one() -> None:
    """All draws of k of a few things, listed one by one."""
    for count, true, k in product(range(1, 9), range(1, 9), (1, 2, 5, 10)):
        draws = list(combinations(range(count), min(k, count)))
        share = sum(min(draw) < true for draw in draws) / len(draws)
        if true <= count:
            assert chance_of_recall(count, true, k) == pytest.approx(share)


def test_equal_similarities_are_no_hit() -> None:
    found = recall_both_ways(np.zeros((4, 4)), np.eye(4, dtype=bool))
    assert found["image_to_text"]["recall"] == {"1": 0, "5": 100, "10": 100}


@pytest.fixture
def book(small_gazetteer: Gazetteer) -> CaptionBook:
    return CaptionBook(small_gazetteer)


def test_a_photo_has_the_caption_of_its_place(book: CaptionBook, fake_encoder: FakeEncoder) -> None:
    """Two photos of Lyon share a caption; every photo is embedded as its own caption."""
    rows = book.gazetteer.rows([*CITIES, "lyon"])
    images = fake_encoder.encode_texts([book.text(row) for row in rows])
    figures = retrieval_figures(images, rows, book, fake_encoder.encode_texts)
    assert (figures["n_photos"], figures["n_captions"]) == (7, 6)
    assert figures["image_to_text"]["recall"]["1"] == 100
    assert figures["image_to_text"]["chance"]["1"] == pytest.approx(100 / 6)
    lyon = 1 - comb(5, 1) / comb(7, 1)
    assert figures["text_to_image"]["chance"]["1"] == pytest.approx(100 * (5 / 7 + lyon) / 6)
    moved = retrieval_figures(np.roll(images, 1, axis=0), rows, book, fake_encoder.encode_texts)
    assert moved["image_to_text"]["recall"]["1"] < 20


class BagOfNames:
    """Encodes texts by the names in them alone, so that order and place of a name mean nothing."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.texts = names, list[str]()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        rows = [np.sum([hashed_vector(n.encode()) for n in self.names if n in t], 0) for t in texts]
        values = np.array(rows)
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_the_probe_swaps_city_and_country(book: CaptionBook) -> None:
    rows = book.gazetteer.rows(CITIES)
    seen = BagOfNames(["Lyon", "Paris", "Kowloon", "Beijing", "Amsterdam", "Saint-Denis"])
    images = seen([book.text(row) for row in rows])
    knows_cities = composition_figures(images, rows, book, seen)
    assert knows_cities == {"wrong_country": 0, "wrong_city": 100, "both": 0, "n": 6}
    countries = ["France.", "Hong Kong.", "China.", "Netherlands.", "Réunion."]
    seen = BagOfNames(countries)
    images = seen([book.text(row) for row in rows])
    seen.texts.clear()
    knows_countries = composition_figures(images, rows, book, seen)
    assert knows_countries == {"wrong_country": 100, "wrong_city": 0, "both": 0, "n": 6}
    true, moved, brought = np.array(seen.texts).reshape(3, 6)
    for right, abroad, foreign in zip(true, moved, brought, strict=True):
        country = next(name for name in countries if right.endswith(name))
        assert not abroad.endswith(country) and foreign.endswith(country)
        assert right.split(" in ")[0] == abroad.split(" in ")[0] != foreign.split(" in ")[0]
        assert any(abroad.endswith(name) for name in countries)


def test_a_true_caption_wins_over_both(book: CaptionBook, fake_encoder: FakeEncoder) -> None:
    rows = book.gazetteer.rows(CITIES)
    images = fake_encoder.encode_texts([book.text(row) for row in rows])
    encode = fake_encoder.encode_texts
    figures = composition_figures(images, rows, book, encode)
    assert figures == {"wrong_country": 100, "wrong_city": 100, "both": 100, "n": 6}
    assert composition_figures(images, rows, book, encode) == figures


def test_photos_of_one_country_cannot_be_probed(book: CaptionBook, fake_encoder) -> None:
    rows = book.gazetteer.rows(["lyon", "paris", "CN"])
    images = fake_encoder.encode_texts([book.text(row) for row in rows])
    figures = composition_figures(images, rows, book, fake_encoder.encode_texts)
    assert figures == {"wrong_country": None, "wrong_city": None, "both": None, "n": 0}


def test_a_text_is_encoded_once(fake_encoder: FakeEncoder) -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return fake_encoder.encode_texts(texts)

    once = remembering(encode)
    for texts in (["a", "b", "a"], ["b", "c"], [], ["c", "a"]):
        np.testing.assert_array_equal(once(texts), fake_encoder.encode_texts(texts))
    assert asked == ["a", "b", "c"]
