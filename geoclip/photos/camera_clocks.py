"""How far the clocks of cameras are ahead of UTC: set by the user, stated, or estimated."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median

from geoclip.errors import GeoclipError
from geoclip.photos.metadata import PhotoMetadata
from geoclip.photos.tracks import Tracks

_OFFSET = re.compile(r"([+-]?)(\d{1,2}):(\d{2})(?::(\d{2}))?$")
MINUTE = 60.0
WINDOW = 3  # minutes; within them the moment nearest to a photo's position counts
QUARTER = 15  # minutes; zones differ by multiples


def clock_offset(text: str) -> timedelta:
    """`+02:00`, `-5:30` or `+02:00:13` as a timedelta; raises GeoclipError.

    >>> clock_offset("-5:30")
    datetime.timedelta(days=-1, seconds=66600)
    """
    match = _OFFSET.match(text.strip())
    if not match:
        raise GeoclipError(
            f"{text!r} is no offset of a camera's clock: give how far it is ahead of UTC, as in "
            f"+02:00 or -05:30:10."
        )
    size = timedelta(hours=int(match[2]), minutes=int(match[3]), seconds=int(match[4] or 0))
    return -size if match[1] == "-" else size


@dataclass(frozen=True)
class CameraClocks:
    """How to turn a camera's time into UTC.

    The `asked` offset goes before the zone stated in a photo, unless that is UTC itself; a photo
    without one takes its camera's `estimated` one.
    """

    asked: timedelta | None = None
    estimated: dict[str, timedelta] = field(default_factory=dict)

    @classmethod
    def of(
        cls, photos: Iterable[PhotoMetadata], tracks: Tracks, asked: timedelta | None = None
    ) -> "CameraClocks":
        """Estimate the clocks of cameras from photos that have both a position and a time.

        The receiver's own time is best. Without it the offset is the one at which most of a
        camera's photos lie on the tracks.
        """
        if asked is not None:
            return cls(asked)
        known: dict[str, list[PhotoMetadata]] = defaultdict(list)
        for photo in photos:
            if photo.taken and photo.utc_offset is None and photo.trusted_gps:
                known[photo.camera].append(photo)
        found = {camera: _estimate(some, tracks) for camera, some in known.items()}
        return cls(None, {camera: by for camera, by in found.items() if by is not None})

    def utc(self, photo: PhotoMetadata) -> datetime | None:
        """When a photo was taken, UTC without a zone; None if unknown."""
        offset = photo.utc_offset
        if self.asked is not None and offset != timedelta(0):
            offset = self.asked
        if offset is None:
            offset = self.estimated.get(photo.camera)
        return None if photo.taken is None or offset is None else photo.taken - offset


def _estimate(photos: list[PhotoMetadata], tracks: Tracks) -> timedelta | None:
    """The offset of one camera's clock; None without evidence."""
    by_receiver = [
        (photo.taken - photo.gps.time).total_seconds()
        for photo in photos
        if photo.taken and photo.gps and photo.gps.time
    ]
    if by_receiver:
        return timedelta(seconds=round(median(by_receiver)))
    ways = [way for photo in photos if (way := _offsets_on_track(photo, tracks))]
    votes = Counter(minute for way in ways for minute in _minutes(way))
    if not votes:
        return None
    best = max(votes, key=lambda minute: (votes[minute], *_likelihood(minute)))
    if 2 * votes[best] < len(ways):
        return None
    near = ([o for o in way if abs(o[1] - best * MINUTE) <= WINDOW * MINUTE] for way in ways)
    return timedelta(seconds=round(median(min(offsets)[1] for offsets in near if offsets)))


def _offsets_on_track(photo: PhotoMetadata, tracks: Tracks) -> list[tuple[float, float]]:
    """Km to the tracks, and seconds that the clock is then ahead, at each passing."""
    if photo.taken is None or photo.gps is None:
        return []
    taken = photo.taken.replace(tzinfo=UTC).timestamp()
    seconds, km = tracks.passing(photo.gps.lat, photo.gps.lon)
    return list(zip(km.tolist(), (taken - seconds).tolist(), strict=True))


def _minutes(way: list[tuple[float, float]]) -> set[int]:
    """Offsets as whole minutes, with neighbouring minutes: a clock's seconds are inexact."""
    return {round(seconds / MINUTE) + by for _, seconds in way for by in (-1, 0, 1)}


def _likelihood(minute: int) -> tuple[int, int]:
    """Sort key: whole zones before others, small offsets before large ones."""
    return -min(minute % QUARTER, -minute % QUARTER), -abs(minute)
