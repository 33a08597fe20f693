"""Photos as a Ray dataset: their names, their addresses, and which are read together.

A row holds the views of one location, so that Ray Data cannot separate them. Its `photo_id` is that
of its first view; its `origin` gives its rows of its shard, by which a run tracks finished photos
(null for listed photos).
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby, pairwise
from typing import Any, Protocol

import pyarrow as pa
from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from geoclip.photos.views import side_by_side, slices

VIEW = pa.struct(
    {"photo_id": pa.string(), "path": pa.string(), "content": pa.binary(), "problem": pa.string()}
)
ORIGIN = pa.struct(
    {
        "name": pa.string(),
        "size": pa.int64(),
        "mtime": pa.int64(),
        "start": pa.int64(),
        "stop": pa.int64(),
        "total": pa.int64(),
    }
)
"""A `Shard`, rows `start` to `stop` of it, and its number of rows if known."""
SCHEMA = pa.schema(
    {
        "photo_id": pa.string(),
        "location_id": pa.string(),
        "views": pa.list_(VIEW),
        "origin": ORIGIN,
    }
)
BLOCK_ROWS = 4096
BLOCK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Shard:
    """A file with photos, in its state when listed; -1 for unknown values."""

    name: str
    size: int = -1
    mtime: int = -1


@dataclass(frozen=True)
class Photo:
    """A photo: a unique id, and a path or URI, or its `content`.

    `problem` explains why it has neither. A photo without a `location_id` is its own location. In a
    shard it covers `rows`, of `total` rows if known; none (only their start) if the shard was
    unreachable.
    """

    photo_id: str
    path: str
    content: bytes | None = None
    location_id: str = ""
    problem: str | None = None
    rows: range = range(0)
    total: int | None = None


class Part(Protocol):
    """A share of the photos that is read in order; it can be sent to a worker."""

    @property
    def shard(self) -> Shard | None:
        """Its file; None for listed photos."""
        ...

    @property
    def rows(self) -> range | None:
        """Its rows of the shard; None if known only on reading."""
        ...

    @property
    def holds_bytes(self) -> bool:
        """Whether it contains its photos, not only their names."""
        ...

    @property
    def count(self) -> int | None:
        """The number of its photos; None if known only on reading."""
        ...

    def photos(self) -> Iterator[Photo]:
        """Read them; photos of one location are adjacent."""
        ...


@dataclass(frozen=True)
class ListedPhotos:
    """Photos whose names are known when the run begins."""

    listed: Sequence[Photo]
    shard: None = field(default=None, init=False)
    rows: None = field(default=None, init=False)
    holds_bytes: bool = field(default=False, init=False)

    @property
    def count(self) -> int:
        """Their number."""
        return len(self.listed)

    @property
    def ids(self) -> list[str]:
        """Of all photos."""
        return [photo.photo_id for photo in self.listed]

    def photos(self) -> Iterator[Photo]:
        """The photos unchanged."""
        return iter(self.listed)

    def without(self, done: Container[str]) -> "ListedPhotos | None":
        """The locations without a finished view (an id in `done`); None if there are none."""
        places = (list(views) for _, views in groupby(self.listed, _location_key))
        left = [views for views in places if not any(view.photo_id in done for view in views)]
        return ListedPhotos([view for views in left for view in views]) if left else None


@dataclass(frozen=True)
class RestOfShard:
    """The rest of a part whose shard has finished rows `done`."""

    part: Part
    done: Sequence[range]

    @property
    def shard(self) -> Shard | None:
        """The part's shard."""
        return self.part.shard

    @property
    def rows(self) -> range | None:
        """The part's rows."""
        return self.part.rows

    @property
    def holds_bytes(self) -> bool:
        """The same as for the part."""
        return self.part.holds_bytes

    @property
    def count(self) -> int | None:
        """The number of the part's unfinished photos; `done` ranges are disjoint."""
        if self.part.rows is None:
            return None
        own = self.part.rows
        common = (range(max(own.start, r.start), min(own.stop, r.stop)) for r in self.done)
        return len(own) - sum(map(len, common))

    def photos(self) -> Iterator[Photo]:
        """The part's unfinished photos."""
        return (photo for photo in self.part.photos() if not covers(self.done, photo.rows))


