"""RAW photos: the preview inside stands for them, and position and orientation are the file's."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from geoclip.errors import PhotoError
from geoclip.photos import raw_photos
from geoclip.photos.decoding import read_photo
from geoclip.photos.listing import RAW_SUFFIXES, list_photos
from geoclip.photos.metadata import read_metadata
from tests.torture import encoded

LAT, LON = 28.18448, -14.16067
GPS_TAGS = {
    GPS.GPSLatitudeRef: "N",
    GPS.GPSLatitude: (28.0, 11.0, 4.128),
    GPS.GPSLongitudeRef: "W",
    GPS.GPSLongitude: (14.0, 9.0, 38.412),
}
SENSOR = np.random.default_rng(7).bytes(30_000)  # no picture: a decoder must skip it


def halves(width: int, height: int) -> Image.Image:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def exif(orientation: int = 1, gps: bool = True) -> Image.Exif:
    made = Image.Exif()
    made[Base.Make], made[Base.Model], made[Base.Orientation] = "Maker", "Maker One", orientation
    made.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = "2019:05:04 10:20:30"
    if gps:
        made.get_ifd(IFD.GPSInfo).update(GPS_TAGS)
    return made


def directory(orientation: int = 1, magic: bytes = b"II*\0") -> bytes:
    """A TIFF of directories alone, as all RAW formats based on TIFF begin with."""
    made = exif(orientation)
    made.endian = "<"
    return magic + made.tobytes().removeprefix(b"Exif\0\0")[4:]


def lossless(size: int) -> bytes:
    """Sensor data as packed in CR2 and DNG: a JPEG that Pillow cannot read."""
    frame = struct.pack(">HHBHHB", 0xFFC3, 8, 14, size, size, 1)
    return b"\xff\xd8\xff\xc4\0\4\0\0" + frame + SENSOR


def of_tiff(orientation: int = 1, magic: bytes = b"II*\0") -> bytes:
    previews = [encoded(halves(160, 120)), encoded(halves(640, 480))]
    parts = [directory(orientation, magic), previews[0], lossless(4000), previews[1], SENSOR]
    return b"".join(parts)


def of_fuji() -> bytes:
    preview = encoded(halves(640, 480), exif=exif(6))
    return b"FUJIFILMCCD-RAW 0201".ljust(108, b"\0") + preview + SENSOR


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def of_canon(orientation: int = 6) -> bytes:
    """A CR3: each directory in a box of its own."""
    main, gps = exif(orientation, gps=False), Image.Exif()
    gps.update(GPS_TAGS)
    tiffs = [own.tobytes().removeprefix(b"Exif\0\0") for own in (main, gps)]
    parts = box(b"CMT1", tiffs[0]) + box(b"CMT4", tiffs[1])
    canon = box(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + parts)
    head = box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", canon)
    return head + box(b"mdat", encoded(halves(640, 480)) + SENSOR)


KINDS: dict[str, Callable[[], bytes]] = {
    **{name: lambda: of_tiff(6) for name in ("dng", "cr2", "nef", "arw", "pef")},
    "orf": lambda: of_tiff(6, b"IIRO"),
    "rw2": lambda: of_tiff(6, b"IIU\0"),
    "raf": of_fuji,
    "cr3": of_canon,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("in_memory", [False, True])
def test_preview_position_and_orientation(tmp_path: Path, kind: str, in_memory: bool) -> None:
    path, content = tmp_path / f"IMG_1.{kind.upper()}", KINDS[kind]()
    path.write_bytes(content)
    assert list_photos(tmp_path) == [path]
    given = content if in_memory else None
    picture = read_photo(path, content=given)
    assert picture.size == (480, 640)  # turned by the file's orientation
    top, bottom = np.asarray(picture)[[60, -60], 240]
    assert min(top[0], bottom[2]) > 200 > max(top[2], bottom[0])
    found = read_metadata(path, given)
    assert found.trusted_gps is not None
    assert (found.gps.lat, found.gps.lon) == pytest.approx((LAT, LON), abs=1e-4)
    assert found.camera == "Maker One"
    assert read_photo(path, short_side=100, content=given).size == (120, 160)


def test_a_large_preview_ends_the_search(tmp_path: Path) -> None:
    path = tmp_path / "a.nef"
    path.write_bytes(directory() + encoded(halves(1600, 1200)) + encoded(halves(3200, 2400)))
    assert read_photo(path).size == (1600, 1200)


def test_a_preview_across_two_blocks_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.arw"
    head = directory()
    for gap in range(-3, 2):
        padding = bytes(raw_photos._BLOCK - len(head) + gap)
        path.write_bytes(head + padding + encoded(halves(640, 480)))
        assert read_photo(path).size == (640, 480)


def test_the_content_counts_where_it_is_an_ordinary_picture(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(encoded(halves(64, 48)))
    (tmp_path / "b.dng").write_bytes(encoded(halves(64, 48), "PNG"))
    assert {read_photo(path).size for path in tmp_path.iterdir()} == {(64, 48)}


def without_preview(orientation: int = 1) -> bytes:
    """A whole DNG of 64 by 48 sensor values and no preview, red on the left."""
    values = np.full((48, 64), 1000, "<u2")
    values[0::2, 0:32:2] = 60_000  # RGGB
    values[1::2, 33::2] = 60_000
    body = values.tobytes()
    matrix = struct.pack("<18i", *(n for v in (1, 0, 0, 0, 1, 0, 0, 0, 1) for n in (v, 1)))
    start = 8
    extra = {50708: b"Test camera\0", 50721: matrix, 50728: struct.pack("<6I", *[1] * 6)}
    places, at = {}, start + len(body)
    for tag, content in extra.items():
        places[tag], at = at, at + len(content)
    entries = [
        (254, 4, 1, 0), (256, 4, 1, 64), (257, 4, 1, 48), (258, 3, 1, 16), (259, 3, 1, 1),
        (262, 3, 1, 32803), (273, 4, 1, start), (274, 3, 1, orientation), (277, 3, 1, 1),
        (278, 4, 1, 48), (279, 4, 1, len(body)), (33421, 3, 2, 2 | 2 << 16),
        (33422, 1, 4, 0x02010100), (50706, 1, 4, 0x0401), (50708, 2, 12, places[50708]),
        (50717, 4, 1, 65_535), (50721, 10, 9, places[50721]), (50728, 5, 3, places[50728]),
    ]  # fmt: skip
    table = struct.pack("<H", len(entries))
    table += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", at) + body + b"".join(extra.values()) + table


def test_without_a_preview_it_is_developed(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="the extra `raw` is not installed")
    for orientation, size in ((1, (32, 24)), (6, (24, 32))):
        path = tmp_path / f"{orientation}.dng"
        path.write_bytes(without_preview(orientation))
        picture = read_photo(path)
        assert picture.size == size
        first, last = np.asarray(picture)[6, 6], np.asarray(picture)[-6, -6]
        assert first[0] > 2 * first[2] and last[2] > 2 * last[0]


def test_without_a_preview_and_without_libraw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    path = tmp_path / "a.nef"
    path.write_bytes(directory() + SENSOR)
    with pytest.raises(PhotoError, match=r"RAW photo \(NEF\).*geoclip-gzsl\[raw\]") as caught:
        read_photo(path)
    assert caught.value.status == "unsupported"
    found = read_metadata(path)
    assert found.trusted_gps is not None
    assert found.gps.lat == pytest.approx(LAT, abs=1e-4)


@pytest.mark.parametrize("content", [b"II*\0", SENSOR, of_tiff()[:400], of_canon()[:200]])
def test_damaged_ones_are_one_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.cr2"
    path.write_bytes(content)
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    assert caught.value.status in {"unsupported", "truncated", "not a photo"}
    read_metadata(path)


def test_suffixes() -> None:
    assert {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".pef"} <= RAW_SUFFIXES


def jxl() -> bytes:
    tiff = exif().tobytes().removeprefix(b"Exif\0\0")
    head = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return head + box(b"Exif", bytes(4) + tiff) + box(b"jxlc", b"\xff\x0a" + SENSOR)


def test_jpeg_xl_is_named_and_has_its_position(tmp_path: Path) -> None:
    path = tmp_path / "a.jxl"
    path.write_bytes(jxl())
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    assert caught.value.status in {"unsupported", "truncated"}  # the latter with a plugin
    found = read_metadata(path)
    assert found.trusted_gps is not None


@pytest.mark.parametrize("suffix", ["jp2", "j2k", "jpx"])
def test_jpeg_2000(tmp_path: Path, suffix: str) -> None:
    stream = io.BytesIO()
    halves(64, 48).save(stream, "JPEG2000", no_jp2=suffix == "j2k")
    content = stream.getvalue()
    if suffix != "j2k":
        content += box(b"uuid", b"JpgTiffExif->JP2" + exif(6).tobytes().removeprefix(b"Exif\0\0"))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    assert list_photos(tmp_path) == [path]
    assert read_photo(path).size == ((64, 48) if suffix == "j2k" else (48, 64))
    assert (read_metadata(path).trusted_gps is None) == (suffix == "j2k")
