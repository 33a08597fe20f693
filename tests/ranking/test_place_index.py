"""The place index: its content, its storage, and when it is made anew."""

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from small_world import CITIES, COUNTRIES, REGIONS, FakeEncoder, place_table
from tiny_encoders import random_tiny_clip

import geoclip.ranking.place_index as index_module
from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import (
    ABOUT_FILE,
    EMBEDDINGS_FILE,
    SHIPPED_FOLDER,
    PlaceIndex,
    embed_rows,
    index_key,
)

SETTINGS = CaptionSettings()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("GEOCLIP_CACHE", str(folder))
    return folder


def test_an_embedding_is_the_normalised_mean_over_a_places_prompts(fake_encoder, small_gazetteer):
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    book = CaptionBook(small_gazetteer)
    assert len(index) == len(small_gazetteer) == 21
    assert index.embeddings.dtype == np.float16
    exact = embed_rows(fake_encoder, CaptionBook(small_gazetteer), range(21))
    assert np.array_equal(index.embeddings, exact.astype(np.float16))
    for row, embedding in enumerate(exact):
        mean = np.mean([fake_encoder.vector(text) for text in book.prompts(row)], axis=0)
        assert embedding == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert repr(index) == f"PlaceIndex(21 places, d=16, key={index.key})"


def test_each_distinct_prompt_is_encoded_once(fake_encoder, small_gazetteer):
    PlaceIndex.build(fake_encoder, small_gazetteer, CaptionSettings(city_prompts=("{country}",)))
    assert len(fake_encoder.encoded) == len(set(fake_encoder.encoded)) == 6 + 5 + 5


def test_an_index_that_is_half_written_over_another_is_not_taken(
    fake_encoder, small_gazetteer, tmp_path, monkeypatch
):
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    index.save(tmp_path)
    write = index_module.write_whole

    def stopped(path, how):
        if path.name == ABOUT_FILE:
            raise KeyboardInterrupt
        write(path, how)

    monkeypatch.setattr(index_module, "write_whole", stopped)
    with pytest.raises(KeyboardInterrupt):
        replace(index, key="another").save(tmp_path)
    with pytest.raises(GeoclipError, match="no readable place index"):
        PlaceIndex.read(tmp_path)


def test_saved_and_read_memory_mapped(fake_encoder, small_gazetteer, tmp_path):
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    index.save(tmp_path / "deep" / "folder")
    again = PlaceIndex.read(tmp_path / "deep" / "folder")
    assert isinstance(again.embeddings, np.memmap)
    assert not again.embeddings.flags.writeable
    assert np.array_equal(again.embeddings, index.embeddings)
    assert again.key == index.key
    names = {path.name for path in (tmp_path / "deep" / "folder").iterdir()}
    assert names == {EMBEDDINGS_FILE, ABOUT_FILE}


