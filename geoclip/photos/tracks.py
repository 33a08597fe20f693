"""GPX tracks: a photo's place by its time."""

import logging
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.photos.gps_fix import GpsFix, fix_at, position_problem
from geoclip.places.sphere import great_circle_km

log = logging.getLogger(__name__)
LONGEST_GAP = 300.0  # seconds between two points for interpolation
NEAREST = 60.0  # seconds to a single point
PASSING_KM = 0.1


@dataclass(frozen=True)
class Tracks:
    """N points in order of time: seconds of UTC since 1970, degrees, and the `names` of files.

    `file` (N,) is the file of each point.
    """

    seconds: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    file: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def read(cls, files: Iterable[Path]) -> "Tracks":
        """Read the points of GPX files that have a time.

        Raises GeoclipError for an unreadable file or one without such points; a truncated file
        gives its existing points.
        """
        named = list(files)
        points = [(*point, i) for i, file in enumerate(named) for point in _points(file)]
        seconds, lat, lon, file = np.array(sorted(points), np.float64).reshape(-1, 4).T
        return cls(seconds, lat, lon, file.astype(np.int64), tuple(file.name for file in named))

    def at(self, moment: datetime) -> GpsFix | None:
        """The position at a moment, UTC without a zone; None where no point is close in time.

        Between two points at most `LONGEST_GAP` apart it is interpolated, else it is that of a
        point within `NEAREST`.
        """
        when = _seconds(moment)
        after = int(np.searchsorted(self.seconds, when))
        around = [i for i in (after - 1, after) if 0 <= i < len(self.seconds)]
        near = min(around, key=lambda i: abs(self.seconds[i] - when))
        name = self.names[self.file[near]]
        gap = self.seconds[around[-1]] - self.seconds[around[0]]
        if len(around) == 2 and 0 < gap <= LONGEST_GAP:
            share = (when - self.seconds[around[0]]) / gap
            return fix_at(*self._between(around[0], around[1], share), name)
        if abs(self.seconds[near] - when) > NEAREST:
            return None
        return fix_at(float(self.lat[near]), float(self.lon[near]), name)

    def _between(self, first: int, second: int, share: float) -> tuple[float, float]:
        """The point at a share of the way, by the shorter way around the Earth."""
        east = (self.lon[second] - self.lon[first] + 180) % 360 - 180
        lon = (self.lon[first] + share * east + 180) % 360 - 180
        return float(self.lat[first] + share * (self.lat[second] - self.lat[first])), float(lon)

    def passing(self, lat: float, lon: float) -> tuple[np.ndarray, np.ndarray]:
        """Times (n,) in seconds when the tracks pass within `PASSING_KM` of a position, and km."""
        km = great_circle_km(self.lat, self.lon, lat, lon)
        near = np.flatnonzero(km <= PASSING_KM)
        return self.seconds[near], km[near]


def _points(file: Path) -> Iterator[tuple[float, float, float]]:
    """Seconds, latitude and longitude of the points of a file."""
    count, problem = 0, ""
    try:
        with file.open("rb") as stream:
            for point in _parsed(stream):
                count += 1
                yield point
    except OSError as error:
        raise GeoclipError(
            f"{file} cannot be read ({error.strerror or error}): check the path of the track."
        ) from None
    except ET.ParseError as error:
        problem = str(error)
    if problem and count:
        log.warning("%s is cut off or damaged (%s): %d points are used.", file, problem, count)
    elif not count:
        why = problem or "no track point with a position and a time"
        raise GeoclipError(f"{file} is no usable GPX track ({why}): name another file.")


def _parsed(stream: IO[bytes]) -> Iterator[tuple[float, float, float]]:
    for _, element in ET.iterparse(stream):
        if element.tag.rpartition("}")[2] != "trkpt":
            continue
        times = (e.text for e in element if e.tag.rpartition("}")[2] == "time")
        when = _time(next(times, None))
        lat, lon = (_angle(element.get(axis)) for axis in ("lat", "lon"))
        if math.isfinite(when) and not position_problem(lat, lon):
            yield when, lat, lon
        element.clear()


def _time(text: str | None) -> float:
    try:
        return _seconds(datetime.fromisoformat((text or "").strip()))
    except (ValueError, OverflowError):
        return math.nan


def _angle(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _seconds(moment: datetime) -> float:
    """Seconds since 1970; a moment without a zone counts as UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
