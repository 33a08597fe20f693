"""Photos given to a locator: files, folders, globs, pictures, and their locations."""

import os
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from geoclip.errors import GeoclipError
from geoclip.photos.listing import PHOTO_SUFFIXES, VIDEO_SUFFIXES, list_photos, no_photos
from geoclip.photos.opening import NamedPhoto, Photo, named
from geoclip.photos.views import location_keys, side_by_side
from geoclip.support.paths import decode_path


def given_photos(
    photos: Sequence[Photo], location_ids: Iterable[object] | None
) -> tuple[list[NamedPhoto], list[Hashable] | None]:
    """Names and contents of photos, also of those in folders and globs, and the keys of locations.

    Views of a location are adjacent; the photos of a folder share its id. Raises GeoclipError
    without photos, and the errors of `checked_ids`.
    """
    ids = checked_ids(location_ids, len(photos))
    found = [_expanded(photo) for photo in photos]
    if photos and not any(found):
        raise no_photos([photo for photo in photos if isinstance(photo, str | os.PathLike)])
    given = [named(photo, i) for i, photo in enumerate(photo for some in found for photo in some)]
    if ids is None:
        return given, None
    keys = location_keys(own for own, some in zip(ids, found, strict=True) for _ in some)
    order = side_by_side(keys)
    return [given[i] for i in order], [keys[i] for i in order]


def _expanded(photo: Photo) -> list[Photo]:
    """The photos and videos of a folder or glob; other inputs unchanged."""
    if not isinstance(photo, str | os.PathLike):
        return [photo]
    path = decode_path(photo) if isinstance(photo, str) else Path(photo)
    found = list_photos([path], PHOTO_SUFFIXES | VIDEO_SUFFIXES)
    return [photo] if found == [path] else [*found]


def checked_ids(location_ids: Iterable[object] | None, photos: int) -> list[object] | None:
    """One id for each photo; raises GeoclipError for more or fewer."""
    if location_ids is None:
        return None
    ids = list(location_ids)
    if len(ids) != photos:
        raise GeoclipError(
            f"location_ids has {len(ids)} ids for {photos} photos; give each photo one."
        )
    return ids
