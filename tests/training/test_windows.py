"""Photos in shards: their order by windows, reading by addresses, and reading elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_encoders import clip_encoder

from geoclip.errors import PhotoError
from geoclip.training.batches import ASKED_AHEAD, Batches, epoch_order, in_windows
from geoclip.training.photo_set import PhotoSet
from geoclip.training.settings import WINDOW, TrainingSettings
from geoclip.training.workers import Workers

SETTINGS = TrainingSettings(batch_size=5, epochs=3)


@given(st.lists(st.integers(-1, 7), min_size=1, max_size=60), st.integers(1, 4), st.integers(0, 99))
def test_each_photo_comes_once_and_a_shard_within_one_window(numbers, window, seed):
    _, shards = np.unique([n for n in numbers if n >= 0], return_inverse=True)
    own = np.full(len(numbers), -1)
    own[[n >= 0 for n in numbers]] = shards
    rng = np.random.default_rng(seed)
    order = in_windows(rng.permutation(len(own)), own, rng, window)
    assert sorted(order) == list(range(len(own)))
    # Going along the order, photos of at most `window` shards lie between two of one shard.
    for shard in set(shards.tolist()):
        at = np.flatnonzero(own[order] == shard)
        between = own[order][at[0] : at[-1] + 1]
        assert len(set(between[between >= 0].tolist())) <= window


def test_few_shards_change_no_order(book, photos):
    shards = np.arange(12) % WINDOW
    plain = epoch_order(photos, book.gazetteer.ancestors, SETTINGS, 1)
    sharded = epoch_order(replace(photos, shards=shards), book.gazetteer.ancestors, SETTINGS, 1)
    assert plain.tolist() == sharded.tolist()


def test_many_shards_are_read_in_windows_that_differ_by_epoch(book):
    count = 3 * WINDOW
    shards = np.repeat(np.arange(count), 4)
    names = [str(i) for i in range(len(shards))]
    photos = PhotoSet(names, names, book.gazetteer.rows(["1"] * len(shards)), shards=shards)
    ancestors = book.gazetteer.ancestors
    first, again, other = (epoch_order(photos, ancestors, SETTINGS, e) for e in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    windows = [set(shards[part].tolist()) for part in np.split(first, 3)]
    assert [len(window) for window in windows] == [WINDOW] * 3
    assert sorted(set.union(*windows)) == list(range(count))
    assert windows[0] != set(shards[np.split(other, 3)[0]].tolist())
    drawn = epoch_order(photos, ancestors, replace(SETTINGS, balance=0.5), 0)
    assert len(set(drawn.tolist())) < len(drawn)
    changes = [set(shards[drawn[i : i + 8]].tolist()) for i in range(0, len(drawn), 8)]
    assert max(map(len, changes)) <= 8 and len(set(shards[drawn[:32]].tolist())) <= WINDOW


def test_a_run_is_another_when_its_shards_are(photos):
    shards = np.arange(12)
    digests = {
        photos.digest(),
        replace(photos, shards=shards).digest(),
        replace(photos, shards=shards // 2).digest(),
    }
    assert len(digests) == 3


def test_bytes_that_are_fetched_are_read_as_files_are(book, photos):
    contents = {f"far/{path}": Path(path).read_bytes() for path in photos.paths}
    far = replace(photos, paths=[f"far/{path}" for path in photos.paths])
    lost = far.paths[3]

    def fetch(path: str) -> bytes:
        if path == lost:
            raise PhotoError(f"{path} is away.", "missing")
        return contents[path]

    near = Batches(clip_encoder(), book, photos, SETTINGS, Workers())
    away = Batches(clip_encoder(), book, far, SETTINGS, Workers(), fetch=fetch)
    for step in range(4):
        one, other = near.batch(step), away.batch(step)
        kept = other.readable
        assert torch.equal(one.pixels[kept], other.pixels[kept])
        unread = near._chosen(step)[0][~kept.numpy()].tolist()
        assert unread in ([], [3])
    assert away.unreadable == {photos.ids[3]}


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("rank", [0, 1])
def test_pictures_read_elsewhere_are_the_same_and_asked_for_ahead(book, photos, rank, augment):
    settings, workers = replace(SETTINGS, augment=augment), Workers(rank, 2)
    broken = replace(photos, paths=["absent.png", *photos.paths[1:]])
    here = Batches(clip_encoder(), book, broken, settings, workers)
    asked, taken = [], []

    def decode(read, showings):
        asked.append(len(showings))
        pictures = map(read, showings)
        return (taken.append(len(taken)) or picture for picture in pictures)

    there = Batches(clip_encoder(), book, broken, settings, workers, decode=decode)
    for step, batch in there.iterate(2):
        wanted = here.batch(step)
        assert torch.equal(batch.pixels, wanted.pixels)
        assert torch.equal(batch.readable, wanted.readable)
        assert len(asked) <= step - 2 + 2 + ASKED_AHEAD
    assert sum(asked) == len(taken) == sum(len(here.batch(s).pixels) for s in range(2, here.steps))
    assert there.unreadable == here.unreadable == ({photos.ids[0]} & here.unreadable)
