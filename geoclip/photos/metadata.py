"""What a camera wrote beside a photo or video: where, when and with what it was taken."""

import math
import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from PIL import Image
from PIL.ExifTags import GPS, Base

from geoclip.errors import PhotoError
from geoclip.photos.decoding import open_photo
from geoclip.photos.metadata_tags import (
    Tags,
    date_time,
    degrees,
    gps_time,
    number,
    read_tags,
    text,
    utc_offset,
)
from geoclip.photos.videos import is_video, read_container_tags

STALE_AFTER = timedelta(days=1)
UNKNOWN_ZONE = timedelta(hours=14)  # the largest offset from UTC in use
MAX_DOP = 100.0  # phones that write metres instead stay below it in the open
MAX_ERROR_M = 10_000.0
NULL_ISLAND = 0.001  # degrees
ROLLOVER = timedelta(weeks=1024)  # old receivers count weeks in ten bits: the place is still right


@dataclass(frozen=True)
class GpsFix:
    """Stated position in degrees; NaN where it cannot be read.

    `reason` says in a few words why it is not trustworthy, "" where it is.
    """

    lat: float
    lon: float
    trustworthy: bool
    reason: str


@dataclass(frozen=True)
class PhotoMetadata:
    """The circumstances of a photo.

    `taken` has no zone: the camera's own clock, or UTC where `utc_offset` is zero. `utc_offset`
    is what to subtract for UTC, None where the camera does not say.
    """

    gps: GpsFix | None
    taken: datetime | None
    camera: str
    utc_offset: timedelta | None = None

    @property
    def trusted_gps(self) -> GpsFix | None:
        """The stated position, if it can be relied upon."""
        return self.gps if self.gps is not None and self.gps.trustworthy else None


NOTHING = PhotoMetadata(None, None, "")


def read_metadata(path: str | os.PathLike[str], content: bytes | None = None) -> PhotoMetadata:
    """Read position, time and camera; `NOTHING` where there is none or the file is unreadable.

    EXIF of JPEG, HEIC, AVIF, PNG, WebP and TIFF, GPS in XMP where EXIF has none, and the position
    in QuickTime and MP4 videos. A position is not trustworthy when it is at 0,0, out of range or
    incomplete, when the receiver called it void, vague (dilution of precision over `MAX_DOP`,
    error over `MAX_ERROR_M`), or when its date and the photo's are more than a day and an unknown
    time zone apart. No pixel is decoded and nothing is raised. With `content` (the bytes of a photo
    kept elsewhere) `path` is only its name.
    """
    try:
        if is_video(path):
            return video_metadata(read_container_tags(path))
        with open_photo(path, content) as image:
            return photo_metadata(image)
    except PhotoError:
        return NOTHING


def photo_metadata(image: Image.Image) -> PhotoMetadata:
    """The metadata of an open photo; see `read_metadata`."""
    return _of_tags(*read_tags(image))


def _of_tags(main: Tags, exif: Tags, gps: Tags) -> PhotoMetadata:
    taken = date_time(exif.get(Base.DateTimeOriginal)) or date_time(
        exif.get(Base.DateTimeDigitized)
    )
    zone = exif.get(Base.OffsetTimeOriginal) or exif.get(Base.OffsetTimeDigitized)
    offset = utc_offset(zone) if taken else None
    fix = _fix(gps, taken, offset)
    camera = _camera(text(main.get(Base.Make)), text(main.get(Base.Model)))
    if taken is None:
        taken = gps_time(gps.get(GPS.GPSDateStamp), gps.get(GPS.GPSTimeStamp))
        offset = timedelta(0) if taken else None
    return PhotoMetadata(fix, taken, camera, offset)


def _camera(make: str, model: str) -> str:
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()


def _fix(gps: Tags, taken: datetime | None, offset: timedelta | None) -> GpsFix | None:
    if GPS.GPSLatitude not in gps and GPS.GPSLongitude not in gps:
        return None
    lat, lon = degrees(gps.get(GPS.GPSLatitude)), degrees(gps.get(GPS.GPSLongitude))
    north = text(gps.get(GPS.GPSLatitudeRef)).upper()[:1]
    east = text(gps.get(GPS.GPSLongitudeRef)).upper()[:1]
    lat, lon = -lat if north == "S" else lat, -lon if east == "W" else lon
    reason = _position_problem(lat, lon)
    if not reason and (north not in {"N", "S"} or east not in {"E", "W"}):
        reason = "the hemisphere is not stated"
    reason = reason or _quality_problem(gps) or _staleness(gps, taken, offset)
    return GpsFix(lat, lon, not reason, reason)


