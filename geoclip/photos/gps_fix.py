"""A stated position and whether it is trustworthy."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from PIL.ExifTags import GPS

from geoclip.photos.metadata_tags import Tags, degrees, gps_time, is_negative, number, text

STALE_AFTER = timedelta(days=1)
UNKNOWN_ZONE = timedelta(hours=14)  # the largest offset from UTC in use
MAX_DOP = 100.0  # phones that write metres instead stay below it in the open
MAX_ERROR_M = 10_000.0
NULL_ISLAND = 0.001  # degrees
ROLLOVER = timedelta(weeks=1024)  # old receivers count weeks in ten bits: the place is still right
LAST_CLOCK_YEAR = 2010
"""A clock that shows this year or an earlier one was reset, or the photo is a scan."""
SAME_PLACE = 0.001  # degrees

INCOMPLETE = "the position is incomplete"
OUT_OF_RANGE = "the position is out of range"
NULL = "the position is 0,0"
CONTRADICTORY = "the sign of the position contradicts its hemisphere"
NO_HEMISPHERE = "the hemisphere is not stated"
_BADLY_WRITTEN = {INCOMPLETE, OUT_OF_RANGE, NULL, CONTRADICTORY, NO_HEMISPHERE}


@dataclass(frozen=True)
class GpsFix:
    """Stated position in degrees; NaN if unreadable.

    `reason` says in a few words why it is not trustworthy; "" if it is. `file` names the file
    beside the photo that states the position, "" for the photo itself. `time` is that of the fix,
    UTC; None if not known to the second.
    """

    lat: float
    lon: float
    trustworthy: bool
    reason: str
    file: str = ""
    time: datetime | None = None

    @property
    def is_position(self) -> bool:
        """Whether it is a point on Earth other than 0,0, trustworthy or not."""
        return not position_problem(self.lat, self.lon)


def fix_at(lat: float, lon: float, file: str = "", reason: str = "") -> GpsFix:
    """A fix in degrees; `reason`, or the position itself, may make it not trustworthy."""
    reason = position_problem(lat, lon) or reason
    return GpsFix(lat, lon, not reason, reason, file)


def fix_of_tags(
    gps: Tags, taken: datetime | None, offset: timedelta | None, file: str = ""
) -> GpsFix | None:
    """The fix of a GPS directory; None where it has no position.

    `taken` and `offset` are those of `PhotoMetadata`.
    """
    if GPS.GPSLatitude not in gps and GPS.GPSLongitude not in gps:
        return None
    written = gps.get(GPS.GPSLatitude), gps.get(GPS.GPSLongitude)
    lat, lon = (degrees(value) for value in written)
    north = text(gps.get(GPS.GPSLatitudeRef)).upper()[:1]
    east = text(gps.get(GPS.GPSLongitudeRef)).upper()[:1]
    against = [is_negative(v) and r in "NE" for v, r in zip(written, (north, east), strict=True)]
    lat, lon = -lat if north == "S" else lat, -lon if east == "W" else lon
    reason = position_problem(lat, lon)
    if not reason and (north not in {"N", "S"} or east not in {"E", "W"}):
        reason = NO_HEMISPHERE
    if not reason and any(against):
        reason = CONTRADICTORY
    fixed = gps_time(gps.get(GPS.GPSDateStamp), gps.get(GPS.GPSTimeStamp))
    to_the_second = fixed != gps_time(gps.get(GPS.GPSDateStamp), None)
    reason = reason or _quality_problem(gps) or _staleness(fixed, taken, offset)
    return GpsFix(lat, lon, not reason, reason, file, fixed if to_the_second else None)


def best_fix(fixes: Iterable[GpsFix | None]) -> GpsFix | None:
    """The first trustworthy fix, else the first; None without any.

    Programs copy positions and lose the receiver's remarks: a copy of a fix that is stale, void or
    vague is no better than that fix.
    """
    first: GpsFix | None = None
    doubted: list[GpsFix] = []
    for fix in fixes:
        if fix is None:
            continue
        if fix.trustworthy and not any(_is_same_place(fix, other) for other in doubted):
            return fix
        first = first or fix
        if fix.reason not in _BADLY_WRITTEN:
            doubted.append(fix)
    return first


def kind_of_reason(reason: str) -> str:
    """A reason without its figure, for counting.

    >>> kind_of_reason("the fix is 30.0 days from the photo's time")
    "the fix is days from the photo's time"
    """
    return re.sub(r"\d+\.\d ", "", reason)


def _is_same_place(fix: GpsFix, other: GpsFix) -> bool:
    return max(abs(fix.lat - other.lat), abs(fix.lon - other.lon)) < SAME_PLACE


def position_problem(lat: float, lon: float) -> str:
    """Why a position in degrees is invalid; "" if it is valid."""
    if not (math.isfinite(lat) and math.isfinite(lon)):
        return INCOMPLETE
    if abs(lat) > 90 or abs(lon) > 180:
        return OUT_OF_RANGE
    return NULL if abs(lat) < NULL_ISLAND and abs(lon) < NULL_ISLAND else ""


def _quality_problem(gps: Tags) -> str:
    if text(gps.get(GPS.GPSStatus)).upper()[:1] == "V":
        return "the receiver had no valid fix"
    error_m = number(gps.get(GPS.GPSHPositioningError))
    if number(gps.get(GPS.GPSDOP)) > MAX_DOP or error_m > MAX_ERROR_M:
        return "the receiver calls the position vague"
    return ""


def _staleness(fixed: datetime | None, taken: datetime | None, offset: timedelta | None) -> str:
    """Compare the time of the fix, UTC, with the camera's clock."""
    if fixed is None or taken is None:
        return ""
    limit = STALE_AFTER + (UNKNOWN_ZONE if offset is None else timedelta(0))
    late = fixed - (taken - (offset or timedelta(0)))
    rolled = min(abs(abs(late) - n * ROLLOVER) for n in range(3))
    if rolled <= limit or (late > limit and _was_reset(taken)):
        return ""
    return f"the fix is {abs(late).total_seconds() / 86400:.1f} days from the photo's time"


def _was_reset(taken: datetime) -> bool:
    """Whether a clock may have been reset; cameras restart on the first of January of some year."""
    return taken.year <= LAST_CLOCK_YEAR or (taken.month == 1 and taken.day <= 7)
