"""The tags of a photo: EXIF directories, GPS text of XMP, and the values in them.

Cameras write tags of every quality. Nothing here raises for what a file holds: a value that cannot
be understood is NaN, None or "".
"""

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from PIL import Image
from PIL.ExifTags import GPS, IFD
from PIL.PngImagePlugin import PngImageFile

Tags = dict[int, Any]

_DATE = re.compile(r"(\d{4})[:/-](\d{2})[:/-](\d{2})$")
_DATE_TIME = re.compile(r"(\d{4})[:/-](\d{2})[:/-](\d{2})[ T](\d{2}):(\d{2}):(\d{2})")
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})$")
_YEARS = range(1990, 2100)  # others are clocks that were never set, or damage

# As XMP writes it: 45,30.04N or 45,30,2N
_XMP_GPS = r'exif:GPS{0}\s*(?:=\s*["\']|>)\s*(\d+),(\d+(?:\.\d+)?)(?:,(\d+(?:\.\d+)?))?([{1}])'
_XMP_LATITUDE = re.compile(_XMP_GPS.format("Latitude", "NS"))
_XMP_LONGITUDE = re.compile(_XMP_GPS.format("Longitude", "EW"))


def read_tags(image: Image.Image) -> tuple[Tags, Tags, Tags]:
    """The main, the Exif and the GPS directory of an open photo; {} for what is not there."""
    exif = _exif(image)
    try:
        main = dict(exif)
    except Exception:  # directories of damaged files raise almost anything
        main = {}
    gps = _directory(exif, IFD.GPSInfo)
    # A version or a date alone is no position.
    if not {GPS.GPSLatitude, GPS.GPSLongitude} <= gps.keys():
        gps |= _xmp_gps(image)
    return main, _directory(exif, IFD.Exif), gps


def _exif(image: Image.Image) -> Image.Exif:
    try:
        if isinstance(image, PngImageFile) and "exif" not in image.info:
            # Pillow would decode the whole picture to find it.
            if "Raw profile type exif" in image.info:  # ImageMagick's
                return Image.Image.getexif(image)
            return _late_png_exif(image.fp)
        return image.getexif()
    except Exception:
        return Image.Exif()


def _directory(exif: Image.Exif, tag: int) -> Tags:
    try:
        return dict(exif.get_ifd(tag))
    except Exception:
        return {}


def _late_png_exif(file: Any) -> Image.Exif:
    """EXIF that stands behind a PNG's pixels, found by going from chunk to chunk."""
    exif = Image.Exif()
    position = file.tell()
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind == b"eXIf":
            exif.load(b"Exif\0\0" + file.read(length))
        if kind in (b"eXIf", b"IEND"):
            break
        file.seek(length + 4, 1)
    file.seek(position)
    return exif


def _xmp_gps(image: Image.Image) -> Tags:
    """Latitude and longitude of an XMP packet, in the form of a GPS directory."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or ""
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)
    latitude, longitude = _XMP_LATITUDE.search(text), _XMP_LONGITUDE.search(text)
    if not latitude or not longitude:
        return {}
    return {
        GPS.GPSLatitudeRef: latitude[4],
        GPS.GPSLatitude: _dms(latitude),
        GPS.GPSLongitudeRef: longitude[4],
        GPS.GPSLongitude: _dms(longitude),
    }


def _dms(match: re.Match[str]) -> tuple[float, ...]:
    """Degrees, minutes and seconds, 0 where they are not written."""
    return tuple(float(part or 0) for part in match.groups()[:3])


def number(value: object) -> float:
    """A tag's value as a float; NaN where it is none (absent, text, a division by zero)."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 1:
        value = value[0]
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return math.nan


def degrees(value: object) -> float:
    """Degrees from (degrees, minutes, seconds); NaN where they make no sense.

    Minutes and seconds that are absent or 0/0 count as 0: many cameras write decimal minutes.
    """
    parts = list(value) if isinstance(value, tuple | list) else [value]
    whole, *fractions = [number(part) for part in parts[:3]] or [math.nan]
    minutes, seconds = [0.0 if math.isnan(f) else f for f in [*fractions, 0.0, 0.0][:2]]
    if not (0 <= minutes <= 60 and 0 <= seconds <= 60):
        return math.nan
    return abs(whole) + minutes / 60 + seconds / 3600


def text(value: object) -> str:
    """A tag's text without padding and control characters."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())[:100]


def date_time(value: object) -> datetime | None:
    """A tag's date and time without a zone; None where a camera's clock was not set."""
    match = _DATE_TIME.match(text(value))
    return _plausible(match.groups()) if match else None


def gps_time(date: object, time: object) -> datetime | None:
    """The time of a fix (UTC); noon where only its date is known."""
    match = _DATE.match(text(date))
    if not match:
        return None
    noon = _plausible([*match.groups(), "12"])
    parts = list(time) if isinstance(time, tuple | list) else []
    hours, minutes, seconds = ([number(part) for part in parts] + [math.nan] * 3)[:3]
    if noon is None or not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds <= 60):
        return noon
    return noon + timedelta(hours=hours - 12, minutes=minutes, seconds=seconds)


def utc_offset(value: object) -> timedelta | None:
    """`+05:30` as a timedelta."""
    match = _OFFSET.match(text(value))
    if not match or int(match[2]) > 14:
        return None
    size = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return size if match[1] == "+" else -size


def _plausible(parts: Sequence[str]) -> datetime | None:
    try:
        when = datetime(*(int(part) for part in parts))  # type: ignore[arg-type]
    except ValueError:
        return None
    return when if when.year in _YEARS else None
