"""Inputs accepted as photos, each file opened once."""

import builtins
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from small_world import FakeEncoder
from torchvision.transforms.functional import pil_to_tensor

from geoclip.errors import GeoclipError, PhotoError
from geoclip.photos.metadata import NOTHING, read_metadata
from geoclip.photos.opening import named, opened, photo_list
from geoclip.photos.reader import PhotoReader

ORIENTATION, GPS = 0x0112, 0x8825
LYON = {1: "N", 2: (45.0, 45.0, 0.0), 3: "E", 4: (4.0, 51.0, 0.0)}


def halves(side: int = 64) -> Image.Image:
    """Red on the left, blue on the right."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[:, : side // 2, 0] = pixels[:, side // 2 :, 2] = 255
    return Image.fromarray(pixels)


def geotagged(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION], exif[GPS] = orientation, LYON
    return exif


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    halves().save(tmp_path / "photo.jpg", exif=geotagged())
    return tmp_path / "photo.jpg"


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was opened, by name."""
    counts: Counter[str] = Counter()
    plain: Callable[..., object] = open

    def counting(file: object, *others: object, **named_others: object) -> object:
        counts[Path(str(file)).name] += 1
        return plain(file, *others, **named_others)

    monkeypatch.setattr(builtins, "open", counting)
    return counts


@pytest.fixture
def reader(fake_encoder: FakeEncoder) -> PhotoReader:
    fake_encoder.preprocess = lambda image: pil_to_tensor(image.resize((8, 8)))
    return PhotoReader(fake_encoder, metadata=True)


def test_a_photo_is_opened_once(reader: PhotoReader, photo: Path, opens: Counter[str]) -> None:
    decoded = reader(photo)
    assert decoded.pixels is not None
    assert decoded.metadata.trusted_gps is not None
    assert opens == {"photo.jpg": 1}


def test_a_video_is_opened_once(reader: PhotoReader, tmp_path: Path, opens: Counter[str]) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        container.metadata["creation_time"] = "2020-05-01T12:00:00Z"
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (32, 32)))))
        container.mux(stream.encode())
    opens.clear()
    decoded = reader(tmp_path / "clip.mp4")
    assert decoded.pixels is not None
    assert decoded.metadata.taken is not None
    assert opens == {"clip.mp4": 1}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "heic"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_metadata_changes_no_pixel(
    fake_encoder: FakeEncoder, tmp_path: Path, suffix: str, orientation: int
) -> None:
    """EXIF is read from the image that is then decoded: its turn must not be lost."""
    path = tmp_path / f"photo.{suffix}"
    if suffix == "heic":
        heif = pillow_heif.from_pillow(halves())
        heif.info["exif"] = geotagged(orientation).tobytes()
        heif.save(path)
    else:
        halves().save(path, exif=geotagged(orientation).tobytes())
    fake_encoder.preprocess = lambda image: pil_to_tensor(image.resize((8, 8)))
    with_it, without = (PhotoReader(fake_encoder, metadata=wanted) for wanted in (True, False))
    left, right = with_it(path), without(path)
    assert left.metadata == read_metadata(path) != NOTHING
    assert left.pixels is not None and right.pixels is not None
    assert left.pixels.equal(right.pixels)


def test_an_image_an_array_and_bytes_are_read_as_the_file_is(
    reader: PhotoReader, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    halves().save(path, exif=geotagged(6))
    file = reader(path)
    assert file.pixels is not None
    for content in (path.read_bytes(), Image.open(path)):
        decoded = reader("photo 0", content)
        assert decoded.pixels is not None
        assert decoded.pixels.equal(file.pixels)
        assert decoded.metadata == file.metadata != NOTHING
    upright = np.asarray(halves().transpose(Image.Transpose.ROTATE_270))
    decoded = reader("photo 0", upright)
    assert decoded.pixels is not None
    assert decoded.pixels.equal(file.pixels)
    assert decoded.metadata == NOTHING  # an array carries none
    grey = reader("photo 0", upright[:, :, 0])
    assert grey.pixels is not None
    assert (grey.pixels[0, 0] == grey.pixels[0, 2]).all()


def test_an_image_of_the_caller_stays_as_it_is(reader: PhotoReader, tmp_path: Path) -> None:
    halves(512).save(tmp_path / "large.jpg", exif=geotagged(6))
    image = Image.open(tmp_path / "large.jpg")
    for _ in range(2):  # a file would be decoded at an eighth
        assert reader("photo 0", image).pixels is not None
    assert image.size == (512, 512)
    assert image.getexif()[ORIENTATION] == 6


def test_images_that_cannot_be_used(reader: PhotoReader) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    cut = Image.open(io.BytesIO(buffer.getvalue()[:5000]))
    for content, status in (
        (cut, "truncated"),
        (Image.new("RGB", (0, 5)), "empty"),
        (Image.new("L", (300_000_000, 1)), "too large"),
        (b"", "empty"),
        (b"no photo", "not a photo"),
    ):
        problem = reader("photo 3", content).problem
        assert isinstance(problem, PhotoError)
        assert (problem.status, "'photo 3'" in str(problem)) == (status, True)


def test_names(photo: Path) -> None:
    content = photo.read_bytes()
    assert named(photo, 4) == (photo, None)
    assert named(str(photo), 4) == (str(photo), None)
    assert named(content, 4) == ("photo 4", content)


def test_one_photo_or_several() -> None:
    image, array = Image.new("RGB", (4, 4)), np.zeros((4, 4, 3), np.uint8)
    for one in ("a.jpg", Path("a.jpg"), b"bytes", image, array, array[:, :, 0]):
        assert photo_list(one)[0] is one
    assert len(photo_list(np.stack([array] * 3))) == 3
    assert photo_list(name for name in "ab") == ["a", "b"]


@pytest.mark.parametrize(
    "other",
    [5, None, ["a.jpg"], np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), bytearray(b"x")],
)
def test_anything_else_is_one_sentence(other: object) -> None:
    with pytest.raises(GeoclipError, match=r"^'photo 2' is .*: give .*\.$"):
        named(other, 2)  # type: ignore[arg-type]
    if other is None or isinstance(other, int):
        with pytest.raises(GeoclipError, match=r"^What was given is of the type .*: give .*\.$"):
            photo_list(other)  # type: ignore[arg-type]


def test_a_file_is_closed(photo: Path) -> None:
    with opened(photo) as open_photo:
        file = open_photo.image.fp  # type: ignore[union-attr]
        assert not file.closed
    assert file.closed
