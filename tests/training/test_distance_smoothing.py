"""Regions as classes that are the truer the nearer: against slow loops over a small world."""

import math

import numpy as np
import pytest
import torch
from small_world import FakeEncoder
from tiny_encoders import clip_encoder

from geoclip.places.captions import CaptionBook
from geoclip.places.sphere import great_circle_km
from geoclip.training.distance_smoothing import (
    CROWDING_KM,
    SIZE_POWER,
    DistanceSmoothing,
    cities_below,
    class_rows,
)

KM = 800.0


@pytest.fixture
def near(fake_encoder: FakeEncoder, small_gazetteer) -> DistanceSmoothing:
    return DistanceSmoothing(fake_encoder, CaptionBook(small_gazetteer), KM, 0.7)


def test_classes_are_regions_and_countries_without_one(small_gazetteer):
    names = set(small_gazetteer.ids[class_rows(small_gazetteer)])
    assert names == {"FR.84", "FR.11", "CN.22", "NL.07", "RE.RE", "HK", "BV"}


def test_cities_are_counted_by_region_and_country(small_gazetteer):
    rows = small_gazetteer.rows(["FR", "FR.11", "HK", "BV"])
    cities = small_gazetteer.ancestors[small_gazetteer.level_rows("city")]
    assert cities_below(small_gazetteer, rows).tolist() == [(cities == r).sum() for r in rows]
    assert cities_below(small_gazetteer, rows)[-1] == 0


def test_targets_equal_slow_loops(near, small_gazetteer):
    g = small_gazetteer
    rows = g.rows(["paris", "kowloon", "FR.84", "FR"])
    found = near.classes(rows)
    assert found.weight == 0.7
    assert torch.equal(found.embeddings, near.embeddings)

    def km(a: int, b: int) -> float:
        return float(great_circle_km(g.lat[a], g.lon[a], g.lat[b], g.lon[b]))

    cities = {
        row: sum(row in g.ancestors[city] for city in g.level_rows("city")) for row in near.rows
    }
    french = [row for row in near.rows if g.country_codes[row] == "FR"]
    for row, truth in zip(rows, found.truth.numpy(), strict=True):
        spots = french if row == g.rows(["FR"])[0] else [row]
        weights = []
        for other in near.rows:
            crowding = sum(math.exp(-km(other, third) / CROWDING_KM) for third in near.rows)
            share = max(cities[other], 1) ** SIZE_POWER / crowding
            weights.append(math.exp(-min(km(spot, other) for spot in spots) / KM) * share)
        assert truth == pytest.approx(np.array(weights) / sum(weights), rel=1e-5)


def test_the_own_region_is_truest_and_the_farthest_least(book):
    near = DistanceSmoothing(clip_encoder(), book, KM)
    g = book.gazetteer
    truth = near.classes(g.rows(["6"])).truth[0].numpy()
    assert g.ids[near.rows[truth.argmax()]] == "BE.BRU"
    there = great_circle_km(g.lat[near.rows], g.lon[near.rows], 50.85, 4.35)
    assert truth.argmin() == there.argmax()
    assert truth.min() < truth.max() / 100


def test_a_batch_carries_them_for_all_its_photos(near):
    truth = near.classes(np.array([0, 0, 1])).truth
    assert truth.shape == (3, len(near.rows))
    assert truth.sum(dim=1).numpy() == pytest.approx(1)
    assert torch.equal(truth[0], truth[1])
