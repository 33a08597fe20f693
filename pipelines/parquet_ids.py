"""Unique photo ids for Parquet files: a repeated id never counts as one photo.

Files that number their photos anew have equal ids. Position then identifies their photos, and a
message says so. Ids are Arrow strings, as there may be many: Python's take five times the memory.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geoclip.errors import GeoclipError
from pipelines.parquet_columns import given_id, known_columns
from pipelines.parquet_photos import DAMAGE, ParquetRows
from pipelines.photo_source import Part
from pipelines.storage import filesystem, join, parent, resumed

IDS_AT_ONCE = 65536
FILES_AT_ONCE = 32
OTHERS, EARLIER = "a folder or CSV table", "an earlier run of this output"
Ids = Callable[[], Iterable[Sequence[str]]]
"""Returns ids lazily, some at a time."""


def told_apart(
    parts: Sequence[Part], files: Sequence[str], others: Ids, earlier: Ids = tuple
) -> Sequence[Part]:
    """Parts of Parquet files, with ids unique among all files.

    `files` are all files of the run, even finished ones, so that a resumed run gives the same ids.
    `others` gives the ids of all other inputs, `earlier` those in the output from inputs that this
    run lacks. Raises GeoclipError for an id that occurs twice in a file or is one of `others`.
    """
    if not any(isinstance(part, ParquetRows) and _named(part.columns) for part in parts):
        return parts
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        given = dict(zip(files, pool.map(parquet_ids, files), strict=True))
        before = {EARLIER: _joined(earlier())}
        shared = [file for file in _shared(before | given) if file != EARLIER]
        apart = given | dict(zip(shared, pool.map(paths_alone, shared), strict=True))
    _refuse_repeats({OTHERS: _joined(others()), **apart})
    again = [file for file in shared if not apart[file].equals(given[file])]
    if again:
        _tell(before | given, again)
    return [_by_place(part) if part.shard and part.shard.name in again else part for part in parts]


def _joined(ids: Iterable[Sequence[str]]) -> pa.ChunkedArray:
    return pa.chunked_array([list(some) for some in ids], pa.string())


def _by_place(part: Part) -> Part:
    if not isinstance(part, ParquetRows):
        return part
    columns = {key: name for key, name in part.columns.items() if key != "photo_id"}
    return replace(part, columns=columns)


def _shared(ids: Mapping[str, pa.ChunkedArray]) -> list[str]:
    """The files with an id that occurs in another one too."""
    distinct = [pc.unique(own) for own in ids.values()]
    repeated = _repeated(pa.chunked_array(distinct, pa.string()))
    own = zip(ids, distinct, strict=True)
    return [file for file, some in own if pc.any(pc.is_in(some, repeated)).as_py()]


def _repeated(ids: pa.ChunkedArray) -> pa.Array:
    """The ids that occur more than once."""
    counts = pc.value_counts(ids)
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _tell(ids: Mapping[str, pa.ChunkedArray], files: Sequence[str]) -> None:
    """Print once that files have the same ids."""
    first, own = files[0], ids[files[0]]
    for other, some in ids.items():
        common = own.filter(pc.is_in(own, pc.unique(some)))
        if other != first and len(common):
            print(
                f"geoclip: The photo id {common[0].as_py()!r} stands in {first} and in {other}: in "
                f"such files ({len(files):,}) file and row identify the photos.",
                file=sys.stderr,
            )
            return


def _refuse_repeats(ids: Mapping[str, pa.ChunkedArray]) -> None:
    """Refuse an id in two places or twice in one; each place comes with its name."""
    together = pa.chunked_array(
        [chunk for own in ids.values() for chunk in own.chunks], pa.string()
    )
    repeated = _repeated(together)
    if not len(repeated):
        return
    seen: dict[str, str] = {}
    for name, own in ids.items():
        for photo_id in own.filter(pc.is_in(own, repeated)).to_pylist():
            if photo_id in seen:
                other = "twice" if seen[photo_id] == name else f"and in {seen[photo_id]}"
                raise GeoclipError(
                    f"The photo id {photo_id!r} stands in {name} {other}: give each photo its own "
                    f"id, or leave the ids out, and its place in the files identifies it."
                )
            seen[photo_id] = name


def parquet_ids(name: str) -> pa.ChunkedArray:
    """The photo ids of a file, without reading photos.

    They are its id column, and the paths of rows without an id if the file holds no bytes. The rest
    of a damaged file is left out: the run itself reports it.
    """
    return _ids(name, ("photo_id", "path"))


def paths_alone(name: str) -> pa.ChunkedArray:
    """The same for a file whose id column is ignored."""
    return _ids(name, ("path",))


def _ids(name: str, keys: Sequence[str]) -> pa.ChunkedArray:
    ids: list[pa.Array] = []
    with suppress(*DAMAGE):
        ids.extend(resumed(lambda: _read(name, keys)))
    return pa.chunked_array(ids, pa.string())


def _read(name: str, keys: Sequence[str]) -> Iterator[pa.Array]:
    system, path = filesystem(name)
    with system.open_input_file(path) as stream:
        file = pq.ParquetFile(stream)
        columns = known_columns(file.schema_arrow)
        wanted = {key: columns[key] for key in _named(columns) if key in keys}
        if not wanted:
            return
        for batch in file.iter_batches(IDS_AT_ONCE, columns=list(wanted.values())):
            rows = ({k: row[column] for k, column in wanted.items()} for row in batch.to_pylist())
            yield pa.array(filter(None, (_id(name, row) for row in rows)), pa.string())


def _named(columns: Mapping[str, str]) -> list[str]:
    """The columns with names of photos; empty if their position names them."""
    if "content" in columns:
        return ["photo_id"] if "photo_id" in columns else []
    return [key for key in ("photo_id", "path") if key in columns] if "path" in columns else []


def _id(name: str, row: dict[str, str]) -> str:
    path = row.get("path")
    return given_id(row) or (join(parent(name), path) if path else "")
