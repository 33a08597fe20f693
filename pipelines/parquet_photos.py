"""Photos in Parquet files: bytes, or paths and URIs, streamed a row group at a time.

`pipelines.parquet_columns` assigns the columns. Without an id column, or where several files have
the same ids (see `pipelines.parquet_ids`), a photo's id is its position. The photos of a
`location_id` are adjacent in a row group: in another row group or file the same id means another
location.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.credentials import check_credentials
from pipelines.parquet_columns import given_id, known_columns, oddity
from pipelines.photo_source import Part, Photo, Shard, lost_rows
from pipelines.read_ahead import PIECE
from pipelines.storage import attempted, filesystem, join, parent, resumed
from pipelines.unread_files import UnreadFile

PARQUET = ".parquet"
PATHS_A_PART = 4096
ROWS_AT_ONCE = 64
DAMAGE = (OSError, pa.ArrowInvalid)
Lacking = Callable[[pa.Schema], str]
"""The columns that a file lacks for a purpose, as the end of a sentence; "" for none."""


@dataclass(frozen=True)
class ParquetRows:
    """The locations that begin in `rows` of a file, all of them in row group `group`.

    Rows are counted from the file's first; the group begins with row `first`, and the file has
    `total` rows. `columns` assigns columns to the keys of `parquet_columns.NAMES`.
    """

    shard: Shard
    group: int
    first: int
    rows: range
    total: int
    columns: dict[str, str]

    @property
    def holds_bytes(self) -> bool:
        """Whether the file has a column of bytes."""
        return "content" in self.columns

    @property
    def count(self) -> int:
        """The number of its photos."""
        return len(self.rows)

    def photos(self) -> Iterator[Photo]:
        """Read them; a damaged file ends with a problem under its name."""
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
            check_credentials(self.shard.name, problem)
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
        name = given_id(values) or (where if content is None else own)
        place = "" if values.get("location_id") is None else str(values["location_id"])
        if content is None and not path:
            return Photo(name, own, None, place, f"{own!r}: the row holds neither bytes nor path.")
        return Photo(name, where, content, place)


def nothing(_: pa.Schema) -> str:
    """A check that finds nothing lacking."""
    return ""


def parquet_parts(shard: Shard, lacking: Lacking = nothing) -> list[Part]:
    """The parts of a file: row groups of bytes are whole, those of paths are cut.

    An unreadable file, one without photos, or one that fails `lacking`, is an `UnreadFile`.
    """
    name = shard.name
    try:
        metadata, schema = attempted(lambda: _footer(name))
    except DAMAGE as problem:
        check_credentials(name, problem)
        photo = _damaged(shard, name, problem)
        return [UnreadFile(shard, replace(photo, rows=lost_rows(0, 1, problem), total=1))]
    columns = known_columns(schema)
    empty = "" if metadata.num_rows else "holds no photo: it has no rows."
    if odd := oddity(schema) or empty or lacking(schema):
        return [UnreadFile.of_odd(shard, f"{name} {odd}")]
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


def _footer(name: str) -> tuple[pq.FileMetaData, pa.Schema]:
    system, path = filesystem(name)
    with system.open_input_file(path) as stream:
        file = pq.ParquetFile(stream)
        return file.metadata, file.schema_arrow


def _damaged(shard: Shard, photo_id: str, problem: Exception) -> Photo:
    name, reason = shard.name, " ".join(str(problem).split())
    message = f"{name!r}: the file is cut off or damaged ({reason}); copy it again."
    return Photo(photo_id, name, problem=message)
