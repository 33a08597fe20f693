"""What a run may be given: folders, photos, CSV tables, Parquet files, tar shards (WebDataset).

Each is a local path or a URI. A folder may hold any mixture. Photos in folders and CSV tables are
listed when the run begins; what stands in Parquet files and shards is only ever streamed.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from geoclip.errors import GeoclipError
from geoclip.photos.csv_lists import read_csv_list
from geoclip.photos.listing import PHOTO_SUFFIXES, VIDEO_SUFFIXES, is_wanted, list_photos
from geoclip.support.paths import encode_path, resolve_path
from geoclip.support.tables import refuse_duplicates
from pipelines.parquet_photos import PARQUET, parquet_ids, parquet_parts
from pipelines.photo_source import Part, Photo, Shard, sliced
from pipelines.storage import (
    absolute,
    attempted,
    filesystem,
    is_uri,
    join,
    list_files,
    parent,
    read_bytes,
)
from pipelines.tar_photos import TAR, TarShard

SHARES = 16
"""Parts a worker is to have at least, so that all end at about the same time."""
FEWEST, MOST = 16, 4096
"""Listed photos in a part."""
FOOTERS_AT_ONCE = 32


def photo_parts(inputs: Sequence[str | Path], workers: int) -> list[Part]:
    """The photos of all inputs, in parts for `workers` workers.

    Locations are each table's own: two that number theirs alike have no view in common.
    Raises GeoclipError for an input that names no photo, a CSV table that cannot be read, a
    Parquet file without the columns it needs, and where two photos have one id.
    """
    files_listed: list[Photo] = []
    tables: list[list[Photo]] = []
    parquet: list[Shard] = []
    shards: list[Shard] = []
    for name in map(str, inputs):
        is_table = name.lower().endswith(".csv")
        named = csv_photos(name) if is_table else []
        files = [] if is_table else files_of(name)
        if not named and not files:
            raise GeoclipError(f"{name} holds no photo, Parquet file or tar shard: name another.")
        parquet += [shard_of(file) for file in files if file.lower().endswith(PARQUET)]
        shards += [shard_of(file) for file in files if file.lower().endswith(TAR)]
        photos = [file for file in files if not file.lower().endswith((PARQUET, TAR))]
        files_listed += [Photo(file, file) for file in photos]
        tables += [named] if named else []
    every = [photo for table in [files_listed, *tables] for photo in table]
    _refuse_shared_ids(every)
    _refuse_repeats([shard.name for shard in [*parquet, *shards]])
    groups = _row_groups(parquet, every)
    listed = [part for table in [files_listed, *tables] for part in table_parts(table, workers)]
    return [*listed, *groups, *map(TarShard, shards)]


def _row_groups(shards: Sequence[Shard], listed: Sequence[Photo]) -> list[Part]:
    """The parts of Parquet files whose ids are neither those of `listed` nor one another's."""
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        groups = [part for parts in pool.map(parquet_parts, shards) for part in parts]
        files = [shard.name for shard in shards]
        ids = list(pool.map(parquet_ids, files))
    others = pa.chunked_array([[photo.photo_id for photo in listed]], pa.string())
    _refuse_repeated_ids([("a folder or CSV table", others), *zip(files, ids, strict=True)])
    return groups


def table_parts(listed: Sequence[Photo], workers: int) -> Iterator[Part]:
    """Listed photos in parts: some for each worker, none too large."""
    yield from sliced(listed, min(max(len(listed) // (SHARES * workers), FEWEST), MOST))


def frame_photos(photos: pd.DataFrame) -> list[Photo]:
    """The photos of a table with path, photo_id and location_id."""
    columns = (photos[name].tolist() for name in ("photo_id", "path", "location_id"))
    return [Photo(i, path, location_id=place) for i, path, place in zip(*columns, strict=True)]


def shard_of(name: str) -> Shard:
    """A file of photos as it is now."""
    system, path = filesystem(name)
    info = attempted(lambda: system.get_file_info(path))
    if info.type != fs.FileType.File:
        return Shard(name)
    return Shard(name, info.size, info.mtime_ns or -1)


def files_of(name: str) -> list[str]:
    """Photos, videos, Parquet files and shards below a folder, or the file named, in order."""
    wanted = PHOTO_SUFFIXES | VIDEO_SUFFIXES | {PARQUET, TAR}
    if not is_uri(name):
        return [encode_path(path.absolute()) for path in list_photos([name], wanted)]
    scheme = name.partition("://")[0]
    files = [f"{scheme}://{file.path}" for file in list_files(name)]
    return [file for file in files if is_wanted(file, wanted)]


def csv_photos(name: str) -> list[Photo]:
    """The photos of a CSV table: `path` (relative to the table, or a URI), perhaps `location_id`.

    A photo's id is its path as it stands in the table. Other columns are not looked at.
    """
    if not is_uri(name):
        return _table_photos(Path(name), parent(absolute(name)))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / name.rsplit("/", 1)[1]
        try:
            copy.write_bytes(read_bytes(name))
        except OSError as problem:
            raise GeoclipError(f"{name} cannot be read ({problem}): check the address.") from None
        return _table_photos(copy, parent(name))


def _table_photos(file: Path, folder: str) -> list[Photo]:
    frame = read_csv_list(file)
    refuse_duplicates(file, frame["photo_id"], "photo")
    return [
        Photo(text, _resolved(text, folder), location_id=place)
        for text, place in zip(frame["photo_id"], frame["location_id"], strict=True)
    ]


def _resolved(text: str, folder: str) -> str:
    if text.startswith("file:///"):  # with percent signs, which `geoclip.support.paths` reads
        return resolve_path(text, Path())
    if is_uri(folder) or is_uri(text):
        return join(folder, text)
    return resolve_path(text, Path(folder))


def _refuse_repeats(files: Sequence[str]) -> None:
    """A file that is named twice would be read, and located, twice."""
    again = next((file for file, count in Counter(files).items() if count > 1), None)
    if again:
        raise GeoclipError(f"{again} is named twice, perhaps by a folder: keep one of them.")


def _refuse_repeated_ids(named: Sequence[tuple[str, pa.ChunkedArray]]) -> None:
    """Refuse an id that stands in two places or twice in one; each place comes with its name.

    Ids are Arrow strings, as there may be many: Python's take five times the memory.
    """
    ids = pa.chunked_array([chunk for _, own in named for chunk in own.chunks], pa.string())
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    seen: dict[str, str] = {}
    for name, own in named:
        for photo_id in own.to_pylist():
            if photo_id in seen:
                other = "twice" if seen[photo_id] == name else f"and in {seen[photo_id]}"
                raise GeoclipError(
                    f"The photo id {photo_id!r} stands in {name} {other}: give each photo an id of "
                    "its own, or leave the ids out and photos are told apart by where they lie."
                )
            seen[photo_id] = name


def _refuse_shared_ids(photos: Sequence[Photo]) -> None:
    """Ids are what a run goes on by: two photos of one id would be taken for one."""
    seen: dict[str, str] = {}
    for photo in photos:
        if photo.photo_id in seen:
            raise GeoclipError(
                f"The photo {photo.photo_id!r} is named twice ({seen[photo.photo_id]} and "
                f"{photo.path}): keep one, or give the tables paths that tell them apart."
            )
        seen[photo.photo_id] = photo.path
