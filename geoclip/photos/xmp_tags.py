"""Positions in XMP, in every form that programs write, as GPS directories of EXIF.

Packets are searched, not parsed: many are cut, mixed up or not well-formed XML. Namespace prefixes
are ignored, as they may be anything; the names are those of EXIF and DJI.
"""

import codecs
import re
from collections import defaultdict
from html import unescape
from itertools import chain
from typing import Any

from PIL import Image
from PIL.ExifTags import GPS

OWN_NAMESPACE = "urn:geoclip-gzsl:guess:1.0:"
"""Marks geoclip's own sidecars: a guess is not a photo's stated position."""

_STANDARD = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENSION_HEAD = len(_EXTENSION) + 32 + 4  # the digest and the full length, then the offset

# DJI: GpsLatitude, GpsLongitude and, as its drones misspell it, GpsLongtitude.
_PROPERTY = (
    r"(?i)<(?:[\w.-]+:)?{0}(?:\s[^<>]*)?>\s*(?:<rdf:[^<>]*>\s*)*(?P<text>[^<]*)"
    r"|\b{0}\s*=\s*(?P<quote>[\"'])(?P<value>.*?)(?P=quote)"
)
_NAMES: dict[int, str] = {
    GPS.GPSLatitude: "GPSLatitude",
    GPS.GPSLatitudeRef: "GPSLatitudeRef",
    GPS.GPSLongitude: "GPSLongt?itude",
    GPS.GPSLongitudeRef: "GPSLongitudeRef",
    GPS.GPSStatus: "GPSStatus",
    GPS.GPSDOP: "GPSDOP",
    GPS.GPSHPositioningError: "GPSHPositioningError",
    GPS.GPSTimeStamp: "GPSTimeStamp",  # date and time
}
_PROPERTIES = {tag: re.compile(_PROPERTY.format(name)) for tag, name in _NAMES.items()}
# The place shown, or described by a caption, is not the camera's place.
_OTHER_PLACE = re.compile(r"(?i)<(/?)(?:[\w.-]+:)?Location(?:Shown|Created)\b")
_EMPTY_ELEMENT = re.compile(r"[^<>]*/>")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:/\d+)?")
_HEMISPHERE = re.compile(r"(?i)(?<![a-z])([nsew])(?:orth|outh|ast|est)?(?![a-z])")
_TIME = re.compile(r"\s*(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d))?")


def xmp_positions(image: Image.Image, late_packet: bytes = b"") -> list[dict[int, Any]]:
    """The positions in the packets of an open photo, in their order.

    `late_packet` is one that Pillow has not reached yet.
    """
    standard = [part.removeprefix(_STANDARD) for part in app1_segments(image, _STANDARD)]
    if not standard:
        standard = [image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""]
    packets = chain(standard, [late_packet], _extended(image))
    return [position for packet in packets if (position := xmp_position(packet))]


def app1_segments(image: Image.Image, beginning: bytes) -> list[bytes]:
    """The APP1 segments of a JPEG with this beginning; none for other formats."""
    segments = getattr(image, "applist", [])
    return [part for name, part in segments if name == "APP1" and part.startswith(beginning)]


def _extended(image: Image.Image) -> list[bytes]:
    """Packets too large for one segment."""
    parts: dict[bytes, list[tuple[int, bytes]]] = defaultdict(list)
    for segment in app1_segments(image, _EXTENSION):
        digest = segment[len(_EXTENSION) : len(_EXTENSION) + 32]
        offset = int.from_bytes(segment[_EXTENSION_HEAD : _EXTENSION_HEAD + 4], "big")
        parts[digest].append((offset, segment[_EXTENSION_HEAD + 4 :]))
    return [b"".join(part for _, part in sorted(found)) for found in parts.values()]


def xmp_position(packet: object) -> dict[int, Any]:
    """The position in a packet as a GPS directory; {} for none or for geoclip's guess."""
    # Most packets have no position, and this test is ten times faster than the search.
    if isinstance(packet, bytes) and b"gpsl" not in packet.replace(b"\0", b"").lower():
        return {}
    text = _decoded(packet)
    if OWN_NAMESPACE in text:
        return {}
    text = _without_other_places(text)
    values = {tag: value for tag in _PROPERTIES if (value := _first(tag, text))}
    if GPS.GPSLatitude not in values or GPS.GPSLongitude not in values:
        return {}
    gps: dict[int, Any] = {k: values[k] for k in (GPS.GPSStatus,) if k in values}
    for tag in (GPS.GPSDOP, GPS.GPSHPositioningError):
        if found := _NUMBER.match(values.get(tag, "")):
            gps[tag] = _number(found[0])
    for tag, reference in ((GPS.GPSLatitude, "NS"), (GPS.GPSLongitude, "EW")):
        gps |= _angle(tag, values[tag], values.get(tag - 1, ""), reference)
    if time := _TIME.match(values.get(GPS.GPSTimeStamp, "")):
        gps[GPS.GPSDateStamp] = ":".join(time.groups()[:3])
        gps[GPS.GPSTimeStamp] = tuple(float(part or 0) for part in time.groups()[3:])
    return gps


def _without_other_places(text: str) -> str:
    first, *rest = _OTHER_PLACE.split(text)
    pieces = zip(rest[::2], rest[1::2], strict=True)
    return first + "".join(p for end, p in pieces if end or _EMPTY_ELEMENT.match(p))


def _decoded(packet: object) -> str:
    """A packet's text, UTF-8 or UTF-16, with or without a byte order mark."""
    if not isinstance(packet, bytes):
        return packet if isinstance(packet, str) else ""
    if packet.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return packet.decode("utf-16", "replace")
    head = packet[:64]
    if b"<\0" in head or b"\0<" in head:
        little = head.find(b"<\0") % 2 == 0
        return packet.decode("utf-16-le" if little else "utf-16-be", "replace")
    return packet.decode("utf-8", "replace")


def _first(tag: int, text: str) -> str:
    """The first non-empty value of a property; "" without one."""
    found = (match["text"] or match["value"] for match in _PROPERTIES[tag].finditer(text))
    return next((unescape(value).strip() for value in found if value and value.strip()), "")


def _angle(tag: int, written: str, reference: str, letters: str) -> dict[int, Any]:
    """An angle and its hemisphere: `28,11.07N`, `28 11 4.1 n`, `-14.16`, `14.16` and a `W` beside.

    One number without a letter is signed degrees; several without one state no hemisphere.
    """
    numbers = [_number(part) for part in _NUMBER.findall(unescape(written))]
    letter = _HEMISPHERE.search(written) or _HEMISPHERE.search(reference)
    hemisphere = letter[1].upper() if letter else ""
    if not hemisphere and len(numbers) == 1:
        hemisphere = letters[numbers[0] < 0]
        numbers = [abs(numbers[0])]
    return {tag: tuple(numbers[:3]), tag - 1: hemisphere}


def _number(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1) if float(below or 1) else float("nan")
