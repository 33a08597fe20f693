"""Decoding, encoding and answering by three actors, against one that does all of it; no Ray."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from inference import write_model, write_photos, write_world
from PIL import Image
from tiny_encoders import random_tiny_clip, write_transformers_clip

from geoclip.encoders import Encoder, load_encoder
from geoclip.errors import GeoclipError
from geoclip.photos.reader import DecodedPhoto, PhotoReader
from geoclip.places.captions import CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from pipelines import view_reader
from pipelines.embed_photos import PhotoRows
from pipelines.photo_actors import Pool, batch_size
from pipelines.photo_locator import LocatorSpec, PhotoLocator
from pipelines.photo_source import ListedPhotos, Photo, read_blocks
from pipelines.photo_stages import Helpers, PhotoDecoder, PhotoEncoder
from pipelines.preparation import Preparation

COUNT = 70


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_reader, "was_restarted", lambda: False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, one of them invalid and one an empty file; a model, a world and its index."""
    home = tmp_path_factory.mktemp("stages")
    photos = write_photos(home / "photos", COUNT)
    photos[5].write_text("no photo")
    photos[40].write_bytes(b"")
    encoder = load_encoder(write_model(home / "model"))
    places = Gazetteer.read(write_world(home / "world.csv"))
    PlaceIndex.build(encoder, places, CaptionSettings()).save(home / "places")
    return home


def block_of(home: Path) -> pa.Table:
    """Photos with content and without, some of them views of a location, one that is missing."""
    photos = []
    for i, path in enumerate(sorted((home / "photos").iterdir())):
        content = path.read_bytes() if i % 2 else None
        photos.append(Photo(f"id{i}", str(path), content, location_id="a" if i < 7 else ""))
    photos += [Photo("gone", str(home / "gone.jpg")), Photo("bad", "x", problem="'x': cut off.")]
    (block,) = read_blocks(ListedPhotos(photos))
    return block


def through_stages(pool: Pool, last: Callable[[pa.Table], object], block: pa.Table) -> pa.Table:
    """The rows that three actors make of a block, which Ray joins and cuts as it likes between."""
    decoded = pa.concat_tables(PhotoDecoder(pool)(block))
    encode = PhotoEncoder(pool)
    cut = [decoded[:64], decoded[64:]]  # at a whole batch
    encoded = pa.concat_tables(table for part in cut for table in encode(part))
    return pa.concat_tables(last(encoded))  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", [True, False])
def test_rows_are_the_same_bit_for_bit(home: Path, levels: bool) -> None:
    model, alone = str(home / "model"), Pool(threads=1)
    preparation = Preparation.of(model, load_encoder(model))
    assert preparation.levels is not None
    if not levels:
        preparation = replace(preparation, levels=None)
    pool, block = replace(alone, preparation=preparation), block_of(home)
    spec = LocatorSpec.of(model, home / "places", home / "world.csv", top_k=2)
    for kind, given_to in ((PhotoRows, model), (PhotoLocator, spec)):
        wanted = pa.concat_tables(kind(given_to, alone)(block))  # type: ignore[arg-type]
        rows = through_stages(pool, kind(given_to, pool), block)  # type: ignore[arg-type]
        assert rows.equals(wanted)
        assert len(set(rows["status"].to_pylist())) == 5
    assert rows.schema.equals(wanted.schema)


