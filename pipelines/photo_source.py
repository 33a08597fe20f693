"""Photos as a Ray dataset: what they are called, where they are, and what is read with what.

A row holds the views of one location, so that nothing that Ray Data does to rows can part them. Its
`photo_id` is that of its first view: Ray Data's checkpoints know a row by it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Protocol

import pyarrow as pa
from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from geoclip.photos.views import side_by_side, slices

VIEW = pa.struct(
    {"photo_id": pa.string(), "path": pa.string(), "content": pa.binary(), "problem": pa.string()}
)
SCHEMA = pa.schema({"photo_id": pa.string(), "location_id": pa.string(), "views": pa.list_(VIEW)})
BLOCK_ROWS = 4096
BLOCK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Photo:
    """A photo: an id that is its own, and a path or URI, or its `content`.

    `problem` says why it has neither. A photo without a `location_id` is a location of its own.
    """

    photo_id: str
    path: str
    content: bytes | None = None
    location_id: str = ""
    problem: str | None = None


class Part(Protocol):
    """A share of the photos that one task reads, in order; it travels to the worker."""

    def photos(self) -> Iterator[Photo]:
        """Read them; those of one location stand side by side."""
        ...


@dataclass(frozen=True)
class ListedPhotos:
    """Photos that are known by name when the run begins."""

    listed: Sequence[Photo]

    def photos(self) -> Iterator[Photo]:
        """Give them as they are."""
        return iter(self.listed)


class PhotoSource(Datasource):
    """Reads parts, each in a task of its own."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts

    def estimate_inmemory_data_size(self) -> None:
        """It is not known before they are read."""

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """One task for each part, whatever the parallelism."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(partial(read_blocks, part), unknown, SCHEMA) for part in self.parts]


def read_blocks(part: Part) -> Iterator[pa.Table]:
    """The locations of a part as tables of `SCHEMA`, of limited length and size."""
    rows: list[dict[str, Any]] = []
    size = 0
    for row in locations(part.photos()):
        rows.append(row)
        size += sum(len(view["content"] or "") for view in row["views"])
        if len(rows) >= BLOCK_ROWS or size >= BLOCK_BYTES:
            yield pa.Table.from_pylist(rows, SCHEMA)
            rows, size = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, SCHEMA)


def locations(photos: Iterable[Photo]) -> Iterator[dict[str, Any]]:
    """Rows of `SCHEMA`: photos side by side that share a location are its views."""
    for (_, location), views in groupby(photos, _location_key):
        listed = [
            {name: getattr(photo, name) for name in ("photo_id", "path", "content", "problem")}
            for photo in views
        ]
        yield {"photo_id": listed[0]["photo_id"], "location_id": location, "views": listed}


def sliced(photos: Sequence[Photo], size: int) -> Iterator[ListedPhotos]:
    """Cut a list into parts of about `size` photos; those of a location stay together.

    They are brought side by side: photos keep their order, but follow the first of their location.
    """
    keys = [_location_key(photo) for photo in photos]
    order = side_by_side(keys)
    for part in slices([keys[i] for i in order], size):
        yield ListedPhotos([photos[i] for i in order[part]])


def _location_key(photo: Photo) -> tuple[bool, str]:
    """The same for the views of a location; no photo's id is taken for a location's."""
    return bool(photo.location_id), photo.location_id or photo.photo_id