def test_files_can_be_read_by_others_as_the_umask_says(fake_encoder, small_gazetteer, tmp_path):
    (tmp_path / "plain").touch()
    PlaceIndex.build(fake_encoder, small_gazetteer).save(tmp_path)
    for name in (EMBEDDINGS_FILE, ABOUT_FILE):
        assert (tmp_path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode


def damaged(name, content):
    def damage(folder):
        path = folder / name
        path.write_bytes(content(path.read_bytes()) if callable(content) else content)

    return damage


DAMAGES = {
    "no key": damaged(ABOUT_FILE, b"{}"),
    "a list": damaged(ABOUT_FILE, b"[]"),
    "no JSON": damaged(ABOUT_FILE, b"{"),
    "no text": damaged(ABOUT_FILE, b"\xff\xfe"),
    "empty array file": damaged(EMBEDDINGS_FILE, b""),
    "cut-off array": damaged(EMBEDDINGS_FILE, lambda whole: whole[:-9]),
    "cut-off header": damaged(EMBEDDINGS_FILE, lambda whole: whole[:7]),
    "another file": damaged(EMBEDDINGS_FILE, b"PK\x03\x04 no array"),
    "no array file": lambda folder: (folder / EMBEDDINGS_FILE).unlink(),
    "no about file": lambda folder: (folder / ABOUT_FILE).unlink(),
    "objects": lambda folder: np.save(
        folder / EMBEDDINGS_FILE, np.array([[{}]], dtype=object), allow_pickle=True
    ),
    "fewer rows": lambda folder: np.save(
        folder / EMBEDDINGS_FILE, np.load(folder / EMBEDDINGS_FILE)[:-1]
    ),
    "single precision": lambda folder: np.save(
        folder / EMBEDDINGS_FILE, np.load(folder / EMBEDDINGS_FILE).astype(np.float32)
    ),
    "integers": lambda folder: np.save(
        folder / EMBEDDINGS_FILE, np.load(folder / EMBEDDINGS_FILE).astype(int)
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_refused_and_a_cached_one_made_anew(
    damage, fake_encoder, small_gazetteer, cache
):
    index = PlaceIndex.cached(fake_encoder, small_gazetteer)
    home = cache / index.key
    damage(home)
    with pytest.raises(GeoclipError, match="place index") as caught:
        PlaceIndex.read(home)
    assert str(home) in str(caught.value)
    again = PlaceIndex.cached(fake_encoder, small_gazetteer)
    assert np.array_equal(again.embeddings, index.embeddings)
    assert np.array_equal(PlaceIndex.read(home).embeddings, index.embeddings)  # mended


def test_a_missing_index_is_refused(tmp_path):
    with pytest.raises(GeoclipError, match="nowhere"):
        PlaceIndex.read(tmp_path / "nowhere")


def test_cached_encodes_once(fake_encoder, small_gazetteer, cache):
    first = PlaceIndex.cached(fake_encoder, small_gazetteer)
    count = len(fake_encoder.encoded)
    second = PlaceIndex.cached(fake_encoder, small_gazetteer, SETTINGS)
    assert len(fake_encoder.encoded) == count > 0
    assert isinstance(second.embeddings, np.memmap)
    assert np.array_equal(first.embeddings, second.embeddings)
    assert [path.name for path in cache.iterdir()] == [first.key]


def test_a_cached_index_of_another_key_is_not_taken(fake_encoder, small_gazetteer, cache):
    index = PlaceIndex.cached(fake_encoder, small_gazetteer)
    about = json.loads((cache / index.key / ABOUT_FILE).read_text())
    (cache / index.key / ABOUT_FILE).write_text(json.dumps(about | {"key": "other"}))
    assert PlaceIndex.cached(fake_encoder, small_gazetteer).key == index.key


def test_a_cache_that_cannot_be_written_is_no_failure(fake_encoder, small_gazetteer, cache):
    cache.write_text("a file where the folder should be")
    index = PlaceIndex.cached(fake_encoder, small_gazetteer)
    assert len(index) == len(small_gazetteer)
    assert cache.read_text().startswith("a file")


def test_a_full_disk_leaves_no_rest_behind(fake_encoder, small_gazetteer, cache, monkeypatch):
    def full(file, array):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full)
        index = PlaceIndex.cached(fake_encoder, small_gazetteer)
    assert len(index) == len(small_gazetteer)
    assert list((cache / index.key).iterdir()) == []


def test_the_key_changes_with_all_that_the_index_depends_on(fake_encoder, small_gazetteer):
    renamed = [("lyon", "Lugdunum", *CITIES[0][2:]), *CITIES[1:]]
    other = Gazetteer(place_table(COUNTRIES, REGIONS, renamed))
    wordings = [
        replace(SETTINGS, prefix="A photo"),
        replace(SETTINGS, country_prompts=("{country}",)),
        replace(SETTINGS, region_prompts=("{region}",)),
        replace(SETTINGS, city_prompts=SETTINGS.city_prompts[:1]),
    ]
    keys = [
        index_key(fake_encoder, small_gazetteer, SETTINGS),
        index_key(FakeEncoder(salt="other weights"), small_gazetteer, SETTINGS),
        index_key(fake_encoder, other, SETTINGS),
        *(index_key(fake_encoder, small_gazetteer, wording) for wording in wordings),
    ]
    assert len(set(keys)) == len(keys)
    for keep in ("keep_city", "keep_region", "keep_official"):
        training_only = replace(SETTINGS, **{keep: 0.1})
        assert index_key(fake_encoder, small_gazetteer, training_only) == keys[0]
    assert index_key(FakeEncoder(scale=50), small_gazetteer, SETTINGS) == keys[0]


def test_the_key_follows_the_text_weights_of_a_real_encoder(small_gazetteer):
    encoder = random_tiny_clip()
    key = index_key(encoder, small_gazetteer, SETTINGS)
    assert index_key(random_tiny_clip(), small_gazetteer, SETTINGS) == key
    encoder.tower_parameters("image")[0].data += 1
    assert index_key(encoder, small_gazetteer, SETTINGS) == key
    encoder.tower_parameters("text")[-1].data += 1e-3
    assert index_key(encoder, small_gazetteer, SETTINGS) != key


def test_an_index_in_full_precision_serves_any_and_a_half_one_its_own(small_gazetteer, cache):
    full, half, other = (random_tiny_clip().for_photos(p) for p in ("fp32", "bf16", "bf16"))
    own = PlaceIndex.cached(half, small_gazetteer)
    assert own.key == f"{index_key(full, small_gazetteer, SETTINGS)}-bf16"
    assert PlaceIndex.cached(other, small_gazetteer).key == own.key  # kept
    whole = PlaceIndex.cached(full, small_gazetteer)
    assert whole.key != own.key and not np.array_equal(whole.embeddings, own.embeddings)
    assert sorted(path.name for path in cache.iterdir()) == sorted([whole.key, own.key])
    assert PlaceIndex.cached(other, small_gazetteer).key == whole.key  # the better one
    other.folder = cache / "model"
    whole.save(other.folder / SHIPPED_FOLDER)
    assert PlaceIndex.shipped(other.folder, own.key, len(small_gazetteer)) is not None
    own.save(other.folder / SHIPPED_FOLDER)
    assert PlaceIndex.shipped(other.folder, whole.key, len(small_gazetteer)) is None


def test_making_an_index_is_watched_and_reading_one_is_not(fake_encoder, small_gazetteer, cache):
    told = []

    @contextmanager
    def watch(what, total):
        done = []
        yield done.append
        told.append((what, total, sum(done)))

    PlaceIndex.cached(fake_encoder, small_gazetteer, watch=watch)
    distinct = len(set(fake_encoder.encoded))
    assert told == [("indexing places", distinct, distinct)]
    PlaceIndex.cached(fake_encoder, small_gazetteer, watch=watch)
    assert len(told) == 1


def test_an_index_that_comes_with_the_model_is_used_while_it_fits(
    fake_encoder, small_gazetteer, cache, tmp_path
):
    fake_encoder.folder = tmp_path / "model"
    shipped = PlaceIndex.build(fake_encoder, small_gazetteer)
    shipped.save(fake_encoder.folder / SHIPPED_FOLDER)
    fake_encoder.encoded.clear()
    index = PlaceIndex.cached(fake_encoder, small_gazetteer)
    assert np.array_equal(index.embeddings, shipped.embeddings)
    assert not fake_encoder.encoded and not cache.exists()
    other = PlaceIndex.cached(fake_encoder, small_gazetteer, CaptionSettings(prefix="A test"))
    assert other.key != shipped.key and (cache / other.key).is_dir()
