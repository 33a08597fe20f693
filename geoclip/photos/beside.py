"""Positions in files that other programs keep beside a photo: XMP sidecars, Google Takeout's JSON.

A folder's listing is kept while it does not change, so a photo without such files costs only a look
at the folder's modification time.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import Any
from unicodedata import normalize

from geoclip.photos.gps_fix import GpsFix, fix_at, fix_of_tags
from geoclip.photos.listing import PHOTO_SUFFIXES, VIDEO_SUFFIXES
from geoclip.photos.xmp_tags import xmp_position

SIDECAR = ".xmp"
LONGEST_NAME = 255  # bytes, of most file systems
_MOST_BYTES = 16_000_000
_COARSEST_CLOCK = 2.0  # seconds, of FAT: a folder changed just now may change again unseen

_TAKEOUT = ".supplemental-metadata"
_TAKEOUT_LENGTH = 46  # characters; Google cuts longer names before ".json"
_COUNTED = re.compile(r"(.+)(\(\d+\))$")
_EDITED = re.compile(
    "-(?:edited|bearbeitet|modifié|editado|editada|bewerkt|modificato|edytowane|redigerad)$"
)


def fixes_beside(
    path: str | os.PathLike[str], taken: datetime | None = None, offset: timedelta | None = None
) -> Iterator[GpsFix]:
    """The positions in the files beside a photo, read lazily.

    `photo.jpg.xmp` comes first, then `photo.xmp`, then Takeout's JSON. Guesses of geoclip do not
    count as positions. `taken` and `offset` are those of `PhotoMetadata`. Nothing is raised.
    """
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100
    present = _names_beside(folder)
    if not present:
        return
    for sidecar in (sidecar_name(name), _stem(name) + SIDECAR):
        if found := present.get(sidecar.lower()):
            fix = fix_of_tags(xmp_position(_content(folder, found)), taken, offset, found)
            if fix is not None:
                yield fix
    for json_name, photo in takeout_names(name):
        if found := present.get(json_name.lower()):
            fix = _takeout_fix(_content(folder, found), photo, found)
            if fix is not None:
                yield fix


def sidecar_name(name: str) -> str:
    """The name of a photo's sidecar: `photo.jpg.xmp`.

    A name too long for a file system is cut, and eight digits of the SHA-256 of the photo's name
    identify the photo.

    >>> sidecar_name("photo.jpg")
    'photo.jpg.xmp'
    >>> sidecar_name("a" * 252)[-20:]
    'aaaaaaa~ab5fa6e9.xmp'
    """
    content = os.fsencode(name)
    if len(content) + len(SIDECAR) <= LONGEST_NAME:
        return name + SIDECAR
    ending = f"~{hashlib.sha256(content).hexdigest()[:8]}{SIDECAR}"
    return content[: LONGEST_NAME - len(ending)].decode("utf-8", "ignore") + ending


def is_beside(name: str) -> bool:
    """Whether a file name is that of a sidecar, or of a photo's or video's JSON."""
    stem, ending = os.path.splitext(name.lower())  # noqa: PTH122
    if ending != ".json":
        return ending == SIDECAR
    photo = re.sub(r"\(\d+\)$", "", stem)
    endings = {os.path.splitext(text)[1] for text in (photo, _stem(photo))}  # noqa: PTH122
    return not endings.isdisjoint(PHOTO_SUFFIXES | VIDEO_SUFFIXES)


def takeout_names(name: str) -> Iterator[tuple[str, str]]:
    """Possible Takeout names of a photo's JSON, likeliest first, with the photo's own name.

    `IMG(1).jpg` has `IMG.jpg(1).json`, `IMG-edited.jpg` that of `IMG.jpg`; names over 46 characters
    are cut.

    >>> next(takeout_names("a.jpg"))
    ('a.jpg.supplemental-metadata.json', 'a.jpg')
    """
    stem, ending = os.path.splitext(name)  # noqa: PTH122
    counted = _COUNTED.match(stem)
    plain, count = (counted[1], counted[2]) if counted else (stem, "")
    bases = [(name, "")]
    if counted:
        bases.append((plain + ending, count))
    if _EDITED.search(plain):
        bases.append((_EDITED.sub("", plain) + ending, count))
    for base, number in bases:
        full = (base + _TAKEOUT)[:_TAKEOUT_LENGTH]
        shortest = min(len(base), _TAKEOUT_LENGTH - len(number))
        for length in range(len(full), shortest - 1, -1):
            yield full[:length] + number + ".json", base


def _takeout_fix(content: bytes, photo: str, file: str) -> GpsFix | None:
    """The first position other than 0,0 in a photo's JSON; None for another photo's JSON."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not _is_of(told.get("title"), photo):
        return None
    for name in ("geoData", "geoDataExif"):
        place = told.get(name)
        lat, lon = (_number(place, key) for key in ("latitude", "longitude"))
        if lat is not None and lon is not None and (lat, lon) != (0, 0):
            return fix_at(lat, lon, file)
    return None


def _number(values: Any, key: str) -> float | None:
    try:
        return float(values[key])
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


def _is_of(title: object, photo: str) -> bool:
    """Whether a title is the photo's name before Takeout cut it and replaced characters by `_`."""
    if not isinstance(title, str):
        return True
    whole, kept = (normalize("NFC", text).lower() for text in (unescape(title), photo))
    stem = _stem(kept)
    if len(photo) < _TAKEOUT_LENGTH and len(stem) not in {len(whole), len(_stem(whole))}:
        return False
    return all(b in {a, "_"} for a, b in zip(whole, stem, strict=False))


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122


def _names_beside(folder: str) -> dict[str, str]:
    """The names of XMP and JSON files in a folder, keyed by lower case."""
    try:
        changed = os.stat(folder).st_mtime  # noqa: PTH116
    except OSError:
        return {}
    if 0 <= time.time() - changed < _COARSEST_CLOCK:
        return _listed.__wrapped__(folder, changed)
    return _listed(folder, changed)


@lru_cache(maxsize=16)
def _listed(folder: str, changed: float) -> dict[str, str]:
    try:
        with os.scandir(folder) as entries:
            found = (e for e in entries if e.name.lower().endswith((SIDECAR, ".json")))
            return {entry.name.lower(): entry.name for entry in found if entry.is_file()}
    except OSError:
        return {}


def _content(folder: str, name: str) -> bytes:
    try:
        with (Path(folder) / name).open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return b""
