"""Choose the positions of photos: those trusted by the settings, and those from tracks."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from geoclip.guesses.settings import LocateSettings
from geoclip.photos.camera_clocks import CameraClocks
from geoclip.photos.metadata import PhotoMetadata
from geoclip.photos.records import PhotoRecord
from geoclip.photos.tracks import Tracks

log = logging.getLogger(__name__)


class Records(Protocol):
    """Records of photos, in memory or in a journal."""

    def __getitem__(self, part: slice, /) -> Sequence[PhotoRecord]:
        """The records of some photos."""
        ...


class BelievedRecords:
    """Records whose metadata `believe` replaces."""

    def __init__(self, records: Records, believe: Callable[[PhotoMetadata], PhotoMetadata]) -> None:
        self.records = records
        self.believe = believe

    def __getitem__(self, part: slice) -> Sequence[PhotoRecord]:
        return [replace(r, metadata=self.believe(r.metadata)) for r in self.records[part]]


def believed(
    records: Records, parts: Sequence[slice], settings: LocateSettings, tracks: Tracks | None
) -> Records:
    """The records of photos, all named in `parts`, with their chosen positions.

    A journal keeps the stated positions: another run may choose others.
    """
    if settings.gps == "trust-all":
        records = BelievedRecords(records, PhotoMetadata.trusting_all)
    if tracks is None:
        return records
    photos = (record.metadata for part in parts for record in records[part])
    clocks = CameraClocks.of(photos, tracks, settings.gpx_offset)
    on_track, unknown = _OnTrack(tracks, clocks), 0
    for part in parts:
        unknown += sum(on_track.lacks_zone(record.metadata) for record in records[part])
    if unknown:
        log.warning(
            "%d photos have a time and no zone, and none of their camera has a position too: give "
            "--gpx-offset to place them on the track.",
            unknown,
        )
    return BelievedRecords(records, on_track)


class _OnTrack:
    """Gives photos without their own position that of a track."""

    def __init__(self, tracks: Tracks, clocks: CameraClocks) -> None:
        self.tracks = tracks
        self.clocks = clocks

    def lacks_zone(self, photo: PhotoMetadata) -> bool:
        """Whether a photo lacks only a zone."""
        has_place = photo.trusted_gps is not None
        return not has_place and photo.taken is not None and self.clocks.utc(photo) is None

    def __call__(self, photo: PhotoMetadata) -> PhotoMetadata:
        moment = None if photo.trusted_gps else self.clocks.utc(photo)
        fix = None if moment is None else self.tracks.at(moment)
        return photo if fix is None else replace(photo, gps=fix)
