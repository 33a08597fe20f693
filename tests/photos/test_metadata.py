"""Position, time and camera of a photo, and trustworthy positions."""

import csv
import math
import struct
import warnings
import zlib
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from geoclip.photos import metadata, metadata_tags
from geoclip.photos.metadata import NOTHING, GpsFix, read_metadata

LYON: dict[int, Any] = {1: "N", 2: (45.0, 45.0, 36.0), 3: "E", 4: (4.0, 50.0, 24.0)}
TAKEN = "2023:05:01 12:00:00"


def exif_of(
    gps: dict[int, Any] | None = None, taken: str | None = TAKEN, **tags: str
) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = tags.get("make", "Nikon"), tags.get("model", "Z 6")
    details = exif.get_ifd(0x8769)
    if taken:
        details[0x9003] = taken
    if "offset" in tags:
        details[0x9011] = tags["offset"]
    exif.get_ifd(0x8825).update(LYON if gps is None else gps)
    return exif


def photo(folder: Path, *args: Any, suffix: str = "jpg", **tags: Any) -> Path:
    path = folder / f"photo.{suffix}"
    exif = exif_of(*args, **tags)
    if suffix == "heic":
        pillow_heif.register_heif_opener()
    Image.new("RGB", (64, 48)).save(path, exif=exif.tobytes())
    return path


def fix_of(path: Path) -> GpsFix:
    fix = read_metadata(path).gps
    assert fix is not None
    assert fix.trustworthy == (fix.reason == "")
    return fix


def test_camera_files_equal_the_table(shared_data: Path) -> None:
    with (shared_data / "exif_photos.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 21
    for row in rows:
        fix = fix_of(shared_data / row["path"])
        assert fix.trustworthy, row["path"]
        assert fix.lat == pytest.approx(float(row["lat"]), abs=1e-5), row["path"]
        assert fix.lon == pytest.approx(float(row["lon"]), abs=1e-5), row["path"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif", "heic"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    try:
        path = photo(tmp_path, suffix=suffix, offset="+02:00")
    except (KeyError, OSError, RuntimeError) as problem:
        pytest.skip(f"{suffix} cannot be written here ({problem})")
    found = read_metadata(path)
    assert found.gps is not None
    assert found.gps.trustworthy
    assert (found.gps.lat, found.gps.lon) == pytest.approx((45.76, 4.84))
    assert found.taken == datetime(2023, 5, 1, 12)
    assert found.utc_offset == timedelta(hours=2)
    assert found.camera == "Nikon Z 6"


def test_exif_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    body = exif_of().tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + body))
    path = tmp_path / "late.png"
    Image.new("RGB", (64, 48)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-12] + chunk + whole[-12:])
    assert fix_of(path).lat == pytest.approx(45.76)


@pytest.mark.parametrize("form", ['exif:GPS{}="{}"', "<exif:GPS{}>{}</exif:GPS>"])
def test_gps_in_xmp(tmp_path: Path, form: str) -> None:
    texts = form.format("Latitude", "33,51.25S") + "\n" + form.format("Longitude", "151,12,36E")
    Image.new("RGB", (8, 8)).save(tmp_path / "xmp.webp", xmp=f"<x>{texts}</x>".encode())
    fix = fix_of(tmp_path / "xmp.webp")
    assert (fix.lat, fix.lon) == pytest.approx((-33 - 51.25 / 60, 151.21))
    assert fix.trustworthy


def test_gps_in_xmp_beside_a_gps_directory_without_a_position(tmp_path: Path) -> None:
    path = tmp_path / "version_only.jpg"
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[0] = b"\2\3\0\0"
    packet = '<x exif:GPSLatitude="48,51.5N" exif:GPSLongitude="2,21.1E"/>'
    Image.new("RGB", (8, 8)).save(path, exif=exif, xmp=packet.encode())
    found = read_metadata(path).gps
    assert found is not None
    assert (found.lat, found.lon) == pytest.approx((48.8583, 2.3517), abs=1e-3)


