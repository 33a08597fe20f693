"""Photos in Parquet files: bytes, or paths and URIs, streamed a row group at a time.

Columns are known by name: `bytes`, `content` or `image` (bytes, or a struct with bytes in it),
`path` or `uri` (relative to the file); perhaps `photo_id` or `id`, unique over all inputs (without
it a photo's id is where it lies), and `location_id`, whose rows stand side by side in a row group.
Another row group or file may use the same `location_id`: it means another location there.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from geoclip.errors import GeoclipError
from pipelines.photo_source import Part, Photo, Shard, lost_rows
from pipelines.read_ahead import PIECE
from pipelines.storage import attempted, filesystem, join, parent, resumed

PARQUET = ".parquet"
NAMES = {
    "content": ("bytes", "content", "image"),
    "path": ("path", "uri"),
    "photo_id": ("photo_id", "id"),
    "location_id": ("location_id",),
}
PATHS_A_PART = 4096
ROWS_AT_ONCE = 64
IDS_AT_ONCE = 65536
DAMAGE = (OSError, pa.ArrowInvalid)


@dataclass(frozen=True)
class ParquetRows:
    """The locations that begin in `rows` of a file, all of them in row group `group`.

    Rows are counted from the file's first; the group begins with row `first`, and the file has
    `total` rows. `columns` says which column holds what (a key of `NAMES`).
    """

    shard: Shard
    group: int
    first: int
    rows: range
    total: int
    columns: dict[str, str]

    @property
    def holds_bytes(self) -> bool:
        """Whether the file has a column of them."""
        return "content" in self.columns

    @property
    def count(self) -> int:
        """How many photos it has."""
        return len(self.rows)

    def photos(self) -> Iterator[Photo]:
        """Read them; where the file is damaged the last one is a problem in its name."""
        previous, inside, row = "", False, self.first - 1
        try:
            for row, photo in enumerate(resumed(self._rows), self.first):
                if not photo.location_id or photo.location_id != previous:
                    inside = row in self.rows
                previous = photo.location_id
                if inside:
                    yield replace(photo, rows=range(row, row + 1), total=self.total)
                elif row >= self.rows.stop:
                    return
        except DAMAGE as problem:
            own = f"{self.shard.name}#{self.group}-{self.rows.start - self.first}"
            first = max(row + 1, self.rows.start)
            lost = lost_rows(first, max(first + 1, self.rows.stop), problem)
            yield replace(_damaged(self.shard, own, problem), rows=lost, total=self.total)

    def _rows(self) -> Iterator[Photo]:
        system, path = filesystem(self.shard.name)
        with system.open_input_file(path) as stream:
            batches = pq.ParquetFile(stream, buffer_size=PIECE).iter_batches(
                ROWS_AT_ONCE, [self.group], list(self.columns.values())
            )
            for number, batch in enumerate(batches):
                for row, values in enumerate(batch.to_pylist(), number * ROWS_AT_ONCE):
                    yield self._photo(row, {k: values[name] for k, name in self.columns.items()})

    def _photo(self, row: int, values: dict[str, Any]) -> Photo:
        content, path = values.get("content"), values.get("path")
        if isinstance(content, dict):
            content = content.get("bytes")
        own = f"{self.shard.name}#{self.group}-{row}"
        where = join(parent(self.shard.name), path) if path else own
        name = _given_id(values) or (where if content is None else own)
        place = "" if values.get("location_id") is None else str(values["location_id"])
        if content is None and not path:
            return Photo(name, own, None, place, f"{own!r}: the row holds neither bytes nor path.")
        return Photo(name, where, content, place)


@dataclass(frozen=True)
class DamagedFile:
    """A file that cannot be read at all: one photo, which says why."""

    shard: Shard
    problem: Photo
    rows: None = field(default=None, init=False)
    holds_bytes: bool = field(default=True, init=False)
    count: int = field(default=1, init=False)

    def photos(self) -> Iterator[Photo]:
        """Give the one that says so."""
        yield self.problem


def parquet_parts(shard: Shard) -> list[Part]:
    """The parts of a file: row groups of bytes are whole, those of paths are cut.

    A file that cannot be read is a part with its problem. Raises GeoclipError for a file without
    bytes and paths.
    """
    name = shard.name
    try:
        metadata, schema = attempted(lambda: _footer(name))
    except DAMAGE as problem:
        photo = _damaged(shard, name, problem)
        return [DamagedFile(shard, replace(photo, rows=lost_rows(0, 1, problem), total=1))]
    columns = known_columns(schema)
    if not columns.keys() & {"content", "path"}:
        raise GeoclipError(
            f"{name} has the columns {', '.join(schema.names)}: photos need one of "
            f"{', '.join([*NAMES['content'], *NAMES['path']])}."
        )
    parts: list[Part] = []
    first = 0
    for group in range(metadata.num_row_groups):
        end = first + metadata.row_group(group).num_rows
        step = max(end - first, 1) if "content" in columns else PATHS_A_PART
        for start in range(first, end, step):
            rows = range(start, min(start + step, end))
            parts.append(ParquetRows(shard, group, first, rows, metadata.num_rows, columns))
        first = end
    return parts


def parquet_ids(name: str) -> pa.ChunkedArray:
    """The ids that a file gives its photos; no photo is read for them.

    They are its id column, and the paths of rows without an id where the file holds no bytes. Where
    the file is damaged the rest is left out: the run itself says so.
    """
    ids: list[pa.Array] = []
    with suppress(*DAMAGE):
        ids.extend(resumed(lambda: _ids(name)))
    return pa.chunked_array(ids, pa.string())


def _ids(name: str) -> Iterator[pa.Array]:
    system, path = filesystem(name)
    with system.open_input_file(path) as stream:
        file = pq.ParquetFile(stream)
        columns = known_columns(file.schema_arrow)
        keys = ["photo_id"] if "content" in columns else ["photo_id", "path"]
        wanted = {key: columns[key] for key in keys if key in columns}
        if not wanted:
            return
        for batch in file.iter_batches(IDS_AT_ONCE, columns=list(wanted.values())):
            rows = ({k: row[column] for k, column in wanted.items()} for row in batch.to_pylist())
            yield pa.array(filter(None, (_id(name, row) for row in rows)), pa.string())


def _given_id(values: dict[str, Any]) -> str:
    """A row's own id, "" where it has none."""
    return "" if values.get("photo_id") is None else str(values["photo_id"])


def _id(name: str, row: dict[str, Any]) -> str:
    path = row.get("path")
    return _given_id(row) or (join(parent(name), path) if path else "")


def known_columns(schema: pa.Schema) -> dict[str, str]:
    """Which column holds what (a key of `NAMES`)."""
    found = {key: _first(names, schema) for key, names in NAMES.items()}
    return {key: name for key, name in found.items() if name is not None}


def _footer(name: str) -> tuple[pq.FileMetaData, pa.Schema]:
    system, path = filesystem(name)
    with system.open_input_file(path) as stream:
        file = pq.ParquetFile(stream)
        return file.metadata, file.schema_arrow


def _first(names: tuple[str, ...], schema: pa.Schema) -> str | None:
    return next((name for name in names if name in schema.names), None)


def _damaged(shard: Shard, photo_id: str, problem: Exception) -> Photo:
    name, reason = shard.name, " ".join(str(problem).split())
    message = f"{name!r}: the file is cut off or damaged ({reason}); copy it again."
    return Photo(photo_id, name, problem=message)
