"""A camera's notes in or beside a photo or video: place, time and camera."""

import math
import os
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain

from PIL import Image
from PIL.ExifTags import GPS, Base

from geoclip.errors import PhotoError
from geoclip.photos.beside import fixes_beside
from geoclip.photos.decoding import open_photo
from geoclip.photos.gps_fix import GpsFix, best_fix, fix_at, fix_of_tags
from geoclip.photos.metadata_tags import (
    Tags,
    date_time,
    degrees,
    gps_time,
    read_tags,
    text,
    utc_offset,
)
from geoclip.photos.videos import is_video, read_container_tags
from geoclip.photos.xmp_tags import xmp_position


@dataclass(frozen=True)
class PhotoMetadata:
    """The circumstances of a photo.

    `taken` has no zone: the camera's own clock, or UTC where `utc_offset` is zero. UTC is `taken`
    minus `utc_offset`; None if the camera states no zone.
    """

    gps: GpsFix | None
    taken: datetime | None
    camera: str
    utc_offset: timedelta | None = None

    def trusting_all(self) -> "PhotoMetadata":
        """The same with the stated position trusted, if it is a point on Earth other than 0,0."""
        if self.gps is None or not self.gps.is_position:
            return self
        return replace(self, gps=replace(self.gps, trustworthy=True))

    @property
    def trusted_gps(self) -> GpsFix | None:
        """The stated position, if it is trustworthy."""
        return self.gps if self.gps is not None and self.gps.trustworthy else None


NOTHING = PhotoMetadata(None, None, "")


def read_metadata(path: str | os.PathLike[str], content: bytes | None = None) -> PhotoMetadata:
    """Read position, time and camera; `NOTHING` where there is none or the file is unreadable.

    It reads EXIF of JPEG, HEIC, AVIF, PNG, WebP and TIFF, positions in XMP and in QuickTime and MP4
    videos; if none of them is trustworthy, files beside the photo (`beside`). The first trustworthy
    one counts. A position is not trustworthy when it is at 0,0, out of range, incomplete or
    contradictory, when the receiver called it void or vague (dilution of precision over `MAX_DOP`,
    error over `MAX_ERROR_M`), or when its date and the photo's are more than a day and an unknown
    time zone apart, unless the camera's clock was reset. It decodes no pixel and raises nothing.
    With `content` (the bytes of a photo kept elsewhere) `path` is only its name.
    """
    try:
        if is_video(path):
            found = video_metadata(read_container_tags(path))
        else:
            with open_photo(path, content) as image:
                found = photo_metadata(image)
    except PhotoError:
        return NOTHING
    return found if content is not None else with_files_beside(found, path)


def with_files_beside(metadata: PhotoMetadata, path: str | os.PathLike[str]) -> PhotoMetadata:
    """The metadata, with the position of a file beside the photo if its own is missing or bad."""
    if metadata.trusted_gps is not None:
        return metadata
    beside = fixes_beside(path, metadata.taken, metadata.utc_offset)
    return replace(metadata, gps=best_fix(chain([metadata.gps], beside)))


def photo_metadata(image: Image.Image) -> PhotoMetadata:
    """The metadata inside an open photo; see `read_metadata`."""
    return _of_tags(*read_tags(image))


def _of_tags(main: Tags, exif: Tags, *stated: Tags) -> PhotoMetadata:
    taken = date_time(exif.get(Base.DateTimeOriginal)) or date_time(
        exif.get(Base.DateTimeDigitized)
    )
    zone = exif.get(Base.OffsetTimeOriginal) or exif.get(Base.OffsetTimeDigitized)
    offset = utc_offset(zone) if taken else None
    fix = best_fix(fix_of_tags(gps, taken, offset) for gps in stated)
    camera = _camera(text(main.get(Base.Make)), text(main.get(Base.Model)))
    if taken is None:
        times = (gps_time(g.get(GPS.GPSDateStamp), g.get(GPS.GPSTimeStamp)) for g in stated)
        taken = next((time for time in times if time), None)
        offset = timedelta(0) if taken else None
    return PhotoMetadata(fix, taken, camera, offset)


def _camera(make: str, model: str) -> str:
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()


# ISO 6709: +DD.DDDD+DDD.DDDD, +DDMM.MM+DDDMM.MM or +DDMMSS.S+DDDMMSS.S, then height and "/"
_ISO_6709 = re.compile(r"([+-])(\d{1,6}(?:\.\d+)?)([+-])(\d{1,7}(?:\.\d+)?)(?:[+-/]|CRS|$)")
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
    stated = [_video_fix(text(tags.get(name, ""))) for name in _LOCATIONS]
    in_xmp = fix_of_tags(xmp_position(tags.get("xmp")), taken, offset)
    return PhotoMetadata(best_fix([*stated, in_xmp]), taken, camera, offset if taken else None)


def _video_fix(location: str) -> GpsFix | None:
    if not location:
        return None
    match = _ISO_6709.match(location)
    if not match:
        return fix_at(math.nan, math.nan)
    smaller = (len(match[2].partition(".")[0]) - 1) // 2 * 2  # digits of minutes and seconds
    return fix_at(_signed(match[1], match[2], 2, smaller), _signed(match[3], match[4], 3, smaller))


def _signed(sign: str, digits: str, width: int, smaller: int) -> float:
    """Degrees from the digits of ISO 6709: `width` whole degrees, then `smaller` units.

    Some programs omit leading zeros; a number with a fraction still shows its digits.
    """
    whole, _, fraction = digits.partition(".")
    if len(whole) > width + smaller or (len(whole) < width + smaller and not fraction):
        return math.nan
    padded = whole.zfill(width + smaller)
    cuts = range(width, width + smaller + 1, 2)
    parts = [padded[:width], *(padded[at : at + 2] for at in cuts if at < width + smaller)]
    value = degrees([float(part) for part in [*parts[:-1], f"{parts[-1]}.{fraction or 0}"]])
    return -value if sign == "-" else value
