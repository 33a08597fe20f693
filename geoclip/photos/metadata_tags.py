"""The tags of a photo: EXIF directories, XMP positions, and their values.

Cameras write tags of every quality. Nothing here raises for a file's content: an unintelligible
value is NaN, None or "".
"""

import math
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD
from PIL.PngImagePlugin import PngImageFile

from geoclip.photos.xmp_tags import app1_segments, xmp_positions

Tags = dict[int, Any]

_DATE = re.compile(r"(\d{4})[:/-](\d{2})[:/-](\d{2})$")
_DATE_TIME = re.compile(r"(\d{4})[:/-](\d{2})[:/-](\d{2})[ T](\d{2}):(\d{2}):(\d{2})")
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})$")
_YEARS = range(1990, 2100)  # others are clocks that were never set, or damage

_EXIF = b"Exif\0\0"
_RAW_PROFILE = "Raw profile type exif"  # ImageMagick's
_PNG_XMP = b"XML:com.adobe.xmp\0"
_LARGEST_TEXT = 16_000_000  # bytes


def read_tags(image: Image.Image) -> tuple[Tags, ...]:
    """The main, the Exif and the GPS directory of an open photo; {} for absent ones.

    After them come the GPS directories of other EXIF segments, and positions of XMP packets in the
    same form.
    """
    late = _late_png_chunks(image)
    main, details, *stated = _directories(_exif(image, late))
    for segment in app1_segments(image, _EXIF)[1:]:
        more = _directories(_loaded(segment))
        main, details, stated = more[0] | main, more[1] | details, [*stated, more[2]]
    return main, details, *stated, *xmp_positions(image, _text_of(late.get(b"iTXt", b"")))


def _exif(image: Image.Image, late: dict[bytes, bytes]) -> Image.Exif:
    try:
        if isinstance(image, PngImageFile) and "exif" not in image.info:
            # Pillow would decode the whole picture to find it.
            if _RAW_PROFILE in image.info:
                return Image.Image.getexif(image)
            return _loaded(_EXIF + late[b"eXIf"]) if b"eXIf" in late else Image.Exif()
        return image.getexif()
    except Exception:  # directories of damaged files raise almost anything
        return Image.Exif()


def _loaded(content: bytes) -> Image.Exif:
    exif = Image.Exif()
    with suppress(Exception):
        exif.load(content)
    return exif


def _directories(exif: Image.Exif) -> tuple[Tags, Tags, Tags]:
    try:
        main = dict(exif)
    except Exception:
        main = {}
    return main, _directory(exif, IFD.Exif), _directory(exif, IFD.GPSInfo)


def _directory(exif: Image.Exif, tag: int) -> Tags:
    try:
        return dict(exif.get_ifd(tag))
    except Exception:
        return {}


def _late_png_chunks(image: Image.Image) -> dict[bytes, bytes]:
    """EXIF and XMP behind a PNG's pixels, found by walking the chunks."""
    if not isinstance(image, PngImageFile) or {"exif", _RAW_PROFILE} & image.info.keys():
        return {}
    found: dict[bytes, bytes] = {}
    file = image.fp
    if file is None or file.closed:
        return {}
    position = file.tell()
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind == b"IEND":
            break
        if kind == b"eXIf" or (kind == b"iTXt" and length < _LARGEST_TEXT):
            content = file.read(length)
            if kind == b"eXIf" or content.startswith(_PNG_XMP):
                found[kind] = content
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)
    file.seek(position)
    return found


def _text_of(chunk: bytes) -> bytes:
    """The text of an `iTXt` chunk of XMP, which may be compressed; b"" for damage."""
    content = chunk.removeprefix(_PNG_XMP)
    text = content[2:].split(b"\0", 2)[-1]  # after a language and a translated keyword
    try:
        return (
            zlib.decompressobj().decompress(text, _LARGEST_TEXT) if content[:1] == b"\1" else text
        )
    except zlib.error:
        return b""


def number(value: object) -> float:
    """A tag's value as a float; NaN for none (absent, text, a division by zero)."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 1:
        value = value[0]
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return math.nan


def degrees(value: object) -> float:
    """Degrees from (degrees, minutes, seconds); NaN for nonsense.

    Minutes and seconds that are absent or 0/0 count as 0: many cameras write decimal minutes.
    """
    parts = list(value) if isinstance(value, tuple | list) else [value]
    whole, *fractions = [number(part) for part in parts[:3]] or [math.nan]
    minutes, seconds = [0.0 if math.isnan(f) else f for f in [*fractions, 0.0, 0.0][:2]]
    if not (0 <= minutes <= 60 and 0 <= seconds <= 60):
        return math.nan
    return abs(whole) + minutes / 60 + seconds / 3600


def is_negative(value: object) -> bool:
    """Whether an angle in degrees, or degrees, minutes and seconds, has a minus sign."""
    parts = list(value) if isinstance(value, tuple | list) else [value]
    return bool(parts) and number(parts[0]) < 0


def text(value: object) -> str:
    """A tag's text without padding and control characters."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())[:100]


def date_time(value: object) -> datetime | None:
    """A tag's date and time without a zone; None from a clock that was never set."""
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
