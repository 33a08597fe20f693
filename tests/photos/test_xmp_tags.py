"""Positions in XMP in every form that programs write."""

import struct
import zlib
from pathlib import Path

import pytest
from gps_files import (
    CANARIES,
    HEAD,
    SYDNEY,
    app1,
    exif_of,
    packet,
    photo,
    position,
    with_segments,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geoclip.photos.gps_fix import GpsFix, fix_of_tags
from geoclip.photos.metadata import read_metadata
from geoclip.photos.xmp_tags import OWN_NAMESPACE, xmp_position

STANDARD = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"


def fix_in(content: object) -> GpsFix | None:
    return fix_of_tags(xmp_position(content), None, None)


def assert_canaries(fix: GpsFix | None) -> None:
    assert fix is not None
    assert (fix.lat, fix.lon) == pytest.approx(CANARIES, abs=2e-5)
    assert fix.trustworthy, fix.reason


VALUES = [
    position(),
    position("28,11,4.12N", "14,9,38.41W"),
    position("28.184478", "14.160669", GPSLongitudeRef="W", GPSLatitudeRef="N"),
    position("28.184478", "14.160669", GPSLatitudeRef="North", GPSLongitudeRef="West"),
    position("28.184478", "-14.160669"),
    position("+28.184478", "-14.160669", GPSLongitudeRef="W", GPSLatitudeRef="N"),
    position(" 28, 11.0687 N ", " 14, 9.6402 W"),
    position("28,11.0687n", "14,9.6402w"),
    position("28.184478N", "14.160669W"),
    position("N28.184478", "W14.160669"),
    position("28 11 4.12 N", "14 9 38.41 W"),
    position("28 deg 11' 4.12&quot; N", "14 deg 9' 38.41&quot; W"),
    position("28°11'4.12N", "14°9'38.41W"),
    position("28/1,110687/10000,0/1N", "14/1,96402/10000,0/1W"),
    position(GPSStatus="A", GPSDOP="3/1", GPSHPositioningError="12"),
]


@pytest.mark.parametrize("form", ["attributes", "elements"])
@pytest.mark.parametrize("prefix", ["exif", "ns1", "a.b-c"])
@pytest.mark.parametrize("values", VALUES)
def test_every_way_to_write_a_position(values: dict[str, str], prefix: str, form: str) -> None:
    assert_canaries(fix_in(packet(values, prefix, form)))


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("head", [HEAD, "", "\n  "])
def test_every_coding(coding: str, head: str) -> None:
    text = head + packet(position()).removeprefix(HEAD)
    assert_canaries(fix_in(text.encode(coding)))


@pytest.mark.parametrize(
    "body",
    [
        '<exif:gpslatitude>28,11.0687N</exif:gpslatitude><exif:gpslongitude x="">14,9.6402W<',
        "<GPSLatitude xmlns='u'>28,11.0687N</GPSLatitude><GPSLongitude>14,9.6402W</GPSLongitude>",
        "exif:GPSLatitude='28,11.0687N' exif:GPSLongitude = '14,9.6402W'",
        "<e:GPSLatitude><rdf:Description><rdf:value>28,11.0687N</rdf:value></rdf:Description>"
        "</e:GPSLatitude><e:GPSLongitude rdf:parseType='Resource'><rdf:value>14,9.6402W<",
        'drone-dji:GpsLatitude="+28.184478" drone-dji:GpsLongtitude="-14.160669"',
        'drone-dji:GpsLatitude="28.184478" drone-dji:GpsLongitude="-14.160669"',
        "<e:GPSLatitude/><e:GPSLatitude>28,11.0687N</e:GPSLatitude> e:GPSLongitude='14,9.6402W'",
        "<i:LocationShown><rdf:Bag><rdf:li e:GPSLatitude='1,2N' e:GPSLongitude='3,4E'/></rdf:Bag>"
        "</i:LocationShown>\n<e:x e:GPSLatitude='28,11.0687N' e:GPSLongitude='14,9.6402W'/>",
        "<i:LocationShown a='b'/><e:x e:GPSLatitude='28,11.0687N' e:GPSLongitude='14,9.6402W'/>"
        "<i:LocationCreated><e:GPSLatitude>1,2N</e:GPSLatitude></i:LocationCreated>",
    ],
)
def test_forms_of_markup(body: str) -> None:
    assert_canaries(fix_in(f"<x>{body}"))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (position("-28.18", "14.16", GPSLatitudeRef="N", GPSLongitudeRef="W"), "contradicts"),
        (position("28.18N", "-14,9.64E"), "contradicts"),
        (position("28,11.07", "14,9.64"), "hemisphere"),
        (position("0,0.0N", "0,0.0E"), "0,0"),
        (position("98.5", "14.1"), "out of range"),
        (position("28,99.07N", "14,9.64W"), "incomplete"),
        (position("north", "14,9.64W"), "incomplete"),
        (position(GPSStatus="V"), "no valid fix"),
        (position(GPSHPositioningError="50000"), "vague"),
    ],
)
def test_what_is_not_trustworthy(values: dict[str, str], reason: str) -> None:
    fix = fix_in(packet(values))
    assert fix is not None
    assert not fix.trustworthy
    assert reason in fix.reason


@pytest.mark.parametrize("found", [packet({"GPSLatitude": "1,2N"}), "", b"\0<\xff", None, 5])
def test_no_position(found: object) -> None:
    assert fix_in(found) is None


def test_a_guess_of_this_program_is_none() -> None:
    own = packet(position()).replace("xmlns:exif", f"xmlns:g='{OWN_NAMESPACE}' xmlns:exif")
    assert fix_in(own) is None