def test_exif_as_imagemagick_writes_it_into_a_png(tmp_path: Path) -> None:
    exif = Image.Exif()
    position = {1: "N", 2: (45.0, 45.0, 0.0), 3: "E", 4: (4.0, 51.0, 0.0)}
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(position)
    content = exif.tobytes()
    text = f"\nexif\n{len(content):8}\n" + content.hex() + "\n"
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", text)
    path = tmp_path / "magick.png"
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    found = read_metadata(path).gps
    assert found is not None
    assert (found.lat, found.lon) == pytest.approx((45.75, 4.85), abs=1e-3)


def test_hemispheres(tmp_path: Path) -> None:
    for south, west in (("N", "E"), ("S", "W"), ("s", "w")):
        fix = fix_of(photo(tmp_path, LYON | {1: south, 3: west}))
        sign = 1 if south == "N" else -1
        assert (fix.lat, fix.lon) == pytest.approx((sign * 45.76, sign * 4.84))
        assert fix.trustworthy


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}, "0,0"),
        ({2: (91.0, 0.0, 0.0)}, "out of range"),
        ({4: (181.0, 0.0, 0.0)}, "out of range"),
        ({2: (45.0, 99.0, 0.0)}, "incomplete"),
        ({2: (Fraction(0), Fraction(0), Fraction(0)), 4: None}, "incomplete"),
        ({1: None}, "hemisphere"),
        ({9: "V"}, "no valid fix"),
        ({11: 500.0}, "vague"),
        ({31: 50_000.0}, "vague"),
        ({29: "2023:04:01", 7: (12.0, 0.0, 0.0)}, "30.0 days"),
        ({29: "2023:05:03", 7: (3.0, 0.0, 0.0)}, "days from the photo's time"),
    ],
)
def test_what_is_not_trustworthy(tmp_path: Path, changes: dict[int, Any], reason: str) -> None:
    gps = {tag: value for tag, value in (LYON | changes).items() if value is not None}
    fix = fix_of(photo(tmp_path, gps))
    assert not fix.trustworthy
    assert reason in fix.reason


@pytest.mark.parametrize(
    "changes",
    [
        {9: "A", 10: "3", 11: 44.0},
        {29: "2023:05:02", 7: (23.0, 0.0, 0.0)},  # a day late, and a zone may be added
        {29: "2023:05:01"},
        {29: "0000:00:00", 7: (0.0, 0.0, 0.0)},
        {29: "2023:05:122"},
        {29: "2003:09:15", 7: (12.0, 0.0, 0.0)},  # 1024 weeks earlier
        {7: (99.0, 0.0, 0.0)},
    ],
)
def test_what_is_trustworthy(tmp_path: Path, changes: dict[int, Any]) -> None:
    assert fix_of(photo(tmp_path, LYON | changes)).trustworthy


def test_a_known_zone_narrows_the_limit(tmp_path: Path) -> None:
    gps = LYON | {29: "2023:05:02", 7: (23.0, 0.0, 0.0)}
    assert not fix_of(photo(tmp_path, gps, offset="+02:00")).trustworthy
    assert fix_of(photo(tmp_path, gps, offset="-12:00")).trustworthy


def test_a_year_at_the_end_of_time_is_no_date(tmp_path: Path) -> None:
    gps = LYON | {29: "2023:05:01", 7: (9.0, 30.0, 15.0)}
    found = read_metadata(photo(tmp_path, gps, "9999:12:31 23:59:59", offset="-05:00"))
    assert found.taken == datetime(2023, 5, 1, 9, 30, 15)


@pytest.mark.parametrize(
    ("written", "hours"),
    [
        ("2017-05-22T12:57:47+0200", 2.0),
        ("2017-05-22T12:57:47-03:30", -3.5),
        ("2017-05-22T12:57:47.000000Z", 0.0),
        ("2017-05-22 12:57:47", None),
        ("2017-05-22", None),
    ],
)
def test_zones_of_videos(written: str, hours: float | None) -> None:
    found = metadata.video_metadata({"com.apple.quicktime.creationdate": written})
    offset = found.utc_offset
    assert (None if offset is None else offset.total_seconds() / 3600) == hours