def _position_problem(lat: float, lon: float) -> str:
    if not (math.isfinite(lat) and math.isfinite(lon)):
        return "the position is incomplete"
    if abs(lat) > 90 or abs(lon) > 180:
        return "the position is out of range"
    if abs(lat) < NULL_ISLAND and abs(lon) < NULL_ISLAND:
        return "the position is 0,0"
    return ""


def _quality_problem(gps: Tags) -> str:
    if text(gps.get(GPS.GPSStatus)).upper()[:1] == "V":
        return "the receiver had no valid fix"
    error_m = number(gps.get(GPS.GPSHPositioningError))
    if number(gps.get(GPS.GPSDOP)) > MAX_DOP or error_m > MAX_ERROR_M:
        return "the receiver calls the position vague"
    return ""


def _staleness(gps: Tags, taken: datetime | None, offset: timedelta | None) -> str:
    """Compare the time of the fix, UTC, with the camera's clock."""
    fixed = gps_time(gps.get(GPS.GPSDateStamp), gps.get(GPS.GPSTimeStamp))
    if fixed is None or taken is None:
        return ""
    limit = STALE_AFTER + (UNKNOWN_ZONE if offset is None else timedelta(0))
    apart = abs(taken - (offset or timedelta(0)) - fixed)
    rolled = min(abs(apart - n * ROLLOVER) for n in range(3))
    if rolled <= limit:
        return ""
    return f"the fix is {apart.total_seconds() / 86400:.1f} days from the photo's time"


# ISO 6709: +DD.DDDD+DDD.DDDD, +DDMM.MM+DDDMM.MM or +DDMMSS.S+DDDMMSS.S, then height and "/"
_ISO_6709 = re.compile(r"([+-])(\d{2,6}(?:\.\d+)?)([+-])(\d{3,7}(?:\.\d+)?)(?:[+-/]|CRS|$)")
_ZONE = re.compile(r":\d{2}(?:\.\d+)? ?([+-]\d{2}:?\d{2})$")  # Apple's has no colon
_LOCATIONS = ("com.apple.quicktime.location.iso6709", "location", "location-eng")
_TIMES = ("com.apple.quicktime.creationdate", "creation_time", "date")
_MAKES = ("com.apple.quicktime.make", "com.android.manufacturer", "make")
_MODELS = ("com.apple.quicktime.model", "com.android.model", "model")


def video_metadata(tags: dict[str, str]) -> PhotoMetadata:
    """The metadata of a video from the texts in its header; see `read_metadata`."""

    def first(names: tuple[str, ...]) -> str:
        return next((text(tags[name]) for name in names if tags.get(name)), "")

    when = first(_TIMES)
    taken = date_time(when)
    zone = _ZONE.search(when)
    offset = timedelta(0) if when.endswith("Z") else utc_offset(zone and zone[1])
    camera = _camera(first(_MAKES), first(_MODELS))
    return PhotoMetadata(_video_fix(first(_LOCATIONS)), taken, camera, offset if taken else None)


def _video_fix(location: str) -> GpsFix | None:
    if not location:
        return None
    match = _ISO_6709.match(location)
    lat = _signed(match[1], match[2], 2) if match else math.nan
    lon = _signed(match[3], match[4], 3) if match else math.nan
    reason = _position_problem(lat, lon)
    return GpsFix(lat, lon, not reason, reason)


def _signed(sign: str, digits: str, width: int) -> float:
    """Degrees from the digits of ISO 6709, `width` of which are whole degrees."""
    whole = len(digits.split(".", maxsplit=1)[0]) - width
    if whole not in {0, 2, 4}:
        return math.nan
    if whole == 0:
        parts = [float(digits)]
    elif whole == 2:
        parts = [float(digits[:width]), float(digits[width:])]
    else:
        parts = [
            float(digits[:width]),
            float(digits[width : width + 2]),
            float(digits[width + 2 :]),
        ]
    value = degrees(parts)
    return -value if sign == "-" else value
