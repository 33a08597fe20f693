"""Batches: the same global ones however many workers share them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import clip_encoder

from geoclip.errors import GeoclipError
from geoclip.support.seeds import seeded_generator
from geoclip.training.batches import Batches, epoch_order
from geoclip.training.photo_set import PhotoSet
from geoclip.training.settings import TrainingSettings
from geoclip.training.workers import Workers

SETTINGS = TrainingSettings(batch_size=5, epochs=2)
ALONE = Workers()


def batches(book, photos, settings=SETTINGS, workers=ALONE):
    return Batches(clip_encoder(), book, photos, settings, workers)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_workers_together_hold_the_batch_of_one(book, photos, size):
    settings = replace(SETTINGS, extra_captions=2)
    alone = batches(book, photos, settings)
    shares = [batches(book, photos, settings, Workers(r, size)) for r in range(size)]
    for step in (0, 3):
        whole, parts = alone.batch(step), [b.batch(step) for b in shares]
        assert torch.equal(torch.cat([p.pixels for p in parts]), whole.pixels)
        assert torch.equal(torch.cat([p.readable for p in parts]), whole.readable)
        rows = [row[row > 0].tolist() for p in parts for row in p.tokens]
        assert rows == [row[row > 0].tolist() for row in whole.tokens]
        for part in parts:
            assert torch.equal(part.truth, whole.truth) and part.extra == whole.extra


def test_deterministic_and_another_seed_or_epoch_is_another_batch(book, photos):
    first, again = (batches(book, photos).batch(1) for _ in range(2))
    assert torch.equal(first.pixels, again.pixels) and torch.equal(first.tokens, again.tokens)
    other = batches(book, photos, replace(SETTINGS, seed=1)).batch(1)
    assert not torch.equal(first.pixels, other.pixels)
    assert not torch.equal(first.pixels, batches(book, photos).batch(3).pixels)


def test_augmentation_depends_on_seed_epoch_and_photo_alone(book, photos):
    made = batches(book, photos)
    pixels = made._pixels(0, 4)
    assert torch.equal(pixels, batches(book, photos, replace(SETTINGS, batch_size=2))._pixels(0, 4))
    assert not torch.equal(pixels, made._pixels(1, 4))
    turned = PhotoSet(photos.ids[::-1], photos.paths[::-1], photos.rows[::-1])
    assert torch.equal(pixels, batches(book, turned)._pixels(0, len(photos) - 5))


def test_a_photo_shown_again_in_an_epoch_looks_and_reads_differently(book, photos):
    """Favouring rare countries would otherwise repeat exactly their few photos."""
    few = PhotoSet(photos.ids[:3], photos.paths[:3], photos.rows[:3], np.array([98.0, 1.0, 1.0]))
    settings = replace(SETTINGS, batch_size=3, epochs=20)
    made = batches(book, few, settings)
    shown = {}
    for step in range(made.steps):
        chosen, earlier = made._chosen(step)
        for i, times in zip(chosen.tolist(), earlier.tolist(), strict=True):
            shown.setdefault((step, i), []).append(times)
    assert all(times == list(range(len(times))) for times in shown.values())
    assert any(len(times) == 3 for times in shown.values())
    pixels = [made._pixels(0, 0, earlier) for earlier in range(3)]
    assert torch.equal(pixels[0], made._pixels(0, 0))
    assert not torch.equal(pixels[0], pixels[1]) and not torch.equal(pixels[1], pixels[2])
    texts = {book.draw(few.rows[0], 0, 0, made._showing(0, earlier)).text for earlier in range(30)}
    assert len(texts) > 1


def test_without_augmentation_pixels_are_those_of_prediction(book, photos):
    plain = batches(book, photos, replace(SETTINGS, augment=False))
    with Image.open(photos.paths[2]) as picture:
        expected = plain.encoder.preprocess(picture.convert("RGB"))
    assert torch.equal(plain._pixels(0, 2), expected)
    assert torch.equal(plain._pixels(1, 2), expected)


@pytest.mark.parametrize(
    ("augment", "room", "reads"),
    [
        (False, 12, [12, 12]),
        (False, 5, [12, 19]),
        (False, 0, [12, 24]),
        (True, 12, [12, 24]),
    ],
)
def test_photos_that_always_look_alike_are_read_once_while_there_is_room(
    book, photos, monkeypatch, augment, room, reads
):
    settings = replace(SETTINGS, batch_size=12, augment=augment)
    monkeypatch.setattr("geoclip.training.batches.KEPT_BYTES", room * 3 * 32 * 32 * 4)
    made, read = batches(book, photos, settings), []
    reader = made.reader
    made.reader = lambda showing: read.append(showing.path) or reader(showing)
    counts, shown = [], []
    for step in range(2):
        shown.append(made.batch(step).pixels)
        counts.append(len(read))
    assert counts == reads
    for step, pixels in enumerate(shown):
        assert torch.equal(pixels, batches(book, photos, settings).batch(step).pixels)


def test_an_epoch_is_a_permutation_and_every_step_has_a_full_batch(book, photos):
    made = batches(book, photos)
    assert (made.steps_per_epoch, made.steps) == (2, 4)
    chosen = np.concatenate([made._chosen(step)[0] for step in (0, 1)])
    assert len(chosen) == len(set(chosen.tolist())) == 10
    order = epoch_order(photos, book.gazetteer.ancestors, SETTINGS, 0)
    assert sorted(order) == list(range(12))
    assert not np.array_equal(order, epoch_order(photos, book.gazetteer.ancestors, SETTINGS, 1))


def test_a_set_smaller_than_a_batch_makes_one_batch_an_epoch(book, photos):
    made = batches(book, photos, replace(SETTINGS, batch_size=50))
    assert made.steps == 2
    assert len(made.batch(1).pixels) == 12


def test_iterating_gives_every_step_from_the_start_asked_for(book, photos):
    made = batches(book, photos)
    steps = dict(made.iterate(1))
    assert list(steps) == [1, 2, 3]
    assert torch.equal(steps[2].pixels, batches(book, photos).batch(2).pixels)
    assert list(made.iterate(made.steps)) == []


def test_truth_says_which_photos_a_caption_is_true_of(book, photos):
    made = batches(book, photos, replace(SETTINGS, batch_size=12, extra_captions=3))
    batch = made.batch(0)
    n, c = batch.truth.shape
    assert n == 12 and len(batch.tokens) == c
    own = batch.truth[:, : c - batch.extra]
    assert (own == 1).any(dim=0).all() and (own == 1).any(dim=1).all()


def test_balance_favours_countries_with_few_photos(book, photos):
    ancestors = book.gazetteer.ancestors
    country = photos.countries(ancestors)

    def share(balance, code):
        settings = replace(SETTINGS, balance=balance)
        seen = [epoch_order(photos, ancestors, settings, epoch) for epoch in range(300)]
        counts = Counter(country[np.concatenate(seen)].tolist())
        return counts[int(book.gazetteer.rows([code])[0])] / (300 * 12)

    assert share(0.0, "NA") == pytest.approx(1 / 12)
    assert share(1.0, "NA") == pytest.approx(1 / 4, abs=0.03)
    assert share(1.0, "FR") == pytest.approx(1 / 4, abs=0.03)
    assert share(0.0, "NA") < share(0.5, "NA") < share(1.0, "NA")


def test_weights_of_photos_are_relative_chances(book, photos):
    ancestors = book.gazetteer.ancestors
    weights = np.where(np.arange(12) == 7, 0.25, 1.0)
    weighted = replace(photos, weights=weights)
    orders = [epoch_order(weighted, ancestors, SETTINGS, epoch) for epoch in range(600)]
    share = np.mean(np.concatenate(orders) == 7)
    assert share == pytest.approx(0.25 / 11.25, abs=0.006)


@pytest.mark.parametrize("bad", [np.ones(3), np.r_[np.ones(11), 0.0], np.r_[np.ones(11), np.nan]])
def test_weights_that_mean_nothing_are_refused(photos, bad):
    with pytest.raises(GeoclipError, match="finite numbers above 0, one each"):
        replace(photos, weights=bad)


def test_locations_of_other_photos_are_refused(photos):
    with pytest.raises(GeoclipError, match="12 photos need one location each, not 3"):
        replace(photos, locations=["a", "b", "c"])


def test_a_photo_that_cannot_be_read_is_marked(book, photos, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    paths = list(photos.paths)
    paths[3], paths[5] = str(tmp_path / "broken.png"), str(tmp_path / "absent.png")
    broken = PhotoSet(photos.ids, paths, photos.rows)
    made = batches(book, broken, replace(SETTINGS, batch_size=12))
    batch = made.batch(0)
    unread = made._chosen(0)[0][~batch.readable.numpy()]
    assert sorted(unread.tolist()) == [3, 5]
    assert (batch.pixels[~batch.readable] == 0).all()


def test_no_photo_is_refused_with_one_sentence():
    with pytest.raises(GeoclipError, match="no photo to train on"):
        PhotoSet([], [], np.empty(0, dtype=np.int64))


def test_generators_depend_on_their_whole_key():
    draws = [seeded_generator("a", 1, e).random() for e in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
