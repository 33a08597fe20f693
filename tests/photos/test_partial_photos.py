"""JPEGs that end early show what they have; what libtiff complains of is counted."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from geoclip.errors import PhotoError
from geoclip.photos.decoding import NOISE, SHARE, flaw, read_photo
from geoclip.photos.reader import PhotoReader
from tests.small_world import FakeEncoder
from tests.torture import noisy_tiff


def scene(mode: str = "RGB") -> Image.Image:
    """Smooth colours, each row another: a row tells where it is from."""
    noise = np.random.default_rng(3).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    return Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)).convert(mode)


def jpeg(image: Image.Image, share: float, **options: object) -> bytes:
    """The first `share` of a file's bytes."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92, **options)
    content = stream.getvalue()
    return content[: int(share * len(content))]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("share", [0.95, 0.5, 0.3])
@pytest.mark.parametrize("short_side", [None, 60])
def test_the_rows_that_are_there_are_those_of_the_whole_file(
    mode: str, share: float, short_side: int | None
) -> None:
    whole = read_photo("a.jpg", short_side, jpeg(scene(mode), 1.0))
    part = read_photo("a.jpg", short_side, jpeg(scene(mode), share))
    assert SHARE not in whole.info
    assert part.width == whole.width
    stated = part.info[SHARE]
    assert stated == pytest.approx(part.height / whole.height, abs=0.011)
    assert share - 0.12 < stated < share + 0.05  # the head of the file takes some of it
    rows = part.height - 32 * part.width // 320  # the last blocks are there in part
    same = np.asarray(part)[:rows].astype(int) - np.asarray(whole)[:rows]
    assert np.abs(same).max() <= 1


def test_a_progressive_one_is_whole_and_coarse() -> None:
    whole, part = (read_photo("a.jpg", None, jpeg(scene(), s, progressive=True)) for s in (1, 0.6))
    assert part.size == whole.size
    assert part.info[SHARE] == 0.99
    assert np.abs(np.asarray(part).astype(int) - np.asarray(whole)).mean() < 12


def test_a_turned_one_loses_the_side_that_is_missing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    part = read_photo("a.jpg", None, jpeg(scene(), 0.5, exif=exif))
    assert part.height == 320
    assert 80 < part.width < 160


def test_a_missing_end_mark_alone_costs_nothing() -> None:
    content = jpeg(scene(), 1.0)
    assert content.endswith(b"\xff\xd9")
    assert read_photo("a.jpg", None, content[:-2]).size == (320, 240)


def test_next_to_nothing_is_too_little() -> None:
    for share in (0.01, 0.045, 0.06):
        with pytest.raises(PhotoError) as caught:
            read_photo("a.jpg", None, jpeg(scene(), share))
        assert caught.value.status in {"truncated", "not a photo"}
    assert "of it is there" in str(caught.value)


def test_the_reader_gives_pixels_and_the_problem(tmp_path: Path) -> None:
    encoder = FakeEncoder()
    encoder.preprocess = lambda image: FakeEncoder().preprocess(image.resize((8, 8)))
    (tmp_path / "a.jpg").write_bytes(jpeg(scene(), 0.5))
    found = PhotoReader(encoder)(tmp_path / "a.jpg")
    assert found.pixels is not None
    assert found.status == "partial"
    assert "% of the picture is there and used" in str(found.problem)
    assert flaw([scene()], "a.jpg") is None


def test_libtiff_is_counted_and_not_heard(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "noisy.tif"
    path.write_bytes(noisy_tiff())
    with Image.open(path) as heard:
        heard.load()
    said = capfd.readouterr().err.splitlines()
    assert said  # else this test checks nothing
    assert read_photo(path).info[NOISE] == len(said)
    os.write(2, b"still open\n")
    assert capfd.readouterr().err == "still open\n"
