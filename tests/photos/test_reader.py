"""Files → pixels: photos, videos, metadata, judgements, and the threads that do it."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_world import FakeEncoder

from geoclip.errors import PhotoError
from geoclip.photos.abstention import AbstentionCheck
from geoclip.photos.embedding import embed_named
from geoclip.photos.reader import PhotoReader, in_batches, read_batches
from geoclip.support.paths import encode_path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8), (7, 0, 0)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_photo_and_a_missing_one(fake_encoder: FakeEncoder, photo: Path) -> None:
    read = PhotoReader(fake_encoder)
    for path in (photo, str(photo), encode_path(photo)):
        reading = read(path)
        assert reading.problem is None
        assert reading.pixels is not None
        assert reading.pixels.shape == (1, 3, 8, 8)
        assert reading.finding.score == 0  # not asked for
    missing = read(photo.with_name("gone.png"))
    assert missing.pixels is None
    assert missing.problem is not None
    assert missing.problem.status == "missing"


def test_a_blank_photo_is_judged(fake_encoder: FakeEncoder, photo: Path) -> None:
    reading = PhotoReader(fake_encoder, check=AbstentionCheck())(photo)
    assert reading.finding.kind == "blank"
    assert reading.finding.score > 0.5


def test_a_trusted_position_spares_decoding(
    fake_encoder: FakeEncoder, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = shared_data / "exif_photos" / "Apple_iPhone_4.jpg"
    monkeypatch.setattr("geoclip.photos.opening.decode", lambda *_, **__: pytest.fail("decoded"))
    reading = PhotoReader(fake_encoder, metadata=True, trust_gps=True)(photo)
    assert (reading.pixels, reading.problem) == (None, None)
    assert reading.metadata.gps is not None


def test_a_video_gives_several_frames(fake_encoder: FakeEncoder, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        for red in range(0, 200, 20):
            image = Image.new("RGB", (32, 32), (red, 0, 0))
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    fake_encoder.preprocess = lambda image: FakeEncoder().preprocess(image.resize((8, 8)))
    reading = PhotoReader(fake_encoder, frames=3)(tmp_path / "clip.mp4")
    assert reading.problem is None
    assert reading.pixels is not None
    assert reading.pixels.shape == (3, 3, 8, 8)


def test_content_that_is_kept_elsewhere(fake_encoder: FakeEncoder, photo: Path) -> None:
    read, name = PhotoReader(fake_encoder, metadata=True), "s3://bucket/photo.png"
    reading, own = read(name, photo.read_bytes()), read(photo)
    assert reading.pixels is not None and own.pixels is not None
    assert reading.pixels.equal(own.pixels)
    for content, status in ((b"", "empty"), (b"text", "not a photo"), (None, "missing")):
        problem = read(name, content).problem
        assert problem is not None and problem.status == status
        assert (name in str(problem)) == (content is not None)  # else it is a relative path
    clip = read("shard.tar/clip.mp4", b"text").problem
    assert clip is not None and clip.status == "not a photo"


def test_paths_whose_bytes_are_fetched(fake_encoder: FakeEncoder, photo: Path) -> None:
    def fetch(path: str) -> bytes | None:
        if path == "far/gone":
            raise PhotoError("it is away", "missing")
        return photo.read_bytes() if path.startswith("far/") else None

    fake_encoder.pictured[7] = "a street"
    width = len(fake_encoder.vector("a street"))
    paths = ["far/0", str(photo), "far/gone", "near"]
    found = embed_named(fake_encoder, [(path, None) for path in paths], width, fetch=fetch)
    assert found.status == ["ok", "ok", "missing", "missing"] and found.paths == paths
    assert (found.values[0] == found.values[1]).all()
    assert np.isnan(found.values[2:]).all() and found.messages["far/gone"] == "it is away"


def test_another_way_to_decode(fake_encoder: FakeEncoder) -> None:
    asked = []

    def decode(*arguments: object) -> list[Image.Image]:
        asked.append(arguments)
        return [Image.new("RGB", (8, 8))]

    reading = PhotoReader(fake_encoder, frames=2, decode=decode)("a.jpg", b"bytes")
    assert reading.pixels is not None
    assert asked == [("a.jpg", b"bytes", 2, 8)]


def test_batches_of_any_size_in_order(fake_encoder: FakeEncoder, photo: Path) -> None:
    names = [photo, photo.with_name("gone.png"), photo]
    batches = list(read_batches(iter([names, [], [photo]]), PhotoReader(fake_encoder)))
    assert [[r.pixels is not None for r in batch] for batch in batches] == [
        *([True, False, True], [], [True])
    ]
    assert list(read_batches([], PhotoReader(fake_encoder))) == []


def test_one_batch_is_read_ahead_and_none_after_the_end(tmp_path: Path) -> None:
    lock, started = threading.Lock(), []

    def read(path: object) -> object:
        with lock:
            started.append(path)
        return path

    batches = read_batches([["a"], ["b"], ["c"], ["d"]], read)  # type: ignore[arg-type]
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert set(started) <= {"a", "b"}


def test_in_batches() -> None:
    assert list(in_batches("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(in_batches([])) == []
