"""Inputs of a run: folders, photos, CSV tables, Parquet files, tar shards (WebDataset).

Shards may be packed with gzip. Archives of other kinds, and Parquet files without photos, are a
failure each.

Each is a local path or a URI. A folder may hold any mixture. Photos in folders and CSV tables are
listed when the run begins; the contents of Parquet files and shards are only streamed.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import fs

from geoclip.errors import GeoclipError
from geoclip.photos.csv_lists import read_csv_list
from geoclip.photos.folder_rules import USUAL, FolderRules
from geoclip.photos.listing import (
    PHOTO_SUFFIXES,
    VIDEO_SUFFIXES,
    is_wanted,
    list_photos,
    walk_photos,
)
from geoclip.support.paths import encode_path, resolve_path
from geoclip.support.tables import refuse_duplicates
from pipelines.listed_paths import ListedPaths, PathPacker, part_size
from pipelines.parquet_ids import FILES_AT_ONCE, Ids, told_apart
from pipelines.parquet_photos import PARQUET, Lacking, nothing, parquet_parts
from pipelines.photo_source import ListedPhotos, Part, Photo, Shard, sliced
from pipelines.spans import Done
from pipelines.storage import absolute, filesystem, is_uri, join, parent, read_bytes
from pipelines.stored_folders import walk_files
from pipelines.tar_photos import TAR, TarShard
from pipelines.unread_files import UnreadFile, refuse_odd_alone

NOT_READ = (".zip", ".7z", ".rar", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
"""Endings of archives that are not read; each is a failure."""
UNPACK = "is an unsupported archive: unpack it, or make it a .tar or .tar.gz."
PACKED = (".gz", ".bz2", ".xz", ".zst")
SHARDS = (PARQUET, *TAR, *NOT_READ)
WANTED = PHOTO_SUFFIXES | VIDEO_SUFFIXES | {f".{ending.rsplit('.', 1)[1]}" for ending in SHARDS}


def photo_parts(
    inputs: Sequence[str | Path],
    workers: int,
    done: Done | None = None,
    ids_besides: Callable[[Container[str]], Iterator[str]] = lambda _: iter(()),
    rules: FolderRules = USUAL,
) -> list[Part]:
    """The photos of all inputs, in parts for `workers` workers.

    Locations belong to their table: equal ids in two tables share no view. Shards that are `done`
    are left out and not opened; `ids_besides` is that of the output. `rules` leave files out of
    folders, on this machine and in storage. Raises GeoclipError for an input without photos, an
    unreadable CSV table, a Parquet file without the needed columns, and where two photos have one
    id.
    """
    paths = PathPacker()
    shards: list[Shard] = []
    tables: list[list[Photo]] = []
    for name in map(str, inputs):
        if name.lower().endswith(".csv"):
            tables.append(csv_photos(name))
            found = len(tables[-1])
        else:
            found = add_files(name, paths, shards, rules)
        if not found:
            raise no_photo_in(name)
    refuse_repeats([shard.name for shard in shards])
    listed: list[ListedPaths | ListedPhotos] = [*paths.parts(workers)]
    listed += [part for table in tables for part in table_parts(table, workers)]
    _refuse_shared_ids(listed)
    left = [shard for shard in shards if done is None or not done.is_finished(shard)]
    names = {shard.name for shard in shards}
    ids = partial(map, attrgetter("ids"), listed), lambda: [list(ids_besides(names))]
    parts = [*listed, *shard_parts(left, shards, *ids)]
    if len(left) == len(shards):
        refuse_odd_alone(parts)
    return parts


def no_photo_in(name: str) -> GeoclipError:
    """The error for an input without photos."""
    return GeoclipError(f"{name} holds no photo, Parquet file or tar shard: name another.")


def add_files(name: str, paths: PathPacker, shards: list[Shard], rules: FolderRules = USUAL) -> int:
    """Add the files of an input to the listed ones; returns their number."""
    before = paths.count + len(shards)
    for file, size, mtime in files_of(name, rules):
        if not file.lower().endswith(SHARDS):
            paths.add(file)
        else:
            shards.append(Shard(file, size, mtime) if size >= 0 else _local_shard(file))
    return paths.count + len(shards) - before


def shard_parts(
    left: Sequence[Shard],
    shards: Sequence[Shard],
    other_ids: Ids,
    earlier_ids: Ids = tuple,
    lacking: Lacking = nothing,
) -> list[Part]:
    """The parts of the files `left` among all `shards`, with unique photo ids.

    `other_ids` gives the ids of all other inputs, `earlier_ids` those of an earlier run; for
    `lacking` see `parquet_parts`.
    """
    tables = [shard for shard in left if shard.name.lower().endswith(PARQUET)]
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        found = pool.map(partial(parquet_parts, lacking=lacking), tables)
        rows = [part for parts in found for part in parts]
    files = [shard.name for shard in shards if shard.name.lower().endswith(PARQUET)]
    tars = [TarShard(shard) for shard in left if shard.name.lower().endswith(TAR)]
    rest = [shard for shard in left if shard.name.lower().endswith(NOT_READ)]
    unread = [UnreadFile.of_odd(shard, f"{shard.name} {UNPACK}") for shard in rest]
    return [*told_apart(rows, files, other_ids, earlier_ids), *tars, *unread]


def table_parts(listed: Sequence[Photo], workers: int) -> Iterator[ListedPhotos]:
    """Listed photos in parts: some for each worker, none too large."""
    yield from sliced(listed, part_size(len(listed), workers))


def frame_photos(photos: pd.DataFrame) -> list[Photo]:
    """The photos of a table with path, photo_id and location_id."""
    columns = (photos[name].tolist() for name in ("photo_id", "path", "location_id"))
    return [Photo(i, path, location_id=place) for i, path, place in zip(*columns, strict=True)]


def files_of(name: str, rules: FolderRules = USUAL) -> Iterator[tuple[str, int, int]]:
    """Photos, videos, Parquet files, shards and archives below a folder, or the named file.

    It adds size and modification time in nanoseconds; both are -1 for local files.
    """
    if is_uri(name):
        scheme, home = name.partition("://")[0], filesystem(name)[1].strip("/")
        for file in walk_files(name):
            path = file.path
            below = path.strip("/").removeprefix(home)
            if is_wanted(path, WANTED) and _is_input(path) and not rules.leaves_out_below(below):
                yield f"{scheme}://{path}", file.size, file.mtime_ns or -1
        return
    if Path(name).is_dir():
        for path in filter(_is_input, walk_photos(Path(name).absolute(), WANTED, rules)):
            yield encode_path(path), -1, -1
    else:
        for named in list_photos([name], WANTED, rules):
            yield encode_path(named.absolute()), -1, -1


def _is_input(path: str) -> bool:
    """Whether a packed file is an archive too: `photo.jpg.gz` is not."""
    low = path.lower()
    return not low.endswith(PACKED) or low.endswith(SHARDS)


def _local_shard(name: str) -> Shard:
    system, path = filesystem(name)
    info = system.get_file_info(path)
    return Shard(name, info.size, info.mtime_ns) if info.type == fs.FileType.File else Shard(name)


def csv_photos(name: str) -> list[Photo]:
    """The photos of a CSV table: `path` (relative to the table, or a URI), optionally
    `location_id`.

    A photo's id is its path as written in the table. Other columns are ignored.
    """
    if not is_uri(name):
        return _table_photos(Path(name), parent(absolute(name)))
    with tempfile.TemporaryDirectory() as folder:
        return _table_photos(fetch_table(name, Path(folder)), parent(name))


def fetch_table(name: str, folder: Path) -> Path:
    """A copy of a stored table in a local folder; raises GeoclipError if unreachable."""
    copy = folder / name.rsplit("/", 1)[1]
    try:
        copy.write_bytes(read_bytes(name))
    except OSError as problem:
        raise GeoclipError(f"{name} cannot be read ({problem}): check the address.") from None
    return copy


def _table_photos(file: Path, folder: str) -> list[Photo]:
    frame = read_csv_list(file)
    refuse_duplicates(file, frame["photo_id"], "photo")
    return [
        Photo(text, resolved(text, folder), location_id=place)
        for text, place in zip(frame["photo_id"], frame["location_id"], strict=True)
    ]


def resolved(text: str, folder: str) -> str:
    """The path or URI of a photo, relative to the folder of its table."""
    if text.startswith("file:///"):  # with percent signs, which `geoclip.support.paths` decodes
        return resolve_path(text, Path())
    if is_uri(folder) or is_uri(text):
        return join(folder, text)
    return resolve_path(text, Path(folder))


def refuse_repeats(files: Sequence[str]) -> None:
    """A file named twice would be read, and located, twice."""
    again = next((file for file, count in Counter(files).items() if count > 1), None)
    if again:
        raise GeoclipError(f"{again} is named twice, perhaps by a folder: keep one of them.")


def _refuse_shared_ids(listed: Sequence[ListedPaths | ListedPhotos]) -> None:
    """A run resumes by ids: two photos of one id would count as one.

    Hashes take eight bytes a photo; ids with equal hashes are compared.
    """
    hashes = [pd.util.hash_array(np.array(part.ids, object), categorize=False) for part in listed]
    order = np.sort(np.concatenate([np.empty(0, np.uint64), *hashes]))
    equal = set(order[1:][order[1:] == order[:-1]].tolist())
    if not equal:
        return
    seen: dict[str, str] = {}
    for part, own in zip(listed, hashes, strict=True):
        for photo, value in zip(part.photos(), own.tolist(), strict=True):
            if value not in equal:
                continue
            if photo.photo_id in seen:
                raise GeoclipError(
                    f"The photo {photo.photo_id!r} is named twice ({seen[photo.photo_id]} and "
                    f"{photo.path}): keep one, or give the tables paths that tell them apart."
                )
            seen[photo.photo_id] = photo.path