def test_without_a_clock_the_receivers_time_is_taken(tmp_path: Path) -> None:
    gps = LYON | {29: "2023:05:01", 7: (9.0, 30.0, 15.0)}
    for unset in (None, "0000:00:00 00:00:00", "1980:01:01 00:00:00", "    :  :     :  :  "):
        found = read_metadata(photo(tmp_path, gps, unset))
        assert found.taken == datetime(2023, 5, 1, 9, 30, 15)
        assert found.utc_offset == timedelta(0)
    assert read_metadata(photo(tmp_path, LYON, None)).taken is None


def test_cameras(tmp_path: Path) -> None:
    for make, model, camera in (
        ("HTC", "HTC Desire", "HTC Desire"),
        ("Apple\0\0", " iPhone 6 ", "Apple iPhone 6"),
        ("<b>", "a\nb", "<b> a b"),
    ):
        assert read_metadata(photo(tmp_path, make=make, model=model)).camera == camera


def test_files_without_anything(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("bare.jpg", "text.jpg", "absent.jpg", "absent.mp4"):
        assert read_metadata(tmp_path / name) == NOTHING
    assert read_metadata(tmp_path) == NOTHING


def test_no_pixel_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = photo(tmp_path, suffix="png")
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", refuse)
    assert fix_of(path).trustworthy
    assert read_metadata(tmp_path / "bare.png") == NOTHING


@given(st.binary(max_size=400))
def test_any_bytes_as_exif(content: bytes) -> None:
    image = Image.new("RGB", (2, 2))
    image.info["exif"] = b"Exif\0\0II*\0\x08\0\0\0" + content
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main, exif, gps = metadata_tags.read_tags(image)
    found = metadata._of_tags(main, exif, gps)
    assert isinstance(found.camera, str)


values = st.one_of(
    st.none(), st.text(), st.binary(), st.floats(), st.integers(), st.tuples(st.floats()),
    st.tuples(st.floats(), st.floats(), st.floats(), st.floats()),
    st.just((IFDRational(1, 0), IFDRational(0, 0), IFDRational(1, 3))),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([1, 2, 3, 4, 7, 9, 11, 29, 31]), values), values, values)
def test_any_values_of_tags(gps: dict[int, Any], taken: object, make: object) -> None:
    found = metadata._of_tags({0x010F: make}, {0x9003: taken, 0x9011: taken}, gps)
    if found.gps is not None and found.gps.trustworthy:
        assert abs(found.gps.lat) <= 90
        assert abs(found.gps.lon) <= 180


@given(st.floats(0, 90))
def test_degrees_of_every_way_to_write_them(angle: float) -> None:
    whole, minutes = int(angle), angle % 1 * 60
    seconds = minutes % 1 * 60
    for parts in ((angle,), (whole, minutes), (whole, int(minutes), seconds), (whole, minutes, 0)):
        assert metadata_tags.degrees(parts) == pytest.approx(angle, abs=1e-9)
    assert metadata_tags.degrees((whole, minutes, IFDRational(0, 0))) == pytest.approx(angle)
    assert math.isnan(metadata_tags.degrees((IFDRational(0, 0), 1, 1)))
    assert math.isnan(metadata_tags.degrees(()))


@pytest.mark.parametrize(
    ("text", "lat", "lon"),
    [
        ("+45.7600+004.8400/", 45.76, 4.84),
        ("-33.8541+151.2100+012.300/", -33.8541, 151.21),
        ("+4545.6+00450.4/", 45.76, 4.84),
        ("-454536-0045024/", -45.76, -4.84),
        ("+37.3-122.0", 37.3, -122.0),
        ("+5.76-4.84/", 5.76, -4.84),
        ("+45.7600+4.8400+120.5/", 45.76, 4.84),
        ("-545.6+450.4/", -5.76, 4.84),
        ("+454536.5+45024.5/", 45.760139, 4.840139),
    ],
)
def test_positions_of_videos(text: str, lat: float, lon: float) -> None:
    fix = metadata._video_fix(text)
    assert fix is not None
    assert (fix.lat, fix.lon) == pytest.approx((lat, lon))
    assert fix.trustworthy


@pytest.mark.parametrize(
    "text", ["+00.0000+000.0000/", "+95.0+004.0/", "nonsense", "+4+5/", "+45.5+12345.5/", "+45+4/"]
)
def test_wrong_positions_of_videos(text: str) -> None:
    fix = metadata._video_fix(text)
    assert fix is not None
    assert not fix.trustworthy
