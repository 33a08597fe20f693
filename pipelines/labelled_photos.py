"""Training photos of known place, with labels from tables or from the photos themselves."""

import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from pyarrow import fs

from geoclip.photos.listing import PHOTO_SUFFIXES, is_wanted
from geoclip.photos.metadata import read_metadata
from geoclip.photos.photo_table import COLUMNS
from geoclip.photos.trained_photos import Fingerprints, fingerprint, fingerprints
from geoclip.places.country_names import country_codes
from geoclip.support.paths import decode_path
from geoclip.support.tables import cell_text, coordinates
from pipelines.credentials import check_credentials
from pipelines.listed_paths import ListedPaths
from pipelines.storage import attempted, filesystem, is_uri, read_bytes

TEXTS = ("country_code", "location_id", "split", "source", "place_id")
LABELS = ("lat", "lon", *TEXTS)
EMPTY = dict.fromkeys(COLUMNS, "") | {"lat": None, "lon": None, "fingerprint": 0, "problem": ""}
TABLE_ROWS = 4096
"""Rows of a table in one part."""
READERS = 16
NO_POSITION = "no position that can be relied upon, and no country"


class LabelledPart(Protocol):
    """A share of the photos; it can be sent to a worker."""

    def table(self) -> pd.DataFrame:
        """Read it: `photo_table.COLUMNS`, `fingerprint`, and `problem` ("" if there is none).

        The `path` is an address, see `pipelines.addresses`. The fingerprint is 0 for an absent
        file. Raises GeoclipError for an invalid position or country code, and for expired
        credentials.
        """
        ...


def table_parts(photos: pd.DataFrame) -> list[LabelledPart]:
    """The photos of `read_photo_table`."""
    starts = range(0, len(photos), TABLE_ROWS)
    return [TabledPhotos(photos[start : start + TABLE_ROWS]) for start in starts]


@dataclass(frozen=True, eq=False)
class TabledPhotos:
    """Rows of `read_photo_table`."""

    photos: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """As in `LabelledPart`; it checks which files exist."""
        found = stored_fingerprints(self.photos["path"].tolist())
        return self.photos.assign(fingerprint=found, problem="")


@dataclass(frozen=True)
class StatedPhotos:
    """Photos of folders, which may state their position."""

    listed: ListedPaths

    def table(self) -> pd.DataFrame:
        """As `LabelledPart` says."""
        photos = [path for path in self.listed.ids if is_wanted(path, PHOTO_SUFFIXES)]
        with ThreadPoolExecutor(READERS) as pool:
            return labelled(list(pool.map(_stated, photos)), "")


def _stated(path: str) -> dict[str, Any]:
    """The labels that a photo of a folder states."""
    row: dict[str, Any] = {"photo_id": path, "path": path}
    if is_uri(path):
        try:
            content = read_bytes(path)
        except OSError as problem:
            check_credentials(path, problem)
            return row | {"problem": f"it cannot be fetched ({problem})"}
        fix = read_metadata(path, content).trusted_gps
        row["fingerprint"] = fingerprint(posixpath.basename(path), len(content))
    else:
        fix = read_metadata(decode_path(path)).trusted_gps
        row["fingerprint"] = fingerprints([path])[0]
    return row if fix is None else row | {"lat": fix.lat, "lon": fix.lon}


def known_labels(values: dict[str, Any]) -> dict[str, Any]:
    """The `LABELS` among a photo's facts; the case of names is ignored."""
    named = {name.lower(): value for name, value in values.items()}
    return {name: named[name] for name in LABELS if isinstance(named.get(name), str | float | int)}


def labelled(rows: Sequence[dict[str, Any]], name: str) -> pd.DataFrame:
    """The result of `LabelledPart.table`, from facts about photos of the input `name`."""
    frame = pd.DataFrame([EMPTY | row for row in rows], columns=list(EMPTY), dtype=object)
    # Errors name a row by its photo.
    frame.index = pd.Index([text.removeprefix(name).lstrip("/#") for text in frame["photo_id"]])
    for column in TEXTS:
        frame[column] = [cell_text(value).strip() for value in frame[column]]
    lat, lon = coordinates(frame, name or "photos of a folder")
    codes = country_codes(frame["country_code"], name)
    nowhere = lat.isna() & (codes == "") & (frame["place_id"] == "") & (frame["problem"] == "")
    folders = [posixpath.basename(posixpath.dirname(path)) for path in frame["path"]]
    return frame.assign(
        lat=lat,
        lon=lon,
        country_code=codes,
        location_id=frame["location_id"].where(frame["location_id"] != "", frame["photo_id"]),
        source=frame["source"].where(frame["source"] != "", folders),
        fingerprint=frame["fingerprint"].astype(np.uint64),
        problem=frame["problem"].mask(nowhere, NO_POSITION),
    ).reset_index(drop=True)


def stored_fingerprints(paths: Sequence[str]) -> Fingerprints:
    """The fingerprints of files by their paths or URIs; 0 for absent ones."""
    found = fingerprints(paths)
    far = [row for row, path in enumerate(paths) if is_uri(path)]
    with ThreadPoolExecutor(READERS) as pool:
        found[far] = list(pool.map(_stored_fingerprint, [paths[row] for row in far]))
    return found


def _stored_fingerprint(uri: str) -> int:
    system, path = filesystem(uri)
    info = attempted(lambda: system.get_file_info(path))
    return fingerprint(info.base_name, info.size) if info.type == fs.FileType.File else 0