@given(st.text() | st.binary(), st.text(alphabet="0123456789,./-+ NSEWnsew°'\"&"))
def test_any_packet_is_read(content: object, value: str) -> None:
    fix_in(content)
    found = fix_in(packet(position(value.replace('"', ""), value.replace('"', ""))))
    assert found is None or not found.trustworthy or abs(found.lat) <= 90


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
def test_xmp_of_every_format(tmp_path: Path, suffix: str, coding: str) -> None:
    content = packet(position()).encode(coding)
    if suffix == "png":  # Pillow writes none
        chunk = b"iTXt" + b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(content)
        path = photo(tmp_path / "a.png")
        whole = path.read_bytes()
        late = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(whole[:-12] + late + whole[-12:])
    elif suffix == "tif":
        path = tmp_path / "a.tif"
        Image.new("RGB", (8, 8)).save(path, tiffinfo={700: content})
    else:
        path = photo(tmp_path / f"a.{suffix}", xmp=content)
    assert_canaries(read_metadata(path).gps)


def test_xmp_of_a_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (32, 32)))))
        container.mux(stream.encode())
    box = b"uuid" + bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + packet(position()).encode()
    path.write_bytes(path.read_bytes() + (len(box) + 4).to_bytes(4, "big") + box)
    assert_canaries(read_metadata(path).gps)


def test_extended_xmp(tmp_path: Path) -> None:
    """A packet over 64 kB, in parts that stand in any order."""
    whole = packet(position() | {"Filler": "x" * 100_000}).encode()
    parts = [(at, whole[at : at + 40_000]) for at in range(0, len(whole), 40_000)]
    size = len(whole).to_bytes(4, "big")
    segments = [
        EXTENSION + b"A" * 32 + size + at.to_bytes(4, "big") + part for at, part in parts[::-1]
    ]
    main = STANDARD + packet({"HasExtendedXMP": "A" * 32}).encode()
    assert_canaries(read_metadata(with_segments(photo(tmp_path / "a.jpg"), main, *segments)).gps)


@pytest.mark.parametrize(
    "unusable",
    [
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (4.0, 0.0, 0.0)},
        {2: (28.0, 11.0, 4.12), 4: (14.0, 9.0, 38.41)},
    ],
)
def test_xmp_counts_where_exif_is_unusable(tmp_path: Path, unusable: dict[int, object]) -> None:
    path = photo(tmp_path / "a.jpg", exif_of(unusable), packet(position()).encode())
    assert_canaries(read_metadata(path).gps)


@pytest.mark.parametrize(("sign", "reference"), [(-1, "N"), (-1, "S"), (1, "S")])
def test_signed_degrees_of_exif(tmp_path: Path, sign: int, reference: str) -> None:
    """Some programs write signed numbers, which a hemisphere may contradict."""
    exif = exif_of({1: reference, 2: (38.0, 1.0, 31.0), 3: "E", 4: (145.0, 17.0, 20.0)}).tobytes()
    unsigned, signed = struct.pack(">2HL", 2, 5, 3), struct.pack(">2HL", 2, 10, 3)
    before, _, behind = exif.replace(unsigned, signed).rpartition(struct.pack(">2L", 38, 1))
    exif = before + struct.pack(">2l", sign * 38, 1) + behind
    path = with_segments(photo(tmp_path / "a.jpg"), exif)
    fix = read_metadata(path).gps
    assert fix is not None
    if reference == "S":
        assert (fix.lat, fix.lon) == pytest.approx((-38.02528, 145.28889), abs=1e-5)
        assert fix.trustworthy
    else:
        assert fix.reason == "the sign of the position contradicts its hemisphere"
        with_segments(path, STANDARD + packet(position()).encode())
        assert_canaries(read_metadata(path).gps)


def test_exif_counts_before_xmp(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", exif_of(SYDNEY), packet(position()).encode())
    fix = read_metadata(path).gps
    assert fix is not None
    assert (fix.lat, fix.lon) == pytest.approx((-33.85681, 151.21514))


def test_a_copy_of_a_void_fix_is_no_better(tmp_path: Path) -> None:
    void = exif_of(SYDNEY | {9: "V"})
    copied = packet(position("33,51.4086S", "151,12.9084E")).encode()
    fix = read_metadata(photo(tmp_path / "a.jpg", void, copied)).gps
    assert fix is not None
    assert fix.reason == "the receiver had no valid fix"
    assert_canaries(read_metadata(photo(tmp_path / "b.jpg", void, packet(position()).encode())).gps)


@pytest.mark.parametrize("first", ["make", "nothing", "damaged"])
def test_a_second_exif_segment(tmp_path: Path, first: str) -> None:
    segments = {
        "make": exif_of(model="A").tobytes(),
        "nothing": b"Exif\0\0",
        "damaged": b"Exif\0\0II*\0\xff\xff\xff\xff",
    }
    second = exif_of(SYDNEY, taken="2019:05:19 12:40:50").tobytes()
    found = read_metadata(with_segments(photo(tmp_path / "a.jpg"), segments[first], second))
    assert found.gps is not None
    assert (found.gps.lat, found.gps.lon) == pytest.approx((-33.85681, 151.21514))
    assert found.gps.trustworthy
    assert found.taken is not None
    assert found.camera == ("A" if first == "make" else "")


def test_segments_are_no_larger_than_a_jpeg_takes() -> None:
    assert app1(b"ab") == b"\xff\xe1\0\4ab"