def test_a_video_is_the_mean_of_its_frames(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of one view follow one another among those of others."""
    noise = np.random.default_rng(0)

    def frames(*_: object) -> list[Image.Image]:
        pixels = noise.integers(0, 255, (3, 40, 40, 3), dtype=np.uint8)
        return [Image.fromarray(frame) for frame in pixels]

    model = str(home / "model")
    encoder = load_encoder(model)
    pool = Pool(threads=1, preparation=Preparation.of(model, encoder))
    photos = sorted((home / "photos").iterdir())[:3]
    (block,) = read_blocks(ListedPhotos([Photo(str(p), str(p)) for p in photos]))
    decoder = PhotoDecoder(pool)
    monkeypatch.setattr(decoder.reader, "read", lambda batches: _read(batches, encoder, frames))
    rows = pa.concat_tables(decoder(block))
    assert [row["views"][0]["frames"] for row in rows.to_pylist()] == [3, 3, 3]
    (encoded,) = PhotoEncoder(pool)(rows)
    noise = np.random.default_rng(0)
    for value in encoded["values"].to_pylist():
        mean = encoder.encode_images(frames()).mean(axis=0)
        np.testing.assert_allclose(value, mean / np.linalg.norm(mean), atol=1e-5)


def _read(batches: list[list[dict]], encoder: Encoder, frames: Callable) -> object:
    for batch in batches:
        stacks = [torch.stack([encoder.preprocess(p) for p in frames()]) for _ in batch]
        yield [DecodedPhoto(stack, None) for stack in stacks]


@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_pixels_travel_as_bytes_and_lose_nothing(library: str, tmp_path: Path) -> None:
    made = random_tiny_clip() if library == "open_clip" else None
    encoder = made or load_encoder(write_transformers_clip(tmp_path / "model"))
    preparation = Preparation.of("model", encoder)
    assert preparation.levels is not None
    assert preparation.frame_bytes == 3 * encoder.image_size**2
    noise = np.random.default_rng(1)
    for size in ((32, 32), (40, 33), (301, 77), (16, 900)):
        picture = Image.fromarray(noise.integers(0, 255, (*size, 3), dtype=np.uint8))
        pixels = encoder.preprocess(picture)[None]
        packed = preparation.packed(pixels)
        assert packed.shape == (1, preparation.frame_bytes)
        assert torch.equal(preparation.unpacked(packed), pixels)


def test_pixels_that_are_no_function_of_bytes_travel_as_they_are() -> None:
    class Blurring:
        image_size = 32
        log_logit_scale = torch.zeros(())
        inner = random_tiny_clip()

        def preprocess(self, image: Image.Image) -> torch.Tensor:
            pixels = self.inner.preprocess(image)
            return (pixels + pixels.roll(1, dims=2)) / 2

    preparation = Preparation.of("model", Blurring())  # type: ignore[arg-type]
    assert preparation.levels is None
    pixels = torch.randn(2, 3, 32, 32)
    assert torch.equal(preparation.unpacked(preparation.packed(pixels)), pixels)


@given(st.integers(1, 200), st.floats(2, 64))
def test_actors_beside_those_with_a_gpu_find_room(actors: int, each: float) -> None:
    """At their fewest all of them run, and files still find a CPU and a half."""
    cpus = actors * each
    helpers = Helpers.beside(actors, cpus)
    asked = actors * helpers.gpu_cpus + 2 * helpers.fewest * helpers.cpus
    assert asked <= max(cpus - 1.5, 0.1 * actors) + 1e-6
    assert helpers.most >= helpers.fewest == actors
    assert (helpers.most + helpers.fewest) * helpers.cpus <= max(cpus, 2 * asked)


def test_expired_credentials_are_no_photos_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inaccessible photos would count as done, and never be read."""
    view = {"photo_id": "a", "path": "s3://b/a.jpg", "content": None, "problem": None}
    reader = view_reader.ViewReader(PhotoReader(random_tiny_clip()))
    for said in (
        "(HTTP status 400) during HeadObject operation: No body.",
        "ExpiredToken",
    ):

        def refuse(path: str, said: str = said) -> bytes:
            raise OSError(f"AWS Error UNKNOWN {said}")

        monkeypatch.setattr(view_reader, "read_bytes", refuse)
        with pytest.raises(GeoclipError, match="renew them, and the same command goes on"):
            reader(view)

    def deny(path: str) -> bytes:
        raise OSError("AWS Error ACCESS_DENIED during HeadObject operation: No response body.")

    monkeypatch.setattr(view_reader, "read_bytes", deny)  # it may be this photo's alone
    assert reader(view).status == "unreadable"


def test_two_batches_share_the_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert batch_size(random_tiny_clip(), 2) == 32

    class OnGpu:
        device = torch.device("cuda")
        image_size = 32

        def encode_images(self, images: list[Image.Image]) -> None:
            assert len(images) == 4

    for name, value in (("memory_allocated", 0), ("max_memory_allocated", 4_000_000)):
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1e9, 2e9))
    assert batch_size(OnGpu()) == 480  # type: ignore[arg-type]
    assert batch_size(OnGpu(), 2) == 224  # type: ignore[arg-type]
