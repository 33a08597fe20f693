"""Regions as classes with larger targets when nearer: against slow loops over a small world."""

import math

import numpy as np
import pytest
import torch
from small_world import FakeEncoder
from tiny_encoders import clip_encoder
from torch.nn import functional

from geoclip.places.captions import CaptionBook
from geoclip.places.sphere import great_circle_km
from geoclip.training.auxiliary import GlobalFeatures
from geoclip.training.label_smoothing import (
    CROWDING_KM,
    SIZE_EXPONENT,
    LabelSmoothing,
    cities_below,
    class_rows,
)

KM = 800.0


@pytest.fixture
def smoothing(fake_encoder: FakeEncoder, small_gazetteer) -> LabelSmoothing:
    return LabelSmoothing(fake_encoder, CaptionBook(small_gazetteer), KM, 0.7)


def test_classes_are_regions_and_countries_without_one(small_gazetteer):
    names = set(small_gazetteer.ids[class_rows(small_gazetteer)])
    assert names == {"FR.84", "FR.11", "CN.22", "NL.07", "RE.RE", "HK", "BV"}


def test_cities_are_counted_by_region_and_country(small_gazetteer):
    rows = small_gazetteer.rows(["FR", "FR.11", "HK", "BV"])
    cities = small_gazetteer.ancestors[small_gazetteer.level_rows("city")]
    assert cities_below(small_gazetteer, rows).tolist() == [(cities == r).sum() for r in rows]
    assert cities_below(small_gazetteer, rows)[-1] == 0


def test_targets_equal_slow_loops(smoothing, small_gazetteer):
    g = small_gazetteer
    rows = g.rows(["paris", "kowloon", "FR.84", "FR"])
    labels = smoothing.labels(rows)
    assert smoothing.weight == 0.7

    def km(a: int, b: int) -> float:
        return float(great_circle_km(g.lat[a], g.lon[a], g.lat[b], g.lon[b]))

    cities = {
        row: sum(row in g.ancestors[city] for city in g.level_rows("city"))
        for row in smoothing.rows
    }
    french = [row for row in smoothing.rows if g.country_codes[row] == "FR"]
    for row, label in zip(rows, labels.numpy(), strict=True):
        spots = french if row == g.rows(["FR"])[0] else [row]
        weights = []
        for other in smoothing.rows:
            crowding = sum(math.exp(-km(other, third) / CROWDING_KM) for third in smoothing.rows)
            share = max(cities[other], 1) ** SIZE_EXPONENT / crowding
            weights.append(math.exp(-min(km(spot, other) for spot in spots) / KM) * share)
        assert label == pytest.approx(np.array(weights) / sum(weights), rel=1e-5)


def test_the_own_region_is_truest_and_the_farthest_least(book):
    smoothing = LabelSmoothing(clip_encoder(), book, KM)
    g = book.gazetteer
    label = smoothing.labels(g.rows(["6"]))[0].numpy()
    assert g.ids[smoothing.rows[label.argmax()]] == "BE.BRU"
    there = great_circle_km(g.lat[smoothing.rows], g.lon[smoothing.rows], 50.85, 4.35)
    assert label.argmin() == there.argmax()
    assert label.min() < label.max() / 100


def test_the_loss_is_the_cross_entropy_of_the_readable_photos(smoothing):
    generator = torch.Generator().manual_seed(0)
    images = functional.normalize(torch.randn(3, 8, generator=generator), dim=1)
    smoothing.embeddings = functional.normalize(
        torch.randn(len(smoothing.rows), 8, generator=generator), dim=1
    )
    readable = torch.tensor([True, False, True])
    rows = np.array([0, 0, 1])
    scale = torch.tensor(9.0)
    features = GlobalFeatures(
        images, images, readable, rows, scale, lambda _: images, lambda _: images
    )
    labels = smoothing.labels(rows)
    assert labels.shape == (3, len(smoothing.rows))
    assert labels.sum(dim=1).numpy() == pytest.approx(1)
    assert torch.equal(labels[0], labels[1])
    log_p = [
        torch.log_softmax(9 * images[i] @ smoothing.embeddings.T, dim=0).numpy() for i in (0, 2)
    ]
    entropies = [-(labels[i].numpy() * p).sum() for i, p in zip((0, 2), log_p, strict=True)]
    assert float(smoothing.value(features)) == pytest.approx(np.mean(entropies), rel=1e-5)
