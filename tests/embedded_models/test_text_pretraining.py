"""Text-tower pretraining on a tiny world and a tiny tower."""

import numpy as np
import pytest
import torch

from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from pipelines.embedded_models.place_features import PlaceFeatureSettings, place_features
from pipelines.embedded_models.text_pretraining import (
    PretrainingSettings,
    PretrainingTexts,
    clear_unused_tokens,
    evaluate_pretraining,
    pretrain_text_tower,
    random_encoder,
)

SETTINGS = PretrainingSettings(
    width=32,
    layers=1,
    heads=2,
    image_tower="test_efficientnet",
    image_size=32,
    steps=12,
    batch_size=32,
    learning_rate=5e-3,
    warmup=0.0,
    features=PlaceFeatureSettings(dim=32),
)


@pytest.fixture(scope="module")
def features(book):
    return place_features(book.gazetteer, SETTINGS.features)


@pytest.fixture(scope="module")
def pretrained(book, features):
    encoder = random_encoder(SETTINGS)
    return encoder, list(pretrain_text_tower(encoder, book, SETTINGS, features))


def test_a_few_steps_lower_the_loss(pretrained):
    _, records = pretrained
    losses = [r["loss"] for r in records]
    assert [r["step"] for r in records] == list(range(1, 13))
    assert losses[2] < losses[0]
    assert losses[-1] < 0.5 * losses[0]


def test_it_is_the_same_again_and_leaves_the_random_state_alone(pretrained, book, features):
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    encoder = random_encoder(SETTINGS)
    assert torch.equal(torch.rand(2), expected)
    first = next(iter(pretrain_text_tower(encoder, book, SETTINGS, features)))
    assert first["loss"] == pytest.approx(pretrained[1][0]["loss"], rel=1e-6)


def test_the_image_tower_is_not_touched(pretrained):
    fresh = random_encoder(SETTINGS)
    for ours, theirs in zip(
        pretrained[0].tower_parameters("image"), fresh.tower_parameters("image"), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_texts_name_their_places_and_countries_recur(book):
    texts = PretrainingTexts(book, SETTINGS)
    names = book.gazetteer.names
    for rows, batch in texts.batches():
        assert len(rows) == len(batch) == 32
        for row, text in zip(rows, batch, strict=True):
            assert names[row] in text
    counts = np.bincount(texts.rows)
    assert counts[book.gazetteer.rows(["FR", "FR.84", "1"])].tolist() == [20, 3, 1]


def test_alternate_names_stand_in_for_the_name(tiny_world):
    class Renamed(Gazetteer):
        def alternate_names(self):
            import pandas as pd

            return pd.DataFrame({"place_id": ["7"], "name": ["Windhuk"]})

    world = Renamed.__new__(Renamed)
    world.__dict__.update(tiny_world.__dict__)
    texts = PretrainingTexts(CaptionBook(world), SETTINGS)
    row = int(world.rows(["7"])[0])
    rng = np.random.default_rng(0)
    drawn = [texts.text(row, rng) for _ in range(400)]
    assert 0.15 < np.mean(["Windhuk" in text for text in drawn]) < 0.35
    assert all(("Windhuk" in text) != ("Windhoek" in text) for text in drawn)


def test_unused_tokens_are_cleared_and_no_embedding_changes(pretrained, book):
    encoder, _ = pretrained
    texts = [book.text(row) for row in range(len(book.gazetteer))]
    before = encoder.encode_texts(texts)
    used = clear_unused_tokens(encoder, book)
    weights = encoder.model.token_embedding.weight
    assert 0 < used < 200
    assert int((weights != 0).any(dim=1).sum()) == used
    assert np.array_equal(encoder.encode_texts(texts), before)


def test_the_report_measures_distances_to_learnt_places(pretrained, book, features):
    report = evaluate_pretraining(pretrained[0], book, features)
    assert 0 <= report["median_km"] < 20100 and 0 <= report["within_200_km"] <= 100