def covers(ranges: Sequence[range], rows: range) -> bool:
    """Whether one of some ranges contains rows, if there are any."""
    return bool(rows) and any(r.start <= rows.start and rows.stop <= r.stop for r in ranges)


def lost_rows(start: int, stop: int, problem: Exception) -> range:
    """The rows covered by a shard's problem: none if it may be temporary."""
    return range(start, start if isinstance(problem, OSError) else stop)


def photo_count(parts: Sequence[Part]) -> int | None:
    """The number of photos in parts; None if known only on reading."""
    counts = [part.count for part in parts]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


class PhotoSource(Datasource):
    """Reads parts of photos; those of shards in about `tasks` tasks.

    Each part of names is a task: Ray Data joins a task's output to blocks of some megabytes, too
    many names for one.
    """

    def __init__(self, parts: Sequence[Part], tasks: int = 1) -> None:
        heavy = [part for part in parts if part.holds_bytes]
        tasks = min(tasks, len(heavy))
        cuts = [len(heavy) * i // tasks for i in range(tasks + 1)] if tasks else []
        self.groups = [
            *([part] for part in parts if not part.holds_bytes),
            *(heavy[start:stop] for start, stop in pairwise(cuts)),
        ]

    def estimate_inmemory_data_size(self) -> None:
        """Unknown before they are read."""

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """One task for each group of parts, whatever the parallelism."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(partial(read_parts, parts), unknown, SCHEMA) for parts in self.groups]


def read_parts(parts: Sequence[Part]) -> Iterator[pa.Table]:
    """The blocks of several parts, one after the other."""
    for part in parts:
        yield from read_blocks(part)


def read_blocks(part: Part) -> Iterator[pa.Table]:
    """The locations of a part as tables of `SCHEMA`, of limited length and size."""
    rows: list[dict[str, Any]] = []
    size = 0
    for row in locations(part.photos(), part.shard):
        rows.append(row)
        size += sum(len(view["content"] or "") for view in row["views"])
        if len(rows) >= BLOCK_ROWS or size >= BLOCK_BYTES:
            yield pa.Table.from_pylist(rows, SCHEMA)
            rows, size = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, SCHEMA)


def locations(photos: Iterable[Photo], shard: Shard | None = None) -> Iterator[dict[str, Any]]:
    """Rows of `SCHEMA`: adjacent photos of one location are its views."""
    for (_, location), grouped in groupby(photos, _location_key):
        views = list(grouped)
        listed = [
            {name: getattr(photo, name) for name in ("photo_id", "path", "content", "problem")}
            for photo in views
        ]
        yield {
            "photo_id": listed[0]["photo_id"],
            "location_id": location,
            "views": listed,
            "origin": shard and _origin(shard, views),
        }


def _origin(shard: Shard, views: Sequence[Photo]) -> dict[str, Any]:
    covered = {"start": views[0].rows.start, "stop": views[-1].rows.stop}
    return {**asdict(shard), **covered, "total": views[-1].total}


def with_origins(table: pa.Table, rows: Iterable[dict[str, Any]]) -> pa.Table:
    """A table with a photo_id in every row, and the origins of its rows of `SCHEMA`."""
    origins = {view["photo_id"]: row["origin"] for row in rows for view in row["views"]}
    own = [origins[photo] for photo in table["photo_id"].to_pylist()]
    return table.append_column("origin", pa.array(own, ORIGIN))


def sliced(photos: Sequence[Photo], size: int) -> Iterator[ListedPhotos]:
    """Cut a list into parts of about `size` photos; photos of a location stay together.

    They become adjacent: photos keep their order, but follow the first of their location.
    """
    keys = [_location_key(photo) for photo in photos]
    order = side_by_side(keys)
    for part in slices([keys[i] for i in order], size):
        yield ListedPhotos([photos[i] for i in order[part]])


def _location_key(photo: Photo) -> tuple[bool, str]:
    """One key for all views of a location; a photo's id never equals a location's key."""
    return bool(photo.location_id), photo.location_id or photo.photo_id
